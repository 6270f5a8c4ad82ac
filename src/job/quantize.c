/* gs_quantize(): check, plan, walk, finish. SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

/* disable_level and fa_amp rank all layers before the layout can be fixed. */
static gs_status rank_layers(gs_job *job, gs_error *err)
{
    if (!job->level_pending && !job->fa_pending) return GS_OK;
    if (gs_job_scores_ahead(job)) {
        GS_TRY(gs_walk_run(job, &gs_pass_rank, NULL, err));
        if (job->level_pending) gs_job_choose_level(job);
    }
    if (job->level_pending || job->fa_pending) {
        gs_job_set_streams(job);
        GS_TRY(gs_walk_run(job, &gs_pass_rank_first, NULL, err));
        if (job->level_pending) gs_job_choose_level(job);
        if (job->fa_pending) gs_job_choose_attention(job);
    }
    gs_job_set_streams(job);
    GS_TRY(gs_job_check_target(job, err));
    return gs_job_plan(job, err);
}

/* The files of the weights, and nothing else in what becomes the output: an earlier run may have come further. */
static gs_status open_writer(gs_job *job, const char *dir, gs_writer **writer, gs_error *err)
{
    const gs_layout *layout = &job->manifest.layout;
    const bool again = gs_resume_has_output(job);
    GS_TRY(gs_outdir_keep_files(job->resume.out, again ? layout->files : NULL, again ? layout->n_files : 0, err));
    if (!again) return gs_writer_open(writer, dir, layout, err);
    return gs_writer_reopen(writer, dir, layout, err) == GS_OK ? GS_OK : gs_resume_refuse(job, err);
}

static gs_status write_output(gs_job *job, const char *dir, gs_error *err)
{
    gs_writer *writer = NULL;
    gs_status status = open_writer(job, dir, &writer, err);
    const gs_pass *blocks = job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC ? &gs_pass_w4a4 : &gs_pass_quantize;
    const gs_pass *pass = gs_job_needs_blocks(job) ? blocks : &gs_pass_rows;
    if (status == GS_OK) status = gs_walk_run(job, pass, writer, err);
    const double t0 = gs_seconds();
    if (status == GS_OK) gs_job_progress(job, "finish", (int)job->config.layers);
    if (status == GS_OK) status = gs_writer_finish(writer, err);
    gs_writer_free(writer);
    if (status == GS_OK) status = gs_job_side_files(job, dir, err);
    gs_job_phase(job, "finish", gs_seconds() - t0);
    const double t2 = gs_seconds();
    if (status == GS_OK) status = gs_job_check_output(job, dir, err);
    gs_job_phase(job, "check", gs_seconds() - t2);
    if (status == GS_OK) gs_report_results(job);
    const double t1 = gs_seconds();
    if (status == GS_OK) status = gs_job_extras(job, dir, err);
    if (job->resolved.extras) gs_job_phase(job, "hash", gs_seconds() - t1);
    return status;
}

/* Blocks made from weights that changed under way are worth nothing, and the folder goes. Before the tokenizer: it is the graver. */
static gs_status check_inputs(gs_job *job, gs_error *err)
{
    GS_TRY(gs_checkpoint_unchanged(&job->checkpoint, err));
    return gs_job_check_tokenizer(job, err);
}

static gs_status run(gs_job *job, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    job->walk_started = gs_seconds();
    gs_outdir out = {0};
    GS_TRY(gs_outdir_enter(&out, r->save_directory, r->model_path, r->overwrite, err));
    job->spill_dir = out.base_path;
    gs_status status = gs_resume_begin(job, &out, err);
    if (status == GS_OK) status = rank_layers(job, err);
    if (status == GS_OK) status = write_output(job, out.work_path, err);
    if (status == GS_OK) status = check_inputs(job, err);
    if (status == GS_OK) status = gs_check_interrupt(err);
    if (status == GS_OK) status = gs_outdir_commit(&out, err);
    if (status != GS_OK && gs_resume_keeps(job, status, err)) gs_outdir_leave(&out);
    gs_outdir_abort(&out);
    gs_resume_end(&job->resume);
    return status;
}

static gs_status quantize(gs_job *job, gs_error *err)
{
    const double t0 = gs_seconds();
    GS_TRY(gs_job_prepare(job, err));
    GS_TRY(gs_job_plan(job, err));
    gs_job_phase(job, "prepare", gs_seconds() - t0);
    if (job->recipe->dry_run) {
        if (job->level_pending)
            gs_job_message(
                job, GS_INFO,
                "--disable_level L%d: which linears stay float is decided by a first pass over %lld samples; "
                "sizes are shown as if none did",
                job->resolved.disable_level, (long long)job->scored.count);
        return GS_OK;
    }
    GS_TRY(run(job, err));
    gs_report_measurements(job);
    return GS_OK;
}

gs_status gs_quantize(const gs_recipe *recipe, const gs_watch *watch, gs_report **out, gs_error *err)
{
    gs_job job = {.recipe = recipe, .watch = watch, .started = gs_seconds(), .report = gs_report_create()};
    gs_error local = {0};
    gs_clear_interrupt();
    const gs_status status = quantize(&job, err ? err : &local);
    if (status == GS_OK) {
        *out = job.report;
        job.report = NULL;
    }
    gs_job_release(&job);
    return status;
}
