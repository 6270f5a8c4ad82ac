/* m5: the activation half of CBQ's coarse-to-fine preprocessing (Ding et al. 2023). Channels whose maximum or minimum lies
 * outside 1.5 interquantile distances are candidates; among them the cut with the widest gap and the most uniform rest is the
 * final threshold. Channels beyond it are drawn towards the largest ordinary channel. docs/algorithms/m5.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "smooth/methods.h"

static const float reach = 1.5f, rate = 0.7f;
static const double least_metric = -1000.0;

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Linear between neighbours; sorted: [n], rising. */
static float quantile(const float *sorted, int64_t n, float q)
{
    const float rank = q * (float)(n - 1);
    const int64_t below = (int64_t)rank, above = below + 1 < n ? below + 1 : below;
    const float part = rank - (float)below, step = sorted[above] - sorted[below];
    return part < 0.5f ? sorted[below] + part * step : sorted[above] - step * (1.0f - part);
}

/* Variance of growing sets, unbiased (Welford); 0 for one element. */
typedef struct spread {
    int64_t n;
    double mean, squares;
} spread;

static double spread_add(spread *s, double x)
{
    const double gap = x - s->mean;
    s->n++;
    s->mean += gap / (double)s->n;
    s->squares += gap * (x - s->mean);
    return s->n > 1 ? s->squares / (double)(s->n - 1) : 0;
}

/* The values outside a threshold, rising; falling d_0 … d_{n-1} is read from the end. Upper side: the rest below the cut
 * should be uniform, and its largest value is the threshold; lower side: the rest above the cut, and its smallest. The first
 * cut, counted from d_0, with the greatest metric wins. Returns `coarse` if no cut is worth anything. */
static float finest_cut(const float *sorted, int64_t n, bool upper, float coarse)
{
    spread rest = {0};
    double best = least_metric;
    float cut = coarse;
    for (int64_t step = 0; step + 1 < n; step++) {
        /* cut between d_i and d_{i+1}; the rest grows, so the upper side is read from the last cut to the first */
        const int64_t i = upper ? n - 2 - step : step;
        const float before = sorted[n - 1 - i], after = sorted[n - 2 - i];
        const double metric =
            fabs((double)before - (double)after) - spread_add(&rest, (double)(upper ? after : before));
        if (upper ? metric < best || metric <= least_metric : metric <= best) continue;
        best = metric;
        cut = upper ? after : before;
    }
    return cut;
}

/* x: [n], maxima (upper) or minima of the channels. */
static float threshold(int64_t n, const float *x, bool upper)
{
    float *const sorted = gs_alloc_array((size_t)n, sizeof *sorted);
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    const float low = quantile(sorted, n, 0.2f), high = quantile(sorted, n, 0.8f), way = reach * (high - low);
    const float coarse = upper ? high + way : low - way;
    int64_t outside = 0;
    while (outside < n && (upper ? sorted[n - 1 - outside] > coarse : sorted[outside] < coarse)) outside++;
    const float *const beyond = upper ? sorted + (n - outside) : sorted;
    const float fine = outside > 1 ? finest_cut(beyond, outside, upper, coarse) : coarse;
    gs_free(sorted);
    return fine;
}

/* The reference raises the channels beyond, put side by side, in groups of 16, and what is left in double. */
static float power(float x, int64_t index, int64_t count, bool compat)
{
    if (!compat) return gs_pow(x, rate);
    return index < count / 16 * 16 ? gs_reference_pow(x, rate) : gs_reference_pow_left(x, 0.7);
}

/* (x/edge)^rate for the channels beyond the threshold, where edge is the outermost of the others; 1 elsewhere, and everywhere
 * if edge has not the sign of an outermost value. s is raised to it. */
static void raise(int64_t n, const float *x, float limit, bool upper, bool compat, float *s)
{
    float edge = upper ? -INFINITY : INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (upper ? x[i] <= limit && x[i] > edge : x[i] >= limit && x[i] < edge) edge = x[i];
    if (upper ? !(edge > 0.0f) : !(edge < 0.0f)) return;
    int64_t count = 0, beyond = 0;
    for (int64_t i = 0; i < n; i++) count += upper ? x[i] > limit : x[i] < limit;
    for (int64_t i = 0; i < n; i++)
        if (upper ? x[i] > limit : x[i] < limit) s[i] = fmaxf(s[i], power(x[i] / edge, beyond++, count, compat));
}

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    const gs_outlier_stats *const stats = g->stats;
    const int64_t n = stats->channels;
    (void)c;
    gs_smooth_choice_init(choice, "cut");
    const float upper = threshold(n, stats->max, true), lower = threshold(n, stats->min, false);
    choice->threshold = (double)upper;
    for (int64_t i = 0; i < n; i++) s[i] = 1.0f;
    raise(n, stats->max, upper, true, g->compat, s);
    raise(n, stats->min, lower, false, g->compat, s);
    return gs_smooth_finish(g, s, choice, err);
}

const gs_smoother gs_smoother_m5 = {.name = "m5", .title = "CBQ outlier scaling", .norm_bias = true, .scale = scale};
