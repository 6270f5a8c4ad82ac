/* Quantizing one weight: rows in, codes and scales out, to the file and to the calibration's panels.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_WEIGHTS_H
#define GS_JOB_WEIGHTS_H

#include "job/walk.h"
#include "quant/rule.h"

/* Rows row0 .. row0 + rows of a weight as the checkpoint stores them, valid until the next call. */
typedef gs_status (*gs_stored_fn)(void *ctx, int64_t row0, int64_t rows, const void **data, gs_error *err);

/* A weight to quantize. rows(ctx, …) gives float32 rows, in any order and any number of times; it may use w->emit_rows for them. With a
 * tensor, stored(ctx, …) is asked for its chunks instead, once each and in order, and rows only for statistics. */
typedef struct gs_weight_source {
    int64_t out, in;
    bool row_parallel; /* engines cut it along its input */
    gs_rows_fn rows;
    void *ctx;
    int ranks;    /* > 0: it is the part of one of so many cards */
    int8_t *copy; /* NULL, or where the codes go a second time, as they are written; row stride: */
    int64_t copy_stride;
    const gs_tensor *tensor; /* NULL = there are no stored rows */
    gs_stored_fn stored;
} gs_weight_source;

/* What is left of it: per row, for deriving and reporting. */
typedef struct gs_weight_result {
    float *scale;     /* [out · scale_columns] */
    int32_t *row_sum; /* [out] */
    int64_t scale_columns;
    gs_sqnr sqnr;
} gs_weight_result;

/* to: where the pieces go, NULL = nothing is written. fake: gets codes and scales, NULL = nobody multiplies. Pieces of types with
 * static activations that need the input's range are left to gs_emit_derived. */
gs_status gs_weight_quantize(gs_walk *w, const gs_weight_source *source, const gs_linear_out *to, gs_fake_linear *fake,
                             gs_weight_result *result, gs_error *err) GS_CHECKED;
void gs_weight_result_release(gs_weight_result *r);
void gs_weight_note(gs_linear_result *l, const gs_weight_result *r);

#endif
