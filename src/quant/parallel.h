/* A row-parallel linear as n cards compute it: rank r holds the columns of the r-th of n equal parts of the input, each part is a
 * fake-quantized linear of its own (weight scales, input range, codes), the bias is rank 0's, and the outputs are added in rank
 * order. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_PARALLEL_H
#define GS_QUANT_PARALLEL_H

#include "quant/comm.h"
#include "quant/fakequant.h"
#include "recipe/legal.h"

typedef struct gs_parallel {
    int ranks; /* 0 = not in use */
    int64_t out, in;
    gs_fake_linear rank[GS_RANKS_MAX]; /* [out, in/ranks] each */
    gs_observer *whole;                /* range of the undivided input; NULL = nobody asks */
    float xmin, xmax;                  /* of it, after the last sample */
} gs_parallel;

/* The caller then makes each rank's linear with a gs_fake_init function, and `whole` if it wants it. ranks divides in. */
void gs_parallel_init(gs_parallel *p, int ranks, int64_t out, int64_t in);
void gs_parallel_release(gs_parallel *p); /* accepts an all-zero struct */

/* to: [rows, in/ranks], the rank's columns of x: [rows, in]. Parallel. */
void gs_parallel_slice(gs_compute *c, int ranks, int rank, int64_t rows, int64_t in, const float *x, float *to);

/* Buffers that all linears of a walk share. */
typedef struct gs_parallel_work {
    gs_buf slice;  /* a rank's columns of a chunk */
    gs_buf sums;   /* partial outputs */
    gs_buf output; /* of a chunk, [chunk rows, out]: communication quantization only */
} gs_parallel_work;

/* chunk_rows: of the largest chunk; in, out: of the widest linears. comm: outputs will be exchanged in int8. */
size_t gs_parallel_work_bytes(int ranks, int64_t out, int64_t in, int64_t chunk_rows, bool comm);
gs_status gs_parallel_work_init(gs_parallel_work *w, int ranks, int64_t out, int64_t in, int64_t chunk_rows, bool comm,
                                gs_error *err) GS_CHECKED;
void gs_parallel_work_release(gs_parallel_work *w);

/* gs_fake_observe of every rank. x: [chunk rows, in]. */
gs_status gs_parallel_observe(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, const float *x, gs_parallel_work *w,
                              gs_error *err) GS_CHECKED;
/* gs_fake_forward: y = sum over ranks. codes: GS_FAKE_SCRATCH bytes. */
gs_status gs_parallel_forward(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, int64_t row0, int64_t rows,
                              const float *x, int8_t *codes, gs_parallel_work *w, float *y, gs_error *err) GS_CHECKED;
/* The whole chunk, sample by sample, with quantized communication; outputs go to w->output. */
gs_status gs_parallel_exchange(gs_parallel *p, gs_comm *m, gs_compute *c, const gs_chunk *chunk, const float *x,
                               int8_t *codes, gs_parallel_work *w, gs_error *err) GS_CHECKED;

#endif
