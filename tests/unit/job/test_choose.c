/* Which linears stay float: names, default fallback, last linear, level; and how far each pass goes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "job/job.h"
#include "model/forward.h"

#define LAYERS 3

static gs_recipe recipe;

static void begin(gs_job *job)
{
    gs_recipe_defaults(&recipe);
    *job = (gs_job){.recipe = &recipe};
    job->resolved.type = GS_Q_W8A8;
    job->calibrated.count = 1;
    job->config = (gs_config){.layers = LAYERS};
    snprintf(job->config.model_type, sizeof job->config.model_type, "chatglm");
    gs_error err = {0};
    assert_int_equal(gs_family_find(&job->config, &job->family, &err), GS_OK);
}

static void end(gs_job *job)
{
    gs_free(job->choice);
    gs_free(job->score);
    gs_free(job->max_input);
}

static int count_float(const gs_job *job)
{
    int n = 0;
    for (int i = 0; i < job->n_linears; i++) n += !gs_job_is_quantized(job, i);
    return n;
}

static void default_fallback(void **state)
{
    (void)state;
    gs_job job;
    gs_error err = {0};
    begin(&job);
    assert_int_equal(gs_job_choose(&job, &err), GS_OK);
    assert_int_equal(job.n_linears, LAYERS * GS_ROLES + 1);
    for (int b = 0; b < LAYERS; b++) {
        assert_string_equal(job.choice[gs_job_linear(b, GS_4H)].why_float, "default fallback");
        assert_true(gs_job_is_quantized(&job, gs_job_linear(b, GS_H4)));
    }
    assert_string_equal(job.choice[job.n_linears - 1].why_float, "last linear");
    assert_int_equal(count_float(&job), LAYERS + 1);
    /* Nothing quantized comes after the last block's H4. */
    assert_int_equal(gs_job_calibrate_until(&job, 0), GS_UNTIL_END);
    assert_int_equal(gs_job_calibrate_until(&job, LAYERS - 1), GS_UNTIL_H4_INPUT);
    assert_int_equal(gs_job_float_until(&job, 0), GS_UNTIL_NOTHING);
    recipe.use_kvcache_quant = true;
    assert_int_equal(gs_job_float_until(&job, 0), GS_UNTIL_END);
    assert_int_equal(gs_job_float_until(&job, LAYERS - 1), GS_UNTIL_DENSE_INPUT); /* keys as they are cached */
    recipe.reference_compat = true;
    assert_int_equal(gs_job_float_until(&job, LAYERS - 1), GS_UNTIL_QKV_OUTPUT);
    recipe.reference_compat = false;
    end(&job);
}

static void a_list_replaces_the_default(void **state)
{
    (void)state;
    gs_job job;
    gs_error err = {0};
    begin(&job);
    static const char *const names[] = {"transformer.encoder.layers.1.mlp.dense_h_to_4h", "transformer.output_layer",
                                        "transformer.encoder.layers.1.mlp.dense_h_to_4h", NULL};
    recipe.disable_names = names;
    recipe.disable_last_linear = false;
    assert_int_equal(gs_job_choose(&job, &err), GS_OK);
    assert_int_equal(count_float(&job), 2);
    assert_string_equal(job.choice[gs_job_linear(1, GS_H4)].why_float, "disable_names");
    assert_string_equal(job.choice[job.n_linears - 1].why_float, "disable_names");
    assert_int_equal(gs_job_calibrate_until(&job, LAYERS - 1), GS_UNTIL_4H_INPUT);
    end(&job);
}

static void unknown_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"transformer.encoder.layers.0", "transformer.encoder.layers.3.mlp.dense_h_to_4h",
                                      "", "transformer.encoder.layers.0.input_layernorm"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gs_job job;
        gs_error err = {0};
        begin(&job);
        const char *const names[] = {bad[i], NULL};
        recipe.disable_names = names;
        assert_int_equal(gs_job_choose(&job, &err), GS_ERR_USAGE);
        assert_non_null(strstr(err.text, "`disable_names` has invalid key `"));
        assert_non_null(strstr(err.text, bad[i]));
        end(&job);
    }
}

static void level_takes_the_greatest_scores(void **state)
{
    (void)state;
    gs_job job;
    gs_error err = {0};
    begin(&job);
    job.resolved.disable_level = 2;
    assert_int_equal(gs_job_choose(&job, &err), GS_OK);
    assert_true(job.level_pending);
    for (int i = 0; i < job.n_linears; i++) job.score[i] = (gs_score){.seen = true, .t_max = 1, .std = 1, .cols = 1};
    job.score[gs_job_linear(1, GS_DENSE)].t_max = 9;
    job.score[gs_job_linear(2, GS_4H)].t_max = 99; /* float already: does not use up a place */
    gs_job_choose_level(&job);
    assert_false(job.level_pending);
    assert_string_equal(job.choice[gs_job_linear(1, GS_DENSE)].why_float, "disable_level");
    assert_string_equal(job.choice[gs_job_linear(0, GS_QKV)].why_float, "disable_level"); /* first of the equal ones */
    assert_int_equal(count_float(&job), LAYERS + 1 + 2);
    end(&job);
}

/* Under --reference_compat do_smooth voids names below attention, whether listed or ranked; the low-bit ranking is none of names. */
static void renamed_attention(void **state)
{
    (void)state;
    static const char *const names[] = {"transformer.encoder.layers.1.self_attention.dense",
                                        "transformer.encoder.layers.1.mlp.dense_h_to_4h", NULL};
    for (int lowbit = 0; lowbit < 2; lowbit++) {
        gs_job job;
        gs_error err = {0};
        begin(&job);
        recipe.reference_compat = true;
        recipe.disable_names = names;
        job.resolved.do_smooth = true;
        job.resolved.lowbit_class = lowbit;
        job.resolved.disable_level = 2;
        assert_int_equal(gs_job_choose(&job, &err), GS_OK);
        const int dense = gs_job_linear(1, GS_DENSE), h4 = gs_job_linear(1, GS_H4), qkv = gs_job_linear(0, GS_QKV);
        assert_int_equal(gs_job_is_quantized(&job, dense), lowbit); /* in the low-bit ranking */
        for (int i = 0; i < job.n_linears; i++)
            job.score[i] = (gs_score){.seen = true, .t_max = 1, .std = 1, .cols = 1};
        job.score[qkv].t_max = job.max_input[qkv] = 9;
        job.max_input[dense] = 8;
        gs_job_choose_level(&job);
        assert_false(gs_job_is_quantized(&job, h4));
        assert_int_equal(gs_job_is_quantized(&job, dense), !lowbit);
        assert_int_equal(gs_job_is_quantized(&job, qkv), !lowbit);
        assert_int_equal(job.choice[qkv].dropped, lowbit);
        assert_string_equal(job.choice[h4].why_float, "disable_names");
        end(&job);
    }
}

static void level_beyond_the_count_takes_all(void **state)
{
    (void)state;
    gs_job job;
    gs_error err = {0};
    begin(&job);
    job.resolved.disable_level = 100;
    assert_int_equal(gs_job_choose(&job, &err), GS_OK);
    gs_job_choose_level(&job);
    assert_int_equal(count_float(&job), job.n_linears);
    assert_int_equal(gs_job_calibrate_until(&job, 0), GS_UNTIL_NOTHING);
    end(&job);
}

/* A mixture by default; a list replaces only what stays float by default; w4a4_all. */
static void w4a4_is_a_mixture(void **state)
{
    (void)state;
    static const char *const names[] = {"transformer.encoder.layers.1.self_attention.dense",
                                        "transformer.encoder.layers.2.mlp.dense_4h_to_h", NULL};
    static const gs_quant_type f = GS_Q_FLOAT, d = GS_Q_W8A8_DYNAMIC, w = GS_Q_W4A4_FLATQUANT_DYNAMIC;
    const gs_quant_type mixed[] = {w, d, w, f, w, d, w, f, w, d, w, f, f};
    const gs_quant_type listed[] = {w, d, w, w, w, f, w, w, w, d, w, f, f};
    const gs_quant_type all[] = {w, w, w, w, w, w, w, w, w, w, w, w, f};
    const struct {
        const char *const *names;
        bool all;
        const gs_quant_type *types;
    } cases[] = {{NULL, false, mixed}, {names, false, listed}, {NULL, true, all}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gs_job job;
        gs_error err = {0};
        begin(&job);
        job.resolved.type = w;
        job.samples = (gs_samples){.count = 4, .tokens = 9, .start = (int64_t[]){0, 2, 4, 6, 9}};
        recipe.w_bit = recipe.a_bit = 4;
        recipe.w4a4_all = cases[i].all;
        recipe.disable_names = cases[i].names;
        assert_int_equal(gs_job_choose(&job, &err), GS_OK);
        for (int l = 0; l < job.n_linears; l++) assert_int_equal(job.choice[l].type, cases[i].types[l]);
        gs_job_set_streams(&job);
        assert_int_equal(job.calibrated.count, 4);
        assert_true(gs_job_any_w4a4(&job, gs_job_linear(2, GS_H4)));
        assert_int_equal(gs_job_any_w4a4(&job, gs_job_linear(2, GS_4H)), cases[i].all);
        assert_false(gs_job_any_w4a4(&job, job.n_linears));
        end(&job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_fallback),
        cmocka_unit_test(a_list_replaces_the_default),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(level_takes_the_greatest_scores),
        cmocka_unit_test(renamed_attention),
        cmocka_unit_test(w4a4_is_a_mixture),
        cmocka_unit_test(level_beyond_the_count_takes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
