/* Statistics with numbers worked out by hand. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/summary.h"

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * (1 + fabs(b)); }

static void means(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, 6}, y[] = {0, 2, 2, 4};
    gs_mean m = gs_mean_of(x, 4);
    assert_true(near(m.mean, 3) && near(m.se, sqrt(14.0 / 3 / 4)));
    m = gs_mean_difference(x, y, 4); /* 1 0 1 2 */
    assert_true(near(m.mean, 1) && near(m.se, sqrt(2.0 / 3 / 4)));
    m = gs_mean_of(x, 1);
    assert_true(m.mean == 1 && m.se == 0);
    m = gs_mean_of(x, 0);
    assert_true(m.mean == 0 && m.se == 0);
}

static void percentiles(void **state)
{
    (void)state;
    double x[200];
    for (int i = 0; i < 200; i++) x[i] = i + 1;
    assert_true(gs_percentile(x, 200, 0.99) == 198 && gs_percentile(x, 200, 0.5) == 100);
    assert_true(gs_percentile(x, 1, 0.99) == 1 && gs_percentile(x, 3, 0.5) == 2 && gs_percentile(x, 3, 1) == 3);
}

static void intervals(void **state)
{
    (void)state;
    double low, high;
    gs_wilson(5, 10, &low, &high); /* the textbook's example: 0.2366, 0.7634 */
    assert_true(fabs(low - 0.236593) < 1e-6 && fabs(high - 0.763407) < 1e-6);
    gs_wilson(0, 10, &low, &high);
    assert_true(low == 0 && fabs(high - 0.277533) < 1e-6);
    gs_wilson(10, 10, &low, &high);
    assert_true(fabs(low - 0.722467) < 1e-6 && near(high, 1));
    gs_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 0);
}

static void comparison(void **state)
{
    (void)state;
    double exact_nll[] = {1, 2, 3}, nll[] = {1.1, 1.9, 3.3}, kl[] = {0.3, 0.1, 0.2};
    unsigned char top1[] = {1, 0, 1}, top5[] = {5, 2, 5};
    gs_eval_model exact = {.token_nll = exact_nll}, m = {.token_nll = nll, .token_kl = kl};
    const gs_token_views views = {.nll = nll, .kl = kl, .top1 = top1, .top5 = top5};
    gs_summary_text(&exact, 3);
    gs_summary_text(&m, 3);
    gs_summary_compare(&m, &exact, &views, 3);
    assert_true(near(exact.nll, 2) && near(exact.perplexity, exp(2)) && near(exact.perplexity_se, exp(2) / sqrt(3)));
    assert_true(near(m.ratio, exp(0.1)) && near(m.ratio_se, exp(0.1) * sqrt(0.04 / 3)));
    assert_true(m.noise); /* 0.105 is below 0.1276 */
    assert_true(near(m.kl_mean, 0.2) && near(m.kl_median, 0.2) && near(m.kl_max, 0.3) && near(m.kl_p99, 0.3));
    assert_true(near(m.top1_agreement, 2.0 / 3) && near(m.top5_same, 2.0 / 3) && near(m.top5_overlap, 0.8));
    nll[1] = 2.1;
    gs_summary_compare(&m, &exact, &views, 3);
    assert_false(m.noise);
}

/* Two questions; the second one's longer choice has the larger sum but the smaller one per byte. */
static void choices(void **state)
{
    (void)state;
    int64_t place[] = {3, 4, 6, 7, 9}, question[] = {0, 2, 4}, bytes[] = {2, 4, 1, 9};
    int32_t answer[] = {1, 1}, picked[2], exact[] = {1, 1};
    gs_eval_set set = {.place = place, .questions = 2, .question = question, .answer = answer, .bytes = bytes};
    const double nll[] = {9, 9, 9, 3.0, 1.0, 1.5, 2.0, 1.5, 1.0};
    gs_eval_model m = {0};
    gs_summary_choices(&m, &set, nll, picked, exact);
    assert_int_equal(picked[0], 1); /* 3.0 against 2.5 */
    assert_int_equal(picked[1], 0); /* 2.0 against 2.5; per byte 2.0 against 0.28 */
    assert_int_equal(m.choices.correct, 1);
    assert_int_equal(m.choices.correct_per_byte, 2);
    assert_true(near(m.choices.accuracy, 0.5) && near(m.choices.accuracy_per_byte, 1) &&
                near(m.choices.agreement, 0.5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(means), cmocka_unit_test(percentiles),
                                       cmocka_unit_test(intervals), cmocka_unit_test(comparison),
                                       cmocka_unit_test(choices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
