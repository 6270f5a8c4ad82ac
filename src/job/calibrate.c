/* The fake-quantized stream's turn in a block: each sample, in file order, fixes the input ranges it is then quantized with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

static bool wants(void *ctx, gs_role role)
{
    const gs_walk *w = ctx;
    return w->fake[role].active;
}

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_walk *w = ctx;
    const gs_status status = gs_fake_observe(&w->fake[role], &w->job->compute, chunk, x, err);
    if (status == GS_OK) return GS_OK;
    char name[256];
    gs_linear_name(w->job->family, w->block, role, "", name, sizeof name);
    return gs_wrap(err, "input of %s, samples %lld to %lld", name, (long long)chunk->first,
                   (long long)(chunk->first + chunk->count - 1));
}

static gs_status linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    gs_walk *w = ctx;
    if (!w->fake[role].active) return gs_walk_float_linear(w, role, rows, x, y, err);
    return gs_fake_forward(&w->fake[role], &w->job->compute, chunk, row0, rows, x, w->code_rows.data, y, err);
}

gs_status gs_step_calibrate(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int until = gs_job_calibrate_until(job, w->block);
    if (until == GS_UNTIL_NOTHING) return GS_OK;
    const gs_block view = gs_transform_view(w->transform, w->weights);
    const gs_taps taps = {.ctx = w, .wants = wants, .input = input, .linear = linear, .reference = w->reference};
    for (int64_t s = 0; s < job->samples.count; s += w->chunk.count) {
        GS_TRY(gs_check_interrupt(err));
        w->chunk = gs_chunk_at(&job->samples, s);
        float *h = gs_stream_rows(&w->quant_stream, w->chunk.row0);
        GS_TRY(gs_block_forward(&job->compute, &view, w->block, &w->rope, &w->chunk, h, &w->scratch, &taps,
                                (gs_until)until, err));
        job->work_done += w->chunk.rows;
        gs_job_progress(job, "calibrate", w->block);
    }
    return GS_OK;
}
