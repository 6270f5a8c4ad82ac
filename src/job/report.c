/* Filling the report: decisions and sizes when the plan is made, measurements at the end. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "job/job.h"

gs_report *gs_report_create(void) { return gs_alloc(sizeof(gs_report)); }

void gs_report_free(gs_report *r)
{
    if (!r) return;
    for (int i = 0; i < r->n_linears; i++) gs_free((void *)(uintptr_t)r->linears[i].name);
    for (int i = 0; i < r->n_files; i++) gs_free((void *)(uintptr_t)r->files[i].name);
    for (int i = 0; i < r->n_groups; i++) gs_free(r->groups[i].name);
    for (int i = 0; i < r->n_inputs; i++) gs_free(r->inputs[i].name);
    for (int i = 0; i < r->n_messages; i++) gs_free(r->messages[i].text);
    for (int i = 0; i < r->n_texts; i++) gs_free(r->texts[i]);
    gs_free(r->texts);
    gs_free(r->inputs);
    gs_free(r->messages);
    gs_free(r->groups);
    gs_free(r->linears);
    gs_free(r->files);
    gs_free(r->quant_type);
    gs_free(r->output);
    gs_free(r);
}

gs_input_file *gs_report_add_input(gs_report *r, const char *kind, const char *name)
{
    r->inputs = gs_realloc_array(r->inputs, (size_t)r->n_inputs + 1, sizeof *r->inputs);
    gs_input_file *f = &r->inputs[r->n_inputs++];
    *f = (gs_input_file){.kind = kind, .name = name ? gs_strdup(name) : NULL};
    return f;
}

void gs_report_add_message(gs_report *r, gs_level level, const char *text)
{
    r->messages = gs_realloc_array(r->messages, (size_t)r->n_messages + 1, sizeof *r->messages);
    r->messages[r->n_messages++] = (gs_report_message){level, gs_strdup(text)};
}

const char *gs_report_own(gs_report *r, char *text)
{
    r->texts = gs_realloc_array(r->texts, (size_t)r->n_texts + 1, sizeof *r->texts);
    r->texts[r->n_texts++] = text;
    return text;
}

static void plan_linear(gs_job *job, int i, gs_linear_result *l)
{
    char name[640];
    gs_free((void *)(uintptr_t)l->name);
    if (i == job->n_linears - 1) {
        *l = (gs_linear_result){.name = gs_strdup(job->family->head),
                                .out = job->tensors.head->shape[0],
                                .in = job->tensors.head->shape[1]};
    } else {
        gs_linear_name(job->family, i / GS_ROLES, (gs_role)(i % GS_ROLES), "", name, sizeof name);
        *l = (gs_linear_result){.name = gs_strdup(name)};
        gs_role_shape(&job->config, (gs_role)(i % GS_ROLES), &l->out, &l->in);
    }
    l->type = gs_quant_type_name(job->choice[i].type);
    l->why_float = job->choice[i].why_float;
    l->score = job->score[i].seen ? gs_score_value(&job->score[i]) : NAN;
    l->range_min = l->range_max = l->input_scale = l->input_offset = NAN;
    l->weight_scale_min = l->weight_scale_max = l->weight_sqnr_db = NAN;
    l->transform_alpha = l->transform_error = l->clip_ratio = NAN;
}

static void plan_types(gs_report *r, const gs_manifest *m)
{
    const int max = (int)(sizeof r->types / sizeof *r->types);
    r->n_types = 0;
    for (int64_t i = 0; i < m->layout.count; i++) {
        int t = 0;
        while (t < r->n_types && strcmp(r->types[t].type, m->type[i]) != 0) t++;
        if (t == max) t = max - 1;
        if (t == r->n_types) r->types[r->n_types++] = (gs_type_total){.type = m->type[i]};
        r->types[t].n_tensors++;
        r->types[t].bytes += m->layout.tensors[i].bytes;
    }
}

static void plan_files(gs_report *r, const gs_layout *layout)
{
    for (int i = 0; i < r->n_files; i++) gs_free((void *)(uintptr_t)r->files[i].name);
    gs_free(r->files);
    r->n_files = layout->n_files;
    r->files = gs_alloc_array((size_t)layout->n_files, sizeof *r->files);
    r->output_bytes = 0;
    for (int i = 0; i < layout->n_files; i++) {
        const gs_out_file *f = &layout->files[i];
        r->files[i] = (gs_output_file){gs_strdup(f->name), f->bytes, f->n_tensors};
        r->output_bytes += f->bytes;
    }
}

void gs_report_plan(gs_job *job)
{
    gs_report *r = job->report;
    if (!r->linears) r->linears = gs_alloc_array((size_t)job->n_linears, sizeof *r->linears);
    r->n_linears = job->n_linears;
    for (int i = 0; i < job->n_linears; i++) plan_linear(job, i, &r->linears[i]);
    if (!r->quant_type) r->quant_type = gs_strdup(gs_quant_type_name(job->resolved.type));
    if (job->resolved.sparse_dynamic)
        r->codes = "sparse: 4 bit steps and int8 outliers, in the form of W8A8_DYNAMIC, which engines load";
    if (!r->output) r->output = gs_strdup(job->recipe->save_directory);
    plan_types(r, &job->manifest);
    plan_files(r, &job->manifest.layout);
    r->dry_run = job->recipe->dry_run;
    r->pass = gs_job_needs_blocks(job) ? "blocks" : "rows";
    r->n_samples = gs_job_uses_texts(job) ? job->samples.count : 0;
    r->n_tokens = gs_job_uses_texts(job) ? job->samples.tokens : 0;
    r->input_bytes = job->checkpoint.bytes;
    r->planned_peak_bytes = job->planned_peak;
    r->estimated_seconds = job->estimated_seconds;
    r->threads = gs_pool_threads(job->compute.pool);
    r->cpu = gs_rung_name(job->compute.rung);
}

static gs_group_result *add_group(gs_report *r, const gs_job *job, int block, const char *producer, gs_role consumer)
{
    char name[640];
    snprintf(name, sizeof name, "block %d: %s -> %s", block, producer, job->family->linear[consumer]);
    gs_group_result *g = &r->groups[r->n_groups++];
    *g = (gs_group_result){.name = gs_strdup(name), .block = block, .scaled_channels = -1};
    g->linear = job->family->linear[consumer];
    g->alpha = g->beta = g->threshold = g->loss_before = g->loss_after = g->range_before = g->range_after = NAN;
    return g;
}

static void report_choice(gs_report *r, const gs_job *job, int block, gs_role consumer)
{
    const char *const producer[GS_ROLES] = {job->family->norm[GS_NORM_INPUT], job->family->linear[GS_QKV],
                                            job->family->norm[GS_NORM_POST], job->family->linear[GS_H4]};
    const gs_smooth_choice *c = &job->transform[block].choice[consumer];
    gs_group_result *g = add_group(r, job, block, producer[consumer], consumer);
    g->method = job->smoother->name;
    g->branch = c->branch;
    g->alpha = c->alpha;
    g->beta = c->beta;
    g->threshold = c->threshold;
    g->loss_before = c->loss_before;
    g->loss_after = c->loss_after;
    g->range_before = c->range_before;
    g->range_after = c->range_after;
    g->scaled_channels = c->scaled_channels;
}

static void report_groups(gs_report *r, const gs_job *job)
{
    r->groups = gs_alloc_array((size_t)(job->config.layers * (GS_ROLES + GS_NORMS)), sizeof *r->groups);
    for (int block = 0; block < job->config.layers; block++) {
        const gs_transform *t = &job->transform[block];
        for (int role = 0; role < GS_ROLES; role++)
            if (t->chosen[role]) report_choice(r, job, block, (gs_role)role);
        for (int norm = 0; norm < GS_NORMS; norm++) {
            if (!t->smoothed[norm]) continue;
            const gs_role consumer = norm == GS_NORM_INPUT ? GS_QKV : GS_H4;
            gs_group_result *g = add_group(r, job, block, job->family->norm[norm], consumer);
            g->method = "do_smooth";
            const gs_do_smooth_choice *c = &t->smooth_choice[norm];
            g->alpha = c->alpha;
            g->loss_before = c->loss_before;
            g->loss_after = c->loss_after;
            g->range_before = c->range_before;
            g->range_after = c->range_after;
            g->scaled_channels = c->scaled_channels;
        }
    }
}

void gs_report_results(gs_job *job)
{
    report_groups(job->report, job);
    for (int i = 0; i < job->n_linears; i++)
        if (job->score[i].seen) job->report->linears[i].score = gs_score_value(&job->score[i]);
}

void gs_report_measurements(gs_job *job)
{
    gs_report *r = job->report;
    for (int kind = 0; kind < r->n_gemm; kind++) { /* in the order of gs_gemm_kind */
        r->gemm[kind].seconds = job->compute.work[kind].seconds;
        r->gemm[kind].operations = job->compute.work[kind].operations;
    }
    memcpy(r->phases, job->phase, sizeof r->phases);
    r->n_phases = job->n_phases;
    r->measured_peak_bytes = gs_rss_peak();
    r->seconds = gs_seconds() - job->started;
}
