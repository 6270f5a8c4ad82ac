/* What the NEON micro-kernels share: 6 x 16 outputs in 24 of the 32 registers, one function body for each count of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_GEMM_NEON_H
#define GS_KERNELS_GEMM_NEON_H

#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernels/gemm_store.h"

#define GS_INLINE static inline __attribute__((always_inline))

enum { GS_NEON_QUADS = GS_PANEL_COLS / 4 };

/* Calls micro with a constant number of rows, so that each number gets its own registers. */
#define GS_BY_ROWS(micro, left, ...)                                                                                   \
    switch (left) {                                                                                                    \
    case 1:                                                                                                            \
        micro(1, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    case 2:                                                                                                            \
        micro(2, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    case 3:                                                                                                            \
        micro(3, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    case 4:                                                                                                            \
        micro(4, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    case 5:                                                                                                            \
        micro(5, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    default:                                                                                                           \
        micro(6, __VA_ARGS__);                                                                                         \
        break;                                                                                                         \
    }

/* Stores the exact sums of mr rows. */
GS_INLINE void gs_neon_store_s8(const int mr, const gs_block_s8 *x, int64_t row, int64_t col,
                                int32x4_t s[GS_PANEL_ROWS][GS_NEON_QUADS])
{
    uint32_t sum[GS_PANEL_COLS];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        memcpy(sum, s[r], sizeof sum);
        gs_store_row_s8(x, row + r, col, sum);
    }
}

#endif
#endif
