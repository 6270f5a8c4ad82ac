/* The compute context: pool, kernel table, work counters. Made once per run, passed down to everything that computes.
 * Every kernel gives the same bits on every rung, for any number of threads, rows per call and alignment.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_COMPUTE_H
#define GS_KERNELS_COMPUTE_H

#include "base/pool.h"
#include "base/sys.h"
#include "num/num.h"

typedef enum gs_gemm_kind { GS_GEMM_F32, GS_GEMM_S8, GS_GEMM_BF16, GS_GEMM_KINDS } gs_gemm_kind;

typedef struct gs_gemm_work {
    double seconds;
    double operations; /* 2*m*n*k */
} gs_gemm_work;

typedef struct gs_kernels gs_kernels; /* table of pointers, kernels/table.h */

typedef struct gs_compute {
    gs_pool *pool;
    const gs_kernels *kernels;
    gs_rung rung;
    bool bf16_inputs; /* gs_gemm_f32 with bf16 panels is gs_gemm_bf16; false after opening */
    gs_gemm_work work[GS_GEMM_KINDS];
} gs_compute;

/* Selects the rung (gs_cpu_select), creates the pool, reserves GEMM scratch. */
gs_status gs_compute_open(gs_compute *c, int threads, gs_error *err) GS_CHECKED;
void gs_compute_close(gs_compute *c); /* accepts an all-zero or half-open context */
/* As above with a fixed rung, for tests; GS_ERR_UNSUPPORTED if this machine lacks it. */
gs_status gs_compute_open_rung(gs_compute *c, int threads, gs_rung rung, gs_error *err) GS_CHECKED;
/* Bytes the context itself holds (scratch of all workers) once heads of that size are provided for; for the plan. */
size_t gs_compute_scratch_bytes(int threads, int64_t head_dim);
/* Room for attention with heads of this size, which gs_attention takes for granted beyond GS_USUAL_HEAD. GS_ERR_MEMORY. */
#define GS_USUAL_HEAD 128
gs_status gs_compute_provide_heads(gs_compute *c, int64_t head_dim, gs_error *err) GS_CHECKED;

/* Measured peak of the arithmetic a kind uses on this rung, operations per second on all threads of c, from
 * register-only loops with non-zero data: the best of `rounds` rounds of about 20 ms each. */
double gs_compute_peak(gs_compute *c, gs_gemm_kind kind, int rounds);
/* The same with rounds of any length; cpu_time: by processor time, on a machine with other work. */
double gs_compute_peak_by(gs_compute *c, gs_gemm_kind kind, int rounds, double round_seconds, bool cpu_time);
/* What the inner kernel of these products reaches alone, with packed operands in the caches: one round, operations per second
 * on all threads of c. What a product loses beside it goes to packing, memory and the ends of tiles. GS_ERR_MEMORY. */
gs_status gs_compute_kernel_alone(gs_compute *c, gs_gemm_kind kind, double round_seconds, bool cpu_time, double *per_s,
                                  gs_error *err) GS_CHECKED;
/* Seconds so far for differences: the clock, or processor time of all threads over their number. */
double gs_compute_seconds(const gs_compute *c, bool cpu_time);

#endif
