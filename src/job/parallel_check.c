/* Cards: what is refused before any work, and what is said about the result. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "job/parallel.h"

/* "mlp.dense_4h_to_h of layers 0-2, 5"; empty where none is quantized. */
static void name_quantized(const gs_job *job, gs_role role, gs_str *out)
{
    int first = -1;
    for (int b = 0; b <= job->config.layers; b++) {
        const bool quantized = b < job->config.layers && gs_job_is_quantized(job, gs_job_linear(b, role));
        if (quantized && first < 0) first = b;
        if (quantized || first < 0) continue;
        if (out->len == 0)
            gs_str_printf(out, "%s of layers %d", job->family->linear[role], first);
        else
            gs_str_printf(out, ", %d", first);
        if (b - 1 > first) gs_str_printf(out, "-%d", b - 1);
        first = -1;
    }
}

static gs_status check_cut(const gs_job *job, gs_role role, gs_error *err)
{
    int64_t out, in;
    const int ranks = job->resolved.ranks;
    gs_role_shape(&job->config, role, &out, &in);
    if (in % ranks == 0) return GS_OK;
    return gs_fail(err, GS_ERR_USAGE, "tp_size %d: the %lld inputs of %s cannot be divided into %d equal parts", ranks,
                   (long long)in, job->family->linear[role], ranks);
}

/* The weight rule on a card's part. */
static gs_status check_part(const gs_job *job, gs_role role, const char *name, gs_error *err)
{
    int64_t out, in;
    const int ranks = job->resolved.ranks;
    gs_role_shape(&job->config, role, &out, &in);
    const gs_weight_layout layout =
        gs_weight_layout_rank(&job->rule, job->recipe, job->recipe->mindie_format, ranks, in);
    gs_str part;
    gs_str_init(&part);
    gs_str_printf(&part, "%s, on one of %d cards", name, ranks);
    const gs_status status = gs_weight_check(&job->rule, &layout, part.data, out, in / ranks, err);
    gs_str_release(&part);
    return status;
}

/* The reference fails where a card's rows are too short for the share of outliers. */
static void note_outliers(const gs_job *job, gs_role role, const char *name)
{
    int64_t out, in;
    const gs_weight_rule *rule = &job->rule;
    gs_role_shape(&job->config, role, &out, &in);
    const int64_t width = in / job->resolved.ranks;
    const bool by_row = rule->kind == GS_WEIGHT_SPLIT || rule->kind == GS_WEIGHT_SPARSE_ROW;
    if (by_row && !rule->use_sigma && (double)width * rule->fraction < 1.0)
        gs_job_message(job, GS_INFO,
                       "%s: fraction %g of a card's %lld inputs is less than one; one outlier per row is kept", name,
                       rule->fraction, (long long)width);
}

static gs_status check_role(const gs_job *job, gs_role role, gs_error *err)
{
    GS_TRY(check_cut(job, role, err));
    gs_str name;
    gs_str_init(&name);
    name_quantized(job, role, &name);
    gs_status status = GS_OK;
    if (name.len > 0) status = check_part(job, role, name.data, err);
    if (status == GS_OK && name.len > 0) note_outliers(job, role, name.data);
    gs_str_release(&name);
    return status;
}

static void warn(const gs_job *job)
{
    const gs_resolved *r = &job->resolved;
    if (r->ranks > 1 && gs_compat(job->recipe, GS_COMPAT_TP_LAYOUT))
        gs_job_message(
            job, GS_WARNING,
            "tp_size %d with --reference_compat: only the cards' own tensors (tp_list) are written, which no "
            "engine reads",
            r->ranks);
    else if (r->ranks > 1)
        gs_job_message(
            job, GS_WARNING,
            "tp_size %d: no engine reads the cards' own tensors (tp_list). MindIE loads the plain ones beside "
            "them; vllm-ascend refuses names that it does not know",
            r->ranks);
    if (r->comm && r->ranks == 1)
        gs_job_message(job, GS_WARNING,
                       "use_reduce_quant with tp_size 1: reduce_scale and gather_scale are the ranges of one card; no "
                       "engine quantizes communication below two cards");
    else if (r->comm)
        gs_job_message(
            job, GS_WARNING,
            "use_reduce_quant: MindIE quantizes communication in models of other families only; for this one "
            "it loads the scales of dense_4h_to_h and does not use them. vllm-ascend refuses the tensors%s",
            r->comm_per_rank ? ". No engine reads reduce_scale.0, reduce_scale.1, …" : "");
}

gs_status gs_cards_check(const gs_job *job, gs_error *err)
{
    for (int role = 0; role < GS_ROLES; role++)
        if (gs_cards_cut(job, (gs_role)role)) GS_TRY(check_role(job, (gs_role)role, err));
    warn(job);
    return GS_OK;
}
