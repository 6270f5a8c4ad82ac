/* W4A4 in the walk. The linears of a block are built one after the other, each from its inputs in the stream, in which
 * everything before it is quantized already and computed as engines do: statistics → d, L, R, clip ratio → second moments →
 * codes (quant/w4a4.h). Inputs of QKV and H4 are a norm of the stream and are made again for the second look; those of dense and
 * 4H are kept while that is less memory than the moments, else their part of the block runs again. What depends on the d of a
 * later linear is written last: d belongs into the norm before QKV and H4, and d of 4H into the scales of H4's up rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "job/walk.h"

void gs_w4a4_ready_release(gs_w4a4_ready *r)
{
    gs_w4a4_linear_release(&r->linear);
    gs_free(r->left);
    gs_free(r->right);
    *r = (gs_w4a4_ready){0};
}

static bool is_w4a4(const gs_walk *w, gs_role role)
{
    return w->job->choice[gs_job_linear(w->block, role)].type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
}

/* ---- the stream as engines compute it ---- */

static gs_status served(gs_walk *w, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    if (!w->w4a4[role].active) return gs_walk_fake_linear(w, role, chunk, row0, rows, x, y, err);
    gs_w4a4_linear_forward(&w->w4a4[role].linear, &w->job->compute, rows, x, y);
    return GS_OK;
}

static gs_status walk_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                             float *y, gs_error *err)
{
    return served(ctx, role, chunk, row0, rows, x, y, err);
}

/* All samples through one half of the block. */
static gs_status run_half(gs_walk *w, bool mlp, const gs_taps *taps, gs_until until, gs_error *err)
{
    gs_job *job = w->job;
    const gs_block view = gs_transform_view(w->transform, w->weights);
    for (int64_t s = 0; s < job->calibrated.count; s += w->chunk.count) {
        GS_TRY(gs_check_interrupt(err));
        w->chunk = gs_chunk_at(&job->calibrated, s);
        float *h;
        GS_TRY(gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], w->chunk.row0, w->chunk.rows, &h, err));
        GS_TRY(mlp ? gs_block_forward_mlp(&job->compute, &view, w->block, &w->chunk, h, &w->scratch, taps, until, err)
                   : gs_block_forward(&job->compute, &view, w->block, &w->rope, &w->chunk, h, &w->scratch, taps, until,
                                      err));
        GS_TRY(gs_walk_write_stream(w, GS_STREAM_QUANTIZED, err));
    }
    return GS_OK;
}

/* Somebody looks at the stream behind this linear, in this block or in a later one. */
static bool goes_on(const gs_walk *w, gs_role role)
{
    return gs_job_any_w4a4(w->job, gs_job_linear(w->block, role) + 1) || gs_job_any_attention(w->job, w->block + 1);
}

gs_status gs_step_w4a4_attention(gs_walk *w, gs_error *err)
{
    const bool heads = w->job->fa && w->job->fa[w->block];
    gs_walk_reset_heads(w);
    if (!heads && !goes_on(w, GS_DENSE)) return GS_OK;
    const gs_taps taps = {.ctx = w, .heads = gs_walk_heads_tap, .linear = walk_linear, .reference = w->reference};
    return run_half(w, false, &taps, goes_on(w, GS_DENSE) ? GS_UNTIL_H4_INPUT : GS_UNTIL_DENSE_INPUT, err);
}

gs_status gs_step_w4a4_mlp(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const gs_taps taps = {.ctx = w, .linear = walk_linear};
    gs_keep_final(w);
    if (goes_on(w, GS_4H)) GS_TRY(run_half(w, true, &taps, GS_UNTIL_END, err));
    if (gs_job_calibrate_until(job, w->block) != GS_UNTIL_NOTHING) job->work_done += job->calibrated.tokens;
    gs_job_progress(job, "calibrate", w->block);
    return GS_OK;
}

/* ---- the inputs of one linear ---- */

typedef struct feed {
    gs_walk *w;
    gs_role role;
    const gs_w4a4_feed *to;
} feed;

static gs_status take(const feed *f, int64_t rows, const float *x, gs_error *err)
{
    return gs_w4a4_feed_add(f->to, &f->w->job->compute, rows, x, err);
}

static bool wants(void *ctx, gs_role role) { return role == ((const feed *)ctx)->role; }

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    (void)role;
    return take(ctx, chunk->rows, x, err);
}

static gs_status feed_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                             float *y, gs_error *err)
{
    return served(((const feed *)ctx)->w, role, chunk, row0, rows, x, y, err);
}

static gs_status feed_normed(const feed *f, gs_norm norm, gs_error *err)
{
    gs_walk *w = f->w;
    const gs_config *g = &w->job->config;
    const gs_block view = gs_transform_view(w->transform, w->weights);
    const int64_t tokens = w->stream[GS_STREAM_QUANTIZED].tokens, step = gs_emit_chunk_rows(g->hidden);
    for (int64_t row = 0; row < tokens; row += step) {
        const int64_t rows = tokens - row < step ? tokens - row : step;
        GS_TRY(gs_check_interrupt(err));
        for (int64_t r = 0, n; r < rows; r += n) {
            float *h;
            n = rows - r < w->stream[GS_STREAM_QUANTIZED].window ? rows - r : w->stream[GS_STREAM_QUANTIZED].window;
            GS_TRY(gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], row + r, n, &h, err));
            gs_rmsnorm(&w->job->compute, n, g->hidden, h, view.norm[norm], view.norm_bias[norm], g->norm_eps,
                       (float *)w->emit_rows.data + r * g->hidden);
        }
        GS_TRY(take(f, rows, w->emit_rows.data, err));
    }
    return GS_OK;
}

/* The stream itself stays as it is. */
static gs_status feed_inputs(void *ctx, const gs_w4a4_feed *to, gs_error *err)
{
    feed *const f = ctx;
    f->to = to;
    if (f->role == GS_QKV) return feed_normed(f, GS_NORM_INPUT, err);
    if (f->role == GS_H4) return feed_normed(f, GS_NORM_POST, err);
    const gs_taps taps = {
        .ctx = f, .wants = wants, .input = input, .linear = feed_linear, .reference = f->w->reference};
    const bool mlp = f->role == GS_4H;
    return run_half(f->w, mlp, &taps, mlp ? GS_UNTIL_4H_INPUT : GS_UNTIL_DENSE_INPUT, err);
}

/* ---- one linear ---- */

static gs_w4a4_options options_of(const gs_walk *w, gs_role role)
{
    const gs_block view = gs_transform_view(w->transform, w->weights);
    const gs_w4a4_options options = {.diagonal = role != GS_DENSE,
                                     .eigen = true,
                                     .floats = w->job->manifest.floats,
                                     .norm = role == GS_QKV  ? view.norm[GS_NORM_INPUT]
                                             : role == GS_H4 ? view.norm[GS_NORM_POST]
                                                             : NULL};
    return options;
}

static float *copy_floats(const float *from, int64_t n)
{
    float *copy = gs_alloc_array((size_t)n, sizeof *copy);
    memcpy(copy, from, (size_t)n * sizeof *copy);
    return copy;
}

static void note(gs_walk *w, gs_role role, const gs_w4a4_plan *plan)
{
    gs_linear_result *r = &w->job->report->linears[gs_job_linear(w->block, role)];
    const gs_w4a4_linear *l = &w->w4a4[role].linear;
    r->transform_alpha = plan->alpha < 0 ? (double)NAN : plan->alpha;
    r->transform_error = plan->error;
    r->clip_ratio = plan->clip_ratio;
    r->weight_scale_min = r->weight_scale_max = l->scale[0];
    for (int64_t o = 1; o < l->out; o++) {
        r->weight_scale_min = fmin(r->weight_scale_min, l->scale[o]);
        r->weight_scale_max = fmax(r->weight_scale_max, l->scale[o]);
    }
}

/* Codes, into the file and into the linear that the stream goes through. */
static gs_status round_weight(gs_walk *w, gs_role role, const gs_packed *weight, gs_w4a4_plan *plan, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    gs_w4a4_ready *ready = &w->w4a4[role];
    const int64_t index = w->job->manifest.block[w->block].linear[role].piece[GS_PIECE_WEIGHT];
    const int64_t out = weight->n, in = weight->k, step = gs_emit_chunk_rows(in);
    const float *bias = w->transform->bias[role] ? w->transform->bias[role] : w->weights->bias[role];
    GS_TRY(
        gs_w4a4_linear_init(&ready->linear, c, out, in, plan->left, plan->right, plan->clip_ratio, plan->d, bias, err));
    ready->left = copy_floats(plan->left, plan->a * plan->a);
    ready->right = copy_floats(plan->right, plan->b * plan->b);
    ready->active = true;
    float *scale = gs_alloc_array((size_t)out, sizeof *scale);
    gs_status status = GS_OK;
    for (int64_t row = 0; row < out && status == GS_OK; row += step) {
        const int64_t rows = out - row < step ? out - row : step;
        void *codes = NULL;
        status = gs_behind_acquire(&w->behind, index, (uint64_t)(row * in), &codes, err);
        if (status == GS_OK) status = gs_w4a4_round(plan, c, weight, row, rows, codes, scale + row, err);
        if (status != GS_OK) break;
        gs_w4a4_linear_set_rows(&ready->linear, c, row, rows, codes, scale + row);
        gs_behind_submit(&w->behind, (size_t)(rows * in));
    }
    gs_free(scale);
    if (status == GS_OK) note(w, role, plan);
    return status;
}

/* plan, copy: empty; the caller releases them whatever happens. */
static gs_status build(gs_walk *w, gs_role role, gs_w4a4_plan *plan, gs_packed *copy, gs_error *err)
{
    const gs_packed *weight;
    const gs_w4a4_options options = options_of(w, role);
    feed f = {.w = w, .role = role};
    const gs_w4a4_source from = {.tokens = w->stream[GS_STREAM_QUANTIZED].tokens,
                                 .keep = gs_job_w4a4_keep(w->job, role),
                                 .inputs = feed_inputs,
                                 .ctx = &f};
    GS_TRY(gs_walk_current_weight(w, role, copy, &weight, err));
    GS_TRY(gs_w4a4_build(plan, &w->job->compute, weight, &options, &from, err));
    return round_weight(w, role, weight, plan, err);
}

/* A float linear waits for the end of the block. */
static gs_status make_linear(gs_walk *w, gs_role role, gs_error *err)
{
    gs_w4a4_ready_release(&w->w4a4[role]);
    gs_fake_release(&w->fake[role]);
    if (!gs_job_is_quantized(w->job, gs_job_linear(w->block, role))) return GS_OK;
    if (!is_w4a4(w, role)) return gs_emit_linear(w, role, err);
    gs_w4a4_plan plan = {0};
    gs_packed copy = {0};
    const gs_status status = build(w, role, &plan, &copy, err);
    gs_w4a4_plan_release(&plan);
    gs_packed_release(&copy);
    if (status == GS_OK) return GS_OK;
    char name[640];
    gs_linear_name(w->job->family, w->block, role, "", name, sizeof name);
    return gs_wrap(err, "%s", name);
}

gs_status gs_step_w4a4_qkv(gs_walk *w, gs_error *err) { return make_linear(w, GS_QKV, err); }
gs_status gs_step_w4a4_dense(gs_walk *w, gs_error *err) { return make_linear(w, GS_DENSE, err); }
gs_status gs_step_w4a4_h4(gs_walk *w, gs_error *err) { return make_linear(w, GS_H4, err); }
gs_status gs_step_w4a4_4h(gs_walk *w, gs_error *err) { return make_linear(w, GS_4H, err); }

/* ---- the rest of the block's tensors ---- */

/* to[i] = from[i]·factor[i], factor NULL = 1, from NULL = nothing: then NULL. Freed by the caller. */
static float *product(const float *from, const float *factor, int64_t n)
{
    if (!from) return NULL;
    float *to = copy_floats(from, n);
    for (int64_t i = 0; i < n && factor; i++) to[i] *= factor[i];
    return to;
}

/* Norms take the d of the linear behind them; so do their biases, which pass through the same columns. */
static gs_status write_norm(gs_walk *w, gs_norm norm, gs_role consumer, gs_error *err)
{
    const gs_block view = gs_transform_view(w->transform, w->weights);
    const int64_t hidden = w->job->config.hidden;
    const float *d = w->w4a4[consumer].active ? w->w4a4[consumer].linear.d : NULL;
    float *weight = product(view.norm[norm], d, hidden), *bias = product(view.norm_bias[norm], d, hidden);
    const gs_status status = gs_emit_norm(w, &w->job->manifest.block[w->block].norm[norm], weight, bias, err);
    gs_free(weight);
    gs_free(bias);
    return status;
}

/* row_factor: [out] or NULL. Scales of symmetric rows take it exactly where the codes would not. */
static gs_status write_vectors(gs_walk *w, gs_role role, const float *row_factor, gs_error *err)
{
    const gs_w4a4_ready *r = &w->w4a4[role];
    const gs_linear_out *to = &w->job->manifest.block[w->block].linear[role];
    const int64_t out = r->linear.out, a = r->linear.pair.a, b = r->linear.pair.b;
    float *scale = product(r->linear.scale, row_factor, out), *bias = product(r->linear.bias, row_factor, out);
    gs_status status = gs_emit_floats(w, to->piece[GS_PIECE_WEIGHT_SCALE], scale, out, err);
    if (status == GS_OK && bias) status = gs_emit_floats(w, to->piece[GS_PIECE_BIAS], bias, out, err);
    if (status == GS_OK) status = gs_emit_zeros(w, to->piece[GS_PIECE_WEIGHT_OFFSET], err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_CLIP_RATIO], &r->linear.clip_ratio, 1, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_LEFT_TRANS], r->left, a * a, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_RIGHT_TRANS], r->right, b * b, err);
    gs_free(scale);
    gs_free(bias);
    return status;
}

/* 1 for H4's gate rows, d of 4H for its up rows; NULL if 4H takes its inputs as they come. */
static float *up_factor(const gs_walk *w)
{
    const int64_t ffn = w->job->config.ffn;
    if (!w->w4a4[GS_4H].active) return NULL;
    float *factor = gs_alloc_array((size_t)(2 * ffn), sizeof *factor);
    for (int64_t i = 0; i < ffn; i++) factor[i] = 1.0f;
    memcpy(factor + ffn, w->w4a4[GS_4H].linear.d, (size_t)ffn * sizeof *factor);
    return factor;
}

gs_status gs_step_w4a4_write(gs_walk *w, gs_error *err)
{
    float *up = up_factor(w);
    gs_status status = write_norm(w, GS_NORM_INPUT, GS_QKV, err);
    if (status == GS_OK) status = write_norm(w, GS_NORM_POST, GS_H4, err);
    for (int role = 0; role < GS_ROLES && status == GS_OK; role++) {
        const float *factor = role == GS_H4 ? up : NULL;
        if (w->w4a4[role].active)
            status = write_vectors(w, (gs_role)role, factor, err);
        else if (!gs_job_is_quantized(w->job, gs_job_linear(w->block, (gs_role)role)))
            status = gs_emit_float_linear(w, (gs_role)role, factor, err);
    }
    gs_free(up);
    return status;
}
