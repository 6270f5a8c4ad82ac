/* A linear in the arithmetic of the reference's CPU path: products of float32 values, one chain of fused multiply-adds per
 * block of k, k cut into blocks of GS_REFERENCE_KC (into halves below twice that), block sums added to the bias in order.
 * This is what the matrix library behind it was observed to do with four rows or more, bit for bit. --reference_compat
 * calibrates with it, so that activation codes do not flip for arithmetic's sake and results can be compared closely; the
 * default multiplies fake-quantized values as exact integers. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_REFERENCE_H
#define GS_QUANT_REFERENCE_H

#include "kernels/gemm.h"

#define GS_REFERENCE_KC 192

typedef struct gs_reference_linear {
    int64_t out, in;
    int n_parts;
    int64_t block;   /* columns of each part but perhaps the last */
    gs_packed *part; /* [n_parts], F32 panels of [out, block] */
    gs_buf gather;   /* rows of one part while packing */
} gs_reference_linear;

size_t gs_reference_bytes(int64_t out, int64_t in);
gs_status gs_reference_init(gs_reference_linear *r, int64_t out, int64_t in, gs_error *err) GS_CHECKED;
void gs_reference_release(gs_reference_linear *r); /* accepts an all-zero struct */

#define GS_REFERENCE_ROWS (4 * GS_PACK_ROWS)
/* w: [rows, in] float32. row0 is a multiple of GS_PACK_ROWS. */
void gs_reference_set_rows(gs_reference_linear *r, gs_compute *c, int64_t row0, int64_t rows, const float *w);
/* x: [rows, in], y: [rows, out], bias: [out] or NULL. */
gs_status gs_reference_apply(const gs_reference_linear *r, gs_compute *c, int64_t rows, const float *x,
                             const float *bias, float *y, gs_error *err) GS_CHECKED;

#endif
