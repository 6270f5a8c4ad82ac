/* Reads and checks config.json of the ChatGLM remote-code layout. Every size is bounded here once, so that products
 * of sizes stay far inside int64 everywhere else, and so that an int8 dot product of any linear fits in 32 bits. Keys
 * that change the network are required, even where the original class has a default: a config without them was not
 * written by it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

#define CONFIG_MAX_BYTES (16u << 20)
#define CONFIG_MAX_DEPTH 64
#define ROPE_BASE        10000.0

#define WIDTH_MAX 65536 /* int8 products: 2 · 2^16 · 2^7 · 2^7 stays below 2^31 only up to here */

static const char supported_text[] = "supported: \"chatglm\" with the GLM-4 remote-code layout (glm-4-9b, "
                                     "glm-4-9b-chat, glm-4-9b-chat-1m and models of that shape)";

typedef struct reader {
    const json_t *root;
    const char *label;
    gs_error *err;
} reader;

static void describe(const json_t *v, char *buf, size_t n)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    gs_printable(text ? text : "?", text ? strlen(text) : 1, buf, n);
    free(text);
}

static gs_status fail_value(const reader *r, const char *key, const json_t *v, const char *must)
{
    char shown[80];
    describe(v, shown, sizeof shown);
    return gs_fail(r->err, GS_ERR_FILE, "%s: key '%s' is %s; it must be %s", r->label, key, shown, must);
}

static gs_status get(const reader *r, const char *key, const char *must, const json_t **out)
{
    *out = json_object_get(r->root, key);
    if (*out) return GS_OK;
    return gs_fail(r->err, GS_ERR_FILE, "%s: key '%s' is missing; it must be %s", r->label, key, must);
}

static gs_status read_int(const reader *r, const char *key, int64_t least, int64_t most, int64_t *out)
{
    char must[80];
    const json_t *v;
    snprintf(must, sizeof must, "an integer from %lld to %lld", (long long)least, (long long)most);
    GS_TRY(get(r, key, must, &v));
    if (!json_is_integer(v)) return fail_value(r, key, v, must);
    const int64_t n = (int64_t)json_integer_value(v);
    if (n < least || n > most) return fail_value(r, key, v, must);
    *out = n;
    return GS_OK;
}

/* A finite number in (0, most]. */
static gs_status check_positive(const reader *r, const char *key, const json_t *v, double most, double *out)
{
    char must[80];
    snprintf(must, sizeof must, "a number above 0, at most %g", most);
    if (!json_is_number(v)) return fail_value(r, key, v, must);
    const double x = json_number_value(v);
    if (!(x > 0.0) || x > most) return fail_value(r, key, v, must);
    *out = x;
    return GS_OK;
}

static gs_status read_bool(const reader *r, const char *key, bool *out)
{
    const json_t *v;
    GS_TRY(get(r, key, "true or false", &v));
    if (!json_is_boolean(v)) return fail_value(r, key, v, "true or false");
    *out = json_is_true(v);
    return GS_OK;
}

/* The layout has switches; the models of this family have them all in one position. */
static gs_status expect_bool(const reader *r, const char *key, bool wanted, const char *otherwise)
{
    bool value;
    GS_TRY(read_bool(r, key, &value));
    if (value == wanted) return GS_OK;
    return gs_fail(r->err, GS_ERR_UNSUPPORTED, "%s: key '%s' is %s; it must be %s: %s is not supported", r->label, key,
                   value ? "true" : "false", wanted ? "true" : "false", otherwise);
}

static gs_status check_switches(const reader *r)
{
    GS_TRY(expect_bool(r, "multi_query_attention", true, "attention with interleaved query, key and value heads"));
    GS_TRY(expect_bool(r, "add_bias_linear", false, "a bias on every linear"));
    GS_TRY(expect_bool(r, "rmsnorm", true, "LayerNorm"));
    GS_TRY(expect_bool(r, "post_layer_norm", true, "a model without a final norm"));
    GS_TRY(expect_bool(r, "apply_residual_connection_post_layernorm", false, "a residual taken after the norm"));
    if (json_object_get(r->root, "original_rope"))
        GS_TRY(expect_bool(r, "original_rope", true, "another rotary embedding"));
    return GS_OK;
}

static gs_status read_sizes(const reader *r, gs_config *c)
{
    GS_TRY(read_int(r, "num_layers", 1, 10000, &c->layers));
    GS_TRY(read_int(r, "padded_vocab_size", 1, 1 << 24, &c->vocab));
    GS_TRY(read_int(r, "hidden_size", 1, WIDTH_MAX, &c->hidden));
    GS_TRY(read_int(r, "ffn_hidden_size", 1, WIDTH_MAX, &c->ffn));
    GS_TRY(read_int(r, "num_attention_heads", 1, 4096, &c->heads));
    GS_TRY(read_int(r, "multi_query_group_num", 1, 4096, &c->groups));
    GS_TRY(read_int(r, "kv_channels", 4, 4096, &c->head_dim));
    GS_TRY(read_int(r, "seq_length", 1, INT32_MAX, &c->max_positions));
    const json_t *v;
    if (c->head_dim % 4 != 0)
        return fail_value(r, "kv_channels", json_object_get(r->root, "kv_channels"),
                          "a multiple of 4 (half of each head is rotated, in pairs)");
    if (c->heads % c->groups != 0)
        return gs_fail(r->err, GS_ERR_FILE,
                       "%s: key 'multi_query_group_num' is %lld; it must divide 'num_attention_heads' = %lld", r->label,
                       (long long)c->groups, (long long)c->heads);
    if (c->heads * c->head_dim > WIDTH_MAX)
        return gs_fail(r->err, GS_ERR_FILE,
                       "%s: 'num_attention_heads' times 'kv_channels' is %lld; it must be at most %d", r->label,
                       (long long)(c->heads * c->head_dim), WIDTH_MAX);
    c->rotary = c->head_dim / 2;

    double eps = 0.0, ratio = 1.0;
    GS_TRY(get(r, "layernorm_epsilon", "a number above 0, at most 1", &v));
    GS_TRY(check_positive(r, "layernorm_epsilon", v, 1.0, &eps));
    c->norm_eps = (float)eps;
    if (!(c->norm_eps > 0.0f)) return fail_value(r, "layernorm_epsilon", v, "above 0 in float32");
    v = json_object_get(r->root, "rope_ratio"); /* the base model's config has none: 1 */
    if (v) GS_TRY(check_positive(r, "rope_ratio", v, 1e9, &ratio));
    c->rope_base = ROPE_BASE * ratio;
    return GS_OK;
}

static gs_status read_dtype(const reader *r, gs_config *c)
{
    static const struct {
        const char *name;
        gs_dtype dtype;
    } known[] = {{"bfloat16", GS_BF16}, {"float16", GS_F16}, {"float32", GS_F32}};
    static const char must[] = "\"bfloat16\", \"float16\" or \"float32\"";
    const char *key = "torch_dtype";
    if (!json_object_get(r->root, key) && json_object_get(r->root, "dtype")) key = "dtype"; /* newer spelling */
    const json_t *v;
    GS_TRY(get(r, key, must, &v));
    for (size_t i = 0; json_is_string(v) && i < sizeof known / sizeof *known; i++) {
        if (strcmp(json_string_value(v), known[i].name) != 0) continue;
        snprintf(c->torch_dtype, sizeof c->torch_dtype, "%s", known[i].name);
        c->dtype = known[i].dtype;
        return GS_OK;
    }
    return fail_value(r, key, v, must);
}

/* An integer or a list of them; absent or null: the model never ends a text by itself. */
static gs_status read_eos(const reader *r, gs_config *c)
{
    static const char must[] = "a token id or a list of 1 to 8 token ids";
    const json_t *v = json_object_get(r->root, "eos_token_id");
    const size_t max = sizeof c->eos / sizeof *c->eos;
    if (!v || json_is_null(v)) return GS_OK;
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n < 1 || n > max) return fail_value(r, "eos_token_id", v, must);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return fail_value(r, "eos_token_id", v, must);
        c->eos[c->n_eos++] = (int32_t)json_integer_value(id);
    }
    return GS_OK;
}

/* Relatives that a person may well hand over: say what they are instead of failing on a missing key. */
static gs_status check_type(const reader *r, gs_config *c)
{
    static const char *const relatives[] = {"glm",      "glm4",          "glm4v",       "glm4v_moe", "glm4v_text",
                                            "glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "glm46v",    "glm_ocr"};
    const json_t *v;
    GS_TRY(get(r, "model_type", "a string such as \"chatglm\"", &v));
    if (!json_is_string(v)) return fail_value(r, "model_type", v, "a string such as \"chatglm\"");
    const char *type = json_string_value(v);
    char shown[64];
    gs_printable(type, json_string_length(v), shown, sizeof shown);
    for (size_t i = 0; i < sizeof relatives / sizeof *relatives; i++)
        if (strcmp(type, relatives[i]) == 0)
            return gs_fail(r->err, GS_ERR_UNSUPPORTED,
                           "%s: model_type \"%s\" is a GLM layout that is known but not supported yet; %s", r->label,
                           shown, supported_text);
    if (strcmp(type, "chatglm") != 0)
        return gs_fail(r->err, GS_ERR_UNSUPPORTED, "%s: model_type \"%s\" is not supported; %s", r->label, shown,
                       supported_text);
    if (json_object_get(r->root, "vision_config"))
        return gs_fail(r->err, GS_ERR_UNSUPPORTED,
                       "%s: key 'vision_config' shows GLM-4V, a vision model, which is not supported; %s", r->label,
                       supported_text);
    if (json_object_get(r->root, "inner_hidden_size"))
        return gs_fail(r->err, GS_ERR_UNSUPPORTED,
                       "%s: key 'inner_hidden_size' shows ChatGLM1 (ChatGLM-6B), which is not supported; %s", r->label,
                       supported_text);
    snprintf(c->model_type, sizeof c->model_type, "%s", type);
    return GS_OK;
}

static gs_status read_all(const reader *r, gs_config *c)
{
    if (!json_is_object(r->root))
        return gs_fail(r->err, GS_ERR_FILE, "%s: the file must hold one JSON object", r->label);
    GS_TRY(check_type(r, c));
    GS_TRY(check_switches(r));
    GS_TRY(read_sizes(r, c));
    GS_TRY(read_bool(r, "add_qkv_bias", &c->qkv_bias));
    /* The layout's own class never ties; a file that says so is taken at its word if it has no output layer. */
    if (json_object_get(r->root, "tie_word_embeddings")) GS_TRY(read_bool(r, "tie_word_embeddings", &c->tied_head));
    GS_TRY(read_dtype(r, c));
    return read_eos(r, c);
}

gs_status gs_config_parse(gs_config *c, const char *text, size_t n, const char *label, gs_error *err)
{
    memset(c, 0, sizeof *c);
    json_t *root = gs_json_parse(text, n, label, CONFIG_MAX_DEPTH, err);
    if (!root) return GS_ERR_FILE;
    const reader r = {root, label, err};
    const gs_status status = read_all(&r, c);
    json_decref(root);
    if (status != GS_OK) return status;
    c->text = gs_strndup(text, n);
    c->text_bytes = n;
    return GS_OK;
}

gs_status gs_config_read(gs_config *c, const char *model_dir, gs_error *err)
{
    memset(c, 0, sizeof *c);
    if (!gs_path_is_dir(model_dir))
        return gs_fail(err, GS_ERR_IO,
                       "The path %s doesn't exist or not a directory; give the directory of a checkpoint", model_dir);
    char *path = gs_path_join(model_dir, "config.json");
    char *text = NULL;
    size_t n = 0;
    gs_status status;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        status = gs_fail(err, GS_ERR_FILE, "%s doesn't exist; a checkpoint directory holds a config.json", path);
    else
        status = gs_file_read_all(path, CONFIG_MAX_BYTES, &text, &n, err);
    if (status == GS_OK) status = gs_config_parse(c, text, n, path, err);
    gs_free(text);
    gs_free(path);
    return status;
}

void gs_config_release(gs_config *c)
{
    gs_free(c->text);
    memset(c, 0, sizeof *c);
}

int64_t gs_config_qkv_width(const gs_config *c) { return (c->heads + 2 * c->groups) * c->head_dim; }

int64_t gs_config_attention_width(const gs_config *c) { return c->heads * c->head_dim; }
