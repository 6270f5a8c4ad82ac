/* The range search on given histograms against PyTorch 1.13.1: the error of single candidates, whose rounding decides
 * where the search stops, and the range found; then candidates that tie.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "calib/histogram.h"

static void fill(gs_hist *h, int kind, uint64_t seed, float scale)
{
    float *x = fixture_data(kind, GS_HIST_BINS, seed, fabsf(scale), 0.0f);
    for (int i = 0; i < GS_HIST_BINS; i++) h->bin[i] = scale > 0.0f ? floorf(fabsf(x[i])) : fabsf(x[i]);
    free(x);
}

static void equals_pytorch(void **state)
{
    (void)state;
    FILE *f = fixture_open("calib/search.txt");
    char name[64];
    int kind, errors, histograms = 0;
    unsigned long long seed;
    unsigned b[5];
    while (fscanf(f, "%63s %d %llu %x %x %x %x %x %d", name, &kind, &seed, &b[0], &b[1], &b[2], &b[3], &b[4],
                  &errors) == 9) {
        gs_hist h = {.seen = true, .min = gs_f32_from_bits(b[1]), .max = gs_f32_from_bits(b[2])};
        fill(&h, kind, seed, gs_f32_from_bits(b[0]));
        float xmin, xmax;
        gs_hist_search(&h, &xmin, &xmax);
        if (gs_f32_bits(xmin) != b[3] || gs_f32_bits(xmax) != b[4])
            fail_msg("%s: range %.9g %.9g, not %.9g %.9g", name, (double)xmin, (double)xmax,
                     (double)gs_f32_from_bits(b[3]), (double)gs_f32_from_bits(b[4]));
        for (int i = 0; i < errors; i++) {
            int start, end;
            unsigned expected;
            assert_int_equal(fscanf(f, "%d %d %x", &start, &end, &expected), 3);
            const float error = gs_hist_error(&h, start, end);
            if (gs_f32_bits(error) != expected)
                fail_msg("%s: error of %d..%d is %.9g, not %.9g", name, start, end, (double)error,
                         (double)gs_f32_from_bits(expected));
        }
        histograms++;
    }
    assert_true(histograms >= 10);
    (void)fclose(f);
}

/* An empty histogram has equal errors everywhere: no move is worse, and nothing moves since no quantile is passed. */
static void empty_keeps_range(void **state)
{
    (void)state;
    const gs_hist h = {.seen = true, .min = -2.0f, .max = 6.0f};
    float xmin, xmax;
    gs_hist_search(&h, &xmin, &xmax);
    assert_true(xmin == -2.0f && xmax == 6.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytorch), cmocka_unit_test(empty_keeps_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
