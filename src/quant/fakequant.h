/* A fake-quantized linear: int8 codes of weight and input, exact integer products. One object per linear of the block
 * at hand; `observe` sees each sample once, in order, and fixes that sample's input scale.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_FAKEQUANT_H
#define GS_QUANT_FAKEQUANT_H

#include "calib/observer.h"
#include "model/forward.h"
#include "quant/act.h"
#include "quant/reference.h"
#include "quant/weight.h"

typedef struct gs_fake_linear {
    bool active; /* false: this linear stays float */
    int64_t out, in;
    bool weight_only; /* the input stays float: nothing is observed, the product is float32 */
    bool
        cut_inputs; /* weight_only with a reference: inputs lose what a few steps cannot hold, as the reference's do by group */
    bool symmetric;    /* input codes have no offset; the caller sets it before anything is observed */
    bool per_token;    /* each token has a symmetric scale of its own; nothing is observed */
    bool fixed;        /* every row is quantized with `act`, which was known from the start */
    gs_packed codes;   /* S8 panels with row sums; weight_only: F32 panels of the weight as calibration sees it */
    float *scale;      /* [out] */
    const float *bias; /* borrowed, [out] or NULL */
    gs_observer *observer;
    gs_dtype round_scale;
    gs_reference_linear *reference; /* NULL, or the dequantized weight: gs_fake_forward then multiplies in float32 */
    gs_act_params act;              /* after the last sample */
    float xmin, xmax;               /* range after the last sample */
    gs_act_params *sample;          /* per sample of the current chunk */
    int64_t sample_cap;
    float *row_scale; /* per row of the last gs_fake_forward call */
    int32_t *row_zero;
    int64_t row_cap;
} gs_fake_linear;

gs_status gs_fake_init(gs_fake_linear *f, int64_t out, int64_t in, gs_observer_kind kind, bool truncate,
                       gs_dtype round_scale, const float *bias, gs_error *err) GS_CHECKED;
/* A linear whose weight alone is quantized (no observer, no input codes). */
gs_status gs_fake_init_weight_only(gs_fake_linear *f, int64_t out, int64_t in, const float *bias,
                                   gs_error *err) GS_CHECKED;
/* A linear whose tokens each get a symmetric scale, as vllm-ascend serves W8A8_DYNAMIC. */
gs_status gs_fake_init_per_token(gs_fake_linear *f, int64_t out, int64_t in, const float *bias,
                                 gs_error *err) GS_CHECKED;
/* A linear whose input range has been observed elsewhere, as engines serve static types: `act` for every row, whatever sample it
 * belongs to; nothing is observed here. */
gs_status gs_fake_init_fixed(gs_fake_linear *f, int64_t out, int64_t in, gs_act_params act, const float *bias,
                             gs_error *err) GS_CHECKED;
/* Multiply in the reference's float32 arithmetic from now on; gs_fake_set_rows then has to fill the weight. */
gs_status gs_fake_use_reference(gs_fake_linear *f, gs_error *err) GS_CHECKED;
/* Codes [rows, in] of rows row0 .., with f->scale already set for them; forward: [rows, in] float32, the weight the calibration
 * forward uses. */
void gs_fake_set_rows(gs_fake_linear *f, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes,
                      const float *forward);
void gs_fake_release(gs_fake_linear *f);
/* Observe the chunk's samples in order; keeps each sample's parameters for gs_fake_forward. x: [chunk rows, in]. */
gs_status gs_fake_observe(gs_fake_linear *f, gs_compute *c, const gs_chunk *chunk, const float *x,
                          gs_error *err) GS_CHECKED;
/* y = fakequant(x)·fakequant(W)ᵀ + bias for rows row0.. of the chunk. codes: scratch, [rows, in] int8, and as many float32 behind
 * them (64-byte aligned) when a reference is in use: GS_FAKE_SCRATCH bytes. */
#define GS_FAKE_SCRATCH(rows, in, reference)                                                                           \
    ((size_t)(((rows) * (in) + 63) / 64 * 64) + ((reference) ? (size_t)((rows) * (in)) * sizeof(float) : 0))
gs_status gs_fake_forward(gs_fake_linear *f, gs_compute *c, const gs_chunk *chunk, int64_t row0, int64_t rows,
                          const float *x, int8_t *codes, float *y, gs_error *err) GS_CHECKED;

#endif
