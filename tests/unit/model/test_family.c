/* Tensor names and shapes of the ChatGLM layout, and checkpoints that do not fit their config.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/model/fixture.h"

#define LAYERS "transformer.encoder.layers."

static void names(void **state)
{
    (void)state;
    gs_config c = {.model_type = "chatglm"};
    const gs_family *f;
    char buf[GS_MAX_TENSOR_NAME];
    OK(gs_family_find(&c, &f, ERR));
    assert_string_equal(gs_linear_name(f, 0, GS_QKV, ".weight", buf, sizeof buf),
                        LAYERS "0.self_attention.query_key_value.weight");
    assert_string_equal(gs_linear_name(f, 39, GS_DENSE, "", buf, sizeof buf), LAYERS "39.self_attention.dense");
    assert_string_equal(gs_linear_name(f, 7, GS_H4, ".bias", buf, sizeof buf), LAYERS "7.mlp.dense_h_to_4h.bias");
    assert_string_equal(gs_linear_name(f, 7, GS_4H, ".weight", buf, sizeof buf), LAYERS "7.mlp.dense_4h_to_h.weight");
    assert_string_equal(gs_norm_name(f, 12, GS_NORM_POST, ".weight", buf, sizeof buf),
                        LAYERS "12.post_attention_layernorm.weight");
    assert_string_equal(gs_norm_name(f, 12, GS_NORM_INPUT, ".bias", buf, sizeof buf), LAYERS "12.input_layernorm.bias");
    assert_string_equal(f->head, "transformer.output_layer");
    /* A buffer that is too small is cut, never overrun. */
    char small[8];
    assert_int_equal(strlen(gs_linear_name(f, 0, GS_QKV, ".weight", small, sizeof small)), 7);
    snprintf(c.model_type, sizeof c.model_type, "glm9");
    FAILS(gs_family_find(&c, &f, ERR), GS_ERR_UNSUPPORTED, "glm9", "chatglm", "GLM-4");
}

static void shapes(void **state)
{
    (void)state;
    const gs_config c = {.hidden = 4096, .heads = 32, .groups = 4, .head_dim = 64, .ffn = 13696, .qkv_bias = true};
    static const int64_t want[GS_ROLES][2] = {{2560, 4096}, {4096, 2048}, {27392, 4096}, {4096, 13696}};
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&c, role, &out, &in);
        assert_int_equal(out, want[role][0]);
        assert_int_equal(in, want[role][1]);
        assert_int_equal(gs_role_has_bias(&c, role), role == GS_QKV);
    }
}

static void finds_a_whole_model(void **state)
{
    (void)state;
    model m;
    model_open(&m, GS_SOURCE_DIR "/demo/glm4-mini");
    assert_int_equal(m.config.layers, 4);
    assert_string_equal(m.tensors.block[3].weight[GS_4H]->name, LAYERS "3.mlp.dense_4h_to_h.weight");
    assert_int_equal(m.tensors.block[3].weight[GS_H4]->shape[0], 1024);
    assert_non_null(m.tensors.block[0].bias[GS_QKV]);
    assert_null(m.tensors.block[0].bias[GS_DENSE]);
    assert_ptr_not_equal(m.tensors.head, m.tensors.embedding);
    model_close(&m);
}

/* The checkpoint of tiny-c with another config. */
static void expect_misfit(const char *from, const char *to, const char *word1, const char *word2)
{
    size_t n;
    model m = {0};
    char *const text = file_text(TINY("tiny-c/config.json"), &n), *const at = strstr(text, from);
    if (!at) fail_msg("no '%s'", from);
    const size_t room = n + strlen(to) + 1;
    char *const other = gs_alloc(room);
    const int length = snprintf(other, room, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    OK(gs_config_parse(&m.config, other, (size_t)length, "config.json", ERR));
    OK(gs_family_find(&m.config, &m.family, ERR));
    OK(gs_checkpoint_open(&m.ck, TINY("tiny-c"), ERR));
    FAILS(gs_model_tensors_find(&m.tensors, m.family, &m.config, &m.ck, ERR), GS_ERR_FILE, word1, word2);
    assert_null(m.tensors.block);
    model_close(&m);
    gs_free(other);
    gs_free(text);
}

static void config_and_weights_must_fit(void **state)
{
    (void)state;
    expect_misfit("\"num_layers\": 2", "\"num_layers\": 3", LAYERS "2.", "tiny-c");
    expect_misfit("\"num_layers\": 2", "\"num_layers\": 1", LAYERS "1.", "num_layers = 1");
    expect_misfit("\"add_qkv_bias\": true", "\"add_qkv_bias\": false", "query_key_value.bias", "add_qkv_bias = false");
    expect_misfit("\"padded_vocab_size\": 704", "\"padded_vocab_size\": 705", "word_embeddings", "705");
    expect_misfit("\"ffn_hidden_size\": 256", "\"ffn_hidden_size\": 128", "dense_h_to_4h", "256");
    expect_misfit("\"kv_channels\": 16", "\"kv_channels\": 32", "query_key_value", "384");
    expect_misfit("\"hidden_size\": 128", "\"hidden_size\": 64", "word_embeddings", "64");
}

/* A one-file checkpoint of the tiniest legal model, with chosen deviations. */
static const struct {
    const char *name;
    int rows, cols;
} smallest[] = {
    {"transformer.embedding.word_embeddings.weight", 3, 2},
    {LAYERS "0.input_layernorm.weight", 2, 0},
    {LAYERS "0.self_attention.query_key_value.weight", 12, 2},
    {LAYERS "0.self_attention.dense.weight", 2, 4},
    {LAYERS "0.post_attention_layernorm.weight", 2, 0},
    {LAYERS "0.mlp.dense_h_to_4h.weight", 6, 2},
    {LAYERS "0.mlp.dense_4h_to_h.weight", 2, 3},
    {"transformer.encoder.final_layernorm.weight", 2, 0},
    {"transformer.output_layer.weight", 3, 2},
};

static char *smallest_model(bool tied, const char *left_out, const char *extra, const char *dtype)
{
    char header[4096], config[1024];
    int n = snprintf(header, sizeof header, "{");
    size_t at = 0;
    for (size_t i = 0; i < sizeof smallest / sizeof *smallest; i++) {
        const int rows = smallest[i].rows, cols = smallest[i].cols;
        if (left_out && strcmp(left_out, smallest[i].name) == 0) continue;
        const size_t bytes = (size_t)rows * (size_t)(cols ? cols : 1) * 2;
        n += snprintf(header + n, sizeof header - (size_t)n, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d",
                      n > 1 ? "," : "", smallest[i].name, dtype, rows);
        if (cols) n += snprintf(header + n, sizeof header - (size_t)n, ",%d", cols);
        n += snprintf(header + n, sizeof header - (size_t)n, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    if (extra) {
        n += snprintf(header + n, sizeof header - (size_t)n,
                      ",\"%s\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}", extra, at, at + 2);
        at += 2;
    }
    n += snprintf(header + n, sizeof header - (size_t)n, "}");
    while (n % 8) header[n++] = ' ';
    char file[8192] = {0};
    const uint64_t length = (uint64_t)n;
    memcpy(file, &length, 8);
    memcpy(file + 8, header, (size_t)n);
    char *const dir = dir_make();
    dir_put(dir, "model.safetensors", file, 8 + (size_t)n + at);
    snprintf(
        config, sizeof config,
        "{\"model_type\": \"chatglm\", \"add_bias_linear\": false, \"add_qkv_bias\": false, \"ffn_hidden_size\": 3,"
        "\"apply_residual_connection_post_layernorm\": false, \"hidden_size\": 2, \"kv_channels\": 4, \"rmsnorm\": "
        "true,"
        "\"layernorm_epsilon\": 1e-5, \"multi_query_attention\": true, \"multi_query_group_num\": 1,"
        "\"num_attention_heads\": 1, \"num_layers\": 1, \"padded_vocab_size\": 3, \"post_layer_norm\": true,"
        "\"seq_length\": 16, \"torch_dtype\": \"float16\", \"tie_word_embeddings\": %s}",
        tied ? "true" : "false");
    dir_put(dir, "config.json", config, strlen(config));
    return dir;
}

static gs_status find(model *m, const char *dir)
{
    OK(gs_config_read(&m->config, dir, ERR));
    OK(gs_family_find(&m->config, &m->family, ERR));
    OK(gs_checkpoint_open(&m->ck, dir, ERR));
    return gs_model_tensors_find(&m->tensors, m->family, &m->config, &m->ck, ERR);
}

static void extra_and_missing_tensors(void **state)
{
    (void)state;
    static const struct {
        bool tied;
        const char *left_out, *extra, *dtype;
        gs_status status;
        const char *word;
    } cases[] = {
        {false, NULL, NULL, "F16", GS_OK, ""},
        {false, NULL, "transformer.rotary_pos_emb.inv_freq", "F16", GS_OK, ""},
        {false, NULL, "transformer.rotary_pos_emb.inv_freq2", "F16", GS_ERR_FILE, "inv_freq2"},
        {false, NULL, "lm_head.weight", "F16", GS_ERR_FILE, "lm_head.weight"},
        {false, "transformer.output_layer.weight", NULL, "F16", GS_ERR_FILE, "transformer.output_layer.weight"},
        {true, "transformer.output_layer.weight", NULL, "F16", GS_OK, ""},
        {true, NULL, NULL, "F16", GS_OK, ""},
        {false, LAYERS "0.mlp.dense_4h_to_h.weight", NULL, "F16", GS_ERR_FILE, "dense_4h_to_h.weight"},
        {false, "transformer.encoder.final_layernorm.weight", NULL, "F16", GS_ERR_FILE, "final_layernorm.weight"},
        {false, NULL, NULL, "I16", GS_ERR_FILE, "I16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m = {0};
        char *const dir = smallest_model(cases[i].tied, cases[i].left_out, cases[i].extra, cases[i].dtype);
        const gs_status status = find(&m, dir);
        if (cases[i].status == GS_OK && status != GS_OK) fail_msg("%s", test_error.text);
        if (cases[i].status != GS_OK) FAILS(status, cases[i].status, cases[i].word, dir);
        if (status == GS_OK)
            assert_int_equal(m.tensors.head == m.tensors.embedding, cases[i].tied && cases[i].left_out);
        model_close(&m);
        dir_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(shapes),
        cmocka_unit_test(finds_a_whole_model),
        cmocka_unit_test(config_and_weights_must_fit),
        cmocka_unit_test(extra_and_missing_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
