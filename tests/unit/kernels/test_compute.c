/* The compute context. SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include "base/mem.h"

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
    assert_true(held >= gs_compute_scratch_bytes(3) && held < gs_compute_scratch_bytes(3) + 65536);
    gs_compute_close(&c);
    assert_true(gs_buf_now() == before);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_is_cheap_and_closing_forgiving),
        cmocka_unit_test(scratch_is_what_the_plan_is_told),
        cmocka_unit_test(rungs_this_machine_lacks_are_refused),
        cmocka_unit_test(peak_grows_with_the_rung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
