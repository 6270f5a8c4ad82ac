/* Statistics on small data by hand: running shift, order of samples, kept rows, refusals.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/smooth/fixture.h"

static gs_compute c;

static int open_compute(void **state)
{
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    return 0;
}

static int close_compute(void **state)
{
    (void)state;
    gs_compute_close(&c);
    return 0;
}

/* Two samples of two channels. Channel 0: {1, 3} then {9}; channel 1: {-4, 0} then {-2}. */
static void running_shift(void **state)
{
    static const float a[] = {1, -4, 3, 0}, b[] = {9, -2};
    gs_outlier_stats s;
    (void)state;
    OK(gs_outlier_stats_init(&s, 2, 3, 2, true, false, 0, ERR));
    OK(gs_outlier_stats_add(&s, &c, 2, a, ERR));
    assert_true(s.shift[0] == 2 && s.shift[1] == -2);
    assert_true(s.thres[0] == 1 && s.thres[1] == 2 && s.thres_t == 2);
    /* differences from the shift: -1, -2, 1, 2 */
    assert_true(fabsf(s.std - sqrtf(10.0f / 3.0f)) < 1e-6f);
    OK(gs_outlier_stats_add(&s, &c, 1, b, ERR));
    assert_true(s.max[0] == 9 && s.min[0] == 1 && s.max[1] == 0 && s.min[1] == -4);
    assert_true(s.shift[0] == 5 && s.shift[1] == -2);
    assert_true(s.thres[0] == 4 && s.thres[1] == 2 &&
                s.thres_t == 4); /* 9 - 5; the first sample is not looked at again */
    assert_true(s.abs_max[0] == 9 && s.abs_max[1] == 4);
    assert_true(fabsf(s.std - sqrtf(8.0f)) < 1e-6f); /* 4 and 0: larger than before */
    assert_true(s.samples == 2 && s.tokens == 3 && s.first_rows == 2);
    assert_memory_equal(s.first, a, sizeof a);
    gs_outlier_stats_release(&s);

    /* the other order has another shift on the way */
    OK(gs_outlier_stats_init(&s, 2, 3, 1, false, false, 0, ERR));
    OK(gs_outlier_stats_add(&s, &c, 1, b, ERR));
    OK(gs_outlier_stats_add(&s, &c, 2, a, ERR));
    assert_true(s.thres[0] == 0 && s.thres[1] == 2 && s.thres_t == 2);
    assert_null(s.first);
    gs_outlier_stats_release(&s);
}

static void kept_rows(void **state)
{
    static const struct {
        int64_t total, limit, sample;
    } cases[] = {{10, 4, 3}, {10, 0, 4}, {10, 10, 10}, {7, 100, 2}, {1000, 7, 1}, {513, 512, 100}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t total = cases[i].total,
                      limit = cases[i].limit > 0 && cases[i].limit < total ? cases[i].limit : total;
        gs_outlier_stats s;
        OK(gs_outlier_stats_init(&s, 1, total, cases[i].sample < total ? cases[i].sample : total, false, true,
                                 cases[i].limit, ERR));
        for (int64_t row = 0; row < total; row += cases[i].sample) {
            float x[1000];
            const int64_t n = total - row < cases[i].sample ? total - row : cases[i].sample;
            for (int64_t j = 0; j < n; j++) x[j] = (float)(row + j);
            OK(gs_outlier_stats_add(&s, &c, n, x, ERR));
        }
        assert_int_equal(s.n_rows, limit);
        for (int64_t j = 0; j < limit; j++) assert_int_equal((int64_t)s.rows[j], j * total / limit);
        gs_outlier_stats_release(&s);
    }
}

static void one_row_and_constants(void **state)
{
    static const float row[] = {1, 2, -3}, constant[] = {2, 2, 2, 2, 2, 2};
    gs_outlier_stats s;
    (void)state;
    OK(gs_outlier_stats_init(&s, 3, 3, 1, true, true, 2, ERR));
    OK(gs_outlier_stats_add(&s, &c, 1, row, ERR));
    assert_true(s.std == 0 && s.thres_t == 0 && s.shift[2] == -3);
    OK(gs_outlier_stats_add(&s, &c, 0, row, ERR)); /* an empty sample is no sample */
    assert_int_equal(s.samples, 1);
    gs_outlier_stats_release(&s);
    OK(gs_outlier_stats_init(&s, 3, 2, 2, false, false, 0, ERR));
    OK(gs_outlier_stats_add(&s, &c, 2, constant, ERR));
    assert_true(s.std == 0 && s.thres_t == 0 && s.shift[0] == 2 && s.abs_max[1] == 2);
    gs_outlier_stats_release(&s);
    OK(gs_outlier_stats_init(&s, 1, 1, 1, false, false, 0, ERR));
    OK(gs_outlier_stats_add(&s, &c, 1, row, ERR)); /* one number: no deviation, no division by zero */
    assert_true(s.std == 0);
    gs_outlier_stats_release(&s);
    gs_outlier_stats_release(&s); /* twice is fine */
}

static void not_finite(void **state)
{
    const float bad[] = {1, NAN, 2, 3}, worse[] = {1, 2, INFINITY, 3}, good[] = {1, 2, 3, 4};
    gs_outlier_stats s;
    (void)state;
    OK(gs_outlier_stats_init(&s, 2, 4, 2, true, true, 0, ERR));
    FAILS(gs_outlier_stats_add(&s, &c, 2, bad, ERR), GS_ERR_NUMERIC, "NaN or infinite");
    FAILS(gs_outlier_stats_add(&s, &c, 2, worse, ERR), GS_ERR_NUMERIC, "NaN or infinite");
    assert_true(s.samples == 0 && s.tokens == 0 && s.n_rows == 0 && s.std == 0);
    OK(gs_outlier_stats_add(&s, &c, 2, good, ERR));
    assert_true(s.max[0] == 3 && s.first[3] == 4);
    gs_outlier_stats_release(&s);
}

static void out_of_memory(void **state)
{
    gs_outlier_stats s;
    (void)state;
    gs_buf_set_limit(gs_buf_now() + 1000);
    FAILS(gs_outlier_stats_init(&s, 100, 100, 100, true, false, 0, ERR), GS_ERR_MEMORY, "first outlier sample");
    FAILS(gs_outlier_stats_init(&s, 100, 100, 100, false, true, 0, ERR), GS_ERR_MEMORY, "rows of the outlier samples");
    gs_buf_set_limit(0);
    gs_outlier_stats_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_shift), cmocka_unit_test(kept_rows),     cmocka_unit_test(one_row_and_constants),
        cmocka_unit_test(not_finite),    cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}
