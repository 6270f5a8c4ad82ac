/* A block against the reference model's own outputs, module by module; and that nothing depends on chunks, threads or
 * tiles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/model/fixture.h"

#define LIMIT 2e-5

static gs_samples prompts;

static int read_prompts(void **state)
{
    size_t n;
    (void)state;
    char *const text = file_text(DATA("prompt_ids.json"), &n);
    json_t *const root = gs_json_parse(text, n, "prompt_ids.json", 4, ERR);
    assert_non_null(root);
    prompts.count = (int64_t)json_array_size(root);
    prompts.start = gs_alloc_array((size_t)prompts.count + 1, sizeof *prompts.start);
    for (int64_t i = 0; i < prompts.count; i++) {
        const json_t *const ids = json_array_get(root, (size_t)i);
        const int64_t rows = (int64_t)json_array_size(ids);
        prompts.id = gs_realloc_array(prompts.id, (size_t)(prompts.tokens + rows), sizeof *prompts.id);
        for (int64_t j = 0; j < rows; j++)
            prompts.id[prompts.tokens + j] = (int32_t)json_integer_value(json_array_get(ids, (size_t)j));
        prompts.tokens += rows;
        prompts.start[i + 1] = prompts.tokens;
        if (rows > prompts.longest) prompts.longest = rows;
    }
    json_decref(root);
    gs_free(text);
    return 0;
}

static int free_prompts(void **state)
{
    (void)state;
    gs_free(prompts.start);
    gs_free(prompts.id);
    return 0;
}

/* Compares what the taps see with the golden outputs of one block. */
typedef struct watcher {
    gs_compute *compute;
    const gs_block *block;
    const golden *golden;
    int index;
    int seen[GS_ROLES + 2];
    double worst;
} watcher;

static void compare(watcher *w, const char *name, const float *got, int64_t rows, int64_t cols)
{
    char full[64];
    snprintf(full, sizeof full, "layers.%d.%s", w->index, name);
    float *const want = golden_read(w->golden, full, rows * cols);
    const double error = worst_error(got, want, rows, cols);
    if (!(error <= LIMIT)) fail_msg("%s: error %.3g", full, error);
    if (error > w->worst) w->worst = error;
    test_free(want);
}

static bool want_all(void *ctx, gs_role role) { return ctx && role < GS_ROLES; }

static gs_status see_input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    static const char *const names[GS_ROLES] = {"input_layernorm", "core_attention", "post_attention_layernorm",
                                                "swiglu"};
    watcher *const w = ctx;
    int64_t out, in;
    (void)err;
    gs_role_shape(w->block->config, role, &out, &in);
    compare(w, names[role], x, chunk->rows, in);
    w->seen[role]++;
    return GS_OK;
}

static gs_status see_qkv(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    watcher *const w = ctx;
    (void)err;
    compare(w, "query_key_value", qkv, chunk->rows, gs_config_qkv_width(w->block->config));
    w->seen[GS_ROLES]++;
    return GS_OK;
}

static gs_status see_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                            float *y, gs_error *err)
{
    static const char *const names[GS_ROLES] = {[GS_DENSE] = "self_attention", [GS_4H] = "mlp"};
    watcher *const w = ctx;
    const gs_packed *const p = &w->block->weight[role];
    (void)err;
    assert_int_equal(row0, 0);
    assert_int_equal(rows, chunk->rows);
    assert_int_equal(w->seen[role], 1);
    gs_gemm_f32(w->compute, p, rows, x, p->k, w->block->bias[role], y, p->n);
    if (names[role]) compare(w, names[role], y, rows, p->n);
    return GS_OK;
}

static void forward_all(gs_compute *c, const model *m, const gs_samples *s, float *h, const golden *g)
{
    gs_rope rope;
    gs_scratch scratch;
    gs_block block = {0};
    OK(gs_rope_init(&rope, s->longest, m->config.rotary, m->config.rope_base, ERR));
    OK(gs_scratch_init(&scratch, &m->config, gs_chunk_rows_max(s), true, ERR));
    OK(gs_embed(&m->ck, m->tensors.embedding, s->id, s->tokens, h, ERR));
    for (int i = 0; i < m->config.layers; i++) {
        OK(gs_block_load(&block, c, &m->config, &m->ck, &m->tensors.block[i], ERR));
        watcher w = {.compute = c, .block = &block, .golden = g, .index = i};
        const gs_taps taps = {&w, want_all, see_input, see_qkv, NULL, see_linear, true, NULL};
        for (int64_t first = 0; first < s->count;) {
            const gs_chunk chunk = gs_chunk_at(s, first);
            OK(gs_block_forward(c, &block, i, &rope, &chunk, h + chunk.row0 * m->config.hidden, &scratch,
                                g ? &taps : NULL, GS_UNTIL_END, ERR));
            first += chunk.count;
        }
        if (!g) continue;
        compare(&w, "output", h, s->tokens, m->config.hidden);
        for (int j = 0; j <= GS_ROLES; j++) assert_int_equal(w.seen[j], 1);
        print_message("block %d: worst error of any module %.2g\n", i, w.worst);
    }
    gs_block_release(&block);
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
}

static void expect_logits(gs_compute *c, const model *m, const golden *g, int64_t prompt, const float *last)
{
    const int64_t hidden = m->config.hidden, vocab = m->config.vocab;
    float *const w = test_malloc((size_t)hidden * sizeof *w), *const x = test_malloc((size_t)hidden * sizeof *x);
    float *const y = test_malloc((size_t)vocab * sizeof *y);
    char name[64];
    gs_packed head = {0};
    OK(gs_checkpoint_read_f32(&m->ck, m->tensors.final_norm, w, ERR));
    OK(gs_weight_load(&head, c, &m->ck, m->tensors.head, ERR));
    gs_rmsnorm(c, 1, hidden, last, w, NULL, m->config.norm_eps, x);
    gs_gemm_f32(c, &head, 1, x, hidden, NULL, y, vocab);
    snprintf(name, sizeof name, "logits_last_prompt%lld", (long long)prompt);
    float *const want = golden_read(g, name, vocab);
    const double error = worst_error(y, want, 1, vocab);
    if (!(error <= LIMIT)) fail_msg("%s: error %.3g", name, error);
    gs_packed_release(&head);
    test_free(want);
    test_free(y);
    test_free(x);
    test_free(w);
}

static void check_golden(const char *dir, const char *file)
{
    model m;
    golden g;
    gs_compute c;
    OK(gs_compute_open(&c, 2, ERR));
    model_open(&m, dir);
    golden_open(&g, file);
    const int64_t hidden = m.config.hidden;
    float *const h = test_calloc((size_t)(prompts.tokens * hidden), sizeof *h);

    gs_samples first = {
        .count = 1, .tokens = prompts.start[1], .longest = prompts.start[1], .start = prompts.start, .id = prompts.id};
    forward_all(&c, &m, &first, h, &g);
    forward_all(&c, &m, &prompts, h, NULL);
    for (int64_t i = 0; i < prompts.count; i++) expect_logits(&c, &m, &g, i, h + (prompts.start[i + 1] - 1) * hidden);

    test_free(h);
    golden_close(&g);
    model_close(&m);
    gs_compute_close(&c);
}

static void expect_bits(const watcher *w, const char *name, const float *got, int64_t n)
{
    char full[64];
    snprintf(full, sizeof full, "layers.%d.%s", w->index, name);
    float *const want = golden_read(w->golden, full, n);
    int64_t same = 0;
    for (int64_t i = 0; i < n; i++) same += gs_f32_bits(got[i]) == gs_f32_bits(want[i]);
    if (same != n) fail_msg("%s: %lld of %lld values have the reference's bits", full, (long long)same, (long long)n);
    test_free(want);
}

static gs_status input_bits(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    static const char *const names[GS_ROLES] = {"input_layernorm", "core_attention", "post_attention_layernorm",
                                                "swiglu"};
    watcher *const w = ctx;
    int64_t out, in;
    (void)err;
    gs_role_shape(w->block->config, role, &out, &in);
    expect_bits(w, names[role], x, chunk->rows * in);
    w->seen[role]++;
    return GS_OK;
}

/* Hands on the golden output, so that each module is judged by itself. A product of up to one block of k is exact too. */
static gs_status linear_bits(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                             float *y, gs_error *err)
{
    static const char *const names[GS_ROLES] = {
        [GS_QKV] = "query_key_value", [GS_DENSE] = "self_attention", [GS_4H] = "mlp"}; /* H4 shows in swiglu */
    watcher *const w = ctx;
    const gs_packed *const p = &w->block->weight[role];
    char full[64];
    (void)chunk;
    (void)err;
    assert_int_equal(row0, 0);
    gs_gemm_f32(w->compute, p, rows, x, p->k, w->block->bias[role], y, p->n);
    if (!names[role]) return GS_OK;
    if (role != GS_4H) expect_bits(w, names[role], y, rows * p->n);
    snprintf(full, sizeof full, "layers.%d.%s", w->index, names[role]);
    float *const want = golden_read(w->golden, full, rows * p->n);
    memcpy(y, want, (size_t)(rows * p->n) * sizeof *y);
    test_free(want);
    return GS_OK;
}

static void check_bits(const char *dir, const char *file)
{
    model m;
    golden g;
    gs_compute c;
    gs_rope rope;
    gs_scratch scratch;
    gs_block block = {0};
    OK(gs_compute_open(&c, 2, ERR));
    model_open(&m, dir);
    golden_open(&g, file);
    const int64_t rows = prompts.start[1], bytes = rows * m.config.hidden * (int64_t)sizeof(float);
    const gs_chunk chunk = {.count = 1, .rows = rows, .start = prompts.start};
    float *const h = test_malloc((size_t)bytes);
    OK(gs_rope_init(&rope, rows, m.config.rotary, m.config.rope_base, ERR));
    OK(gs_scratch_init(&scratch, &m.config, rows, true, ERR));
    OK(gs_embed(&m.ck, m.tensors.embedding, prompts.id, rows, h, ERR));
    for (int i = 0; i < m.config.layers; i++) {
        OK(gs_block_load(&block, &c, &m.config, &m.ck, &m.tensors.block[i], ERR));
        watcher w = {.compute = &c, .block = &block, .golden = &g, .index = i};
        const gs_taps taps = {
            .ctx = &w, .wants = want_all, .input = input_bits, .linear = linear_bits, .reference = true};
        OK(gs_block_forward(&c, &block, i, &rope, &chunk, h, &scratch, &taps, GS_UNTIL_END, ERR));
        for (int r = 0; r < GS_ROLES; r++) assert_int_equal(w.seen[r], 1);
        expect_bits(&w, "output", h, rows * m.config.hidden);
    }
    test_free(h);
    gs_block_release(&block);
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
    golden_close(&g);
    model_close(&m);
    gs_compute_close(&c);
}

/* Given the golden input: norms, QKV, attention with its rotations, dense, H4, the gate and the residual, bit for bit. */
static void reference_bits(void **state)
{
    (void)state;
    check_bits(TINY("tiny-a"), DATA("tiny-a.float_forward.safetensors"));
    check_bits(TINY("tiny-c"), DATA("tiny-c.float_forward.safetensors"));
}

static void golden_tiny_a(void **state)
{
    (void)state;
    check_golden(TINY("tiny-a"), DATA("tiny-a.float_forward.safetensors"));
}

static void golden_tiny_c(void **state)
{
    (void)state;
    check_golden(TINY("tiny-c"), DATA("tiny-c.float_forward.safetensors"));
}

static void embedding_rows(void **state)
{
    (void)state;
    model m;
    golden g;
    model_open(&m, TINY("tiny-a"));
    golden_open(&g, DATA("tiny-a.float_forward.safetensors"));
    const int64_t n = prompts.start[1], hidden = m.config.hidden;
    float *const h = test_malloc((size_t)(n * hidden) * sizeof *h);
    float *const want = golden_read(&g, "embedding", n * hidden);
    OK(gs_embed(&m.ck, m.tensors.embedding, prompts.id, n, h, ERR));
    assert_memory_equal(h, want, (size_t)(n * hidden) * sizeof *h);
    const int32_t outside[] = {5, 704}, negative[] = {-1};
    FAILS(gs_embed(&m.ck, m.tensors.embedding, outside, 2, h, ERR), GS_ERR_FILE, "704", "word_embeddings");
    FAILS(gs_embed(&m.ck, m.tensors.embedding, negative, 1, h, ERR), GS_ERR_FILE, "-1");
    test_free(want);
    test_free(h);
    golden_close(&g);
    model_close(&m);
}

/* Every sample alone, on 1, 2 and 5 threads, gives the bits it has among others. */
static void same_bits_alone_and_together(void **state)
{
    static const int threads[] = {1, 2, 5};
    (void)state;
    model m;
    model_open(&m, TINY("tiny-c"));
    const int64_t hidden = m.config.hidden;
    float *const together = test_malloc((size_t)(prompts.tokens * hidden) * sizeof *together);
    float *const alone = test_malloc((size_t)(prompts.longest * hidden) * sizeof *alone);
    for (int i = 0; i < 3; i++) {
        gs_compute c;
        OK(gs_compute_open(&c, threads[i], ERR));
        if (i == 0) forward_all(&c, &m, &prompts, together, NULL);
        for (int64_t s = 0; s < prompts.count; s++) {
            const int64_t n = prompts.start[s + 1] - prompts.start[s];
            int64_t start[2] = {0, n};
            gs_samples one = {
                .count = 1, .tokens = n, .longest = n, .start = start, .id = prompts.id + prompts.start[s]};
            forward_all(&c, &m, &one, alone, NULL);
            assert_memory_equal(alone, together + prompts.start[s] * hidden, (size_t)(n * hidden) * sizeof *alone);
        }
        gs_compute_close(&c);
    }
    test_free(alone);
    test_free(together);
    model_close(&m);
}

static void chunks(void **state)
{
    int64_t start[] = {0, 100, 512, 513, 513, 1600, 1601, 2112};
    const gs_samples s = {.count = 7, .tokens = 2112, .longest = 1087, .start = start};
    static const int64_t want[][4] = {{0, 2, 0, 512}, {2, 2, 512, 1}, {4, 1, 513, 1087}, {5, 2, 1600, 512}};
    int64_t first = 0;
    (void)state;
    for (int i = 0; i < 4; i++) {
        const gs_chunk c = gs_chunk_at(&s, first);
        assert_int_equal(c.first, want[i][0]);
        assert_int_equal(c.count, want[i][1]);
        assert_int_equal(c.row0, want[i][2]);
        assert_int_equal(c.rows, want[i][3]);
        assert_ptr_equal(c.start, start);
        first += c.count;
    }
    assert_int_equal(first, 7);
    assert_int_equal(gs_chunk_rows_max(&s), 1087);
    const gs_samples none = {.start = start};
    assert_int_equal(gs_chunk_rows_max(&none), 0);
    /* The first sample may be a chunk of its own; then the others meet differently. */
    int64_t other[] = {0, 300, 550, 810, 1100};
    const gs_samples shifted = {.count = 4, .tokens = 1100, .longest = 300, .start = other};
    assert_int_equal(gs_chunk_at(&shifted, 0).rows, 300);
    assert_int_equal(gs_chunk_at(&shifted, 1).rows, 510);
    assert_int_equal(gs_chunk_at(&shifted, 2).rows, 260);
    int64_t worse[] = {0, 200, 500, 710, 1000};
    const gs_samples from_second = {.count = 4, .tokens = 1000, .longest = 300, .start = worse};
    assert_int_equal(gs_chunk_at(&from_second, 0).rows, 500);
    assert_int_equal(gs_chunk_at(&from_second, 1).rows, 510);
    assert_int_equal(gs_chunk_rows_max(&from_second), 510);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks),         cmocka_unit_test(embedding_rows),
        cmocka_unit_test(reference_bits), cmocka_unit_test(golden_tiny_a),
        cmocka_unit_test(golden_tiny_c),  cmocka_unit_test(same_bits_alone_and_together),
    };
    return cmocka_run_group_tests(tests, read_prompts, free_prompts);
}
