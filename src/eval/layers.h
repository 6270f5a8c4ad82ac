/* How far a quantized stream is from the float one, layer by layer: signal and noise of every linear's output, each on the stream's
 * own input, and the angle between the hidden states behind each block. Rows of predicted tokens count, the prefix does not: its
 * huge activations would hide the others. In chunks of more than GS_CHUNK_ROWS rows every n-th row is compared, which bounds the
 * memory. Sums are in double, by rows, in row order. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_LAYERS_H
#define GS_EVAL_LAYERS_H

#include "eval/set.h"
#include "model/forward.h"

typedef struct gs_layer_sums {
    double signal[GS_ROLES], noise[GS_ROLES];
    double cosine, cosine_min; /* sum and least over rows */
    int64_t rows;              /* that cosine counts */
} gs_layer_sums;

/* Outputs of the float linears for the chunk at hand. */
typedef struct gs_kept {
    const gs_eval_set *set;
    int64_t every; /* row r of the chunk is kept if r % every == 0 */
    gs_buf buf;
    float *output[GS_ROLES]; /* [kept rows, out] */
    int64_t out[GS_ROLES];
    double signal[GS_CHUNK_ROWS], noise[GS_CHUNK_ROWS]; /* of the rows of one call */
} gs_kept;

gs_status gs_kept_init(gs_kept *k, const gs_config *c, const gs_eval_set *set, int64_t chunk_rows,
                       gs_error *err) GS_CHECKED;
void gs_kept_release(gs_kept *k); /* accepts an all-zero struct */

/* y: [rows, out], rows row0 .. of the chunk: of the float linear, and then of the same linear of a result. */
void gs_kept_store(gs_kept *k, const gs_chunk *chunk, gs_role role, int64_t row0, int64_t rows, const float *y);
void gs_kept_compare(gs_kept *k, gs_compute *c, const gs_chunk *chunk, gs_role role, int64_t row0, int64_t rows,
                     const float *y, gs_layer_sums *to);
/* Of each row: signal = Σ a², noise = Σ (b - a)². a, b: [rows, n], a row every a_step and b_step values. */
void gs_rows_error(gs_compute *c, int64_t rows, int64_t n, const float *a, int64_t a_step, const float *b,
                   int64_t b_step, double *signal, double *noise);
/* Hidden states of the chunk, [rows, hidden] each. */
void gs_layers_cosine(gs_compute *c, const gs_eval_set *set, const gs_chunk *chunk, int64_t hidden, const float *exact,
                      const float *served, gs_layer_sums *to);

#endif
