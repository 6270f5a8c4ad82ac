/* Which linears stay float, and why: --disable_names or the default fallback, the last linear, --disable_level. The reference
 * excludes linears from quantization in this order; a linear keeps the first reason. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "job/job.h"
#include "model/forward.h"
#include "recipe/compat.h"

#define NAME_BYTES 640

int gs_job_linear(int block, gs_role role) { return block * GS_ROLES + (int)role; }

bool gs_job_is_quantized(const gs_job *job, int linear) { return job->choice[linear].type != GS_Q_FLOAT; }

/* act_method 3 chooses by score wherever inputs are quantized, in types with dynamic activations too. */
static bool chooses_by_score(const gs_job *job)
{
    const bool w4a4 = job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
    return job->recipe->act_method == 3 && job->resolved.a_bit == 8 && !w4a4 && !job->data_free;
}

bool gs_job_scores_ahead(const gs_job *job)
{
    const bool level = job->resolved.disable_level > 0 && !job->resolved.lowbit_class;
    return level || (job->recipe->use_fa_quant && job->recipe->fa_amp > 0 && chooses_by_score(job));
}

bool gs_job_wants_scores(const gs_job *job)
{
    return chooses_by_score(job) && job->calibrated.count > 0 && !gs_job_scores_ahead(job);
}

gs_observer_kind gs_job_observer_kind(const gs_job *job, int linear)
{
    if (job->recipe->act_method == 3) return gs_score_observer(&job->score[linear]);
    return job->recipe->act_method == 2 ? GS_OBSERVE_HISTOGRAM : GS_OBSERVE_MINMAX;
}

static gs_quant_type first_type(const gs_job *job, int linear)
{
    return gs_linear_type(job->recipe, &job->resolved, linear < job->n_linears - 1 && linear % GS_ROLES == GS_DENSE);
}

bool gs_job_any_w4a4(const gs_job *job, int from)
{
    for (int i = from; i < job->n_linears; i++)
        if (job->choice[i].type == GS_Q_W4A4_FLATQUANT_DYNAMIC) return true;
    return false;
}

static void linear_name(const gs_job *job, int linear, char *buf, size_t n)
{
    if (linear == job->n_linears - 1) {
        snprintf(buf, n, "%s", job->family->head);
        return;
    }
    gs_linear_name(job->family, linear / GS_ROLES, (gs_role)(linear % GS_ROLES), "", buf, n);
}

static void keep_float(gs_job *job, int linear, const char *why)
{
    if (job->choice[linear].type == GS_Q_FLOAT) return;
    job->choice[linear] = (gs_choice){.type = GS_Q_FLOAT, .why_float = why};
}

typedef struct named {
    char *name;
    int linear;
} named;

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static int compare_key(const void *key, const void *element) { return strcmp(key, ((const named *)element)->name); }

/* With use_fa_quant a name may also be an attention module's: that one is not observed. */
static bool skip_attention(gs_job *job, const char *name)
{
    for (int b = 0; job->fa && b < job->config.layers; b++) {
        char attention[NAME_BYTES];
        gs_attention_name(job->family, b, "", attention, sizeof attention);
        if (strcmp(name, attention) != 0) continue;
        job->fa[b] = false;
        return true;
    }
    return false;
}

/* Exact, whole-name matches only, as in the reference: no patterns. */
static gs_status apply_names(gs_job *job, const named *table, gs_error *err)
{
    for (const char *const *name = job->recipe->disable_names; *name; name++) {
        if (skip_attention(job, *name)) continue;
        const named *hit = bsearch(*name, table, (size_t)job->n_linears, sizeof *table, compare_key);
        if (!hit) {
            char example[NAME_BYTES];
            linear_name(job, 0, example, sizeof example);
            return gs_fail(err, GS_ERR_USAGE,
                           "`disable_names` has invalid key `%s`, please check your model configurations. Names are "
                           "whole names of "
                           "linears, separated by spaces, such as %s",
                           *name, example);
        }
        keep_float(job, hit->linear, "disable_names");
    }
    return GS_OK;
}

static gs_status apply_disable_names(gs_job *job, gs_error *err)
{
    named *table = gs_alloc_array((size_t)job->n_linears, sizeof *table);
    gs_arena *arena = gs_arena_create();
    for (int i = 0; i < job->n_linears; i++) {
        char name[NAME_BYTES];
        linear_name(job, i, name, sizeof name);
        table[i] = (named){gs_arena_strdup(arena, name), i};
    }
    qsort(table, (size_t)job->n_linears, sizeof *table, compare_named);
    const gs_status status = apply_names(job, table, err);
    gs_arena_free(arena);
    gs_free(table);
    return status;
}

/* The reference's do_smooth renames the attention, so a linear there that was to stay float by name is quantized after all. The
 * low-bit ranking comes after the renaming and chooses modules, not names. */
static void forget_wrapped(gs_job *job)
{
    if (!job->resolved.do_smooth || !gs_compat(job->recipe, GS_COMPAT_SMOOTH_NAMES)) return;
    for (int b = 0; b < job->config.layers; b++)
        for (int role = GS_QKV; role <= GS_DENSE; role++)
            job->choice[gs_job_linear(b, (gs_role)role)] = (gs_choice){.type = job->resolved.type};
}

gs_status gs_job_choose(gs_job *job, gs_error *err)
{
    const int layers = (int)job->config.layers;
    job->n_linears = layers * GS_ROLES + 1;
    job->choice = gs_alloc_array((size_t)job->n_linears, sizeof *job->choice);
    job->score = gs_alloc_array((size_t)job->n_linears, sizeof *job->score);
    for (int i = 0; i < job->n_linears; i++) job->choice[i].type = first_type(job, i);
    if (job->recipe->use_fa_quant) {
        job->fa = gs_alloc_array((size_t)layers, sizeof *job->fa);
        job->fa_score = gs_alloc_array((size_t)layers, sizeof *job->fa_score);
        for (int b = 0; b < layers; b++) job->fa[b] = true;
        job->fa_pending = job->recipe->fa_amp > 0;
    }
    if (job->recipe->disable_names && job->recipe->disable_names[0])
        GS_TRY(apply_disable_names(job, err));
    else if (job->recipe->a_bit == 8 || (job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC && !job->recipe->w4a4_all))
        for (int b = 0; b < layers; b++) keep_float(job, gs_job_linear(b, GS_4H), "default fallback");
    if (job->recipe->disable_last_linear) keep_float(job, job->n_linears - 1, "last linear");
    job->max_input = gs_alloc_array((size_t)job->n_linears, sizeof *job->max_input);
    job->level_pending = job->resolved.disable_level > 0;
    if (!job->level_pending || job->resolved.lowbit_class) forget_wrapped(job);
    return GS_OK;
}

typedef struct ranked {
    float score;
    int linear;
} ranked;

/* Descending score; equal scores keep execution order. */
static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->linear - y->linear;
}

/* The low-bit class ranks by the first sample's largest input, the others by score. */
void gs_job_choose_level(gs_job *job)
{
    const bool lowbit = job->resolved.lowbit_class;
    ranked *list = gs_alloc_array((size_t)job->n_linears, sizeof *list);
    int n = 0;
    for (int i = 0; i < job->n_linears; i++)
        if (gs_job_is_quantized(job, i))
            list[n++] = (ranked){lowbit ? job->max_input[i] : gs_score_value(&job->score[i]), i};
    qsort(list, (size_t)n, sizeof *list, compare_ranked);
    for (int i = 0; i < n && i < job->resolved.disable_level; i++) {
        keep_float(job, list[i].linear, "disable_level");
        job->choice[list[i].linear].first_sample = lowbit;
        job->choice[list[i].linear].dropped = lowbit && gs_compat(job->recipe, GS_COMPAT_LOWBIT_LAYERS_DROPPED);
    }
    job->level_pending = false;
    if (!lowbit) forget_wrapped(job);
    gs_free(list);
}

bool gs_job_any_attention(const gs_job *job, int from)
{
    for (int b = from; job->fa && b < job->config.layers; b++)
        if (job->fa[b]) return true;
    return false;
}

void gs_job_choose_attention(gs_job *job)
{
    const int layers = (int)job->config.layers, amp = job->recipe->fa_amp;
    ranked *list = gs_alloc_array((size_t)layers, sizeof *list);
    int n = 0;
    for (int b = 0; b < layers; b++)
        if (job->fa[b]) list[n++] = (ranked){job->fa_score[b], b};
    qsort(list, (size_t)n, sizeof *list, compare_ranked);
    if (amp > n)
        gs_job_message(job, GS_WARNING,
                       "`fa_amp` exceeds the total attention layer number (%d): attention stays float everywhere", n);
    for (int i = 0; i < n && i < amp; i++) {
        char name[NAME_BYTES];
        job->fa[list[i].linear] = false;
        gs_job_message(job, GS_INFO, "fa_amp: %s stays float (score %.4g)",
                       gs_attention_name(job->family, list[i].linear, "", name, sizeof name), (double)list[i].score);
    }
    job->fa_pending = false;
    gs_free(list);
}

/* Types with static activations, W4A4, quantized attention and quantized communication calibrate on every sample. do_smooth and the rankings of the low-bit class
 * and of attention look at the first only. */
void gs_job_set_streams(gs_job *job)
{
    bool quantized = false;
    for (int i = 0; i < job->n_linears; i++) quantized = quantized || gs_job_is_quantized(job, i);
    const bool ranking = job->fa_pending || (job->level_pending && job->resolved.lowbit_class);
    const bool wants_all = (quantized && gs_scheme_get(job->resolved.type)->static_input) || gs_job_any_w4a4(job, 0) ||
                           gs_job_any_attention(job, 0) || job->resolved.comm;
    const bool first = ranking || job->resolved.do_smooth;
    job->calibrated = job->samples;
    if ((ranking || !wants_all) && job->samples.count > 0) job->calibrated.count = first ? 1 : 0;
    job->calibrated.tokens = job->calibrated.count > 0 ? job->samples.start[job->calibrated.count] : 0;
}

/* Does anything look at hidden states? Otherwise rows are enough. */
bool gs_job_needs_blocks(const gs_job *job)
{
    const gs_recipe *r = job->recipe;
    const bool kv = r->use_kvcache_quant && !job->data_free;
    return job->calibrated.count > 0 || kv || gs_job_wants_scores(job) || job->smoother || job->resolved.do_smooth ||
           job->resolved.ranks > 1 || job->resolved.comm;
}

bool gs_job_uses_texts(const gs_job *job)
{
    return gs_job_needs_blocks(job) || job->resolved.disable_level > 0 || job->fa_pending;
}

/* The last role of the block that is quantized, or -1. */
static int last_quantized(const gs_job *job, int block)
{
    for (int role = GS_ROLES - 1; role >= 0; role--)
        if (gs_job_is_quantized(job, gs_job_linear(block, (gs_role)role))) return role;
    return -1;
}

static bool later_quantized(const gs_job *job, int block)
{
    for (int i = gs_job_linear(block + 1, GS_QKV); i < job->n_linears; i++)
        if (gs_job_is_quantized(job, i)) return true;
    return false;
}

/* Work behind the last input anybody looks at is skipped. The stop nearest behind QKV's input is its output. */
static int until_input(int role)
{
    static const int until[GS_ROLES] = {GS_UNTIL_QKV_OUTPUT, GS_UNTIL_DENSE_INPUT, GS_UNTIL_H4_INPUT,
                                        GS_UNTIL_4H_INPUT};
    return role < 0 ? GS_UNTIL_NOTHING : until[role];
}

int gs_job_calibrate_until(const gs_job *job, int block)
{
    if (job->calibrated.count == 0) return GS_UNTIL_NOTHING;
    const bool smooths = job->resolved.do_smooth && block + 1 < job->config.layers; /* before floats too */
    if (smooths || later_quantized(job, block) || gs_job_any_attention(job, block + 1) || job->resolved.comm)
        return GS_UNTIL_END;
    const int until = until_input(last_quantized(job, block));
    const bool attention = job->fa && job->fa[block];
    return attention && until < (int)GS_UNTIL_DENSE_INPUT ? (int)GS_UNTIL_DENSE_INPUT : until;
}

int gs_job_float_until(const gs_job *job, int block)
{
    const bool ahead = gs_job_scores_ahead(job) && (job->level_pending || job->fa_pending);
    const bool scores = ahead || gs_job_wants_scores(job);
    const bool kv = job->recipe->use_kvcache_quant && !job->kv_from_anti && !job->level_pending && !job->data_free;
    const bool later_kv = kv && block + 1 < job->config.layers;
    if (later_kv || (scores && later_quantized(job, block))) return GS_UNTIL_END;
    const int until = scores ? until_input(last_quantized(job, block)) : GS_UNTIL_NOTHING;
    const gs_until kv_until =
        gs_compat(job->recipe, GS_COMPAT_KV_BEFORE_ROPE) ? GS_UNTIL_QKV_OUTPUT : GS_UNTIL_DENSE_INPUT;
    if (kv && until < (int)kv_until) return (int)kv_until;
    return until;
}
