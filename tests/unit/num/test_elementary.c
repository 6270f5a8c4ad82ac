/* exp, sin, cos and pow against the C library's double functions, in units of the last place of float32 at the exact
 * result; and the vector form of exp against the scalar one, bit by bit. SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sys.h"
#include "num/exp64.h"
#include "num/expf.h"
#include "num/num.h"

static double step_at(double exact)
{
    int e;
    if (exact == 0) return 0x1p-149;
    frexp(exact, &e);
    return ldexp(1.0, (e - 24 < -149 ? -149 : e - 24));
}

static double error_in_steps(float got, double exact) { return fabs((double)got - exact) / step_at(exact); }

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double random_between(double a, double b) { return a + (b - a) * (double)(random_bits() >> 11) * 0x1p-53; }

/* Measured on this sample of all float32: 0.9551 (normal results), 0.7241 (subnormal ones). */
static void test_exp_is_accurate(void **state)
{
    (void)state;
    double worst = 0, worst_tiny = 0;
    for (uint64_t u = 0; u <= UINT32_MAX; u += 1009) {
        const float x = gs_f32_from_bits((uint32_t)u);
        if (!(x >= -104.0f && x <= 88.72283f)) continue;
        const double exact = exp((double)x), e = error_in_steps(gs_exp(x), exact);
        if (exact >= 0x1p-126)
            worst = e > worst ? e : worst;
        else
            worst_tiny = e > worst_tiny ? e : worst_tiny;
    }
    print_message("exp: largest error %.4f ulp, subnormal results %.4f ulp\n", worst, worst_tiny);
    assert_true(worst > 0.5 && worst < 0.96);
    assert_true(worst_tiny < 0.75);
}

static void test_exp_at_the_edges(void **state)
{
    (void)state;
    assert_true(gs_exp(0.0f) == 1.0f && gs_exp(-0.0f) == 1.0f);
    assert_true(gs_exp(gs_f32_from_bits(0x42B17217)) == 0x1.ffff08p+127f); /* the last finite one: 88.7228317 */
    assert_true(gs_exp(gs_f32_from_bits(0x42B17218)) == INFINITY);
    assert_true(gs_exp(89.0f) == INFINITY && gs_exp(3e38f) == INFINITY && gs_exp(INFINITY) == INFINITY);
    assert_true(gs_exp(-103.97f) == 0x1p-149f);
    assert_true(gs_exp(-103.98f) == 0.0f && gs_exp(-105.0f) == 0.0f && gs_exp(-INFINITY) == 0.0f);
    assert_false(signbit(gs_exp(-INFINITY)));
    assert_true(isnan(gs_exp(NAN)) && isnan(gs_exp(-NAN)));
    assert_true(gs_exp(0x1p-149f) == 1.0f);
}

/* In units of the last place of the double result; 1e-16 at least, for logarithms near 0. */
static double error64(double got, double exact)
{
    int e;
    frexp(exact, &e);
    return fabs(got - exact) / fmax(ldexp(1.0, e - 53), 1e-16);
}

static void test_double_log_and_exp(void **state)
{
    (void)state;
    double worst_exp = 0, worst_log = 0;
    for (int i = 0; i < 2000000; i++) {
        const double x = i % 2 ? random_between(-700, 700) : random_between(-3, 3), exact = exp(x);
        worst_exp = fmax(worst_exp, fabs(gs_exp64_inline(x) / exact - 1) * 0x1p53);
        const double y = i % 3 ? exact : random_between(0.5, 2);
        worst_log = fmax(worst_log, error64(gs_log64(y), log(y)));
    }
    print_message("double: exp %.3f, log %.3f\n", worst_exp, worst_log);
    assert_true(worst_exp < 4 && worst_log < 2.5); /* 2^53 counts half steps in the lower half of a binade */
    assert_true(gs_exp64_inline(0) == 1.0 && gs_exp64_inline(-0.0) == 1.0 && gs_log64(1.0) == 0.0);
    assert_true(gs_exp64_inline(-1e300) > 0 && gs_exp64_inline(-1e300) < 1e-303);
    assert_true(gs_exp64_inline(1e300) > 1e303 && isfinite(gs_exp64_inline(1e300)));
}

enum { LANE_TEST = 1024 };

static void exp_row(const float *restrict x, float *restrict y)
{
    for (int i = 0; i < LANE_TEST; i++) y[i] = gs_exp_inline(x[i]);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void exp_row_avx2(const float *restrict x, float *restrict y)
{
    for (int i = 0; i < LANE_TEST; i++) y[i] = gs_exp_inline(x[i]);
}
#endif

static void test_exp_is_the_same_in_vector_form(void **state)
{
    (void)state;
    float x[LANE_TEST], y[LANE_TEST], z[LANE_TEST];
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < LANE_TEST; i++) {
            const uint64_t r = random_bits();
            x[i] = r & 1 ? gs_f32_from_bits((uint32_t)(r >> 32)) : (float)random_between(-104.5, 89.5);
        }
        exp_row(x, y);
        memcpy(z, y, sizeof z);
#if defined(__x86_64__)
        if (gs_cpu_best() >= GS_RUNG_AVX2) exp_row_avx2(x, z);
#endif
        for (int i = 0; i < LANE_TEST; i++) {
            const uint32_t want = gs_f32_bits(gs_exp(x[i]));
            if (gs_f32_bits(y[i]) != want || gs_f32_bits(z[i]) != want) fail_msg("exp(%a)", (double)x[i]);
        }
    }
}

static double worst_of(float x, double worst)
{
    const double s = error_in_steps(gs_sin(x), sin((double)x)), c = error_in_steps(gs_cos(x), cos((double)x));
    const double e = s > c ? s : c;
    if (e > (fabsf(x) <= 10000.0f ? 0.603 : 0.5001)) fail_msg("sin or cos of %a is off by %.4f ulp", (double)x, e);
    return e > worst ? e : worst;
}

static void test_sin_and_cos_are_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < 300000; i++) worst = worst_of((float)random_between(-1e7, 1e7), worst);
    for (int i = 0; i < 300000; i++) worst = worst_of((float)random_between(-10, 10), worst);
    for (int pair = 0; pair < 64; pair++) /* rotary angles: position times a frequency */
        for (int position = 0; position < 131072; position += 97)
            worst = worst_of((float)position * (float)pow(5e6, -pair / 64.0), worst);
    for (int k = 1; k < 6366197; k += 37) { /* the floats around multiples of pi/2, where most digits cancel */
        const float x = (float)(k * 1.5707963267948966);
        worst = worst_of(x, worst);
        worst = worst_of(nextafterf(x, 0), worst);
        worst = worst_of(nextafterf(x, INFINITY), worst);
    }
    for (uint64_t u = 0; u < 0x7F800000u; u += 4093) { /* every size, up to the largest float */
        worst = worst_of(gs_f32_from_bits((uint32_t)u), worst);
        worst = worst_of(gs_f32_from_bits((uint32_t)u | 0x80000000u), worst);
    }
    worst = worst_of(FLT_MAX, worst);
    worst = worst_of(1e7f, worst);
    worst = worst_of(nextafterf(1e7f, INFINITY), worst);
    worst = worst_of(0x1.f45cb2p+122f, worst);
    print_message("sin, cos: largest error %.6f ulp\n", worst);
    assert_true(worst > 0.59);
}

static void test_sin_and_cos_at_the_edges(void **state)
{
    (void)state;
    assert_true(gs_sin(0.0f) == 0.0f && !signbit(gs_sin(0.0f)) && signbit(gs_sin(-0.0f)));
    assert_true(gs_cos(0.0f) == 1.0f && gs_cos(-0.0f) == 1.0f);
    assert_true(gs_sin(0x1p-149f) == 0x1p-149f);
    assert_true(isnan(gs_sin(INFINITY)) && isnan(gs_cos(-INFINITY)) && isnan(gs_sin(NAN)) && isnan(gs_cos(NAN)));
}

static void test_pow_is_accurate(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = 0; i < 1000000; i++) {
        const float x =
            i % 2 ? gs_f32_from_bits((uint32_t)(random_bits() % 0x7F7FFFFF) + 1) : (float)random_between(0.5, 2);
        const double reach = 104.0 / (fabs(log((double)x)) + 1e-6);
        const float y = (float)random_between(-reach, reach);
        const double exact = pow((double)x, (double)y);
        if (exact > (double)FLT_MAX) continue;
        const double e = error_in_steps(gs_pow(x, y), exact);
        if (e > 0.5001) fail_msg("pow(%a, %a) is off by %.4f ulp", (double)x, (double)y, e);
        worst = e > worst ? e : worst;
    }
    static const float bases[] = {10000, 1e6f, 5e6f, 5e5f, 10000 * 50.0f};
    for (size_t b = 0; b < 5; b++)
        for (int i = 0; i < 256; i++) {
            const float y = (float)i / 256.0f;
            assert_true(error_in_steps(gs_pow(bases[b], y), pow((double)bases[b], (double)y)) <= 0.5001);
            assert_true(error_in_steps(gs_pow(bases[b], -y), pow((double)bases[b], -(double)y)) <= 0.5001);
        }
    print_message("pow: largest error %.6f ulp\n", worst);
    assert_true(worst > 0.49);
}

static void test_pow_at_the_edges(void **state)
{
    (void)state;
    for (int e = -126; e < 128; e++) assert_true(gs_pow(2.0f, (float)e) == ldexpf(1.0f, e));
    assert_true(gs_pow(2.0f, -149.0f) == 0x1p-149f);
    assert_true(gs_pow(3.0f, 4.0f) == 81.0f && gs_pow(10.0f, 10.0f) == 1e10f && gs_pow(0.25f, 0.5f) == 0.5f);
    assert_true(gs_pow(7.0f, 1.0f) == 7.0f && gs_pow(FLT_MAX, 1.0f) == FLT_MAX && gs_pow(0x1p-149f, 1.0f) == 0x1p-149f);
    assert_true(gs_pow(2.0f, 128.0f) == INFINITY && gs_pow(2.0f, 3e38f) == INFINITY &&
                gs_pow(2.0f, INFINITY) == INFINITY);
    assert_true(gs_pow(2.0f, -151.0f) == 0.0f && gs_pow(2.0f, -INFINITY) == 0.0f && gs_pow(0.5f, INFINITY) == 0.0f);
    assert_true(gs_pow(0.0f, 2.0f) == 0.0f && gs_pow(0.0f, -2.0f) == INFINITY && gs_pow(0.0f, 0.0f) == 1.0f);
    assert_true(gs_pow(INFINITY, 2.0f) == INFINITY && gs_pow(INFINITY, -2.0f) == 0.0f);
    assert_true(gs_pow(1.0f, NAN) == 1.0f && gs_pow(NAN, 0.0f) == 1.0f && gs_pow(1.0f, INFINITY) == 1.0f);
    assert_true(isnan(gs_pow(NAN, 1.0f)) && isnan(gs_pow(2.0f, NAN)) && isnan(gs_pow(-1.0f, 2.0f)));
}

/* Fingerprint (FNV-1a) of what torch 2.4.1 gave for x.pow(0.5), 4096 values of magnitudes from 2^-63 to 2^65. */
static void root_of_the_reference(void **state)
{
    (void)state;
    uint32_t number = 1;
    uint64_t hash = 14695981039346656037u;
    int inexact = 0;
    for (int i = 0; i < 4096; i++) {
        number = number * 1664525u + 1013904223u;
        const float x = gs_f32_from_bits(0x20000000u + (number >> 2)), y = gs_reference_root(x);
        const uint32_t bits = gs_f32_bits(y);
        for (int k = 0; k < 4; k++) hash = (hash ^ (bits >> (8 * k) & 0xFF)) * 1099511628211u;
        inexact += y != sqrtf(x);
        assert_true(fabs((double)y - sqrt((double)x)) <= 1.5 * 0x1p-24 * sqrt((double)x));
    }
    assert_true(hash == 0x88a06ef2545487c9u && inexact > 500);
    assert_true(gs_reference_root(0.0f) == 0.0f && gs_reference_root(INFINITY) == INFINITY);
    assert_true(gs_reference_root(0x1p-140f) == 0x1p-70f && isnan(gs_reference_root(-1.0f)));
    assert_true(gs_reference_root(2.0f) == 0x1.6a09e6p+0f && gs_reference_root(1000.0f) == 0x1.f9f6e4p+4f);
}

/* Likewise of x.pow(y) for four exponents, the same values. */
static void power_of_the_reference(void **state)
{
    (void)state;
    const float exponents[] = {0.9f, 0.1f, 0.7f, -0.35f};
    uint64_t hash = 14695981039346656037u;
    for (int e = 0; e < 4; e++) {
        uint32_t number = 1;
        for (int i = 0; i < 4096; i++) {
            number = number * 1664525u + 1013904223u;
            const float y = gs_reference_pow(gs_f32_from_bits(0x20000000u + (number >> 2)), exponents[e]);
            for (int k = 0; k < 4; k++) hash = (hash ^ (gs_f32_bits(y) >> (8 * k) & 0xFF)) * 1099511628211u;
        }
    }
    assert_true(hash == 0x5c45d386df870e79u);
    assert_true(gs_reference_pow(3.0f, 1.0f) == 3.0f && gs_reference_pow(3.0f, 0.0f) == 1.0f);
    assert_true(gs_reference_pow(0.0f, 0.9f) == 0.0f && gs_reference_pow(2.0f, 0.5f) == gs_reference_root(2.0f));
    assert_true(gs_reference_pow(0x1p120f, 1.5f) == INFINITY && gs_reference_pow(0x1p-120f, 1.5f) == 0.0f);
    assert_true(gs_reference_pow_left(2.0f, 0.7) == (float)pow(2.0, 0.7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_accurate),          cmocka_unit_test(test_exp_at_the_edges),
        cmocka_unit_test(test_double_log_and_exp),       cmocka_unit_test(test_exp_is_the_same_in_vector_form),
        cmocka_unit_test(test_sin_and_cos_are_accurate), cmocka_unit_test(test_sin_and_cos_at_the_edges),
        cmocka_unit_test(test_pow_is_accurate),          cmocka_unit_test(test_pow_at_the_edges),
        cmocka_unit_test(root_of_the_reference),         cmocka_unit_test(power_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
