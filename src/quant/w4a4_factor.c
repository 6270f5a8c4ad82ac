/* The triangular factor of the inputs' second moments, blocked: for each block of columns one product with everything to its
 * left, a small factorisation in double, and one product with that block's inverse. The lower triangle is worked on; the upper
 * one keeps the original for another try with more damping. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/elem.h"
#include "quant/w4a4_parts.h"

enum { NB = GS_W4A4_BLOCK, ROWS = 64 };

typedef struct factor_job {
    gs_compute *c;
    int64_t n;
    float *h;
    int64_t k0, nb;          /* the block of columns */
    float *part, *dense;     /* [n, NB], [NB, n] */
    double *block, *inverse; /* [NB, NB] */
    float *diagonal;         /* [n] of the original */
    gs_packed panel;         /* room for [NB, n] */
} factor_job;

static gs_packed panel_view(const factor_job *job, int64_t n, int64_t k)
{
    gs_packed view = job->panel; /* panels depend on n and k only, so a smaller matrix fits in the same room */
    view.n = n;
    view.k = k;
    return view;
}

static void copy_rows_task(void *ctx, int64_t r, int worker)
{
    (void)worker;
    const factor_job *const job = ctx;
    memcpy(job->dense + r * job->k0, job->h + (job->k0 + r) * job->n, (size_t)job->k0 * sizeof *job->h);
}

/* part = block column k0 from row k0 down, less the product of what is left of it. */
static void reduce_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const factor_job *const job = ctx;
    const int64_t m = job->n - job->k0, end = gs_w4a4_min((task + 1) * ROWS, m);
    for (int64_t r = task * ROWS; r < end; r++) {
        const float *const h = job->h + (job->k0 + r) * job->n + job->k0;
        float *const part = job->part + r * job->nb;
        for (int64_t j = 0; j < job->nb; j++) part[j] = job->k0 > 0 ? h[j] - part[j] : h[j];
    }
}

/* block = lower factor of the first nb rows of part, inverse = its inverse. */
static bool factor_block(const factor_job *job)
{
    const int64_t nb = job->nb;
    double *const l = job->block, *const v = job->inverse;
    for (int64_t i = 0; i < nb; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = (double)job->part[i * nb + j];
            for (int64_t k = 0; k < j; k++) sum -= l[i * NB + k] * l[j * NB + k];
            /* What is left of a diagonal entry after subtracting in float32 must stand clear of rounding. */
            if (i == j && !(sum > 1e-6 * (double)job->diagonal[job->k0 + i])) return false;
            l[i * NB + j] = i == j ? sqrt(sum) : sum / l[j * NB + j];
        }
    memset(v, 0, sizeof(double) * NB * NB);
    for (int64_t i = 0; i < nb; i++) { /* row i of the inverse from the rows before */
        for (int64_t k = 0; k < i; k++)
            for (int64_t j = 0; j <= k; j++) v[i * NB + j] -= l[i * NB + k] * v[k * NB + j];
        for (int64_t j = 0; j < i; j++) v[i * NB + j] /= l[i * NB + i];
        v[i * NB + i] = 1.0 / l[i * NB + i];
    }
    return true;
}

static bool factor_column(factor_job *job)
{
    gs_compute *const c = job->c;
    const int64_t n = job->n, k0 = job->k0, nb = job->nb, m = n - k0;
    if (k0 > 0) {
        gs_packed left = panel_view(job, nb, k0);
        gs_pool_run(c->pool, nb, copy_rows_task, job);
        gs_pack_rows(c, &left, 0, nb, job->dense);
        gs_gemm_f32(c, &left, m, job->h + k0 * n, n, NULL, job->part, nb);
    }
    gs_pool_run(c->pool, (m + ROWS - 1) / ROWS, reduce_task, job);
    if (!factor_block(job)) return false;
    for (int64_t i = 0; i < nb; i++)
        for (int64_t j = 0; j < nb; j++) {
            if (j <= i) job->h[(k0 + i) * n + k0 + j] = (float)job->block[i * NB + j];
            job->dense[i * nb + j] = (float)job->inverse[i * NB + j];
        }
    if (m == nb) return true;
    gs_packed inverse = panel_view(job, nb, nb);
    gs_pack_rows(c, &inverse, 0, nb, job->dense);
    gs_gemm_f32(c, &inverse, m - nb, job->part + nb * nb, nb, NULL, job->h + (k0 + nb) * n + k0, n);
    return true;
}

/* The lower triangle again from the upper one, rows of one stripe. */
static void restore_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const factor_job *const job = ctx;
    const int64_t n = job->n, i0 = task * ROWS, i1 = gs_w4a4_min(i0 + ROWS, n);
    for (int64_t j0 = 0; j0 < i0; j0 += ROWS)
        gs_w4a4_transpose(ROWS, i1 - i0, job->h + j0 * n + i0, n, job->h + i0 * n + j0, n);
    for (int64_t i = i0; i < i1; i++)
        for (int64_t j = i0; j < i; j++) job->h[i * n + j] = job->h[j * n + i];
}

/* Rows of the upper triangle: the factor's columns over their diagonal. */
static void finish_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const factor_job *const job = ctx;
    const int64_t n = job->n, j0 = task * ROWS, j1 = gs_w4a4_min(j0 + ROWS, n);
    for (int64_t i0 = j1; i0 < n; i0 += ROWS)
        gs_w4a4_transpose(gs_w4a4_min(ROWS, n - i0), j1 - j0, job->h + i0 * n + j0, n, job->h + j0 * n + i0, n);
    for (int64_t j = j0; j < j1; j++) {
        float *const row = job->h + j * n;
        const float pivot = row[j];
        for (int64_t i = j + 1; i < j1; i++) row[i] = job->h[i * n + j];
        for (int64_t i = j + 1; i < n; i++) row[i] /= pivot;
    }
}

static bool try_damping(factor_job *job, double damping)
{
    const int64_t n = job->n;
    for (int64_t i = 0; i < n; i++) job->h[i * n + i] = (float)((double)job->diagonal[i] + damping);
    for (job->k0 = 0; job->k0 < n; job->k0 += NB) {
        job->nb = gs_w4a4_min(NB, n - job->k0);
        if (!factor_column(job)) return false;
    }
    return true;
}

static gs_status factor(factor_job *job, double *damping, gs_error *err)
{
    enum { TRIES = 4 };
    const int64_t stripes = (job->n + ROWS - 1) / ROWS;
    for (int64_t i = 0; i < job->n; i++) job->diagonal[i] = job->h[i * job->n + i];
    for (int try = 0; try < TRIES; try++, *damping *= 10) {
        if (try > 0) gs_pool_run(job->c->pool, stripes, restore_task, job);
        if (!try_damping(job, *damping)) continue;
        gs_pool_run(job->c->pool, stripes, finish_task, job);
        return GS_OK;
    }
    return gs_fail(err, GS_ERR_NUMERIC,
                   "the second moments of a W4A4 linear's inputs have no factor; its calibration inputs "
                   "are too large or not finite");
}

gs_status gs_w4a4_factor(gs_compute *c, int64_t n, float *h, double *damping, gs_error *err)
{
    gs_buf buf = {0};
    factor_job job = {.c = c, .n = n, .h = h};
    GS_TRY(gs_packed_alloc(&job.panel, GS_PACK_F32, NB, n, "factor of the W4A4 moments", err));
    gs_status status = gs_buf_alloc(&buf, (size_t)n * (2 * NB + 1) * sizeof(float) + sizeof(double) * 2 * NB * NB,
                                    "factor of the W4A4 moments", err);
    if (status == GS_OK) {
        job.block = buf.data;
        job.inverse = job.block + NB * NB;
        job.part = (float *)(void *)(job.inverse + NB * NB);
        job.dense = job.part + n * NB;
        job.diagonal = job.dense + n * NB;
        status = factor(&job, damping, err);
    }
    gs_buf_release(&buf);
    gs_packed_release(&job.panel);
    return status;
}
