/* Checks of what an engine makes of a result, with --target: its table (target.h) asked about the types found, and the rules of its
 * loader that a table of types cannot hold. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "format/verify_checks.h"
#include "recipe/options.h"

/* A cell of the target's table that is refused, as a fault with the engine's own sentence. */
static bool refused(gs_verify *v, gs_quant_type type, gs_target_feature feature, const char *subject)
{
    const gs_target_row *row = gs_target_cell(v->request->target, type, feature);
    if (!row || row->loads || !row->text) return false;
    gs_verify_fail(v, row->text, "%s", subject);
    return true;
}

GS_CHECK_DIRECTORY(engine_dtype)
{
    (void)err;
    if (v->q.config.dtype == GS_F32)
        gs_verify_fail(v, NULL, "config.json has torch_dtype \"%s\"", v->q.config.torch_dtype);
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_types)
{
    char text[GS_NAME_BYTES + 64];
    (void)err;
    snprintf(text, sizeof text, "model_quant_type is %s", gs_quant_type_name(v->q.type));
    refused(v, v->q.type, GS_TF_SCHEME, text);
    for (int i = 0; i < v->n_linears; i++) {
        const gs_verify_linear *l = &v->linear[i];
        if (!l->found || l->linear.scheme->type == GS_Q_FLOAT || l->linear.scheme->type == v->q.type) continue;
        snprintf(text, sizeof text, "'%s' is %s", l->prefix, l->linear.scheme->name);
        refused(v, l->linear.scheme->type, GS_TF_SCHEME, text);
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_head)
{
    const gs_verify_linear *l = &v->linear[v->n_linears - 1];
    char text[GS_NAME_BYTES + 64];
    (void)err;
    if (!l->found || l->linear.scheme->type == GS_Q_FLOAT) return GS_OK;
    snprintf(text, sizeof text, "'%s' is %s", l->prefix, l->linear.scheme->name);
    refused(v, l->linear.scheme->type, GS_TF_HEAD, text);
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_groups)
{
    const int64_t said = gs_verify_group_said(v);
    (void)err;
    if (said != 0 && !gs_target_takes_group(said)) {
        char text[64];
        snprintf(text, sizeof text, "group_size is %lld", (long long)said);
        refused(v, v->q.type, GS_TF_GROUP_32, text);
    }
    for (int i = 0; i < v->n_linears; i++) {
        const gs_verify_linear *l = &v->linear[i];
        const int64_t group = gs_verify_group_of(l);
        char text[GS_NAME_BYTES + 64];
        if (group == 0) continue;
        snprintf(text, sizeof text, "'%s' has one scale per %lld weights", l->prefix, (long long)group);
        if (refused(v, l->linear.scheme->type, GS_TF_PER_GROUP, text)) continue;
        if (!gs_target_takes_group(group)) refused(v, l->linear.scheme->type, GS_TF_GROUP_32, text);
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_rows)
{
    (void)err;
    for (int i = 0; i < v->n_linears; i++)
        if (v->linear[i].found && v->linear[i].linear.whole.layout.one_scale && v->linear[i].linear.whole.out > 1)
            gs_verify_fail(v, NULL, "'%s' has one scale for its %lld rows", v->linear[i].prefix,
                           (long long)v->linear[i].linear.whole.out);
    return GS_OK;
}

/* Rows of dense and dense_4h_to_h are cut into whole groups; all blocks have the same, or stay in floating point. */
GS_CHECK_DIRECTORY(engine_cards)
{
    static const gs_role cut[] = {GS_DENSE, GS_4H};
    (void)err;
    for (int i = 0; i < 2; i++) {
        int at = (int)cut[i];
        while (at < v->n_linears - 1 && gs_verify_group_of(&v->linear[at]) == 0) at += GS_ROLES;
        if (at >= v->n_linears - 1) continue;
        const gs_verify_linear *l = &v->linear[at];
        const int64_t groups = l->linear.whole.in / gs_verify_group_of(l);
        int most = 1;
        while (most < 8 && groups % (2 * most) == 0 && groups / (2 * most) > 1) most *= 2;
        if (most < 8)
            gs_verify_warn(v, NULL, "a row of '%s' has %lld groups: right on at most %d card%s", l->prefix,
                           (long long)groups, most, most > 1 ? "s" : "");
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_names)
{
    (void)err;
    if (v->q.wrapped)
        gs_verify_fail(v, NULL, "the attention's tensors are called self_attn, the model's self_attention");
    for (int i = 0; i < v->n_linears; i++)
        if (v->linear[i].found && !v->linear[i].linear.complete)
            gs_verify_fail(v, NULL, "'%s' has tensors for single cards only (tp_list)", v->linear[i].prefix);
    return GS_OK;
}

static bool has(const gs_verify *v, const char *name) { return gs_checkpoint_find(&v->q.checkpoint, name) != NULL; }

/* MindIE looks under QKV for the cache's scales, vllm-ascend under the attention. */
GS_CHECK_DIRECTORY(engine_cache)
{
    const bool wanted = v->request->target->kv_on_attention;
    (void)err;
    for (int b = 0; b < v->q.config.layers; b++) {
        char here[GS_NAME_BYTES], there[GS_NAME_BYTES];
        for (int i = 0; i < GS_KV_PARTS; i++) {
            gs_kv_name(v->q.family, b, i, wanted, here, sizeof here);
            gs_kv_name(v->q.family, b, i, !wanted, there, sizeof there);
            if (has(v, there))
                gs_verify_fail(v, NULL, "'%s' would have to be '%s': quantize with --target %s", there, here,
                               v->request->target->name);
        }
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_attention)
{
    char text[96];
    (void)err;
    if (!v->q.fa_type) return GS_OK;
    snprintf(text, sizeof text, "fa_quant_type is \"%.40s\"", v->q.fa_type);
    refused(v, v->q.type, GS_TF_FA, text);
    return GS_OK;
}

GS_CHECK_DIRECTORY(engine_communication)
{
    char text[GS_NAME_BYTES + 64];
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_verify_linear *l = &v->linear[i];
        if (!l->found) continue;
        snprintf(text, sizeof text, "'%s' has tensors of simulated cards (tp_list)", l->prefix);
        if (l->linear.ranks > 0 && refused(v, l->linear.scheme->type, GS_TF_CARDS, text)) continue;
        snprintf(text, sizeof text, "'%s' has a reduce_scale for each card", l->prefix);
        if (l->own_reduce && refused(v, l->linear.scheme->type, GS_TF_REDUCE_OWN, text)) continue;
        snprintf(text, sizeof text, "'%s' has gather_scale and reduce_scale", l->prefix);
        if (l->linear.gather || l->gather) refused(v, l->linear.scheme->type, GS_TF_REDUCE, text);
    }
    return GS_OK;
}

/* ---- MindIE ---- */

GS_CHECK_DIRECTORY(mindie_name)
{
    const char *name = json_string_value(json_object_get(v->config, "_name_or_path"));
    char shown[80];
    (void)err;
    if (!gs_target_names_glm4(name))
        gs_verify_fail(v, NULL, "_name_or_path in config.json is %s%s%s; it must contain \"glm-4\"", name ? "\"" : "",
                       name ? gs_printable(name, strlen(name), shown, sizeof shown) : "missing", name ? "\"" : "");
    return GS_OK;
}

GS_CHECK_DIRECTORY(mindie_qkv_bias)
{
    (void)err;
    for (int i = GS_QKV; i < v->n_linears - 1; i += GS_ROLES)
        if (v->linear[i].found && !v->linear[i].linear.whole.piece[GS_PIECE_BIAS])
            gs_verify_fail(v, NULL, "'%s.bias' is missing", v->linear[i].prefix);
    return GS_OK;
}

static gs_status is_zero(gs_verify *v, const gs_tensor *t, bool *zero, gs_error *err)
{
    *zero = true;
    if (!t) return GS_OK;
    float *value = gs_alloc_array((size_t)t->elements, sizeof *value);
    const gs_status status = gs_verify_read(v, t, 0, t->elements, value, err);
    for (int64_t i = 0; i < t->elements && status == GS_OK; i++) *zero = *zero && value[i] == 0.0f;
    gs_free(value);
    return status;
}

/* Read in front of static types; with the older layout's second copy in front of other quantized ones too; never in front of float. */
GS_CHECK_DIRECTORY(mindie_norm_bias)
{
    static const gs_role behind[GS_NORMS] = {GS_QKV, GS_H4};
    for (int64_t i = 0; i < v->q.config.layers * GS_NORMS; i++) {
        const gs_verify_linear *l = &v->linear[i / GS_NORMS * GS_ROLES + behind[i % GS_NORMS]];
        bool zero;
        if (!l->found || gs_verify_is_static(l)) continue;
        if (v->norm[i].module_bias && l->linear.scheme->type != GS_Q_FLOAT) continue;
        GS_TRY(is_zero(v, v->norm[i].bias, &zero, err));
        if (!zero)
            gs_verify_fail(v, NULL, "'%s' is not zero and stands in front of '%s', which is %s", v->norm[i].bias->name,
                           l->prefix, l->linear.scheme->name);
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(mindie_sampling)
{
    char *path = gs_path_join(v->request->dir, "generation_config.json"), *text = NULL;
    size_t n = 0;
    json_t *root = NULL;
    (void)err;
    gs_error ignored;
    if (gs_path_exists(path) && gs_file_read_all(path, 1u << 20, &text, &n, &ignored) == GS_OK)
        root = gs_json_parse(text, n, path, 64, &ignored);
    if (v->q.config.vocab < 1000 && !json_is_integer(json_object_get(root, "top_k")))
        gs_verify_warn(v, NULL, "generation_config.json has no top_k, and the vocabulary has only %lld words",
                       (long long)v->q.config.vocab);
    json_decref(root);
    gs_free(text);
    gs_free(path);
    return GS_OK;
}

GS_CHECK_DIRECTORY(mindie_path)
{
    (void)err;
    if (!gs_target_path_fits(v->request->dir))
        gs_verify_warn(v, NULL, "the path of the directory has characters outside " GS_MINDIE_PATH);
    return GS_OK;
}

/* ---- vllm-ascend ---- */

GS_CHECK_DIRECTORY(vllm_description)
{
    const char *slash = strrchr(v->q.description_path, '/');
    const json_t *own = json_object_get(v->config, "quantization_config");
    (void)err;
    if (strcmp(slash ? slash + 1 : v->q.description_path, "quant_model_description.json") != 0)
        gs_verify_fail(v, NULL, "the description is not called quant_model_description.json");
    if (own && !json_object_get(own, "quant_method")) gs_verify_fail(v, NULL, "config.json has a quantization_config");
    return GS_OK;
}

GS_CHECK_DIRECTORY(vllm_module)
{
    (void)err;
    for (int64_t i = 0; i < v->q.config.layers * GS_NORMS + 1; i++)
        if (v->norm[i].module_weight)
            gs_verify_fail(v, NULL, "'%s' has no place in the engine", v->norm[i].module_weight->name);
    return GS_OK;
}

/* The engine's H4 has no bias: static types have it in quant_bias, others would lose it. */
GS_CHECK_DIRECTORY(vllm_bias)
{
    for (int i = GS_H4; i < v->n_linears - 1; i += GS_ROLES) {
        const gs_verify_linear *l = &v->linear[i];
        bool zero;
        if (!l->found || gs_verify_is_static(l)) continue;
        GS_TRY(is_zero(v, l->linear.whole.piece[GS_PIECE_BIAS], &zero, err));
        if (!zero)
            gs_verify_fail(v, NULL, "'%s.bias' is not zero, and the linear is %s", l->prefix, l->linear.scheme->name);
    }
    return GS_OK;
}
