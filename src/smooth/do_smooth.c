/* The search of do_smooth (do_smooth.h): eleven exponents over [0, 1], then eleven around the best of them; the second round alone
 * decides. docs/algorithms/do_smooth.md. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/do_smooth.h"

#include <math.h>

#include "kernels/elem.h"
#include "smooth/group.h"
#include "smooth/trial.h"

enum { GRID = 11 };

typedef struct search {
    gs_compute *c;
    gs_trial trial;
    float *a, *w;      /* [in] magnitudes of the centred input, of the weight */
    float *low, *high; /* [in] of the centred input */
    float *t;          /* [GRID + 1, in] */
    float *centred;    /* [rows, in] */
    double alpha[GRID + 1], loss[GRID + 1];
} search;

typedef struct centre_job {
    int64_t n;
    const float *x, *shift;
    float *y;
} centre_job;

static void centre_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const centre_job *const j = ctx;
    for (int64_t i = 0; i < j->n; i++) j->y[row * j->n + i] = j->x[row * j->n + i] - j->shift[i];
}

static gs_status centre(search *q, const float *x, float *shift, gs_error *err)
{
    const int64_t n = q->trial.weight->k, rows = q->trial.rows;
    float least, greatest;
    bool finite = true;
    gs_minmax(q->c, rows * n, x, &least, &greatest, &finite);
    if (!finite) return gs_fail(err, GS_ERR_NUMERIC, "an activation is NaN or infinite");
    for (int64_t i = 0; i < n; i++) {
        q->low[i] = INFINITY;
        q->high[i] = -INFINITY;
    }
    gs_column_minmax(q->c, rows, n, x, n, q->low, q->high);
    for (int64_t i = 0; i < n; i++) {
        shift[i] = (q->high[i] + q->low[i]) / 2.0f;
        q->low[i] -= shift[i];
        q->high[i] -= shift[i];
        q->a[i] = fmaxf(-q->low[i], q->high[i]);
    }
    centre_job job = {.n = n, .x = x, .shift = shift, .y = q->centred};
    gs_pool_run(q->c->pool, rows, centre_task, &job);
    return gs_smooth_weight_max(q->c, q->trial.weight, 0.0f, q->w, err);
}

static void fill_scales(const search *q, int slot, double alpha)
{
    const int64_t n = q->trial.weight->k;
    float *const t = q->t + slot * n;
    for (int64_t i = 0; i < n; i++) {
        const float scale = gs_pow(q->a[i], (float)alpha) / gs_pow(q->w[i], (float)(1.0 - alpha));
        t[i] = scale > 0.0f && scale < INFINITY ? scale : 1.0f;
    }
}

static gs_status measure(search *q, int count, gs_error *err)
{
    double reference;
    GS_TRY(gs_trial_run(q->c, &q->trial, count, q->t, q->loss, &reference, err));
    for (int i = 0; i < count; i++) q->loss[i] = sqrt(q->loss[i]);
    return GS_OK;
}

/* Eleven exponents from lo to hi; the first of the least losses. */
static gs_status scan(search *q, double lo, double hi, int extra, int *best, gs_error *err)
{
    for (int i = 0; i < GRID; i++) {
        q->alpha[i] = lo + (hi - lo) * i / (GRID - 1);
        fill_scales(q, i, q->alpha[i]);
    }
    GS_TRY(measure(q, GRID + extra, err));
    *best = 0;
    for (int i = 1; i < GRID; i++)
        if (q->loss[i] < q->loss[*best]) *best = i;
    return GS_OK;
}

static gs_status search_exponent(search *q, gs_do_smooth_choice *choice, gs_error *err)
{
    const double reach = 1.0 / GRID;
    const int64_t n = q->trial.weight->k;
    int best;
    for (int64_t i = 0; i < n; i++) q->t[GRID * n + i] = 1.0f; /* no scaling, to compare with */
    GS_TRY(scan(q, 0.0, 1.0, 1, &best, err));
    choice->loss_before = q->loss[GRID];
    const double middle = q->alpha[best], lo = middle - reach, hi = middle + reach;
    GS_TRY(scan(q, lo < 0 ? 0 : lo, hi > 1 ? 1 : hi, 0, &best, err));
    choice->alpha = q->alpha[best];
    choice->loss_after = q->loss[best];
    return GS_OK;
}

static gs_status search_all(search *q, const float *x, bool compat, float *shift, float *scale,
                            gs_do_smooth_choice *choice, gs_error *err)
{
    GS_TRY(centre(q, x, shift, err));
    GS_TRY(search_exponent(q, choice, err));
    for (int64_t i = 0; i < q->trial.weight->k; i++) {
        const bool constant = q->a[i] == 0.0f;
        const double seen = (double)q->a[i] + fabs((double)shift[i]); /* the column's largest |x| */
        if (seen > choice->range_before) choice->range_before = seen;
        choice->zero_channels += constant;
        const float w = fmaxf(q->w[i], GS_SMOOTH_LEAST);
        scale[i] = constant && !compat
                       ? 1.0f
                       : gs_smooth_ratio(q->a[i], (float)choice->alpha, w, (float)(1.0 - choice->alpha));
        choice->scaled_channels += scale[i] != 1.0f;
        const double left = (double)q->a[i] / (double)scale[i];
        if (left > choice->range_after) choice->range_after = left;
    }
    return GS_OK;
}

/* Of the search itself: the centred sample, and vectors. */
static size_t memory_bytes(int64_t rows, int64_t in) { return (GRID + 5 + (size_t)rows) * (size_t)in * sizeof(float); }

uint64_t gs_do_smooth_bytes(int64_t rows, int64_t out, int64_t in)
{
    return memory_bytes(rows, in) + gs_trial_bytes(GRID + 1, rows, out, in);
}

gs_status gs_do_smooth_search(gs_compute *c, const gs_packed *weight, int64_t rows, const float *x, int w_bit,
                              bool compat, float *shift, float *scale, gs_do_smooth_choice *choice, gs_error *err)
{
    const size_t n = (size_t)weight->k;
    *choice = (gs_do_smooth_choice){0};
    if (rows <= 0)
        return gs_fail(err, GS_ERR_USAGE, "do_smooth needs a first calibration sample with at least one token");
    gs_buf memory;
    GS_TRY(gs_buf_alloc(&memory, memory_bytes(rows, weight->k), "the first calibration sample", err));
    search q = {.c = c, .a = memory.data};
    q.w = q.a + n;
    q.low = q.w + n;
    q.high = q.low + n;
    q.t = q.high + n;
    q.centred = q.t + (GRID + 1) * n;
    q.trial = (gs_trial){.weight = weight,
                         .rows = rows,
                         .stride = 1,
                         .x = q.centred,
                         .min = q.low,
                         .max = q.high,
                         .symmetric = true,
                         .kind = w_bit == 4 ? GS_TRIAL_W4_OUTLIERS : GS_TRIAL_W8,
                         .power = 4};
    const gs_status status = search_all(&q, x, compat, shift, scale, choice, err);
    gs_buf_release(&memory);
    return status;
}

/* Rows of W·shift in double: closer to the exact value than any order of float32 sums. */
typedef struct bias_job {
    const float *w, *shift;
    float *add;
    int64_t in;
} bias_job;

static void bias_row(void *ctx, int64_t row, int worker)
{
    const bias_job *j = ctx;
    double sum = 0;
    (void)worker;
    for (int64_t i = 0; i < j->in; i++) sum += (double)j->w[row * j->in + i] * (double)j->shift[i];
    j->add[row] = (float)sum;
}

#define BIAS_ROWS 64

void gs_do_smooth_bias(gs_compute *c, const gs_packed *weight, const float *shift, float *add)
{
    float *rows = gs_alloc_array((size_t)(BIAS_ROWS * weight->k), sizeof *rows);
    for (int64_t row = 0; row < weight->n; row += BIAS_ROWS) {
        const int64_t n = weight->n - row < BIAS_ROWS ? weight->n - row : BIAS_ROWS;
        gs_unpack_rows(c, weight, row, n, rows);
        bias_job job = {rows, shift, add + row, weight->k};
        gs_pool_run(c->pool, n, bias_row, &job);
    }
    gs_free(rows);
}
