/* See comm.h. A sample goes by in tiles of rows, twice: for the maxima of the partial outputs, then for the quantized sum. Maxima
 * have no order and sums are per element, so neither tiles nor threads show. SPDX-License-Identifier: Apache-2.0 */
#include "quant/comm.h"

#define TILE        512         /* rows */
#define TASK_VALUES 65536       /* values per task */
#define ROUNDER     12582912.0f /* 1.5·2^23: adding and subtracting it rounds half to even below 2^22 */

void gs_comm_init(gs_comm *m, int ranks, bool per_rank, int64_t out)
{
    const int n = per_rank ? ranks : 1;
    *m = (gs_comm){.ranks = ranks, .n_scales = n, .out = out};
    m->peak = gs_alloc_array((size_t)((n + 1) * out), sizeof(float));
    m->low = gs_alloc_array((size_t)((n + 1) * out), sizeof(float));
    m->high = gs_alloc_array((size_t)((n + 1) * out), sizeof(float));
    m->reduce_scale = gs_alloc_array((size_t)(n * out), sizeof(float));
    m->gather_scale = gs_alloc_array((size_t)out, sizeof(float));
}

void gs_comm_release(gs_comm *m)
{
    gs_free(m->peak);
    gs_free(m->low);
    gs_free(m->high);
    gs_free(m->reduce_scale);
    gs_free(m->gather_scale);
    *m = (gs_comm){0};
}

/* How the partial outputs of a sample lie in the work buffer: the first `kept` rows of all ranks, then one tile. */
static int64_t kept_rows(int ranks, int64_t out, int64_t rows)
{
    const int64_t fits = (int64_t)(GS_COMM_KEEP / sizeof(float)) / (ranks * out) / TILE * TILE;
    return rows < fits ? rows : fits;
}

size_t gs_comm_work_bytes(int ranks, int64_t out, int64_t rows)
{
    const int64_t tile = rows < TILE ? rows : TILE;
    return (size_t)((kept_rows(ranks, out, rows) * ranks + tile) * out) * sizeof(float);
}

/* A sample on its way. */
typedef struct sample {
    gs_comm *m;
    gs_compute *c;
    int64_t rows, kept;
    gs_partial_fn partial;
    void *ctx;
    float *work;
} sample;

/* Partial output of a tile; `again`: it was computed before. */
static gs_status partial_tile(const sample *s, int rank, int64_t row0, int64_t rows, bool again, const float **y,
                              gs_error *err)
{
    const int64_t out = s->m->out;
    const bool kept = row0 + rows <= s->kept;
    float *to = s->work + (kept ? row0 * s->m->ranks + rank * rows : s->kept * s->m->ranks) * out;
    *y = to;
    return kept && again ? GS_OK : s->partial(s->ctx, rank, row0, rows, to, err);
}

/* Peaks of the sample into the running ones, and its scales. row: of peak, low and high. */
static void take_scales(gs_comm *m, int row, float *scale)
{
    const int64_t first = row * m->out;
    for (int64_t o = 0; o < m->out; o++) {
        const float low = -m->low[first + o], high = m->high[first + o], peak = low > high ? low : high;
        if (peak > m->peak[first + o]) m->peak[first + o] = peak;
        if (scale) scale[o] = peak / 127.0f;
    }
}

typedef struct quantize_job {
    int64_t rows, cols, rows_per_task;
    const float *x, *scale;
    bool add; /* to y; else y is set */
    float *y;
} quantize_job;

/* A product with 0 keeps NaN: a broken value must not turn into a clean one. */
static inline float quantized(float v, float scale)
{
    float q = (v / scale + ROUNDER) - ROUNDER;
    q = q > 127.0f ? 127.0f : q;
    q = q < -127.0f ? -127.0f : q;
    return scale > 0.0f ? q * scale : v * 0.0f;
}

static void quantize_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const quantize_job *job = ctx;
    const int64_t first = task * job->rows_per_task;
    for (int64_t r = first; r < job->rows && r < first + job->rows_per_task; r++) {
        const float *x = job->x + r * job->cols;
        float *y = job->y + r * job->cols;
        if (job->add)
            for (int64_t o = 0; o < job->cols; o++) y[o] += quantized(x[o], job->scale[o]);
        else
            for (int64_t o = 0; o < job->cols; o++) y[o] = quantized(x[o], job->scale[o]);
    }
}

static void quantize_rows(gs_compute *c, int64_t rows, int64_t cols, const float *x, const float *scale, bool add,
                          float *y)
{
    quantize_job job = {.rows = rows, .cols = cols, .x = x, .scale = scale, .add = add, .y = y};
    job.rows_per_task = cols < TASK_VALUES ? TASK_VALUES / cols : 1;
    gs_pool_run(c->pool, (rows + job.rows_per_task - 1) / job.rows_per_task, quantize_task, &job);
}

static gs_status find_maxima(const sample *s, gs_error *err)
{
    gs_comm *m = s->m;
    for (int64_t row = 0; row < s->rows; row += TILE) {
        const int64_t rows = s->rows - row < TILE ? s->rows - row : TILE;
        for (int rank = 0; rank < m->ranks; rank++) {
            const float *y;
            const int64_t at = (m->n_scales > 1 ? rank : 0) * m->out;
            GS_TRY(partial_tile(s, rank, row, rows, false, &y, err));
            gs_column_minmax(s->c, rows, m->out, y, m->out, m->low + at, m->high + at);
        }
    }
    for (int i = 0; i < m->n_scales; i++) take_scales(m, i, m->reduce_scale + i * m->out);
    return GS_OK;
}

static gs_status add_ranks(const sample *s, float *y, gs_error *err)
{
    gs_comm *m = s->m;
    const int64_t gather = m->n_scales * m->out;
    for (int64_t row = 0; row < s->rows; row += TILE) {
        const int64_t rows = s->rows - row < TILE ? s->rows - row : TILE;
        for (int rank = 0; rank < m->ranks; rank++) {
            const float *part, *scale = m->reduce_scale + (m->n_scales > 1 ? rank : 0) * m->out;
            GS_TRY(partial_tile(s, rank, row, rows, true, &part, err));
            quantize_rows(s->c, rows, m->out, part, scale, rank > 0, y + row * m->out);
        }
        gs_column_minmax(s->c, rows, m->out, y + row * m->out, m->out, m->low + gather, m->high + gather);
    }
    return GS_OK;
}

gs_status gs_comm_sample(gs_comm *m, gs_compute *c, int64_t rows, gs_partial_fn partial, void *ctx, const gs_buf *work,
                         float *y, gs_error *err)
{
    if (rows == 0) return GS_OK;
    if (work->bytes < gs_comm_work_bytes(m->ranks, m->out, rows))
        return gs_fail(err, GS_ERR_MEMORY, "no room for the partial outputs of %lld rows on %d cards", (long long)rows,
                       m->ranks);
    const sample s = {m, c, rows, kept_rows(m->ranks, m->out, rows), partial, ctx, work->data};
    const size_t values = (size_t)((m->n_scales + 1) * m->out);
    memset(m->low, 0, values * sizeof *m->low);
    memset(m->high, 0, values * sizeof *m->high);
    GS_TRY(find_maxima(&s, err));
    GS_TRY(add_ranks(&s, y, err));
    take_scales(m, m->n_scales, m->gather_scale);
    quantize_rows(c, rows, m->out, y, m->gather_scale, false, y);
    return GS_OK;
}

void gs_comm_add(gs_comm *m, gs_compute *c, int64_t rows, const float *y)
{
    gs_column_minmax(c, rows, m->out, y, m->out, m->low, m->high);
    memcpy(m->low + m->out, m->low, (size_t)m->out * sizeof *m->low);
    memcpy(m->high + m->out, m->high, (size_t)m->out * sizeof *m->high);
    take_scales(m, 0, NULL);
    take_scales(m, 1, NULL);
}

static void saved_scale(const gs_comm *m, int row, float *scale)
{
    for (int64_t o = 0; o < m->out; o++) {
        scale[o] = m->peak[row * m->out + o] / 127.0f;
        if (!(scale[o] > 0.0f)) scale[o] = GS_EPS;
    }
}

void gs_comm_reduce_scale(const gs_comm *m, int index, float *scale) { saved_scale(m, index, scale); }
void gs_comm_gather_scale(const gs_comm *m, float *scale) { saved_scale(m, m->n_scales, scale); }
