/* The table of formats and the side files all of them share: description and config.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "format/target.h"
#include "io/json.h"

const gs_format *gs_format_get(const gs_recipe *recipe)
{
    return recipe->mindie_format ? &gs_format_mindie : &gs_format_ascend_v1;
}

static void lower_type(gs_quant_type type, char *buf, size_t n)
{
    const char *name = gs_quant_type_name(type);
    size_t i = 0;
    for (; name[i] && i + 1 < n; i++) buf[i] = (char)tolower((unsigned char)name[i]);
    buf[i] = '\0';
}

char *gs_format_weights_prefix(gs_quant_type type, char *buf, size_t n)
{
    char lower[48];
    lower_type(type, lower, sizeof lower);
    snprintf(buf, n, "quant_model_weight_%s", lower);
    return buf;
}

char *gs_format_description_name(const gs_format *f, gs_quant_type type, char *buf, size_t n)
{
    char lower[48];
    lower_type(type, lower, sizeof lower);
    if (f->typed_description)
        snprintf(buf, n, "quant_model_description_%s.json", lower);
    else
        snprintf(buf, n, "quant_model_description.json");
    return buf;
}

char *gs_format_description(const gs_format *f, const gs_manifest *m, const gs_resolved *r, bool kv, bool fa, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    if (f->version) gs_json_put_string(j, "version", "1.0.0");
    gs_json_put_string(j, "model_quant_type", gs_quant_type_name(r->type));
    if (kv) {
        gs_json_put_string(j, "kv_cache_type", "C8"); /* vllm-ascend's switch */
        gs_json_put_string(j, "kv_quant_type", "C8"); /* MindIE's */
    }
    if (fa) gs_json_put_string(j, "fa_quant_type", "FAQuant");
    if (f->version && r->group_size > 0) {
        gs_json_out_key(j, "group_size");
        gs_json_out_int(j, r->group_size);
    }
    if (f->version && r->comm) gs_json_put_string(j, "reduce_quant_type", "per_channel");
    for (int64_t i = 0; i < m->layout.count; i++) gs_json_put_string(j, m->layout.tensors[i].name, m->type[i]);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}

/* One line of the quantization_config object, at depth 2 of a file indented by 4. */
static void config_line(gs_str *s, const char *key, const char *token)
{
    gs_str_printf(s, "%s\n        \"%s\": %s", s->len > 1 ? "," : "", key, token);
}

static void config_bool(gs_str *s, const char *key, bool v) { config_line(s, key, v ? "true" : "false"); }

static void config_int(gs_str *s, const char *key, int64_t v)
{
    char token[32];
    snprintf(token, sizeof token, "%lld", (long long)v);
    config_line(s, key, token);
}

static void config_double(gs_str *s, const char *key, double v)
{
    char token[32];
    gs_json_repr_double(v, token);
    config_line(s, key, token);
}

static void config_string(gs_str *s, const char *key, const char *v)
{
    gs_json_out *j = gs_json_out_create(-1);
    gs_json_out_string(j, v);
    size_t n = 0;
    char *token = gs_json_out_finish(j, &n);
    config_line(s, key, token);
    gs_free(token);
}

/* The argument, also where the codes have no groups. */
int gs_format_config_group(const gs_recipe *recipe)
{
    return recipe->is_lowbit && !recipe->open_outlier ? recipe->group_size : 0;
}

/* The dictionary the script records, in its order, from the arguments after the library's own replacements. */
static void quantization_config(gs_str *s, const gs_recipe *recipe, const gs_resolved *r, bool fa)
{
    gs_str_adds(s, "{");
    config_int(s, "group_size", gs_format_config_group(recipe));
    config_line(s, "kv_quant_type", recipe->use_kvcache_quant ? "\"C8\"" : "null");
    config_line(s, "fa_quant_type", fa ? "\"FAQuant\"" : "null");
    config_int(s, "w_bit", r->w_bit);
    config_int(s, "a_bit", r->a_bit);
    config_string(s, "dev_type", "cpu"); /* where it was computed; the files do not depend on device_type */
    config_double(s, "fraction", recipe->fraction);
    config_int(s, "act_method", recipe->act_method);
    config_bool(s, "co_sparse", r->co_sparse);
    config_string(s, "anti_method", recipe->anti_method);
    config_string(s, "disable_level", recipe->disable_level);
    config_bool(s, "do_smooth", r->do_smooth);
    config_bool(s, "use_sigma", recipe->use_sigma);
    config_double(s, "sigma_factor", recipe->sigma_factor);
    config_bool(s, "is_lowbit", recipe->is_lowbit);
    config_bool(s, "mm_tensor", false); /* always false in the reference, whatever was asked */
    config_bool(s, "w_sym", recipe->w_sym);
    config_bool(s, "open_outlier", recipe->open_outlier);
    config_bool(s, "is_dynamic", recipe->is_dynamic);
    if (recipe->use_reduce_quant) config_line(s, "reduce_quant_type", "\"per_channel\"");
    gs_str_adds(s, "\n    }");
}

gs_status gs_format_config(const gs_format *f, const gs_config *c, const gs_recipe *recipe, const gs_resolved *r,
                           bool fa, char **out, size_t *n, gs_error *err)
{
    const gs_target *target = gs_target_find(recipe->target);
    const char *model = target && target->model_name ? target->model_name(c) : NULL;
    char dtype[24], type[48], quantize[64], name[64];
    snprintf(dtype, sizeof dtype, "\"%s\"", target && c->dtype == GS_F32 ? "bfloat16" : c->torch_dtype);
    snprintf(name, sizeof name, "\"%s\"", model ? model : "");
    lower_type(r->type, type, sizeof type);
    snprintf(quantize, sizeof quantize, "\"%s\"", type);
    gs_str quantization;
    gs_str_init(&quantization);
    quantization_config(&quantization, recipe, r, fa || (recipe->reference_compat && recipe->use_fa_quant));
    gs_json_set sets[4] = {{"torch_dtype", dtype}};
    int n_sets = 1;
    if (model) sets[n_sets++] = (gs_json_set){"_name_or_path", name};
    if (f->config_quantize) {
        sets[n_sets++] = (gs_json_set){"quantize", quantize};
        sets[n_sets++] = (gs_json_set){"quantization_config", quantization.data};
    }
    const gs_status status = gs_json_rewrite(c->text, c->text_bytes, "config.json", 4, sets, n_sets, out, n, err);
    gs_str_release(&quantization);
    return status;
}
