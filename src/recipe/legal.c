/* What may be combined with what. The checks run in the reference's order with its wording, so that a user sees the message that
 * the script would have shown; what the script accepts by accident (types it cannot write) is refused after them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipe/legal.h"

#include <limits.h>
#include <string.h>

#include "io/json.h"
#include "recipe/compat.h"
#include "recipe/options.h"
#include "recipe/size.h"
#include "recipe/unbuilt.h"

static const char *const type_names[] = {
    [GS_Q_FLOAT] = "FLOAT",
    [GS_Q_W8A8] = "W8A8",
    [GS_Q_W8A8_DYNAMIC] = "W8A8_DYNAMIC",
    [GS_Q_W8A16] = "W8A16",
    [GS_Q_W4A16] = "W4A16",
    [GS_Q_W8A8S] = "W8A8S",
    [GS_Q_W4A8_DYNAMIC] = "W4A8_DYNAMIC",
    [GS_Q_W4A4_FLATQUANT_DYNAMIC] = "W4A4_FLATQUANT_DYNAMIC",
};

const char *gs_quant_type_name(gs_quant_type t) { return type_names[t]; }

gs_quant_type gs_linear_type(const gs_recipe *r, const gs_resolved *s, bool dense)
{
    const bool mixed = s->type == GS_Q_W4A4_FLATQUANT_DYNAMIC && dense && !r->w4a4_all;
    return mixed ? GS_Q_W8A8_DYNAMIC : s->type;
}

static gs_status check_least(const char *name, int64_t v, int64_t min, gs_error *err)
{
    if (v >= min) return GS_OK;
    return gs_fail(err, GS_ERR_USAGE, "%s = %lld is smaller than %lld.", name, (long long)v, (long long)min);
}

static gs_status check_range(const char *name, double v, double min, double max, gs_error *err)
{
    if (v >= min && v <= max) return GS_OK; /* false for NaN */
    char value[32], bound[32];
    gs_json_repr_double(v, value);
    gs_json_repr_double(v > max ? max : min, bound);
    return gs_fail(err, GS_ERR_USAGE, "%s = %s is %s than %s.", name, v != v ? "nan" : value,
                   v > max ? "larger" : "smaller", bound);
}

static gs_status check_choice(const gs_recipe *r, const char *name, const char *value, gs_error *err)
{
    (void)r;
    const gs_option *o = gs_option_find(name);
    for (int i = 0; value != NULL && o->choices[i] != NULL; i++)
        if (strcmp(o->choices[i], value) == 0) return GS_OK;
    return gs_fail(err, GS_ERR_USAGE, "argument --%s: invalid choice: '%s'", name, value != NULL ? value : "None");
}

/* Paths and words that every run needs; a recipe made by a program gets the checks the parser makes for a person. */
static gs_status check_words(const gs_recipe *r, gs_error *err)
{
    if (r->model_path == NULL || r->model_path[0] == '\0')
        return gs_fail(err, GS_ERR_USAGE, "--model_path is required: the directory of the checkpoint to quantize");
    if (r->save_directory == NULL || r->save_directory[0] == '\0')
        return gs_fail(err, GS_ERR_USAGE, "--save_directory is required: the directory to write the result to");
    GS_TRY(check_choice(r, "device_type", r->device_type, err));
    GS_TRY(check_choice(r, "save_dtype", r->save_dtype, err));
    GS_TRY(check_choice(r, "compute", r->compute, err));
    if (r->reference_compat && strcmp(r->compute, "f32") != 0)
        return gs_fail(err, GS_ERR_USAGE,
                       "--compute %s rounds what --reference_compat is to reproduce; leave one of them out",
                       r->compute);
    if (r->target != NULL) GS_TRY(check_choice(r, "target", r->target, err));
    if (r->target != NULL && r->reference_compat)
        return gs_fail(err, GS_ERR_USAGE,
                       "--target %s writes what that engine loads, --reference_compat what the script wrote, which it "
                       "may not load; leave one of them out",
                       r->target);
    GS_TRY(check_least("act_method", r->act_method, 1, err));
    if (r->act_method > 3) return gs_fail(err, GS_ERR_USAGE, "act_method = %d is larger than 3.", r->act_method);
    return check_least("threads", r->threads, 0, err);
}

/* Outliers of sparse and low-bit schemes. Changes the bit widths as the reference does. */
static gs_status check_sparse(const gs_recipe *r, gs_resolved *s, gs_str *notes, gs_error *err)
{
    GS_TRY(check_range("fraction", r->fraction, 0.01, 0.1, err));
    if (r->co_sparse && r->is_lowbit) gs_recipe_warn(notes, "co_sparse is ignored because is_lowbit is True");
    s->co_sparse = r->co_sparse && !r->is_lowbit;
    if (s->co_sparse) {
        if (s->w_bit != 4)
            gs_recipe_warn(notes,
                           "Running in sparse requires `w_bit` of 4, your config `w_bit` will replaced to 4 instead.");
        if (s->a_bit != 8)
            gs_recipe_warn(notes,
                           "Running in sparse requires `a_bit` of 8, your config `a_bit` will replaced to 8 instead.");
        s->w_bit = 4;
        s->a_bit = 8;
    } else if (r->is_lowbit && s->w_bit == 4 && s->a_bit != 8 && s->a_bit != 16) {
        return gs_fail(err, GS_ERR_USAGE, "a_bit must be among choice [8, 16], please check it.");
    }
    return GS_OK;
}

static gs_status check_lowbit(const gs_recipe *r, gs_error *err)
{
    if (gs_compat(r, GS_COMPAT_SIGMA_RANGE)) {
        GS_TRY(check_range("sigma factor", r->sigma_factor, 3.0, 4.0, err));
    } else if (r->use_sigma) {
        GS_TRY(check_range("sigma factor", r->sigma_factor, 1.0, 4.0, err));
    }
    if (r->act_method == 3 && r->is_lowbit)
        return gs_fail(err, GS_ERR_USAGE, "act_method can not be 3 when running lowbit.");
    return GS_OK;
}

static gs_status check_dynamic(const gs_recipe *r, const gs_resolved *s, gs_error *err)
{
    if (!r->is_dynamic) return GS_OK;
    if (s->w_bit != 4 && s->w_bit != 8)
        return gs_fail(err, GS_ERR_USAGE, "w_bit must be 4 or 8 when running dynamic quantization.");
    if (s->a_bit == 16) return gs_fail(err, GS_ERR_USAGE, "a_bit must be 4 or 8 when running dynamic quantization.");
    return GS_OK;
}

static gs_status check_group(const gs_recipe *r, gs_resolved *s, gs_str *notes, gs_error *err)
{
    const bool w4a8 = s->w_bit == 4 && s->a_bit == 8;
    s->per_group = r->is_lowbit && !r->open_outlier && (s->a_bit == 16 || w4a8);
    s->group_size = -1;
    s->do_smooth = r->do_smooth && !s->per_group;
    if (s->per_group) {
        const int g = r->group_size;
        if (g != 32 && g != 64 && g != 128 && g != 256)
            return gs_fail(err, GS_ERR_USAGE, "group_size must be among choice [32, 64, 128, 256], please check it.");
        s->group_size = g;
        if (r->do_smooth) gs_recipe_warn(notes, "do_smooth has no effect on per-group quantization");
        if (g == 32) gs_recipe_warn(notes, "group_size 32 is refused by MindIE; it loads 64, 128 and 256");
    }
    const bool lowbit = r->is_lowbit && (!r->is_dynamic || s->per_group || !gs_compat(r, GS_COMPAT_SPARSE_DYNAMIC));
    if (w4a8 && !s->co_sparse && !lowbit)
        return gs_fail(err, GS_ERR_USAGE,
                       "W4A8_DYNAMIC should be used with per-group quantization and dynamic quantization");
    return GS_OK;
}

static gs_status check_w4a4(const gs_recipe *r, const gs_resolved *s, gs_error *err)
{
    if (s->w_bit != 4 || s->a_bit != 4) return GS_OK;
    if (!r->is_dynamic) return gs_fail(err, GS_ERR_USAGE, "W4A4 should be used with dynamic quantization");
    if (!r->w_sym) return gs_fail(err, GS_ERR_USAGE, "W4A4 should be used with w_sym=True");
    if (!r->disable_last_linear) return gs_fail(err, GS_ERR_USAGE, "W4A4 should be used with disable_last_linear=True");
    if (r->do_smooth)
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "do_smooth with W4A4: the transform of W4A4 scales the same channels already; leave do_smooth out");
    return GS_OK;
}

static gs_status check_attention(const gs_recipe *r, gs_error *err)
{
    if (!r->use_fa_quant) return GS_OK;
    if (r->use_kvcache_quant)
        return gs_fail(err, GS_ERR_USAGE, "KV-cache and FA cannot be quantized at the same time!");
    return check_least("fa_amp", r->fa_amp, 0, err);
}

static gs_status check_anti(const gs_recipe *r, gs_error *err)
{
    const char *m = r->anti_method != NULL ? r->anti_method : "";
    if (m[0] == '\0') return GS_OK;
    if (m[0] != 'm' || m[1] < '1' || m[1] > '6' || m[2] != '\0')
        return gs_fail(err, GS_ERR_USAGE,
                       "Configuration param `anti_method` must be in choices ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']");
    if (m[1] != '3') return GS_OK; /* the script tells only m3 about the bit widths */
    if (r->w_bit != 4 && r->w_bit != 8)
        return gs_fail(err, GS_ERR_USAGE, "w_bit must be 4 or 8 (anti_method='m3'), but got %d, please check it",
                       r->w_bit);
    if (r->a_bit != 8 && r->a_bit != 16)
        return gs_fail(err, GS_ERR_USAGE, "a_bit must be 8 or 16(anti_method='m3'), but got %d, please check it.",
                       r->a_bit);
    return GS_OK;
}

/* L0, L1, … without leading zeros. Numbers beyond any layer count mean all. */
static gs_status check_level(const gs_recipe *r, gs_resolved *s, gs_error *err)
{
    const char *l = r->disable_level != NULL ? r->disable_level : "";
    const size_t digits = l[0] == 'L' ? strspn(l + 1, "0123456789") : 0;
    if (digits == 0 || l[1 + digits] != '\0' || (l[1] == '0' && digits > 1))
        return gs_fail(err, GS_ERR_USAGE,
                       "Please check the `disable_level` configuration. It is L followed by a number without leading "
                       "zeros, as L0 or L5");
    s->disable_level = 0;
    for (size_t i = 1; i <= digits; i++) {
        if (s->disable_level > (INT_MAX - 9) / 10) {
            s->disable_level = INT_MAX;
            break;
        }
        s->disable_level = s->disable_level * 10 + (l[i] - '0');
    }
    return GS_OK;
}

static gs_status check_rest(const gs_recipe *r, gs_error *err)
{
    if (r->part_file_size != 0 || gs_option_given(r, "part_file_size"))
        GS_TRY(check_least("value", r->part_file_size, 1, err));
    if (r->part_file_size > INT64_MAX >> 30)
        return gs_fail(err, GS_ERR_USAGE, "part_file_size = %lld GiB is larger than any file",
                       (long long)r->part_file_size);
    const int tp = r->tp_size;
    if (tp != 1 && tp != 2 && tp != 4 && tp != 8 && tp != 16)
        return gs_fail(err, GS_ERR_USAGE, "tp_size should be in f[2, 4, 8, 16], but got %d. (1: no simulation)", tp);
    return GS_OK;
}

static gs_status find_type(const gs_recipe *r, gs_resolved *s, gs_error *err)
{
    const int w = s->w_bit, a = s->a_bit;
    if (w == 16 && a == 16)
        s->type = GS_Q_FLOAT;
    else if (w == 8 && a == 8)
        s->type = r->is_dynamic ? GS_Q_W8A8_DYNAMIC : GS_Q_W8A8;
    else if (w == 8 && a == 16)
        s->type = GS_Q_W8A16;
    else if (w == 4 && a == 16)
        s->type = GS_Q_W4A16;
    else if (w == 4 && a == 8)
        s->type = !r->is_dynamic ? GS_Q_W8A8S : s->per_group ? GS_Q_W4A8_DYNAMIC : GS_Q_W8A8_DYNAMIC;
    else if (w == 4 && a == 4)
        s->type = GS_Q_W4A4_FLATQUANT_DYNAMIC;
    else
        return gs_fail(
            err, GS_ERR_USAGE,
            "w_bit = %d with a_bit = %d is not a quantization type: use w8a8, w8a16, w4a16, w4a8, w4a4 or w16a16", w,
            a);
    s->lowbit_class = r->is_lowbit && s->type != GS_Q_FLOAT;
    return GS_OK;
}

/* Cards and what they exchange. The script itself writes nothing but a key for one card. */
static gs_status check_cards(const gs_recipe *r, gs_resolved *s, gs_error *err)
{
    s->ranks = r->tp_size;
    s->comm = r->use_reduce_quant && (s->ranks > 1 || !gs_compat(r, GS_COMPAT_REDUCE_KEY_ONLY));
    s->comm_per_rank = s->comm && r->reduce_per_device;
    if (s->type != GS_Q_W4A4_FLATQUANT_DYNAMIC || (s->ranks == 1 && !s->comm)) return GS_OK;
    return gs_fail(
        err, GS_ERR_UNSUPPORTED,
        "tp_size %d%s with type %s: its transforms mix the whole input of a linear, which cards would have to "
        "share; leave out tp_size and use_reduce_quant",
        r->tp_size, r->use_reduce_quant ? " and use_reduce_quant" : "", gs_quant_type_name(s->type));
}

static gs_status check_device(const gs_recipe *r, gs_str *notes, gs_error *err)
{
    if (strcmp(r->device_type, "npu") != 0) return GS_OK;
    if (r->strict_device)
        return gs_fail(err, GS_ERR_UNSUPPORTED,
                       "device_type npu: there is no Ascend runtime on this machine; leave out --strict_device to "
                       "compute on the CPU with "
                       "the same method and file layout");
    gs_recipe_warn(notes, "device_type npu: there is no Ascend runtime on this machine; computing on the CPU with the "
                          "same method and file layout");
    return GS_OK;
}

gs_status gs_recipe_resolve(const gs_recipe *r, gs_resolved *out, gs_str *notes, gs_error *err)
{
    gs_resolved s = {.w_bit = r->w_bit, .a_bit = r->a_bit};
    GS_TRY(gs_recipe_check_strings(r, notes, err));
    GS_TRY(check_words(r, err));
    if (r->a_bit == 8 && !r->w_sym)
        return gs_fail(err, GS_ERR_USAGE, "w_sym should be True when a_bit = 8, please check it");
    GS_TRY(check_sparse(r, &s, notes, err));
    GS_TRY(check_lowbit(r, err));
    GS_TRY(check_dynamic(r, &s, err));
    GS_TRY(check_group(r, &s, notes, err));
    GS_TRY(check_w4a4(r, &s, err));
    GS_TRY(check_attention(r, err));
    GS_TRY(check_anti(r, err));
    GS_TRY(check_level(r, &s, err));
    GS_TRY(check_rest(r, err));
    GS_TRY(find_type(r, &s, err));
    s.sparse_dynamic = s.type == GS_Q_W8A8_DYNAMIC && s.w_bit == 4;
    GS_TRY(check_cards(r, &s, err));
    GS_TRY(check_device(r, notes, err));
    GS_TRY(gs_size_parse("max_memory", r->max_memory, &s.max_memory, err));
    GS_TRY(check_range("checkpoint_interval", r->checkpoint_interval, 0, 1e9, err));
    s.npu_dtypes = strcmp(r->save_dtype, "checkpoint") == 0;
    s.extras = !r->no_extras && !r->reference_compat;
    gs_recipe_note_unused(r, &s, notes);
    *out = s;
    return GS_OK;
}
