/* Owns the int8 codes of weights and the figure of how well they fit. Rows are independent.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quant/rule_row.h"
#include "quant/weight.h"

#define TASK_VALUES 65536       /* values per task: rows of any width make tasks of about this size */
#define BLOCK       16          /* constant trip counts let compilers vectorize at -O2 */
#define ROUNDER     12582912.0f /* 1.5·2^23: adding and subtracting it rounds half to even below 2^22 */

typedef struct rows_job {
    int64_t rows, in, rows_per_task;
    const float *w;
    float *scale;
    int8_t *codes;
} rows_job;

static int64_t split_rows(rows_job *job)
{
    job->rows_per_task = job->in > 0 && job->in < TASK_VALUES ? TASK_VALUES / job->in : 1;
    return (job->rows + job->rows_per_task - 1) / job->rows_per_task;
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
        const float scale = fmaxf(gs_row_peak(w, job->in) / 127.0f, GS_EPS);
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
