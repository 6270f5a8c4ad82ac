/* Owns the outlier score of a linear's input: how far the largest value lies from the spread of the centred values. It
 * chooses the observer of act_method 3 and ranks layers for disable_level.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "calib/observer.h"

#define SCORE_HISTOGRAM_MAX 50.0f

/* Unbiased deviation of all elements of x - shift; the reference computes it in float32, here in double and rounded
 * once. */
static float sample_deviation(gs_compute *c, int64_t rows, int64_t cols, const float *x, const float *shift)
{
    double sum = 0.0, squares = 0.0;
    gs_sum_squares(c, rows, cols, x, shift, &sum, &squares);
    const double n = (double)rows * (double)cols;
    if (n < 2.0) return 0.0f;
    const double variance = (squares - sum * sum / n) / (n - 1.0);
    return variance > 0.0 ? (float)sqrt(variance) : 0.0f;
}

gs_status gs_score_add(gs_score *s, gs_compute *c, int64_t rows, int64_t cols, const float *x, gs_error *err)
{
    float min, max;
    bool finite;
    gs_minmax(c, rows * cols, x, &min, &max, &finite);
    if (!finite) {
        return gs_fail(err, GS_ERR_NUMERIC,
                       "an activation is NaN or Inf; check the checkpoint, its float forward pass overflows");
    }
    float *least = gs_alloc_array((size_t)cols, sizeof(float));
    float *greatest = gs_alloc_array((size_t)cols, sizeof(float));
    for (int64_t j = 0; j < cols; j++) {
        least[j] = INFINITY;
        greatest[j] = -INFINITY;
    }
    gs_column_minmax(c, rows, cols, x, cols, least, greatest);
    for (int64_t j = 0; j < cols; j++) greatest[j] += least[j]; /* the sum, not its half: as the reference does */
    const float deviation = sample_deviation(c, rows, cols, x, greatest);
    gs_free(least);
    gs_free(greatest);
    s->t_max = s->seen ? fmaxf(s->t_max, max) : max;
    s->t_min = s->seen ? fminf(s->t_min, min) : min;
    s->std = s->seen ? fmaxf(s->std, deviation) : deviation;
    s->cols = cols;
    s->seen = true;
    return GS_OK;
}

float gs_score_value(const gs_score *s)
{
    if (!s->seen) return 0.0f;
    const float range = fmaxf(fabsf(s->t_max), fabsf(s->t_min));
    return range == 0.0f ? 0.0f : range / s->std; /* all zero: 0/0 in the reference */
}

gs_observer_kind gs_score_observer(const gs_score *s)
{
    return gs_score_value(s) <= SCORE_HISTOGRAM_MAX ? GS_OBSERVE_HISTOGRAM : GS_OBSERVE_MINMAX;
}
