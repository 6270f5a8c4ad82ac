/* Sums of squared products: both ways against sums in double, ragged sizes, any number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smooth/form.h"
#include "unit/smooth/fixture.h"

static float *noise_matrix(int64_t n, uint64_t seed)
{
    float *const x = test_malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = noise(&seed) * (i % 61 == 7 ? 20.0f : 1.0f);
    return x;
}

static double exact(const float *factor, int64_t n, int64_t k, const float *d, int64_t rows)
{
    double sum = 0;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t o = 0; o < n; o++) {
            double dot = 0;
            for (int64_t i = 0; i < k; i++) dot += (double)factor[o * k + i] * (double)d[t * k + i];
            sum += dot * dot;
        }
    return sum;
}

static void check(gs_compute *c, gs_compute *many, gs_pack_kind pack, int64_t n, int64_t k, int64_t rows)
{
    float *const w = noise_matrix(n * k, 1), *const d = noise_matrix(rows * k, 2);
    uint16_t *const bits = test_malloc((size_t)(n * k) * sizeof *bits);
    gs_packed factor;
    for (int64_t i = 0; i < n * k; i++) {
        bits[i] = gs_f32_to_bf16(w[i]);
        if (pack == GS_PACK_BF16) w[i] = gs_bf16_to_f32(bits[i]);
    }
    OK(gs_packed_alloc(&factor, pack, n, k, "test factor", ERR));
    gs_pack_rows(c, &factor, 0, n, pack == GS_PACK_BF16 ? (const void *)bits : w);
    const double want = exact(w, n, k, d, rows);
    for (gs_form_kind kind = GS_FORM_PRODUCT; kind <= GS_FORM_GRAM; kind++) {
        double sum = 0, again = 0;
        gs_form f;
        OK(gs_form_init(&f, c, &factor, 1, kind, ERR));
        gs_form_add(&f, c, rows, d, &sum);
        gs_form_release(&f);
        OK(gs_form_init(&f, many, &factor, 1, kind, ERR));
        gs_form_add(&f, many, rows, d, &again);
        gs_form_release(&f);
        if (fabs(sum - want) > 2e-6 * want)
            fail_msg("%dx%d, %d vectors, way %d: %.9g instead of %.9g", (int)n, (int)k, (int)rows, (int)kind, sum,
                     want);
        assert_memory_equal(&sum, &again, sizeof sum);
    }
    gs_packed_release(&factor);
    test_free(bits);
    test_free(w);
    test_free(d);
}

static void both_ways(void **state)
{
    gs_compute one, many;
    (void)state;
    OK(gs_compute_open(&one, 1, ERR));
    OK(gs_compute_open(&many, 5, ERR));
    check(&one, &many, GS_PACK_F32, 1, 1, 1);
    check(&one, &many, GS_PACK_F32, 3, 512, 2);
    check(&one, &many, GS_PACK_F32, 70, 513, 33);
    check(&one, &many, GS_PACK_BF16, 200, 600, 150);
    check(&one, &many, GS_PACK_BF16, 1100, 1030, 17);
    gs_compute_close(&one);
    gs_compute_close(&many);
}

/* Many vectors and a tall factor: the triangle; few vectors: the product. */
static void choice_of_way(void **state)
{
    gs_compute c;
    gs_form f;
    gs_packed factor;
    (void)state;
    OK(gs_compute_open(&c, 1, ERR));
    OK(gs_packed_alloc(&factor, GS_PACK_F32, 2000, 64, "test factor", ERR));
    OK(gs_form_init(&f, &c, &factor, 1e6, GS_FORM_AUTO, ERR));
    assert_int_equal(f.kind, GS_FORM_GRAM);
    gs_form_release(&f);
    OK(gs_form_init(&f, &c, &factor, 10, GS_FORM_AUTO, ERR));
    assert_int_equal(f.kind, GS_FORM_PRODUCT);
    gs_form_release(&f);
    gs_packed_release(&factor);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(choice_of_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
