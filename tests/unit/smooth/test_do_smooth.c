/* do_smooth: the first norm of the tiny models against the reference's results, the search against its formulas, guards.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smooth/do_smooth.h"
#include "unit/smooth/fixture.h"

/* Input of the first linear for the first calibration prompt: it depends on no quantized layer. */
static float *first_input(gs_compute *c, const model *m, const gs_block *block, int64_t *rows)
{
    size_t n;
    char *const text = file_text(DATA("prompt_ids.json"), &n);
    json_t *const root = gs_json_parse(text, n, "prompt_ids.json", 4, ERR);
    const json_t *const ids = json_array_get(root, 0);
    *rows = (int64_t)json_array_size(ids);
    int32_t *const id = test_malloc((size_t)*rows * sizeof *id);
    for (int64_t i = 0; i < *rows; i++) id[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    float *const h = test_malloc((size_t)(*rows * m->config.hidden) * sizeof *h);
    OK(gs_embed(&m->ck, m->tensors.embedding, id, *rows, h, ERR));
    gs_rmsnorm(c, *rows, m->config.hidden, h, block->norm[GS_NORM_INPUT], NULL, m->config.norm_eps, h);
    test_free(id);
    json_decref(root);
    gs_free(text);
    return h;
}

static void check_golden(const char *name, const char *bits, int w_bit)
{
    gs_compute c;
    model m;
    golden g;
    gs_block block = {0};
    char path[512];
    int64_t rows;
    gs_do_smooth_choice choice;
    OK(gs_compute_open(&c, 2, ERR));
    snprintf(path, sizeof path, TINY("%s"), name);
    model_open(&m, path);
    snprintf(path, sizeof path, SMOOTH_DATA("%s.safetensors"), name);
    golden_open(&g, path);
    OK(gs_block_load(&block, &c, &m.config, &m.ck, &m.tensors.block[0], ERR));
    float *const x = first_input(&c, &m, &block, &rows);
    const int64_t n = m.config.hidden;
    float *const shift = test_malloc((size_t)n * sizeof *shift), *const scale = test_malloc((size_t)n * sizeof *scale);
    OK(gs_do_smooth_search(&c, &block.weight[GS_QKV], rows, x, w_bit, true, shift, scale, &choice, ERR));
    snprintf(path, sizeof path, "do_smooth.%s.0.qkv.norm_weight", bits);
    float *const weight = golden_read(&g, path, n);
    snprintf(path, sizeof path, "do_smooth.%s.0.qkv.norm_bias", bits);
    float *const bias = golden_read(&g, path, n);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double w = (double)block.norm[GS_NORM_INPUT][i] / (double)scale[i],
                     b = -(double)shift[i] / (double)scale[i];
        worst = fmax(worst, fabs(w / (double)weight[i] - 1));
        worst = fmax(worst, fabs(b - (double)bias[i]) / (1e-3 + fabs((double)bias[i])));
    }
    if (!(worst <= 2e-5)) fail_msg("%s, %s: worst error %.3g (alpha %.4f)", name, bits, worst, choice.alpha);
    print_message("%s, %s: alpha %.4f, worst error %.2g\n", name, bits, choice.alpha, worst);
    test_free(weight);
    test_free(bias);
    test_free(shift);
    test_free(scale);
    test_free(x);
    gs_block_release(&block);
    golden_close(&g);
    model_close(&m);
    gs_compute_close(&c);
}

static void reference_a(void **state)
{
    (void)state;
    check_golden("tiny-a", "w8", 8);
}
static void reference_a_4_bits(void **state)
{
    (void)state;
    check_golden("tiny-a", "w4", 4);
}
static void reference_c(void **state)
{
    (void)state;
    check_golden("tiny-c", "w8", 8);
}

/* norm output n becomes (n - shift)/scale; columns times scale and bias plus W·shift give the old output. */
static void function_is_kept(void **state)
{
    gs_compute c;
    float shift[70], scale[70], add[50], y[50], z[50];
    gs_do_smooth_choice choice;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 40, 70, 50, 8);
    made_finish(&m, 40, 0);
    OK(gs_do_smooth_search(&c, &m.weight, m.rows, m.x, 8, false, shift, scale, &choice, ERR));
    assert_true(choice.alpha >= 0 && choice.alpha <= 1 && choice.loss_after < choice.loss_before);
    gs_do_smooth_bias(&c, &m.weight, shift, add);
    for (int64_t row = 0; row < m.rows; row++) {
        for (int64_t o = 0; o < 50; o++) {
            double before = 0, after = (double)add[o];
            for (int64_t i = 0; i < 70; i++) {
                const float x = m.x[row * 70 + i], w = m.w[o * 70 + i];
                before += (double)x * (double)w;
                after += (double)((x - shift[i]) / scale[i]) * (double)(w * scale[i]);
            }
            y[o] = (float)before;
            z[o] = (float)after;
        }
        assert_true(worst_error(z, y, 1, 50) < 1e-5);
    }
    made_release(&m);
    gs_compute_close(&c);
}

static void guards(void **state)
{
    gs_compute one, many;
    float shift[40], scale[40], again_shift[40], again[40];
    gs_do_smooth_choice choice;
    (void)state;
    OK(gs_compute_open(&one, 1, ERR));
    OK(gs_compute_open(&many, 5, ERR));
    made m = made_fill(&one, 25, 40, 30, 9);
    for (int64_t row = 0; row < 25; row++) m.x[row * 40 + 7] = 4.0f;
    for (int64_t o = 0; o < 30; o++) m.w[o * 40 + 9] = 0;
    made_finish(&m, 25, 0);
    for (int bits = 4; bits <= 8; bits += 4) {
        OK(gs_do_smooth_search(&one, &m.weight, 25, m.x, bits, false, shift, scale, &choice, ERR));
        OK(gs_do_smooth_search(&many, &m.weight, 25, m.x, bits, false, again_shift, again, &choice, ERR));
        assert_memory_equal(scale, again, sizeof scale);
        assert_memory_equal(shift, again_shift, sizeof shift);
        assert_true(choice.zero_channels == 1 && scale[7] == 1 && shift[7] == 4);
        for (int i = 0; i < 40; i++) assert_true(scale[i] > 0 && scale[i] < INFINITY);
    }
    OK(gs_do_smooth_search(&one, &m.weight, 25, m.x, 8, true, shift, scale, &choice, ERR));
    assert_true(scale[7] <= 1e-5f);
    OK(gs_do_smooth_search(&one, &m.weight, 1, m.x, 8, false, shift, scale, &choice, ERR)); /* one row: all constant */
    assert_true(choice.zero_channels == 40 && scale[0] == 1 && shift[0] == m.x[0]);
    FAILS(gs_do_smooth_search(&one, &m.weight, 0, m.x, 8, false, shift, scale, &choice, ERR), GS_ERR_USAGE,
          "do_smooth");
    m.x[3] = NAN;
    FAILS(gs_do_smooth_search(&one, &m.weight, 25, m.x, 8, false, shift, scale, &choice, ERR), GS_ERR_NUMERIC, "NaN");
    made_release(&m);
    gs_compute_close(&one);
    gs_compute_close(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_a), cmocka_unit_test(reference_a_4_bits),
        cmocka_unit_test(reference_c), cmocka_unit_test(function_is_kept),
        cmocka_unit_test(guards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
