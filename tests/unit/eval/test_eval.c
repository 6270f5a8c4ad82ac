/* The whole pass on a tiny model: against logits computed another way, exact where nothing was changed, by the right amount where one
 * linear was, and the same bits for any threads and any room for hidden states. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/format/result.h"

#include "eval/eval.h"
#include "model/generate.h"
#include "text/tokenizer.h"

static char text_path[64];
static result *current; /* for fill_copy */
static const char *changed;
static float factor;

static const char text[] = "Some words of a text that is long enough for a few windows, and some more of them.";

static int begin(void **state)
{
    snprintf(text_path, sizeof text_path, "/tmp/glmslim-text-XXXXXX");
    const int fd = mkstemp(text_path);
    if (fd < 0) return -1;
    close(fd);
    if (gs_file_write_all(text_path, text, sizeof text - 1, 0600, ERR) != GS_OK) return -1;
    return make_model(state);
}

static int end(void **state)
{
    unlink(text_path);
    return remove_model(state);
}

/* The checkpoint's values, but tensors whose name holds `changed` times `factor`. */
static void fill_copy(const gs_tensor *t, void *dst)
{
    const gs_tensor *from = gs_checkpoint_find(&current->ck, t->name);
    float *const v = gs_alloc_array((size_t)t->elements, sizeof *v);
    OK(gs_checkpoint_read_f32(&current->ck, from, v, ERR));
    for (int64_t i = 0; i < t->elements && changed && strstr(t->name, changed); i++) v[i] *= factor;
    gs_from_f32(t->dtype, v, dst, t->elements);
    gs_free(v);
}

/* A float result: nothing is quantized, one linear may be changed. */
static void make_result(result *r, const char *name, float by)
{
    result_begin(r);
    r->recipe.w_bit = r->recipe.a_bit = 16;
    r->recipe.save_dtype = "float32";
    r->fill = fill_copy;
    current = r;
    changed = name;
    factor = by;
    result_write(r);
}

static gs_eval *evaluate(const result *r, int threads, int64_t context, uint64_t stream_bytes)
{
    gs_compute c;
    gs_eval *e;
    const char *dir = r->dir;
    const gs_eval_spec spec = {.model_path = model_dir,
                               .quant_path = &dir,
                               .quants = 1,
                               .text_path = text_path,
                               .context = context,
                               .stream_bytes = stream_bytes};
    OK(gs_compute_open(&c, threads, ERR));
    OK(gs_eval_run(&spec, &c, &e, ERR));
    gs_compute_close(&c);
    return e;
}

static void unchanged(void **state)
{
    (void)state;
    result r;
    make_result(&r, NULL, 1);
    gs_eval *e = evaluate(&r, 2, 20, 0);
    const gs_eval_model *m = &e->quant[0];
    assert_true(e->tokens > 40 && e->windows > 2 && e->context == 20);
    assert_true(m->perplexity == e->exact.perplexity && m->ratio == 1 && m->ratio_se == 0 && m->noise);
    assert_true(m->kl_mean == 0 && m->kl_max == 0 && m->top1_agreement == 1 && m->top5_same == 1);
    for (int64_t i = 0; i < m->linears; i++) assert_true(isinf(m->linear[i].sqnr_db) && m->linear[i].signal > 0);
    for (int b = 0; b < 2; b++) assert_true(fabs(m->block[b].cosine - 1) < 1e-12);
    assert_true(m->sqnr_min_at == -1);
    gs_eval_free(e);
    result_end(&r);
}

/* -ln p of every token from the generator's logits. */
static void against_generator(void **state)
{
    (void)state;
    result r;
    make_result(&r, "layers.1.mlp.dense_h_to_4h", 0.9f);
    gs_eval *e = evaluate(&r, 1, 20, 0);
    gs_compute c;
    gs_generator *g;
    gs_tokenizer *t;
    gs_ids whole = {0}, window = {0};
    OK(gs_compute_open(&c, 1, ERR));
    OK(gs_tokenizer_open(&t, model_dir, NULL, ERR));
    OK(gs_generator_open(&g, &c, model_dir, 0, ERR));
    OK(gs_tokenizer_encode(t, text, sizeof text - 1, false, &whole, ERR));
    assert_int_equal(whole.count, e->tokens);
    float *logits = gs_alloc_array((size_t)e->vocab, sizeof *logits);
    for (int64_t i = 0; i < whole.count; i++) {
        if (i % 20 == 0) {
            window.count = 0;
            OK(gs_tokenizer_encode(t, "", 0, true, &window, ERR));
        }
        OK(gs_generator_logits(g, window.id, window.count, logits, ERR));
        double max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < e->vocab; j++) max = fmax(max, (double)logits[j]);
        for (int64_t j = 0; j < e->vocab; j++) sum += exp((double)logits[j] - max);
        const double nll = max + log(sum) - (double)logits[whole.id[i]];
        assert_true(fabs(nll - e->exact.token_nll[i]) < 1e-5);
        assert_int_equal(e->token_position[i], i % 20);
        gs_ids_add(&window, whole.id[i]);
    }
    gs_free(logits);
    gs_ids_release(&whole);
    gs_ids_release(&window);
    gs_tokenizer_close(t);
    gs_generator_close(g);
    gs_compute_close(&c);
    gs_eval_free(e);
    result_end(&r);
}

/* One linear (and its bias) times 1.01: its own noise is 40 dB down, what is before it exact, what is behind it is not. */
static void one_changed(void **state)
{
    (void)state;
    result r;
    make_result(&r, "layers.1.self_attention.query_key_value", 1.01f);
    gs_eval *e = evaluate(&r, 2, 20, 0);
    const gs_eval_model *m = &e->quant[0];
    for (int i = 0; i < GS_ROLES; i++) assert_true(isinf(m->linear[i].sqnr_db));
    assert_string_equal(m->linear[4].name, "transformer.encoder.layers.1.self_attention.query_key_value");
    assert_true(fabs(m->linear[4].sqnr_db - 40) < 0.01);
    for (int i = 5; i < 9; i++) assert_true(isfinite(m->linear[i].sqnr_db));
    assert_true(m->block[1].cosine < 1 && m->block[1].cosine_min <= m->block[1].cosine && m->kl_mean > 0);
    assert_true(m->kl_max >= m->kl_p99 && m->kl_p99 >= m->kl_median);
    gs_eval_free(e);
    result_end(&r);
}

static void same_bits(const gs_eval *a, const gs_eval *b)
{
    const gs_eval_model *x = &a->quant[0], *y = &b->quant[0];
    assert_memory_equal(a->exact.token_nll, b->exact.token_nll, (size_t)a->tokens * sizeof(double));
    assert_memory_equal(x->token_nll, y->token_nll, (size_t)a->tokens * sizeof(double));
    assert_memory_equal(x->token_kl, y->token_kl, (size_t)a->tokens * sizeof(double));
    assert_memory_equal(x->block, y->block, 2 * sizeof *x->block);
    for (int64_t i = 0; i < x->linears; i++)
        assert_true(x->linear[i].signal == y->linear[i].signal && x->linear[i].noise == y->linear[i].noise);
    assert_true(x->ratio_se == y->ratio_se && x->kl_p99 == y->kl_p99);
}

static void threads_and_segments(void **state)
{
    (void)state;
    result r;
    make_result(&r, "layers.0", 1.02f);
    gs_eval *one = evaluate(&r, 1, 7, 0);
    gs_eval *three = evaluate(&r, 3, 7, 0);
    gs_eval *parts = evaluate(&r, 2, 7, 1); /* every chunk on its own */
    same_bits(one, three);
    same_bits(one, parts);
    gs_eval_free(one);
    gs_eval_free(three);
    gs_eval_free(parts);
    result_end(&r);
}

static void refused(void **state)
{
    (void)state;
    gs_compute c;
    gs_eval *e = NULL;
    OK(gs_compute_open(&c, 1, ERR));
    gs_eval_spec spec = {.model_path = model_dir};
    FAILS(gs_eval_run(&spec, &c, &e, ERR), GS_ERR_USAGE, "--text");
    spec.text_path = text_path;
    spec.context = 1 << 20;
    FAILS(gs_eval_run(&spec, &c, &e, ERR), GS_ERR_USAGE, "--context");
    spec.context = 10;
    spec.stride = 11;
    FAILS(gs_eval_run(&spec, &c, &e, ERR), GS_ERR_USAGE, "--stride");
    spec.stride = 0;
    const char *quant = model_dir;
    spec.quant_path = &quant;
    spec.quants = 1;
    FAILS(gs_eval_run(&spec, &c, &e, ERR), GS_ERR_FILE, "quant_model_description");
    spec.quants = 0;
    spec.model_path = "/nowhere";
    FAILS(gs_eval_run(&spec, &c, &e, ERR), GS_ERR_IO, "/nowhere");
    assert_null(e);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged), cmocka_unit_test(against_generator),    cmocka_unit_test(one_changed),
        cmocka_unit_test(refused),   cmocka_unit_test(threads_and_segments),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
