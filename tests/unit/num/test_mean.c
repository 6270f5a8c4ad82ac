/* gs_torch_mean: recorded results, orders of addition worked out by hand, and a second statement of the rule for long
 * vectors. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "num/num.h"

static void test_recorded_means(void **state)
{
    (void)state;
    FILE *f = fopen(GS_SOURCE_DIR "/tests/data/num/running_means.txt", "re");
    assert_non_null(f);
    char line[256];
    float x[64];
    int n = 0, checked = 0, naive_differs = 0;
    while (fgets(line, sizeof line, f)) {
        unsigned value, mean;
        if (line[0] == '#') continue;
        if (sscanf(line, "%8x %8x", &value, &mean) != 2) {
            n = 0; /* next series */
            continue;
        }
        assert_true(n < 64);
        x[n++] = gs_f32_from_bits(value);
        assert_int_equal(gs_f32_bits(gs_torch_mean(x, n)), mean);
        float naive = 0;
        for (int i = 0; i < n; i++) naive += x[i];
        naive_differs += gs_f32_bits(naive / (float)n) != mean;
        checked++;
    }
    fclose(f);
    print_message("%d means; adding from left to right would get %d of them wrong\n", checked, naive_differs);
    assert_true(checked >= 400);
    assert_true(naive_differs > 0);
}

static void test_orders_by_hand(void **state)
{
    (void)state;
    const float big = 16777216.0f; /* 2^24: adding 1 is lost, adding 2 is not */
    assert_true(isnan(gs_torch_mean(NULL, 0)));
    assert_true(gs_torch_mean((float[]){3.25f}, 1) == 3.25f);
    /* three values: all in the first partial sum, from left to right */
    assert_true(gs_torch_mean((float[]){1, big, 1}, 3) == big / 3);
    assert_true(gs_torch_mean((float[]){1, 1, big}, 3) == (big + 2) / 3);
    /* five: the fifth joins the first before the second is added */
    assert_true(gs_torch_mean((float[]){1, big, 0, 0, 1}, 5) == (big + 2) / 5);
    /* nine: the ninth comes first, then the eight lanes */
    assert_true(gs_torch_mean((float[]){1, big, 0, 0, 0, 0, 0, 0, 1}, 9) == (big + 2) / 9);
    /* forty: five rows of eight; the fifth row joins the first one, so 1 + 1 meet before 2^24 in row two */
    float x[40] = {0};
    x[3] = 1, x[11] = big, x[35] = 1;
    assert_true(gs_torch_mean(x, 40) == (big + 2) / 40);
    /* the same two ones in rows two and three are lost one by one */
    memset(x, 0, sizeof x);
    x[3] = big, x[11] = 1, x[19] = 1;
    assert_true(gs_torch_mean(x, 40) == big / 40);
    assert_true(signbit(gs_torch_mean((float[]){-0.0f}, 1)) == 0); /* sums begin at +0 */
}

/* The sum of the values of one lane of one partial sum: level 0 holds blocks of 16 values; a finished block is added to
 * level 1, 16 finished blocks to level 2, 16 of those to level 3, which takes all that come; what is left on each level
 * is added up at the end. Valid up to 2^19 values, where blocks grow. */
static float lane_sum(const float *x, int64_t first, int64_t stride, int64_t n)
{
    float top = 0, level2 = 0, level1 = 0, level0 = 0;
    for (int64_t i = 0; i < n; i++) {
        level0 += x[first + i * stride];
        if ((i + 1) % 16 == 0) level1 += level0, level0 = 0;
        if ((i + 1) % 256 == 0) level2 += level1, level1 = 0;
        if ((i + 1) % 4096 == 0) top += level2, level2 = 0;
    }
    level0 += level1;
    level0 += level2;
    return level0 + top;
}

static float second_statement(const float *x, int64_t n)
{
    const int64_t lanes = n < 8 ? 1 : 8, rows = n / lanes, groups = rows / 4;
    float sum = 0;
    for (int64_t i = rows * lanes; i < n; i++) sum += x[i];
    for (int64_t lane = 0; lane < lanes; lane++) {
        float part[4];
        for (int64_t k = 0; k < 4; k++) part[k] = lane_sum(x, k * lanes + lane, 4 * lanes, groups);
        for (int64_t row = groups * 4; row < rows; row++) part[0] += x[row * lanes + lane];
        sum += ((part[0] + part[1]) + part[2]) + part[3];
    }
    return sum / (float)n;
}

static void test_long_vectors(void **state)
{
    (void)state;
    enum { N = 400000 };
    float *x = gs_alloc_array(N, sizeof *x);
    uint32_t seed = 12345;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 1e-8f;
    }
    for (int64_t n = 1; n <= N; n += n < 1200 ? 1 : n < 10000 ? 331 : 38111)
        if (gs_f32_bits(gs_torch_mean(x, n)) != gs_f32_bits(second_statement(x, n))) fail_msg("n = %lld", (long long)n);
    double exact = 0;
    for (int i = 0; i < N; i++) exact += (double)x[i];
    assert_true(fabs((double)gs_torch_mean(x, N) - exact / N) < 1e-6);
    gs_free(x);
}

/* Beyond 2^19 groups of rows the blocks grow; the result stays near the exact mean and every value counts once. */
static void test_very_long_vector(void **state)
{
    (void)state;
    const int64_t n = ((int64_t)1 << 24) + 32 * 5 + 8 * 3 + 7;
    gs_buf buf;
    assert_int_equal(gs_buf_alloc(&buf, (size_t)n * sizeof(float), "a test", NULL), GS_OK);
    float *x = buf.data;
    assert_true(gs_torch_mean(x, n) == 0.0f);
    for (int64_t i = 0; i < n; i += 1999993) {
        x[i] = (float)n;
        assert_true(gs_torch_mean(x, n) == 1.0f);
        x[i] = 0;
    }
    for (int64_t i = 0; i < n; i++) x[i] = 0.1f;
    assert_true(fabsf(gs_torch_mean(x, n) - 0.1f) < 1e-6f);
    gs_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_means),
        cmocka_unit_test(test_orders_by_hand),
        cmocka_unit_test(test_long_vectors),
        cmocka_unit_test(test_very_long_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
