/* do_smooth: the exponents are searched on the first calibration sample, as the fake-quantized model sees it: QKV's on the norm's
 * output, H4's on what quantized attention makes of it. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "job/parallel.h"
#include "smooth/do_smooth.h"

/* The first sample alone on its way through the block. */
typedef struct trial {
    gs_walk *w;
    gs_role searched; /* the linear whose input is wanted */
    float *input;     /* [rows, hidden], filled by the tap */
} trial;

static bool wants(void *ctx, gs_role role)
{
    const trial *t = ctx;
    return role == t->searched || gs_walk_observes(t->w, role, &t->w->chunk);
}

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    trial *t = ctx;
    if (role != t->searched) return gs_walk_observe(t->w, role, chunk, x, err);
    memcpy(t->input, x, (size_t)(chunk->rows * t->w->job->config.hidden) * sizeof *x);
    return GS_OK;
}

static gs_status linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    const trial *t = ctx;
    return gs_walk_fake_linear(t->w, role, chunk, row0, rows, x, y, err);
}

/* h: [rows, hidden], a copy of the first sample's stream; advanced up to the searched linear. */
static gs_status run_trial(trial *t, const gs_chunk *chunk, float *h, gs_error *err)
{
    gs_walk *w = t->w;
    const gs_taps taps = {.ctx = t, .wants = wants, .input = input, .linear = linear, .reference = w->reference};
    const gs_block view = gs_transform_view(w->transform, w->weights);
    const gs_until until = t->searched == GS_QKV ? GS_UNTIL_QKV_OUTPUT : GS_UNTIL_H4_INPUT;
    return gs_block_forward(&w->job->compute, &view, w->block, &w->rope, chunk, h, &w->scratch, &taps, until, err);
}

static gs_status search(gs_walk *w, gs_norm norm, gs_role role, int64_t rows, const float *x, gs_error *err)
{
    gs_job *job = w->job;
    gs_packed copy = {0};
    const gs_packed *weight;
    const int64_t hidden = job->config.hidden;
    float *shift = gs_alloc_array((size_t)(2 * hidden + w->weights->weight[role].n), sizeof *shift);
    float *scale = shift + hidden, *add = scale + hidden;
    gs_do_smooth_choice choice = {0};
    gs_status status = gs_walk_current_weight(w, role, &copy, &weight, err);
    if (status == GS_OK)
        status = gs_do_smooth_search(&job->compute, weight, rows, x, job->resolved.w_bit == 4 ? 4 : 8,
                                     job->recipe->reference_compat, shift, scale, &choice, err);
    if (status == GS_OK) {
        gs_do_smooth_bias(&job->compute, weight, shift, add);
        gs_transform_shift(w->transform, w->weights, norm, role, shift, add);
        gs_transform_norm(w->transform, w->weights, norm, role, scale);
        w->transform->smoothed[norm] = true;
        w->transform->smooth_choice[norm] = choice;
    }
    gs_packed_release(&copy);
    gs_free(shift);
    return status;
}

/* The stream of the first sample; it stays as it is. */
static gs_status copy_first(gs_walk *w, int64_t rows, float *h, gs_error *err)
{
    float *from;
    GS_TRY(gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], 0, rows, &from, err));
    memcpy(h, from, (size_t)(rows * w->job->config.hidden) * sizeof *h);
    return GS_OK;
}

static gs_status search_block(gs_walk *w, const gs_chunk *chunk, float *h, float *x, gs_error *err)
{
    trial t = {.w = w, .searched = GS_QKV, .input = x};
    gs_cards_start(w);
    GS_TRY(run_trial(&t, chunk, h, err));
    GS_TRY(search(w, GS_NORM_INPUT, GS_QKV, chunk->rows, x, err));
    GS_TRY(gs_emit_trial(w, GS_QKV, err));
    GS_TRY(gs_emit_trial(w, GS_DENSE, err));
    t.searched = GS_H4;
    GS_TRY(copy_first(w, chunk->rows, h, err));
    GS_TRY(run_trial(&t, chunk, h, err));
    return search(w, GS_NORM_POST, GS_H4, chunk->rows, x, err);
}

gs_status gs_step_smooth(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    if (!job->resolved.do_smooth || w->stream[GS_STREAM_QUANTIZED].tokens == 0 || w->transform->smoothed[GS_NORM_INPUT])
        return GS_OK;
    const int64_t rows = job->samples.start[1], hidden = job->config.hidden;
    const gs_chunk chunk = {.count = 1, .rows = rows, .start = job->samples.start};
    gs_buf work = {0};
    GS_TRY(gs_buf_alloc(&work, (size_t)(2 * rows * hidden) * sizeof(float), "first calibration sample", err));
    float *h = work.data, *x = h + rows * hidden;
    gs_status status = copy_first(w, rows, h, err);
    w->chunk = chunk;
    for (int role = 0; role < GS_ROLES; role++) gs_fake_release(&w->fake[role]);
    if (status == GS_OK) status = search_block(w, &chunk, h, x, err);
    for (int role = 0; role < GS_ROLES; role++) {
        gs_fake_release(&w->fake[role]);
        gs_cards_release(&w->cards[role]);
    }
    gs_buf_release(&work);
    if (status != GS_OK) return gs_wrap(err, "--do_smooth, block %d", w->block);
    return w->reference ? gs_walk_load_exact(w, err) : GS_OK;
}
