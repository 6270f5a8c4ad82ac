/* config.json: every key that shapes the network is required, typed and bounded, and relatives are named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/model/fixture.h"

static const char base[] =
    "{\"_name_or_path\": \"glm-4-9b\", \"model_type\": \"chatglm\", \"architectures\": [\"ChatGLMModel\"],\n"
    " \"add_bias_linear\": false, \"add_qkv_bias\": true, \"apply_residual_connection_post_layernorm\": false,\n"
    " \"ffn_hidden_size\": 13696, \"hidden_size\": 4096, \"kv_channels\": 128, \"layernorm_epsilon\": 1.5625e-07,\n"
    " \"multi_query_attention\": true, \"multi_query_group_num\": 2, \"num_attention_heads\": 32, \"num_layers\": 40,\n"
    " \"original_rope\": true, \"padded_vocab_size\": 151552, \"post_layer_norm\": true, \"rmsnorm\": true,\n"
    " \"seq_length\": 8192, \"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": false,\n"
    " \"eos_token_id\": [151329, 151336, 151338]}";

/* base with the first `from` replaced by `to`. Caller frees. */
static char *changed(const char *from, const char *to)
{
    const char *const at = strstr(base, from);
    if (!at) fail_msg("no '%s' in the test's config", from);
    const size_t n = sizeof base + strlen(to);
    char *const text = malloc(n);
    snprintf(text, n, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    return text;
}

static gs_status parse(gs_config *c, const char *from, const char *to)
{
    char *const text = changed(from, to);
    const gs_status status = gs_config_parse(c, text, strlen(text), "m/config.json", ERR);
    free(text);
    return status;
}

static void reads_glm4_9b(void **state)
{
    (void)state;
    gs_config c;
    OK(gs_config_parse(&c, base, strlen(base), "m/config.json", ERR));
    assert_string_equal(c.model_type, "chatglm");
    assert_string_equal(c.torch_dtype, "bfloat16");
    assert_int_equal(c.dtype, GS_BF16);
    assert_int_equal(c.hidden, 4096);
    assert_int_equal(c.layers, 40);
    assert_int_equal(c.heads, 32);
    assert_int_equal(c.groups, 2);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.rotary, 64);
    assert_int_equal(c.ffn, 13696);
    assert_int_equal(c.vocab, 151552);
    assert_int_equal(c.max_positions, 8192);
    assert_true(c.rope_base == 10000.0);
    assert_true(c.norm_eps == 1.5625e-07f);
    assert_true(c.qkv_bias);
    assert_false(c.tied_head);
    assert_int_equal(c.n_eos, 3);
    assert_int_equal(c.eos[2], 151338);
    assert_int_equal(c.text_bytes, strlen(base));
    assert_memory_equal(c.text, base, strlen(base));
    assert_int_equal(gs_config_qkv_width(&c), 4608);
    gs_config_release(&c);
}

static void reads_variants(void **state)
{
    (void)state;
    gs_config c;
    OK(parse(&c, "\"seq_length\": 8192", "\"seq_length\": 131072, \"rope_ratio\": 500"));
    assert_true(c.rope_base == 5e6);
    gs_config_release(&c);
    OK(parse(&c, "\"seq_length\": 8192", "\"seq_length\": 1048576, \"rope_ratio\": 10000.5"));
    assert_true(c.rope_base == 100005000.0);
    gs_config_release(&c);
    OK(parse(&c, "\"multi_query_group_num\": 2", "\"multi_query_group_num\": 4"));
    assert_int_equal(gs_config_qkv_width(&c), 5120);
    gs_config_release(&c);
    OK(parse(&c, "[151329, 151336, 151338]", "2"));
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos[0], 2);
    gs_config_release(&c);
    OK(parse(&c, "[151329, 151336, 151338]", "null"));
    assert_int_equal(c.n_eos, 0);
    gs_config_release(&c);
    OK(parse(&c, "\"original_rope\": true, ", ""));
    gs_config_release(&c);
    OK(parse(&c, "\"tie_word_embeddings\": false,", ""));
    assert_false(c.tied_head);
    gs_config_release(&c);
    OK(parse(&c, "\"torch_dtype\": \"bfloat16\"", "\"dtype\": \"float16\""));
    assert_int_equal(c.dtype, GS_F16);
    gs_config_release(&c);
    OK(parse(&c, "\"add_qkv_bias\": true", "\"add_qkv_bias\": false"));
    assert_false(c.qkv_bias);
    gs_config_release(&c);
    OK(parse(&c, "\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 0.00000015625"));
    assert_true(c.norm_eps == 1.5625e-07f);
    gs_config_release(&c);
}

/* Take each key out: the message names it. */
static void every_key_is_required(void **state)
{
    (void)state;
    static const char *const keys[] = {"model_type",
                                       "add_bias_linear",
                                       "add_qkv_bias",
                                       "apply_residual_connection_post_layernorm",
                                       "ffn_hidden_size",
                                       "hidden_size",
                                       "kv_channels",
                                       "layernorm_epsilon",
                                       "multi_query_attention",
                                       "multi_query_group_num",
                                       "num_attention_heads",
                                       "num_layers",
                                       "padded_vocab_size",
                                       "post_layer_norm",
                                       "rmsnorm",
                                       "seq_length",
                                       "torch_dtype"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char from[80], to[80];
        gs_config c;
        snprintf(from, sizeof from, "\"%s\":", keys[i]);
        snprintf(to, sizeof to, "\"x_%s\":", keys[i]);
        FAILS(parse(&c, from, to), GS_ERR_FILE, "m/config.json", keys[i], "missing", "must be");
        assert_null(c.text);
    }
}

static void impossible_values(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *key, *shown;
    } bad[] = {
        {"\"num_layers\": 40", "\"num_layers\": 0", "num_layers", "0"},
        {"\"num_layers\": 40", "\"num_layers\": 10001", "num_layers", "10001"},
        {"\"num_layers\": 40", "\"num_layers\": -1", "num_layers", "-1"},
        {"\"num_layers\": 40", "\"num_layers\": 40.0", "num_layers", "40.0"},
        {"\"num_layers\": 40", "\"num_layers\": \"40\"", "num_layers", "\"40\""},
        {"\"num_layers\": 40", "\"num_layers\": true", "num_layers", "true"},
        {"\"num_layers\": 40", "\"num_layers\": null", "num_layers", "null"},
        {"\"hidden_size\": 4096", "\"hidden_size\": 9223372036854775807", "hidden_size", "9223372036854775807"},
        {"\"hidden_size\": 4096", "\"hidden_size\": 65537", "hidden_size", "65536"},
        {"\"ffn_hidden_size\": 13696", "\"ffn_hidden_size\": 0", "ffn_hidden_size", "0"},
        {"\"padded_vocab_size\": 151552", "\"padded_vocab_size\": 16777217", "padded_vocab_size", "16777216"},
        {"\"kv_channels\": 128", "\"kv_channels\": 126", "kv_channels", "multiple of 4"},
        {"\"kv_channels\": 128", "\"kv_channels\": 4096", "kv_channels", "131072"},
        {"\"multi_query_group_num\": 2", "\"multi_query_group_num\": 3", "multi_query_group_num", "divide"},
        {"\"multi_query_group_num\": 2", "\"multi_query_group_num\": 64", "multi_query_group_num", "divide"},
        {"\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 0", "layernorm_epsilon", "above 0"},
        {"\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 1e-320", "layernorm_epsilon", "float32"},
        {"\"layernorm_epsilon\": 1.5625e-07", "\"layernorm_epsilon\": 2", "layernorm_epsilon", "at most 1"},
        {"\"seq_length\": 8192", "\"seq_length\": 0", "seq_length", "0"},
        {"\"seq_length\": 8192", "\"seq_length\": 1, \"rope_ratio\": 0", "rope_ratio", "above 0"},
        {"\"seq_length\": 8192", "\"seq_length\": 1, \"rope_ratio\": null", "rope_ratio", "null"},
        {"\"torch_dtype\": \"bfloat16\"", "\"torch_dtype\": \"int8\"", "torch_dtype", "int8"},
        {"\"torch_dtype\": \"bfloat16\"", "\"torch_dtype\": 16", "torch_dtype", "16"},
        {"[151329, 151336, 151338]", "[]", "eos_token_id", "[]"},
        {"[151329, 151336, 151338]", "[1,2,3,4,5,6,7,8,9]", "eos_token_id", "1 to 8"},
        {"[151329, 151336, 151338]", "[-1]", "eos_token_id", "[-1]"},
        {"[151329, 151336, 151338]", "\"2\"", "eos_token_id", "\"2\""},
        {"\"rmsnorm\": true", "\"rmsnorm\": 1", "rmsnorm", "true or false"},
        {"\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0", "tie_word_embeddings", "true or false"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gs_config c;
        FAILS(parse(&c, bad[i].from, bad[i].to), GS_ERR_FILE, "m/config.json", bad[i].key, bad[i].shown, "must");
    }
}

static void switches_in_the_other_position(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *key;
    } bad[] = {
        {"\"add_bias_linear\": false", "\"add_bias_linear\": true", "add_bias_linear"},
        {"\"rmsnorm\": true", "\"rmsnorm\": false", "rmsnorm"},
        {"\"post_layer_norm\": true", "\"post_layer_norm\": false", "post_layer_norm"},
        {"\"multi_query_attention\": true", "\"multi_query_attention\": false", "multi_query_attention"},
        {"\"original_rope\": true", "\"original_rope\": false", "original_rope"},
        {"_post_layernorm\": false", "_post_layernorm\": true", "apply_residual_connection_post_layernorm"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gs_config c;
        FAILS(parse(&c, bad[i].from, bad[i].to), GS_ERR_UNSUPPORTED, bad[i].key, "must be", "not supported");
    }
}

static void other_models_are_named(void **state)
{
    (void)state;
    static const char *const known[] = {"glm", "glm4", "glm4v", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa"};
    gs_config c;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char to[64];
        snprintf(to, sizeof to, "\"model_type\": \"%s\"", known[i]);
        FAILS(parse(&c, "\"model_type\": \"chatglm\"", to), GS_ERR_UNSUPPORTED, known[i], "known", "\"chatglm\"");
    }
    FAILS(parse(&c, "\"model_type\": \"chatglm\"", "\"model_type\": \"llama\\n\""), GS_ERR_UNSUPPORTED, "llama?",
          "supported: \"chatglm\"");
    FAILS(parse(&c, "\"model_type\": \"chatglm\"", "\"model_type\": 7"), GS_ERR_FILE, "model_type", "7");
    FAILS(parse(&c, "\"rmsnorm\": true", "\"vision_config\": {\"layers\": 63}"), GS_ERR_UNSUPPORTED, "GLM-4V");
    FAILS(parse(&c, "\"multi_query_attention\": true", "\"inner_hidden_size\": 16384"), GS_ERR_UNSUPPORTED, "ChatGLM1");
}

static void not_json(void **state)
{
    (void)state;
    gs_config c;
    FAILS(gs_config_parse(&c, "[]", 2, "m/config.json", ERR), GS_ERR_FILE, "m/config.json", "object");
    FAILS(gs_config_parse(&c, "{\"a\":", 5, "m/config.json", ERR), GS_ERR_FILE, "m/config.json");
    FAILS(gs_config_parse(&c, "", 0, "m/config.json", ERR), GS_ERR_FILE, "m/config.json");
    FAILS(parse(&c, "\"num_layers\": 40", "\"num_layers\": 40, \"num_layers\": 41"), GS_ERR_FILE, "num_layers");
}

static void directories(void **state)
{
    (void)state;
    gs_config c;
    char *const dir = dir_make();
    FAILS(gs_config_read(&c, "/nonexistent/model", ERR), GS_ERR_IO, "/nonexistent/model",
          "doesn't exist or not a directory");
    FAILS(gs_config_read(&c, __FILE__, ERR), GS_ERR_IO, "doesn't exist or not a directory");
    FAILS(gs_config_read(&c, dir, ERR), GS_ERR_FILE, dir, "config.json");
    dir_put(dir, "config.json", base, strlen(base));
    OK(gs_config_read(&c, dir, ERR));
    assert_int_equal(c.layers, 40);
    gs_config_release(&c);
    gs_config_release(&c);
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_glm4_9b),
        cmocka_unit_test(reads_variants),
        cmocka_unit_test(every_key_is_required),
        cmocka_unit_test(impossible_values),
        cmocka_unit_test(switches_in_the_other_position),
        cmocka_unit_test(other_models_are_named),
        cmocka_unit_test(not_json),
        cmocka_unit_test(directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
