/* The float stream's turn in a block: KV ranges of every sample and scores of the first five, on original weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

static bool scores_chunk(const gs_walk *w) { return w->want_scores && w->chunk.first < w->job->scored.count; }

static bool wants(void *ctx, gs_role role)
{
    const gs_walk *w = ctx;
    return scores_chunk(w) && gs_job_is_quantized(w->job, gs_job_linear(w->block, role));
}

static gs_status add_scores(gs_walk *w, int linear, const gs_chunk *chunk, int64_t cols, const float *x, gs_error *err)
{
    for (int64_t s = chunk->first; s < chunk->first + chunk->count && s < w->job->scored.count; s++) {
        const int64_t row = chunk->start[s] - chunk->row0, rows = chunk->start[s + 1] - chunk->start[s];
        GS_TRY(gs_score_add(&w->job->score[linear], &w->job->compute, rows, cols, x + row * cols, err));
    }
    return GS_OK;
}

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_walk *w = ctx;
    int64_t out, in;
    gs_role_shape(&w->job->config, role, &out, &in);
    return add_scores(w, gs_job_linear(w->block, role), chunk, in, x, err);
}

static gs_status kv_tap(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    gs_walk *w = ctx;
    const gs_config *c = &w->job->config;
    (void)err;
    const int64_t q_width = c->heads * c->head_dim;
    gs_kv_range_add(&w->kv, &w->job->compute, chunk->rows, qkv, q_width + 2 * w->kv.width, q_width);
    return GS_OK;
}

void gs_walk_watch_kv(gs_walk *w, gs_taps *taps)
{
    const gs_config *c = &w->job->config;
    gs_kv_range_release(&w->kv);
    gs_kv_range_init(&w->kv, c->groups * c->head_dim);
    if (gs_compat(w->job->recipe, GS_COMPAT_KV_BEFORE_ROPE))
        taps->qkv_output = kv_tap;
    else
        taps->heads = kv_tap;
}

static gs_status linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    (void)chunk;
    (void)row0;
    return gs_walk_float_linear(ctx, role, rows, x, y, err);
}

gs_status gs_step_observe(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int until = w->stream[GS_STREAM_FLOAT].tokens > 0 ? gs_job_float_until(job, w->block) : GS_UNTIL_NOTHING;
    if (until == GS_UNTIL_NOTHING) return GS_OK;
    const gs_block view = gs_transform_view(w->transform, w->weights);
    gs_taps taps = {.ctx = w, .wants = wants, .input = input, .linear = linear, .reference = w->reference};
    if (w->want_kv && !w->job->kv_from_anti) gs_walk_watch_kv(w, &taps);
    for (int64_t s = 0; s < w->float_samples->count; s += w->chunk.count) {
        GS_TRY(gs_check_interrupt(err));
        w->chunk = gs_chunk_at(w->float_samples, s);
        float *h;
        GS_TRY(gs_stream_read(&w->stream[GS_STREAM_FLOAT], w->chunk.row0, w->chunk.rows, &h, err));
        GS_TRY(gs_block_forward(&job->compute, &view, w->block, &w->rope, &w->chunk, h, &w->scratch, &taps,
                                (gs_until)until, err));
        GS_TRY(gs_walk_write_stream(w, GS_STREAM_FLOAT, err));
        job->work_done += w->chunk.rows;
        gs_job_progress(job, w->writer ? "float" : "rank", w->block);
    }
    return GS_OK;
}

/* The head sees the final norm of the last block's output. */
gs_status gs_step_observe_head(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int head = job->n_linears - 1;
    if (!w->want_scores || !gs_job_is_quantized(job, head)) return GS_OK;
    const int64_t hidden = job->config.hidden;
    gs_buf norm = {0}, normed = {0};
    gs_status status = gs_buf_alloc(&norm, (size_t)hidden * sizeof(float), "final norm", err);
    if (status == GS_OK)
        status = gs_buf_alloc(&normed, gs_stream_bytes(job->scored.longest, hidden),
                              "input of the head in a sample that ranks layers", err);
    if (status == GS_OK) status = gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm.data, err);
    for (int64_t s = 0; s < job->scored.count && status == GS_OK; s++) {
        const gs_chunk one = {.first = s,
                              .count = 1,
                              .row0 = job->scored.start[s],
                              .rows = job->scored.start[s + 1] - job->scored.start[s],
                              .start = job->scored.start};
        float *h;
        status = gs_stream_read(&w->stream[GS_STREAM_FLOAT], one.row0, one.rows, &h, err);
        if (status != GS_OK) break;
        gs_rmsnorm(&job->compute, one.rows, hidden, h, norm.data, NULL, job->config.norm_eps, normed.data);
        status = add_scores(w, head, &one, hidden, normed.data, err);
    }
    gs_buf_release(&normed);
    gs_buf_release(&norm);
    return status;
}

/* The low-bit ranking of the head: largest input of the first sample. */
gs_status gs_step_rank_head(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int head = job->n_linears - 1;
    const int64_t hidden = job->config.hidden, rows = job->calibrated.tokens;
    if (!gs_job_is_quantized(job, head) || rows == 0) return GS_OK;
    gs_buf work = {0};
    GS_TRY(gs_buf_alloc(&work, (size_t)(rows + 1) * (size_t)hidden * sizeof(float), "input of the head", err));
    float *norm = work.data, *normed = norm + hidden, *h, least, greatest;
    bool finite;
    gs_status status = gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm, err);
    if (status == GS_OK) status = gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], 0, rows, &h, err);
    if (status == GS_OK) {
        gs_rmsnorm(&job->compute, rows, hidden, h, norm, NULL, job->config.norm_eps, normed);
        gs_minmax(&job->compute, rows * hidden, normed, &least, &greatest, &finite);
        job->max_input[head] = -least > greatest ? -least : greatest;
    }
    gs_buf_release(&work);
    return status;
}
