/* The fake-quantized stream's turn in a block: each sample, in file order, fixes the input ranges it is then quantized with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/parallel.h"

/* Is the linear quantized for this chunk? The low-bit disable_level takes its choice back after the first sample. */
static bool is_fake(const gs_walk *w, gs_role role, const gs_chunk *chunk)
{
    const gs_choice *choice = &w->job->choice[gs_job_linear(w->block, role)];
    const bool made = w->fake[role].active || gs_cards_take(w, role, true);
    return made && (!choice->first_sample || chunk->first == 0);
}

/* What several cards exchange is computed from the whole input, of float linears too. */
bool gs_walk_observes(const gs_walk *w, gs_role role, const gs_chunk *chunk)
{
    return is_fake(w, role, chunk) || w->cards[role].comm.ranks > 1;
}

gs_status gs_walk_observe(gs_walk *w, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    const bool fake = is_fake(w, role, chunk);
    if (gs_cards_take(w, role, fake)) return gs_cards_observe(w, role, fake, chunk, x, err);
    return gs_fake_observe(&w->fake[role], &w->job->compute, chunk, x, err);
}

gs_status gs_walk_fake_linear(gs_walk *w, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows,
                              const float *x, float *y, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    const bool fake = is_fake(w, role, chunk);
    if (gs_cards_take(w, role, fake)) return gs_cards_forward(w, role, fake, chunk, row0, rows, x, y, err);
    if (fake)
        GS_TRY(gs_fake_forward(&w->fake[role], c, chunk, row0, rows, x, w->code_rows.data, y, err));
    else
        GS_TRY(gs_walk_float_linear(w, role, rows, x, y, err));
    if (w->cards[role].comm.ranks == 1) gs_comm_add(&w->cards[role].comm, c, rows, y);
    return GS_OK;
}

static void note_input(gs_walk *w, gs_role role, const gs_chunk *chunk, const float *x)
{
    float least, greatest;
    bool finite;
    int64_t out, in;
    gs_role_shape(&w->job->config, role, &out, &in);
    gs_minmax(&w->job->compute, chunk->rows * in, x, &least, &greatest, &finite);
    w->job->max_input[gs_job_linear(w->block, role)] = -least > greatest ? -least : greatest;
}

static bool wants(void *ctx, gs_role role)
{
    const gs_walk *w = ctx;
    return gs_walk_observes(w, role, &w->chunk);
}

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_walk *w = ctx;
    if (w->job->level_pending) note_input(w, role, chunk, x);
    const gs_status status = gs_walk_observe(w, role, chunk, x, err);
    if (status == GS_OK) return GS_OK;
    char name[256];
    gs_linear_name(w->job->family, w->block, role, "", name, sizeof name);
    return gs_wrap(err, "input of %s, samples %lld to %lld", name, (long long)chunk->first,
                   (long long)(chunk->first + chunk->count - 1));
}

static gs_status linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    return gs_walk_fake_linear(ctx, role, chunk, row0, rows, x, y, err);
}

/* Attention after RoPE: ranges of every sample, or, while the layers are ranked, the score of the first. */
gs_status gs_walk_heads_tap(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    gs_walk *w = ctx;
    gs_job *job = w->job;
    const gs_config *c = &job->config;
    const int64_t stride = (c->heads + 2 * c->groups) * c->head_dim;
    if (!job->fa || !job->fa[w->block]) return GS_OK;
    for (int64_t s = chunk->first; s < chunk->first + chunk->count; s++) {
        const int64_t row = chunk->start[s] - chunk->row0, rows = chunk->start[s + 1] - chunk->start[s];
        if (rows == 0) continue;
        const float *x = qkv + row * stride;
        const gs_status status = job->fa_pending
                                     ? gs_fa_layer_score(&job->compute, c->heads, c->groups, rows, x, stride,
                                                         c->head_dim, &job->fa_score[w->block], err)
                                     : gs_fa_range_add(&w->fa, &job->compute, rows, x, stride, c->head_dim, err);
        if (status != GS_OK) return gs_wrap(err, "attention of block %d, sample %lld", w->block, (long long)s);
    }
    return GS_OK;
}

void gs_walk_reset_heads(gs_walk *w)
{
    gs_fa_range_release(&w->fa);
    if (w->job->fa) gs_fa_range_init(&w->fa, w->job->config.heads, w->job->config.groups);
}

gs_status gs_step_calibrate(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int until = gs_job_calibrate_until(job, w->block);
    if (until == GS_UNTIL_NOTHING) return GS_OK;
    const gs_block block = gs_transform_view(w->transform, w->weights);
    const gs_taps taps = {.ctx = w,
                          .wants = wants,
                          .input = input,
                          .heads = gs_walk_heads_tap,
                          .linear = linear,
                          .reference = w->reference};
    gs_cards_start(w);
    gs_walk_reset_heads(w);
    for (int64_t s = 0; s < job->calibrated.count; s += w->chunk.count) {
        GS_TRY(gs_check_interrupt(err));
        gs_samples view = job->calibrated;
        if (s == 0 && job->resolved.lowbit_class) view.count = 1; /* alone, since linears may change after it */
        w->chunk = gs_chunk_at(&view, s);
        float *h;
        GS_TRY(gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], w->chunk.row0, w->chunk.rows, &h, err));
        GS_TRY(gs_block_forward(&job->compute, &block, w->block, &w->rope, &w->chunk, h, &w->scratch, &taps,
                                (gs_until)until, err));
        GS_TRY(gs_walk_write_stream(w, GS_STREAM_QUANTIZED, err));
        job->work_done += w->chunk.rows;
        gs_job_progress(job, "calibrate", w->block);
    }
    return GS_OK;
}
