/* Plain C kernels of the matrix products: the reference whose bits every other rung gives.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "kernels/gemm_store.h"

static void pack_a_f32(float *restrict dst, const float *restrict a, int64_t lda, int64_t rows, int64_t k,
                       int64_t k_padded)
{
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS)
        for (int64_t i = 0; i < k_padded; i++)
            for (int64_t r = r0; r < r0 + GS_PANEL_ROWS; r++) *dst++ = r < rows && i < k ? a[r * lda + i] : 0.0f;
}

/* [ceil(rows/6)][k/4][6][4] */
static void pack_a_s8(void *restrict dst, const int8_t *restrict a, int64_t lda, int64_t rows, int64_t k,
                      int64_t k_padded)
{
    int8_t *restrict to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS)
        for (int64_t i0 = 0; i0 < k_padded; i0 += 4)
            for (int64_t r = r0; r < r0 + GS_PANEL_ROWS; r++)
                for (int64_t i = i0; i < i0 + 4; i++) *to++ = r < rows && i < k ? a[r * lda + i] : (int8_t)0;
}

/* One row of A against one panel of 16 columns. a: stride 6. */
static void row_times_panel(float *restrict sum, const float *restrict a, const float *restrict b, int64_t kc)
{
    for (int64_t j = 0; j < GS_PANEL_COLS; j++) sum[j] = 0.0f;
    for (int64_t i = 0; i < kc; i++)
        for (int64_t j = 0; j < GS_PANEL_COLS; j++)
            sum[j] = fmaf(a[i * GS_PANEL_ROWS], b[i * GS_PANEL_COLS + j], sum[j]);
}

static void panel_f32(const gs_block_f32 *x, int64_t col, const float *b)
{
    float sum[GS_PANEL_COLS];
    for (int64_t row = 0; row < x->rows; row++) {
        const float *const a = (const float *)x->a + row / GS_PANEL_ROWS * x->kc * GS_PANEL_ROWS;
        row_times_panel(sum, a + row % GS_PANEL_ROWS, b, x->kc);
        gs_store_row_f32(x, row, col, sum);
    }
}

static void block_f32(const gs_block_f32 *x)
{
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) panel_f32(x, col, (const float *)x->b + col * x->kc);
}

static void block_bf16(const gs_block_f32 *x)
{
    float wide[GS_GEMM_KC * GS_PANEL_COLS];
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) {
        const uint16_t *const b = (const uint16_t *)x->b + col * x->kc;
        for (int64_t i = 0; i < x->kc; i++)
            for (int64_t j = 0; j < GS_PANEL_COLS; j++)
                wide[i * GS_PANEL_COLS + j] = gs_bf16_to_f32(b[i / 2 * 32 + j * 2 + i % 2]);
        panel_f32(x, col, wide);
    }
}

/* ---- bf16 pairs: subnormals are zeros before and after every step ---- */

static inline float flush(float x) { return fabsf(x) < FLT_MIN ? copysignf(0.0f, x) : x; }

/* Fused multiply-add of two widened bf16 and a flushed sum. The processor's flushing decides after rounding to 24 bits whatever the
 * exponent is, fmaf rounds subnormals to fewer: where that makes the least normal number the same is done 2^64 times larger. */
static float fma_flushed(float a, float b, float sum)
{
    const float y = fmaf(a, b, sum);
    if (fabsf(y) != FLT_MIN) return flush(y);
    const float big = 0x1p64f, large = fabsf(a) > fabsf(b) ? a : b, small = fabsf(a) > fabsf(b) ? b : a;
    return fabsf(fmaf(large, small * big, sum * big)) < FLT_MIN * big ? copysignf(0.0f, y) : y;
}

/* As pack_a_f32 of rounded values, the odd one of each pair first. */
static void pack_a_pairs(void *restrict dst, const float *restrict a, int64_t lda, int64_t rows, int64_t k,
                         int64_t k_padded)
{
    float *restrict to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS)
        for (int64_t i = 0; i < k_padded; i++)
            for (int64_t r = r0; r < r0 + GS_PANEL_ROWS; r++) {
                const int64_t from = i ^ 1;
                *to++ = r < rows && from < k ? flush(gs_bf16_to_f32(gs_f32_to_bf16(a[r * lda + from]))) : 0.0f;
            }
}

static void row_of_pairs(float *restrict sum, const float *restrict a, const float *restrict b, int64_t kc)
{
    for (int64_t j = 0; j < GS_PANEL_COLS; j++) sum[j] = 0.0f;
    for (int64_t i = 0; i < kc; i++)
        for (int64_t j = 0; j < GS_PANEL_COLS; j++)
            sum[j] = fma_flushed(a[i * GS_PANEL_ROWS], b[i * GS_PANEL_COLS + j], sum[j]);
}

static void block_pairs(const gs_block_f32 *x)
{
    float wide[GS_GEMM_KC * GS_PANEL_COLS], sum[GS_PANEL_COLS];
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) {
        const uint16_t *const b = (const uint16_t *)x->b + col * x->kc;
        for (int64_t i = 0; i < x->kc; i++)
            for (int64_t j = 0; j < GS_PANEL_COLS; j++)
                wide[i * GS_PANEL_COLS + j] = flush(gs_bf16_to_f32(b[i / 2 * 32 + j * 2 + !(i % 2)]));
        for (int64_t row = 0; row < x->rows; row++) {
            const float *const a = (const float *)x->a + row / GS_PANEL_ROWS * x->kc * GS_PANEL_ROWS;
            float *const c = x->c + row * x->ldc;
            row_of_pairs(sum, a + row % GS_PANEL_ROWS, wide, x->kc);
            for (int64_t j = col; j < col + GS_PANEL_COLS && j < x->cols; j++) {
                const float total = x->add ? flush(flush(c[j]) + sum[j - col]) : sum[j - col];
                c[j] = x->bias ? flush(total + flush(x->bias[j])) : total;
            }
        }
    }
}

static void block_s8(const gs_block_s8 *x)
{
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) {
        const int8_t *const b = x->b + col * x->kc;
        for (int64_t row = 0; row < x->rows; row++) {
            const int8_t *const a = (const int8_t *)x->a + row / GS_PANEL_ROWS * x->kc * GS_PANEL_ROWS;
            uint32_t sum[GS_PANEL_COLS] = {0};
            for (int64_t i = 0; i < x->kc; i += 4) {
                const int8_t *const four = a + i * GS_PANEL_ROWS + row % GS_PANEL_ROWS * 4;
                for (int64_t j = 0; j < GS_PANEL_COLS; j++)
                    for (int64_t q = 0; q < 4; q++) sum[j] += (uint32_t)(four[q] * b[i * GS_PANEL_COLS + j * 4 + q]);
            }
            gs_store_row_s8(x, row, col, sum);
        }
    }
}

static void pack_keys(int64_t keys, int64_t n, int64_t n_padded, const float *restrict k, int64_t stride,
                      float *restrict dst)
{
    for (int64_t key = 0; key < keys; key += GS_PANEL_COLS)
        for (int64_t i = 0; i < n_padded; i++)
            for (int64_t j = key; j < key + GS_PANEL_COLS; j++) *dst++ = j < keys && i < n ? k[j * stride + i] : 0.0f;
}

void gs_gemm_fill_c(gs_kernels *t)
{
    t->pack_a_f32 = pack_a_f32;
    t->pack_a_s8 = pack_a_s8;
    t->block_f32 = block_f32;
    t->block_bf16 = block_bf16;
    t->pack_a_pairs = pack_a_pairs;
    t->block_pairs = block_pairs;
    t->block_s8 = block_s8;
    t->pack_keys = pack_keys;
}
