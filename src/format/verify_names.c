/* Checks of the description: every tensor under its type, and the general keys against the tensors they speak of.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "format/verify_checks.h"

static const char *const general[] = {"version",           "model_quant_type", "kv_cache_type",
                                      "kv_quant_type",     "fa_quant_type",    "group_size",
                                      "reduce_quant_type", "metadata",         "optional"};

static bool is_general(const char *key)
{
    for (size_t i = 0; i < sizeof general / sizeof *general; i++)
        if (strcmp(general[i], key) == 0) return true;
    return false;
}

static bool is_word(const char *word)
{
    return gs_scheme_find(word) || strcmp(word, "C8") == 0 || strcmp(word, "FAQuant") == 0;
}

GS_CHECK_DIRECTORY(description_words)
{
    const char *key;
    json_t *value;
    (void)err;
    json_object_foreach(v->q.description, key, value)
    {
        char shown[48];
        const char *word = json_string_value(value);
        if (is_general(key)) continue;
        if (!word)
            gs_verify_fail(v, NULL, "'%.200s' has no type, but a JSON value of another kind", key);
        else if (!is_word(word))
            gs_verify_fail(v, NULL, "'%.200s' has the type \"%s\", which does not exist", key,
                           gs_printable(word, strlen(word), shown, sizeof shown));
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(description_names)
{
    const gs_tensor_table *t = &v->q.checkpoint.table;
    const char *key;
    json_t *value;
    (void)err;
    for (int64_t i = 0; i < t->count; i++)
        if (!json_object_get(v->q.description, t->tensors[i].name))
            gs_verify_fail(v, NULL, "%s: tensor '%s' is not in the description", gs_verify_file_of(v, &t->tensors[i]),
                           t->tensors[i].name);
    json_object_foreach(v->q.description, key, value)
    {
        if (!is_general(key) && !gs_checkpoint_find(&v->q.checkpoint, key))
            gs_verify_fail(v, NULL, "the description names '%.200s', which is in no weights file", key);
    }
    return GS_OK;
}

/* MindIE takes the version's presence for "int4 codes are packed". */
GS_CHECK_DIRECTORY(version)
{
    const json_t *value = json_object_get(v->q.description, "version");
    const char *p = json_string_value(value);
    (void)err;
    if (!value) return GS_OK;
    bool good = p && p[0] >= '1' && p[0] <= '9';
    for (int part = 0; part < 3 && good; part++) {
        good = isdigit((unsigned char)*p);
        while (isdigit((unsigned char)*p)) p++;
        good = good && *p++ == (part < 2 ? '.' : '\0');
    }
    if (!good) gs_verify_fail(v, NULL, "version is not three numbers with dots, as \"1.0.0\"");
    return GS_OK;
}

static void expect_word(gs_verify *v, const gs_tensor *t, const char *wanted)
{
    const char *word = t ? gs_quantdir_word(&v->q, t->name) : NULL;
    if (word && strcmp(word, wanted) != 0)
        gs_verify_fail(v, NULL, "'%s' is described as %.40s; as part of its layer it is %s", t->name, word, wanted);
}

static void expect_part(gs_verify *v, const gs_scheme *s, const gs_quant_part *p, bool card)
{
    for (int i = 0; i < s->n_pieces; i++) {
        const bool as_float = s->pieces[i].typed_float && !card; /* cards describe their bias as the layer */
        if (!card || !s->pieces[i].typed_float)
            expect_word(v, p->piece[s->pieces[i].piece], as_float ? "FLOAT" : s->name);
    }
}

GS_CHECK_DIRECTORY(tensor_types)
{
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_quant_linear *l = &v->linear[i].linear;
        if (!v->linear[i].found) continue;
        expect_part(v, l->scheme, &l->whole, false);
        expect_word(v, l->gather ? l->gather : v->linear[i].gather, l->scheme->name);
        for (int r = 0; r < v->linear[i].n_reduce; r++) expect_word(v, v->linear[i].reduce[r], l->scheme->name);
        for (int r = 0; r < l->ranks; r++) expect_part(v, l->scheme, &l->rank[r], true);
    }
    for (int64_t i = 0; i < v->q.config.layers * GS_NORMS + 1; i++) {
        expect_word(v, v->norm[i].weight, "FLOAT");
        expect_word(v, v->norm[i].bias, "FLOAT");
    }
    for (int64_t b = 0; b < v->q.config.layers; b++) {
        for (int i = 0; i < GS_KV_PARTS; i++) expect_word(v, v->kv[b][i], "C8");
        for (int i = 0; i < GS_FA_PARTS; i++) expect_word(v, v->fa[b][i], "FAQuant");
    }
    return GS_OK;
}

/* W4A4 leaves one linear of a block to W8A8_DYNAMIC. */
static bool belongs(gs_quant_type model, gs_quant_type type)
{
    return type == model || type == GS_Q_FLOAT || (model == GS_Q_W4A4_FLATQUANT_DYNAMIC && type == GS_Q_W8A8_DYNAMIC);
}

GS_CHECK_DIRECTORY(model_type)
{
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_verify_linear *l = &v->linear[i];
        if (l->found && !belongs(v->q.type, l->linear.scheme->type))
            gs_verify_fail(v, NULL, "'%s' is %s in a result of model_quant_type %s", l->prefix, l->linear.scheme->name,
                           gs_quant_type_name(v->q.type));
    }
    return GS_OK;
}

static const char *word_of(const gs_verify *v, const char *key)
{
    return json_string_value(json_object_get(v->q.description, key));
}

/* Blocks that have the first tensor of a set. */
static int64_t count_blocks(const gs_verify *v, bool attention)
{
    int64_t n = 0;
    for (int64_t b = 0; b < v->q.config.layers; b++) n += (attention ? v->fa[b][0] : v->kv[b][0]) != NULL;
    return n;
}

GS_CHECK_DIRECTORY(kv_keys)
{
    static const char *const keys[] = {"kv_cache_type", "kv_quant_type"};
    const int64_t blocks = count_blocks(v, false), layers = v->q.config.layers;
    (void)err;
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(v->q.description, keys[i]);
        const char *word = json_string_value(value);
        if (value && (!word || strcmp(word, "C8") != 0))
            gs_verify_fail(v, NULL, "%s is not \"C8\"", keys[i]);
        else if (value && blocks < layers)
            gs_verify_fail(v, NULL,
                           "%s says that the key/value cache is quantized, but only %lld of %lld blocks have "
                           "its scales",
                           keys[i], (long long)blocks, (long long)layers);
        else if (!value && blocks > 0)
            gs_verify_fail(v, NULL, "%s is missing, but %lld blocks have scales for the key/value cache", keys[i],
                           (long long)blocks);
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(fa_keys)
{
    const json_t *value = json_object_get(v->q.description, "fa_quant_type");
    const char *word = json_string_value(value);
    const json_t *config = json_object_get(v->config, "quantization_config"); /* the older layout's, which wins */
    const char *old = json_string_value(json_object_get(config, "fa_quant_type"));
    const int64_t blocks = count_blocks(v, true);
    (void)err;
    if (value && !word)
        gs_verify_fail(v, NULL, "fa_quant_type is there but names no type; vllm-ascend takes even null for \"on\"");
    else if (word && blocks == 0)
        gs_verify_fail(v, NULL, "fa_quant_type is %.40s, but no block has scales for quantized attention", word);
    else if (!word && blocks > 0)
        gs_verify_fail(v, NULL, "fa_quant_type is missing, but %lld blocks have scales for quantized attention",
                       (long long)blocks);
    else if (old && blocks == 0)
        gs_verify_fail(v, NULL,
                       "fa_quant_type is %.40s in config.json, but no block has scales for quantized attention", old);
    return GS_OK;
}

static int64_t number_of(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

int64_t gs_verify_group_of(const gs_verify_linear *l)
{
    const gs_weight_layout *w = &l->linear.whole.layout;
    if (!l->found) return 0;
    if (w->second_columns > 0) return l->linear.whole.in / w->second_columns;
    return w->scale_columns > 1 ? l->linear.whole.in / w->scale_columns : 0;
}

int64_t gs_verify_group_said(const gs_verify *v)
{
    const json_t *old = json_object_get(v->config, "quantization_config");
    return v->q.format == &gs_format_mindie ? number_of(old, "group_size") : v->q.group_size;
}

/* One group alone looks like a scale per row. The older layout also names a size that was asked for and has no effect on the type. */
GS_CHECK_DIRECTORY(group_size)
{
    const int64_t said = gs_verify_group_said(v);
    const bool old = v->q.format == &gs_format_mindie;
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_quant_linear *l = &v->linear[i].linear;
        if (!v->linear[i].found || l->scheme->type == GS_Q_FLOAT) continue;
        const int64_t group = gs_verify_group_of(&v->linear[i]);
        if (group != said && (group != 0 || (l->whole.in < said && !old)))
            gs_verify_fail(v, NULL, "'%s' has scales for groups of %lld, but group_size is %lld", v->linear[i].prefix,
                           (long long)group, (long long)said);
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(reduce_keys)
{
    int found = 0;
    (void)err;
    for (int i = 0; i < v->n_linears; i++)
        found += v->linear[i].gather || (v->linear[i].found && v->linear[i].linear.gather);
    if (word_of(v, "reduce_quant_type") && found == 0)
        gs_verify_fail(v, NULL, "reduce_quant_type is there, but no linear has gather_scale and reduce_scale");
    return GS_OK;
}

/* ascendV1 packs two codes in a byte, the older layout does not. */
GS_CHECK_DIRECTORY(packing)
{
    const bool packed = v->q.format != &gs_format_mindie;
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_quant_linear *l = &v->linear[i].linear;
        if (!v->linear[i].found || (l->scheme->type != GS_Q_W4A16 && l->scheme->type != GS_Q_W4A8_DYNAMIC)) continue;
        if ((l->whole.layout.nibbles != GS_NIBBLES_NONE) != packed)
            gs_verify_fail(v, NULL, "'%s.weight' has one code per %s, but the description has %s version",
                           v->linear[i].prefix, packed ? "byte" : "half byte", packed ? "a" : "no");
    }
    return GS_OK;
}
