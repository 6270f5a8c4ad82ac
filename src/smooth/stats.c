/* Statistics of a linear's input over the outlier samples. Column ranges of one sample give everything but the standard
 * deviation: max(x - shift) is max(x) - shift, since rounding is monotonic. SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "smooth/smooth.h"

static int64_t kept_rows(const gs_outlier_stats *s)
{
    return s->row_limit > 0 && s->row_limit < s->total_tokens ? s->row_limit : s->total_tokens;
}

static gs_status alloc_rows(gs_outlier_stats *s, int64_t first_rows, bool keep_first, bool keep_rows, gs_error *err)
{
    const size_t row = (size_t)s->channels * sizeof(float);
    if (keep_first) {
        GS_TRY(gs_buf_alloc(&s->first_buf, (size_t)first_rows * row, "first outlier sample of a group", err));
        s->first = s->first_buf.data;
        s->first_cap = first_rows;
    }
    if (keep_rows) {
        GS_TRY(gs_buf_alloc(&s->rows_buf, (size_t)kept_rows(s) * row, "rows of the outlier samples of a group", err));
        s->rows = s->rows_buf.data;
    }
    return GS_OK;
}

gs_status gs_outlier_stats_init(gs_outlier_stats *s, int64_t channels, int64_t total_tokens, int64_t first_rows,
                                bool keep_first, bool keep_rows, int64_t row_limit, gs_error *err)
{
    assert(channels > 0 && total_tokens >= first_rows && first_rows >= 0);
    *s = (gs_outlier_stats){.channels = channels, .total_tokens = total_tokens, .row_limit = row_limit};
    float *vectors = gs_alloc_array((size_t)(5 * channels), sizeof(float));
    s->max = vectors;
    s->min = vectors + channels;
    s->shift = vectors + 2 * channels;
    s->thres = vectors + 3 * channels;
    s->abs_max = vectors + 4 * channels;
    for (int64_t i = 0; i < channels; i++) {
        s->max[i] = s->thres[i] = -INFINITY;
        s->min[i] = INFINITY;
    }
    s->thres_t = -INFINITY;
    const gs_status status = alloc_rows(s, first_rows, keep_first, keep_rows, err);
    if (status != GS_OK) gs_outlier_stats_release(s);
    return status;
}

void gs_outlier_stats_release(gs_outlier_stats *s)
{
    gs_free(s->max); /* all vectors are one allocation */
    gs_buf_release(&s->first_buf);
    gs_buf_release(&s->rows_buf);
    *s = (gs_outlier_stats){0};
}

/* Token t of all is kept as row i when t == floor(i·total/limit). */
static void keep_rows(gs_outlier_stats *s, int64_t rows, const float *x)
{
    const int64_t limit = kept_rows(s);
    while (s->n_rows < limit) {
        const int64_t whole = s->total_tokens / limit, rest = s->total_tokens % limit;
        const int64_t token = s->n_rows * whole + s->n_rows * rest / limit; /* no overflow for any number of tokens */
        if (token >= s->tokens + rows) break;
        memcpy(s->rows + s->n_rows * s->channels, x + (token - s->tokens) * s->channels,
               (size_t)s->channels * sizeof(float));
        s->n_rows++;
    }
}

/* min, max: of this sample. */
static void update_vectors(gs_outlier_stats *s, const float *min, const float *max)
{
    for (int64_t i = 0; i < s->channels; i++) {
        if (max[i] > s->max[i]) s->max[i] = max[i];
        if (min[i] < s->min[i]) s->min[i] = min[i];
        s->shift[i] = (s->max[i] + s->min[i]) / 2.0f;
        const float above = max[i] - s->shift[i];
        if (above > s->thres[i]) s->thres[i] = above;
        if (above > s->thres_t) s->thres_t = above;
        const float magnitude = fmaxf(fabsf(min[i]), fabsf(max[i]));
        if (magnitude > s->abs_max[i]) s->abs_max[i] = magnitude;
    }
}

gs_status gs_outlier_stats_add(gs_outlier_stats *s, gs_compute *c, int64_t rows, const float *x, gs_error *err)
{
    const int64_t n = rows * s->channels;
    float least, greatest;
    bool finite = true;
    if (rows == 0) return GS_OK;
    gs_minmax(c, n, x, &least, &greatest, &finite);
    if (!finite) return gs_fail(err, GS_ERR_NUMERIC, "an activation is NaN or infinite");
    float *min = gs_alloc_array((size_t)(2 * s->channels), sizeof(float)), *max = min + s->channels;
    for (int64_t i = 0; i < s->channels; i++) {
        min[i] = INFINITY;
        max[i] = -INFINITY;
    }
    gs_column_minmax(c, rows, s->channels, x, s->channels, min, max);
    update_vectors(s, min, max);
    gs_free(min);
    double sum = 0, squares = 0;
    gs_sum_squares(c, rows, s->channels, x, s->shift, &sum, &squares);
    const double variance = n > 1 ? (squares - sum * sum / (double)n) / (double)(n - 1) : 0;
    const float std = (float)sqrt(variance > 0 ? variance : 0);
    if (std > s->std) s->std = std;
    if (s->first && s->samples == 0) {
        assert(rows <= s->first_cap);
        memcpy(s->first, x, (size_t)n * sizeof(float));
        s->first_rows = rows;
    }
    if (s->rows) keep_rows(s, rows, x);
    s->samples++;
    s->tokens += rows;
    return GS_OK;
}
