/* Synthetic checkpoints: they open, they talk to the tokenizer, activations stay finite through many layers, outlier
 * channels are there and change nothing, and the same seed gives the same bytes. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/model/fixture.h"

#include "model/generate.h"
#include "model/synth.h"
#include "text/tokenizer.h"

static gs_synth_spec small(const char *dir)
{
    gs_synth_spec s;
    gs_synth_defaults(&s);
    s.dir = dir;
    s.hidden = 128;
    s.layers = 3;
    s.heads = 4;
    s.groups = 2;
    s.head_dim = 32;
    s.ffn = 256;
    s.vocab = 600;
    return s;
}

static void defaults(void **state)
{
    (void)state;
    gs_synth_spec s;
    gs_synth_defaults(&s);
    assert_int_equal(s.hidden, 4096);
    assert_int_equal(s.layers, 4);
    assert_int_equal(s.ffn, 13696);
    assert_int_equal(s.vocab, 4096);
    assert_int_equal(s.heads * s.head_dim, 4096);
}

static void opens_as_a_checkpoint(void **state)
{
    static const char *const dtypes[] = {NULL, "bfloat16", "float16", "float32"};
    static const gs_dtype want[] = {GS_BF16, GS_BF16, GS_F16, GS_F32};
    (void)state;
    for (int i = 0; i < 4; i++) {
        model m;
        char *const dir = dir_make();
        gs_synth_spec s = small(dir);
        s.torch_dtype = dtypes[i];
        OK(gs_synth_write(&s, ERR));
        model_open(&m, dir);
        assert_int_equal(m.ck.n_files, 1);
        assert_int_equal(m.config.dtype, want[i]);
        assert_int_equal(m.tensors.embedding->dtype, want[i]);
        assert_int_equal(m.ck.table.count, 4 + 3 * 7);
        assert_true(m.config.rope_base == 10000.0);
        assert_non_null(strstr(m.config.text, "glm-4"));
        struct stat st;
        assert_int_equal(stat(m.ck.files[0].path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0644);
        model_close(&m);
        dir_remove(dir);
    }
}

static void shards_and_rope_ratio(void **state)
{
    (void)state;
    model m;
    char *const dir = dir_make();
    gs_synth_spec s = small(dir);
    s.shard_bytes = 300000;
    s.rope_ratio = 500;
    OK(gs_synth_write(&s, ERR));
    model_open(&m, dir);
    assert_true(m.ck.n_files >= 4);
    assert_true(m.config.rope_base == 5e6);
    assert_true(gs_path_exists(dir));
    char *const index = gs_path_join(dir, "model.safetensors.index.json");
    assert_true(gs_path_exists(index));
    gs_free(index);
    for (int i = 0; i < m.ck.n_files; i++) assert_true(m.ck.files[i].size < 310000);
    model_close(&m);
    dir_remove(dir);
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    char *dirs[3];
    char *files[3];
    size_t n[3];
    for (int i = 0; i < 3; i++) {
        dirs[i] = dir_make();
        gs_synth_spec s = small(dirs[i]);
        s.seed = i == 2 ? 8 : 7;
        OK(gs_synth_write(&s, ERR));
        char *const path = gs_path_join(dirs[i], "model.safetensors");
        files[i] = file_text(path, &n[i]);
        gs_free(path);
    }
    assert_int_equal(n[0], n[1]);
    assert_int_equal(n[0], n[2]);
    assert_memory_equal(files[0], files[1], n[0]);
    assert_memory_not_equal(files[0], files[2], n[0]);
    for (int i = 0; i < 3; i++) {
        gs_free(files[i]);
        dir_remove(dirs[i]);
    }
}

static void weights_have_the_promised_scale(void **state)
{
    (void)state;
    model m;
    char *const dir = dir_make();
    gs_synth_spec s = small(dir);
    s.outlier_channels = 0;
    OK(gs_synth_write(&s, ERR));
    model_open(&m, dir);
    const gs_tensor *const t = m.tensors.block[1].weight[GS_H4];
    float *const w = test_malloc((size_t)t->elements * sizeof *w);
    OK(gs_checkpoint_read_f32(&m.ck, t, w, ERR));
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < t->elements; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
    }
    const double mean = sum / (double)t->elements, deviation = sqrt(squares / (double)t->elements);
    /* Row factors uniform in 0.5 .. 1.5 have a mean square of 13/12. */
    assert_true(fabs(mean) < 0.002);
    assert_true(fabs(deviation * sqrt(128.0 * 12.0 / 13.0) - 1.0) < 0.05);
    test_free(w);
    model_close(&m);
    dir_remove(dir);
}

/* Runs a text through all blocks; keeps the largest value of each channel at the input of one linear. */
typedef struct peak {
    gs_role role;
    float *top; /* [in] */
    int64_t in;
} peak;

static bool want_peak(void *ctx, gs_role role) { return role == ((const peak *)ctx)->role; }

static gs_status see_peak(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    peak *const p = ctx;
    (void)err;
    assert_int_equal(role, p->role);
    for (int64_t t = 0; t < chunk->rows; t++)
        for (int64_t j = 0; j < p->in; j++) p->top[j] = fmaxf(p->top[j], fabsf(x[t * p->in + j]));
    return GS_OK;
}

static void run_model(const model *m, const int32_t *ids, int64_t n, float *h, peak *p)
{
    gs_compute c;
    gs_rope rope;
    gs_scratch scratch;
    gs_block b = {0};
    const int64_t start[2] = {0, n};
    const gs_chunk chunk = {.count = 1, .rows = n, .start = start};
    const gs_taps taps = {.ctx = p, .wants = want_peak, .input = see_peak};
    OK(gs_compute_open(&c, 2, ERR));
    OK(gs_rope_init(&rope, n, m->config.rotary, m->config.rope_base, ERR));
    OK(gs_scratch_init(&scratch, &m->config, n, true, ERR));
    OK(gs_embed(&m->ck, m->tensors.embedding, ids, n, h, ERR));
    for (int i = 0; i < m->config.layers; i++) {
        OK(gs_block_load(&b, &c, &m->config, &m->ck, &m->tensors.block[i], ERR));
        OK(gs_block_forward(&c, &b, i, &rope, &chunk, h, &scratch, i == 0 ? &taps : NULL, GS_UNTIL_END, ERR));
    }
    gs_block_release(&b);
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
    gs_compute_close(&c);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float ratio_of_greatest_to_median(peak *p)
{
    qsort(p->top, (size_t)p->in, sizeof *p->top, by_value);
    return p->top[p->in - 1] / p->top[p->in / 2];
}

static void sixty_layers_stay_finite(void **state)
{
    (void)state;
    model m;
    char *const dir = dir_make();
    gs_synth_spec s = small(dir);
    int32_t ids[48];
    float h[48 * 128], top[256] = {0};
    peak p = {GS_QKV, top, 128};
    s.layers = 60;
    OK(gs_synth_write(&s, ERR));
    model_open(&m, dir);
    for (int i = 0; i < 48; i++) ids[i] = (i * 37) % 600;
    run_model(&m, ids, 48, h, &p);
    double squares = 0;
    for (int i = 0; i < 48 * 128; i++) squares += (double)h[i] * (double)h[i];
    const double rms = sqrt(squares / (48 * 128));
    print_message("hidden states after 60 layers: %.3g\n", rms);
    assert_true(rms > 0.5 && rms < 100.0);
    model_close(&m);
    dir_remove(dir);
}

static void outliers_show_and_change_nothing(void **state)
{
    (void)state;
    static float h[2][48 * 128];
    float ratios[2][GS_ROLES];
    int32_t ids[48];
    for (int i = 0; i < 48; i++) ids[i] = (i * 41) % 600;
    for (int with = 0; with < 2; with++) {
        model m;
        char *const dir = dir_make();
        gs_synth_spec s = small(dir);
        s.outlier_channels = with ? 4 : 0;
        s.torch_dtype = "float32";
        OK(gs_synth_write(&s, ERR));
        model_open(&m, dir);
        for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
            float top[256] = {0};
            int64_t out;
            peak p = {.role = role, .top = top};
            gs_role_shape(&m.config, role, &out, &p.in);
            run_model(&m, ids, 48, h[with], &p);
            ratios[with][role] = ratio_of_greatest_to_median(&p);
        }
        model_close(&m);
        dir_remove(dir);
    }
    assert_true(worst_error(h[1], h[0], 48, 128) < 1e-5);
    assert_true(ratios[0][GS_QKV] < 4 && ratios[1][GS_QKV] > 7);
    assert_true(ratios[0][GS_H4] < 4 && ratios[1][GS_H4] > 7);
    assert_true(ratios[1][GS_4H] > 2 * ratios[0][GS_4H]);
    assert_true(fabsf(ratios[1][GS_DENSE] / ratios[0][GS_DENSE] - 1) < 0.01f);
}

static void tokenizer_works(void **state)
{
    static const char text[] = "The model, 2026: 你好，世界 𝄞\n\n<|user|> and\ttabs  [gMASK]";
    static const int64_t vocabs[] = {272, 300, 1024, 151552};
    (void)state;
    for (int i = 0; i < 4; i++) {
        char *const dir = dir_make();
        gs_synth_spec s = small(dir);
        s.vocab = vocabs[i];
        s.hidden = 8;
        s.layers = 1;
        s.outlier_channels = 0;
        OK(gs_synth_write(&s, ERR));
        gs_tokenizer *t;
        gs_ids ids = {0};
        gs_str back;
        model m;
        gs_str_init(&back);
        OK(gs_tokenizer_open(&t, dir, "<unk>", ERR));
        model_open(&m, dir);
        assert_true(gs_tokenizer_ids(t) <= s.vocab);
        OK(gs_tokenizer_encode(t, text, strlen(text), true, &ids, ERR));
        for (int64_t j = 0; j < ids.count; j++) assert_true(ids.id[j] >= 0 && ids.id[j] < s.vocab);
        gs_tokenizer_decode(t, ids.id, ids.count, true, &back);
        assert_string_equal(back.data + strlen("[gMASK]<sop>"), text);
        if (i == 2) assert_true(ids.count < (int64_t)sizeof text * 3 / 4);
        gs_ids end = {0};
        OK(gs_tokenizer_encode(t, "<|endoftext|>", 13, false, &end, ERR));
        assert_int_equal(end.count, 1);
        assert_int_equal(end.id[0], m.config.eos[0]);
        gs_ids_release(&end);
        gs_ids_release(&ids);
        gs_str_release(&back);
        gs_tokenizer_close(t);
        model_close(&m);
        dir_remove(dir);
    }
}

static void refusals(void **state)
{
    (void)state;
    char *const dir = dir_make();
    gs_synth_spec s = small(dir);
    s.heads = 5;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "multi_query_group_num", "5");
    s = small(dir);
    s.vocab = 271;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "271", "272");
    s = small(dir);
    s.layers = 0;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "num_layers");
    s = small(dir);
    s.head_dim = 30;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "kv_channels");
    s = small(dir);
    s.rope_ratio = NAN;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "rope_ratio");
    s = small(dir);
    s.torch_dtype = "int4";
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "torch_dtype", "int4");
    s = small(dir);
    s.outlier_channels = 65;
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, "outlier");
    dir_put(dir, "keep.txt", "x", 1);
    s = small(dir);
    FAILS(gs_synth_write(&s, ERR), GS_ERR_USAGE, dir);
    char *const kept = gs_path_join(dir, "keep.txt"), *const config = gs_path_join(dir, "config.json");
    assert_true(gs_path_exists(kept));
    assert_false(gs_path_exists(config));
    gs_free(kept);
    gs_free(config);
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(opens_as_a_checkpoint),
        cmocka_unit_test(shards_and_rope_ratio),
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(weights_have_the_promised_scale),
        cmocka_unit_test(sixty_layers_stay_finite),
        cmocka_unit_test(outliers_show_and_change_nothing),
        cmocka_unit_test(tokenizer_works),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
