/* Elementwise kernels: right against doubles, and the same bits on every rung and for every thread count.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include <math.h>

#include "kernels/elem.h"

/* Runs the block for each context `c`; `first` is true for the one whose result the others must repeat. */
#define EACH_CONTEXT(...)                                                                                              \
    for (int rung_ = 0; rung_ < all.rungs; rung_++)                                                                    \
        for (int t_ = 0; t_ < THREAD_COUNTS; t_++) {                                                                   \
            gs_compute *const c = &all.c[rung_][t_];                                                                   \
            const bool first = rung_ == 0 && t_ == 0;                                                                  \
            __VA_ARGS__                                                                                                \
        }

static const int64_t widths[] = {1, 2, 15, 16, 17, 31, 100, 128, 1000, 4096};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want) + 1e-37)) fail_msg("%.9g, expected %.9g", got, want);
}

/* ---- rows ---- */

static void check_rmsnorm(const float *x, const float *w, const float *b, int64_t rows, int64_t h, const float *y)
{
    for (int64_t t = 0; t < rows; t++) {
        double sum = 0;
        for (int64_t j = 0; j < h; j++) sum += (double)x[t * h + j] * x[t * h + j];
        const double r = 1 / sqrt(sum / (double)h + 1e-5f);
        for (int64_t j = 0; j < h; j++) {
            const double product = w[j] * x[t * h + j] * r, want = product + (b ? b[j] : 0);
            assert_true(fabs(y[t * h + j] - want) <= 1e-6 * (fabs(product) + fabs(want)));
        }
    }
}

static void rmsnorm_is_right_and_stable(void **state)
{
    (void)state;
    for (int i = 0; i < WIDTHS; i++)
        for (int with_bias = 0; with_bias < 2; with_bias++) {
            const int64_t h = widths[i], rows = h > 500 ? 37 : 300;
            float *const x = malloc((size_t)(rows * h) * 4), *const w = malloc((size_t)h * 4),
                         *const b = malloc((size_t)h * 4);
            fill_normal(x, rows * h);
            fill_normal(w, h);
            fill_normal(b, h);
            guarded want = guarded_new((size_t)(rows * h) * 4, 0);
            EACH_CONTEXT({
                guarded y = guarded_new((size_t)(rows * h) * 4, first ? 0 : 4);
                gs_rmsnorm(c, rows, h, x, w, with_bias ? b : NULL, 1e-5f, y.data);
                if (first) memcpy(want.data, y.data, y.bytes);
                assert_memory_equal(y.data, want.data, y.bytes);
                memcpy(y.data, x, y.bytes); /* in place */
                gs_rmsnorm(c, rows, h, y.data, w, with_bias ? b : NULL, 1e-5f, y.data);
                assert_memory_equal(y.data, want.data, y.bytes);
                guarded_free(&y);
            })
            check_rmsnorm(x, w, with_bias ? b : NULL, rows, h, want.data);
            guarded_free(&want);
            free(x);
            free(w);
            free(b);
        }
}

/* The norm's mean is the reference's, bit by bit, at every length: blocks of its cascade begin at 512, 8192 … values. */
static void rmsnorm_adds_in_the_order_of_the_reference(void **state)
{
    (void)state;
    const int64_t lengths[] = {1, 5, 7, 8, 9, 31, 32, 33, 63, 100, 511, 512, 513, 544, 1000, 4096, 8192, 13696, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int64_t h = lengths[i];
        float *const x = malloc((size_t)h * 4), *const squares = malloc((size_t)h * 4),
                     *const one = malloc((size_t)h * 4);
        fill_normal(x, h);
        for (int64_t j = 0; j < h; j++) {
            squares[j] = x[j] * x[j];
            one[j] = 1.0f;
        }
        const float r = 1.0f / sqrtf(gs_torch_mean(squares, h) + 1e-5f);
        EACH_CONTEXT({
            (void)first;
            guarded y = guarded_new((size_t)h * 4, 4);
            gs_rmsnorm(c, 1, h, x, one, NULL, 1e-5f, y.data);
            for (int64_t j = 0; j < h; j++) assert_true(((float *)y.data)[j] == x[j] * r);
            guarded_free(&y);
        })
        free(x);
        free(squares);
        free(one);
    }
}

static void rope_turns_neighbouring_pairs(void **state)
{
    (void)state;
    enum { ROWS = 40, HEADS = 3, D = 20, R = 12, STRIDE = 77, POS0 = 5000 };
    gs_rope rope;
    assert_int_equal(gs_rope_init(&rope, POS0 + ROWS, R, 10000.0, NULL), GS_OK);
    assert_int_equal(rope.half, R / 2);
    float x[ROWS * STRIDE], got[ROWS * STRIDE], want[ROWS * STRIDE] = {0};
    fill_normal(x, ROWS * STRIDE);
    EACH_CONTEXT({
        memcpy(got, x, sizeof x);
        gs_rope_apply(c, &rope, ROWS, got, STRIDE, HEADS, D, POS0);
        if (first) memcpy(want, got, sizeof got);
        assert_memory_equal(got, want, sizeof got);
    })
    for (int t = 0; t < ROWS; t++)
        for (int j = 0; j < STRIDE; j++) {
            const int in_head = j % D;
            double expected = x[t * STRIDE + j];
            if (j < HEADS * D && in_head < R) {
                const float exponent = (float)(in_head / 2 * 2) / (float)R;
                const double angle = (float)(POS0 + t) * (1.0f / (float)pow(10000.0, exponent));
                const double a = x[t * STRIDE + j / 2 * 2], b = x[t * STRIDE + j / 2 * 2 + 1];
                expected = in_head % 2 ? b * cos(angle) + a * sin(angle) : a * cos(angle) - b * sin(angle);
                /* one unit in the last place of theta moves an angle of 5000 by 3e-4 */
                assert_true(fabs(got[t * STRIDE + j] - expected) < 2e-3);
                continue;
            }
            assert_true(got[t * STRIDE + j] == (float)expected);
        }
    gs_rope_release(&rope);
    gs_rope_release(&rope);
    gs_error err;
    assert_int_equal(gs_rope_init(&rope, (int64_t)1 << 40, (int64_t)1 << 40, 1e4, &err), GS_ERR_MEMORY);
}

static void swiglu_is_right_and_stable(void **state)
{
    (void)state;
    for (int i = 0; i < WIDTHS; i++) {
        const int64_t f = widths[i], rows = 33;
        float *const z = malloc((size_t)(rows * 2 * f) * 4);
        guarded want = guarded_new((size_t)(rows * f) * 4, 0);
        fill_normal(z, rows * 2 * f);
        for (int64_t e = 0; e < rows * 2 * f; e++) z[e] *= 20;
        z[0] = -200.0f;
        EACH_CONTEXT({
            guarded y = guarded_new((size_t)(rows * f) * 4, first ? 0 : 8);
            gs_swiglu(c, rows, f, z, y.data);
            if (first) memcpy(want.data, y.data, y.bytes);
            assert_memory_equal(y.data, want.data, y.bytes);
            guarded_free(&y);
        })
        for (int64_t t = 0; t < rows; t++)
            for (int64_t j = 0; j < f; j++) {
                const double a = z[t * 2 * f + j];
                assert_near(((float *)want.data)[t * f + j], a / (1 + exp(-a)) * z[t * 2 * f + f + j], 1e-6);
            }
        guarded_free(&want);
        free(z);
    }
}

static void add_adds(void **state)
{
    (void)state;
    const int64_t n = 100003;
    float *const x = malloc((size_t)n * 4), *const y = malloc((size_t)n * 4);
    fill_normal(x, n);
    fill_normal(y, n);
    EACH_CONTEXT({
        (void)first;
        guarded sum = guarded_new((size_t)n * 4, 4);
        memcpy(sum.data, x, sum.bytes);
        gs_add(c, n, sum.data, y);
        for (int64_t i = 0; i < n; i++) assert_true(((float *)sum.data)[i] == x[i] + y[i]);
        guarded_free(&sum);
    })
    free(x);
    free(y);
}

/* ---- statistics ---- */

static void minmax_skips_what_is_not_finite(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 3, 16, 17, 1000, 131072, 131073, 400001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        float *const x = malloc((size_t)n * 4);
        fill_normal(x, n);
        x[n / 2] = -77.0f;
        x[n - 1] = n > 1 ? 99.0f : -77.0f;
        for (int bad = 0; bad < 4; bad++) {
            const float values[] = {0.0f, NAN, INFINITY, -INFINITY};
            if (bad && n < 3) continue;
            if (bad) x[0] = values[bad];
            EACH_CONTEXT({
                (void)first;
                float min, max;
                bool finite;
                gs_minmax(c, n, x, &min, &max, &finite);
                assert_int_equal(finite, bad == 0);
                assert_true(min == (n == 1 ? x[0] : -77.0f) && max == (n == 1 ? x[0] : 99.0f));
            })
        }
        free(x);
    }
    const float none[3] = {NAN, INFINITY, -INFINITY};
    EACH_CONTEXT({
        (void)first;
        float min = 1, max = 1;
        bool finite = true;
        gs_minmax(c, 3, none, &min, &max, &finite);
        assert_true(!finite && min == 0 && max == 0);
    })
}

static void column_minmax_runs_on(void **state)
{
    (void)state;
    enum { ROWS = 50, COLS = 1100, STRIDE = 1103 };
    float *const x = malloc(sizeof(float) * ROWS * STRIDE), low[COLS], high[COLS], min[COLS], max[COLS];
    fill_normal(x, ROWS * STRIDE);
    for (int t = 0; t < ROWS; t++) x[t * STRIDE + COLS] = 1e9f; /* between the rows */
    x[3 * STRIDE + 7] = NAN;
    for (int j = 0; j < COLS; j++) {
        low[j] = high[j] = x[j];
        for (int t = 1; t < ROWS; t++) {
            const float v = x[t * STRIDE + j];
            if (v < low[j]) low[j] = v;
            if (v > high[j]) high[j] = v;
        }
    }
    EACH_CONTEXT({
        (void)first;
        for (int j = 0; j < COLS; j++) {
            min[j] = INFINITY;
            max[j] = -INFINITY;
        }
        gs_column_minmax(c, 20, COLS, x, STRIDE, min, max);
        gs_column_minmax(c, ROWS - 20, COLS, x + 20 * STRIDE, STRIDE, min, max);
        assert_memory_equal(min, low, sizeof low);
        assert_memory_equal(max, high, sizeof high);
    })
    free(x);
}

static void quantize_divides_adds_and_rounds_to_even(void **state)
{
    (void)state;
    const int64_t n = 70001;
    float *const x = malloc((size_t)n * 4);
    const float scales[] = {0.031f, 1.0f, GS_EPS, 0.25f}, zeros[] = {0.0f, -3.0f, 127.0f, 12.0f};
    for (int s = 0; s < 4; s++) {
        fill_normal(x, n);
        for (int64_t i = 0; i < n; i++) x[i] *= scales[s] * 60;
        for (int i = 0; i < 600; i++) x[i] = (0.5f * (float)i - 150.0f) * scales[s]; /* ties */
        x[600] = 3e38f;
        x[601] = -3e38f;
        x[602] = INFINITY;
        x[603] = -INFINITY;
        EACH_CONTEXT({
            (void)first;
            guarded q = guarded_new((size_t)n, 1);
            gs_quantize_s8(c, n, x, scales[s], zeros[s], q.data);
            for (int64_t i = 0; i < n; i++) {
                float v = x[i] / scales[s] + zeros[s];
                v = gs_rint(v);
                assert_int_equal(((int8_t *)q.data)[i], gs_clamp_s8(v, -128, 127));
            }
            guarded_free(&q);
        })
    }
    free(x);
}

/* Bounds of every kind of code, values beyond them and NaN, and every length that leaves a rest. */
static void clamped_codes_stay_in_bounds(void **state)
{
    (void)state;
    enum { N = 131 };
    float x[N];
    fill_normal(x, N);
    for (int i = 0; i < 60; i++) x[i] = 0.5f * (float)(i - 30);
    x[60] = 1e30f;
    x[61] = -1e30f;
    x[62] = NAN;
    static const float bound[][2] = {{-128, 127}, {-127, 127}, {-8, 7}, {-7, 7}, {-119, 119}};
    for (size_t b = 0; b < sizeof bound / sizeof *bound; b++) {
        EACH_CONTEXT({
            (void)first;
            for (int64_t n = 1; n <= N; n++) {
                guarded q = guarded_new((size_t)n, 1);
                gs_clamped_codes(c, n, x, 0.7f, 3.0f, bound[b][0], bound[b][1], q.data);
                for (int64_t i = 0; i < n; i++) {
                    const float v = gs_rint(x[i] / 0.7f + 3.0f);
                    assert_int_equal(((int8_t *)q.data)[i], gs_clamp_s8(v, bound[b][0], bound[b][1]));
                }
                guarded_free(&q);
            }
        })
    }
}

static void errors_of_codes_add_up_in_lanes(void **state)
{
    (void)state;
    enum { N = 77 };
    float w[N];
    int8_t codes[N];
    fill_normal(w, N);
    for (int i = 0; i < N; i++) codes[i] = (int8_t)(i * 37 % 256 - 128);
    for (int64_t n = 0; n <= N; n++) {
        double signal[GS_ERROR_LANES], noise[GS_ERROR_LANES];
        for (int j = 0; j < GS_ERROR_LANES; j++) signal[j] = noise[j] = 0.25 * j;
        for (int64_t i = 0; i < n; i++) {
            const float value = ((float)codes[i] - 5.0f) * 0.013f;
            const double d = (double)w[i] - (double)value;
            signal[i % GS_ERROR_LANES] += (double)w[i] * (double)w[i];
            noise[i % GS_ERROR_LANES] += d * d;
        }
        EACH_CONTEXT({
            (void)first;
            double s[GS_ERROR_LANES];
            double e[GS_ERROR_LANES];
            for (int j = 0; j < GS_ERROR_LANES; j++) s[j] = e[j] = 0.25 * j;
            gs_code_errors(c, n, w, codes, 0.013f, 5.0f, s, e);
            assert_memory_equal(s, signal, sizeof s);
            assert_memory_equal(e, noise, sizeof e);
        })
    }
}

/* Every length that leaves a rest, ties, and both ways of scaling. */
static void scaled_codes_are_those_of_the_scaled_row(void **state)
{
    (void)state;
    enum { N = 203 };
    float x[N], t[N];
    fill_normal(x, N);
    for (int i = 0; i < N; i++) t[i] = 0.25f * (float)(1 + i % 7);
    for (int i = 0; i < 40; i++) x[i] = 0.5f * (float)(i - 20) / t[i];
    EACH_CONTEXT({
        (void)first;
        for (int64_t n = 1; n <= N; n++) {
            guarded q = guarded_new((size_t)n, 1);
            float peak = 0;
            for (int64_t i = 0; i < n; i++) peak = fmaxf(peak, fabsf(x[i] * t[i]));
            assert_true(gs_scaled_peak(c, n, x, t) == peak);
            for (int divide = 0; divide < 2; divide++) {
                gs_scaled_codes(c, n, x, t, divide, 0.5f, -2.0f, q.data);
                for (int64_t i = 0; i < n; i++) {
                    const float scaled = divide ? x[i] / t[i] : x[i] * t[i];
                    assert_int_equal(((int8_t *)q.data)[i], gs_clamp_s8(gs_rint(scaled / 0.5f - 2.0f), -128, 127));
                }
            }
            guarded_free(&q);
        }
    })
}

static void check_histogram(int64_t n, const float *x, float lo, float hi, int64_t bins)
{
    int64_t *const want = calloc((size_t)bins, 8), *const counts = malloc((size_t)bins * 8);
    for (int64_t i = 0; i < n; i++) {
        if (!(x[i] >= lo && x[i] <= hi)) continue;
        const float position = (x[i] - lo) * (float)bins / (hi - lo);
        int64_t bin = (int64_t)position;
        if (bin > bins - 1) bin = bins - 1;
        want[bin]++;
    }
    EACH_CONTEXT({
        (void)first;
        for (int64_t b = 0; b < bins; b++) counts[b] = 5; /* counts are added to */
        gs_histogram(c, n, x, lo, hi, bins, counts);
        for (int64_t b = 0; b < bins; b++) assert_int_equal(counts[b], want[b] + 5);
    })
    free(want);
    free(counts);
}

static void histogram_counts_like_histc(void **state)
{
    (void)state;
    const int64_t n = 150001;
    float *const x = malloc((size_t)n * 4);
    fill_normal(x, n);
    x[0] = NAN;
    x[1] = INFINITY;
    x[2] = -INFINITY;
    x[3] = 2.0f;
    x[4] = -2.0f;
    check_histogram(n, x, -2.0f, 2.0f, 2048);
    check_histogram(n, x, -2.0f, 2.0f, 1);
    check_histogram(n, x, -0.1f, 3.7f, 100);
    check_histogram(n, x, -4.0f, 4.0f, 20000); /* more than scratch holds */
    check_histogram(7, x, -2.0f, 2.0f, 2048);
    check_histogram(1, x, -2.0f, 2.0f, 10);
    free(x);
}

static void sums_are_doubles_in_fixed_order(void **state)
{
    (void)state;
    const int64_t rows = 333;
    for (int i = 0; i < WIDTHS; i++)
        for (int with_shift = 0; with_shift < 2; with_shift++) {
            const int64_t cols = widths[i];
            float *const x = malloc((size_t)(rows * cols) * 4), *const shift = malloc((size_t)cols * 4);
            fill_normal(x, rows * cols);
            fill_normal(shift, cols);
            long double want = 0, want_squares = 0;
            for (int64_t e = 0; e < rows * cols; e++) {
                const float d = x[e] - (with_shift ? shift[e % cols] : 0.0f);
                want += d;
                want_squares += (long double)d * d;
            }
            double sum = 0, squares = 0;
            EACH_CONTEXT({
                double s = -1, ss = -1;
                gs_sum_squares(c, rows, cols, x, with_shift ? shift : NULL, &s, &ss);
                if (first) {
                    sum = s;
                    squares = ss;
                }
                assert_memory_equal(&s, &sum, 8);
                assert_memory_equal(&ss, &squares, 8);
            })
            assert_true(fabsl(sum - want) <= 1e-12L * sqrtl((long double)(rows * cols)) * 10);
            assert_near(squares, (double)want_squares, 1e-13);
            free(x);
            free(shift);
        }
}

static void empty_input_is_fine(void **state)
{
    (void)state;
    EACH_CONTEXT({
        (void)first;
        double sum = 1, squares = 1;
        gs_rmsnorm(c, 0, 8, NULL, NULL, NULL, 1e-5f, NULL);
        gs_swiglu(c, 0, 8, NULL, NULL);
        gs_add(c, 0, NULL, NULL);
        gs_quantize_s8(c, 0, NULL, 1, 0, NULL);
        gs_sum_squares(c, 0, 8, NULL, NULL, &sum, &squares);
        assert_true(sum == 0 && squares == 0);
    })
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_is_right_and_stable),
        cmocka_unit_test(rmsnorm_adds_in_the_order_of_the_reference),
        cmocka_unit_test(rope_turns_neighbouring_pairs),
        cmocka_unit_test(swiglu_is_right_and_stable),
        cmocka_unit_test(add_adds),
        cmocka_unit_test(minmax_skips_what_is_not_finite),
        cmocka_unit_test(column_minmax_runs_on),
        cmocka_unit_test(quantize_divides_adds_and_rounds_to_even),
        cmocka_unit_test(clamped_codes_stay_in_bounds),
        cmocka_unit_test(errors_of_codes_add_up_in_lanes),
        cmocka_unit_test(scaled_codes_are_those_of_the_scaled_row),
        cmocka_unit_test(histogram_counts_like_histc),
        cmocka_unit_test(sums_are_doubles_in_fixed_order),
        cmocka_unit_test(empty_input_is_fine),
    };
    return cmocka_run_group_tests(tests, contexts_open, contexts_close);
}
