/* Everything that can be refused is refused here, before the first weight is read: recipe, output place, configuration,
 * tensors, texts. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "job/parallel.h"

/* recipe/ hands warnings and notes over as lines; notes begin with "note: ". */
static void send_notes(const gs_job *job, const gs_str *notes)
{
    static const char mark[] = "note: ";
    const size_t mark_bytes = sizeof mark - 1;
    const char *line = notes->data;
    while (*line) {
        const size_t n = strcspn(line, "\n");
        const bool note = n > mark_bytes && strncmp(line, mark, mark_bytes) == 0;
        if (note)
            gs_job_message(job, GS_INFO, "%.*s", (int)(n - mark_bytes), line + mark_bytes);
        else if (n > 0)
            gs_job_message(job, GS_WARNING, "%.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static gs_status resolve(gs_job *job, gs_error *err)
{
    gs_str notes;
    gs_str_init(&notes);
    const gs_status status = gs_recipe_resolve(job->recipe, &job->resolved, &notes, err);
    if (status == GS_OK) send_notes(job, &notes);
    gs_str_release(&notes);
    return status;
}

/* Sizes the rule cannot be used with are refused by name, before any work. */
static gs_status check_rule(const gs_job *job, gs_error *err)
{
    for (int i = 0; i < job->n_linears; i++) {
        if (!gs_job_is_quantized(job, i) || job->choice[i].type == GS_Q_W4A4_FLATQUANT_DYNAMIC) continue;
        char name[640];
        int64_t out = job->tensors.head->shape[0], in = job->tensors.head->shape[1];
        const gs_role role = (gs_role)(i % GS_ROLES);
        const bool head = i == job->n_linears - 1;
        if (head) {
            snprintf(name, sizeof name, "%s", job->family->head);
        } else {
            gs_linear_name(job->family, i / GS_ROLES, role, "", name, sizeof name);
            gs_role_shape(&job->config, role, &out, &in);
        }
        const bool row_parallel = !head && gs_role_is_row_parallel(role);
        const gs_weight_layout layout =
            gs_weight_layout_from(&job->rule, job->recipe, job->recipe->mindie_format, row_parallel, in);
        GS_TRY(gs_weight_check(&job->rule, &layout, name, out, in, err));
    }
    return GS_OK;
}

/* do_smooth writes norm biases that are not zero. MindIE reads them only in front of quantized static linears. */
static void warn_dropped_bias(const gs_job *job)
{
    int dropped = 0;
    for (int b = 0; b < job->config.layers && job->resolved.do_smooth; b++)
        dropped +=
            !gs_job_is_quantized(job, gs_job_linear(b, GS_QKV)) + !gs_job_is_quantized(job, gs_job_linear(b, GS_H4));
    if (dropped > 0)
        gs_job_message(job, GS_WARNING,
                       "do_smooth: %d norms stand in front of linears that stay float; MindIE drops their bias and "
                       "computes something else. Quantize those linears",
                       dropped);
}

gs_status gs_job_check_target(const gs_job *job, gs_error *err)
{
    if (!job->target) return GS_OK;
    const gs_target_request q = {job->recipe, &job->resolved, &job->config, job->choice, job->n_linears};
    gs_str notes;
    gs_str_init(&notes);
    const gs_status status = gs_target_check(job->target, &q, &notes, err);
    /* The first time everything is said; later choices can only be refused. */
    if (status == GS_OK && job->manifest.layout.count == 0) send_notes(job, &notes);
    gs_str_release(&notes);
    return status;
}

/* Products of bf16 pairs take the weights as they are stored. */
static gs_status check_compute(gs_job *job, gs_error *err)
{
    job->compute.bf16_inputs = strcmp(job->recipe->compute, "bf16") == 0;
    for (int b = 0; b < job->config.layers && job->compute.bf16_inputs; b++)
        for (int role = 0; role < GS_ROLES; role++) {
            const gs_tensor *t = job->tensors.block[b].weight[role];
            if (t->dtype == GS_BF16) continue;
            return gs_fail(err, GS_ERR_UNSUPPORTED,
                           "--compute bf16 needs weights in bfloat16; %s is %s: leave the option out", t->name,
                           gs_dtype_name(t->dtype));
        }
    return GS_OK;
}

gs_status gs_job_prepare(gs_job *job, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    GS_TRY(resolve(job, err));
    job->format = gs_format_get(r);
    job->target = gs_target_find(r->target);
    GS_TRY(gs_config_read(&job->config, r->model_path, err));
    GS_TRY(gs_family_find(&job->config, &job->family, err));
    GS_TRY(gs_outdir_check(r->save_directory, r->model_path, r->overwrite, err));
    job->smoother = gs_smoother_find(r->anti_method);
    job->transform = gs_alloc_array((size_t)job->config.layers, sizeof *job->transform);
    GS_TRY(gs_job_choose(job, err));
    GS_TRY(gs_job_check_target(job, err));
    if (!job->target) warn_dropped_bias(job);
    if (r->use_fa_quant)
        gs_job_message(
            job, GS_WARNING,
            "use_fa_quant: no released engine runs quantized attention on this model family; MindIE would load "
            "the scales and ignore them, vllm-ascend refuses the type");
    GS_TRY(gs_job_read_texts(job, err));
    GS_TRY(gs_checkpoint_open(&job->checkpoint, r->model_path, err));
    job->checkpoint.read_once = true;
    GS_TRY(gs_model_tensors_find(&job->tensors, job->family, &job->config, &job->checkpoint, err));
    GS_TRY(gs_format_check_copies(r->model_path, &job->copied_bytes, err));
    gs_weight_rule_from(r, &job->resolved, job->data_free, &job->rule);
    gs_job_set_streams(job);
    GS_TRY(check_rule(job, err));
    GS_TRY(gs_cards_check(job, err));
    GS_TRY(gs_job_check_w4a4(job, err));
    GS_TRY(gs_compute_open(&job->compute, r->threads, err));
    GS_TRY(gs_compute_provide_heads(&job->compute, job->config.head_dim, err));
    return check_compute(job, err);
}

void gs_job_release(gs_job *job)
{
    gs_compute_close(&job->compute);
    gs_manifest_release(&job->manifest);
    gs_model_tensors_release(&job->tensors);
    gs_checkpoint_close(&job->checkpoint);
    gs_samples_release(&job->samples); /* scored borrows from it */
    gs_samples_release(&job->anti);
    for (int64_t b = 0; job->transform && b < job->config.layers; b++) gs_transform_release(&job->transform[b]);
    gs_free(job->transform);
    gs_config_release(&job->config);
    gs_free(job->choice);
    gs_free(job->max_input);
    gs_free(job->fa);
    gs_free(job->fa_score);
    gs_free(job->score);
    gs_free(job->calib_source);
    gs_report_free(job->report);
    *job = (gs_job){0};
}
