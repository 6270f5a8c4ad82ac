/* m2: the threshold search of Outlier Suppression+ (Wei et al. 2023) over 100 thresholds. Only channels above the threshold
 * are scaled, by the ratio of m1 with their own height in place of the maximum. The loss is what 8-bit activations do to the
 * linear's output on the first sample; weights are not rounded in it, so it is a quadratic form of the activations' error,
 * and thresholds between the same two channels have the same loss. docs/algorithms/m2.md. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "smooth/form.h"
#include "smooth/m2_float.h"
#include "smooth/methods.h"

enum { THRESHOLDS = 100, TILE = 1024 };

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* One set of scaled channels: those above t. */
typedef struct candidate {
    int first; /* threshold index; -1: no channel, to compare with */
    float t;
    int64_t count;
    double loss;
} candidate;

typedef struct search {
    gs_compute *c;
    const gs_smooth_group *g;
    const float *ratio; /* [channels] scale of a channel if it is scaled */
    float *s;           /* [channels] */
    float *low, *high;  /* [channels] of sample 0, less the shift */
    float *d;           /* [TILE, channels] */
    gs_form form;
    candidate set[THRESHOLDS + 1];
    int n_sets;
} search;

static float threshold(const gs_outlier_stats *stats, int k)
{
    return stats->std + (stats->thres_t - stats->std) * (float)k / (float)(THRESHOLDS - 1);
}

static void list_sets(search *q)
{
    const gs_outlier_stats *const stats = q->g->stats;
    const int64_t n = stats->channels;
    float *const sorted = gs_alloc_array((size_t)n, sizeof *sorted);
    memcpy(sorted, stats->thres, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, falling);
    int64_t count = n;
    for (int k = 0; k < THRESHOLDS; k++) {
        const float t = threshold(stats, k);
        while (count > 0 && !(sorted[count - 1] > t)) count--;
        if (q->n_sets > 0 && q->set[q->n_sets - 1].count == count) continue;
        q->set[q->n_sets++] = (candidate){.first = k, .t = t, .count = count};
    }
    if (q->set[q->n_sets - 1].count > 0) q->set[q->n_sets++] = (candidate){.first = -1, .t = INFINITY};
    gs_free(sorted);
}

static void set_scales(const search *q, float t)
{
    const float *const thres = q->g->stats->thres;
    for (int64_t i = 0; i < q->g->stats->channels; i++) q->s[i] = thres[i] > t ? q->ratio[i] : 1.0f;
}

typedef struct tile_job {
    const search *q;
    const float *x; /* [rows, channels] */
    float step, zero;
} tile_job;

/* d = what the row becomes, less the row. */
static void error_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const tile_job *const j = ctx;
    const int64_t n = j->q->g->stats->channels;
    const float *const shift = j->q->g->stats->shift, *const s = j->q->s, *const x = j->x + row * n;
    float *const d = j->q->d + row * n;
    for (int64_t i = 0; i < n; i++) {
        const float q = gs_rint((x[i] - shift[i]) / s[i] / j->step + j->zero);
        const float code = q < -128.0f ? -128.0f : q > 127.0f ? 127.0f : q;
        d[i] = (code - j->zero) * j->step * s[i] + shift[i] - x[i];
    }
}

static gs_status measure(search *q, candidate *set, gs_error *err)
{
    const gs_outlier_stats *const stats = q->g->stats;
    GS_TRY(gs_check_interrupt(err));
    set_scales(q, set->t);
    float lo = 0, hi = 0; /* of the scaled input: division keeps the order, so the columns' ends are enough */
    for (int64_t i = 0; i < stats->channels; i++) {
        lo = fminf(lo, q->low[i] / q->s[i]);
        hi = fmaxf(hi, q->high[i] / q->s[i]);
    }
    tile_job job = {.q = q, .step = fmaxf((hi - lo) / 255.0f, GS_EPS)};
    job.zero = gs_rint(-lo / job.step) - 128.0f;
    double sum = 0;
    for (int64_t row = 0; row < stats->first_rows; row += TILE) {
        const int64_t rows = stats->first_rows - row < TILE ? stats->first_rows - row : TILE;
        job.x = stats->first + row * stats->channels;
        gs_pool_run(q->c->pool, rows, error_task, &job);
        gs_form_add(&q->form, q->c, rows, q->d, &sum);
    }
    set->loss = sum / ((double)stats->first_rows * (double)q->g->weight->n);
    return GS_OK;
}

static void first_sample_range(search *q)
{
    const gs_outlier_stats *const stats = q->g->stats;
    const int64_t n = stats->channels;
    for (int64_t i = 0; i < n; i++) {
        q->low[i] = INFINITY;
        q->high[i] = -INFINITY;
    }
    gs_column_minmax(q->c, stats->first_rows, n, stats->first, n, q->low, q->high);
    for (int64_t i = 0; i < n; i++) {
        q->low[i] -= stats->shift[i];
        q->high[i] -= stats->shift[i];
    }
}

static gs_status measure_all(search *q, gs_smooth_choice *choice, gs_error *err)
{
    list_sets(q);
    first_sample_range(q);
    const double vectors = (double)q->n_sets * (double)q->g->stats->first_rows;
    GS_TRY(gs_form_init(&q->form, q->c, q->g->weight, vectors, GS_FORM_AUTO, err));
    const candidate *best = &q->set[0]; /* that of the lowest threshold */
    for (int i = 0; i < q->n_sets; i++) {
        candidate *const set = &q->set[i];
        GS_TRY(measure(q, set, err));
        if (set->count == 0) choice->loss_before = set->loss;
        if (set->first >= 0 && set->loss < best->loss) best = set;
    }
    set_scales(q, best->t);
    choice->index = best->first;
    choice->threshold = (double)best->t;
    choice->loss_after = best->loss;
    return GS_OK;
}

/* --reference_compat: the scales, to the last bit, of the thresholds from `first` to the next set's. */
static gs_status pick_threshold(gs_compute *c, const gs_smooth_group *g, int first, int end, float *s,
                                gs_smooth_choice *choice, gs_error *err)
{
    float t[THRESHOLDS] = {0};
    int best = 0;
    float *const w = gs_alloc_array((size_t)g->weight->k, sizeof *w);
    for (int k = first; k < end; k++) t[k - first] = threshold(g->stats, k);
    gs_status status = gs_smooth_weight_max(c, g->weight, GS_SMOOTH_LEAST, w, err);
    if (status == GS_OK) status = gs_m2_float_pick(c, g, w, t, end - first, s, &best, err);
    gs_free(w);
    choice->index = first + best;
    choice->threshold = (double)t[best];
    return status;
}

static int end_of_set(const search *q, int first)
{
    for (int i = 0; i < q->n_sets; i++)
        if (q->set[i].first > first) return q->set[i].first;
    return THRESHOLDS;
}

/* s: the ratios when it starts, the scales when it is done. */
static gs_status search_thresholds(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice,
                                   gs_error *err)
{
    const size_t n = (size_t)g->stats->channels;
    gs_buf memory;
    GS_TRY(gs_buf_alloc(&memory, (TILE + 3) * n * sizeof(float), "rows of the first outlier sample", err));
    search q = {.c = c, .g = g, .ratio = s, .d = memory.data};
    q.s = q.d + TILE * n;
    q.low = q.s + n;
    q.high = q.low + n;
    const gs_status status = measure_all(&q, choice, err);
    if (status == GS_OK) memcpy(s, q.s, n * sizeof *s);
    gs_form_release(&q.form);
    gs_buf_release(&memory);
    if (status != GS_OK || !g->compat) return status;
    return pick_threshold(c, g, choice->index, end_of_set(&q, choice->index), s, choice, err);
}

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    const gs_outlier_stats *const stats = g->stats;
    GS_TRY(gs_smooth_weight_max(c, g->weight, GS_SMOOTH_LEAST, s, err));
    if (3.0f * stats->std >= stats->thres_t || stats->first_rows == 0) { /* nothing stands out */
        gs_smooth_choice_init(choice, "ratio");
        choice->alpha = choice->beta = 0.5;
        gs_smooth_ratios(g, 0.5, s, 0.5, s);
    } else {
        gs_smooth_choice_init(choice, "threshold");
        for (int64_t i = 0; i < stats->channels; i++)
            s[i] = stats->thres[i] > 0.0f ? gs_smooth_ratio(stats->thres[i], 0.5f, s[i], 0.5f) : 1.0f;
        GS_TRY(search_thresholds(c, g, s, choice, err));
    }
    return gs_smooth_finish(g, s, choice, err);
}

static size_t bytes(int64_t out, int64_t in, int64_t first_rows, int64_t n_rows)
{
    (void)n_rows;
    const size_t form = (size_t)((TILE + 3) * in) * sizeof(float) + gs_form_bytes(out, in);
    const size_t floats = gs_m2_float_bytes(out, in, first_rows);
    return form > floats ? form : floats;
}

const gs_smoother gs_smoother_m2 = {.name = "m2",
                                    .title = "Outlier Suppression+",
                                    .norm_bias = true,
                                    .needs_first = true,
                                    .bytes = bytes,
                                    .scale = scale};
