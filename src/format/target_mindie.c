/* What MindIE loads of a ChatGLM model. It reads tensors by name and ignores others; its types, group sizes and the choice of the
 * model's code come from the description and from config.json. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/target.h"
#include "io/json.h"
#include "recipe/options.h"

static const gs_target_row rows[] = {
    {GS_Q_W8A8, GS_TF_SCHEME, true, NULL},
    {GS_Q_W8A8S, GS_TF_SCHEME, true, NULL},
    {GS_Q_W8A8_DYNAMIC, GS_TF_SCHEME, true,
     "its loader takes W8A8_DYNAMIC for this model, although its list of supported models does not name it"},
    {GS_Q_W8A16, GS_TF_SCHEME, true,
     "its loader takes W8A16 for this model, although its list of supported models does not name it"},
    {GS_Q_W4A16, GS_TF_SCHEME, true,
     "its loader takes W4A16 for this model, although its list of supported models does not name it"},
    {GS_Q_W4A8_DYNAMIC, GS_TF_SCHEME, false,
     "the fused linears have no path for it: the int8 tensor reaches the float linear, which stops with \"linear type "
     "not matched\""},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, GS_TF_SCHEME, false,
     "the engine checks model_quant_type against its list, and this one is not in it"},
    {GS_Q_FLOAT, GS_TF_SCHEME, false,
     "a description with model_quant_type FLOAT becomes quantize \"float\", which the engine refuses; load the "
     "checkpoint itself"},
    {GS_ANY_TYPE, GS_TF_GROUP_32, false, "the engine accepts groups of 64, 128 and 256 and stops at 32 and others"},
    {GS_ANY_TYPE, GS_TF_HEAD, false,
     "the output layer must stay in floating point, a quantized one stops with \"linear type not matched\"; leave "
     "disable_last_linear at True"},
    {GS_ANY_TYPE, GS_TF_FA, false,
     "this model's graph has no quantized attention: it would load the scales, switch its cache to int8 and compute "
     "something else; leave out use_fa_quant"},
    {GS_ANY_TYPE, GS_TF_SHIFT_QKV, false,
     "do_smooth gives norms a bias that is not zero, and in front of a query_key_value that is not W8A8 or W8A8S the "
     "engine drops it without a word; leave out do_smooth, or quantize those linears so"},
    {GS_ANY_TYPE, GS_TF_SHIFT_H4, false,
     "do_smooth gives norms a bias that is not zero, and in front of a dense_h_to_4h that is not W8A8 or W8A8S the "
     "engine drops it, or the linear's own, without a word; leave out do_smooth, or quantize those linears so"},
    {GS_ANY_TYPE, GS_TF_NO_QKV_BIAS, false,
     "the engine asks for query_key_value.bias in every layer, and this model has none (add_qkv_bias false)"},
    {GS_ANY_TYPE, GS_TF_OTHER_CONFIG, false,
     "the checkpoint's config.json has the key quantize or quantization_config, which wins over the description; "
     "remove it from the checkpoint"},
    {GS_ANY_TYPE, GS_TF_OLD_LAYOUT, true,
     "the layout of --mindie_format is declared outdated by the engine, which reads it until mid 2026; the default "
     "layout loads as well"},
    {GS_ANY_TYPE, GS_TF_REDUCE_OWN, false,
     "on more than one card the engine asks for one reduce_scale of each linear and stops at its absence; it knows no "
     "reduce_scale.0; leave out reduce_per_device"},
    {GS_ANY_TYPE, GS_TF_REDUCE, true,
     "scales for quantized communication load but are not used: the graph of this model has no quantized all-reduce"},
};

/* The first of these that occurs in _name_or_path decides which model's code runs. */
bool gs_target_names_glm4(const char *name)
{
    return name && !strcasestr(name, "chatglm2") && !strcasestr(name, "codegeex2") && !strcasestr(name, "chatglm3") &&
           strcasestr(name, "glm-4");
}

static bool characters_fit(const char *path)
{
    static const char accepted[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-";
    return path[strspn(path, accepted)] == '\0';
}

bool gs_target_path_fits(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real && path[0] != '/') real = realpath(".", NULL);
    const bool fits = characters_fit(path) && (!real || characters_fit(real));
    free(real);
    return fits;
}

static json_t *read_object(const char *text, size_t n, const char *label)
{
    gs_error ignored;
    json_t *root = gs_json_parse(text, n, label, 64, &ignored);
    if (json_is_object(root)) return root;
    json_decref(root);
    return NULL;
}

static const char *model_name(const gs_config *c)
{
    json_t *root = c->text ? read_object(c->text, c->text_bytes, "config.json") : NULL;
    const bool fits = gs_target_names_glm4(json_string_value(json_object_get(root, "_name_or_path")));
    json_decref(root);
    return fits ? NULL : "glm-4-9b";
}

/* Rows of these linears are cut into whole groups, one share per card. One group alone would be read as a scale per row. */
static void advise_cards(const gs_target_request *q, gs_str *notes)
{
    static const gs_role cut[] = {GS_DENSE, GS_4H};
    static const char *const name[] = {"self_attention.dense", "mlp.dense_4h_to_h"};
    for (int i = 0; i < 2 && q->resolved->per_group; i++) {
        int64_t out, in;
        bool used = false;
        for (int at = (int)cut[i]; at < q->n_linears - 1; at += GS_ROLES)
            used = used || q->choice[at].type != GS_Q_FLOAT;
        gs_role_shape(q->config, cut[i], &out, &in);
        const int64_t groups = in / q->resolved->group_size;
        int most = 1;
        while (most < 8 && groups % (2 * most) == 0 && groups / (2 * most) > 1) most *= 2;
        if (used && most < 8)
            gs_str_printf(notes,
                          "--target mindie: a row of %s has %lld groups of %d, which engines cut into whole groups: "
                          "the result is right on at most %d card%s, and wrong without a word on more\n",
                          name[i], (long long)groups, q->resolved->group_size, most, most > 1 ? "s" : "");
    }
}

#define SMALL_VOCABULARY 1000

static void advise_sampling(const gs_target_request *q, gs_str *notes)
{
    if (q->config->vocab >= SMALL_VOCABULARY) return;
    char *path = gs_path_join(q->recipe->model_path, "generation_config.json"), *text = NULL;
    size_t n = 0;
    gs_error ignored;
    json_t *root = NULL;
    if (gs_file_read_all(path, 1u << 20, &text, &n, &ignored) == GS_OK) root = read_object(text, n, path);
    if (!json_is_integer(json_object_get(root, "top_k")))
        gs_str_printf(notes,
                      "--target mindie: generation_config.json has no top_k, so the engine takes %d and refuses it, "
                      "because the vocabulary has only %lld words; add a top_k\n",
                      SMALL_VOCABULARY, (long long)q->config->vocab);
    json_decref(root);
    gs_free(text);
    gs_free(path);
}

static void advise(const gs_target_request *q, gs_str *notes)
{
    const char *name = model_name(q->config), *path = q->recipe->save_directory;
    if (name)
        gs_str_printf(notes,
                      "note: --target mindie: config.json gets _name_or_path \"%s\": the engine looks for \"glm-4\" "
                      "there to know which model this is\n",
                      name);
    if (path && !gs_target_path_fits(path))
        gs_str_adds(notes, "--target mindie: the engine refuses paths with characters outside " GS_MINDIE_PATH
                           "; rename the directory, or those above it, before it is loaded\n");
    advise_cards(q, notes);
    advise_sampling(q, notes);
}

const gs_target gs_target_mindie = {
    .name = "mindie",
    .title = "MindIE",
    .loads =
        "W8A8, W8A8S, W8A8_DYNAMIC, W8A16 and W4A16 (per channel, or in groups of 64, 128 or 256), with or without "
        "an int8 key/value cache, with the output layer in floating point",
    .rows = rows,
    .n_rows = (int)(sizeof rows / sizeof rows[0]),
    .model_name = model_name,
    .advise = advise,
};
