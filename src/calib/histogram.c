/* Owns counting and merging of histograms. Float32 and float64 are used exactly where the PyTorch 1.13 observer uses
 * them: the order and the width of each operation show in the result.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "calib/histogram.h"

/* Beyond this growth the finer grid has more cells than float32 can address and the old range is far less than one new
 * bin. */
#define MAX_DOWNSAMPLE 1073741824.0f

typedef struct growth {
    float min, max;
    int64_t downsample; /* fine cells per new bin */
    int64_t start;      /* first fine cell of the old range */
    bool point;         /* the old range is a point at bin `start` */
} growth;

/* histc: bounds that coincide are replaced by those of the data, and widened by 1 when these coincide too. */
static void count_sample(const gs_hist *h, gs_compute *c, int64_t n, const float *x, float min, float max, float lo,
                         float hi, float *counted)
{
    if (h->truncate) {
        lo = truncf(lo);
        hi = truncf(hi);
    }
    if (lo == hi) {
        lo = min;
        hi = max;
    }
    if (lo == hi) {
        lo = fminf(lo - 1.0f, nextafterf(lo, -INFINITY));
        hi = fmaxf(hi + 1.0f, nextafterf(hi, INFINITY));
    }
    int64_t counts[GS_HIST_BINS] = {0};
    gs_histogram(c, n, x, lo, hi, GS_HIST_BINS, counts);
    for (int i = 0; i < GS_HIST_BINS; i++) counted[i] = (float)counts[i];
}

/* Old and new range on a common grid. Only the maximum is relaxed, so that one-sided data keep their zero. */
static growth growth_of(const gs_hist *h, float min, float max)
{
    growth g = {.min = fminf(min, h->min), .max = fmaxf(max, h->max)};
    const float cell = (h->max - h->min) / (float)(GS_HIST_BINS * GS_HIST_UPSAMPLE);
    const float span = g.max - g.min;
    const float ratio = ceilf(span / ((float)GS_HIST_BINS * cell));
    if (!(ratio < MAX_DOWNSAMPLE)) { /* also cell == 0 */
        const float at = (h->min - g.min) / span * (float)GS_HIST_BINS;
        g.point = true;
        g.start = at < (float)(GS_HIST_BINS - 1) ? (int64_t)at : GS_HIST_BINS - 1;
        return g;
    }
    g.downsample = (int64_t)ratio;
    g.max += ratio * ((float)GS_HIST_BINS * cell) - span;
    g.start = (int64_t)gs_rint((h->min - g.min) / cell);
    /* Rounding of a large quotient may push the old range past the end, where PyTorch raises an error. */
    const int64_t last = GS_HIST_BINS * (g.downsample - GS_HIST_UPSAMPLE);
    if (g.start > last) g.start = last;
    return g;
}

/* integral[j] = sum of all fine cells up to and with cell (j+1)·downsample - 1, added one by one in double. */
static void integrate(const gs_hist *h, const growth *g, double *integral)
{
    int64_t next = g->downsample; /* first cell of the bin after bin j */
    int64_t cell = g->start;
    double sum = 0.0;
    int j = 0;
    for (int i = 0; i < GS_HIST_BINS; i++) {
        const double value = (double)h->bin[i];
        const int64_t end = g->start + (int64_t)(i + 1) * GS_HIST_UPSAMPLE;
        while (cell < end) {
            while (cell >= next) {
                integral[j++] = sum;
                next += g->downsample;
            }
            const int64_t stop = end < next ? end : next;
            for (; cell < stop; cell++) sum += value;
        }
    }
    for (; j < GS_HIST_BINS; j++) integral[j] = sum;
}

static void merge(gs_hist *h, const growth *g, float *counted)
{
    if (g->point) {
        double total = 0.0;
        for (int i = 0; i < GS_HIST_BINS; i++) total += (double)h->bin[i];
        counted[g->start] += (float)total;
        return;
    }
    double integral[GS_HIST_BINS];
    integrate(h, g, integral);
    double before = 0.0; /* the shifted copy passes through float32 */
    for (int i = 0; i < GS_HIST_BINS; i++) {
        counted[i] += (float)((integral[i] - before) / (double)GS_HIST_UPSAMPLE);
        before = (double)(float)integral[i];
    }
}

gs_status gs_hist_add(gs_hist *h, gs_compute *c, int64_t n, const float *x, float min, float max, gs_error *err)
{
    const bool first = !h->seen || h->min == h->max; /* a range of one value is forgotten, as PyTorch does */
    growth g = {.min = min, .max = max};
    if (!first) g = growth_of(h, min, max);
    if (!isfinite((g.max - g.min) * (float)GS_HIST_BINS)) {
        return gs_fail(err, GS_ERR_NUMERIC, "values from %g to %g are too far apart for a float32 histogram",
                       (double)g.min, (double)g.max);
    }
    float counted[GS_HIST_BINS];
    count_sample(h, c, n, x, min, max, g.min, g.max, counted);
    if (!first) {
        if (g.min == h->min && g.max == h->max) {
            for (int i = 0; i < GS_HIST_BINS; i++) counted[i] += h->bin[i];
        } else {
            merge(h, &g, counted);
        }
    }
    memcpy(h->bin, counted, sizeof counted);
    h->min = g.min;
    h->max = g.max;
    h->seen = true;
    return GS_OK;
}
