/* The compute context. SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include <fenv.h>

#include "base/mem.h"
#include "kernels/elem.h"
#include "kernels/table.h"

static void opening_is_cheap_and_closing_forgiving(void **state)
{
    (void)state;
    gs_compute c = {0};
    gs_compute_close(&c);
    double best = 1;
    for (int i = 0; i < 5; i++) {
        const double start = gs_cpu_seconds(); /* not disturbed by other work */
        assert_int_equal(gs_compute_open(&c, 2, NULL), GS_OK);
        const double seconds = gs_cpu_seconds() - start;
        best = seconds < best ? seconds : best;
        assert_int_equal(gs_pool_threads(c.pool), 2);
        gs_compute_close(&c);
        assert_null(c.pool);
        gs_compute_close(&c);
    }
    assert_true(best < 0.010);
}

static void scratch_is_what_the_plan_is_told(void **state)
{
    (void)state;
    gs_compute c;
    const uint64_t before = gs_buf_now();
    assert_int_equal(gs_compute_open(&c, 3, NULL), GS_OK);
    const uint64_t held = gs_buf_now() - before;
    assert_true(held >= gs_compute_scratch_bytes(3, 64) && held < gs_compute_scratch_bytes(3, 64) + 65536);
    gs_compute_close(&c);
    assert_true(gs_buf_now() == before);
}

/* What attention really takes, whatever the size of heads; and no memory is an error before it begins. */
static void scratch_of_wide_heads(void **state)
{
    (void)state;
    static const int64_t sizes[] = {16, 128, 129, 512, 4096};
    enum { ROWS = 3, WIDEST = 4096 };
    float *const qkv = gs_alloc_array((size_t)4 * ROWS * WIDEST, sizeof *qkv); /* zeros; the last part is the result */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t d = sizes[i], n = (int64_t)ROWS * d;
        gs_compute c;
        const uint64_t before = gs_buf_now();
        assert_int_equal(gs_compute_open(&c, 2, NULL), GS_OK);
        if (d > GS_USUAL_HEAD) {
            gs_error err;
            gs_buf_set_limit(gs_buf_now() + 1000);
            assert_int_equal(gs_compute_provide_heads(&c, 16 * d, &err), GS_ERR_MEMORY);
            gs_buf_set_limit(0);
        }
        assert_int_equal(gs_compute_provide_heads(&c, d, NULL), GS_OK);
        const uint64_t held = gs_buf_now() - before;
        gs_attention(&c, ROWS, 0, qkv, d, qkv + n, qkv + 2 * n, d, 1, 1, d, qkv + 3 * n, d);
        assert_int_equal(gs_buf_now() - before, held); /* nothing more than was provided for */
        assert_true(held >= gs_compute_scratch_bytes(2, d) && held < gs_compute_scratch_bytes(2, d) + 65536);
        gs_compute_close(&c);
    }
    gs_free(qkv);
}

static void rungs_this_machine_lacks_are_refused(void **state)
{
    (void)state;
    gs_compute c;
    gs_error err;
    for (int rung = 0; rung < GS_RUNG_COUNT; rung++) {
        const gs_status status = gs_compute_open_rung(&c, 1, (gs_rung)rung, &err);
        assert_int_equal(status, rung <= (int)gs_cpu_best() ? GS_OK : GS_ERR_UNSUPPORTED);
        if (status == GS_OK) assert_int_equal(c.rung, rung);
        if (status != GS_OK) assert_non_null(strstr(err.text, gs_rung_name((gs_rung)rung)));
        gs_compute_close(&c);
    }
    assert_int_equal(gs_compute_open_rung(&c, 1, GS_RUNG_COUNT, &err), GS_ERR_UNSUPPORTED);
}

static void peak_grows_with_the_rung(void **state)
{
    (void)state;
#if defined(GS_EMULATED)
    skip(); /* an emulator's speed says nothing */
#endif
    double before[GS_GEMM_KINDS] = {0};
    for (int rung = 0; rung <= (int)gs_cpu_best() && rung <= GS_RUNG_C + 1; rung++) {
        gs_compute c;
        assert_int_equal(gs_compute_open_rung(&c, 1, (gs_rung)rung, NULL), GS_OK);
        for (int kind = 0; kind < GS_GEMM_KINDS; kind++) {
            const double peak = gs_compute_peak_by(&c, (gs_gemm_kind)kind, 3, 0.02, true);
            print_message("%s, kind %d: %.1f G/s on one thread\n", gs_rung_name((gs_rung)rung), kind, peak * 1e-9);
            assert_true(peak > 1e8 && peak < 1e13);
            assert_true(peak > before[kind]);
            before[kind] = peak;
        }
        gs_compute_close(&c);
    }
}

/* Numbers that are none may take another time; a peak has several loops of one round's length. */
static void peak_loops_stay_finite(void **state)
{
    (void)state;
#if defined(GS_EMULATED)
    skip(); /* too slow */
#endif
    for (int rung = 0; rung <= (int)gs_cpu_best(); rung++) {
        gs_compute c;
        assert_int_equal(gs_compute_open_rung(&c, 1, (gs_rung)rung, NULL), GS_OK);
        feclearexcept(FE_ALL_EXCEPT);
        c.kernels->peak_f32(1000000);
        assert_int_equal(fetestexcept(FE_OVERFLOW | FE_INVALID), 0);
        gs_compute_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_is_cheap_and_closing_forgiving),
        cmocka_unit_test(scratch_is_what_the_plan_is_told),
        cmocka_unit_test(scratch_of_wide_heads),
        cmocka_unit_test(rungs_this_machine_lacks_are_refused),
        cmocka_unit_test(peak_loops_stay_finite),
        cmocka_unit_test(peak_grows_with_the_rung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
