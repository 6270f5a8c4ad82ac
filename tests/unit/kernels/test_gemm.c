/* Matrix products against the numeric contract of gemm.h, written out here once more: every rung, several thread counts, ragged
 * sizes, rows split over calls, unaligned operands, guards around what may be written. SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/gemm.h"

typedef struct shape {
    int64_t m, n, k;
} shape;

/* a, b: row-major, [m, k] and [n, k] */
static float contract_f32(const float *a, const float *b, int64_t k, float bias, bool has_bias)
{
    float total = 0;
    for (int64_t k0 = 0; k0 < k; k0 += GS_GEMM_KC) {
        float sum = 0;
        for (int64_t i = k0; i < k && i < k0 + GS_GEMM_KC; i++) sum = fmaf(a[i], b[i], sum);
        total = k0 == 0 ? sum : total + sum;
    }
    return has_bias ? total + bias : total;
}

static uint16_t *bf16_rows(int64_t n, int64_t k)
{
    uint16_t *w = malloc((size_t)(n * k) * sizeof *w);
    for (int64_t i = 0; i < n * k; i++) w[i] = gs_f32_to_bf16(random_normal());
    return w;
}

/* In as many calls as there are groups or in one, by `whole`. */
static void pack_all(gs_compute *c, gs_packed *p, gs_pack_kind kind, int64_t n, int64_t k, const void *rows, bool whole)
{
    const size_t element = kind == GS_PACK_F32 ? 4 : kind == GS_PACK_BF16 ? 2 : 1;
    assert_int_equal(gs_packed_alloc(p, kind, n, k, "test", NULL), GS_OK);
    assert_true(p->buf.bytes >= gs_packed_bytes(kind, n, k));
    const int64_t step = whole ? n : GS_PACK_ROWS;
    for (int64_t row = 0; row < n; row += step)
        gs_pack_rows(c, p, row, n - row < step ? n - row : step, (const char *)rows + (size_t)(row * k) * element);
}

/* out must be `want` where the product wrote and untouched between rows. */
static void check_out(const float *out, int64_t ldc, const float *want, int64_t m, int64_t n, const char *what)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++)
            if (memcmp(&out[i * ldc + j], &want[i * n + j], 4) != 0)
                fail_msg("%s: row %lld column %lld of %lld x %lld: %.9g, expected %.9g", what, (long long)i,
                         (long long)j, (long long)m, (long long)n, (double)out[i * ldc + j], (double)want[i * n + j]);
        for (int64_t j = n; j < ldc && i < m - 1; j++) {
            uint32_t bits;
            memcpy(&bits, &out[i * ldc + j], 4);
            assert_int_equal(bits, 0xa5a5a5a5u);
        }
    }
}

static void check_float_shape(shape s, bool has_bias, bool aligned)
{
    const int64_t lda = s.k + (aligned ? 0 : 3), ldc = s.n + (aligned ? 0 : 5);
    const size_t skew = aligned ? 0 : 4;
    uint16_t *const bits = bf16_rows(s.n, s.k);
    float *const w = malloc((size_t)(s.n * s.k) * sizeof *w), *const bias = malloc((size_t)s.n * sizeof *bias);
    float *const want = malloc((size_t)(s.m * s.n) * sizeof *want);
    guarded a = guarded_new((size_t)((s.m - 1) * lda + s.k) * 4, skew);
    for (int64_t i = 0; i < s.n * s.k; i++) w[i] = gs_bf16_to_f32(bits[i]);
    fill_normal(bias, s.n);
    fill_normal(a.data, (s.m - 1) * lda + s.k);
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++)
            want[i * s.n + j] = contract_f32((float *)a.data + i * lda, w + j * s.k, s.k, bias[j], has_bias);
    for (int rung = 0; rung < all.rungs; rung++)
        for (int t = 0; t < THREAD_COUNTS; t++)
            for (int kind = GS_PACK_F32; kind <= GS_PACK_BF16; kind++) {
                gs_compute *const c = &all.c[rung][t];
                gs_packed p;
                pack_all(c, &p, (gs_pack_kind)kind, s.n, s.k, kind == GS_PACK_F32 ? (void *)w : (void *)bits, t != 1);
                guarded out = guarded_new((size_t)((s.m - 1) * ldc + s.n) * 4, skew);
                /* rows in one call, or split in two */
                const int64_t first = t == 2 ? s.m / 3 : s.m;
                gs_gemm_f32(c, &p, first, a.data, lda, has_bias ? bias : NULL, out.data, ldc);
                gs_gemm_f32(c, &p, s.m - first, (float *)a.data + first * lda, lda, has_bias ? bias : NULL,
                            (float *)out.data + first * ldc, ldc);
                check_out(out.data, ldc, want, s.m, s.n, gs_rung_name((gs_rung)rung));
                guarded_free(&out);
                gs_packed_release(&p);
            }
    guarded_free(&a);
    free(bits);
    free(w);
    free(bias);
    free(want);
}

static const shape fixed_shapes[] = {
    {1, 1, 1},      {1, 200, 1200}, {6, 16, 512}, {6, 64, 1024}, {7, 65, 513},   {5, 15, 511},   {70, 200, 1200},
    {64, 128, 256}, {13, 1, 300},   {2, 63, 257}, {3, 64, 258},  {4, 129, 2},    {12, 17, 3},    {96, 64, 512},
    {97, 80, 640},  {200, 70, 37},  {385, 33, 9}, {11, 48, 255}, {18, 193, 768}, {66, 49, 1025},
};
enum { FIXED_SHAPES = sizeof fixed_shapes / sizeof *fixed_shapes, RANDOM_SHAPES = 25 };

static shape shape_number(int i)
{
    if (i < FIXED_SHAPES) return fixed_shapes[i];
    return (shape){1 + random_below(70), 1 + random_below(200), 1 + random_below(1200)};
}

static void float_products_follow_the_contract(void **state)
{
    (void)state;
    for (int i = 0; i < FIXED_SHAPES + RANDOM_SHAPES; i++) check_float_shape(shape_number(i), i % 2 == 0, i % 3 == 0);
}

/* ---- bf16 pairs, once more: the chain in double, rounded to odd, then to float with any exponent, then flushed ---- */

static double flushed(double x) { return fabs(x) < 0x1p-126 ? copysign(0, x) : x; }

static double add_flushed(double a, double b)
{
    const double s = a + b, t = s - a, e = (a - (s - t)) + (b - t); /* s + e = a + b */
    int64_t bits;
    memcpy(&bits, &s, 8);
    if (e != 0 && bits % 2 == 0) bits += (e > 0) == (s > 0) ? 1 : -1; /* to odd: a second rounding then does no harm */
    double odd;
    memcpy(&odd, &bits, 8);
    const double wide = (double)(float)(odd * 0x1p64) * 0x1p-64; /* 24 bits, no subnormals */
    return flushed(wide);
}

static float contract_bf16(const float *a, const uint16_t *w, int64_t k, float bias, bool has_bias)
{
    double total = 0;
    for (int64_t k0 = 0; k0 < k; k0 += GS_GEMM_KC) {
        double sum = 0;
        for (int64_t i = k0; i < k + 1 && i < k0 + GS_GEMM_KC; i++) {
            const int64_t at = i ^ 1; /* the odd one first */
            if (at >= k) continue;
            const double x = flushed((double)gs_bf16_to_f32(gs_f32_to_bf16(a[at])));
            sum = add_flushed(x * flushed((double)gs_bf16_to_f32(w[at])), sum);
        }
        total = k0 == 0 ? sum : add_flushed(total, sum);
    }
    return (float)(has_bias ? add_flushed(total, flushed((double)bias)) : total);
}

/* size: of the operands. From 2^-63 down products are around the least normal number. */
static void check_pair_shape(shape s, bool has_bias, bool aligned, float size)
{
    const int64_t lda = s.k + (aligned ? 0 : 3), ldc = s.n + (aligned ? 0 : 5);
    const size_t skew = aligned ? 0 : 4;
    uint16_t *const bits = malloc((size_t)(s.n * s.k) * sizeof *bits);
    float *const bias = malloc((size_t)s.n * sizeof *bias), *const want = malloc((size_t)(s.m * s.n) * sizeof *want);
    guarded a = guarded_new((size_t)((s.m - 1) * lda + s.k) * 4, skew);
    fill_normal(a.data, (s.m - 1) * lda + s.k);
    for (int64_t i = 0; i < (s.m - 1) * lda + s.k; i++) ((float *)a.data)[i] *= size;
    for (int64_t i = 0; i < s.n * s.k; i++) bits[i] = gs_f32_to_bf16(random_normal() * size);
    for (int64_t j = 0; j < s.n; j++) bias[j] = random_normal() * size * size;
    if (size < 1) bits[0] = 3, ((float *)a.data)[0] = 1; /* a subnormal weight */
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++)
            want[i * s.n + j] = contract_bf16((float *)a.data + i * lda, bits + j * s.k, s.k, bias[j], has_bias);
    for (int rung = 0; rung < all.rungs; rung++)
        for (int t = 0; t < THREAD_COUNTS; t++) {
            gs_compute *const c = &all.c[rung][t];
            gs_packed p;
            pack_all(c, &p, GS_PACK_BF16, s.n, s.k, bits, t != 1);
            guarded out = guarded_new((size_t)((s.m - 1) * ldc + s.n) * 4, skew);
            const int64_t first = t == 2 ? s.m / 3 : s.m;
            gs_gemm_bf16(c, &p, first, a.data, lda, has_bias ? bias : NULL, out.data, ldc);
            gs_gemm_bf16(c, &p, s.m - first, (float *)a.data + first * lda, lda, has_bias ? bias : NULL,
                         (float *)out.data + first * ldc, ldc);
            check_out(out.data, ldc, want, s.m, s.n, gs_rung_name((gs_rung)rung));
            volatile float least = 0x1p-126f; /* the control register is as it was */
            assert_true(least / 2 > 0);
            guarded_free(&out);
            gs_packed_release(&p);
        }
    guarded_free(&a);
    free(bits);
    free(bias);
    free(want);
}

/* Bochs 3.0, when told to flush, also takes differences between 2^-126 and 2^-125, which are normal, for zeros. */
static bool keeps_small_sums(void)
{
#if defined(__x86_64__)
    volatile float a = 0x1.ce6854p-122f, b = -0x1.eb1492p-122f;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    volatile float sum = a + b;
    _mm_setcsr(before);
    return sum != 0;
#else
    return true;
#endif
}

static void products_of_pairs_follow_the_contract(void **state)
{
    (void)state;
    static const float sizes[] = {1, 0x1p-62f, 0x1p-64f, 0x1p-66f, 0x1p-100f};
    const bool sums = keeps_small_sums();
    if (!sums) print_message("small values with a bias or over blocks of k: skipped, this emulator's sums are wrong\n");
    for (int i = 0; i < FIXED_SHAPES; i++) check_pair_shape(shape_number(i), i % 2 == 0, i % 3 == 0, 1);
    for (int i = 0; i < 15; i++)
        check_pair_shape(
            (shape){1 + random_below(20), 1 + random_below(70), 1 + random_below(sums ? 1100 : GS_GEMM_KC)},
            sums && i % 2 == 0, i % 3 == 0, sizes[i % 5]);
    for (int rung = all.rungs; rung < GS_RUNG_COUNT; rung++)
        print_message("%s: skipped, not on this machine\n", gs_rung_name((gs_rung)rung));
}

/* 2^-126 from the odd product, less three quarters, three eighths and one and a half of 2^-150. Rounded to 24 bits the first is below the
 * least normal number and gone, rounded as a subnormal it would be that number; the second is that number either way, the third not. */
static void flushing_decides_after_rounding(void **state)
{
    (void)state;
    const float a[2] = {-0x1.8p-75f, 0x1p-63f}, even[3] = {0x1p-76f, 0x1p-77f, 0x1p-75f}, want[3] = {0, 0x1p-126f, 0};
    uint16_t w[6];
    for (int j = 0; j < 3; j++) {
        w[2 * j] = gs_f32_to_bf16(even[j]);
        w[2 * j + 1] = gs_f32_to_bf16(0x1p-63f);
        assert_true(contract_bf16(a, w + 2 * j, 2, 0, false) == want[j]);
    }
    for (int rung = 0; rung < all.rungs; rung++) {
        gs_packed p;
        float out[3];
        pack_all(&all.c[rung][1], &p, GS_PACK_BF16, 3, 2, w, true);
        gs_gemm_bf16(&all.c[rung][1], &p, 1, a, 2, NULL, out, 3);
        for (int j = 0; j < 3; j++) assert_true(out[j] == want[j]);
        gs_packed_release(&p);
    }
}

static void check_code_shape(shape s, bool has_bias, bool aligned)
{
    const int64_t lda = s.k + (aligned ? 0 : 3), ldc = s.n + (aligned ? 0 : 5);
    int8_t *const w = malloc((size_t)(s.n * s.k));
    float *const vectors = malloc((size_t)(2 * s.n + s.m) * sizeof(float)), *const bias = vectors,
                 *const w_scale = vectors + s.n, *const scale = w_scale + s.n;
    int32_t *const zero = malloc((size_t)s.m * sizeof *zero);
    float *const want = malloc((size_t)(s.m * s.n) * sizeof *want);
    guarded a = guarded_new((size_t)((s.m - 1) * lda + s.k), aligned ? 0 : 1);
    fill_codes(w, s.n * s.k);
    fill_codes(a.data, (s.m - 1) * lda + s.k);
    if (s.m > 3) { /* the extremes, which 16-bit or saturating sums would get wrong */
        memset((int8_t *)a.data + 2 * lda, -128, (size_t)s.k);
        memset(w, -128, (size_t)s.k);
    }
    fill_normal(bias, s.n);
    for (int64_t j = 0; j < s.n; j++) w_scale[j] = 0.001f + 0.01f * (float)(random_u32() % 1000) / 1000;
    for (int64_t i = 0; i < s.m; i++) {
        scale[i] = 0.01f + 0.1f * (float)(random_u32() % 1000) / 1000;
        zero[i] = (int32_t)random_below(256) - 128;
    }
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) {
            int64_t sum = 0;
            for (int64_t e = 0; e < s.k; e++)
                sum += (((int8_t *)a.data)[i * lda + e] - zero[i]) * (int64_t)w[j * s.k + e];
            const float y = (float)sum * (scale[i] * w_scale[j]);
            want[i * s.n + j] = has_bias ? y + bias[j] : y;
        }
    for (int rung = 0; rung < all.rungs; rung++)
        for (int t = 0; t < THREAD_COUNTS; t++) {
            gs_compute *const c = &all.c[rung][t];
            gs_packed p;
            pack_all(c, &p, GS_PACK_S8, s.n, s.k, w, t != 1);
            guarded out = guarded_new((size_t)((s.m - 1) * ldc + s.n) * 4, aligned ? 0 : 4);
            const int64_t first = t == 2 ? s.m / 3 : s.m;
            gs_gemm_s8(c, &p, first, a.data, lda, scale, zero, w_scale, has_bias ? bias : NULL, out.data, ldc);
            gs_gemm_s8(c, &p, s.m - first, (int8_t *)a.data + first * lda, lda, scale + first, zero + first, w_scale,
                       has_bias ? bias : NULL, (float *)out.data + first * ldc, ldc);
            check_out(out.data, ldc, want, s.m, s.n, gs_rung_name((gs_rung)rung));
            guarded_free(&out);
            gs_packed_release(&p);
        }
    guarded_free(&a);
    free(w);
    free(vectors);
    free(zero);
    free(want);
}

static void code_products_are_exact(void **state)
{
    (void)state;
    for (int i = 0; i < FIXED_SHAPES + RANDOM_SHAPES; i++) check_code_shape(shape_number(i), i % 2 == 0, i % 3 == 0);
}

/* k = 65536 with both operands at -128 and a zero point of 127: the largest sums the contract allows. */
static void longest_rows_of_codes_do_not_overflow(void **state)
{
    (void)state;
    const int64_t k = 65536, n = 17;
    int8_t *const w = malloc((size_t)(n * k)), *const a = malloc((size_t)k);
    const float one = 1.0f;
    float w_scale[17], out[17];
    for (int i = 0; i < 17; i++) w_scale[i] = 1.0f;
    memset(w, 127, (size_t)(n * k));
    memset(a, -128, (size_t)k);
    const int32_t zeros[] = {0, 127, -128};
    for (int rung = 0; rung < all.rungs; rung++)
        for (int z = 0; z < 3; z++) {
            gs_packed p;
            pack_all(&all.c[rung][1], &p, GS_PACK_S8, n, k, w, true);
            assert_int_equal(p.row_sum[16], 127 * k);
            gs_gemm_s8(&all.c[rung][1], &p, 1, a, k, &one, &zeros[z], w_scale, NULL, out, n);
            for (int j = 0; j < 17; j++) assert_true(out[j] == (float)((-128 - zeros[z]) * 127 * k));
            gs_packed_release(&p);
        }
    free(w);
    free(a);
}

/* Integer sums that begin with a bias, over several blocks of k, ragged edges, and sums that only float32 rounds. */
static void code_products_begin_with_a_bias(void **state)
{
    (void)state;
    const shape shapes[] = {{1, 17, 5}, {7, 64, 512}, {13, 130, 517}, {200, 33, 1026}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape s = shapes[i];
        int8_t *const w = malloc((size_t)(s.n * s.k)), *const a = malloc((size_t)(s.m * s.k));
        int32_t *const start = malloc((size_t)s.n * sizeof *start);
        float *const scale = malloc((size_t)s.n * sizeof *scale), *const want = malloc((size_t)(s.m * s.n) * 4),
                     *const out = malloc((size_t)(s.m * s.n) * 4);
        fill_codes(w, s.n * s.k);
        fill_codes(a, s.m * s.k);
        for (int64_t j = 0; j < s.n; j++) {
            start[j] = (int32_t)(random_u32() % 400000001) - 200000000;
            scale[j] = 0.001f + 0.01f * (float)(random_u32() % 1000) / 1000;
        }
        for (int64_t r = 0; r < s.m; r++)
            for (int64_t j = 0; j < s.n; j++) {
                int32_t sum = start[j];
                for (int64_t e = 0; e < s.k; e++) sum += a[r * s.k + e] * w[j * s.k + e];
                want[r * s.n + j] = (float)sum * scale[j];
            }
        for (int rung = 0; rung < all.rungs; rung++)
            for (int t = 0; t < THREAD_COUNTS; t++) {
                gs_packed p;
                pack_all(&all.c[rung][t], &p, GS_PACK_S8, s.n, s.k, w, true);
                gs_gemm_s8_from(&all.c[rung][t], &p, s.m, a, s.k, start, scale, out, s.n);
                check_out(out, s.n, want, s.m, s.n, gs_rung_name((gs_rung)rung));
                gs_packed_release(&p);
            }
        free(w);
        free(a);
        free(start);
        free(scale);
        free(want);
        free(out);
    }
}

static void unpacking_gives_the_values_back(void **state)
{
    (void)state;
    const shape shapes[] = {{0, 1, 1}, {0, 64, 512}, {0, 130, 517}, {0, 77, 1026}, {0, 200, 31}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t n = shapes[i].n, k = shapes[i].k;
        uint16_t *const bits = bf16_rows(n, k);
        float *const w = malloc((size_t)(n * k) * 4);
        for (int64_t e = 0; e < n * k; e++) w[e] = gs_bf16_to_f32(bits[e]);
        for (int kind = GS_PACK_F32; kind <= GS_PACK_BF16; kind++) {
            gs_packed p;
            gs_compute *const c = &all.c[0][1];
            pack_all(c, &p, (gs_pack_kind)kind, n, k, kind == GS_PACK_F32 ? (void *)w : (void *)bits, false);
            const int64_t starts[] = {0, n / 2, n - 1};
            for (int s = 0; s < 3; s++) {
                const int64_t rows = n - starts[s];
                guarded out = guarded_new((size_t)(rows * k) * 4, 4);
                gs_unpack_rows(c, &p, starts[s], rows, out.data);
                assert_memory_equal(out.data, w + starts[s] * k, (size_t)(rows * k) * 4);
                guarded_free(&out);
            }
            gs_packed_release(&p);
        }
        free(bits);
        free(w);
    }
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    gs_packed p;
    gs_error err;
    assert_int_equal(gs_packed_alloc(&p, GS_PACK_F32, INT64_MAX, 4, "weights of x", &err), GS_ERR_MEMORY);
    assert_non_null(strstr(err.text, "weights of x"));
    assert_int_equal(gs_packed_alloc(&p, GS_PACK_S8, (int64_t)1 << 40, (int64_t)1 << 40, "weights of x", &err),
                     GS_ERR_MEMORY);
    assert_int_equal(gs_packed_alloc(&p, GS_PACK_S8, 0, 4, "weights of x", &err), GS_ERR_MEMORY);
    assert_true(gs_packed_bytes(GS_PACK_BF16, 64, 512) == 64 * 512 * 2);
    assert_true(gs_packed_bytes(GS_PACK_F32, 65, 511) == 128 * 512 * 4);
    gs_packed_release(&p);
}

/* Infinities and NaN stay in their row and column. */
static void padding_does_not_spread_nan(void **state)
{
    (void)state;
    enum { M = 7, N = 18, K = 5 };
    float a[M * K], w[N * K], out[M * N];
    fill_normal(a, M * K);
    fill_normal(w, N * K);
    a[3 * K + 2] = INFINITY;
    w[17 * K + 1] = NAN;
    for (int rung = 0; rung < all.rungs; rung++) {
        gs_packed p;
        pack_all(&all.c[rung][1], &p, GS_PACK_F32, N, K, w, true);
        gs_gemm_f32(&all.c[rung][1], &p, M, a, K, NULL, out, N);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) assert_int_equal(isfinite(out[i * N + j]) != 0, i != 3 && j != 17);
        gs_packed_release(&p);
    }
}

static void work_is_counted(void **state)
{
    (void)state;
    gs_compute c;
    gs_packed p;
    float a[6] = {1, 2, 3, 4, 5, 6}, w[3] = {1, 1, 1}, out[2];
    assert_int_equal(gs_compute_open(&c, 2, NULL), GS_OK);
    pack_all(&c, &p, GS_PACK_F32, 1, 3, w, true);
    gs_gemm_f32(&c, &p, 2, a, 3, NULL, out, 1);
    gs_gemm_f32(&c, &p, 2, a, 3, NULL, out, 1);
    assert_true(c.work[GS_GEMM_F32].operations == 2 * 2.0 * 2 * 1 * 3);
    assert_true(c.work[GS_GEMM_F32].seconds > 0);
    assert_true(c.work[GS_GEMM_S8].operations == 0);
    assert_true(out[0] == 6 && out[1] == 15);
    gs_packed_release(&p);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* the long ones last: an emulator takes an hour for them */
        cmocka_unit_test(code_products_are_exact),
        cmocka_unit_test(code_products_begin_with_a_bias),
        cmocka_unit_test(longest_rows_of_codes_do_not_overflow),
        cmocka_unit_test(flushing_decides_after_rounding),
        cmocka_unit_test(unpacking_gives_the_values_back),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(padding_does_not_spread_nan),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(products_of_pairs_follow_the_contract),
        cmocka_unit_test(float_products_follow_the_contract),
    };
    return cmocka_run_group_tests(tests, contexts_open, contexts_close);
}
