/* An analysis as JSON: linears and their inputs once, then every scheme's ranking. SPDX-License-Identifier: Apache-2.0 */
#include "cli/analyze.h"
#include "io/json.h"

#define FORMAT_VERSION 1

static void put_input(gs_json_out *j, const gs_input_figures *f)
{
    gs_json_put_double(j, "min", f->min);
    gs_json_put_double(j, "max", f->max);
    gs_json_put_double(j, "kurtosis", f->kurtosis);
    gs_json_put_double(j, "median_channel", f->median);
    gs_json_put_int(j, "outlier_channels", f->outliers);
    gs_json_out_key(j, "largest_channels");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < f->top; i++) {
        gs_json_out_begin(j, '{');
        gs_json_put_int(j, "channel", f->channel[i]);
        gs_json_put_double(j, "ratio", f->ratio[i]);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_linears(gs_json_out *j, const gs_analysis *a)
{
    gs_json_out_key(j, "linears");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < a->linears; i++) {
        const gs_analyze_linear *l = &a->linear[i];
        gs_json_out_begin(j, '{');
        gs_json_put_text(j, "name", l->name);
        gs_json_put_int(j, "out", l->out);
        gs_json_put_int(j, "in", l->in);
        put_input(j, &l->input);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_trial(gs_json_out *j, const gs_analysis *a, const gs_trial_figures *f)
{
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "name", a->linear[f->linear].name);
    gs_json_put_text(j, "type", f->type);
    gs_json_put_bool(j, "measured", f->measured);
    if (f->measured) {
        gs_json_put_double(j, "loss", f->loss);
        if (a->kl) gs_json_put_double(j, "kl", f->kl);
        if (a->kl) gs_json_put_double(j, "kl_se", f->kl_se);
    }
    gs_json_put_bool(j, "stays_float", f->kept);
    gs_json_put_bool(j, "chosen", f->chosen);
    gs_json_put_int(j, "bytes", (int64_t)f->bytes);
    gs_json_put_int(j, "float_bytes", (int64_t)f->float_bytes);
    gs_json_out_end(j);
}

static void put_scheme(gs_json_out *j, const gs_analysis *a, const gs_analyze_scheme *s)
{
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "scheme", s->name);
    gs_json_put_text(j, "type", s->type);
    gs_json_put_text(j, "options", s->options);
    gs_json_put_int(j, "bytes", (int64_t)s->bytes);
    gs_json_put_int(j, "extra_bytes", (int64_t)s->extra_bytes);
    gs_json_put_double(j, "removed", s->removed);
    gs_json_out_key(j, "disable_names");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < s->linears; i++)
        if (s->rank[i].chosen) gs_json_out_string(j, a->linear[s->rank[i].linear].name);
    gs_json_out_end(j);
    gs_json_out_key(j, "ranking");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < s->linears; i++) put_trial(j, a, &s->rank[i]);
    gs_json_out_end(j);
    gs_json_out_end(j);
}

char *gs_analyze_json(const gs_analysis *a, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_put_string(j, "format", "glmslim-analysis");
    gs_json_put_int(j, "format_version", FORMAT_VERSION);
    gs_json_put_text(j, "path", a->path);
    gs_json_put_text(j, "source", a->source);
    gs_json_put_int(j, "samples", a->samples);
    gs_json_put_int(j, "tokens", a->tokens);
    gs_json_put_text(j, "text", a->text);
    if (a->text) gs_json_put_int(j, "windows", a->windows);
    gs_json_put_int(j, "prefix", a->prefix);
    gs_json_put_int(j, "tokens_counted", a->counted);
    gs_json_put_double(j, "outlier_ratio", GS_OUTLIER_RATIO);
    gs_json_put_string(j, "ranked_by", a->kl ? "kl" : "loss");
    gs_json_put_double(j, a->budget.percent ? "budget_percent" : "budget_linears", a->budget.value);
    put_linears(j, a);
    gs_json_out_key(j, "schemes");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < a->schemes; i++) put_scheme(j, a, &a->scheme[i]);
    gs_json_out_end(j);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
