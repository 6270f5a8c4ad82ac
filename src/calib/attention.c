/* See attention.h. A window that leaves out few values is found from the extremes alone, without sorting.
 * SPDX-License-Identifier: Apache-2.0 */
#include "calib/attention.h"

#include <math.h>

#define RECALL     0.9999
#define BINS       100
#define EDGE_SHARE 0.002

void gs_fa_range_init(gs_fa_range *r, int64_t heads, int64_t groups)
{
    *r = (gs_fa_range){.heads = heads, .groups = groups};
    for (int part = 0; part < 3; part++) {
        const int64_t n = part == 0 ? heads : groups;
        r->min[part] = gs_alloc_array((size_t)n, sizeof(float));
        r->max[part] = gs_alloc_array((size_t)n, sizeof(float));
        for (int64_t i = 0; i < n; i++) {
            r->min[part][i] = INFINITY;
            r->max[part][i] = -INFINITY;
        }
    }
}

void gs_fa_range_release(gs_fa_range *r)
{
    for (int part = 0; part < 3; part++) {
        gs_free(r->min[part]);
        gs_free(r->max[part]);
    }
    *r = (gs_fa_range){0};
}

/* One head of a sample: [rows, d] with a stride. */
typedef struct head_values {
    const float *x;
    int64_t rows, d, stride;
} head_values;

/* Keep the m least values in low and the m greatest in high, both ascending. */
static bool extremes(const head_values *h, int64_t m, float *low, float *high)
{
    for (int64_t i = 0; i < m; i++) {
        low[i] = INFINITY;
        high[i] = -INFINITY;
    }
    bool finite = true;
    for (int64_t t = 0; t < h->rows; t++)
        for (int64_t j = 0; j < h->d; j++) {
            const float v = h->x[t * h->stride + j];
            finite = finite && isfinite(v);
            if (v < low[m - 1]) {
                int64_t i = m - 1;
                for (; i > 0 && low[i - 1] > v; i--) low[i] = low[i - 1];
                low[i] = v;
            }
            if (v > high[0]) {
                int64_t i = 0;
                for (; i < m - 1 && high[i + 1] < v; i++) high[i] = high[i + 1];
                high[i] = v;
            }
        }
    return finite;
}

static bool recall_window(const head_values *h, double ratio, float *lo, float *hi)
{
    const int64_t n = h->rows * h->d;
    int64_t k = (int64_t)((double)n * ratio);
    if (k < 1) k = 1;
    const int64_t m = n - k + 1; /* windows; each begins among the m least and ends among the m greatest */
    float *low = gs_alloc_array((size_t)(2 * m), sizeof *low), *high = low + m;
    const bool finite = extremes(h, m, low, high);
    int64_t best = 0;
    for (int64_t i = 1; i < m && finite; i++)
        if (high[i] - low[i] < high[best] - low[best]) best = i;
    *lo = low[best];
    *hi = high[best];
    gs_free(low);
    return finite;
}

typedef struct range_job {
    gs_fa_range *r;
    const float *qkv;
    int64_t rows, stride, d;
    bool *bad; /* per head of all three parts */
} range_job;

/* Head `index` of the row: queries, then keys, then values. */
static void find_head(int64_t heads, int64_t groups, int64_t index, int *part, int64_t *head)
{
    *part = index < heads ? 0 : index < heads + groups ? 1 : 2;
    *head = *part == 0 ? index : *part == 1 ? index - heads : index - heads - groups;
}

static void range_head(void *ctx, int64_t index, int worker)
{
    const range_job *j = ctx;
    int part;
    int64_t head;
    float lo, hi;
    (void)worker;
    find_head(j->r->heads, j->r->groups, index, &part, &head);
    const head_values values = {j->qkv + index * j->d, j->rows, j->d, j->stride};
    j->bad[index] = !recall_window(&values, part == 2 ? 1.0 : RECALL, &lo, &hi);
    if (j->bad[index]) return;
    if (lo < j->r->min[part][head]) j->r->min[part][head] = lo;
    if (hi > j->r->max[part][head]) j->r->max[part][head] = hi;
}

gs_status gs_fa_range_add(gs_fa_range *r, gs_compute *c, int64_t rows, const float *qkv, int64_t stride, int64_t d,
                          gs_error *err)
{
    static const char *const name[3] = {"query", "key", "value"};
    const int64_t n = r->heads + 2 * r->groups;
    if (rows <= 0) return GS_OK;
    range_job job = {r, qkv, rows, stride, d, gs_alloc_array((size_t)n, sizeof(bool))};
    gs_pool_run(c->pool, n, range_head, &job);
    int64_t bad = 0;
    while (bad < n && !job.bad[bad]) bad++;
    gs_free(job.bad);
    if (bad == n) return GS_OK;
    int part;
    int64_t head;
    find_head(r->heads, r->groups, bad, &part, &head);
    return gs_fail(err, GS_ERR_NUMERIC, "a value of %s head %lld is NaN or infinite", name[part], (long long)head);
}

static void scales(const float *min, const float *max, int64_t n, float *scale)
{
    for (int64_t i = 0; i < n; i++) {
        const float lo = min[i] < 0 ? -min[i] : 0, hi = max[i] > 0 ? max[i] : 0;
        const float s = (lo > hi ? lo : hi) / 127.0f;
        scale[i] = s > GS_EPS ? s : GS_EPS;
    }
}

void gs_fa_range_scales(const gs_fa_range *r, float *q, float *k, float *v)
{
    scales(r->min[0], r->max[0], r->heads, q);
    scales(r->min[1], r->max[1], r->groups, k);
    scales(r->min[2], r->max[2], r->groups, v);
}

/* x: [rows, width] with a stride. */
static bool outlier_score(const float *x, int64_t rows, int64_t width, int64_t stride, float *score)
{
    float lo = INFINITY, hi = 0;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < width; j++) {
            const float a = fabsf(x[t * stride + j]);
            if (!isfinite(a)) return false;
            if (a < lo) lo = a;
            if (a > hi) hi = a;
        }
    *score = 1;
    if (hi <= lo) return true;
    int64_t count[BINS] = {0};
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < width; j++) {
            const int64_t bin = (int64_t)((fabsf(x[t * stride + j]) - lo) * BINS / (hi - lo));
            count[bin < BINS ? bin : BINS - 1]++;
        }
    int j = BINS - 2;
    while (j > 0 && (double)(count[j] + count[j + 1]) <= EDGE_SHARE * (double)(rows * width)) j--;
    const float edge = lo + (hi - lo) / BINS * (float)(j + 2);
    *score = hi / edge;
    return true;
}

gs_status gs_fa_layer_score(gs_compute *c, int64_t heads, int64_t groups, int64_t rows, const float *qkv,
                            int64_t stride, int64_t d, float *score, gs_error *err)
{
    const float *const part[3] = {qkv, qkv + heads * d, qkv + (heads + groups) * d};
    (void)c;
    *score = 0;
    for (int i = 0; i < 3; i++) {
        float s;
        if (!outlier_score(part[i], rows, (i == 0 ? heads : groups) * d, stride, &s))
            return gs_fail(err, GS_ERR_NUMERIC, "a query, key or value is NaN or infinite");
        if (s > *score) *score = s;
    }
    return GS_OK;
}
