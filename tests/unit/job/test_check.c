/* A run's own check: what is right passes, what is not is an internal error that names check and tensor, and the reference's
 * mistakes are not asked about. SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"
#include "unit/format/result.h"

/* Scales of 1, in whatever type; the rest is 0, which holds together. */
static void ones(const gs_tensor *t, void *dst)
{
    if (!strstr(t->name, "scale")) return;
    for (int64_t i = 0; i < t->elements; i++) {
        const float one = 1.0f;
        const int64_t bits = 0x3F800000;
        if (t->dtype == GS_I64)
            memcpy((char *)dst + 8 * i, &bits, sizeof bits);
        else
            gs_from_f32(t->dtype, &one, (char *)dst + (size_t)i * gs_dtype_bytes(t->dtype), 1);
    }
}

static void zeros(const gs_tensor *t, void *dst)
{
    (void)t;
    (void)dst;
}

static gs_status check(result *r, const gs_target *target)
{
    gs_job job = {.recipe = &r->recipe, .target = target};
    OK(gs_compute_open(&job.compute, 1, ERR));
    const gs_status status = gs_job_check_output(&job, r->dir, ERR);
    gs_compute_close(&job.compute);
    return status;
}

static void test_good(void **state)
{
    (void)state;
    result r;
    result_begin(&r);
    r.fill = ones;
    r.recipe.use_kvcache_quant = r.spec.kv = true;
    result_write(&r);
    OK(check(&r, NULL));
    FAILS(check(&r, &gs_target_vllm_ascend), GS_ERR_FILE, "own check \"engine-cache\"");
    result_end(&r);
}

static void test_bad(void **state)
{
    (void)state;
    result r;
    result_begin(&r);
    r.fill = zeros;
    result_write(&r);
    FAILS(check(&r, NULL), GS_ERR_FILE, "internal error: the result fails its own check \"positive\"");
    FAILS(check(&r, NULL), GS_ERR_FILE, "query_key_value.weight_scale' holds 0 at element 0");
    FAILS(check(&r, NULL), GS_ERR_FILE, "Nothing is left at ");
    r.recipe.reference_compat = true;
    OK(check(&r, NULL));
    result_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
