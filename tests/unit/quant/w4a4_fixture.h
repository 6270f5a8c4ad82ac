/* What the W4A4 tests share: a linear to construct, one run of the whole construction, and the stored results of an
 * independent double-precision construction of the same linears (tests/data/quant/w4a4: inputs of 320 calibration tokens and
 * weights of a small random GLM-4, rounded to float16; numbers = alpha, clip_ratio, mean squared output error, the same with
 * plainly rounded weights, the same with no transform). SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEST_QUANT_W4A4_FIXTURE_H
#define GS_TEST_QUANT_W4A4_FIXTURE_H

#include "unit/calib/fixture.h"

#include "io/checkpoint.h"
#include "quant/w4a4_parts.h"

typedef struct linear_case {
    int64_t tokens, in, out;
    float *x, *w;
} linear_case;

static inline void case_free(linear_case *l)
{
    free(l->x);
    free(l->w);
}

/* Inputs with channels of very different size that also vary together, weights of a bell shape. */
static inline linear_case case_make(int64_t tokens, int64_t in, int64_t out, uint64_t seed)
{
    linear_case l = {.tokens = tokens, .in = in, .out = out};
    l.x = fixture_data(KIND_GAUSS, tokens * in, seed, 1.0f, 0.0f);
    l.w = fixture_data(KIND_GAUSS, out * in, seed + 1, 0.05f, 0.0f);
    uint64_t state = seed + 2;
    float *const size = malloc((size_t)in * sizeof *size);
    for (int64_t j = 0; j < in; j++) size[j] = 0.2f + fabsf(fixture_value(KIND_GAUSS, j, in, &state, 1.0f));
    for (int64_t j = 0; j < in; j += 17) size[j] *= 12.0f;
    for (int64_t t = 0; t < tokens; t++) {
        const float common = fixture_value(KIND_GAUSS, t, tokens, &state, 2.0f);
        for (int64_t j = 0; j < in; j++) l.x[t * in + j] = (l.x[t * in + j] + (j % 3 ? common : -common)) * size[j];
    }
    free(size);
    return l;
}

typedef struct run_options {
    int threads;
    gs_rung rung;
    int64_t keep, cut; /* rows kept; tokens per call, 0 = all */
    gs_w4a4_options construct;
} run_options;

static const run_options run_default = {
    .threads = 2, .keep = 1 << 20, .construct = {.diagonal = true, .eigen = true, .floats = GS_F32}};

typedef struct run_result {
    gs_status status;
    gs_error err;
    gs_compute c;
    gs_packed w;
    gs_w4a4_plan plan;
    int8_t *codes;
    float *scale;
} run_result;

static inline gs_status run_steps(run_result *r, const linear_case *l, const run_options *o, gs_w4a4_stats *s)
{
    const int64_t cut = o->cut ? o->cut : l->tokens;
    GS_TRY(gs_w4a4_stats_init(s, l->in, l->tokens, o->keep, &r->err));
    for (int64_t t = 0; t < l->tokens; t += cut)
        GS_TRY(gs_w4a4_stats_add(s, &r->c, gs_w4a4_min(cut, l->tokens - t), l->x + t * l->in, &r->err));
    GS_TRY(gs_w4a4_choose(&r->plan, &r->c, s, &r->w, &o->construct, &r->err));
    GS_TRY(gs_w4a4_moments_begin(&r->plan, &r->err));
    if (s->kept == l->tokens)
        GS_TRY(gs_w4a4_moments_add(&r->plan, &r->c, s->kept, s->rows, &r->err));
    else
        for (int64_t t = 0; t < l->tokens; t += cut)
            GS_TRY(gs_w4a4_moments_add(&r->plan, &r->c, gs_w4a4_min(cut, l->tokens - t), l->x + t * l->in, &r->err));
    GS_TRY(gs_w4a4_moments_end(&r->plan, &r->c, &r->err));
    for (int64_t row = 0; row < l->out; row += cut) {
        const int64_t n = gs_w4a4_min(cut, l->out - row);
        GS_TRY(gs_w4a4_round(&r->plan, &r->c, &r->w, row, n, r->codes + row * l->in, r->scale + row, &r->err));
    }
    return GS_OK;
}

static inline run_result *run(const linear_case *l, const run_options *o)
{
    run_result *const r = gs_alloc(sizeof *r);
    gs_w4a4_stats s = {0};
    assert_int_equal(gs_compute_open_rung(&r->c, o->threads, o->rung ? o->rung : gs_cpu_best(), &r->err), GS_OK);
    assert_int_equal(gs_packed_alloc(&r->w, GS_PACK_F32, l->out, l->in, "test", &r->err), GS_OK);
    gs_pack_rows(&r->c, &r->w, 0, l->out, l->w);
    r->codes = gs_alloc((size_t)(l->out * l->in));
    r->scale = gs_alloc((size_t)l->out * sizeof(float));
    r->status = run_steps(r, l, o, &s);
    gs_w4a4_stats_release(&s);
    return r;
}

static inline void run_free(run_result *r)
{
    gs_w4a4_plan_release(&r->plan);
    gs_packed_release(&r->w);
    gs_compute_close(&r->c);
    gs_free(r->codes);
    gs_free(r->scale);
    gs_free(r);
}

/* Outputs of the constructed linear as served; caller frees. */
static inline float *run_forward(run_result *r, const linear_case *l, const float *x, int64_t rows)
{
    gs_w4a4_linear linear;
    float *y = malloc((size_t)(rows * l->out) * sizeof *y);
    const gs_w4a4_plan *p = &r->plan;
    assert_int_equal(
        gs_w4a4_linear_init(&linear, &r->c, l->out, l->in, p->left, p->right, p->clip_ratio, p->d, NULL, &r->err),
        GS_OK);
    gs_w4a4_linear_set_rows(&linear, &r->c, 0, l->out, r->codes, r->scale);
    gs_w4a4_linear_forward(&linear, &r->c, rows, x, y);
    gs_w4a4_linear_release(&linear);
    return y;
}

/* Mean squared difference of y and x·wᵀ; *power (may be NULL) = mean square of the latter. */
static inline double output_error(const linear_case *l, const float *x, int64_t rows, const float *y, double *power)
{
    double sum = 0, all = 0;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t o = 0; o < l->out; o++) {
            double exact = 0;
            for (int64_t j = 0; j < l->in; j++) exact += (double)x[t * l->in + j] * (double)l->w[o * l->in + j];
            const double e = (double)y[t * l->out + o] - exact;
            sum += e * e;
            all += exact * exact;
        }
    if (power) *power = all / (double)(rows * l->out);
    return sum / (double)(rows * l->out);
}

static inline double run_error(run_result *r, const linear_case *l)
{
    float *y = run_forward(r, l, l->x, l->tokens);
    const double error = output_error(l, l->x, l->tokens, y, NULL);
    free(y);
    return error;
}

#endif
