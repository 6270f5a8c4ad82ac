/* Owns the choice of a rule from a recipe, the form of what it writes, and the loop over rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/rule_row.h"

#include <stdio.h>

#include "recipe/compat.h"

#define BIAS_PARTS 16 /* scale_bias of row-parallel linears: parts of the input, whatever number of cards loads it */

static gs_weight_kind kind_of(const gs_resolved *s)
{
    if (s->type == GS_Q_FLOAT) return GS_WEIGHT_NONE;
    if (s->type == GS_Q_W4A4_FLATQUANT_DYNAMIC) return GS_WEIGHT_NORMAL; /* of its W8A8_DYNAMIC linears */
    if (s->co_sparse) return GS_WEIGHT_SPARSE_GLOBAL;
    if (s->per_group && s->type == GS_Q_W8A8S) return GS_WEIGHT_MERGED;
    if (s->per_group && s->type == GS_Q_W4A8_DYNAMIC) return GS_WEIGHT_TWO_STAGE;
    if (s->per_group) return GS_WEIGHT_GROUP;
    if (!s->lowbit_class) return GS_WEIGHT_NORMAL;
    if (s->w_bit == 8) return GS_WEIGHT_LOWBIT;
    return s->a_bit == 16 ? GS_WEIGHT_SPLIT : GS_WEIGHT_SPARSE_ROW;
}

void gs_weight_rule_from(const gs_recipe *recipe, const gs_resolved *resolved, bool data_free, gs_weight_rule *rule)
{
    const gs_weight_kind kind = kind_of(resolved);
    const bool eight = resolved->type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
    const bool sparse = kind == GS_WEIGHT_SPARSE_GLOBAL || kind == GS_WEIGHT_SPARSE_ROW || kind == GS_WEIGHT_MERGED;
    *rule = (gs_weight_rule){
        .kind = kind,
        .bits = sparse || eight ? 8 : resolved->w_bit,
        .sym = sparse || kind == GS_WEIGHT_TWO_STAGE || recipe->w_sym,
        .group_size = resolved->per_group ? resolved->group_size : 0,
        .fraction = recipe->fraction,
        .use_sigma = recipe->use_sigma && kind != GS_WEIGHT_SPARSE_GLOBAL,
        .sigma = !data_free && gs_compat(recipe, GS_COMPAT_SIGMA_THREE) ? 3.0 : recipe->sigma_factor,
        .holds_outliers = kind == GS_WEIGHT_SPLIT && !gs_compat(recipe, GS_COMPAT_OUTLIERS_CLIPPED),
        .mm_tensor = recipe->mm_tensor && !resolved->per_group && kind != GS_WEIGHT_NONE,
        .forward_is_w = kind == GS_WEIGHT_TWO_STAGE && gs_compat(recipe, GS_COMPAT_FLOAT_PRODUCTS),
    };
}

static gs_nibbles nibbles_of(const gs_weight_rule *rule, int64_t scale_columns)
{
    if (rule->bits != 4 || rule->kind == GS_WEIGHT_NONE) return GS_NIBBLES_NONE;
    if (rule->kind == GS_WEIGHT_TWO_STAGE) return GS_NIBBLES_OUT;
    return scale_columns == 1 ? GS_NIBBLES_IN : GS_NIBBLES_OUT; /* a single group counts as one scale per row */
}

gs_weight_layout gs_weight_layout_from(const gs_weight_rule *rule, const gs_recipe *recipe, bool one_per_byte,
                                       bool row_parallel, int64_t in)
{
    gs_weight_layout l = {.scale_columns = 1};
    const int64_t groups = rule->group_size > 0 ? in / rule->group_size : 0;
    const bool stages = rule->kind == GS_WEIGHT_TWO_STAGE;
    if (rule->kind == GS_WEIGHT_GROUP) l.scale_columns = groups;
    if (stages) l.second_columns = groups;
    if (!one_per_byte) l.nibbles = nibbles_of(rule, l.scale_columns);
    if (stages && !one_per_byte)
        l.scale_bias_columns = gs_compat(recipe, GS_COMPAT_SCALE_BIAS_FULL) ? in : row_parallel ? BIAS_PARTS : 1;
    l.one_scale = rule->mm_tensor && gs_compat(recipe, GS_COMPAT_MM_TENSOR_SHAPES);
    l.scales_f32 = rule->kind == GS_WEIGHT_LOWBIT || rule->kind == GS_WEIGHT_SPLIT || rule->kind == GS_WEIGHT_GROUP ||
                   rule->kind == GS_WEIGHT_SPARSE_ROW || stages;
    return l;
}

gs_weight_layout gs_weight_layout_rank(const gs_weight_rule *rule, const gs_recipe *recipe, bool one_per_byte,
                                       int ranks, int64_t in)
{
    gs_weight_layout l = gs_weight_layout_from(rule, recipe, one_per_byte, true, in / ranks);
    /* Each card has its share of the parts. */
    if (l.scale_bias_columns > 0 && !gs_compat(recipe, GS_COMPAT_SCALE_BIAS_FULL)) l.scale_bias_columns /= ranks;
    return l;
}

static void fitting_groups(int64_t in, char text[32])
{
    size_t at = 0;
    text[0] = '\0';
    for (int g = 32; g <= 256; g *= 2) {
        if (in % g == 0) at += (size_t)snprintf(text + at, 32 - at, "%s%d", at > 0 ? ", " : "", g);
    }
    if (at == 0) (void)snprintf(text, 32, "none");
}

gs_status gs_weight_check(const gs_weight_rule *rule, const gs_weight_layout *layout, const char *name, int64_t out,
                          int64_t in, gs_error *err)
{
    if (rule->kind == GS_WEIGHT_NONE) return GS_OK;
    if (out < 1 || in < 1)
        return gs_fail(err, GS_ERR_UNSUPPORTED, "%s: a weight of %lld x %lld has nothing to quantize", name,
                       (long long)out, (long long)in);
    if (rule->group_size > 0 && in % rule->group_size != 0) {
        char fits[32];
        fitting_groups(in, fits);
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "%s: its %lld inputs cannot be divided into groups of group_size %d. Group sizes that fit: %s; or name it "
            "in --disable_names",
            name, (long long)in, rule->group_size, fits);
    }
    const bool odd =
        (layout->nibbles == GS_NIBBLES_IN && in % 2 != 0) || (layout->nibbles == GS_NIBBLES_OUT && out % 2 != 0);
    if (odd)
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "%s: int4 codes are packed in pairs along its %s, of which there are %lld: n dimension should be "
            "even. Use --mindie_format, which does not pack, or name it in --disable_names",
            name, layout->nibbles == GS_NIBBLES_IN ? "inputs" : "outputs",
            (long long)(layout->nibbles == GS_NIBBLES_IN ? in : out));
    if (layout->scale_bias_columns > 0 && in % layout->scale_bias_columns != 0)
        return gs_fail(err, GS_ERR_UNSUPPORTED,
                       "%s: scale_bias is summed over %lld equal parts of the input, which its %lld inputs cannot be "
                       "divided into; name it in --disable_names",
                       name, (long long)layout->scale_bias_columns, (long long)in);
    return GS_OK;
}

gs_weight_codes gs_weight_codes_row(const gs_weight_rule *rule, const gs_weight_codes *to, int64_t in, int64_t r)
{
    const int64_t groups = rule->group_size > 0 ? in / rule->group_size : 1;
    const int64_t columns = rule->kind == GS_WEIGHT_GROUP ? groups : 1;
    gs_weight_codes row = *to;
    row.codes += r * in;
    row.scale += r * columns;
    if (row.offset) row.offset += r * columns;
    if (row.scale_second) row.scale_second += r * groups;
    if (row.scale_bias) row.scale_bias += r * row.scale_bias_columns;
    if (row.row_sum) row.row_sum += r;
    if (row.forward) row.forward += r * in;
    return row;
}

void gs_weight_apply_row(const gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats, int64_t in,
                         const float *w, const gs_weight_codes *to)
{
    const gs_row row = {c, in, w, to->codes, to->scale, to->offset, to->scale_second, to->forward};
    switch (rule->kind) {
    case GS_WEIGHT_NORMAL:
    case GS_WEIGHT_LOWBIT:
        gs_row_channel(rule, stats, &row);
        break;
    case GS_WEIGHT_GROUP:
        gs_row_group(rule, &row);
        break;
    case GS_WEIGHT_SPLIT:
    case GS_WEIGHT_SPARSE_ROW:
    case GS_WEIGHT_SPARSE_GLOBAL:
        gs_row_outliers(rule, stats, &row);
        break;
    case GS_WEIGHT_TWO_STAGE:
    case GS_WEIGHT_MERGED:
        gs_row_stages(rule, &row);
        break;
    case GS_WEIGHT_NONE:
    case GS_WEIGHT_KINDS:
        return;
    }
    if (to->scale_bias && rule->kind == GS_WEIGHT_TWO_STAGE)
        gs_row_scale_bias(rule, &row, to->scale_bias_columns, to->scale_bias);
    if (to->row_sum) *to->row_sum = gs_row_code_sum(row.codes, in);
}

typedef struct apply_job {
    const gs_compute *c;
    const gs_weight_rule *rule;
    const gs_weight_stats *stats;
    int64_t rows, in, rows_per_task;
    const float *w;
    const gs_weight_codes *to;
} apply_job;

static void apply_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const apply_job *job = ctx;
    const int64_t first = task * job->rows_per_task;
    for (int64_t r = first; r < job->rows && r < first + job->rows_per_task; r++) {
        const gs_weight_codes to = gs_weight_codes_row(job->rule, job->to, job->in, r);
        gs_weight_apply_row(job->c, job->rule, job->stats, job->in, job->w + r * job->in, &to);
    }
}

void gs_weight_apply(gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats, int64_t rows, int64_t in,
                     const float *w, const gs_weight_codes *to)
{
    if (in < 1) return;
    apply_job job = {.c = c, .rule = rule, .stats = stats, .rows = rows, .in = in, .w = w, .to = to};
    job.rows_per_task = gs_row_task_rows(in);
    gs_pool_run(c->pool, (rows + job.rows_per_task - 1) / job.rows_per_task, apply_task, &job);
}
