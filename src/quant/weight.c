/* Owns the int8 codes of weights and how well they fit. Rows are independent; sums over rows are added in row order,
 * so nothing depends on the number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quant/weight.h"

#define TASK_VALUES 65536       /* values per task: rows of any width make tasks of about this size */
#define BLOCK       16          /* constant trip counts let compilers vectorize at -O2 */
#define ROUNDER     12582912.0f /* 1.5·2^23: adding and subtracting it rounds half to even below 2^22 */

typedef struct rows_job {
    int64_t rows, in, rows_per_task;
    const float *w;
    float *scale;
    int8_t *codes;
    const float *scale_in;
    const int8_t *codes_in;
    gs_sqnr *row;
} rows_job;

static int64_t split_rows(rows_job *job)
{
    job->rows_per_task = job->in > 0 && job->in < TASK_VALUES ? TASK_VALUES / job->in : 1;
    return (job->rows + job->rows_per_task - 1) / job->rows_per_task;
}

static float row_peak(const float *w, int64_t n)
{
    float lane[BLOCK] = {0};
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        for (int j = 0; j < BLOCK; j++) {
            const float a = fabsf(w[i + j]);
            lane[j] = a > lane[j] ? a : lane[j];
        }
    }
    for (; i < n; i++) lane[0] = fmaxf(lane[0], fabsf(w[i]));
    for (int j = 1; j < BLOCK; j++) lane[0] = fmaxf(lane[0], lane[j]);
    return lane[0];
}

static inline int8_t code_of(float w, float scale)
{
    float q = (w / scale + ROUNDER) - ROUNDER;
    q = q > -127.0f ? q : -127.0f;
    q = q < 127.0f ? q : 127.0f;
    return (int8_t)(int32_t)q;
}

static void quantize_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const rows_job *job = ctx;
    const int64_t first = task * job->rows_per_task;
    for (int64_t r = first; r < job->rows && r < first + job->rows_per_task; r++) {
        const float *w = job->w + r * job->in;
        int8_t *codes = job->codes + r * job->in;
        const float scale = fmaxf(row_peak(w, job->in) / 127.0f, GS_EPS);
        job->scale[r] = scale;
        int64_t i = 0;
        for (; i + BLOCK <= job->in; i += BLOCK) {
            int8_t block[BLOCK];
            for (int j = 0; j < BLOCK; j++) block[j] = code_of(w[i + j], scale);
            memcpy(codes + i, block, BLOCK);
        }
        for (; i < job->in; i++) codes[i] = code_of(w[i], scale);
    }
}

void gs_weight_w8_sym(gs_compute *c, int64_t rows, int64_t in, const float *w, float *scale, int8_t *codes)
{
    rows_job job = {.rows = rows, .in = in, .w = w, .scale = scale, .codes = codes};
    gs_pool_run(c->pool, split_rows(&job), quantize_task, &job);
}

/* Lane j takes elements j, j+8, …; lanes are added in order. */
static gs_sqnr row_sqnr(const float *w, const int8_t *codes, float scale, int64_t n)
{
    double signal[8] = {0}, noise[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int j = 0; j < 8; j++) {
            const double v = (double)w[i + j];
            const double d = v - (double)(scale * (float)codes[i + j]);
            signal[j] += v * v;
            noise[j] += d * d;
        }
    }
    for (int j = 0; i < n; i++, j++) {
        const double v = (double)w[i];
        const double d = v - (double)(scale * (float)codes[i]);
        signal[j] += v * v;
        noise[j] += d * d;
    }
    gs_sqnr sum = {0};
    for (int j = 0; j < 8; j++) {
        sum.signal += signal[j];
        sum.noise += noise[j];
    }
    return sum;
}

static void sqnr_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const rows_job *job = ctx;
    const int64_t first = task * job->rows_per_task;
    for (int64_t r = first; r < job->rows && r < first + job->rows_per_task; r++) {
        job->row[r] = row_sqnr(job->w + r * job->in, job->codes_in + r * job->in, job->scale_in[r], job->in);
    }
}

void gs_sqnr_add(gs_sqnr *s, gs_compute *c, int64_t rows, int64_t in, const float *w, const float *scale,
                 const int8_t *codes)
{
    gs_sqnr *row = gs_alloc_array((size_t)rows, sizeof *row);
    rows_job job = {.rows = rows, .in = in, .w = w, .scale_in = scale, .codes_in = codes, .row = row};
    gs_pool_run(c->pool, split_rows(&job), sqnr_task, &job);
    for (int64_t r = 0; r < rows; r++) {
        s->signal += row[r].signal;
        s->noise += row[r].noise;
    }
    gs_free(row);
}

/* Decimal logarithm of a positive number from frexp and the series of atanh: the report must not depend on libm. */
static double log10_own(double x)
{
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    const double t = (m - 1.0) / (m + 1.0), tt = t * t;
    double series = 0.0;
    for (int k = 25; k >= 1; k -= 2) series = series * tt + 1.0 / (double)k;
    const double ln = 2.0 * t * series + (double)exponent * 0.69314718055994531;
    return ln * 0.43429448190325183;
}

double gs_sqnr_db(const gs_sqnr *s)
{
    if (!(s->noise > 0.0)) return INFINITY;
    return s->signal > 0.0 ? 10.0 * log10_own(s->signal / s->noise) : -INFINITY;
}
