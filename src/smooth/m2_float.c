/* See m2_float.h. Every step is rounded where the reference rounds it: the input on an 8-bit grid, the weight scaled and put on
 * a grid without being rounded to it, products in the reference's order, the mean of squares in torch's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smooth/m2_float.h"

#include <math.h>

#include "kernels/dot.h"
#include "kernels/elem.h"
#include "quant/reference.h"

enum { CHUNK = 4 * GS_REFERENCE_ROWS }; /* weight rows at once */

typedef struct pick {
    gs_compute *c;
    const gs_smooth_group *g;
    int64_t rows, in, out, chunk;
    gs_buf memory;
    float *x;      /* [rows, in] what is multiplied */
    float *want;   /* [rows, out] */
    float *error;  /* [rows, out] */
    float *part;   /* [rows, chunk] */
    float *weight; /* [chunk, in] */
    float *bias;   /* [chunk] */
    gs_reference_linear linear;
} pick;

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t values(int64_t out, int64_t in, int64_t rows)
{
    const int64_t chunk = min_i64(CHUNK, out);
    return rows * (in + 2 * out + chunk) + chunk * (in + 1);
}

size_t gs_m2_float_bytes(int64_t out, int64_t in, int64_t first_rows)
{
    return (size_t)values(out, in, first_rows) * sizeof(float) + gs_reference_bytes(min_i64(CHUNK, out), in);
}

static gs_status pick_init(pick *p, gs_error *err)
{
    const int64_t bytes = values(p->out, p->in, p->rows) * (int64_t)sizeof(float);
    GS_TRY(gs_buf_alloc(&p->memory, (size_t)bytes, "products of the first outlier sample", err));
    p->x = p->memory.data;
    p->want = p->x + p->rows * p->in;
    p->error = p->want + p->rows * p->out;
    p->part = p->error + p->rows * p->out;
    p->weight = p->part + p->rows * p->chunk;
    p->bias = p->weight + p->chunk * p->in;
    return gs_reference_init(&p->linear, p->chunk, p->in, err);
}

static void pick_release(pick *p)
{
    gs_reference_release(&p->linear);
    gs_buf_release(&p->memory);
}

/* s for a threshold. */
static void scales_at(const pick *p, const float *w, float t, float *s)
{
    const float *const thres = p->g->stats->thres;
    for (int64_t i = 0; i < p->in; i++) {
        const float ratio = thres[i] / t;
        s[i] = 1.0f;
        if (ratio > 1.0f) s[i] = gs_smooth_reference_ratio(ratio * t, 0.5f, w[i], 0.5f);
    }
}

/* x = the scaled input behind its 8-bit grid. */
static void quantize_input(const pick *p, const float *s)
{
    const gs_outlier_stats *const stats = p->g->stats;
    float lo = 0.0f, hi = 0.0f;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < p->in; i++) {
            const float v = (stats->first[r * p->in + i] - stats->shift[i]) / s[i];
            p->x[r * p->in + i] = v;
            lo = v < lo ? v : lo;
            hi = v > hi ? v : hi;
        }
    const float step = fmaxf((hi - lo) / 255.0f, GS_EPS), zero = gs_rint(-lo / step) - 128.0f;
    for (int64_t i = 0; i < p->rows * p->in; i++) {
        const float q = gs_rint(p->x[i] / step + zero);
        p->x[i] = ((q < -128.0f ? -128.0f : q > 127.0f ? 127.0f : q) - zero) * step;
    }
}

static float scaled_weight_peak(const pick *p, const float *s)
{
    float peak = 0.0f;
    for (int64_t row = 0; row < p->out; row += p->chunk) {
        const int64_t n = min_i64(p->chunk, p->out - row);
        gs_unpack_rows(p->c, p->g->weight, row, n, p->weight);
        for (int64_t o = 0; o < n; o++) peak = fmaxf(peak, gs_scaled_peak(p->c, p->in, p->weight + o * p->in, s));
    }
    return peak;
}

/* The chunk's weight as the reference simulates it, and the bias that the shift of the input leaves. */
static void simulate_weight(const pick *p, int64_t row, int64_t n, const float *s, float step)
{
    const float *const shift = p->g->stats->shift;
    for (int64_t o = 0; o < n; o++) {
        float *const w = p->weight + o * p->in;
        const float moved = gs_dot_of_one(w, shift, p->in, row + o, p->out);
        p->bias[o] = p->g->bias ? p->g->bias[row + o] + moved : moved;
        for (int64_t i = 0; i < p->in; i++) {
            const float v = w[i] * s[i] / step;
            w[i] = (v < -127.0f ? -127.0f : v > 127.0f ? 127.0f : v) * step;
        }
    }
}

/* to = the group's linear on x: as it is (s NULL), or simulated. */
static gs_status multiply(pick *p, const float *x, const float *s, float *to, gs_error *err)
{
    const float step = s ? fmaxf(scaled_weight_peak(p, s) / 127.0f, GS_EPS) : 0.0f;
    for (int64_t row = 0; row < p->out; row += p->chunk) {
        GS_TRY(gs_check_interrupt(err));
        const int64_t n = min_i64(p->chunk, p->out - row);
        const float *bias = p->g->bias ? p->g->bias + row : NULL;
        gs_unpack_rows(p->c, p->g->weight, row, n, p->weight);
        if (s) {
            simulate_weight(p, row, n, s, step);
            bias = p->bias;
        }
        gs_reference_release(&p->linear);
        GS_TRY(gs_reference_init(&p->linear, n, p->in, err));
        gs_reference_set_rows(&p->linear, p->c, 0, n, p->weight);
        GS_TRY(gs_reference_apply(&p->linear, p->c, p->rows, x, bias, p->part, err));
        for (int64_t r = 0; r < p->rows; r++) memcpy(to + r * p->out + row, p->part + r * n, (size_t)n * sizeof *to);
    }
    return GS_OK;
}

static gs_status measure(pick *p, const float *s, float *loss, gs_error *err)
{
    quantize_input(p, s);
    GS_TRY(multiply(p, p->x, s, p->error, err));
    for (int64_t i = 0; i < p->rows * p->out; i++) {
        const float d = p->error[i] - p->want[i];
        p->error[i] = d * d;
    }
    *loss = gs_torch_mean(p->error, p->rows * p->out);
    return GS_OK;
}

/* Is row k of all equal to an earlier one? */
static bool seen_before(const float *all, int k, int64_t in)
{
    for (int i = 0; i < k; i++)
        if (memcmp(all + i * in, all + k * in, (size_t)in * sizeof *all) == 0) return true;
    return false;
}

static gs_status compare(pick *p, const float *all, int n, int *best, gs_error *err)
{
    float least = INFINITY;
    GS_TRY(multiply(p, p->g->stats->first, NULL, p->want, err));
    for (int k = 0; k < n; k++) {
        float loss;
        if (seen_before(all, k, p->in)) continue;
        GS_TRY(measure(p, all + k * p->in, &loss, err));
        if (loss < least) {
            least = loss;
            *best = k;
        }
    }
    return GS_OK;
}

gs_status gs_m2_float_pick(gs_compute *c, const gs_smooth_group *g, const float *w, const float *t, int n, float *s,
                           int *best, gs_error *err)
{
    const int64_t in = g->weight->k, out = g->weight->n;
    pick p = {.c = c, .g = g, .rows = g->stats->first_rows, .in = in, .out = out, .chunk = min_i64(CHUNK, out)};
    float *const all = gs_alloc_array((size_t)(n * in), sizeof *all);
    bool one = true;
    for (int k = 0; k < n; k++) {
        scales_at(&p, w, t[k], all + k * in);
        one = one && (k == 0 || seen_before(all, k, in));
    }
    *best = 0;
    gs_status status = GS_OK;
    if (!one && in % 8 == 0) {
        status = pick_init(&p, err);
        if (status == GS_OK) status = compare(&p, all, n, best, err);
        pick_release(&p);
    }
    memcpy(s, all + *best * in, (size_t)in * sizeof *s);
    gs_free(all);
    return status;
}
