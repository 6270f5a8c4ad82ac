/* Scores against PyTorch, the choice of act_method 3, and the ranges of the KV cache.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "calib/observer.h"
#include "calib/stream.h"

static void close_to(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance * fabs(expected))) fail_msg("%.9g is not %.9g", value, expected);
}

static void score_equals_pytorch(void **state)
{
    (void)state;
    static const int threads[] = {1, 3};
    for (int t = 0; t < 2; t++) {
        gs_compute c;
        fixture_compute(&c, threads[t]);
        FILE *f = fixture_open("calib/score.txt");
        char name[64];
        int cols, samples, layers = 0;
        while (fscanf(f, "%63s %d %d", name, &cols, &samples) == 3) {
            gs_score s = {0};
            for (int i = 0; i < samples; i++) {
                int64_t n;
                float *x = fixture_read_sample(f, &n);
                gs_error err = {0};
                assert_int_equal(gs_score_add(&s, &c, n / cols, cols, x, &err), GS_OK);
                free(x);
            }
            unsigned t_max, t_min;
            double deviation, score;
            assert_int_equal(fscanf(f, "%x %x %lf %lf", &t_max, &t_min, &deviation, &score), 4);
            assert_int_equal(gs_f32_bits(s.t_max), t_max);
            assert_int_equal(gs_f32_bits(s.t_min), t_min);
            close_to((double)s.std, deviation, 1e-6);
            close_to((double)gs_score_value(&s), score, 1e-6);
            assert_int_equal(gs_score_observer(&s), score <= 50.0 ? GS_OBSERVE_HISTOGRAM : GS_OBSERVE_MINMAX);
            layers++;
        }
        assert_true(layers >= 6);
        (void)fclose(f);
        gs_compute_close(&c);
    }
}

static void score_chooses_observer(void **state)
{
    (void)state;
    gs_score s = {0};
    assert_int_equal(gs_score_observer(&s), GS_OBSERVE_HISTOGRAM); /* never seen */
    s = (gs_score){.seen = true, .t_max = 1.0f, .t_min = -100.0f, .std = 2.0f};
    assert_true(gs_score_value(&s) == 50.0f);
    assert_int_equal(gs_score_observer(&s), GS_OBSERVE_HISTOGRAM);
    s.t_min = -100.00001f;
    assert_int_equal(gs_score_observer(&s), GS_OBSERVE_MINMAX);
    s = (gs_score){.seen = true};
    assert_int_equal(gs_score_observer(&s), GS_OBSERVE_HISTOGRAM); /* all zero */
    s = (gs_score){.seen = true, .t_max = 1.0f};
    assert_int_equal(gs_score_observer(&s), GS_OBSERVE_MINMAX); /* no spread at all */
}

static void kv_ranges_run(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    gs_kv_range r;
    gs_kv_range_init(&r, 2);
    /* [rows, 7]: three columns of q, k0 k1, v0 v1; 9s would show if q were read */
    const float a[14] = {9, 9, 9, 1, -2, 0.5f, 0, 9, 9, 9, 3, -1, 0.25f, 0};
    const float b[7] = {9, 9, 9, -4, -1, 0.125f, 0};
    gs_kv_range_add(&r, &c, 2, a, 7, 3);
    gs_kv_range_add(&r, &c, 1, b, 7, 3);
    static const float min[4] = {-4, -2, 0.125f, 0}, max[4] = {3, -1, 0.5f, 0};
    float scale[4];
    gs_kv_range_scales(&r, scale);
    for (int j = 0; j < 4; j++) assert_true(r.min[j] == min[j] && r.max[j] == max[j]);
    assert_true(scale[0] == 4.0f / 127.0f && scale[1] == 2.0f / 127.0f && scale[2] == 0.5f / 127.0f &&
                scale[3] == GS_EPS);
    gs_kv_range_release(&r);
    gs_kv_range_release(&r);
    gs_compute_close(&c);
}

static void streams_have_rows(void **state)
{
    (void)state;
    gs_error err = {0};
    gs_stream s;
    assert_int_equal(gs_stream_init(&s, 10, 6, "test stream", &err), GS_OK);
    assert_int_equal(gs_stream_bytes(10, 6), 240);
    float *rows;
    assert_int_equal(gs_stream_read(&s, 3, 7, &rows, &err), GS_OK);
    assert_ptr_equal(rows, (float *)s.buf.data + 18);
    rows[6 * 6 + 5] = 1.0f;
    assert_int_equal(gs_stream_write(&s, 3, 7, &err), GS_OK);
    assert_ptr_equal(gs_stream_room(&s, 9), rows + 36);
    gs_stream_release(&s);
    gs_stream_release(&s);
    assert_true(gs_stream_bytes(INT64_MAX, 4096) == SIZE_MAX && gs_stream_bytes(-1, 1) == SIZE_MAX);
    assert_int_equal(gs_stream_init(&s, INT64_MAX, 4096, "test stream", &err), GS_ERR_MEMORY);
    assert_non_null(strstr(err.text, "test stream"));
    gs_stream_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score_equals_pytorch),
        cmocka_unit_test(score_chooses_observer),
        cmocka_unit_test(kv_ranges_run),
        cmocka_unit_test(streams_have_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
