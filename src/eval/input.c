/* Owns the sums over a linear's inputs. SPDX-License-Identifier: Apache-2.0 */
#include "eval/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8

void gs_input_sums_init(gs_input_sums *s, int64_t in)
{
    *s = (gs_input_sums){.in = in};
    s->min = gs_alloc_array((size_t)in, sizeof *s->min);
    s->max = gs_alloc_array((size_t)in, sizeof *s->max);
    for (int64_t i = 0; i < in; i++) {
        s->min[i] = INFINITY;
        s->max[i] = -INFINITY;
    }
}

void gs_input_sums_release(gs_input_sums *s)
{
    gs_free(s->min);
    gs_free(s->max);
    *s = (gs_input_sums){0};
}

typedef struct power_job {
    int64_t in;
    const float *x;
    double (*row)[4];
} power_job;

static void power_row(void *ctx, int64_t row, int worker)
{
    const power_job *job = ctx;
    const float *x = job->x + row * job->in;
    double lane[4][LANES] = {{0}};
    (void)worker;
    for (int64_t i = 0; i < job->in; i++) {
        const double v = (double)x[i], square = v * v;
        lane[0][i % LANES] += v;
        lane[1][i % LANES] += square;
        lane[2][i % LANES] += square * v;
        lane[3][i % LANES] += square * square;
    }
    for (int p = 0; p < 4; p++) {
        job->row[row][p] = 0;
        for (int j = 0; j < LANES; j++) job->row[row][p] += lane[p][j];
    }
}

void gs_input_sums_add(gs_input_sums *s, gs_compute *c, int64_t rows, const float *x)
{
    double(*row)[4] = gs_alloc_array((size_t)rows + 1, sizeof *row);
    power_job job = {.in = s->in, .x = x, .row = row};
    gs_pool_run(c->pool, rows, power_row, &job);
    for (int64_t r = 0; r < rows; r++)
        for (int p = 0; p < 4; p++) s->power[p] += row[r][p];
    gs_free(row);
    gs_column_minmax(c, rows, s->in, x, s->in, s->min, s->max);
    s->values += rows * s->in;
}

/* Central moments from sums of powers; a variance that is nothing but rounding is none. */
static double kurtosis_of(const gs_input_sums *s)
{
    const double n = (double)s->values;
    const double m1 = s->power[0] / n, m2 = s->power[1] / n, m3 = s->power[2] / n, m4 = s->power[3] / n;
    const double variance = m2 - m1 * m1;
    if (!(variance > 1e-12 * m2)) return (double)NAN;
    const double fourth = m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1 * m1 * m1 * m1;
    return fourth / (variance * variance);
}

typedef struct channel_peak {
    float peak;
    int64_t channel;
} channel_peak;

static int compare_peaks(const void *a, const void *b)
{
    const channel_peak *x = a, *y = b;
    if (x->peak != y->peak) return x->peak < y->peak ? 1 : -1;
    return x->channel < y->channel ? -1 : x->channel > y->channel;
}

static void find_outliers(const gs_input_sums *s, gs_input_figures *out)
{
    const int64_t n = s->in;
    channel_peak *list = gs_alloc_array((size_t)n, sizeof *list);
    for (int64_t i = 0; i < n; i++) list[i] = (channel_peak){fmaxf(fabsf(s->min[i]), fabsf(s->max[i])), i};
    qsort(list, (size_t)n, sizeof *list, compare_peaks);
    out->median = ((double)list[n / 2].peak + (double)list[(n - 1) / 2].peak) / 2;
    while (out->outliers < n && (double)list[out->outliers].peak > GS_OUTLIER_RATIO * out->median) out->outliers++;
    for (; out->top < GS_OUTLIER_TOP && out->top < out->outliers; out->top++) {
        out->channel[out->top] = list[out->top].channel;
        out->ratio[out->top] = out->median > 0 ? (double)list[out->top].peak / out->median : (double)INFINITY;
    }
    gs_free(list);
}

void gs_input_figures_of(const gs_input_sums *s, gs_input_figures *out)
{
    *out = (gs_input_figures){.channels = s->in, .kurtosis = (double)NAN};
    if (s->values == 0) return;
    float least = s->min[0], greatest = s->max[0];
    for (int64_t i = 1; i < s->in; i++) {
        least = fminf(least, s->min[i]);
        greatest = fmaxf(greatest, s->max[i]);
    }
    out->min = (double)least;
    out->max = (double)greatest;
    out->kurtosis = kurtosis_of(s);
    find_outliers(s, out);
}
