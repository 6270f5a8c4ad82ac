/* The inner kernels alone: one tile of packed rows against one group of packed weights, again and again, both in the caches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm.h"
#include "kernels/table.h"

enum { ROWS = GS_TILE_ROWS / 2, COLS = GS_GROUP_COLS, KC = GS_GEMM_KC };

typedef struct operands {
    uint32_t b[COLS * KC];
    float c[ROWS * COLS];
    int32_t zero[ROWS], row_sum[COLS];
    float scale[ROWS], w_scale[COLS];
} operands;

typedef struct alone_job {
    const gs_compute *c;
    gs_gemm_kind kind;
    int64_t calls;
    operands *own; /* one for each worker */
} alone_job;

static void alone_task(void *ctx, int64_t task, int worker)
{
    const alone_job *const job = ctx;
    const gs_kernels *const k = job->c->kernels;
    operands *const o = &job->own[worker];
    const void *const a = gs_pool_scratch(job->c->pool, worker);
    const gs_block_f32 f32 = {.rows = ROWS, .cols = COLS, .kc = KC, .a = a, .b = o->b, .c = o->c, .ldc = COLS};
    const gs_block_s8 s8 = {.rows = ROWS,
                            .cols = COLS,
                            .kc = KC,
                            .a = a,
                            .b = (const int8_t *)o->b,
                            .c = o->c,
                            .ldc = COLS,
                            .last = true,
                            .row_sum = o->row_sum,
                            .w_scale = o->w_scale,
                            .scale = o->scale,
                            .zero = o->zero};
    (void)task;
    for (int64_t i = 0; i < job->calls; i++) {
        if (job->kind == GS_GEMM_S8) k->block_s8(&s8);
        if (job->kind == GS_GEMM_F32) k->block_f32(&f32);
        if (job->kind == GS_GEMM_BF16) k->block_pairs(&f32);
    }
}

/* A value that is an ordinary number as float, as two bf16 and as codes, everywhere. */
static void fill(gs_compute *c, operands *own, int threads)
{
    for (int t = 0; t < threads; t++) {
        uint32_t *const a = gs_pool_scratch(c->pool, t);
        for (int64_t i = 0; i < (int64_t)ROWS * KC; i++) a[i] = 0x3f813f81;
        for (int64_t i = 0; i < (int64_t)COLS * KC; i++) own[t].b[i] = 0x3f823f82;
    }
}

static double seconds_of(gs_compute *c, alone_job *job, bool cpu_time)
{
    const double start = gs_compute_seconds(c, cpu_time);
    gs_pool_run(c->pool, gs_pool_threads(c->pool), alone_task, job);
    return gs_compute_seconds(c, cpu_time) - start;
}

gs_status gs_compute_kernel_alone(gs_compute *c, gs_gemm_kind kind, double round_seconds, bool cpu_time, double *per_s,
                                  gs_error *err)
{
    const int threads = gs_pool_threads(c->pool);
    gs_buf buf;
    GS_TRY(gs_buf_alloc(&buf, (size_t)threads * sizeof(operands), "operands of a kernel to be measured", err));
    alone_job job = {.c = c, .kind = kind, .calls = 1, .own = buf.data};
    fill(c, job.own, threads);
    const double probe = seconds_of(c, &job, cpu_time);
    if (probe > 0 && probe < round_seconds) job.calls = (int64_t)(round_seconds / probe) + 1;
    const double seconds = seconds_of(c, &job, cpu_time);
    *per_s = seconds > 0 ? 2.0 * ROWS * COLS * KC * (double)job.calls * threads / seconds : 0;
    gs_buf_release(&buf);
    return GS_OK;
}
