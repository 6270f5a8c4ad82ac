/* The histogram against PyTorch 1.13.1: bounds, all 2048 counts and the range found, bit for bit, after every sample;
 * then sizes and growth that PyTorch cannot do.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "base/sys.h"
#include "calib/histogram.h"

static void check_sequence(FILE *f, gs_compute *c, const char *name, int truncate, int samples)
{
    gs_hist h = {.truncate = truncate != 0};
    for (int i = 0; i < samples; i++) {
        int64_t n;
        float *x = fixture_read_sample(f, &n);
        unsigned bits[4];
        unsigned long long hash;
        assert_int_equal(fscanf(f, "%x %x %x %x %llx", &bits[0], &bits[1], &bits[2], &bits[3], &hash), 5);
        float min, max, xmin, xmax;
        bool finite;
        gs_minmax(c, n, x, &min, &max, &finite);
        gs_error err = {0};
        assert_int_equal(gs_hist_add(&h, c, n, x, min, max, &err), GS_OK);
        gs_hist_search(&h, &xmin, &xmax);
        free(x);
        if (gs_f32_bits(h.min) != bits[0] || gs_f32_bits(h.max) != bits[1] ||
            fixture_hash(h.bin, sizeof h.bin) != hash || gs_f32_bits(xmin) != bits[2] || gs_f32_bits(xmax) != bits[3]) {
            fail_msg(
                "%s (truncate %d) sample %d: bounds %.9g %.9g for %.9g %.9g, range %.9g %.9g for %.9g %.9g, counts %s",
                name, truncate, i, (double)h.min, (double)h.max, (double)gs_f32_from_bits(bits[0]),
                (double)gs_f32_from_bits(bits[1]), (double)xmin, (double)xmax, (double)gs_f32_from_bits(bits[2]),
                (double)gs_f32_from_bits(bits[3]), fixture_hash(h.bin, sizeof h.bin) == hash ? "equal" : "differ");
        }
    }
}

static void equals_pytorch(void **state)
{
    (void)state;
    static const int threads[] = {1, 3};
    for (int t = 0; t < 2; t++) {
        gs_compute c;
        fixture_compute(&c, threads[t]);
        FILE *f = fixture_open("calib/histogram.txt");
        char name[64];
        int truncate, samples, sequences = 0;
        while (fscanf(f, "%63s %d %d", name, &truncate, &samples) == 3) {
            check_sequence(f, &c, name, truncate, samples);
            sequences++;
        }
        assert_true(sequences >= 36);
        (void)fclose(f);
        gs_compute_close(&c);
    }
}

static void add(gs_hist *h, gs_compute *c, float a, float b)
{
    const float x[2] = {a, b};
    gs_error err = {0};
    if (gs_hist_add(h, c, 2, x, fminf(a, b), fmaxf(a, b), &err) != GS_OK) fail_msg("%s", err.text);
}

static double total(const gs_hist *h)
{
    double sum = 0.0;
    for (int i = 0; i < GS_HIST_BINS; i++) sum += (double)h->bin[i];
    return sum;
}

/* Growth by a million and by 1e30 costs no memory and loses no counts. */
static void grows_without_bound(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    gs_hist h = {0};
    float xmin, xmax;
    add(&h, &c, -1.0f, 1.0f);
    add(&h, &c, -1e6f, 1e6f);
    assert_true(fabs(total(&h) - 4.0) < 1e-3);
    assert_true(h.min == -1e6f && h.max >= 1e6f && h.max < 1.001e6f);
    add(&h, &c, -1e30f, 2e30f);
    assert_true(fabs(total(&h) - 6.0) < 1e-3);
    assert_true(h.bin[GS_HIST_BINS / 3] >= 3.9f);
    gs_hist_search(&h, &xmin, &xmax);
    assert_true(xmin >= -1e30f && xmax <= 2.01e30f && xmin < xmax);
    gs_compute_close(&c);
}

static void survives_degenerate_ranges(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static const float values[] = {0.0f, -0.0f, 1e-45f, -3.4e38f, 1e30f, 16777216.0f};
    for (int truncate = 0; truncate < 2; truncate++) {
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            gs_hist h = {.truncate = truncate};
            float xmin, xmax;
            if (fabsf(values[i]) < 1e38f) {
                add(&h, &c, values[i], values[i]);
                add(&h, &c, values[i], values[i]);
                gs_hist_search(&h, &xmin, &xmax);
                assert_true(xmin == values[i] && xmax == values[i]);
            }
        }
        gs_hist h = {.truncate = truncate};
        float xmin, xmax;
        add(&h, &c, 0.0f, 1e-44f);
        add(&h, &c, 0.0f, 1e-40f);
        add(&h, &c, 0.0f, 2e-31f);
        gs_hist_search(&h, &xmin, &xmax);
        assert_true(xmin == 0.0f && xmax >= 2e-31f);
    }
    gs_compute_close(&c);
}

static void refuses_ranges_beyond_float32(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    const float x[2] = {-3e38f, 3e38f};
    gs_hist h = {0};
    gs_error err = {0};
    assert_int_equal(gs_hist_add(&h, &c, 2, x, x[0], x[1], &err), GS_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "3e+38"));
    assert_false(h.seen);
    gs_compute_close(&c);
}

/* A search that runs through all its steps stays cheap: a smooth histogram, whole range. */
static void search_is_cheap(void **state)
{
    (void)state;
    gs_hist h = {.seen = true, .min = -4.0f, .max = 4.0f};
    for (int i = 0; i < GS_HIST_BINS; i++) {
        const double t = ((double)i + 0.5) / GS_HIST_BINS * 16.0 - 8.0;
        h.bin[i] = (float)(1e6 / (1.0 + t * t * t * t * t * t));
    }
    float xmin, xmax;
    double best = INFINITY;
    for (int k = 0; k < 5; k++) {
        const double start = gs_seconds();
        gs_hist_search(&h, &xmin, &xmax);
        best = fmin(best, gs_seconds() - start);
    }
    print_message("search of a smooth histogram: %.3f ms, range %g %g\n", best * 1e3, (double)xmin, (double)xmax);
    assert_true(best < 0.5); /* coarse: sanitizers and a busy machine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(grows_without_bound),
        cmocka_unit_test(survives_degenerate_ranges),
        cmocka_unit_test(refuses_ranges_beyond_float32),
        cmocka_unit_test(search_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
