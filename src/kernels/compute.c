/* The compute context: which kernels, how many threads, how much scratch; and the machine's measured peak.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/compute.h"

#include "base/mem.h"
#include "kernels/table.h"

/* Plain C first, then every rung on top of it. */
static gs_kernels *table_create(gs_rung rung)
{
    gs_kernels *t = gs_alloc(sizeof *t);
    gs_gemm_fill_c(t);
    gs_elem_fill_c(t);
    gs_peak_fill_c(t);
#if defined(__x86_64__)
    if (rung >= GS_RUNG_AVX2) {
        gs_gemm_fill_avx2(t);
        gs_elem_fill_avx2(t);
        gs_peak_fill_avx2(t);
    }
    if (rung >= GS_RUNG_AVX512) {
        gs_gemm_fill_avx512(t);
        gs_elem_fill_avx512(t);
        gs_peak_fill_avx512(t);
    }
    if (rung >= GS_RUNG_AVX512_VNNI) {
        gs_gemm_fill_vnni(t);
        gs_peak_fill_vnni(t);
    }
    if (rung >= GS_RUNG_AVX512_BF16) {
        gs_gemm_fill_bf16(t);
        gs_peak_fill_bf16(t);
    }
#elif defined(__aarch64__)
    /* elem_c.c and attention.c are compiled for these vectors anyway */
    if (rung >= GS_RUNG_NEON) {
        gs_gemm_fill_neon(t);
        gs_peak_fill_neon(t);
    }
    if (rung >= GS_RUNG_NEONDOT) {
        gs_gemm_fill_neondot(t);
        gs_peak_fill_neondot(t);
    }
#else
    (void)rung;
#endif
    return t;
}

static size_t scratch_of_worker(int64_t head_dim)
{
    const int64_t d = head_dim > GS_USUAL_HEAD ? head_dim : GS_USUAL_HEAD;
    const size_t gemm = gs_gemm_scratch_bytes(), attention = gs_attention_scratch_bytes(d);
    return gemm > attention ? gemm : attention;
}

size_t gs_compute_scratch_bytes(int threads, int64_t head_dim)
{
    const int n = threads > 0 ? threads : gs_usable_cpus();
    return (size_t)n * scratch_of_worker(head_dim);
}

gs_status gs_compute_provide_heads(gs_compute *c, int64_t head_dim, gs_error *err)
{
    return gs_pool_reserve(c->pool, scratch_of_worker(head_dim), err);
}

gs_status gs_compute_open_rung(gs_compute *c, int threads, gs_rung rung, gs_error *err)
{
    memset(c, 0, sizeof *c);
    if ((int)rung < 0 || rung >= GS_RUNG_COUNT || rung > gs_cpu_best())
        return gs_fail(err, GS_ERR_UNSUPPORTED, "this processor cannot run %s kernels; the best it has is %s",
                       gs_rung_name(rung), gs_rung_name(gs_cpu_best()));
    GS_TRY(gs_pool_create(&c->pool, threads, err));
    const gs_status status = gs_compute_provide_heads(c, GS_USUAL_HEAD, err);
    if (status != GS_OK) {
        gs_compute_close(c);
        return status;
    }
    c->rung = rung;
    c->kernels = table_create(rung);
    return GS_OK;
}

gs_status gs_compute_open(gs_compute *c, int threads, gs_error *err)
{
    gs_rung rung;
    memset(c, 0, sizeof *c);
    GS_TRY(gs_cpu_select(&rung, err));
    return gs_compute_open_rung(c, threads, rung, err);
}

void gs_compute_close(gs_compute *c)
{
    gs_pool_free(c->pool);
    gs_free((gs_kernels *)c->kernels); /* ours; const only for everybody else */
    memset(c, 0, sizeof *c);
}

typedef struct peak_job {
    double (*loop)(int64_t steps);
    int64_t steps;
} peak_job;

static void peak_task(void *ctx, int64_t task, int worker)
{
    (void)task;
    (void)worker;
    const peak_job *const job = ctx;
    job->loop(job->steps);
}

double gs_compute_seconds(const gs_compute *c, bool cpu_time)
{
    return cpu_time ? gs_cpu_seconds() / gs_pool_threads(c->pool) : gs_seconds();
}

double gs_compute_peak(gs_compute *c, gs_gemm_kind kind, int rounds)
{
    return gs_compute_peak_by(c, kind, rounds, 0.02, false);
}

double gs_compute_peak_by(gs_compute *c, gs_gemm_kind kind, int rounds, double round_seconds, bool cpu_time)
{
    enum { PROBE = 20000 };
    const gs_kernels *const k = c->kernels;
    peak_job job = {.loop = k->peak_f32, .steps = PROBE};
    if (kind == GS_GEMM_S8) job.loop = k->peak_s8;
    if (kind == GS_GEMM_BF16) job.loop = k->peak_bf16;
    double start = gs_seconds();
    const double each = job.loop(PROBE) / PROBE; /* operations per step */
    const double probe = gs_seconds() - start;
    if (probe > 0 && probe < round_seconds) job.steps = (int64_t)(PROBE * (round_seconds / probe));

    const int threads = gs_pool_threads(c->pool);
    double best = 0;
    for (int i = 0; i < rounds; i++) {
        start = gs_compute_seconds(c, cpu_time);
        gs_pool_run(c->pool, threads, peak_task, &job);
        const double seconds = gs_compute_seconds(c, cpu_time) - start;
        const double rate = seconds > 0 ? each * (double)job.steps * threads / seconds : 0;
        if (rate > best) best = rate;
    }
    return best;
}
