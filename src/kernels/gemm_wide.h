/* What the 512-bit float kernels share: outputs of 6 x 64 or 6 x 16 at the edge, and their loop over the rows of a block. The includer
 * defines micro(mr, wide, x, row, col) of its own. Private to kernels/gemm_avx512.c and gemm_bf16.c. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_GEMM_WIDE_H
#define GS_KERNELS_GEMM_WIDE_H

#include <immintrin.h>

#include "kernels/table.h"

#define INLINE static inline __attribute__((always_inline))

enum { LINE = 64, WIDE = GS_GROUP_COLS / GS_PANEL_COLS };

INLINE __mmask16 edge_mask(int64_t cols) { return cols >= GS_PANEL_COLS ? 0xffff : (__mmask16)((1u << cols) - 1); }

INLINE void prefetch_lines(const char *from, int64_t lines)
{
    for (int64_t i = 0; i < lines; i++) _mm_prefetch(from + i * LINE, _MM_HINT_T1);
}

/* `wide` panels starting at column col. */
INLINE void store_f32(const int mr, const int wide, const gs_block_f32 *x, int64_t row, int64_t col, __m512 s[6][WIDE])
{
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        float *const c = x->c + (row + r) * x->ldc + col;
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) {
            const __mmask16 mask = edge_mask(x->cols - col - j * GS_PANEL_COLS);
            __m512 y = s[r][j];
            if (x->add) y = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c + j * GS_PANEL_COLS), y);
            if (x->bias) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, x->bias + col + j * GS_PANEL_COLS));
            _mm512_mask_storeu_ps(c + j * GS_PANEL_COLS, mask, y);
        }
    }
}

/* rows_of(wide, kind, x, col, next, lines) with micro(mr, wide, kind, x, row, col); kind: what the includer's micro wants to know. */
#define GS_WIDE_ROWS(rows_of, kind_type, micro)                                                                        \
    INLINE void rows_of(const int wide, kind_type kind, const gs_block_f32 *x, int64_t col, const char *next,          \
                        int64_t lines)                                                                                 \
    {                                                                                                                  \
        const int64_t panels = (x->rows + GS_PANEL_ROWS - 1) / GS_PANEL_ROWS,                                          \
                      each = next ? (lines + panels - 1) / panels : 0;                                                 \
        for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS, next += next ? each * LINE : 0) {                   \
            prefetch_lines(next, each);                                                                                \
            switch (x->rows - row) {                                                                                   \
            case 1:                                                                                                    \
                micro(1, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            case 2:                                                                                                    \
                micro(2, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            case 3:                                                                                                    \
                micro(3, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            case 4:                                                                                                    \
                micro(4, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            case 5:                                                                                                    \
                micro(5, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            default:                                                                                                   \
                micro(6, wide, kind, x, row, col);                                                                     \
                break;                                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Every step of a product of bf16 pairs treats subnormals as zeros, before and after (FTZ and DAZ of the control register). The
 * blocks are called through pointers, so nothing moves across. */
enum { FLUSH_BITS = 0x8040 };

#endif
