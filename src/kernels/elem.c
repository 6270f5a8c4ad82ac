/* The parallel side of elem.h: cuts rows or fixed chunks into tasks, runs the kernels of the rung, and combines partial
 * results in chunk order. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/elem.h"

#include <assert.h>
#include <math.h>

#include "kernels/table.h"

enum {
    CHUNK = 32768, /* elements of one task */
    SUM_ROWS = 64, /* rows whose sums are gathered before they are added to the total: part of the numeric contract */
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t count_tasks(int64_t total, int64_t chunk) { return (total + chunk - 1) / chunk; }

static int64_t rows_per_task(int64_t width) { return width > 0 && width < CHUNK ? CHUNK / width : 1; }

/* ---- rows ---- */

typedef struct rmsnorm_job {
    const gs_kernels *kernels;
    int64_t rows, h, chunk;
    const float *x, *w, *b;
    float eps, *y;
} rmsnorm_job;

static void rmsnorm_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const rmsnorm_job *const j = ctx;
    const int64_t t = task * j->chunk;
    j->kernels->rmsnorm(min_i64(j->chunk, j->rows - t), j->h, j->x + t * j->h, j->w, j->b, j->eps, j->y + t * j->h);
}

void gs_rmsnorm(gs_compute *c, int64_t rows, int64_t h, const float *x, const float *w, const float *b, float eps,
                float *y)
{
    rmsnorm_job job = {.kernels = c->kernels,
                       .rows = rows,
                       .h = h,
                       .chunk = rows_per_task(h),
                       .x = x,
                       .w = w,
                       .b = b,
                       .eps = eps,
                       .y = y};
    gs_pool_run(c->pool, count_tasks(rows, job.chunk), rmsnorm_task, &job);
}

gs_status gs_rope_init(gs_rope *rope, int64_t positions, int64_t r, double base, gs_error *err)
{
    memset(rope, 0, sizeof *rope);
    const int64_t half = r / 2;
    size_t values, bytes;
    if (positions < 0 || r < 0 || !gs_mul_size((size_t)positions, (size_t)half, &values) ||
        !gs_mul_size(values, 2 * sizeof(float), &bytes))
        return gs_fail(err, GS_ERR_MEMORY, "rotary table: %lld positions of %lld components cannot be held in memory",
                       (long long)positions, (long long)r);
    GS_TRY(gs_buf_alloc(&rope->buf, bytes, "rotary position table", err));
    float *const cosines = rope->buf.data, *const sines = cosines + values;
    for (int64_t i = 0; i < half; i++) {
        const float theta = 1.0f / gs_pow((float)base, (float)(2 * i) / (float)r);
        for (int64_t p = 0; p < positions; p++) {
            const float angle = (float)p * theta;
            cosines[p * half + i] = gs_cos(angle);
            sines[p * half + i] = gs_sin(angle);
        }
    }
    rope->positions = positions;
    rope->half = half;
    rope->cos = cosines;
    rope->sin = sines;
    return GS_OK;
}

void gs_rope_release(gs_rope *rope)
{
    gs_buf_release(&rope->buf);
    memset(rope, 0, sizeof *rope);
}

typedef struct rope_job {
    const gs_kernels *kernels;
    const gs_rope *rope;
    int64_t rows, stride, heads, d, pos0, chunk;
    float *x;
} rope_job;

static void rope_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const rope_job *const j = ctx;
    const int64_t end = min_i64((task + 1) * j->chunk, j->rows), half = j->rope->half;
    for (int64_t t = task * j->chunk; t < end; t++) {
        const int64_t at = (j->pos0 + t) * half;
        j->kernels->rope(half, j->rope->cos + at, j->rope->sin + at, j->heads, j->d, j->x + t * j->stride);
    }
}

void gs_rope_apply(gs_compute *c, const gs_rope *rope, int64_t rows, float *x, int64_t stride, int64_t heads, int64_t d,
                   int64_t pos0)
{
    assert(pos0 >= 0 && pos0 + rows <= rope->positions && 2 * rope->half <= d);
    rope_job job = {.kernels = c->kernels,
                    .rope = rope,
                    .rows = rows,
                    .stride = stride,
                    .heads = heads,
                    .d = d,
                    .pos0 = pos0,
                    .chunk = rows_per_task(heads * d),
                    .x = x};
    gs_pool_run(c->pool, count_tasks(rows, job.chunk), rope_task, &job);
}

typedef struct swiglu_job {
    const gs_kernels *kernels;
    int64_t rows, f, chunk;
    const float *z;
    float *y;
} swiglu_job;

static void swiglu_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const swiglu_job *const j = ctx;
    const int64_t end = min_i64((task + 1) * j->chunk, j->rows);
    for (int64_t t = task * j->chunk; t < end; t++)
        j->kernels->swiglu(j->f, j->z + t * 2 * j->f, j->z + t * 2 * j->f + j->f, j->y + t * j->f);
}

void gs_swiglu(gs_compute *c, int64_t rows, int64_t f, const float *z, float *y)
{
    swiglu_job job = {.kernels = c->kernels, .rows = rows, .f = f, .chunk = rows_per_task(f), .z = z, .y = y};
    gs_pool_run(c->pool, count_tasks(rows, job.chunk), swiglu_task, &job);
}

/* ---- elements ---- */

typedef struct flat_job {
    const gs_kernels *kernels;
    int64_t n;
    const float *x;
    float *sum; /* add */
    float scale, zero;
    int8_t *codes; /* quantize */
} flat_job;

static void add_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const flat_job *const j = ctx;
    const int64_t i = task * CHUNK;
    j->kernels->add(min_i64(CHUNK, j->n - i), j->sum + i, j->x + i);
}

void gs_add(gs_compute *c, int64_t n, float *x, const float *y)
{
    flat_job job = {.kernels = c->kernels, .n = n, .x = y, .sum = x};
    gs_pool_run(c->pool, count_tasks(n, CHUNK), add_task, &job);
}

static void quantize_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const flat_job *const j = ctx;
    const int64_t i = task * CHUNK;
    j->kernels->quantize_s8(min_i64(CHUNK, j->n - i), j->x + i, j->scale, j->zero, -128.0f, 127.0f, j->codes + i);
}

void gs_quantize_s8(gs_compute *c, int64_t n, const float *x, float scale, float zero, int8_t *q)
{
    flat_job job = {.kernels = c->kernels, .n = n, .x = x, .scale = scale, .zero = zero, .codes = q};
    gs_pool_run(c->pool, count_tasks(n, CHUNK), quantize_task, &job);
}

float gs_scaled_peak(const gs_compute *c, int64_t n, const float *x, const float *t)
{
    return c->kernels->scaled_peak(n, x, t);
}

void gs_scaled_codes(const gs_compute *c, int64_t n, const float *x, const float *t, bool divide, float scale,
                     float zero, int8_t *q)
{
    c->kernels->scaled_codes(n, x, t, divide, scale, zero, q);
}

void gs_clamped_codes(const gs_compute *c, int64_t n, const float *x, float scale, float zero, float lowest,
                      float highest, int8_t *q)
{
    c->kernels->quantize_s8(n, x, scale, zero, lowest, highest, q);
}

void gs_code_errors(const gs_compute *c, int64_t n, const float *w, const int8_t *codes, float scale, float zero,
                    double signal[GS_ERROR_LANES], double noise[GS_ERROR_LANES])
{
    c->kernels->code_errors(n, w, codes, scale, zero, signal, noise);
}

/* ---- statistics ---- */

typedef struct range {
    float min, max;
    bool finite;
} range;

typedef struct minmax_job {
    const gs_kernels *kernels;
    int64_t n, chunk;
    const float *x;
    range *part; /* [tasks] */
} minmax_job;

static void minmax_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const minmax_job *const j = ctx;
    const int64_t i = task * j->chunk;
    range *const r = &j->part[task];
    j->kernels->minmax(min_i64(j->chunk, j->n - i), j->x + i, &r->min, &r->max, &r->finite);
}

void gs_minmax(gs_compute *c, int64_t n, const float *x, float *min, float *max, bool *finite)
{
    assert(n > 0);
    minmax_job job = {.kernels = c->kernels, .n = n, .chunk = 4 * CHUNK, .x = x};
    const int64_t tasks = count_tasks(n, job.chunk);
    job.part = gs_alloc_array((size_t)tasks, sizeof *job.part);
    gs_pool_run(c->pool, tasks, minmax_task, &job);
    range all = job.part[0];
    for (int64_t i = 1; i < tasks; i++) {
        const range r = job.part[i];
        all.min = r.min < all.min ? r.min : all.min;
        all.max = r.max > all.max ? r.max : all.max;
        all.finite = all.finite && r.finite;
    }
    gs_free(job.part);
    const bool none = all.min > all.max; /* not one finite value */
    *min = none ? 0.0f : all.min;
    *max = none ? 0.0f : all.max;
    *finite = all.finite;
}

typedef struct column_job {
    const gs_kernels *kernels;
    int64_t rows, cols, stride, chunk;
    const float *x;
    float *min, *max;
} column_job;

static void column_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const column_job *const j = ctx;
    const int64_t col = task * j->chunk;
    j->kernels->column_minmax(j->rows, min_i64(j->chunk, j->cols - col), j->x + col, j->stride, j->min + col,
                              j->max + col);
}

void gs_column_minmax(gs_compute *c, int64_t rows, int64_t cols, const float *x, int64_t stride, float *min, float *max)
{
    column_job job = {.kernels = c->kernels,
                      .rows = rows,
                      .cols = cols,
                      .stride = stride,
                      .chunk = 512,
                      .x = x,
                      .min = min,
                      .max = max};
    gs_pool_run(c->pool, count_tasks(cols, job.chunk), column_task, &job);
}

typedef struct histogram_job {
    const gs_kernels *kernels;
    gs_pool *pool;
    int64_t n;
    const float *x;
    float lo, hi;
    int32_t bins;
    int64_t *counts; /* where there is only one worker or no room in scratch; otherwise NULL */
} histogram_job;

enum {
    BIN_BLOCK = 1024, /* elements whose bins are found before they are counted */
    COPIES = 4,       /* tables of counts side by side: neighbours often fall in the same bin */
    MOST_BINS = 8192, /* that fit in a worker's scratch */
};

static void histogram_task(void *ctx, int64_t task, int worker)
{
    const histogram_job *const j = ctx;
    const int64_t end = min_i64((task + 1) * CHUNK, j->n);
    uint32_t *const own = j->counts ? NULL : gs_pool_scratch(j->pool, worker);
    const int64_t stride = j->bins + 1;
    int32_t bin[BIN_BLOCK];
    for (int64_t i = task * CHUNK; i < end; i += BIN_BLOCK) {
        const int64_t n = min_i64(BIN_BLOCK, end - i);
        j->kernels->bin_index(n, j->x + i, j->lo, j->hi, j->bins, bin);
        if (j->counts) {
            for (int64_t e = 0; e < n; e++)
                if (bin[e] < j->bins) j->counts[bin[e]]++;
        } else {
            for (int64_t e = 0; e < n; e++) own[e % COPIES * stride + bin[e]]++;
        }
    }
}

/* Counts are whole numbers, so they may be gathered by worker instead of by chunk. */
static void histogram_part(gs_compute *c, histogram_job *job, int64_t *counts)
{
    const int64_t tasks = count_tasks(job->n, CHUNK), stride = job->bins + 1;
    const size_t bytes = (size_t)stride * COPIES * sizeof(uint32_t);
    const int threads = tasks > 1 ? gs_pool_threads(c->pool) : 1;
    for (int w = 0; w < threads; w++) memset(gs_pool_scratch(c->pool, w), 0, bytes);
    gs_pool_run(c->pool, tasks, histogram_task, job);
    for (int w = 0; w < threads; w++) {
        const uint32_t *own = gs_pool_scratch(c->pool, w);
        for (int copy = 0; copy < COPIES; copy++, own += stride)
            for (int64_t b = 0; b < job->bins; b++) counts[b] += own[b];
    }
}

void gs_histogram(gs_compute *c, int64_t n, const float *x, float lo, float hi, int64_t bins, int64_t *counts)
{
    assert(lo < hi && bins > 0 && bins < INT32_MAX);
    const int64_t part = (int64_t)1 << 31; /* 32-bit counters cannot overflow */
    for (int64_t i = 0; i < n; i += part) {
        histogram_job job = {.kernels = c->kernels,
                             .pool = c->pool,
                             .n = min_i64(part, n - i),
                             .x = x + i,
                             .lo = lo,
                             .hi = hi,
                             .bins = (int32_t)bins};
        if (bins <= MOST_BINS) {
            histogram_part(c, &job, counts);
            continue;
        }
        job.counts = counts;
        for (int64_t task = 0; task < count_tasks(job.n, CHUNK); task++) histogram_task(&job, task, 0);
    }
}

typedef struct sums {
    double sum, squares;
} sums;

typedef struct sum_job {
    const gs_kernels *kernels;
    int64_t rows, cols;
    const float *x, *shift;
    sums *part; /* [tasks] */
} sum_job;

static void sum_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const sum_job *const j = ctx;
    const int64_t t = task * SUM_ROWS;
    j->kernels->sum_squares(min_i64(SUM_ROWS, j->rows - t), j->cols, j->x + t * j->cols, j->shift, &j->part[task].sum,
                            &j->part[task].squares);
}

void gs_sum_squares(gs_compute *c, int64_t rows, int64_t cols, const float *x, const float *shift, double *sum,
                    double *sum_squares)
{
    sum_job job = {.kernels = c->kernels, .rows = rows, .cols = cols, .x = x, .shift = shift};
    const int64_t tasks = count_tasks(rows, SUM_ROWS);
    job.part = gs_alloc_array((size_t)tasks + 1, sizeof *job.part);
    gs_pool_run(c->pool, tasks, sum_task, &job);
    *sum = *sum_squares = 0;
    for (int64_t i = 0; i < tasks; i++) {
        *sum += job.part[i].sum;
        *sum_squares += job.part[i].squares;
    }
    gs_free(job.part);
}
