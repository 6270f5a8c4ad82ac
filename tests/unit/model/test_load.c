/* Loading a block: types, reuse of panels, damaged weights named.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/model/fixture.h"

#include "model/synth.h"

/* A model whose H4 weight is read in two or three pieces: 36 or 72 MB. */
static char *wide_model(const char *dtype)
{
    gs_synth_spec s;
    char *const dir = dir_make();
    gs_synth_defaults(&s);
    s.dir = dir;
    s.hidden = 10000;
    s.layers = 1;
    s.heads = 2;
    s.groups = 1;
    s.head_dim = 8;
    s.ffn = 900;
    s.vocab = 300;
    s.torch_dtype = dtype;
    OK(gs_synth_write(&s, ERR));
    return dir;
}

/* Rows of a tensor as float32, read directly. Caller frees. */
static float *direct(const model *m, const gs_tensor *t)
{
    void *const raw = test_malloc((size_t)t->bytes);
    float *const x = test_malloc((size_t)t->elements * sizeof *x);
    OK(gs_checkpoint_read(&m->ck, t, 0, raw, (size_t)t->bytes, ERR));
    gs_to_f32(t->dtype, raw, x, t->elements);
    test_free(raw);
    return x;
}

static void expect_weight(gs_compute *c, const model *m, const gs_packed *p, const gs_tensor *t)
{
    float *const want = direct(m, t), *const got = test_malloc((size_t)t->elements * sizeof *got);
    assert_int_equal(p->n, t->shape[0]);
    assert_int_equal(p->k, t->shape[1]);
    gs_unpack_rows(c, p, 0, p->n, got);
    assert_memory_equal(got, want, (size_t)t->elements * sizeof *got);
    test_free(got);
    test_free(want);
}

static void check_dtype(const char *dtype, gs_pack_kind kind)
{
    gs_compute c;
    model m;
    gs_block b = {0};
    char *const dir = wide_model(dtype);
    OK(gs_compute_open(&c, 3, ERR));
    model_open(&m, dir);
    const void *data[GS_ROLES] = {0};
    for (int i = 0; i < 2; i++) { /* the second time into the same panels, and past the page cache */
        m.ck.read_once = i > 0;
        const gs_block_tensors *const t = &m.tensors.block[0];
        OK(gs_block_load(&b, &c, &m.config, &m.ck, t, ERR));
        size_t bytes = 0;
        for (int r = 0; r < GS_ROLES; r++) {
            assert_int_equal(b.weight[r].kind, kind);
            expect_weight(&c, &m, &b.weight[r], t->weight[r]);
            if (i > 0) assert_ptr_equal(b.weight[r].buf.data, data[r]);
            data[r] = b.weight[r].buf.data;
            bytes += gs_packed_bytes(kind, b.weight[r].n, b.weight[r].k);
        }
        float *const norm = direct(&m, t->norm[GS_NORM_POST]), *const bias = direct(&m, t->bias[GS_QKV]);
        assert_memory_equal(b.norm[GS_NORM_POST], norm, (size_t)m.config.hidden * sizeof *norm);
        assert_memory_equal(b.bias[GS_QKV], bias, (size_t)t->bias[GS_QKV]->elements * sizeof *bias);
        assert_null(b.bias[GS_DENSE]);
        assert_null(b.norm_bias[GS_NORM_INPUT]);
        bytes += ((size_t)m.config.hidden * 2 + (size_t)t->bias[GS_QKV]->elements) * sizeof(float);
        assert_int_equal(gs_block_bytes(&m.config, t), bytes);
        assert_true(gs_load_bytes(t) >= 8u << 20 && gs_load_bytes(t) <= 3u * (17u << 20));
        test_free(norm);
        test_free(bias);
    }
    gs_packed part = {0};
    const gs_tensor *const h4 = m.tensors.block[0].weight[GS_H4];
    OK(gs_weight_load_rows(&part, &c, &m.ck, h4, 100, 7, ERR));
    float *const got = test_malloc((size_t)(7 * h4->shape[1]) * sizeof *got), *const want = direct(&m, h4);
    gs_unpack_rows(&c, &part, 0, 7, got);
    assert_memory_equal(got, want + 100 * h4->shape[1], (size_t)(7 * h4->shape[1]) * sizeof *got);
    test_free(got);
    test_free(want);
    gs_packed_release(&part);
    gs_block_release(&b);
    gs_block_release(&b);
    model_close(&m);
    gs_compute_close(&c);
    dir_remove(dir);
}

static void bfloat16(void **state)
{
    (void)state;
    check_dtype("bfloat16", GS_PACK_BF16);
}

static void float16(void **state)
{
    (void)state;
    check_dtype("float16", GS_PACK_F32);
}

static void float32(void **state)
{
    (void)state;
    check_dtype("float32", GS_PACK_F32);
}

/* Put two bytes into the file at element [row, col] of a bf16 tensor. */
static void damage(const model *m, const gs_tensor *t, int64_t row, int64_t col, uint16_t bits)
{
    const uint64_t at = t->offset + (uint64_t)(row * (t->rank == 2 ? t->shape[1] : 1) + col) * 2;
    FILE *const f = fopen(m->ck.files[t->file].path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(&bits, 2, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static void damaged_weights_are_named(void **state)
{
    static const struct {
        int kind, index;
        int64_t row, col;
        uint16_t bits;
        const char *name, *place;
    } cases[] = {
        {0, GS_QKV, 191, 127, 0x7fc0, "layers.1.self_attention.query_key_value.weight", "[191, 127]"},
        {0, GS_DENSE, 0, 0, 0x7f80, "layers.1.self_attention.dense.weight", "[0, 0]"},
        {0, GS_H4, 300, 5, 0xff80, "layers.1.mlp.dense_h_to_4h.weight", "[300, 5]"},
        {0, GS_4H, 64, 255, 0xffff, "layers.1.mlp.dense_4h_to_h.weight", "[64, 255]"},
        {1, GS_NORM_POST, 127, 0, 0x7f81, "layers.1.post_attention_layernorm.weight", "127"},
        {2, GS_QKV, 3, 0, 0x7fc0, "layers.1.self_attention.query_key_value.bias", "3"},
    };
    (void)state;
    gs_compute c;
    OK(gs_compute_open(&c, 2, ERR));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m;
        gs_block b = {0};
        char *const dir = dir_copy(TINY("tiny-c"));
        model_open(&m, dir);
        const gs_block_tensors *const t = &m.tensors.block[1];
        const gs_tensor *const hit = cases[i].kind == 0   ? t->weight[cases[i].index]
                                     : cases[i].kind == 1 ? t->norm[cases[i].index]
                                                          : t->bias[cases[i].index];
        damage(&m, hit, cases[i].row, cases[i].col, cases[i].bits);
        OK(gs_block_load(&b, &c, &m.config, &m.ck, &m.tensors.block[0], ERR));
        FAILS(gs_block_load(&b, &c, &m.config, &m.ck, t, ERR), GS_ERR_NUMERIC, cases[i].name, cases[i].place);
        assert_non_null(strstr(test_error.text, m.ck.files[hit->file].path));
        gs_block_release(&b);
        model_close(&m);
        dir_remove(dir);
    }
    gs_compute_close(&c);
}

static void damaged_embedding_row(void **state)
{
    static const int32_t ids[] = {3, 700, 4}, fine[] = {3, 4};
    (void)state;
    model m;
    float h[3 * 128];
    char *const dir = dir_copy(TINY("tiny-c"));
    model_open(&m, dir);
    damage(&m, m.tensors.embedding, 700, 9, 0x7fc0);
    OK(gs_embed(&m.ck, m.tensors.embedding, fine, 2, h, ERR));
    FAILS(gs_embed(&m.ck, m.tensors.embedding, ids, 3, h, ERR), GS_ERR_NUMERIC, "word_embeddings.weight", "[700, 9]");
    assert_non_null(strstr(test_error.text, m.ck.files[m.tensors.embedding->file].path));
    model_close(&m);
    dir_remove(dir);
}

static void truncated_after_opening(void **state)
{
    (void)state;
    gs_compute c;
    model m;
    gs_block b = {0};
    char *const dir = dir_copy(TINY("tiny-c"));
    OK(gs_compute_open(&c, 1, ERR));
    model_open(&m, dir);
    for (int i = 0; i < m.ck.n_files; i++) assert_int_equal(truncate(m.ck.files[i].path, 4096), 0);
    const gs_status status = gs_block_load(&b, &c, &m.config, &m.ck, &m.tensors.block[1], ERR);
    assert_true(status == GS_ERR_IO || status == GS_ERR_FILE);
    assert_non_null(strstr(test_error.text, dir));
    gs_block_release(&b);
    model_close(&m);
    gs_compute_close(&c);
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bfloat16),
        cmocka_unit_test(float16),
        cmocka_unit_test(float32),
        cmocka_unit_test(damaged_weights_are_named),
        cmocka_unit_test(damaged_embedding_row),
        cmocka_unit_test(truncated_after_opening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
