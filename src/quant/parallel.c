/* See parallel.h. SPDX-License-Identifier: Apache-2.0 */
#include "quant/parallel.h"

void gs_parallel_init(gs_parallel *p, int ranks, int64_t out, int64_t in)
{
    *p = (gs_parallel){.ranks = ranks, .out = out, .in = in};
}

void gs_parallel_release(gs_parallel *p)
{
    for (int r = 0; r < p->ranks; r++) gs_fake_release(&p->rank[r]);
    gs_observer_free(p->whole);
    *p = (gs_parallel){0};
}

typedef struct slice_job {
    int64_t in, width, first;
    const float *x;
    float *to;
} slice_job;

static void slice_row(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const slice_job *job = ctx;
    memcpy(job->to + row * job->width, job->x + row * job->in + job->first, (size_t)job->width * sizeof(float));
}

void gs_parallel_slice(gs_compute *c, int ranks, int rank, int64_t rows, int64_t in, const float *x, float *to)
{
    const int64_t width = in / ranks;
    slice_job job = {.in = in, .width = width, .first = rank * width, .x = x, .to = to};
    gs_pool_run(c->pool, rows, slice_row, &job);
}

static int64_t tile_of(int64_t chunk_rows) { return chunk_rows < GS_CHUNK_ROWS ? chunk_rows : GS_CHUNK_ROWS; }

static size_t sums_bytes(int ranks, int64_t out, int64_t chunk_rows, bool comm)
{
    const size_t tile = (size_t)(tile_of(chunk_rows) * out) * sizeof(float);
    return comm ? gs_comm_work_bytes(ranks, out, chunk_rows) : tile;
}

size_t gs_parallel_work_bytes(int ranks, int64_t out, int64_t in, int64_t chunk_rows, bool comm)
{
    const size_t output = comm ? (size_t)(chunk_rows * out) * sizeof(float) : 0;
    return (size_t)(chunk_rows * (in / ranks)) * sizeof(float) + sums_bytes(ranks, out, chunk_rows, comm) + output;
}

gs_status gs_parallel_work_init(gs_parallel_work *w, int ranks, int64_t out, int64_t in, int64_t chunk_rows, bool comm,
                                gs_error *err)
{
    *w = (gs_parallel_work){0};
    GS_TRY(gs_buf_alloc(&w->slice, (size_t)(chunk_rows * (in / ranks)) * sizeof(float), "one card's part of an input",
                        err));
    GS_TRY(gs_buf_alloc(&w->sums, sums_bytes(ranks, out, chunk_rows, comm), "partial outputs of the cards", err));
    if (!comm) return GS_OK;
    return gs_buf_alloc(&w->output, (size_t)(chunk_rows * out) * sizeof(float), "outputs after the exchange", err);
}

void gs_parallel_work_release(gs_parallel_work *w)
{
    gs_buf_release(&w->slice);
    gs_buf_release(&w->sums);
    gs_buf_release(&w->output);
}

static gs_status observe_whole(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, const float *x, gs_error *err)
{
    for (int64_t s = chunk->first; p->whole && s < chunk->first + chunk->count; s++) {
        const int64_t rows = chunk->start[s + 1] - chunk->start[s];
        if (rows == 0) continue;
        const float *values = x + (chunk->start[s] - chunk->row0) * p->in;
        if (gs_observer_add(p->whole, c, rows * p->in, values, &p->xmin, &p->xmax, err) != GS_OK)
            return gs_wrap(err, "calibration sample %lld", (long long)s);
    }
    return GS_OK;
}

gs_status gs_parallel_observe(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, const float *x, gs_parallel_work *w,
                              gs_error *err)
{
    for (int r = 0; r < p->ranks; r++) {
        if (p->rank[r].weight_only) continue;
        gs_parallel_slice(c, p->ranks, r, chunk->rows, p->in, x, w->slice.data);
        if (gs_fake_observe(&p->rank[r], c, chunk, w->slice.data, err) != GS_OK) return gs_wrap(err, "card %d", r);
    }
    return observe_whole(p, c, chunk, x, err);
}

/* y = partial output of one rank. x: rows row0 .. of the chunk. */
static gs_status partial(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, int rank, int64_t row0, int64_t rows,
                         const float *x, int8_t *codes, gs_parallel_work *w, float *y, gs_error *err)
{
    gs_parallel_slice(c, p->ranks, rank, rows, p->in, x, w->slice.data);
    return gs_fake_forward(&p->rank[rank], c, chunk, row0, rows, w->slice.data, codes, y, err);
}

gs_status gs_parallel_forward(gs_parallel *p, gs_compute *c, const gs_chunk *chunk, int64_t row0, int64_t rows,
                              const float *x, int8_t *codes, gs_parallel_work *w, float *y, gs_error *err)
{
    for (int r = 0; r < p->ranks; r++) {
        GS_TRY(partial(p, c, chunk, r, row0, rows, x, codes, w, r == 0 ? y : w->sums.data, err));
        if (r > 0) gs_add(c, rows * p->out, y, w->sums.data);
    }
    return GS_OK;
}

/* One sample on its way through gs_comm_sample. */
typedef struct exchange {
    gs_parallel *p;
    gs_compute *c;
    const gs_chunk *chunk;
    int64_t row0; /* of the sample in the chunk */
    const float *x;
    int8_t *codes;
    gs_parallel_work *w;
} exchange;

static gs_status exchange_partial(void *ctx, int rank, int64_t row0, int64_t rows, float *y, gs_error *err)
{
    const exchange *e = ctx;
    return partial(e->p, e->c, e->chunk, rank, e->row0 + row0, rows, e->x + row0 * e->p->in, e->codes, e->w, y, err);
}

gs_status gs_parallel_exchange(gs_parallel *p, gs_comm *m, gs_compute *c, const gs_chunk *chunk, const float *x,
                               int8_t *codes, gs_parallel_work *w, gs_error *err)
{
    float *output = w->output.data;
    for (int64_t s = chunk->first; s < chunk->first + chunk->count; s++) {
        const int64_t row0 = chunk->start[s] - chunk->row0, rows = chunk->start[s + 1] - chunk->start[s];
        exchange e = {p, c, chunk, row0, x + row0 * p->in, codes, w};
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(gs_comm_sample(m, c, rows, exchange_partial, &e, &w->sums, output + row0 * p->out, err));
    }
    return GS_OK;
}
