/* The W4A4 construction against an independent one in double precision.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/quant/w4a4_fixture.h"

typedef struct golden {
    const char *name;
    linear_case linear;
    float *d, *left, *right, *scale, *numbers;
    int8_t *codes;
} golden;

static void *read_tensor(const gs_checkpoint *ck, const char *a, const char *b, int64_t shape[2])
{
    char name[64];
    gs_error err = {0};
    (void)snprintf(name, sizeof name, "%s.%s", a, b);
    const gs_tensor *t = gs_checkpoint_find(ck, name);
    assert_non_null(t);
    shape[0] = t->shape[0];
    shape[1] = t->rank > 1 ? t->shape[1] : 1;
    void *data = malloc((size_t)t->elements * 4);
    const gs_status status = t->dtype == GS_I8 ? gs_checkpoint_read(ck, t, 0, data, (size_t)t->elements, &err)
                                               : gs_checkpoint_read_f32(ck, t, data, &err);
    if (status != GS_OK) fail_msg("%s", err.text);
    return data;
}

static golden golden_read(const char *name, const char *inputs)
{
    gs_checkpoint ck;
    gs_error err = {0};
    int64_t shape[2];
    golden g = {.name = name};
    if (gs_checkpoint_open(&ck, GS_SOURCE_DIR "/tests/data/quant/w4a4", &err) != GS_OK) fail_msg("%s", err.text);
    g.linear.x = read_tensor(&ck, inputs, "x", shape);
    g.linear.tokens = shape[0];
    g.linear.in = shape[1];
    g.linear.w = read_tensor(&ck, inputs, "w", shape);
    g.linear.out = shape[0];
    g.d = read_tensor(&ck, name, "d", shape);
    g.left = read_tensor(&ck, name, "left", shape);
    g.right = read_tensor(&ck, name, "right", shape);
    g.scale = read_tensor(&ck, name, "scale", shape);
    g.codes = read_tensor(&ck, name, "codes", shape);
    g.numbers = read_tensor(&ck, name, "numbers", shape);
    gs_checkpoint_close(&ck);
    return g;
}

static void golden_free(golden *g)
{
    case_free(&g->linear);
    free(g->d);
    free(g->left);
    free(g->right);
    free(g->scale);
    free(g->codes);
    free(g->numbers);
}

static double largest_difference(const float *x, const float *y, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i] - (double)y[i]));
    return most;
}

/* Share of codes that differ when the rows are rounded with the stored scales. */
static double codes_differing(run_result *r, const golden *g)
{
    const linear_case *l = &g->linear;
    float *const wt = r->plan.work.data, *const work = wt + l->out * l->in;
    int8_t *const codes = malloc((size_t)(l->out * l->in));
    memcpy(wt, l->w, (size_t)(l->out * l->in) * sizeof *wt);
    gs_w4a4_enter(&r->plan.weight, &r->c, r->plan.d, true, l->out, wt, work);
    gs_w4a4_round_rows(&r->plan, &r->c, l->out, g->scale, codes);
    int64_t different = 0;
    for (int64_t i = 0; i < l->out * l->in; i++) {
        different += codes[i] != g->codes[i];
        assert_true(abs(codes[i] - g->codes[i]) <= 2);
    }
    free(codes);
    return (double)different / (double)(l->out * l->in);
}

static void check(const char *name, const char *inputs, bool diagonal, bool eigen)
{
    golden g = golden_read(name, inputs);
    run_options o = run_default;
    o.construct.diagonal = diagonal;
    o.construct.eigen = eigen;
    run_result *r = run(&g.linear, &o);
    if (r->status != GS_OK) fail_msg("%s", r->err.text);
    const gs_w4a4_plan *p = &r->plan;
    assert_true(fabs(p->alpha - (double)g.numbers[0]) < 1e-6);
    assert_true(p->clip_ratio == g.numbers[1]);
    for (int64_t j = 0; j < p->in; j++) assert_true(fabsf(p->d[j] / g.d[j] - 1.0f) < 1e-6f);
    const double left = largest_difference(p->left, g.left, p->a * p->a);
    const double right = largest_difference(p->right, g.right, p->b * p->b);
    const double codes = codes_differing(r, &g), error = run_error(r, &g.linear);
    double scale = 0;
    for (int64_t o_row = 0; o_row < g.linear.out; o_row++)
        scale += fabs((double)(r->scale[o_row] / g.scale[o_row]) - 1.0);
    printf("%s: alpha %g, clip %g, L %.1e, R %.1e, codes differing at equal scales %.2f %%, scales %.1f %%, output "
           "error %.5g "
           "(stored: %.5g, plain weights %.5g, no transform %.5g)\n",
           name, p->alpha, (double)p->clip_ratio, left, right, codes * 100, 100 * scale / (double)g.linear.out, error,
           (double)g.numbers[2], (double)g.numbers[3], (double)g.numbers[4]);
    assert_true(left < 1e-4 && right < 1e-4);
    assert_true(codes < 0.02);
    assert_true(error < 1.02 * (double)g.numbers[2]);
    assert_true(error < 0.95 * (double)g.numbers[3] && error < 0.5 * (double)g.numbers[4]);
    run_free(r);
    golden_free(&g);
}

static void with_diagonal(void **state)
{
    (void)state;
    check("eigen", "eigen", true, true);
}

static void without_eigenvectors(void **state)
{
    (void)state;
    check("plain", "eigen", true, false);
}

static void without_diagonal(void **state)
{
    (void)state;
    check("square", "square", false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_diagonal),
        cmocka_unit_test(without_eigenvectors),
        cmocka_unit_test(without_diagonal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
