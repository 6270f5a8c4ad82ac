/* Linears of a result in the arithmetic of the engine that serves them, from the tensors as written.
 *
 *   FLOAT                 y = x·Wᵀ + bias
 *   W8A8, W8A8S           q = clamp(rint(x / input_scale + input_offset), -128, 127), one scale for all tokens;
 *                         y = deq_scale·(Σ w·q + quant_bias), the sum in int32
 *   W8A8_DYNAMIC          per token s = max|x| / 127, q = rint(x / s); y = s·weight_scale·Σ w·q + bias. Symmetric, because the
 *                         operator both engines call (npu_dynamic_quant) is, although the reference's calibration class would be
 *                         asymmetric; weight_offset is not read, as there
 *   W4A8_DYNAMIC          the same with w = code·weight_scale_second, whole numbers that fit int8
 *   W8A16, W4A16          W = (code - weight_offset)·weight_scale per row or group, then as FLOAT. That is what the file means and
 *                         MindIE computes
 *   W4A4_FLATQUANT_DYNAMIC  quant/w4a4.h
 *
 * Everything else is float32; engines round between operators to bfloat16 or float16, which is not imitated. Where a result was made
 * for several cards and has no tensors for one, the shares are computed one by one and added in order, through the int8 communication
 * if its scales are there. A row's result does not depend on the other rows of the call. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_SERVED_H
#define GS_EVAL_SERVED_H

#include "format/quantread.h"
#include "kernels/elem.h"
#include "kernels/gemm.h"
#include "model/forward.h"
#include "quant/w4a4.h"

typedef struct gs_served_kind gs_served_kind;

/* One linear, or one card's share of it. */
typedef struct gs_served_part {
    const gs_served_kind *kind;
    const gs_quant_part *from; /* the quantdir's */
    int64_t out, in;           /* out: the rows that were loaded */
    gs_packed panel;           /* weight: float, or int8 codes. Weight-only types: room for some dequantized rows */
    gs_buf codes;              /* weight-only types: int8 [out, in] */
    gs_quant_values values;
    gs_w4a4_linear transformed;
} gs_served_part;

typedef struct gs_served_linear {
    int64_t out, in;
    int parts;
    gs_served_part *part;
    float *reduce; /* [parts, out], or NULL: the shares are added as they are */
    float *gather; /* [out] */
} gs_served_linear;

/* Scratch for calls with at most `rows` rows and `in` inputs; shared by linears that run one after the other. */
typedef struct gs_served_work {
    int64_t rows, in, out;
    gs_buf buf;
    int8_t *codes; /* [rows, in] */
    float *scale;  /* [rows] */
    int32_t *zero; /* [rows], stays 0 */
    float *weight; /* GS_SERVED_BYTES of dequantized rows */
    float *slice;  /* [rows, in]: inputs of one card */
    float *share;  /* [rows, out]: outputs of one card; NULL without cards */
} gs_served_work;
#define GS_SERVED_BYTES (16u << 20)
gs_status gs_served_work_init(gs_served_work *w, int64_t rows, int64_t in, int64_t out, bool cards,
                              gs_error *err) GS_CHECKED;
void gs_served_work_release(gs_served_work *w);

/* Rows row0 .. row0 + rows of the linear; row0 is a multiple of GS_PACK_ROWS, and rows too unless they are the last. Reuses what s
 * holds from an earlier load of the same sizes. */
gs_status gs_served_load(gs_served_linear *s, gs_compute *c, const gs_quantdir *q, const gs_quant_linear *l,
                         int64_t row0, int64_t rows, gs_error *err) GS_CHECKED;
void gs_served_release(gs_served_linear *s); /* accepts an all-zero struct */
/* Bytes of a load, about. */
size_t gs_served_bytes(const gs_quant_linear *l);

/* x: [rows, in], y: [rows, out]. */
void gs_served_apply(gs_served_linear *s, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y);

/* What a quantized cache or quantized attention makes of the columns of x: v = (clamp(rint(v/scale + offset), -128, 127) - offset) ·
 * scale. x: [rows, n] with row stride; scale, offset: [n / each], for `each` neighbouring columns; offset NULL = 0. */
void gs_served_round_trip(gs_compute *c, int64_t rows, int64_t n, int64_t each, float *x, int64_t stride,
                          const float *scale, const float *offset);

#endif
