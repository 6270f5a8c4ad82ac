/* The matrices behind the W4A4 transform: split, spreading, eigenvectors, inverse transpose, the factor of the moments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/quant/w4a4_fixture.h"

static void split(void **state)
{
    (void)state;
    static const int64_t expected[][3] = {{4096, 64, 64},
                                          {13696, 64, 214},
                                          {6144, 64, 96},
                                          {2048, 32, 64},
                                          {6848, 32, 214},
                                          {128, 8, 16},
                                          {1, 1, 1},
                                          {7, 1, 7},
                                          {8, 2, 4},
                                          {13672, 4, 3418},
                                          {2147483647, 1, 2147483647}};
    int64_t a, b;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(gs_w4a4_split(expected[i][0], &a, &b));
        assert_int_equal(a, expected[i][1]);
        assert_int_equal(b, expected[i][2]);
    }
    static const int64_t none[] = {0, -4, 2, 6, 4098, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_false(gs_w4a4_split(none[i], &a, &b));
    /* the rule itself: the least A >= sqrt(n) with A² - n a square */
    for (int64_t n = 1; n < 3000; n++) {
        if (n % 4 == 2) continue;
        int64_t most = (int64_t)ceil(sqrt((double)n)), root = 0;
        for (;; most++) {
            root = (int64_t)(sqrt((double)(most * most - n)) + 0.5);
            if (root * root == most * most - n) break;
        }
        assert_true(gs_w4a4_split(n, &a, &b));
        assert_true(a == most - root && b == most + root);
    }
}

static void widths_that_fit(void **state)
{
    (void)state;
    gs_error err = {0};
    for (int64_t in = 8; in <= 4096; in += 8) assert_int_equal(gs_w4a4_check("x", in, &err), GS_OK);
    static const int64_t bad[] = {-8, 0, 4, 12, 4097, 13700};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gs_w4a4_check("layers.7.mlp", bad[i], &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "layers.7.mlp"));
    assert_non_null(strstr(err.text, "13700"));
}

/* Largest entry of |mᵀ·m - I|. */
static double not_orthonormal(int64_t n, const double *m)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (int64_t k = 0; k < n; k++) sum += m[k * n + i] * m[k * n + j];
            most = fmax(most, fabs(sum));
        }
    return most;
}

static void spreading(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 2, 3, 7, 8, 12, 64, 96, 107, 214};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int64_t n = widths[i], p = n & -n, m = n / p;
        double *s = malloc((size_t)(n * n) * sizeof *s);
        gs_w4a4_spread(n, s);
        assert_true(not_orthonormal(n, s) < 1e-14);
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < n; c++) {
                const double wave =
                    c % m ? sqrt(2.0) * cos(M_PI * (double)((2 * (r % m) + 1) * (c % m)) / (double)(2 * m)) : 1.0;
                const double sign = __builtin_popcountll((unsigned long long)((r / m) & (c / m))) % 2 ? -1.0 : 1.0;
                assert_true(fabs(s[r * n + c] - sign * wave / sqrt((double)n)) < 2e-14);
            }
        free(s);
    }
}

/* m = Bᵀ·B of random B with `rank` rows. */
static double *moments(int64_t n, int64_t rank, uint64_t seed, float spread)
{
    float *b = fixture_data(KIND_GAUSS, rank * n, seed, 1.0f, 0.0f);
    double *m = calloc((size_t)(n * n), sizeof *m);
    for (int64_t k = 0; k < rank; k++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                m[i * n + j] += (double)(b[k * n + i] * (1 + spread * (float)(i % 5))) *
                                (double)(b[k * n + j] * (1 + spread * (float)(j % 5)));
    free(b);
    return m;
}

static void check_eigen(int64_t n, const double *m)
{
    double *work = malloc((size_t)(n * n) * sizeof *work), *v = malloc((size_t)(n * n) * sizeof *v), norm = 0,
           before = -1e300;
    memcpy(work, m, (size_t)(n * n) * sizeof *m);
    gs_w4a4_eigen(n, work, v);
    for (int64_t i = 0; i < n * n; i++) norm += m[i] * m[i];
    norm = sqrt(norm);
    for (int64_t e = 0; e < n; e++) {
        double value = 0, rest = 0, top = 0;
        for (int64_t i = 0; i < n; i++) {
            double mv = 0;
            for (int64_t j = 0; j < n; j++) mv += m[i * n + j] * v[e * n + j];
            value += mv * v[e * n + i];
            if (fabs(v[e * n + i]) > fabs(top)) top = v[e * n + i];
        }
        for (int64_t i = 0; i < n; i++) {
            double mv = 0;
            for (int64_t j = 0; j < n; j++) mv += m[i * n + j] * v[e * n + j];
            rest = fmax(rest, fabs(mv - value * v[e * n + i]));
        }
        assert_true(rest <= 1e-12 * norm);
        assert_true(value >= before - 1e-12 * norm && top > 0);
        before = value;
    }
    assert_true(not_orthonormal(n, v) < 1e-12);
    free(work);
    free(v);
}

static void eigenvectors(void **state)
{
    (void)state;
    static const int64_t cases[][2] = {{1, 3}, {2, 5}, {8, 20}, {16, 3}, {64, 500}, {107, 40}, {214, 600}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double *m = moments(cases[i][0], cases[i][1], i + 1, i % 2 ? 50.0f : 0.0f);
        check_eigen(cases[i][0], m);
        free(m);
    }
    double zero[25] = {0}, same[25] = {0}, v[25];
    for (int i = 0; i < 5; i++) same[i * 6] = 3.0;
    check_eigen(5, zero);
    check_eigen(5, same);
    zero[7] = zero[11] = NAN; /* nothing is promised but an end */
    gs_w4a4_eigen(5, zero, v);
}

static void inverse_transpose(void **state)
{
    (void)state;
    enum { N = 64 };
    double *m = moments(N, 200, 3, 0.5f), *v = malloc(N * N * sizeof *v);
    float *written = malloc(N * N * sizeof *written), *q = malloc(N * N * sizeof *q);
    gs_w4a4_eigen(N, m, v);
    for (int i = 0; i < N * N; i++) written[i] = gs_bf16_to_f32(gs_f32_to_bf16((float)v[i]));
    gs_w4a4_inverse_transpose(N, written, q);
    double most = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = i == j ? -1.0 : 0.0;
            for (int k = 0; k < N; k++) sum += (double)written[k * N + i] * (double)q[k * N + j];
            most = fmax(most, fabs(sum));
        }
    assert_true(most < 1e-6);
    free(m);
    free(v);
    free(written);
    free(q);
}

/* h + damping = (L/diag)·D·(L/diag)ᵀ for the factor in the upper triangle; D follows from the diagonal. */
static double factor_mismatch(int64_t n, const float *h, const float *f, double damping)
{
    double *d = calloc((size_t)n, sizeof *d), most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = (double)h[i * n + j] + (i == j ? damping : 0.0);
            for (int64_t k = 0; k < j; k++) sum -= (double)f[k * n + i] * d[k] * (double)f[k * n + j];
            if (i == j)
                d[i] = sum;
            else
                most = fmax(most, fabs(sum - (double)f[j * n + i] * d[j]) /
                                      sqrt((double)h[i * n + i] * (double)h[j * n + j]));
        }
    free(d);
    return most;
}

static void factor(void **state)
{
    (void)state;
    gs_compute c;
    gs_error err = {0};
    fixture_compute(&c, 2);
    static const int64_t widths[] = {1, 5, 128, 129, 300};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int64_t n = widths[w];
        double *m = moments(n, n / 2 + 1, w + 9, 1.0f), mean = 0; /* half of the rank: damping is needed */
        float *h = malloc((size_t)(n * n) * sizeof *h), *f = malloc((size_t)(n * n) * sizeof *f);
        for (int64_t i = 0; i < n * n; i++) h[i] = f[i] = (float)m[i];
        for (int64_t i = 0; i < n; i++) mean += m[i * n + i] / (double)n;
        double damping = 0.01 * mean;
        assert_int_equal(gs_w4a4_factor(&c, n, f, &damping, &err), GS_OK);
        assert_true(damping == 0.01 * mean);
        assert_true(factor_mismatch(n, h, f, damping) < 1e-4);
        /* an indefinite matrix gets more damping, and then what the damped original gives */
        for (int64_t i = 0; i < n; i++) h[i * n + i] -= (float)(0.02 * mean);
        memcpy(f, h, (size_t)(n * n) * sizeof *f);
        assert_int_equal(gs_w4a4_factor(&c, n, f, &damping, &err), GS_OK);
        if (n > 100) {
            assert_true(fabs(damping - 0.1 * mean) < 1e-9 * mean);
            assert_true(factor_mismatch(n, h, f, damping) < 1e-4);
        }
        h[(n - 1) * n + n - 1] = NAN;
        memcpy(f, h, (size_t)(n * n) * sizeof *f);
        damping = 0.01 * mean;
        assert_int_equal(gs_w4a4_factor(&c, n, f, &damping, &err), GS_ERR_NUMERIC);
        free(m);
        free(h);
        free(f);
    }
    gs_compute_close(&c);
}

/* int4 codes: ends, halves, NaN, rows of zeros, every remainder of the vector width. */
static void codes(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static const float x[11] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 9.0f, -9.0f, 7.4f, -8.5f, 1e30f, NAN};
    static const int8_t expected[11] = {0, 2, 2, 0, -2, 7, -8, 7, -8, 7, -8};
    for (int n = 0; n <= 11; n++) {
        int8_t got[12];
        memset(got, 99, sizeof got);
        gs_w4a4_codes(n, x, 1.0f, got);
        assert_memory_equal(got, expected, (size_t)n);
        assert_int_equal(got[n], 99);
    }
    float *rows = fixture_data(KIND_HEAVY, 5 * 37, 4, 3.0f, 0.0f), scale[5];
    int8_t got[5 * 37];
    memset(rows + 37, 0, 37 * sizeof *rows);
    gs_w4a4_quantize(&c, 5, 37, rows, 0.8f, got, scale);
    for (int r = 0; r < 5; r++) {
        float peak = 0;
        for (int j = 0; j < 37; j++) peak = fmaxf(peak, fabsf(rows[r * 37 + j]));
        assert_true(scale[r] == (peak > 0 ? peak * 0.8f / 7.0f : 1.0f));
        for (int j = 0; j < 37; j++)
            assert_int_equal(got[r * 37 + j], (int)fmin(7, fmax(-8, rint((double)(rows[r * 37 + j] / scale[r])))));
    }
    free(rows);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split),        cmocka_unit_test(widths_that_fit),   cmocka_unit_test(spreading),
        cmocka_unit_test(eigenvectors), cmocka_unit_test(inverse_transpose), cmocka_unit_test(factor),
        cmocka_unit_test(codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
