/* NEON kernels of the matrix products: 6 x 16 outputs in 24 accumulators. bf16 and s8 panels are widened once, then used by all
 * row panels of the tile in turn. Packing of A and of keys and the products of bf16 pairs stay plain C.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__aarch64__)
#include "kernels/gemm_neon.h"

/* ---- float ---- */

GS_INLINE void micro_f32(const int mr, const gs_block_f32 *x, int64_t row, int64_t col, const float *b)
{
    const float *a = (const float *)x->a + row * x->kc;
    float32x4_t s[GS_PANEL_ROWS][GS_NEON_QUADS];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < GS_NEON_QUADS; j++) s[r][j] = vdupq_n_f32(0.0f);
    }
    for (int64_t i = 0; i < x->kc; i++, a += GS_PANEL_ROWS, b += GS_PANEL_COLS) {
        const float32x4_t bj[] = {vld1q_f32(b), vld1q_f32(b + 4), vld1q_f32(b + 8), vld1q_f32(b + 12)};
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            GS_UNROLL(4)
            for (int j = 0; j < GS_NEON_QUADS; j++) s[r][j] = vfmaq_n_f32(s[r][j], bj[j], a[r]);
        }
    }
    float sum[GS_PANEL_COLS];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        memcpy(sum, s[r], sizeof sum);
        gs_store_row_f32(x, row + r, col, sum);
    }
}

static void panel_f32(const gs_block_f32 *x, int64_t col, const float *b)
{
    for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS) GS_BY_ROWS(micro_f32, x->rows - row, x, row, col, b)
}

static void block_f32(const gs_block_f32 *x)
{
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) panel_f32(x, col, (const float *)x->b + col * x->kc);
}

/* Pairs of bf16 -> two steps of 16 floats each. */
static void block_bf16(const gs_block_f32 *x)
{
    float wide[GS_GEMM_KC * GS_PANEL_COLS];
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) {
        const uint16_t *b = (const uint16_t *)x->b + col * x->kc;
        float *to = wide;
        for (int64_t i = 0; i < x->kc; i += 2, b += 2 * GS_PANEL_COLS, to += 2 * GS_PANEL_COLS)
            for (int j = 0; j < GS_PANEL_COLS; j += 8) {
                const uint16x8x2_t pair = vld2q_u16(b + 2 * j);
                for (int u = 0; u < 2; u++) {
                    const uint16x8_t half = pair.val[u];
                    float *const step = to + u * GS_PANEL_COLS + j;
                    vst1q_f32(step, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)));
                    vst1q_f32(step + 4, vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(half), 16)));
                }
            }
        panel_f32(x, col, wide);
    }
}

/* ---- codes: exact sums of products of int16 ---- */

/* Codes become int16: [ceil(rows/6)][k][6]. */
static void pack_a_s8(void *restrict dst, const int8_t *restrict a, int64_t lda, int64_t rows, int64_t k,
                      int64_t k_padded)
{
    int16_t *restrict to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS)
        for (int64_t i = 0; i < k_padded; i++)
            for (int64_t r = r0; r < r0 + GS_PANEL_ROWS; r++) *to++ = r < rows && i < k ? a[r * lda + i] : (int16_t)0;
}

GS_INLINE void micro_s8(const int mr, const gs_block_s8 *x, int64_t row, int64_t col, const int16_t *b)
{
    const int16_t *a = (const int16_t *)x->a + row * x->kc;
    int32x4_t s[GS_PANEL_ROWS][GS_NEON_QUADS];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < GS_NEON_QUADS; j++) s[r][j] = vdupq_n_s32(0);
    }
    for (int64_t i = 0; i < x->kc; i++, a += GS_PANEL_ROWS, b += GS_PANEL_COLS) {
        const int16x8_t b0 = vld1q_s16(b), b1 = vld1q_s16(b + 8);
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            s[r][0] = vmlal_n_s16(s[r][0], vget_low_s16(b0), a[r]);
            s[r][1] = vmlal_high_n_s16(s[r][1], b0, a[r]);
            s[r][2] = vmlal_n_s16(s[r][2], vget_low_s16(b1), a[r]);
            s[r][3] = vmlal_high_n_s16(s[r][3], b1, a[r]);
        }
    }
    gs_neon_store_s8(mr, x, row, col, s);
}

/* Quads of s8 -> four steps of 16 int16 each. */
static void block_s8(const gs_block_s8 *x)
{
    int16_t wide[GS_GEMM_KC * GS_PANEL_COLS];
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) {
        const int8_t *b = x->b + col * x->kc;
        int16_t *to = wide;
        for (int64_t i = 0; i < x->kc; i += 4, b += 4 * GS_PANEL_COLS) {
            const int8x16x4_t quad = vld4q_s8(b);
            for (int q = 0; q < 4; q++, to += GS_PANEL_COLS) {
                vst1q_s16(to, vmovl_s8(vget_low_s8(quad.val[q])));
                vst1q_s16(to + 8, vmovl_high_s8(quad.val[q]));
            }
        }
        for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS)
            GS_BY_ROWS(micro_s8, x->rows - row, x, row, col, wide)
    }
}

void gs_gemm_fill_neon(gs_kernels *t)
{
    t->block_f32 = block_f32;
    t->block_bf16 = block_bf16;
    t->pack_a_s8 = pack_a_s8;
    t->block_s8 = block_s8;
}
#endif
