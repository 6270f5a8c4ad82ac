/* The parts common to all methods. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/group.h"

#include <math.h>

int64_t gs_smooth_chunk_rows(int64_t channels)
{
    enum { VALUES = 2 << 20 };
    const int64_t sets = VALUES / GS_PACK_ROWS / channels;
    return GS_PACK_ROWS * (sets < 1 ? 1 : sets);
}

gs_status gs_smooth_weight_max(gs_compute *c, const gs_packed *weight, float least, float *w, gs_error *err)
{
    const int64_t k = weight->k, chunk = gs_smooth_chunk_rows(k);
    gs_buf buf;
    GS_TRY(gs_buf_alloc(&buf, (size_t)((chunk + 2) * k) * sizeof(float), "rows of a weight", err));
    float *const rows = buf.data, *const min = rows + chunk * k, *const max = min + k;
    for (int64_t row = 0; row < weight->n; row += chunk) {
        const int64_t n = weight->n - row < chunk ? weight->n - row : chunk;
        gs_unpack_rows(c, weight, row, n, rows);
        gs_column_minmax(c, n, k, rows, k, min, max); /* both start at 0, which no maximum of magnitudes is below */
    }
    for (int64_t i = 0; i < k; i++) w[i] = fmaxf(fmaxf(-min[i], max[i]), least);
    gs_buf_release(&buf);
    return GS_OK;
}

float gs_smooth_ratio(float a, float alpha, float w, float beta)
{
    return fmaxf(gs_pow(a, alpha) / gs_pow(w, beta), GS_SMOOTH_LEAST);
}

float gs_smooth_reference_ratio(float a, float alpha, float w, float beta)
{
    return fmaxf(gs_reference_pow(a, alpha) / gs_reference_pow(w, beta), GS_SMOOTH_LEAST);
}

void gs_smooth_ratios(const gs_smooth_group *g, double alpha, const float *w, double beta, float *s)
{
    const float *const a = g->stats->abs_max;
    float (*const ratio)(float, float, float, float) = g->compat ? gs_smooth_reference_ratio : gs_smooth_ratio;
    for (int64_t i = 0; i < g->weight->k; i++) {
        const bool leave = gs_smooth_dead(g, i) && !g->compat;
        s[i] = leave ? 1.0f : ratio(a[i], (float)alpha, w[i], (float)beta);
    }
}

void gs_smooth_choice_init(gs_smooth_choice *choice, const char *branch)
{
    *choice = (gs_smooth_choice){.branch = branch,
                                 .index = -1,
                                 .alpha = NAN,
                                 .beta = NAN,
                                 .threshold = NAN,
                                 .loss_before = NAN,
                                 .loss_after = NAN};
}

gs_status gs_smooth_finish(const gs_smooth_group *g, const float *s, gs_smooth_choice *choice, gs_error *err)
{
    const float *const a = g->stats->abs_max;
    for (int64_t i = 0; i < g->weight->k; i++) {
        if (!(s[i] > 0.0f && s[i] <= 3.4028234663852886e38f))
            return gs_fail(err, GS_ERR_NUMERIC, "channel %lld: the smoothing scale is %g, from inputs up to %g",
                           (long long)i, (double)s[i], (double)a[i]);
        choice->scaled_channels += s[i] != 1.0f;
        choice->zero_channels += gs_smooth_dead(g, i);
        const float after = a[i] / s[i];
        if ((double)a[i] > choice->range_before) choice->range_before = (double)a[i];
        if ((double)after > choice->range_after) choice->range_after = (double)after;
    }
    return GS_OK;
}
