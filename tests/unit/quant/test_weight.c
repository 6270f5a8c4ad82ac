/* Weight codes: the worked example, edges, and independence of the number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/weight.h"

static void worked_example(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static const float w[6] = {0.5f, -1.0f, 0.25f, 0.1f, 0.2f, -0.05f};
    static const int8_t expected[6] = {64, -127, 32, 64, 127, -32};
    float scale[2];
    int8_t codes[6];
    gs_weight_w8_sym(&c, 2, 3, w, scale, codes);
    assert_true(scale[0] == 0.007874016f && scale[1] == 0.0015748031f);
    assert_memory_equal(codes, expected, 6);
    gs_compute_close(&c);
}

static void edges(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    float w[4 * 40] = {0}, scale[4];
    int8_t codes[4 * 40];
    w[40] = 1e-9f;  /* row 1: below the least scale */
    w[80] = -3e38f; /* row 2: near the end of float32 */
    w[119] = 1.5e38f;
    for (int i = 0; i < 40; i++) w[120 + i] = ((float)i - 19.5f) * 0.5f; /* row 3: peak 10.25 */
    w[120] = 127.0f;                                                     /* scale 1: halves round to even */
    gs_weight_w8_sym(&c, 4, 40, w, scale, codes);
    assert_true(scale[0] == GS_EPS && scale[1] == GS_EPS && scale[3] == 1.0f);
    for (int i = 0; i < 80; i++) assert_int_equal(codes[i], 0);
    assert_int_equal(codes[80], -127);
    assert_int_equal(codes[119], 64); /* 63.5 */
    assert_int_equal(codes[120], 127);
    for (int i = 1; i < 40; i++) assert_int_equal(codes[120 + i], (int)rint(((double)i - 19.5) * 0.5));
    gs_compute_close(&c);
}

/* Every code against its definition, odd widths included. */
static void equals_definition(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static const int64_t widths[] = {1, 7, 16, 33, 250};
    for (int k = 0; k < 5; k++) {
        const int64_t rows = 61, in = widths[k], n = rows * in;
        float *w = fixture_data(KIND_HEAVY, n, (uint64_t)k + 1, 0.3f, 0.001f), *scale = malloc(61 * sizeof *scale);
        int8_t *codes = malloc((size_t)n);
        gs_weight_w8_sym(&c, rows, in, w, scale, codes);
        for (int64_t r = 0; r < rows; r++) {
            float peak = 0.0f;
            for (int64_t i = 0; i < in; i++) peak = fmaxf(peak, fabsf(w[r * in + i]));
            assert_true(scale[r] == fmaxf(peak / 127.0f, GS_EPS));
            for (int64_t i = 0; i < in; i++) {
                const float q = fminf(fmaxf(rintf(w[r * in + i] / scale[r]), -127.0f), 127.0f);
                assert_int_equal(codes[r * in + i], (int)q);
            }
        }
        free(w);
        free(scale);
        free(codes);
    }
    gs_compute_close(&c);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    const int64_t rows = 700, in = 333, n = rows * in;
    float *w = fixture_data(KIND_GAUSS, n, 3, 0.02f, 0.0f);
    uint64_t hash[3][2];
    static const int threads[3] = {1, 2, 5};
    for (int t = 0; t < 3; t++) {
        gs_compute c;
        fixture_compute(&c, threads[t]);
        float *scale = malloc((size_t)rows * sizeof *scale);
        int8_t *codes = malloc((size_t)n);
        gs_weight_w8_sym(&c, rows, in, w, scale, codes);
        hash[t][0] = fixture_hash(scale, (size_t)rows * sizeof *scale);
        hash[t][1] = fixture_hash(codes, (size_t)n);
        free(scale);
        free(codes);
        gs_compute_close(&c);
        assert_memory_equal(hash[t], hash[0], sizeof hash[0]);
    }
    free(w);
}

static void sqnr_values(void **state)
{
    (void)state;
    for (double ratio = 1e-12; ratio < 1e12; ratio *= 1.7) {
        const gs_sqnr r = {ratio, 1.0};
        assert_true(fabs(gs_sqnr_db(&r) - 10.0 * log10(ratio)) < 1e-13 * (1.0 + fabs(10.0 * log10(ratio))));
    }
    const gs_sqnr exact = {1.0, 0.0}, silent = {0.0, 0.0};
    assert_true(isinf(gs_sqnr_db(&exact)) && gs_sqnr_db(&exact) > 0.0);
    assert_true(gs_sqnr_db(&silent) > 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_example),      cmocka_unit_test(edges),       cmocka_unit_test(equals_definition),
        cmocka_unit_test(threads_do_not_show), cmocka_unit_test(sqnr_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
