/* The output layer of an analysis, some rows of the vocabulary and some tokens at a time: its own trials on the float states, and with
 * KL what became of every other trial's. Trials are taken GS_HEAD_MODELS together, for each of which the output layer is read again, so
 * that no more logits are held than theirs. SPDX-License-Identifier: Apache-2.0 */
#include "eval/analyze_parts.h"
#include "eval/logits.h"
#include "eval/summary.h"

#define GS_HEAD_MODELS 16
#define HEAD_BYTES     (16u << 20) /* float32 of one chunk of output rows */
#define TILE_ROWS      128         /* tokens whose logits are held together */

/* A trial at the output: its states, and the scheme of the output layer, or NULL: float. */
typedef struct head_model {
    int64_t stream;
    const gs_scheme_plan *scheme;
    gs_weight_stats stats;
    gs_trial trial;
    gs_trial_figures *to;
} head_model;

typedef struct batch {
    gs_analyzer *a;
    head_model model[GS_HEAD_MODELS];
    int models;
    int64_t step; /* output rows of a chunk */
    float *norm;  /* [hidden] */
    gs_packed panel;
    gs_buf sums, logits, states, rows; /* states: [2][tile, hidden] normed, of the float model and of a trial */
    int32_t *target;                   /* [tile] nothing is predicted: all 0 */
} batch;

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t head_step(const gs_config *c)
{
    const int64_t rows = (int64_t)HEAD_BYTES / (c->hidden * (int64_t)sizeof(float)) / GS_PACK_ROWS * GS_PACK_ROWS;
    return min_i64(rows < GS_PACK_ROWS ? GS_PACK_ROWS : rows, c->vocab);
}

/* i < 0: the float model */
static gs_token_sums *sums_of(const batch *b, int i)
{
    return (gs_token_sums *)b->sums.data + (i + 1) * b->a->samples.tokens;
}

/* ---- its inputs ---- */

static gs_status observe(batch *b, gs_error *err)
{
    gs_analyzer *a = b->a;
    gs_chunk chunk;
    gs_input_view_begin(&a->view[0], a, a->config.hidden);
    for (int64_t s = 0; s < a->observed; s += chunk.count) {
        chunk = gs_analyze_chunk(a, s);
        GS_TRY(gs_states_read(&a->states, a->stream[GS_STATES_IN], chunk.row0, chunk.rows, a->h, err));
        gs_rmsnorm(a->c, chunk.rows, a->config.hidden, a->h, b->norm, NULL, a->config.norm_eps, a->h);
        GS_TRY(gs_input_view_add(&a->view[0], a, &chunk, a->h, err));
    }
    gs_input_figures_of(&a->view[0].sums, &a->out->linear[a->out->linears - 1].input);
    return GS_OK;
}

/* ---- its weight ---- */

static gs_status need_rows(batch *b, int64_t rows, gs_error *err)
{
    const size_t bytes = (size_t)(rows * b->a->config.hidden) * sizeof(float);
    if (bytes <= b->rows.bytes) return GS_OK;
    gs_buf_release(&b->rows);
    return gs_buf_alloc(&b->rows, bytes, "rows of the output layer", err);
}

/* Of the chunk in the panel. */
static gs_status panel_rows(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    batch *b = ctx;
    GS_TRY(need_rows(b, rows, err));
    gs_unpack_rows(b->a->c, &b->panel, row0, rows, b->rows.data);
    *w = b->rows.data;
    return GS_OK;
}

/* Of the whole weight, for statistics. */
static gs_status weight_rows(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    batch *b = ctx;
    GS_TRY(gs_check_interrupt(err));
    GS_TRY(gs_weight_load_rows(&b->panel, b->a->c, &b->a->checkpoint, b->a->tensors.head, row0, rows, err));
    return panel_rows(ctx, 0, rows, w, err);
}

static gs_status build_trial(batch *b, head_model *m, gs_error *err)
{
    const gs_scheme_plan *s = m->scheme;
    gs_trial_spec spec = {.recipe = &s->recipe,
                          .rule = &s->rule,
                          .type = gs_scheme_type(s, (int)GS_ROLES),
                          .out = b->panel.n,
                          .in = b->panel.k,
                          .stats = &m->stats,
                          .rows = panel_rows,
                          .ctx = b};
    if (gs_scheme_get(spec.type)->static_input) spec.act = gs_input_view_act(&b->a->view[0], s);
    gs_trial_release(&m->trial);
    return gs_trial_build(&m->trial, b->a->c, &spec, err);
}

static gs_status measure_weights(batch *b, gs_error *err)
{
    const gs_config *c = &b->a->config;
    for (head_model *m = b->model; m < b->model + b->models; m++) {
        if (!m->scheme || !gs_weight_needs_stats(&m->scheme->rule)) continue;
        GS_TRY(
            gs_weight_measure(b->a->c, &m->scheme->rule, c->vocab, c->hidden, b->step, weight_rows, b, &m->stats, err));
    }
    return GS_OK;
}

/* ---- logits ---- */

static gs_status normed(batch *b, int64_t stream, int64_t token, int64_t tokens, float *x, gs_error *err)
{
    gs_analyzer *a = b->a;
    GS_TRY(gs_states_read(&a->states, stream, token, tokens, x, err));
    gs_rmsnorm(a->c, tokens, a->config.hidden, x, b->norm, NULL, a->config.norm_eps, x);
    return GS_OK;
}

static gs_status check_logits(const batch *b, int64_t n, const float *logits, gs_error *err)
{
    float least, greatest;
    bool finite;
    gs_minmax(b->a->c, n, logits, &least, &greatest, &finite);
    return finite ? GS_OK : gs_fail(err, GS_ERR_NUMERIC, "the output layer gives NaN or infinity");
}

static gs_status trial_logits(batch *b, head_model *m, int64_t token, int64_t tokens, const float *exact, float *y,
                              gs_error *err)
{
    gs_analyzer *a = b->a;
    const int64_t hidden = a->config.hidden, n = b->panel.n;
    if (m->scheme) {
        GS_TRY(gs_trial_forward(&m->trial, a->c, tokens, exact, y, err));
    } else {
        float *const x = (float *)b->states.data + TILE_ROWS * hidden;
        GS_TRY(normed(b, m->stream, token, tokens, x, err));
        gs_gemm_f32(a->c, &b->panel, tokens, x, hidden, NULL, y, n);
    }
    return check_logits(b, tokens * n, y, err);
}

static gs_status run_tile(batch *b, int64_t id0, int64_t token, gs_error *err)
{
    gs_analyzer *a = b->a;
    const int64_t hidden = a->config.hidden, n = b->panel.n, tokens = min_i64(TILE_ROWS, a->samples.tokens - token);
    float *const exact = b->states.data, *const logits = b->logits.data;
    const float *served[GS_HEAD_MODELS];
    gs_token_sums *sums[GS_HEAD_MODELS];
    GS_TRY(normed(b, a->stream[GS_STATES_IN], token, tokens, exact, err));
    gs_gemm_f32(a->c, &b->panel, tokens, exact, hidden, NULL, logits, n);
    GS_TRY(check_logits(b, tokens * n, logits, err));
    for (int i = 0; i < b->models; i++) {
        float *const y = logits + (i + 1) * TILE_ROWS * n;
        GS_TRY(trial_logits(b, &b->model[i], token, tokens, exact, y, err));
        served[i] = y;
        sums[i] = sums_of(b, i) + token;
    }
    const gs_logits some = {.tokens = tokens,
                            .id0 = id0,
                            .n = n,
                            .target = b->target,
                            .exact = logits,
                            .served = served,
                            .models = b->models,
                            .exact_sums = sums_of(b, -1) + token,
                            .served_sums = sums};
    gs_logits_add(a->c, &some);
    return gs_check_interrupt(err);
}

static gs_status run_vocabulary(batch *b, gs_error *err)
{
    gs_analyzer *a = b->a;
    for (int64_t id0 = 0; id0 < a->config.vocab; id0 += b->step) {
        const int64_t n = min_i64(b->step, a->config.vocab - id0);
        GS_TRY(gs_weight_load_rows(&b->panel, a->c, &a->checkpoint, a->tensors.head, id0, n, err));
        for (int i = 0; i < b->models; i++)
            if (b->model[i].scheme) GS_TRY(build_trial(b, &b->model[i], err));
        for (int64_t token = a->samples.start[a->first]; token < a->samples.tokens; token += TILE_ROWS)
            GS_TRY(run_tile(b, id0, token, err));
        gs_analyze_tell(a, "head", 0);
    }
    return GS_OK;
}

/* ---- figures ---- */

static void fill(const batch *b, int i, double *kl)
{
    const gs_analyzer *a = b->a;
    const gs_token_sums *exact = sums_of(b, -1), *served = sums_of(b, i);
    gs_trial_figures *to = b->model[i].to;
    double sum = 0;
    int64_t n = 0, compared = 0;
    for (int64_t t = 0; t < a->samples.tokens; t++) {
        if (!a->counts[t]) continue;
        kl[n++] = gs_token_kl(&exact[t], &served[t]);
        if (!(served[t].signal > 0)) continue;
        sum += served[t].noise / served[t].signal;
        compared++;
    }
    if (b->model[i].scheme) {
        to->loss = compared > 0 ? sum / (double)compared : 0;
        to->measured = true;
    }
    if (!a->spec->kl || n == 0) return;
    const gs_mean mean = gs_mean_of(kl, n);
    to->kl = mean.mean;
    to->kl_se = mean.se;
}

static gs_status run_models(batch *b, gs_error *err)
{
    gs_analyzer *a = b->a;
    for (int i = -1; i < b->models; i++)
        for (int64_t t = 0; t < a->samples.tokens; t++) gs_token_sums_init(&sums_of(b, i)[t]);
    gs_status status = measure_weights(b, err);
    if (status == GS_OK) status = run_vocabulary(b, err);
    double *kl = gs_alloc_array((size_t)a->samples.tokens + 1, sizeof *kl);
    for (int i = 0; i < b->models && status == GS_OK; i++) fill(b, i, kl);
    gs_free(kl);
    for (int i = 0; i < b->models; i++) gs_trial_release(&b->model[i].trial);
    b->models = 0;
    return status;
}

static gs_status add_model(batch *b, head_model m, gs_error *err)
{
    if (b->models == GS_HEAD_MODELS) GS_TRY(run_models(b, err));
    b->model[b->models++] = m;
    return GS_OK;
}

static gs_status run_all(batch *b, gs_error *err)
{
    gs_analyzer *a = b->a;
    const int head = a->out->linears - 1;
    for (int s = 0; s < a->schemes; s++) {
        if (gs_scheme_type(&a->scheme[s], (int)GS_ROLES) == GS_Q_FLOAT) continue;
        const head_model m = {.stream = a->stream[GS_STATES_IN], .scheme = &a->scheme[s], .to = &a->figures[s][head]};
        GS_TRY(add_model(b, m, err));
    }
    for (int linear = 0; linear < head && a->spec->kl; linear++)
        for (int s = 0; s < a->schemes; s++) {
            const head_model m = {.stream = gs_analyze_stream(a, linear, s), .to = &a->figures[s][linear]};
            GS_TRY(add_model(b, m, err));
        }
    return b->models > 0 ? run_models(b, err) : GS_OK;
}

static gs_status begin(batch *b, gs_error *err)
{
    const gs_analyzer *a = b->a;
    const gs_config *c = &a->config;
    const size_t trials = (size_t)a->schemes + (a->spec->kl ? (size_t)((a->out->linears - 1) * a->schemes) : 0);
    const size_t models = 1 + (trials < GS_HEAD_MODELS ? trials : GS_HEAD_MODELS);
    b->step = head_step(c);
    b->norm = gs_alloc_array((size_t)c->hidden, sizeof *b->norm);
    b->target = gs_alloc_array(TILE_ROWS, sizeof *b->target);
    GS_TRY(gs_buf_alloc(&b->sums, models * (size_t)a->samples.tokens * sizeof(gs_token_sums),
                        "sums over the vocabulary", err));
    GS_TRY(
        gs_buf_alloc(&b->logits, models * (size_t)(TILE_ROWS * b->step) * sizeof(float), "logits of some tokens", err));
    GS_TRY(gs_buf_alloc(&b->states, (size_t)(2 * TILE_ROWS * c->hidden) * sizeof(float), "inputs of the output layer",
                        err));
    return gs_checkpoint_read_f32(&a->checkpoint, a->tensors.final_norm, b->norm, err);
}

gs_status gs_analyze_head(gs_analyzer *a, gs_error *err)
{
    batch b = {.a = a};
    gs_status status = begin(&b, err);
    if (status == GS_OK) status = observe(&b, err);
    if (status == GS_OK) status = run_all(&b, err);
    for (int i = 0; i < b.models; i++) gs_trial_release(&b.model[i].trial);
    gs_packed_release(&b.panel);
    gs_buf_release(&b.sums);
    gs_buf_release(&b.logits);
    gs_buf_release(&b.states);
    gs_buf_release(&b.rows);
    gs_free(b.norm);
    gs_free(b.target);
    return status == GS_OK ? GS_OK : gs_wrap(err, "%s", a->family->head);
}
