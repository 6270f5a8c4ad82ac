/* Second moments H = Σ x·xᵀ of a W4A4 linear's transformed and quantized inputs, gathered 512 tokens at a time, then put in
 * the order of rounding (columns by rising diagonal; the last place is rounded first) and factored.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "quant/w4a4_parts.h"

enum { STRIPE = GS_W4A4_QUEUE, SIDE = 64 };

/* queue: [QUEUE, in] float32 and then the same transposed, codes and scales of a chunk; work: two arrays of rows, shared by
 * the chunks of moments_add, the stripes of the products and the rows of gs_w4a4_round. */
static size_t queue_bytes(int64_t in)
{
    return (size_t)in * GS_W4A4_QUEUE * 8 + (size_t)in * GS_W4A4_CHUNK + GS_W4A4_CHUNK * sizeof(float);
}
static size_t work_bytes(int64_t in)
{
    return (size_t)(gs_w4a4_round_rows_max(in) * (2 * in + GS_W4A4_BLOCK)) * sizeof(float);
}

size_t gs_w4a4_moments_bytes(int64_t in)
{
    return (size_t)in * (size_t)in * sizeof(float) + queue_bytes(in) * 2 + work_bytes(in);
}

gs_status gs_w4a4_moments_begin(gs_w4a4_plan *p, gs_error *err)
{
    const size_t n = (size_t)p->in;
    if (n > 65536)
        return gs_fail(err, GS_ERR_UNSUPPORTED, "W4A4: an input width of %lld is too much to gather second moments of",
                       (long long)p->in);
    GS_TRY(gs_buf_alloc(&p->factor, n * n * sizeof(float), "second moments of a W4A4 linear", err));
    GS_TRY(gs_buf_alloc(&p->queue, queue_bytes(p->in), "tokens of a W4A4 linear", err));
    GS_TRY(gs_packed_alloc(&p->panel, GS_PACK_F32, GS_W4A4_BLOCK, p->in, "factor of a W4A4 linear", err));
    return gs_buf_alloc(&p->work, work_bytes(p->in), "rows of a W4A4 linear", err);
}

typedef struct moments_job {
    gs_w4a4_plan *p;
    float *h, *queue, *turned, *stripe;
    int64_t i0, i1;
    const int8_t *codes;
    const float *scale;
    float *to;
} moments_job;

static moments_job job_of(gs_w4a4_plan *p)
{
    float *const queue = p->queue.data;
    return (moments_job){
        .p = p, .h = p->factor.data, .queue = queue, .turned = queue + p->in * GS_W4A4_QUEUE, .stripe = p->work.data};
}

static void value_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const moments_job *const job = ctx;
    const int64_t in = job->p->in;
    const float s = job->scale[row];
    for (int64_t j = 0; j < in; j++) job->to[row * in + j] = s * (float)job->codes[row * in + j];
}

static void turn_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const moments_job *const job = ctx;
    const int64_t in = job->p->in, j0 = task * SIDE;
    gs_w4a4_transpose(GS_W4A4_QUEUE, gs_w4a4_min(SIDE, in - j0), job->queue + j0, in, job->turned + j0 * GS_W4A4_QUEUE,
                      GS_W4A4_QUEUE);
}

static void add_task(void *ctx, int64_t r, int worker)
{
    (void)worker;
    const moments_job *const job = ctx;
    float *const restrict h = job->h + (job->i0 + r) * job->p->in;
    const float *const restrict x = job->stripe + r * job->i1;
    for (int64_t j = 0; j < job->i1; j++) h[j] += x[j];
}

/* The queue (filled up with zeros) enters H, lower triangle by stripes of rows. */
static gs_status flush(gs_w4a4_plan *p, gs_compute *c, gs_error *err)
{
    moments_job job = job_of(p);
    const int64_t in = p->in;
    if (p->queued == 0) return GS_OK;
    memset(job.queue + p->queued * in, 0, (size_t)((GS_W4A4_QUEUE - p->queued) * in) * sizeof(float));
    gs_pool_run(c->pool, (in + SIDE - 1) / SIDE, turn_task, &job);
    gs_packed panel;
    GS_TRY(gs_packed_alloc(&panel, GS_PACK_F32, in, GS_W4A4_QUEUE, "second moments of a W4A4 linear", err));
    gs_pack_rows(c, &panel, 0, in, job.turned);
    for (job.i0 = 0; job.i0 < in; job.i0 += STRIPE) {
        job.i1 = gs_w4a4_min(job.i0 + STRIPE, in);
        gs_packed view = panel;
        view.n = job.i1; /* columns past the stripe belong to the upper triangle */
        gs_gemm_f32(c, &view, job.i1 - job.i0, job.turned + job.i0 * GS_W4A4_QUEUE, GS_W4A4_QUEUE, NULL, job.stripe,
                    job.i1);
        gs_pool_run(c->pool, job.i1 - job.i0, add_task, &job);
    }
    gs_packed_release(&panel);
    p->queued = 0;
    return GS_OK;
}

gs_status gs_w4a4_moments_add(gs_w4a4_plan *p, gs_compute *c, int64_t rows, const float *x, gs_error *err)
{
    moments_job job = job_of(p);
    const int64_t in = p->in;
    float *const scale = job.turned + in * GS_W4A4_QUEUE;
    int8_t *const codes = (int8_t *)(scale + GS_W4A4_CHUNK);
    while (rows > 0) {
        const int64_t room = GS_W4A4_QUEUE - p->queued;
        const int64_t n = gs_w4a4_min(rows, gs_w4a4_min(room, GS_W4A4_CHUNK));
        job.to = job.queue + p->queued * in;
        memcpy(job.to, x, (size_t)(n * in) * sizeof *x);
        gs_w4a4_enter(&p->act, c, p->d, false, n, job.to, p->work.data);
        gs_w4a4_quantize(c, n, in, job.to, p->clip_ratio, codes, scale);
        job.codes = codes;
        job.scale = scale;
        gs_pool_run(c->pool, n, value_task, &job);
        p->queued += n;
        p->seen += n;
        x += n * in;
        rows -= n;
        if (p->queued == GS_W4A4_QUEUE) GS_TRY(flush(p, c, err));
    }
    return GS_OK;
}

typedef struct place {
    float moment;
    int32_t column;
} place;

static int by_moment(const void *left, const void *right)
{
    const place *const x = left, *const y = right;
    if (x->moment != y->moment) return x->moment < y->moment ? -1 : 1;
    return y->column - x->column; /* ties: the lower column is rounded first */
}

static void choose_order(gs_w4a4_plan *p)
{
    place *const places = gs_alloc_array((size_t)p->in, sizeof *places);
    for (int64_t j = 0; j < p->in; j++) places[j] = (place){p->moment[j], (int32_t)j};
    qsort(places, (size_t)p->in, sizeof *places, by_moment);
    for (int64_t j = 0; j < p->in; j++) p->order[j] = places[j].column;
    gs_free(places);
}

static void mirror_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const moments_job *const job = ctx;
    const int64_t n = job->p->in, i0 = task * SIDE, i1 = gs_w4a4_min(i0 + SIDE, n);
    for (int64_t j0 = i1; j0 < n; j0 += SIDE)
        gs_w4a4_transpose(gs_w4a4_min(SIDE, n - j0), i1 - i0, job->h + j0 * n + i0, n, job->h + i0 * n + j0, n);
    for (int64_t i = i0; i < i1; i++)
        for (int64_t j = i + 1; j < i1; j++) job->h[i * n + j] = job->h[j * n + i];
}

static void columns_task(void *ctx, int64_t row, int worker)
{
    const moments_job *const job = ctx;
    const int64_t n = job->p->in;
    float *const h = job->h + row * n, *const copy = job->stripe + worker * n;
    memcpy(copy, h, (size_t)n * sizeof *h);
    for (int64_t j = 0; j < n; j++) h[j] = copy[job->p->order[j]];
}

/* H in the order of rounding: rows along the cycles of the permutation, then columns inside each row. */
static gs_status put_in_order(gs_w4a4_plan *p, gs_compute *c, gs_error *err)
{
    moments_job job = job_of(p);
    const int64_t n = p->in;
    const size_t row_bytes = (size_t)n * sizeof(float);
    gs_buf spare;
    GS_TRY(gs_buf_alloc(&spare, row_bytes * (size_t)gs_pool_threads(c->pool), "rows of W4A4 moments", err));
    job.stripe = spare.data;
    bool *const done = gs_alloc_array((size_t)n, sizeof *done);
    for (int64_t start = 0; start < n; start++) {
        if (done[start]) continue;
        memcpy(job.stripe, job.h + start * n, row_bytes);
        int64_t at = start;
        for (; p->order[at] != start; at = p->order[at]) {
            memcpy(job.h + at * n, job.h + p->order[at] * n, row_bytes);
            done[at] = true;
        }
        memcpy(job.h + at * n, job.stripe, row_bytes);
        done[at] = true;
    }
    gs_pool_run(c->pool, n, columns_task, &job);
    gs_free(done);
    gs_buf_release(&spare);
    return GS_OK;
}

gs_status gs_w4a4_moments_end(gs_w4a4_plan *p, gs_compute *c, gs_error *err)
{
    if (p->seen == 0)
        return gs_fail(err, GS_ERR_USAGE, "W4A4 needs calibration tokens; give calibration texts (--calib_file)");
    GS_TRY(flush(p, c, err));
    moments_job job = job_of(p);
    const int64_t n = p->in;
    gs_pool_run(c->pool, (n + SIDE - 1) / SIDE, mirror_task, &job);
    double mean = 0;
    for (int64_t j = 0; j < n; j++) mean += (double)(p->moment[j] = job.h[j * n + j]);
    mean /= (double)n;
    choose_order(p);
    GS_TRY(put_in_order(p, c, err));
    /* An input that was always rounded to zero has nothing to say: its weights are rounded alone, as if it were average. */
    for (int64_t j = 0; j < n; j++)
        if (job.h[j * n + j] == 0) job.h[j * n + j] = mean > 0 ? (float)mean : 1.0f;
    double damping = 0.01 * (mean > 0 ? mean : 1.0);
    GS_TRY(gs_w4a4_factor(c, n, job.h, &damping, err));
    p->damping = damping / (mean > 0 ? mean : 1.0);
    gs_buf_release(&p->queue);
    return GS_OK;
}
