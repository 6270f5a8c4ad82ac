/* Codes with the dot-product extension: vpdpbusd multiplies unsigned by signed bytes, so activations are stored with 128 added
 * and 128 times the sum of the weight row is taken off at the end. The instruction is written as assembly because gcc 12 spills
 * the accumulators around its intrinsic, which costs half the speed. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { LINE = 64, WIDE = GS_GROUP_COLS / GS_PANEL_COLS, OFFSET = 128 };

#ifndef GS_DOT_BYTES
#define GS_DOT_BYTES(sum, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
#endif

/* [ceil(rows/6)][k/4][6][4], bytes with the offset; what is past k or rows meets zero weights or unused rows. */
static void pack_a_s8(void *restrict dst, const int8_t *restrict a, int64_t lda, int64_t rows, int64_t k,
                      int64_t k_padded)
{
    char *to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS, to += k_padded * GS_PANEL_ROWS) {
        for (int64_t r = 0; r < GS_PANEL_ROWS; r++) {
            const int8_t *const from = a + (r0 + r < rows ? r0 + r : r0) * lda;
            for (int64_t i = 0; i < k_padded; i += 4) {
                uint32_t word = 0;
                memcpy(&word, from + i, (size_t)(k - i < 4 ? (k - i < 0 ? 0 : k - i) : 4));
                word ^= 0x80808080u;
                memcpy(to + i * GS_PANEL_ROWS + r * 4, &word, 4);
            }
        }
    }
}

INLINE __mmask16 edge_mask(int64_t cols) { return cols >= GS_PANEL_COLS ? 0xffff : (__mmask16)((1u << cols) - 1); }

INLINE void store_s8(const int mr, const int wide, const gs_block_s8 *x, int64_t row, int64_t col, __m512i s[6][WIDE])
{
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        const __m512i zero = _mm512_set1_epi32((int32_t)((uint32_t)x->zero[row + r] + OFFSET));
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) {
            const int64_t at = col + j * GS_PANEL_COLS;
            float *const c = x->c + (row + r) * x->ldc + at;
            const __mmask16 mask = edge_mask(x->cols - at);
            __m512i sum = s[r][j];
            if (x->add) sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, c));
            if (!x->last) {
                _mm512_mask_storeu_epi32(c, mask, sum);
                continue;
            }
            const __m512i shift = _mm512_mullo_epi32(zero, _mm512_maskz_loadu_epi32(mask, x->row_sum + at));
            const __m512 scale =
                _mm512_mul_ps(_mm512_set1_ps(x->scale[row + r]), _mm512_maskz_loadu_ps(mask, x->w_scale + at));
            __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum, shift)), scale);
            if (x->bias) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, x->bias + at));
            _mm512_mask_storeu_ps(c, mask, y);
        }
    }
}

INLINE void micro_s8(const int mr, const int wide, const gs_block_s8 *x, int64_t row, int64_t col)
{
    const char *a = (const char *)x->a + row * x->kc;
    const int8_t *b = x->b + col * x->kc;
    __m512i s[6][WIDE];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) s[r][j] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < x->kc; i += 4, a += 4 * GS_PANEL_ROWS, b += LINE) {
        __m512i bj[WIDE];
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) bj[j] = _mm512_loadu_si512(b + j * x->kc * GS_PANEL_COLS);
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            int32_t four;
            memcpy(&four, a + r * 4, 4);
            const __m512i ar = _mm512_set1_epi32(four);
            GS_UNROLL(4)
            for (int j = 0; j < wide; j++) GS_DOT_BYTES(s[r][j], ar, bj[j]);
        }
    }
    store_s8(mr, wide, x, row, col, s);
}

INLINE void rows_s8(const int wide, const gs_block_s8 *x, int64_t col, const char *next)
{
    const int64_t panels = (x->rows + GS_PANEL_ROWS - 1) / GS_PANEL_ROWS;
    const int64_t each = next ? (x->kc + panels - 1) / panels : 0; /* 64 columns of kc bytes are kc lines */
    for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS, next += next ? each * LINE : 0) {
        for (int64_t i = 0; i < each; i++) _mm_prefetch(next + i * LINE, _MM_HINT_T1);
        switch (x->rows - row) {
        case 1:
            micro_s8(1, wide, x, row, col);
            break;
        case 2:
            micro_s8(2, wide, x, row, col);
            break;
        case 3:
            micro_s8(3, wide, x, row, col);
            break;
        case 4:
            micro_s8(4, wide, x, row, col);
            break;
        case 5:
            micro_s8(5, wide, x, row, col);
            break;
        default:
            micro_s8(6, wide, x, row, col);
            break;
        }
    }
}

static void block_s8(const gs_block_s8 *x)
{
    if (x->cols > GS_GROUP_COLS - GS_PANEL_COLS) {
        rows_s8(WIDE, x, 0, x->b_next);
        return;
    }
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) rows_s8(1, x, col, NULL);
}

void gs_gemm_fill_vnni(gs_kernels *t)
{
    t->pack_a_s8 = pack_a_s8;
    t->block_s8 = block_s8;
}
#endif
