/* Codes with the dot-product extension: sdot adds four products of signed bytes to an int32, exactly, so A is packed as plain C
 * packs it, without an offset. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__ARM_FEATURE_DOTPROD)
#include "kernels/gemm_neon.h"

GS_INLINE void micro_s8(const int mr, const gs_block_s8 *x, int64_t row, int64_t col)
{
    const int8_t *a = (const int8_t *)x->a + row * x->kc, *b = x->b + col * x->kc;
    int32x4_t s[GS_PANEL_ROWS][GS_NEON_QUADS];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < GS_NEON_QUADS; j++) s[r][j] = vdupq_n_s32(0);
    }
    for (int64_t i = 0; i < x->kc; i += 4, a += 4 * GS_PANEL_ROWS, b += 4 * GS_PANEL_COLS) {
        const int8x16_t bj[] = {vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)};
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            int32_t four;
            memcpy(&four, a + r * 4, 4);
            const int8x16_t ar = vreinterpretq_s8_s32(vdupq_n_s32(four));
            GS_UNROLL(4)
            for (int j = 0; j < GS_NEON_QUADS; j++) s[r][j] = vdotq_s32(s[r][j], bj[j], ar);
        }
    }
    gs_neon_store_s8(mr, x, row, col, s);
}

static void block_s8(const gs_block_s8 *x)
{
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS)
        for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS) GS_BY_ROWS(micro_s8, x->rows - row, x, row, col)
}

void gs_gemm_fill_neondot(gs_kernels *t)
{
    gs_kernels plain;
    gs_gemm_fill_c(&plain);
    t->pack_a_s8 = plain.pack_a_s8;
    t->block_s8 = block_s8;
}
#endif
