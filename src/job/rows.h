/* Tensors that go through memory in row chunks: read ahead, quantized or copied, written behind.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_ROWS_H
#define GS_JOB_ROWS_H

#include "job/weights.h"

/* Elements of one chunk of a tensor with rows. */
int64_t gs_rows_step(const gs_tensor *t);
/* What a pass reads ahead, in order: the weights of the blocks if asked for, then head and embedding. */
void gs_rows_list(gs_ahead *a, const gs_job *job, int from);

/* Everything below takes its tensors from w->ahead, in the order they were added. */

/* A checkpoint tensor copied, converted only if the output's type differs (to F32); NaN and Inf are refused. */
gs_status gs_rows_copy(gs_walk *w, int64_t index, const gs_tensor *t, gs_error *err) GS_CHECKED;
gs_status gs_rows_quantize(gs_walk *w, const gs_tensor *t, bool row_parallel, const gs_linear_out *to,
                           gs_weight_result *result, gs_error *err) GS_CHECKED;
/* Starts reading what stands outside the blocks, head and embedding; the block at hand is given up for it. Nothing if all tensors are
 * read in this way. */
gs_status gs_rows_begin_ends(gs_walk *w, gs_error *err) GS_CHECKED;

#endif
