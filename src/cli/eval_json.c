/* Eval as JSON: everything but tokens one by one. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/eval.h"
#include "io/json.h"

static void put_perplexity(gs_json_out *j, const gs_eval_model *m)
{
    gs_json_put_double(j, "perplexity", m->perplexity);
    gs_json_put_double(j, "perplexity_se", m->perplexity_se);
    gs_json_put_double(j, "nll", m->nll);
    gs_json_put_double(j, "nll_se", m->nll_se);
}

static void put_choices(gs_json_out *j, const gs_eval *e, const gs_eval_model *m)
{
    const gs_eval_accuracy *a = &m->choices;
    if (e->questions == 0) return;
    gs_json_out_key(j, "choices");
    gs_json_out_begin(j, '{');
    gs_json_put_int(j, "questions", e->questions);
    gs_json_put_int(j, "correct", a->correct);
    gs_json_put_double(j, "accuracy", a->accuracy);
    gs_json_put_double(j, "accuracy_low", a->low);
    gs_json_put_double(j, "accuracy_high", a->high);
    gs_json_put_int(j, "correct_per_byte", a->correct_per_byte);
    gs_json_put_double(j, "accuracy_per_byte", a->accuracy_per_byte);
    gs_json_put_double(j, "accuracy_per_byte_low", a->low_per_byte);
    gs_json_put_double(j, "accuracy_per_byte_high", a->high_per_byte);
    if (m->linears > 0) gs_json_put_double(j, "agreement", a->agreement);
    gs_json_out_end(j);
}

static void put_layers(gs_json_out *j, const gs_eval *e, const gs_eval_model *m)
{
    gs_json_out_key(j, "linears");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < m->linears; i++) {
        gs_json_out_begin(j, '{');
        gs_json_put_text(j, "name", m->linear[i].name);
        gs_json_put_text(j, "type", m->linear[i].type);
        gs_json_put_double(j, "sqnr_db", m->linear[i].sqnr_db);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "blocks");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < e->layers; i++) {
        gs_json_out_begin(j, '{');
        gs_json_put_double(j, "cosine", m->block[i].cosine);
        gs_json_put_double(j, "cosine_min", m->block[i].cosine_min);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_quant(gs_json_out *j, const gs_eval *e, const gs_eval_model *m)
{
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "path", m->path);
    gs_json_put_text(j, "type", m->type);
    gs_json_put_bool(j, "kv_cache", m->kv);
    gs_json_put_bool(j, "attention", m->fa);
    if (e->tokens > 0) {
        put_perplexity(j, m);
        gs_json_put_double(j, "ratio", m->ratio);
        gs_json_put_double(j, "ratio_se", m->ratio_se);
        gs_json_put_bool(j, "noise", m->noise);
        gs_json_put_double(j, "kl_mean", m->kl_mean);
        gs_json_put_double(j, "kl_se", m->kl_se);
        gs_json_put_double(j, "kl_median", m->kl_median);
        gs_json_put_double(j, "kl_p99", m->kl_p99);
        gs_json_put_double(j, "kl_max", m->kl_max);
        gs_json_put_double(j, "top1_agreement", m->top1_agreement);
        gs_json_put_double(j, "top5_same", m->top5_same);
        gs_json_put_double(j, "top5_overlap", m->top5_overlap);
    }
    put_choices(j, e, m);
    put_layers(j, e, m);
    gs_json_out_end(j);
}

char *gs_eval_json(const gs_eval *e, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "path", e->exact.path);
    gs_json_put_int(j, "tokens", e->tokens);
    if (e->tokens > 0) {
        gs_json_put_int(j, "windows", e->windows);
        gs_json_put_int(j, "context", e->context);
        gs_json_put_int(j, "stride", e->stride);
        gs_json_put_int(j, "prefix", e->prefix);
        put_perplexity(j, &e->exact);
    }
    put_choices(j, e, &e->exact);
    gs_json_out_key(j, "quantized");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < e->quants; i++) put_quant(j, e, &e->quant[i]);
    gs_json_out_end(j);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
