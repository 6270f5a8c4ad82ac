/* W4A4 in an analysis: built like in a run of quant, but from the float model's inputs, and every linear alone. Inputs of QKV and H4
 * are a norm of the states and are made again for the second look; those of dense and 4H are kept while that is less memory than the
 * moments, else their half of the block runs again. SPDX-License-Identifier: Apache-2.0 */
#include "eval/analyze_parts.h"

typedef struct feed {
    gs_analyzer *a;
    gs_role role;
    const gs_w4a4_feed *to;
} feed;

static bool wants(void *ctx, gs_role role) { return role == ((const feed *)ctx)->role; }

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    const feed *f = ctx;
    (void)role;
    return gs_w4a4_feed_add(f->to, f->a->c, chunk->rows, x, err);
}

static gs_status feed_chunk(feed *f, const gs_chunk *chunk, gs_error *err)
{
    gs_analyzer *a = f->a;
    const bool mlp = f->role == GS_H4 || f->role == GS_4H;
    const gs_taps taps = {.ctx = f, .wants = wants, .input = input};
    GS_TRY(gs_states_read(&a->states, a->stream[mlp ? GS_STATES_MIDDLE : GS_STATES_IN], chunk->row0, chunk->rows, a->h,
                          err));
    if (f->role == GS_DENSE)
        return gs_block_forward(a->c, &a->block, a->at, &a->rope, chunk, a->h, &a->scratch, &taps, GS_UNTIL_DENSE_INPUT,
                                err);
    if (f->role == GS_4H)
        return gs_block_forward_mlp(a->c, &a->block, a->at, chunk, a->h, &a->scratch, &taps, GS_UNTIL_4H_INPUT, err);
    const gs_norm norm = mlp ? GS_NORM_POST : GS_NORM_INPUT;
    gs_rmsnorm(a->c, chunk->rows, a->config.hidden, a->h, a->block.norm[norm], a->block.norm_bias[norm],
               a->config.norm_eps, a->h);
    return gs_w4a4_feed_add(f->to, a->c, chunk->rows, a->h, err);
}

static gs_status inputs(void *ctx, const gs_w4a4_feed *to, gs_error *err)
{
    feed *f = ctx;
    gs_chunk chunk;
    f->to = to;
    for (int64_t s = 0; s < f->a->observed; s += chunk.count) {
        chunk = gs_analyze_chunk(f->a, s);
        GS_TRY(feed_chunk(f, &chunk, err));
        GS_TRY(gs_check_interrupt(err));
    }
    return GS_OK;
}

gs_status gs_analyze_build_w4a4(gs_analyzer *a, const gs_scheme_plan *s, gs_role role, gs_error *err)
{
    const gs_packed *w = &a->block.weight[role];
    const bool normed = role == GS_QKV || role == GS_H4;
    const gs_w4a4_options options = {.diagonal = role != GS_DENSE,
                                     .eigen = true,
                                     .floats = s->floats,
                                     .norm =
                                         normed ? a->block.norm[role == GS_QKV ? GS_NORM_INPUT : GS_NORM_POST] : NULL};
    feed f = {.a = a, .role = role};
    const int64_t tokens = a->samples.start[a->observed];
    const gs_w4a4_source from = {
        .tokens = tokens, .keep = gs_w4a4_keep(tokens, w->k, normed), .inputs = inputs, .ctx = &f};
    gs_w4a4_plan plan = {0};
    gs_status status = gs_w4a4_build(&plan, a->c, w, &options, &from, err);
    if (status == GS_OK) status = gs_trial_build_w4a4(&a->trial, a->c, &plan, w, a->block.bias[role], err);
    gs_w4a4_plan_release(&plan);
    return status;
}
