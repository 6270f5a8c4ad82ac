/* Every method on every group of the tiny models against the reference: scales, divisors, exponents, search curves.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/smooth/fixture.h"

#define LIMIT 2e-5

static tiny *a, *c;

static int open_models(void **state)
{
    (void)state;
    a = tiny_open("tiny-a");
    c = tiny_open("tiny-c");
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    tiny_close(a);
    tiny_close(c);
    return 0;
}

static double compare(const tiny *t, const char *method, int layer, gs_role role, const char *what, const float *got,
                      int64_t n)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d.%s.%s", method, layer, role_names[role], what);
    float *const want = golden_read(&t->golden, name, n);
    const double error = worst_relative(got, want, n);
    if (!(error <= LIMIT)) fail_msg("%s: worst error %.3g", name, error);
    test_free(want);
    return error;
}

static const json_t *notes_of(const tiny *t, const char *method, int layer, gs_role role)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d.%s", method, layer, role_names[role]);
    const json_t *const notes = json_object_get(json_object_get(t->json, "groups"), name);
    if (!notes) fail_msg("no notes for %s", name);
    return notes;
}

static double number(const json_t *notes, const char *key)
{
    const json_t *const value = json_object_get(notes, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* The reference's curve at our choice is within 1e-6 of its least value, and our loss is the curve's: to 1e-6 at most points, but
 * a code beside a rounding boundary that falls to the other side moves the loss of a linear this small by up to 2e-3. */
static void expect_on_curve(const json_t *curve, int index, double loss)
{
    const double tolerance = 3e-3;
    double least = INFINITY;
    assert_true(json_is_array(curve) && index >= 0 && index < (int)json_array_size(curve));
    for (size_t i = 0; i < json_array_size(curve); i++)
        least = fmin(least, json_number_value(json_array_get(curve, i)));
    const double there = json_number_value(json_array_get(curve, (size_t)index));
    if (there > least * (1 + 1e-6)) fail_msg("index %d has %.9g, the least is %.9g", index, there, least);
    if (fabs(loss - there) > tolerance * there) fail_msg("loss %.9g instead of %.9g", loss, there);
}

static void expect_choice(const char *method, const json_t *notes, const gs_smooth_choice *choice)
{
    if (method[1] == '2') {
        const bool searched = strcmp(json_string_value(json_object_get(notes, "branch")), "search") == 0;
        assert_string_equal(choice->branch, searched ? "threshold" : "ratio");
        if (!searched) return;
        assert_int_equal(choice->scaled_channels, (int64_t)number(notes, "n_scaled_channels"));
        expect_on_curve(json_object_get(notes, "losses"), choice->index, choice->loss_after);
    } else if (method[1] == '3') {
        expect_on_curve(json_object_get(notes, "losses"), choice->index, choice->loss_after);
        assert_int_equal(choice->index, (int)number(notes, "ratio_index"));
    } else if (method[1] == '5') {
        if (fabs(choice->threshold - number(notes, "fine_plus")) > 2e-5 * choice->threshold)
            fail_msg("threshold %.9g instead of %.9g", choice->threshold, number(notes, "fine_plus"));
    } else if (method[1] == '6') {
        const int alpha = (int)lround(choice->alpha * 20), beta = (int)lround(choice->beta * 20);
        expect_on_curve(json_object_get(notes, "errors_beta"), beta, choice->loss_after);
        assert_int_equal(alpha, (int)lround(number(notes, "alpha") * 20));
        assert_int_equal(beta, (int)lround(number(notes, "beta") * 20));
    }
}

static double check_norms(tiny *t, const char *golden_name, const gs_smoother *m, int w_bit, bool w_sym)
{
    double worst = 0;
    for (int layer = 0; layer < t->model.config.layers; layer++)
        for (gs_role role = GS_QKV; role <= GS_H4; role = role == GS_QKV ? GS_H4 : GS_ROLES) {
            gs_smooth_group g = tiny_group(t, layer, role);
            gs_smooth_choice choice;
            g.w_bit = w_bit;
            g.w_sym = w_sym;
            float *const s = test_malloc((size_t)g.weight->k * sizeof *s);
            OK(m->scale(&t->compute, &g, s, &choice, ERR));
            worst = fmax(worst, compare(t, golden_name, layer, role, "s", s, g.weight->k));
            expect_choice(golden_name, notes_of(t, golden_name, layer, role), &choice);
            assert_true(choice.range_before > 0 && choice.range_after > 0 && choice.zero_channels == 0);
            if (!isnan(choice.loss_before)) assert_true(choice.loss_after <= choice.loss_before);
            test_free(s);
        }
    return worst;
}

static double check_pairs(tiny *t, const gs_smoother *m)
{
    double worst = 0;
    for (int layer = 0; layer < t->model.config.layers; layer++)
        for (gs_role role = GS_DENSE; role < GS_ROLES; role = role == GS_DENSE ? GS_4H : GS_ROLES) {
            const gs_smooth_group g = tiny_group(t, layer, role);
            const gs_smooth_pair p = config_pair(&t->model.config, role, true);
            gs_smooth_choice choice;
            float *const s = test_malloc((size_t)g.weight->k * sizeof *s);
            float *const div = test_malloc((size_t)p.rows * sizeof *div);
            OK(m->pair(&t->compute, &g, &p, s, div, &choice, ERR));
            worst = fmax(worst, compare(t, m->name, layer, role, "s", s, g.weight->k));
            worst = fmax(worst, compare(t, m->name, layer, role, "div", div, p.rows));
            expect_choice(m->name, notes_of(t, m->name, layer, role), &choice);
            test_free(s);
            test_free(div);
        }
    return worst;
}

static void check_method(tiny *t, const char *name)
{
    const gs_smoother *const m = gs_smoother_find(name);
    assert_non_null(m);
    const double norms = check_norms(t, name, m, 8, true), pairs = m->pairs ? check_pairs(t, m) : 0;
    print_message("%s: worst error %.2g on norms, %.2g on pairs\n", name, norms, pairs);
}

static void m1(void **state)
{
    (void)state;
    check_method(a, "m1");
}
static void m2(void **state)
{
    (void)state;
    check_method(a, "m2");
}
static void m3(void **state)
{
    (void)state;
    check_method(a, "m3");
}
static void m5(void **state)
{
    (void)state;
    check_method(a, "m5");
}

static void m3_asymmetric_4_bits(void **state)
{
    (void)state;
    print_message("m3, 4 bits: worst error %.2g\n", check_norms(a, "m3asym", gs_smoother_find("m3"), 4, false));
}

static void m4(void **state)
{
    (void)state;
    check_method(a, "m4");
    check_method(c, "m4");
}

static void m6(void **state)
{
    (void)state;
    check_method(a, "m6");
    check_method(c, "m6");
}

/* The shapes of the fixtures reach both rules of the reference. */
static void rules(void **state)
{
    (void)state;
    assert_string_equal(json_string_value(json_object_get(notes_of(a, "m4", 0, GS_DENSE), "rule")), "2x");
    assert_string_equal(json_string_value(json_object_get(notes_of(c, "m4", 0, GS_DENSE), "rule")), "gqa");
    assert_string_equal(json_string_value(json_object_get(notes_of(c, "m4", 0, GS_4H), "rule")), "2x");
}

/* An end of a range may lie near 0: relative to the channel's greatest magnitude. */
static double compare_ends(const tiny *t, int layer, gs_role role, const char *what, const float *got)
{
    const gs_outlier_stats *const s = &t->stats[layer][role];
    char name[64];
    double worst = 0;
    snprintf(name, sizeof name, "stat.%d.%s.%s", layer, role_names[role], what);
    float *const want = golden_read(&t->golden, name, s->channels);
    for (int64_t i = 0; i < s->channels; i++) {
        const double error = fabs((double)got[i] - (double)want[i]) / (double)s->abs_max[i];
        if (!(error <= LIMIT)) fail_msg("%s[%d]: %.9g instead of %.9g", name, (int)i, (double)got[i], (double)want[i]);
        worst = fmax(worst, error);
    }
    test_free(want);
    return worst;
}

static void statistics(void **state)
{
    tiny *const models[] = {a, c};
    double worst = 0;
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int layer = 0; layer < models[i]->model.config.layers; layer++)
            for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
                const gs_outlier_stats *const s = &models[i]->stats[layer][role];
                worst = fmax(worst, compare(models[i], "stat", layer, role, "smooth_scale", s->abs_max, s->channels));
                worst = fmax(worst, compare(models[i], "stat", layer, role, "thres_t", &s->thres_t, 1));
                worst = fmax(worst, compare(models[i], "stat", layer, role, "std", &s->std, 1));
                worst = fmax(worst, compare_ends(models[i], layer, role, "max", s->max));
                worst = fmax(worst, compare_ends(models[i], layer, role, "min", s->min));
                worst = fmax(worst, compare_ends(models[i], layer, role, "shift", s->shift));
                worst = fmax(worst, compare_ends(models[i], layer, role, "thres_c", s->thres));
                assert_int_equal(s->samples, models[i]->samples.count);
                assert_int_equal(s->tokens, models[i]->samples.tokens);
            }
    print_message("statistics: worst error %.2g\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics), cmocka_unit_test(rules), cmocka_unit_test(m1),
        cmocka_unit_test(m2),         cmocka_unit_test(m3),    cmocka_unit_test(m3_asymmetric_4_bits),
        cmocka_unit_test(m4),         cmocka_unit_test(m5),    cmocka_unit_test(m6),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
