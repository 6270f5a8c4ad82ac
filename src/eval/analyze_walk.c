/* The blocks of an analysis, one in memory at a time. Each goes once over the float states in front of it, looking at the inputs of
 * its linears; then, for every linear and scheme, again with that linear quantized, from the point where it first matters. With KL,
 * every trial's states go on through the blocks behind. SPDX-License-Identifier: Apache-2.0 */
#include "eval/analyze_parts.h"
#include "eval/layers.h"
#include "eval/summary.h"

void gs_analyze_tell(gs_analyzer *a, const char *step, double token_blocks)
{
    const gs_watch *watch = a->spec->watch;
    a->done += token_blocks;
    if (!watch || !watch->progress) return;
    const double seconds = gs_seconds() - a->started;
    gs_progress now = {.step = step,
                       .block = a->at < a->config.layers ? a->at : (int)a->config.layers - 1, /* then comes the head */
                       .n_blocks = (int)a->config.layers,
                       .tokens_done = (int64_t)a->done,
                       .tokens_total = (int64_t)a->total,
                       .seconds = seconds,
                       .eta_s = -1,
                       .memory_bytes = gs_rss_now()};
    if (seconds > 0 && a->done > 0) {
        now.tokens_per_s = a->done / seconds;
        now.eta_s = (a->total - a->done) / now.tokens_per_s;
    }
    watch->progress(watch->ctx, &now);
}

gs_chunk gs_analyze_chunk(const gs_analyzer *a, int64_t sample)
{
    gs_samples part = a->samples;
    if (sample < a->observed) part.count = a->observed;
    return gs_chunk_at(&part, sample);
}

int64_t gs_analyze_stream(const gs_analyzer *a, int linear, int scheme)
{
    return GS_STATES_TRIALS + (int64_t)linear * a->schemes + scheme;
}

/* ---- the float block ---- */

static bool wants_first(void *ctx, gs_role role)
{
    (void)ctx;
    return role == GS_QKV || role == GS_DENSE;
}

static bool wants_second(void *ctx, gs_role role) { return !wants_first(ctx, role); }

static gs_status see_input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_analyzer *a = ctx;
    if (chunk->first >= a->observed) return GS_OK;
    if (gs_input_view_add(&a->view[role], a, chunk, x, err) == GS_OK) return GS_OK;
    return gs_wrap(err, "input of %s", a->out->linear[a->at * GS_ROLES + (int)role].name);
}

/* In two halves, because half of the linears is tried from the middle. */
static gs_status observe_chunk(gs_analyzer *a, const gs_chunk *chunk, gs_error *err)
{
    const gs_taps first = {.ctx = a, .wants = wants_first, .input = see_input};
    const gs_taps second = {.ctx = a, .wants = wants_second, .input = see_input};
    GS_TRY(gs_states_read(&a->states, a->stream[GS_STATES_IN], chunk->row0, chunk->rows, a->h, err));
    GS_TRY(
        gs_block_forward(a->c, &a->block, a->at, &a->rope, chunk, a->h, &a->scratch, &first, GS_UNTIL_H4_INPUT, err));
    GS_TRY(gs_states_write(&a->states, a->stream[GS_STATES_MIDDLE], chunk->row0, chunk->rows, a->h, err));
    GS_TRY(gs_block_forward_mlp(a->c, &a->block, a->at, chunk, a->h, &a->scratch, &second, GS_UNTIL_END, err));
    GS_TRY(gs_states_write(&a->states, a->stream[GS_STATES_OUT], chunk->row0, chunk->rows, a->h, err));
    gs_analyze_tell(a, "float", (double)chunk->rows);
    return gs_check_interrupt(err);
}

static gs_status observe(gs_analyzer *a, gs_error *err)
{
    gs_chunk chunk;
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&a->config, role, &out, &in);
        gs_input_view_begin(&a->view[role], a, in);
    }
    for (int64_t s = 0; s < a->samples.count; s += chunk.count) {
        chunk = gs_analyze_chunk(a, s);
        GS_TRY(observe_chunk(a, &chunk, err));
    }
    for (gs_role role = GS_QKV; role < GS_ROLES; role++)
        gs_input_figures_of(&a->view[role].sums, &a->out->linear[a->at * GS_ROLES + (int)role].input);
    return GS_OK;
}

/* ---- one linear under one scheme ---- */

typedef struct weight_rows {
    gs_analyzer *a;
    const gs_packed *from;
    gs_buf rows;
} weight_rows;

static gs_status read_rows(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    weight_rows *r = ctx;
    const size_t bytes = (size_t)(rows * r->from->k) * sizeof(float);
    if (bytes > r->rows.bytes) {
        gs_buf_release(&r->rows);
        GS_TRY(gs_buf_alloc(&r->rows, bytes, "rows of a weight", err));
    }
    gs_unpack_rows(r->a->c, r->from, row0, rows, r->rows.data);
    *w = r->rows.data;
    return GS_OK;
}

static gs_status build(gs_analyzer *a, const gs_scheme_plan *s, gs_role role, gs_error *err)
{
    const gs_quant_type type = gs_scheme_type(s, (int)role);
    if (type == GS_Q_W4A4_FLATQUANT_DYNAMIC) return gs_analyze_build_w4a4(a, s, role, err);
    weight_rows rows = {.a = a, .from = &a->block.weight[role]};
    gs_trial_spec spec = {.recipe = &s->recipe,
                          .rule = &s->rule,
                          .type = type,
                          .out = rows.from->n,
                          .in = rows.from->k,
                          .row_parallel = gs_role_is_row_parallel(role),
                          .bias = a->block.bias[role],
                          .rows = read_rows,
                          .ctx = &rows};
    if (gs_scheme_get(type)->static_input) spec.act = gs_input_view_act(&a->view[role], s);
    const gs_status status = gs_trial_build(&a->trial, a->c, &spec, err);
    gs_buf_release(&rows.rows);
    return status;
}

static gs_status tried_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows,
                              const float *x, float *y, gs_error *err)
{
    gs_analyzer *a = ctx;
    const gs_packed *w = &a->block.weight[role];
    (void)chunk;
    (void)row0;
    if (role == a->tried) return gs_trial_forward(&a->trial, a->c, rows, x, y, err);
    gs_gemm_f32(a->c, w, rows, x, w->k, a->block.bias[role], y, w->n);
    return GS_OK;
}

/* The chunk through the block with the trial in it, into a->h. */
static gs_status run_trial(gs_analyzer *a, const gs_chunk *chunk, gs_error *err)
{
    const gs_taps taps = {.ctx = a, .linear = tried_linear};
    const bool mlp = a->tried == GS_H4 || a->tried == GS_4H;
    const int64_t from = a->stream[mlp ? GS_STATES_MIDDLE : GS_STATES_IN];
    GS_TRY(gs_states_read(&a->states, from, chunk->row0, chunk->rows, a->h, err));
    return mlp ? gs_block_forward_mlp(a->c, &a->block, a->at, chunk, a->h, &a->scratch, &taps, GS_UNTIL_END, err)
               : gs_block_forward(a->c, &a->block, a->at, &a->rope, chunk, a->h, &a->scratch, &taps, GS_UNTIL_END, err);
}

/* Relative errors of the chunk's tokens, in their order. */
static gs_status compare(gs_analyzer *a, const gs_chunk *chunk, double *sum, int64_t *n, gs_error *err)
{
    const int64_t hidden = a->config.hidden;
    GS_TRY(gs_states_read(&a->states, a->stream[GS_STATES_OUT], chunk->row0, chunk->rows, a->exact, err));
    gs_rows_error(a->c, chunk->rows, hidden, a->exact, hidden, a->h, hidden, a->signal, a->noise);
    for (int64_t r = 0; r < chunk->rows; r++) {
        if (!a->counts[chunk->row0 + r] || !(a->signal[r] > 0)) continue;
        *sum += a->noise[r] / a->signal[r];
        ++*n;
    }
    return GS_OK;
}

static gs_status try_linear(gs_analyzer *a, int scheme, gs_role role, gs_error *err)
{
    const int linear = a->at * GS_ROLES + (int)role;
    gs_trial_figures *f = &a->figures[scheme][linear];
    gs_chunk chunk;
    double sum = 0;
    int64_t n = 0;
    a->tried = role;
    GS_TRY(build(a, &a->scheme[scheme], role, err));
    for (int64_t s = a->first; s < a->samples.count; s += chunk.count) {
        chunk = gs_analyze_chunk(a, s);
        GS_TRY(run_trial(a, &chunk, err));
        GS_TRY(compare(a, &chunk, &sum, &n, err));
        if (a->spec->kl)
            GS_TRY(
                gs_states_write(&a->states, gs_analyze_stream(a, linear, scheme), chunk.row0, chunk.rows, a->h, err));
        gs_analyze_tell(a, "try", (double)chunk.rows);
        GS_TRY(gs_check_interrupt(err));
    }
    f->loss = n > 0 ? sum / (double)n : 0;
    f->measured = true;
    return GS_OK;
}

static gs_status try_all(gs_analyzer *a, gs_error *err)
{
    for (gs_role role = GS_QKV; role < GS_ROLES; role++)
        for (int s = 0; s < a->schemes; s++) {
            const gs_status status = try_linear(a, s, role, err);
            gs_trial_release(&a->trial);
            if (status != GS_OK)
                return gs_wrap(err, "%s as %s", a->out->linear[a->at * GS_ROLES + (int)role].name, a->scheme[s].name);
        }
    return GS_OK;
}

/* ---- the blocks ---- */

/* Trials of earlier blocks go through this one in float. */
static gs_status carry_trials(gs_analyzer *a, gs_error *err)
{
    const int64_t end = a->spec->kl ? gs_analyze_stream(a, a->at * GS_ROLES, 0) : 0;
    for (int64_t stream = GS_STATES_TRIALS; stream < end; stream++) {
        gs_chunk chunk;
        for (int64_t s = a->first; s < a->samples.count; s += chunk.count) {
            chunk = gs_analyze_chunk(a, s);
            GS_TRY(gs_states_read(&a->states, stream, chunk.row0, chunk.rows, a->h, err));
            GS_TRY(
                gs_block_forward(a->c, &a->block, a->at, &a->rope, &chunk, a->h, &a->scratch, NULL, GS_UNTIL_END, err));
            GS_TRY(gs_states_write(&a->states, stream, chunk.row0, chunk.rows, a->h, err));
            gs_analyze_tell(a, "carry on", (double)chunk.rows);
            GS_TRY(gs_check_interrupt(err));
        }
    }
    return GS_OK;
}

static gs_status embed(gs_analyzer *a, gs_error *err)
{
    gs_chunk chunk;
    for (int64_t s = 0; s < a->samples.count; s += chunk.count) {
        chunk = gs_analyze_chunk(a, s);
        GS_TRY(gs_embed(&a->checkpoint, a->tensors.embedding, a->samples.id + chunk.row0, chunk.rows, a->h, err));
        GS_TRY(gs_states_write(&a->states, a->stream[GS_STATES_IN], chunk.row0, chunk.rows, a->h, err));
    }
    return GS_OK;
}

gs_status gs_analyze_blocks(gs_analyzer *a, gs_error *err)
{
    GS_TRY(embed(a, err));
    for (a->at = 0; a->at < a->config.layers; a->at++) {
        gs_analyze_tell(a, "read", 0);
        GS_TRY(gs_block_load(&a->block, a->c, &a->config, &a->checkpoint, &a->tensors.block[a->at], err));
        GS_TRY(carry_trials(a, err));
        GS_TRY(observe(a, err));
        GS_TRY(try_all(a, err));
        const int64_t behind = a->stream[GS_STATES_OUT];
        a->stream[GS_STATES_OUT] = a->stream[GS_STATES_IN];
        a->stream[GS_STATES_IN] = behind;
    }
    gs_block_release(&a->block);
    return GS_OK;
}
