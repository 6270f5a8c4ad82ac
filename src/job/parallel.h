/* --tp_size and --use_reduce_quant: row-parallel linears (dense, dense_4h_to_h) as several cards compute them. The walk's other
 * files ask here; with one card and no communication scales nothing happens. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_PARALLEL_H
#define GS_JOB_PARALLEL_H

#include "job/weights.h"

/* Is the linear cut into cards' parts? */
bool gs_cards_cut(const gs_job *job, gs_role role);
/* Are only the cards' parts written? (--reference_compat) */
bool gs_cards_alone(const gs_job *job, gs_role role);

/* Sizes that cannot be cut are refused, and it is said what engines do with the result. */
gs_status gs_cards_check(const gs_job *job, gs_error *err) GS_CHECKED;
/* For the plan: buffers of a walk; weights of one linear as the calibration holds them. */
uint64_t gs_cards_work_bytes(const gs_job *job);
uint64_t gs_cards_linear_bytes(const gs_job *job, int block, gs_role role);

gs_status gs_cards_begin(gs_walk *w, gs_error *err) GS_CHECKED; /* the walk's buffers */
void gs_cards_end(gs_walk *w);
void gs_cards_release(gs_cards *k); /* of a block; accepts an all-zero struct */

/* The weights of every card: into the calibration's linears, and if `write`, where they go. */
gs_status gs_cards_weights(gs_walk *w, gs_role role, bool write, gs_error *err) GS_CHECKED;
/* The undivided weight's scales, kept for gs_cards_derive: takes over what it needs of the result. */
void gs_cards_keep(gs_walk *w, gs_role role, gs_weight_result *whole);

void gs_cards_start(gs_walk *w); /* a block's samples are about to come */
/* Does the linear take part in what follows here? Else it is none of our business. */
bool gs_cards_take(const gs_walk *w, gs_role role, bool fake);
gs_status gs_cards_observe(gs_walk *w, gs_role role, bool fake, const gs_chunk *chunk, const float *x,
                           gs_error *err) GS_CHECKED;
gs_status gs_cards_forward(gs_walk *w, gs_role role, bool fake, const gs_chunk *chunk, int64_t row0, int64_t rows,
                           const float *x, float *y, gs_error *err) GS_CHECKED;
/* After the last sample: communication scales, each card's derived tensors, and the undivided linear's. */
gs_status gs_cards_derive(gs_walk *w, gs_role role, gs_error *err) GS_CHECKED;

#endif
