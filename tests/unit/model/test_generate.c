/* The demo model talks: greedy continuations, memory limits that change nothing but time, and errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/model/fixture.h"

#include "model/generate.h"
#include "text/tokenizer.h"

#define DEMO GS_SOURCE_DIR "/demo/glm4-mini"

/* Made once by the original modelling code in float32. */
static const struct {
    const char *prompt, *continuation;
} known[] = {
    {"The kernel is the part of the system that",
     " is not in the kernel. The kernel was configured with the kernel, and the kernel was configured with the "
     "CONFIG_ALL flag. This flag is not supported by the kernel. The kernel"},
    {"如果文件不存在，", "否则将文件保存为文件夹。文件 /etc/network/interfaces 文件中的文件夹，以及 "
                         "/etc/network/interfaces 文件中的文件夹"},
    {"To insert a table, choose",
     " Format - Table of Contents - Table of Contents - Table of Contents - Table of Contents - Table of Contents - "
     "Table of Contents and Table"},
};

static bool collect(void *ctx, int32_t id)
{
    gs_ids_add(ctx, id);
    return true;
}

static bool collect_three(void *ctx, int32_t id)
{
    gs_ids *const ids = ctx;
    gs_ids_add(ids, id);
    return ids->count < 3;
}

static void continues_texts(void **state)
{
    static const int threads[] = {1, 2, 5};
    gs_tokenizer *t;
    (void)state;
    OK(gs_tokenizer_open(&t, DEMO, NULL, ERR));
    for (int i = 0; i < 3; i++) {
        gs_compute c;
        gs_generator *g;
        gs_ids prompt = {0}, made = {0};
        gs_str text;
        gs_str_init(&text);
        OK(gs_compute_open(&c, threads[i], ERR));
        OK(gs_generator_open(&g, &c, DEMO, 0, ERR));
        OK(gs_tokenizer_encode(t, known[i].prompt, strlen(known[i].prompt), true, &prompt, ERR));
        OK(gs_generator_run(g, prompt.id, prompt.count, 40, collect, &made, ERR));
        gs_tokenizer_decode(t, made.id, made.count, false, &text);
        assert_string_equal(text.data, known[i].continuation);
        assert_int_equal(made.count, 40);
        gs_str_release(&text);
        gs_ids_release(&made);
        gs_ids_release(&prompt);
        gs_generator_close(g);
        gs_compute_close(&c);
    }
    gs_tokenizer_close(t);
}

/* Logits of a text longer than one tile, by the cache and by whole blocks: the same bits, at any limit. */
static void limits_and_tiles_give_the_same_bits(void **state)
{
    enum { N = 700, VOCAB = 704 };
    static const uint64_t limits[] = {0, 10u << 20, 5u << 20};
    static float logits[3][VOCAB], direct[VOCAB];
    int32_t ids[N];
    (void)state;
    for (int i = 0; i < N; i++) ids[i] = (i * 131 + i / 7) % 656;
    gs_compute c;
    OK(gs_compute_open(&c, 2, ERR));
    for (int i = 0; i < 3; i++) {
        gs_generator *g;
        const uint64_t base = gs_buf_now();
        OK(gs_generator_open(&g, &c, TINY("tiny-c"), limits[i] ? base + limits[i] : 0, ERR));
        OK(gs_generator_logits(g, ids, N, logits[i], ERR));
        if (limits[i]) assert_true(gs_buf_now() - base <= limits[i]);
        if (i > 0) assert_memory_equal(logits[i], logits[0], sizeof logits[0]);
        OK(gs_generator_logits(g, ids, N, logits[i], ERR));
        assert_memory_equal(logits[i], logits[0], sizeof logits[0]);
        gs_generator_close(g);
    }

    model m;
    gs_rope rope;
    gs_scratch scratch;
    gs_block b = {0};
    gs_packed head = {0};
    const int64_t start[2] = {0, N};
    const gs_chunk chunk = {.count = 1, .rows = N, .start = start};
    model_open(&m, TINY("tiny-c"));
    float *const h = test_malloc((size_t)(N * m.config.hidden) * sizeof *h), x[128], norm[128];
    OK(gs_rope_init(&rope, N, m.config.rotary, m.config.rope_base, ERR));
    OK(gs_scratch_init(&scratch, &m.config, N, false, ERR));
    OK(gs_embed(&m.ck, m.tensors.embedding, ids, N, h, ERR));
    for (int i = 0; i < m.config.layers; i++) {
        OK(gs_block_load(&b, &c, &m.config, &m.ck, &m.tensors.block[i], ERR));
        OK(gs_block_forward(&c, &b, i, &rope, &chunk, h, &scratch, NULL, GS_UNTIL_END, ERR));
    }
    OK(gs_checkpoint_read_f32(&m.ck, m.tensors.final_norm, norm, ERR));
    OK(gs_weight_load(&head, &c, &m.ck, m.tensors.head, ERR));
    gs_rmsnorm(&c, 1, 128, h + (N - 1) * 128, norm, NULL, m.config.norm_eps, x);
    gs_gemm_f32(&c, &head, 1, x, 128, NULL, direct, VOCAB);
    assert_memory_equal(direct, logits[0], sizeof direct);
    gs_packed_release(&head);
    gs_block_release(&b);
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
    test_free(h);
    model_close(&m);
    gs_compute_close(&c);
}

static void tight_memory_gives_the_same_text(void **state)
{
    (void)state;
    static const int32_t prompt[] = {4068, 4070, 84, 104, 101};
    gs_compute c;
    gs_ids made[2] = {{0}};
    OK(gs_compute_open(&c, 2, ERR));
    for (int i = 0; i < 2; i++) {
        gs_generator *g;
        OK(gs_generator_open(&g, &c, DEMO, i ? gs_buf_now() + (7u << 20) : 0, ERR));
        OK(gs_generator_run(g, prompt, 5, 20, collect, &made[i], ERR));
        gs_generator_close(g);
    }
    assert_int_equal(made[0].count, made[1].count);
    assert_memory_equal(made[0].id, made[1].id, (size_t)made[0].count * sizeof(int32_t));
    gs_ids_release(&made[0]);
    gs_ids_release(&made[1]);
    gs_compute_close(&c);
}

static void stops(void **state)
{
    (void)state;
    static const int32_t prompt[] = {4068, 4070, 84};
    gs_compute c;
    gs_generator *g;
    gs_ids all = {0}, some = {0};
    OK(gs_compute_open(&c, 2, ERR));
    OK(gs_generator_open(&g, &c, DEMO, 0, ERR));
    assert_int_equal(gs_generator_config(g)->hidden, 256);
    OK(gs_generator_run(g, prompt, 3, 0, collect, &all, ERR));
    assert_int_equal(all.count, 0);
    OK(gs_generator_run(g, prompt, 3, 10, collect, &all, ERR));
    OK(gs_generator_run(g, prompt, 3, 10, collect_three, &some, ERR));
    assert_int_equal(some.count, 3);
    assert_true(all.count >= 3 && all.count <= 10);
    assert_memory_equal(some.id, all.id, 3 * sizeof(int32_t));
    gs_generator_close(g);
    gs_ids_release(&some);

    /* The second id it would make is now an end: one id comes out. */
    char *const dir = dir_copy(DEMO);
    char *const path = gs_path_join(dir, "config.json");
    size_t n;
    char *const text = file_text(path, &n), *const at = strstr(text, "4073");
    char digits[16];
    assert_non_null(at);
    assert_int_not_equal(all.id[0], all.id[1]);
    snprintf(digits, sizeof digits, "%4d", (int)all.id[1]);
    memcpy(at, digits, 4);
    dir_put(dir, "config.json", text, n);
    OK(gs_generator_open(&g, &c, dir, 0, ERR));
    OK(gs_generator_run(g, prompt, 3, 10, collect, &some, ERR));
    assert_int_equal(some.count, 1);
    assert_int_equal(some.id[0], all.id[0]);
    gs_generator_close(g);
    gs_free(text);
    gs_free(path);
    dir_remove(dir);
    gs_ids_release(&some);
    gs_ids_release(&all);
    gs_compute_close(&c);
}

static void refusals(void **state)
{
    (void)state;
    static const int32_t prompt[] = {4068, 4096};
    static int32_t many[2049];
    gs_compute c;
    gs_generator *g;
    gs_ids made = {0};
    OK(gs_compute_open(&c, 1, ERR));
    FAILS(gs_generator_open(&g, &c, "/nonexistent", 0, ERR), GS_ERR_IO, "/nonexistent");
    assert_null(g);
    gs_generator_close(g);
    OK(gs_generator_open(&g, &c, DEMO, gs_buf_now() + (1u << 20), ERR));
    FAILS(gs_generator_run(g, prompt, 1, 5, collect, &made, ERR), GS_ERR_MEMORY, "limit", "raise");
    gs_generator_close(g);
    OK(gs_generator_open(&g, &c, DEMO, 0, ERR));
    FAILS(gs_generator_run(g, prompt, 2, 5, collect, &made, ERR), GS_ERR_FILE, "4096");
    FAILS(gs_generator_run(g, prompt, 0, 5, collect, &made, ERR), GS_ERR_USAGE, "2048");
    FAILS(gs_generator_run(g, many, 2049, 5, collect, &made, ERR), GS_ERR_USAGE, "2049", "seq_length");
    OK(gs_generator_run(g, many, 2047, 5, collect, &made, ERR));
    assert_true(made.count <= 1);
    gs_interrupt();
    FAILS(gs_generator_run(g, prompt, 1, 5, collect, &made, ERR), GS_ERR_INTERRUPTED, "");
    gs_clear_interrupt();
    gs_ids_release(&made);
    gs_generator_close(g);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(continues_texts),
        cmocka_unit_test(limits_and_tiles_give_the_same_bits),
        cmocka_unit_test(tight_memory_gives_the_same_text),
        cmocka_unit_test(stops),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
