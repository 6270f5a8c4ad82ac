/* Values of a result: codes, scales and biases of some rows of a linear, decoded and checked. Rows, because nobody should need a
 * whole matrix. NaN and Inf are refused everywhere (GS_ERR_NUMERIC, with tensor and index).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_QUANTREAD_H
#define GS_FORMAT_QUANTREAD_H

#include "format/quantdir.h"
#include "kernels/compute.h"

/* Elements first .. first + n of a float tensor as float32. */
gs_status gs_quant_read_floats(const gs_quantdir *q, const gs_tensor *t, int64_t first, int64_t n, float *dst,
                               gs_error *err) GS_CHECKED;

/* All but the codes of rows row0 .. row0 + rows. What the linear's type does not have is NULL or 0. A scale that is shared by all
 * rows is repeated. */
typedef struct gs_quant_values {
    int64_t row0, rows;
    float *bias;           /* [rows] */
    float *scale, *offset; /* [rows, layout.scale_columns] */
    float *second;         /* [rows, layout.second_columns], multiplies scale */
    float *deq;            /* [rows], whatever its encoding */
    int32_t *quant_bias;   /* [rows] */
    float input_scale;     /* > 0 */
    float input_offset;    /* a whole number in [-128, 127] */
    float clip_ratio;      /* > 0 */
    float *left, *right;   /* [a, a], [b, b]: whole, whatever the rows */
} gs_quant_values;
gs_status gs_quant_values_read(gs_quant_values *v, const gs_quantdir *q, const gs_quant_part *p, int64_t row0,
                               int64_t rows, gs_error *err) GS_CHECKED;
void gs_quant_values_release(gs_quant_values *v); /* accepts an all-zero struct */

/* codes: [rows, in], one per byte. With GS_NIBBLES_OUT row0 and rows are even. */
gs_status gs_quant_read_codes(const gs_quantdir *q, gs_compute *c, const gs_quant_part *p, int64_t row0, int64_t rows,
                              int8_t *codes, gs_error *err) GS_CHECKED;
/* (code - offset)·scale·second for the rows of v; where only deq_scale is written, its scale is that over input_scale. w: [rows, in].
 * For W4A4 that is the weight after its transform. */
void gs_quant_dequant(gs_compute *c, const gs_quant_part *p, const gs_quant_values *v, const int8_t *codes, float *w);

#endif
