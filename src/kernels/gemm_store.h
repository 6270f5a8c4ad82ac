/* How a row of sums over one block of k ends in the result, for the rungs that have no vector code of their own for it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_GEMM_STORE_H
#define GS_KERNELS_GEMM_STORE_H

#include "kernels/table.h"

/* sum: of up to 16 columns from col on. */
static inline void gs_store_row_f32(const gs_block_f32 *x, int64_t row, int64_t col, const float *sum)
{
    float *const c = x->c + row * x->ldc;
    for (int64_t j = col; j < col + GS_PANEL_COLS && j < x->cols; j++) {
        const float total = x->add ? c[j] + sum[j - col] : sum[j - col];
        c[j] = x->bias ? total + x->bias[j] : total;
    }
}

/* Sums are kept modulo 2^32, as the vector instructions do; the final value fits. */
static inline void gs_store_row_s8(const gs_block_s8 *x, int64_t row, int64_t col, const uint32_t *sum)
{
    float *const c = x->c + row * x->ldc;
    for (int64_t j = col; j < col + GS_PANEL_COLS && j < x->cols; j++) {
        uint32_t before = 0;
        if (x->add) memcpy(&before, &c[j], 4);
        const uint32_t total = before + sum[j - col];
        if (!x->last) {
            memcpy(&c[j], &total, 4);
            continue;
        }
        const int32_t exact = (int32_t)(total - (uint32_t)x->zero[row] * (uint32_t)x->row_sum[j]);
        const float y = (float)exact * (x->scale[row] * x->w_scale[j]);
        c[j] = x->bias ? y + x->bias[j] : y;
    }
}

#endif
