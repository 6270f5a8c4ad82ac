/* Products of bf16 pairs by their instruction, 6 x 64 outputs in 24 accumulators. vdpbf16ps adds the product of the odd elements and then
 * that of the even ones, each as a fused multiply-add that rounds to nearest and flushes subnormals, whatever the control register
 * says; sums of blocks and the bias need the register for that. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512BF16__)
#include "kernels/gemm_wide.h"

/* [ceil(rows/6)][k/2][6] words of two bf16 */
static void pack_a_pairs(void *restrict dst, const float *restrict a, int64_t lda, int64_t rows, int64_t k,
                         int64_t k_padded)
{
    uint16_t *restrict to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS)
        for (int64_t i = 0; i < k_padded; i += 2)
            for (int64_t r = r0; r < r0 + GS_PANEL_ROWS; r++)
                for (int64_t u = i; u < i + 2; u++)
                    *to++ = r < rows && u < k ? gs_f32_to_bf16(a[r * lda + u]) : (uint16_t)0;
}

INLINE void micro_pairs(const int mr, const int wide, const int unused, const gs_block_f32 *x, int64_t row, int64_t col)
{
    const int64_t panel_bytes = x->kc * GS_PANEL_COLS * 2;
    const char *a = (const char *)x->a + row * x->kc * 2, *b = (const char *)x->b + col / GS_PANEL_COLS * panel_bytes;
    __m512 s[6][WIDE];
    (void)unused;
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) s[r][j] = _mm512_setzero_ps();
    }
    for (int64_t i = 0; i < x->kc; i += 2, a += 4 * GS_PANEL_ROWS, b += LINE) {
        __m512i bj[WIDE];
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) bj[j] = _mm512_loadu_si512(b + j * panel_bytes);
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            int32_t pair;
            memcpy(&pair, a + r * 4, 4);
            const __m512i ar = _mm512_set1_epi32(pair);
            GS_UNROLL(4)
            for (int j = 0; j < wide; j++) s[r][j] = _mm512_dpbf16_ps(s[r][j], (__m512bh)ar, (__m512bh)bj[j]);
        }
    }
    store_f32(mr, wide, x, row, col, s);
}

GS_WIDE_ROWS(rows_pairs, const int, micro_pairs)

static __attribute__((noinline)) void pairs(const gs_block_f32 *x)
{
    if (x->cols > GS_GROUP_COLS - GS_PANEL_COLS) {
        rows_pairs(WIDE, 0, x, 0, x->b_next, x->kc * GS_GROUP_COLS * 2 / LINE);
        return;
    }
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) rows_pairs(1, 0, x, col, NULL, 0);
}

static void block_pairs(const gs_block_f32 *x)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_BITS);
    pairs(x);
    _mm_setcsr(before);
}

void gs_gemm_fill_bf16(gs_kernels *t)
{
    t->pack_a_pairs = pack_a_pairs;
    t->block_pairs = block_pairs;
}
#endif
