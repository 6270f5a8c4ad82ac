/* bf16 and f16, all codes and all rounding boundaries between them; rounding to integers; whole rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmocka.h>

#include "base/mem.h"
#include "base/sys.h"
#include "num/num.h"

/* The value of an f16 code from its definition. */
static double f16_value(int code)
{
    const int exponent = code >> 10 & 31, mantissa = code & 1023;
    const double m = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return code & 0x8000 ? -m : m;
}

static double bf16_value(int code)
{
    const int exponent = code >> 7 & 255, mantissa = code & 127;
    const double m = exponent == 0 ? ldexp(mantissa, -133) : ldexp(128 + mantissa, exponent - 134);
    return code & 0x8000 ? -m : m;
}

static void test_every_f16_code(void **state)
{
    (void)state;
    for (int code = 0; code < 65536; code++) {
        const float f = gs_f16_to_f32((uint16_t)code);
        if ((code & 0x7FFF) > 0x7C00) {
            assert_true(isnan(f));
            assert_int_equal(gs_f32_to_f16(f), code | 0x200); /* same payload, quiet */
            continue;
        }
        if ((code & 0x7FFF) == 0x7C00)
            assert_true(isinf(f) && !!signbit(f) == code >> 15);
        else if ((double)f != f16_value(code) || !!signbit(f) != code >> 15)
            fail_msg("code %04x is %a", code, (double)f);
        assert_int_equal(gs_f32_to_f16(f), code);
    }
}

static void test_every_bf16_code(void **state)
{
    (void)state;
    for (int code = 0; code < 65536; code++) {
        const float f = gs_bf16_to_f32((uint16_t)code);
        if ((code & 0x7FFF) > 0x7F80) {
            assert_true(isnan(f));
            assert_int_equal(gs_f32_to_bf16(f), code | 0x40);
            continue;
        }
        if ((code & 0x7FFF) == 0x7F80)
            assert_true(isinf(f) && !!signbit(f) == code >> 15);
        else if ((double)f != bf16_value(code) || !!signbit(f) != code >> 15)
            fail_msg("code %04x is %a", code, (double)f);
        assert_int_equal(gs_f32_to_bf16(f), code);
    }
}

/* Between two neighbouring codes the middle goes to the even one, and what is off the middle by the least amount to the
 * nearer. The neighbour of the largest finite code is Inf, at the place where the next number would be. */
static void check_boundaries(double (*value)(int), uint16_t (*convert)(float), int inf)
{
    for (int code = 0; code < inf; code++) {
        const double low = value(code), high = value(code + 1);
        const float middle = (float)((low + high) / 2);
        assert_true((double)middle == (low + high) / 2);
        const int even = code & 1 ? code + 1 : code;
        for (int sign = 0; sign < 2; sign++) {
            const float s = sign ? -1.0f : 1.0f;
            const int bit = sign << 15;
            if (convert(s * middle) != (even | bit)) fail_msg("middle above %04x", code);
            if (convert(s * nextafterf(middle, INFINITY)) != ((code + 1) | bit))
                fail_msg("above the middle above %04x", code);
            if (convert(s * nextafterf(middle, 0.0f)) != (code | bit)) fail_msg("below the middle above %04x", code);
        }
    }
}

static uint16_t to_f16(float f) { return gs_f32_to_f16(f); }
static uint16_t to_bf16(float f) { return gs_f32_to_bf16(f); }

static void test_rounding_boundaries(void **state)
{
    (void)state;
    check_boundaries(f16_value, to_f16, 0x7C00);
    check_boundaries(bf16_value, to_bf16, 0x7F80);
    assert_int_equal(gs_f32_to_f16(INFINITY), 0x7C00);
    assert_int_equal(gs_f32_to_f16(3.4e38f), 0x7C00);
    assert_int_equal(gs_f32_to_f16(-65520.0f), 0xFC00);
    assert_int_equal(gs_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(gs_f32_to_f16(0x1p-149f), 0);
    assert_int_equal(gs_f32_to_f16(-0x1p-149f), 0x8000);
    assert_int_equal(gs_f32_to_bf16(gs_f32_from_bits(0x7F800001u)),
                     0x7FC0); /* a NaN in the lower half only stays one */
    assert_int_equal(gs_f32_to_bf16(gs_f32_from_bits(0xFFFFFFFFu)), 0xFFFF);
    assert_int_equal(gs_f32_to_f16(gs_f32_from_bits(0x7F800001u)), 0x7E00);
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) static float machine_to_f32(uint16_t h) { return _cvtsh_ss(h); }
__attribute__((target("f16c"))) static uint16_t machine_to_f16(float f) { return _cvtss_sh(f, 0); }

/* Vector kernels may use the processor's f16 conversion: it must be the same function, NaN included. */
static void test_f16_is_what_the_processor_does(void **state)
{
    (void)state;
    if (gs_cpu_best() < GS_RUNG_AVX2) {
        print_message("no F16C here\n");
        skip();
    }
    for (int code = 0; code < 65536; code++)
        assert_int_equal(gs_f32_bits(gs_f16_to_f32((uint16_t)code)), gs_f32_bits(machine_to_f32((uint16_t)code)));
    for (uint64_t u = 0; u <= UINT32_MAX; u += 997) {
        const float f = gs_f32_from_bits((uint32_t)u);
        if (gs_f32_to_f16(f) != machine_to_f16(f)) fail_msg("bits %08x", (uint32_t)u);
    }
}
#endif

static void test_rint(void **state)
{
    (void)state;
    static const struct {
        float in, out;
    } cases[] = {{0.5f, 0},
                 {1.5f, 2},
                 {2.5f, 2},
                 {-0.5f, -0.0f},
                 {-1.5f, -2},
                 {-2.5f, -2},
                 {0.49999997f, 0},
                 {0.50000006f, 1},
                 {-0.49999997f, -0.0f},
                 {-0.0f, -0.0f},
                 {0, 0},
                 {126.5f, 126},
                 {127.5f, 128},
                 {-128.5f, -128},
                 {0x1p-149f, 0},
                 {8388607.5f, 8388608},
                 {8388606.5f, 8388606},
                 {8388608, 8388608},
                 {8388609, 8388609},
                 {16777215, 16777215},
                 {3e38f, 3e38f},
                 {INFINITY, INFINITY},
                 {-INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(gs_f32_bits(gs_rint(cases[i].in)), gs_f32_bits(cases[i].out));
    for (uint64_t u = 0; u <= UINT32_MAX; u += 509) {
        const float f = gs_f32_from_bits((uint32_t)u);
        const float got = gs_rint(f), want = nearbyintf(f);
        if (isnan(f) ? !isnan(got) : gs_f32_bits(got) != gs_f32_bits(want)) fail_msg("bits %08x", (uint32_t)u);
    }
}

static void test_clamp(void **state)
{
    (void)state;
    assert_int_equal(gs_clamp_s8(127, -128, 127), 127);
    assert_int_equal(gs_clamp_s8(128, -128, 127), 127);
    assert_int_equal(gs_clamp_s8(-128, -128, 127), -128);
    assert_int_equal(gs_clamp_s8(-129, -128, 127), -128);
    assert_int_equal(gs_clamp_s8(-128, -127, 127), -127);
    assert_int_equal(gs_clamp_s8(8, -8, 7), 7);
    assert_int_equal(gs_clamp_s8(-0.0f, -8, 7), 0);
    assert_int_equal(gs_clamp_s8(INFINITY, -8, 7), 7);
    assert_int_equal(gs_clamp_s8(-INFINITY, -8, 7), -8);
    assert_int_equal(gs_clamp_s8(3e38f, -128, 127), 127);
    assert_int_equal(gs_clamp_s8(NAN, -128, 127), -128);
}

/* All codes in one row and short rows of every length, at odd addresses, with guard bytes. */
static void check_rows(gs_dtype type, float (*widen)(uint16_t), uint16_t (*narrow)(float))
{
    enum { N = 65536 };
    unsigned char *codes = gs_alloc(2 * N + 3), *back = gs_alloc(2 * N + 3);
    float *values = gs_alloc_array(N + 1, sizeof *values);
    for (int i = 0; i < N; i++) memcpy(codes + 1 + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    for (int n = 0; n <= N; n = n < 70 ? n + 1 : n + 21822) {
        memset(back, 0xA5, 2 * N + 3);
        values[n] = 12345.0f;
        gs_to_f32(type, codes + 1, values, n);
        gs_from_f32(type, values, back + 1, n);
        assert_true(values[n] == 12345.0f);
        assert_int_equal(back[0], 0xA5);
        assert_int_equal(back[1 + 2 * n], 0xA5);
        for (int i = 0; i < n; i++) {
            uint16_t got;
            memcpy(&got, back + 1 + 2 * i, 2);
            const float want = widen((uint16_t)i);
            if (gs_f32_bits(values[i]) != gs_f32_bits(want) || got != narrow(want)) fail_msg("code %04x, n = %d", i, n);
        }
    }
    gs_free(codes);
    gs_free(back);
    gs_free(values);
}

static float widen_bf16(uint16_t b) { return gs_bf16_to_f32(b); }
static float widen_f16(uint16_t h) { return gs_f16_to_f32(h); }

static void test_rows(void **state)
{
    (void)state;
    check_rows(GS_BF16, widen_bf16, to_bf16);
    check_rows(GS_F16, widen_f16, to_f16);
    const float in[3] = {1.5f, -0.0f, 0x1p-149f};
    unsigned char raw[13];
    float out[3];
    gs_from_f32(GS_F32, in, raw + 1, 3);
    gs_to_f32(GS_F32, raw + 1, out, 3);
    assert_memory_equal(in, out, sizeof in);
    gs_to_f32(GS_F32, NULL, NULL, 0);
    gs_from_f32(GS_BF16, NULL, NULL, 0);
}

/* Random float32 rows rounded as the scalar function does, in all the loop's lanes. */
static void test_narrowing_random_rows(void **state)
{
    (void)state;
    enum { N = 100003 };
    float *x = gs_alloc_array(N, sizeof *x);
    uint16_t *y = gs_alloc_array(N, sizeof *y);
    uint32_t seed = 1;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = gs_f32_from_bits(seed ^ seed >> 16);
    }
    gs_from_f32(GS_BF16, x, y, N);
    for (int i = 0; i < N; i++) assert_int_equal(y[i], gs_f32_to_bf16(x[i]));
    gs_from_f32(GS_F16, x, y, N);
    for (int i = 0; i < N; i++) assert_int_equal(y[i], gs_f32_to_f16(x[i]));
    gs_free(x);
    gs_free(y);
}

static void put(gs_dtype type, unsigned char *row, int64_t i, uint32_t f32_bits)
{
    gs_from_f32(type, &(float){gs_f32_from_bits(f32_bits)}, row + (size_t)i * gs_dtype_bytes(type), 1);
}

static void test_count_nonfinite(void **state)
{
    (void)state;
    enum { N = 10000 };
    static const gs_dtype types[] = {GS_BF16, GS_F16, GS_F32};
    static const uint32_t bad[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00001u};
    unsigned char *row = gs_alloc(4 * N + 1);
    for (size_t t = 0; t < 3; t++) {
        unsigned char *p = row + 1; /* not aligned */
        memset(p, 0x3B, 4 * N);
        int64_t first = -7;
        assert_int_equal(gs_count_nonfinite(types[t], p, N, &first), 0);
        assert_int_equal(first, -7);
        assert_int_equal(gs_count_nonfinite(types[t], p, 0, &first), 0);
        static const int64_t at[] = {9999, 8192, 8191, 4096, 4095, 17, 1, 0};
        for (size_t i = 0; i < 8; i++) {
            put(types[t], p, at[i], bad[i % 4]);
            assert_int_equal(gs_count_nonfinite(types[t], p, N, &first), i + 1);
            assert_int_equal(first, at[i]);
            assert_int_equal(gs_count_nonfinite(types[t], p, N, NULL), i + 1);
        }
        assert_int_equal(gs_count_nonfinite(types[t], p, 17, &first), 2);
    }
    gs_free(row);
    uint16_t codes[65536];
    for (int i = 0; i < 65536; i++) codes[i] = (uint16_t)i;
    assert_int_equal(gs_count_nonfinite(GS_BF16, codes, 65536, NULL), 2 * 128);
    assert_int_equal(gs_count_nonfinite(GS_F16, codes, 65536, NULL), 2 * 1024);
    const float largest[2] = {3.40282347e38f, -0x1p-149f};
    assert_int_equal(gs_count_nonfinite(GS_F32, largest, 2, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_f16_code),
        cmocka_unit_test(test_every_bf16_code),
        cmocka_unit_test(test_rounding_boundaries),
#if defined(__x86_64__)
        cmocka_unit_test(test_f16_is_what_the_processor_does),
#endif
        cmocka_unit_test(test_rint),
        cmocka_unit_test(test_clamp),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_narrowing_random_rows),
        cmocka_unit_test(test_count_nonfinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
