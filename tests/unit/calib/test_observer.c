/* The observers as the walk uses them: min-max ranges of the Python reference bit for bit, refusal of NaN and Inf.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "calib/observer.h"

static void minmax_equals_reference(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    FILE *f = fixture_open("calib/minmax.txt");
    int samples, layers = 0;
    while (fscanf(f, "%d", &samples) == 1) {
        gs_observer *o = gs_observer_create(GS_OBSERVE_MINMAX, false);
        for (int i = 0; i < samples; i++) {
            unsigned b[4];
            assert_int_equal(fscanf(f, "%x %x %x %x", &b[0], &b[1], &b[2], &b[3]), 4);
            const float x[3] = {gs_f32_from_bits(b[1]), gs_f32_from_bits(b[0]), gs_f32_from_bits(b[0])};
            float xmin, xmax;
            gs_error err = {0};
            assert_int_equal(gs_observer_add(o, &c, 3, x, &xmin, &xmax, &err), GS_OK);
            assert_int_equal(gs_f32_bits(xmin), b[2]);
            assert_int_equal(gs_f32_bits(xmax), b[3]);
        }
        gs_observer_free(o);
        layers++;
    }
    assert_true(layers >= 10);
    (void)fclose(f);
    gs_compute_close(&c);
}

static void minmax_keeps_many_samples(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    gs_observer *o = gs_observer_create(GS_OBSERVE_MINMAX, false);
    for (int i = 0; i < 1000; i++) {
        const float x[2] = {-(float)i, (float)(2 * i)};
        float xmin, xmax;
        gs_error err = {0};
        assert_int_equal(gs_observer_add(o, &c, 2, x, &xmin, &xmax, &err), GS_OK);
        assert_true(xmin == -(float)i / 2.0f && xmax == (float)i); /* sums of whole numbers are exact */
    }
    gs_observer_free(o);
    gs_compute_close(&c);
}

static void refuses_nonfinite(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int kind = GS_OBSERVE_MINMAX; kind <= GS_OBSERVE_HISTOGRAM; kind++) {
        for (int i = 0; i < 3; i++) {
            gs_observer *o = gs_observer_create((gs_observer_kind)kind, true);
            float x[200] = {1.0f, -1.0f}, xmin = 0.0f, xmax = 0.0f;
            gs_error err = {0};
            assert_int_equal(gs_observer_add(o, &c, 200, x, &xmin, &xmax, &err), GS_OK);
            x[199] = bad[i];
            assert_int_equal(gs_observer_add(o, &c, 200, x, &xmin, &xmax, &err), GS_ERR_NUMERIC);
            assert_non_null(strstr(err.text, "NaN or Inf"));
            gs_score s = {0};
            assert_int_equal(gs_score_add(&s, &c, 2, 100, x, &err), GS_ERR_NUMERIC);
            assert_false(s.seen);
            gs_observer_free(o);
        }
    }
    gs_compute_close(&c);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(gs_observer_kind_name(GS_OBSERVE_MINMAX), "min-max");
    assert_string_equal(gs_observer_kind_name(GS_OBSERVE_HISTOGRAM), "histogram");
    gs_observer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minmax_equals_reference),
        cmocka_unit_test(minmax_keeps_many_samples),
        cmocka_unit_test(refuses_nonfinite),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
