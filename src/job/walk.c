/* The loop of a run. Read this first, then passes.c for the list of steps.
 *
 * One block is in memory at a time while the next is being read; the hidden states of all samples (the streams) go through it
 * and on to the next. This gives what the reference computes with the whole model in memory, because every statistic of a block
 * depends on that block's inputs only. SPDX-License-Identifier: Apache-2.0 */
#include "job/parallel.h"

static gs_status run_steps(gs_walk *w, const gs_step *steps, gs_error *err)
{
    for (const gs_step *step = steps; step->name; step++) {
        GS_TRY(gs_check_interrupt(err));
        gs_job_progress(w->job, step->name, w->block);
        const double t0 = gs_seconds();
        GS_TRY(step->run(w, err));
        gs_job_phase(w->job, step->name, gs_seconds() - t0);
    }
    return GS_OK;
}

static void walk_release(gs_walk *w)
{
    gs_keep_close(&w->keep);         /* waits for the keeper, which reads streams */
    gs_prefetch_close(&w->prefetch); /* waits for the reader, which uses nothing freed below */
    gs_ahead_close(&w->ahead);
    gs_behind_close(&w->behind);
    for (int role = 0; role < GS_ROLES; role++) {
        gs_fake_release(&w->fake[role]);
        gs_w4a4_ready_release(&w->w4a4[role]);
        gs_reference_release(&w->exact[role]);
        gs_outlier_stats_release(&w->outliers[role]);
    }
    gs_cards_end(w);
    gs_kv_range_release(&w->kv);
    gs_fa_range_release(&w->fa);
    for (int i = 0; i < GS_STREAMS; i++) gs_stream_release(&w->stream[i]);
    gs_scratch_release(&w->scratch);
    gs_rope_release(&w->rope);
    gs_buf_release(&w->code_rows);
    gs_buf_release(&w->emit_rows);
}

static gs_status walk_blocks(gs_walk *w, const gs_pass *pass, gs_error *err)
{
    GS_TRY(pass->begin(w, err));
    GS_TRY(gs_keep_open(w, err));
    const int layers = (int)w->job->config.layers;
    for (w->block = w->first; w->block < layers; w->block++) {
        gs_keep_begin_block(w);
        GS_TRY(run_steps(w, pass->steps, err));
        GS_TRY(gs_keep_end_block(w, err)); /* after a stop, the same command goes on from here */
    }
    GS_TRY(run_steps(w, pass->last, err));
    GS_TRY(gs_behind_wait(&w->behind, err));
    return gs_keep_end_pass(w, err);
}

gs_status gs_walk_run(gs_job *job, const gs_pass *pass, gs_writer *writer, gs_error *err)
{
    gs_walk walk = {.job = job, .pass = pass, .writer = writer};
    GS_TRY(gs_resume_pass(job, writer, &walk.from, err));
    if (walk.from && walk.from->ended) return GS_OK;
    if (walk.from) walk.first = walk.from->blocks;
    const gs_status status = walk_blocks(&walk, pass, err);
    walk_release(&walk);
    return status;
}
