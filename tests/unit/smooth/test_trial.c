/* Trials of scales against the same arithmetic written out in double: both weight grids, both input grids, picked rows, input
 * ranges far from zero, more rows than one turn takes. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/trial.h"
#include "unit/smooth/fixture.h"

typedef struct slow {
    double error, reference;
} slow;

static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* The weight row times t as its codes mean it. */
static void slow_weight(const gs_trial *trial, const float *w, const float *t, double *out)
{
    const int64_t n = trial->weight->k;
    float peak = 0;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)fabsf(w[i] * t[i]) / (double)n;
    for (int64_t i = 0; i < n; i++) variance += pow((double)fabsf(w[i] * t[i]) - mean, 2) / (double)(n - 1);
    const bool four = trial->kind == GS_TRIAL_W4_OUTLIERS;
    for (int64_t i = 0; i < n; i++) {
        const float a = fabsf(w[i] * t[i]);
        if (!four || !((double)a / sqrt(variance) > 3.0)) peak = fmaxf(peak, a);
    }
    const float step = fmaxf(peak / (four ? 7.0f : 127.0f), GS_EPS);
    for (int64_t i = 0; i < n; i++) {
        const bool outlier = four && (double)fabsf(w[i] * t[i]) / sqrt(variance) > 3.0;
        const double top = four && !outlier ? 7 : 127;
        out[i] = clamp(nearbyint((double)(w[i] * t[i] / step)), -top, top) * (double)step;
    }
}

static slow slow_trial(const gs_trial *trial, const float *w, const float *t)
{
    const int64_t n = trial->weight->k, outs = trial->weight->n;
    slow sum = {0};
    float lo = INFINITY, hi = -INFINITY;
    double *const wq = test_malloc((size_t)(outs * n) * sizeof *wq), *const xq = test_malloc((size_t)n * sizeof *xq);
    for (int64_t o = 0; o < outs; o++) slow_weight(trial, w + o * n, t, wq + o * n);
    for (int64_t i = 0; i < n; i++) {
        lo = fminf(lo, trial->min[i] / t[i]);
        hi = fmaxf(hi, trial->max[i] / t[i]);
    }
    const float step = fmaxf(trial->symmetric ? fmaxf(-lo, hi) / 127.0f : (hi - lo) / 255.0f, GS_EPS);
    const float zero = trial->symmetric ? 0.0f : nearbyintf(-lo / step) - 128.0f;
    for (int64_t row = 0; row < trial->rows; row++) {
        const float *const x = trial->x + row * trial->stride * n;
        for (int64_t i = 0; i < n; i++)
            xq[i] = (clamp(nearbyint((double)(x[i] / t[i] / step + zero)), -128, 127) - (double)zero) * (double)step;
        for (int64_t o = 0; o < outs; o++) {
            double got = 0, want = 0;
            for (int64_t i = 0; i < n; i++) {
                got += xq[i] * wq[o * n + i];
                want += (double)x[i] * (double)w[o * n + i];
            }
            sum.error += pow(got - want, trial->power);
            sum.reference += want * want;
        }
    }
    test_free(wq);
    test_free(xq);
    return sum;
}

static void check(gs_compute *c, made *m, const char *what, int64_t stride, bool symmetric, gs_trial_weight kind,
                  int power)
{
    enum { COUNT = 3 };
    float *const t = test_malloc((size_t)(COUNT * m->in) * sizeof *t);
    double error[COUNT], reference;
    gs_trial trial = {.weight = &m->weight,
                      .rows = (m->rows + stride - 1) / stride,
                      .stride = stride,
                      .x = m->x,
                      .min = m->stats.min,
                      .max = m->stats.max,
                      .symmetric = symmetric,
                      .kind = kind,
                      .power = power};
    for (int64_t i = 0; i < m->in; i++) {
        t[i] = 1.0f;
        t[m->in + i] = sqrtf(m->stats.abs_max[i]);
        t[2 * m->in + i] = m->stats.abs_max[i];
    }
    OK(gs_trial_run(c, &trial, COUNT, t, error, &reference, ERR));
    for (int i = 0; i < COUNT; i++) {
        const slow want = slow_trial(&trial, m->w, t + i * m->in);
        if (!(fabs(error[i] - want.error) <= 1e-4 * want.error))
            fail_msg("%s, scale %d: %.9g instead of %.9g", what, i, error[i], want.error);
        if (!(fabs(reference - want.reference) <= 1e-5 * want.reference))
            fail_msg("%s: reference %.9g instead of %.9g", what, reference, want.reference);
    }
    test_free(t);
}

static void against_double(void **state)
{
    gs_compute c;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 50, 75, 130, 11);
    made_finish(&m, 50, 0);
    check(&c, &m, "8 bits", 1, false, GS_TRIAL_W8, 2);
    check(&c, &m, "every third row", 3, false, GS_TRIAL_W8, 2);
    check(&c, &m, "symmetric, fourth power", 1, true, GS_TRIAL_W8, 4);
    check(&c, &m, "4 bits with outliers", 1, true, GS_TRIAL_W4_OUTLIERS, 4);
    made_release(&m);
    gs_compute_close(&c);
}

/* All inputs near 1000: the zero point is about -50000 steps away from the codes. */
static void far_from_zero(void **state)
{
    gs_compute c;
    uint64_t seed = 5;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 30, 40, 20, 12);
    for (int64_t i = 0; i < m.rows * m.in; i++) m.x[i] = 1000.0f + 2.0f * noise(&seed);
    made_finish(&m, 30, 0);
    double error, reference;
    float t[40];
    const gs_trial trial = {.weight = &m.weight,
                            .rows = 30,
                            .stride = 1,
                            .x = m.x,
                            .min = m.stats.min,
                            .max = m.stats.max,
                            .kind = GS_TRIAL_W8,
                            .power = 2};
    for (int i = 0; i < 40; i++) t[i] = 1.0f;
    OK(gs_trial_run(&c, &trial, 1, t, &error, &reference, ERR));
    const slow want = slow_trial(&trial, m.w, t);
    if (!(fabs(error - want.error) <= 1e-3 * want.error)) fail_msg("%.9g instead of %.9g", error, want.error);
    made_release(&m);
    gs_compute_close(&c);
}

/* More rows than one turn, more weight rows than one chunk: the sum over parts is the sum of the parts. */
static void many_rows(void **state)
{
    gs_compute c;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 4500, 33, 70, 13);
    made_finish(&m, 4500, 0);
    double whole, reference, parts = 0, part;
    float t[33];
    gs_trial trial = {.weight = &m.weight,
                      .rows = 4500,
                      .stride = 1,
                      .x = m.x,
                      .min = m.stats.min,
                      .max = m.stats.max,
                      .kind = GS_TRIAL_W8,
                      .power = 2};
    for (int i = 0; i < 33; i++) t[i] = 1.0f + (float)i;
    OK(gs_trial_run(&c, &trial, 1, t, &whole, &reference, ERR));
    trial.rows = 900;
    for (int i = 0; i < 5; i++, trial.x += 900 * 33) {
        OK(gs_trial_run(&c, &trial, 1, t, &part, &reference, ERR));
        parts += part;
    }
    if (!(fabs(whole - parts) <= 1e-12 * parts)) fail_msg("%.15g instead of %.15g", whole, parts);
    made_release(&m);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_double), cmocka_unit_test(far_from_zero),
                                       cmocka_unit_test(many_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
