/* Weight codes and scales, rows by rows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_WEIGHT_H
#define GS_QUANT_WEIGHT_H

#include "kernels/gemm.h"

/* Symmetric int8 per output row: scale = max(max|w|/127, eps); codes clamped to [-127, 127]. w: [rows, in] float32,
 * scale: [rows], codes: [rows, in]. Parallel. */
void gs_weight_w8_sym(gs_compute *c, int64_t rows, int64_t in, const float *w, float *scale, int8_t *codes);

/* Signal and noise energy of a weight against its dequantized codes: SQNR = 10·log10(signal/noise). */
typedef struct gs_sqnr {
    double signal, noise;
} gs_sqnr;
double gs_sqnr_db(const gs_sqnr *s); /* +Inf when noise is 0 */

#endif
