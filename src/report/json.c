/* The report as JSON for a program, and the part of it that goes into the output. Keys are stable; numbers that are not known
 * are null.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "recipe/options.h"
#include "report/report.h"

/* Words of the command line and names from files may be anything; JSON is UTF-8. */
static void put_text(gs_json_out *j, const char *s)
{
    if (s == NULL) {
        gs_json_out_null(j);
        return;
    }
    const size_t n = strlen(s);
    char *copy = gs_strndup(s, n);
    for (size_t at = gs_utf8_valid(copy, n); at < n; at += gs_utf8_valid(copy + at, n - at)) copy[at] = '?';
    gs_json_out_string(j, copy);
    gs_free(copy);
}

static void put_key_text(gs_json_out *j, const char *key, const char *s)
{
    gs_json_out_key(j, key);
    put_text(j, s);
}

static void put_option(gs_json_out *j, const gs_recipe *recipe, const gs_option *o)
{
    const char *field = (const char *)recipe + o->field;
    gs_json_out_key(j, o->name);
    switch (o->kind) {
    case GS_OPT_STRING:
        put_text(j, *(const char *const *)field);
        break;
    case GS_OPT_INT:
        gs_json_out_int(j, *(const int *)field);
        break;
    case GS_OPT_INT64:
        gs_json_out_int(j, *(const int64_t *)field);
        break;
    case GS_OPT_DOUBLE:
        gs_json_out_double(j, *(const double *)field);
        break;
    case GS_OPT_BOOL:
    case GS_OPT_FLAG:
        gs_json_out_bool(j, *(const bool *)field);
        break;
    case GS_OPT_STRINGS:
    case GS_OPT_LINES: {
        const char *const *list = *(const char *const *const *)field;
        if (list == NULL) {
            gs_json_out_null(j);
            break;
        }
        gs_json_out_begin(j, '[');
        for (; *list != NULL; list++) put_text(j, *list);
        gs_json_out_end(j);
        break;
    }
    }
}

static void put_recipe(gs_json_out *j, const gs_recipe *recipe, bool local)
{
    if (recipe == NULL) return;
    gs_json_out_key(j, "recipe");
    gs_json_out_begin(j, '{');
    for (int i = 0; i < gs_option_count; i++)
        if (local || !gs_option_is_local(&gs_options[i])) put_option(j, recipe, &gs_options[i]);
    gs_json_out_end(j);
}

static void put_linear(gs_json_out *j, const gs_linear_result *l)
{
    gs_json_out_begin(j, '{');
    put_key_text(j, "name", l->name);
    put_key_text(j, "type", l->type);
    put_key_text(j, "why_float", l->why_float);
    gs_json_put_int(j, "out", l->out);
    gs_json_put_int(j, "in", l->in);
    put_key_text(j, "observer", l->observer);
    gs_json_put_double(j, "score", l->score);
    gs_json_put_double(j, "range_min", l->range_min);
    gs_json_put_double(j, "range_max", l->range_max);
    gs_json_put_double(j, "input_scale", l->input_scale);
    gs_json_put_double(j, "input_offset", l->input_offset);
    gs_json_put_double(j, "weight_scale_min", l->weight_scale_min);
    gs_json_put_double(j, "weight_scale_max", l->weight_scale_max);
    gs_json_put_double(j, "weight_sqnr_db", l->weight_sqnr_db);
    gs_json_put_double(j, "transform_alpha", l->transform_alpha);
    gs_json_put_double(j, "transform_error", l->transform_error);
    gs_json_put_double(j, "clip_ratio", l->clip_ratio);
    gs_json_out_end(j);
}

static void put_group(gs_json_out *j, const gs_group_result *g)
{
    gs_json_out_begin(j, '{');
    put_key_text(j, "name", g->name);
    gs_json_put_int(j, "block", g->block);
    put_key_text(j, "linear", g->linear);
    put_key_text(j, "method", g->method);
    put_key_text(j, "rule", g->branch);
    gs_json_put_double(j, "alpha", g->alpha);
    gs_json_put_double(j, "beta", g->beta);
    gs_json_put_double(j, "threshold", g->threshold);
    gs_json_put_double(j, "loss_before", g->loss_before);
    gs_json_put_double(j, "loss_after", g->loss_after);
    gs_json_put_double(j, "range_before", g->range_before);
    gs_json_put_double(j, "range_after", g->range_after);
    gs_json_put_int(j, "scaled_channels", g->scaled_channels);
    gs_json_out_end(j);
}

static void put_totals(gs_json_out *j, const gs_report *r)
{
    gs_json_out_key(j, "types");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_types; i++) {
        gs_json_out_begin(j, '{');
        put_key_text(j, "type", r->types[i].type);
        gs_json_put_int(j, "tensors", r->types[i].n_tensors);
        gs_json_put_int(j, "bytes", (int64_t)r->types[i].bytes);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "files");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_files; i++) {
        gs_json_out_begin(j, '{');
        put_key_text(j, "name", r->files[i].name);
        gs_json_put_int(j, "tensors", r->files[i].n_tensors);
        gs_json_put_int(j, "bytes", (int64_t)r->files[i].bytes);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_measured(gs_json_out *j, const gs_report *r)
{
    gs_json_out_key(j, "phases");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_phases; i++) {
        gs_json_out_begin(j, '{');
        put_key_text(j, "name", r->phases[i].name);
        gs_json_put_double(j, "seconds", r->phases[i].seconds);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "gemm");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_gemm; i++) {
        const gs_gemm_result *g = &r->gemm[i];
        const bool ran = g->seconds > 0 && g->operations > 0;
        gs_json_out_begin(j, '{');
        put_key_text(j, "kind", g->kind);
        gs_json_put_double(j, "seconds", g->seconds);
        gs_json_put_double(j, "operations", g->operations);
        gs_json_put_double(j, "peak_per_s", g->peak_per_s);
        gs_json_out_key(j, "share_of_peak");
        if (ran && g->peak_per_s > 0)
            gs_json_out_double(j, g->operations / g->seconds / g->peak_per_s);
        else
            gs_json_out_null(j);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_inputs(gs_json_out *j, const gs_report *r)
{
    gs_json_out_key(j, "inputs");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_inputs; i++) {
        const gs_input_file *f = &r->inputs[i];
        gs_json_out_begin(j, '{');
        put_key_text(j, "kind", f->kind);
        put_key_text(j, "name", f->name);
        gs_json_put_int(j, "bytes", (int64_t)f->bytes);
        put_key_text(j, strcmp(f->kind, "weights") == 0 ? "sample_sha256" : "sha256", f->sha256);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_messages(gs_json_out *j, const gs_report *r)
{
    gs_json_out_key(j, "messages");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_messages; i++) {
        gs_json_out_begin(j, '{');
        put_key_text(j, "level", r->messages[i].level == GS_WARNING ? "warning" : "note");
        put_key_text(j, "text", r->messages[i].text);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
}

static void put_layers(gs_json_out *j, const gs_report *r)
{
    gs_json_out_key(j, "groups");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_groups; i++) put_group(j, &r->groups[i]);
    gs_json_out_end(j);
    gs_json_out_key(j, "linears");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_linears; i++) put_linear(j, &r->linears[i]);
    gs_json_out_end(j);
}

/* What may stand here: nothing that another machine, directory, day or number of threads would change. */
char *gs_report_record(const gs_report *r, const gs_recipe *recipe, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    put_key_text(j, "glmslim", GLMSLIM_VERSION);
    put_key_text(j, "quant_type", r->quant_type);
    put_recipe(j, recipe, false);
    gs_json_put_int(j, "samples", r->n_samples);
    gs_json_put_int(j, "tokens", r->n_tokens);
    put_inputs(j, r);
    gs_json_put_int(j, "input_bytes", (int64_t)r->input_bytes);
    gs_json_put_int(j, "output_bytes", (int64_t)r->output_bytes);
    put_totals(j, r);
    put_layers(j, r);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}

char *gs_report_json(const gs_report *r, const gs_recipe *recipe, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    put_key_text(j, "glmslim", GLMSLIM_VERSION);
    gs_json_out_key(j, "dry_run");
    gs_json_out_bool(j, r->dry_run);
    put_key_text(j, "quant_type", r->quant_type);
    put_key_text(j, "codes", r->codes);
    put_key_text(j, "output", r->output);
    put_key_text(j, "pass", r->pass);
    gs_json_put_int(j, "samples", r->n_samples);
    gs_json_put_int(j, "tokens", r->n_tokens);
    gs_json_put_int(j, "input_bytes", (int64_t)r->input_bytes);
    gs_json_put_int(j, "output_bytes", (int64_t)r->output_bytes);
    gs_json_put_int(j, "planned_peak_bytes", (int64_t)r->planned_peak_bytes);
    gs_json_put_int(j, "spilled_bytes", (int64_t)r->spilled_bytes);
    gs_json_put_int(j, "measured_peak_bytes", (int64_t)r->measured_peak_bytes);
    gs_json_put_double(j, "seconds", r->seconds);
    gs_json_put_double(j, "estimated_seconds", r->estimated_seconds);
    gs_json_put_int(j, "threads", r->threads);
    put_key_text(j, "cpu", r->cpu);
    put_totals(j, r);
    put_measured(j, r);
    put_inputs(j, r);
    put_messages(j, r);
    put_layers(j, r);
    put_recipe(j, recipe, true);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
