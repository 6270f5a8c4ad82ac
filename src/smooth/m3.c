/* m3: the scale search of AWQ (Lin et al. 2023): channels with large mean inputs get more of the weight's codes. Twenty
 * exponents; the loss is the change of the linear's output on the first sample when each weight row is quantized as a whole.
 * The change of each weight row is formed directly and measured as a quadratic form, chunk by chunk, for all exponents.
 * docs/algorithms/m3.md. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "smooth/form.h"
#include "smooth/methods.h"

enum { EXPONENTS = 20, BLOCK = 16 };
#define ROUNDER 12582912.0f /* 1.5·2^23: adding and subtracting it rounds half to even below 2^22 */

/* The scales of all exponents. */
typedef struct search {
    gs_compute *c;
    const gs_smooth_group *g;
    float *s;    /* [EXPONENTS, channels] */
    float *rows; /* [chunk, channels] of the weight */
    float *d;    /* [chunk, channels] what quantization changes in them */
    int64_t chunk;
    gs_form form;
    double loss[EXPONENTS];
} search;

typedef struct mean_job {
    const gs_outlier_stats *stats;
    float *mean; /* [channels] */
    bool compat;
} mean_job;

enum { MEAN_COLS = 256 };

/* The same in float32, with torch's order along a column: every 16 rows the sum so far moves a level up, every 256 two. Holds
 * below 2^19 rows. */
static void reference_mean(const gs_outlier_stats *stats, int64_t first, int64_t n, float *mean)
{
    enum { LEVELS = 4 };
    float level[LEVELS][MEAN_COLS] = {{0}};
    for (int64_t t = 0; t < stats->first_rows; t++) {
        const float *const x = stats->first + t * stats->channels + first;
        for (int64_t i = 0; i < n; i++) level[0][i] += fabsf(x[i]);
        for (int j = 1; j < LEVELS && (t + 1) % ((int64_t)1 << (4 * j)) == 0; j++)
            for (int64_t i = 0; i < n; i++) {
                level[j][i] += level[j - 1][i];
                level[j - 1][i] = 0.0f;
            }
    }
    for (int j = 1; j < LEVELS; j++)
        for (int64_t i = 0; i < n; i++) level[0][i] += level[j][i];
    for (int64_t i = 0; i < n; i++) mean[i] = level[0][i] / (float)stats->first_rows;
}

static void mean_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const mean_job *const j = ctx;
    const gs_outlier_stats *const stats = j->stats;
    const int64_t first = task * MEAN_COLS,
                  n = stats->channels - first < MEAN_COLS ? stats->channels - first : MEAN_COLS;
    double sum[MEAN_COLS] = {0};
    if (j->compat) {
        reference_mean(stats, first, n, j->mean + first);
        return;
    }
    for (int64_t t = 0; t < stats->first_rows; t++) {
        const float *const x = stats->first + t * stats->channels + first;
        for (int64_t i = 0; i < n; i++) sum[i] += (double)fabsf(x[i]);
    }
    for (int64_t i = 0; i < n; i++) j->mean[first + i] = (float)(sum[i] / (double)stats->first_rows);
}

/* max(mean^r, 1e-4), divided by the root of its greatest times its least value. Channels without input keep 1, unless compat. */
static void set_scales(const gs_smooth_group *g, const float *mean, float r, float *s)
{
    const int64_t n = g->stats->channels;
    float least = INFINITY, greatest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (mean[i] == 0.0f && !g->compat) continue;
        s[i] = fmaxf(g->compat ? gs_reference_pow(mean[i], r) : gs_pow(mean[i], r), 1e-4f);
        least = fminf(least, s[i]);
        greatest = fmaxf(greatest, s[i]);
    }
    const float middle = g->compat ? gs_reference_root(greatest * least) : sqrtf(greatest * least);
    for (int64_t i = 0; i < n; i++) s[i] = mean[i] == 0.0f && !g->compat ? 1.0f : s[i] / middle;
}

typedef struct grid {
    float step, zero, lo, hi;
} grid;

/* The codes of one row between its least and its greatest value. */
static grid grid_of(const gs_smooth_group *g, float min, float max)
{
    const float top = (float)(1 << (g->w_bit - 1));
    min = fminf(min, 0.0f);
    max = fmaxf(max, 0.0f);
    grid q = {.lo = -top, .hi = top - 1.0f};
    if (g->w_sym) {
        q.step = fmaxf(fmaxf(-min, max) / (top - 1.0f), GS_EPS);
    } else {
        q.step = fmaxf((max - min) / (2.0f * top - 1.0f), GS_EPS);
        q.zero = gs_rint(-min / q.step) - top;
    }
    return q;
}

typedef struct row_job {
    const search *q;
    const float *s;
} row_job;

/* Blocks of constant length, so that compilers take several elements at once. */
static void range_of(const float *w, const float *s, int64_t n, float *min, float *max)
{
    float low[BLOCK] = {0}, high[BLOCK] = {0};
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int j = 0; j < BLOCK; j++) {
            const float v = w[i + j] * s[i + j];
            low[j] = v < low[j] ? v : low[j];
            high[j] = v > high[j] ? v : high[j];
        }
    for (int j = 0; i < n; i++, j++) {
        low[j] = fminf(low[j], w[i] * s[i]);
        high[j] = fmaxf(high[j], w[i] * s[i]);
    }
    for (int j = 1; j < BLOCK; j++) {
        low[0] = fminf(low[0], low[j]);
        high[0] = fmaxf(high[0], high[j]);
    }
    *min = low[0];
    *max = high[0];
}

static inline float change(float w, float s, grid q)
{
    float code = (w * s / q.step + q.zero + ROUNDER) - ROUNDER;
    code = code > q.lo ? code : q.lo;
    code = code < q.hi ? code : q.hi;
    return (code - q.zero) * q.step / s - w;
}

static void change_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const row_job *const job = ctx;
    const int64_t n = job->q->g->weight->k;
    const float *const w = job->q->rows + row * n, *const s = job->s;
    float *const d = job->q->d + row * n;
    float min, max;
    range_of(w, s, n, &min, &max);
    const grid q = grid_of(job->q->g, min, max);
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int j = 0; j < BLOCK; j++) d[i + j] = change(w[i + j], s[i + j], q);
    for (; i < n; i++) d[i] = change(w[i], s[i], q);
}

static gs_status measure_all(search *q, gs_error *err)
{
    const gs_packed *const weight = q->g->weight;
    for (int64_t row = 0; row < weight->n; row += q->chunk) {
        const int64_t rows = weight->n - row < q->chunk ? weight->n - row : q->chunk;
        GS_TRY(gs_check_interrupt(err));
        gs_unpack_rows(q->c, weight, row, rows, q->rows);
        for (int e = 0; e < EXPONENTS; e++) {
            row_job job = {.q = q, .s = q->s + e * weight->k};
            gs_pool_run(q->c->pool, rows, change_task, &job);
            gs_form_add(&q->form, q->c, rows, q->d, &q->loss[e]);
        }
    }
    for (int e = 0; e < EXPONENTS; e++) q->loss[e] /= (double)q->g->stats->first_rows * (double)weight->n;
    return GS_OK;
}

static gs_status search_exponents(search *q, gs_error *err)
{
    const gs_outlier_stats *const stats = q->g->stats;
    const int64_t n = stats->channels;
    gs_packed inputs;
    mean_job mean = {.stats = stats, .mean = q->d, .compat = q->g->compat};
    gs_pool_run(q->c->pool, (n + MEAN_COLS - 1) / MEAN_COLS, mean_task, &mean);
    for (int e = 0; e < EXPONENTS; e++) set_scales(q->g, q->d, (float)((double)e / EXPONENTS), q->s + e * n);

    GS_TRY(gs_packed_alloc(&inputs, GS_PACK_F32, stats->first_rows, n, "the first outlier sample", err));
    gs_pack_rows(q->c, &inputs, 0, stats->first_rows, stats->first);
    const double vectors = (double)EXPONENTS * (double)q->g->weight->n;
    gs_status status = gs_form_init(&q->form, q->c, &inputs, vectors, GS_FORM_AUTO, err);
    if (status == GS_OK) status = measure_all(q, err);
    gs_form_release(&q->form);
    gs_packed_release(&inputs);
    return status;
}

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    const int64_t n = g->stats->channels;
    gs_smooth_choice_init(choice, "search");
    if (g->stats->first_rows == 0) return gs_fail(err, GS_ERR_USAGE, "m3 needs at least one token of outlier text");
    gs_buf memory;
    search q = {.c = c, .g = g, .chunk = gs_smooth_chunk_rows(n)};
    GS_TRY(
        gs_buf_alloc(&memory, (size_t)((EXPONENTS + 2 * q.chunk) * n) * sizeof(float), "weight rows of a search", err));
    q.s = memory.data;
    q.rows = q.s + EXPONENTS * n;
    q.d = q.rows + q.chunk * n;
    const gs_status status = search_exponents(&q, err);
    if (status == GS_OK) {
        int best = 0;
        for (int e = 1; e < EXPONENTS; e++)
            if (q.loss[e] < q.loss[best]) best = e;
        memcpy(s, q.s + best * n, (size_t)n * sizeof *s);
        choice->index = best;
        choice->alpha = (double)best / EXPONENTS;
        choice->loss_before = q.loss[0];
        choice->loss_after = q.loss[best];
    }
    gs_buf_release(&memory);
    return status == GS_OK ? gs_smooth_finish(g, s, choice, err) : status;
}

static size_t bytes(int64_t out, int64_t in, int64_t first_rows, int64_t n_rows)
{
    (void)out;
    (void)n_rows;
    return (size_t)((EXPONENTS + 2 * gs_smooth_chunk_rows(in)) * in) * sizeof(float) +
           gs_packed_bytes(GS_PACK_F32, first_rows > 0 ? first_rows : 1, in) + gs_form_bytes(first_rows, in);
}

const gs_smoother gs_smoother_m3 = {
    .name = "m3", .title = "AWQ scale search", .norm_bias = true, .needs_first = true, .bytes = bytes, .scale = scale};
