/* The table of peaks belongs to the kernels: measuring how threads scale adds no row to it. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bench.h"

static void scaling_adds_no_peaks(void **state)
{
    (void)state;
    gs_bench b = {.spec = {.quick = true, .threads = 3, .last = GS_RUNG_C, .width = 128},
                  .sizes = gs_bench_sizes_of(128)};
    assert_int_equal(gs_bench_run_scale(&b, NULL), GS_OK);
    assert_int_equal(b.n_scales, 3);
    for (int i = 0; i < b.n_scales; i++) assert_true(b.scales[i].per_s > 0 && b.scales[i].peak_per_s > 0);
    assert_int_equal(b.n_peaks, 0); /* a row has a share of a kernel, which nobody has measured here */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scaling_adds_no_peaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
