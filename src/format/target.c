/* Asking a target's table about a run. SPDX-License-Identifier: Apache-2.0 */
#include "format/target.h"

#include <string.h>

#include "format/format.h"
#include "io/json.h"

const gs_target *const gs_targets[] = {&gs_target_mindie, &gs_target_vllm_ascend, NULL};

const gs_target *gs_target_find(const char *name)
{
    for (int i = 0; name && gs_targets[i]; i++)
        if (strcmp(gs_targets[i]->name, name) == 0) return gs_targets[i];
    return NULL;
}

gs_dtype gs_target_dtype(const gs_config *c) { return c->dtype == GS_F32 ? GS_BF16 : c->dtype; }

/* do_smooth shifts the input of every QKV and H4; only static types have the shift in their quant_bias. */
static bool shifts(const gs_target_request *q, gs_role role)
{
    if (!q->resolved->do_smooth) return false;
    for (int i = role; i < q->n_linears - 1; i += GS_ROLES)
        if (q->choice[i].type != GS_Q_W8A8 && q->choice[i].type != GS_Q_W8A8S) return true;
    return false;
}

bool gs_target_takes_group(int64_t group) { return group == 64 || group == 128 || group == 256; }

/* Of 32, 64, 128 and 256 the first; the older layout's config.json also names one that was asked for without effect. */
static bool refused_group(int group) { return group != 0 && !gs_target_takes_group(group); }

static bool config_is_quantized(const gs_config *c)
{
    if (!c->text) return false;
    gs_error ignored;
    json_t *root = gs_json_parse(c->text, c->text_bytes, "config.json", 64, &ignored);
    const bool found = json_object_get(root, "quantize") || json_object_get(root, "quantization_config");
    json_decref(root);
    return found;
}

bool gs_target_has(const gs_target_request *q, gs_target_feature feature)
{
    const gs_recipe *r = q->recipe;
    switch (feature) {
    case GS_TF_SCHEME:
        return true;
    case GS_TF_ASYMMETRIC:
        return !r->w_sym;
    case GS_TF_PER_GROUP:
        return q->resolved->per_group;
    case GS_TF_GROUP_32:
        return refused_group(q->resolved->per_group ? q->resolved->group_size : 0) ||
               (r->mindie_format && refused_group(gs_format_config_group(r)));
    case GS_TF_KV:
        return r->use_kvcache_quant;
    case GS_TF_FA:
        return r->use_fa_quant;
    case GS_TF_HEAD:
        return q->choice[q->n_linears - 1].type != GS_Q_FLOAT;
    case GS_TF_OLD_LAYOUT:
        return r->mindie_format;
    case GS_TF_SHIFT_QKV:
        return shifts(q, GS_QKV);
    case GS_TF_SHIFT_H4:
        return shifts(q, GS_H4);
    case GS_TF_CARDS:
        return r->tp_size > 1;
    case GS_TF_REDUCE_OWN:
        return q->resolved->comm_per_rank && q->resolved->ranks > 1;
    case GS_TF_REDUCE:
        return r->use_reduce_quant;
    case GS_TF_NO_QKV_BIAS:
        return !q->config->qkv_bias;
    case GS_TF_OTHER_CONFIG:
        return config_is_quantized(q->config);
    case GS_TF_COUNT:
        break;
    }
    return false;
}

const gs_target_row *gs_target_cell(const gs_target *t, gs_quant_type type, gs_target_feature feature)
{
    const gs_target_row *any = NULL;
    for (int i = 0; i < t->n_rows; i++) {
        if (t->rows[i].feature != feature) continue;
        if (t->rows[i].type == (int)type) return &t->rows[i];
        if (t->rows[i].type == GS_ANY_TYPE) any = &t->rows[i];
    }
    return any;
}

gs_status gs_target_check(const gs_target *t, const gs_target_request *q, gs_str *notes, gs_error *err)
{
    const gs_quant_type type = q->resolved->type;
    for (gs_target_feature f = GS_TF_SCHEME; f < GS_TF_COUNT; f++) {
        const gs_target_row *row = gs_target_has(q, f) ? gs_target_cell(t, type, f) : NULL;
        if (!row || !row->text) continue;
        if (!row->loads)
            return gs_fail(err, GS_ERR_USAGE, "--target %s, type %s: %s. %s loads %s", t->name,
                           gs_quant_type_name(type), row->text, t->title, t->loads);
        gs_str_printf(notes, "note: --target %s: %s\n", t->name, row->text);
    }
    if (q->config->dtype == GS_F32)
        gs_str_printf(
            notes,
            "note: --target %s: config.json says torch_dtype float32, in which no engine computes; written as "
            "bfloat16, with scales in that type\n",
            t->name);
    if (t->advise) t->advise(q, notes);
    return GS_OK;
}
