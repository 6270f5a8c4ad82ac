/* Owns the streams and the order of the pass. SPDX-License-Identifier: Apache-2.0 */
#include "eval/lockstep.h"

#include <string.h>

#include "eval/logits.h"

#define HEAD_BYTES (32u << 20) /* float32 of one chunk of output rows */
#define TILE_ROWS  128         /* tokens whose logits are held together */

typedef struct gs_pass {
    gs_lockstep *l;
    int64_t first, last; /* samples of the segment */
    int64_t row0, rows;  /* of the segment in all samples */
    gs_samples view;     /* samples up to `last` */
    gs_buf stream;       /* [1 + models][segment rows, hidden] */
    int64_t stream_rows; /* room */
    gs_rope rope;
    gs_scratch scratch;
    gs_served_work work;
    gs_kept kept;
    gs_block exact;
    gs_served_block *served; /* [models] */
    int64_t done, total;     /* rows · blocks · models, for progress */
    double started;
    int block;

    int comparing; /* model whose linears are seen; for the tap */
} gs_pass;

static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* model -1 = float */
static float *stream_of(const gs_pass *p, int model, int64_t row)
{
    const int64_t hidden = p->l->config->hidden;
    return (float *)p->stream.data + ((model + 1) * p->stream_rows + row - p->row0) * hidden;
}

static void tell(gs_pass *p, const char *step, int64_t more)
{
    const gs_watch *watch = p->l->watch;
    p->done += more;
    if (!watch || !watch->progress) return;
    const double seconds = gs_seconds() - p->started;
    gs_progress now = {.step = step,
                       .block = p->block,
                       .n_blocks = (int)p->l->config->layers,
                       .tokens_done = p->done,
                       .tokens_total = p->total,
                       .seconds = seconds,
                       .eta_s = -1,
                       .memory_bytes = gs_rss_now()};
    if (seconds > 0 && p->done > 0) {
        now.tokens_per_s = (double)p->done / seconds;
        now.eta_s = (double)(p->total - p->done) / now.tokens_per_s;
    }
    watch->progress(watch->ctx, &now);
}

/* Rows of the output layer per chunk. */
static int64_t head_step(const gs_config *c)
{
    const int64_t fit = (int64_t)HEAD_BYTES / (c->hidden * (int64_t)sizeof(float)) / GS_PACK_ROWS * GS_PACK_ROWS;
    return min_i64(max_i64(fit, GS_PACK_ROWS), c->vocab);
}

/* ---- blocks ---- */

static gs_status on_float(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                          float *y, gs_error *err)
{
    gs_pass *p = ctx;
    const gs_packed *w = &p->exact.weight[role];
    (void)err;
    gs_gemm_f32(p->l->c, w, rows, x, w->k, p->exact.bias[role], y, w->n);
    if (p->l->models > 0) gs_kept_store(&p->kept, chunk, role, row0, rows, y);
    return GS_OK;
}

static void on_served(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *y)
{
    gs_pass *p = ctx;
    gs_kept_compare(&p->kept, p->l->c, chunk, role, row0, rows, y, &p->l->layer[p->comparing][p->block]);
}

static gs_status run_chunk(gs_pass *p, const gs_chunk *chunk, gs_error *err)
{
    gs_lockstep *l = p->l;
    const gs_taps taps = {.ctx = p, .linear = on_float};
    const gs_served_watch watch = {.ctx = p, .output = on_served};
    float *const h = stream_of(p, -1, chunk->row0);
    GS_TRY(gs_block_forward(l->c, &p->exact, p->block, &p->rope, chunk, h, &p->scratch, &taps, GS_UNTIL_END, err));
    tell(p, "evaluate", chunk->rows);
    for (int m = 0; m < l->models; m++) {
        float *const served = stream_of(p, m, chunk->row0);
        p->comparing = m;
        if (gs_served_block_forward(&p->served[m], l->c, p->block, &p->rope, chunk, served, &p->scratch, &p->work,
                                    &watch, err) != GS_OK)
            return gs_wrap(err, "%s", l->model[m]->checkpoint.dir);
        gs_layers_cosine(l->c, l->set, chunk, l->config->hidden, h, served, &l->layer[m][p->block]);
        tell(p, "evaluate", chunk->rows);
    }
    return GS_OK;
}

static gs_status run_block(gs_pass *p, gs_error *err)
{
    gs_lockstep *l = p->l;
    tell(p, "read", 0);
    GS_TRY(gs_block_load(&p->exact, l->c, l->config, l->checkpoint, &l->tensors->block[p->block], err));
    for (int m = 0; m < l->models; m++) GS_TRY(gs_served_block_load(&p->served[m], l->c, l->model[m], p->block, err));
    for (int64_t first = p->first; first < p->last;) {
        const gs_chunk chunk = gs_chunk_at(&p->view, first);
        GS_TRY(run_chunk(p, &chunk, err));
        first += chunk.count;
    }
    return GS_OK;
}

/* ---- output layer ---- */

/* Predicted tokens of the segment: the stream row before each, and the token. */
typedef struct ends {
    int64_t n, place0; /* place of the first among all predicted tokens */
    int64_t *row;
    int32_t *target;
    float *x;                 /* [1 + models][n, hidden] normed */
    gs_token_sums *sums;      /* [1 + models][n] */
    gs_buf logits, rows;      /* [1 + models][tile, chunk] */
    gs_packed exact;          /* chunk of output rows */
    gs_served_linear *served; /* [models] */
} ends;

static void find_ends(const gs_pass *p, ends *e)
{
    const gs_eval_set *s = p->l->set;
    e->place0 = s->place[p->first];
    const int64_t most = s->place[p->last] - e->place0;
    e->row = gs_alloc_array((size_t)most + 1, sizeof *e->row);
    e->target = gs_alloc_array((size_t)most + 1, sizeof *e->target);
    for (int64_t i = p->first; i < p->last; i++) {
        for (int64_t row = s->samples.start[i] + s->first[i]; row < s->samples.start[i + 1]; row++) {
            e->row[e->n] = row - 1;
            e->target[e->n++] = s->samples.id[row];
        }
    }
}

static gs_status norm_ends(gs_pass *p, ends *e, int model, const float *norm, const float *bias)
{
    const gs_config *c = p->l->config;
    float *const x = (float *)e->rows.data + (model + 1) * e->n * c->hidden;
    for (int64_t i = 0; i < e->n; i++)
        memcpy(x + i * c->hidden, stream_of(p, model, e->row[i]), (size_t)c->hidden * sizeof *x);
    gs_rmsnorm(p->l->c, e->n, c->hidden, x, norm, bias, c->norm_eps, x);
    return GS_OK;
}

static gs_status norm_all(gs_pass *p, ends *e, gs_error *err)
{
    gs_lockstep *l = p->l;
    const int64_t hidden = l->config->hidden;
    GS_TRY(gs_buf_alloc(&e->rows, (size_t)((1 + l->models) * e->n * hidden) * sizeof(float),
                        "hidden states before predicted tokens", err));
    float *const norm = gs_alloc_array((size_t)hidden, sizeof *norm), *const bias =
                                                                          gs_alloc_array((size_t)hidden, sizeof *bias);
    gs_status status = gs_checkpoint_read_f32(l->checkpoint, l->tensors->final_norm, norm, err);
    if (status == GS_OK) status = norm_ends(p, e, -1, norm, NULL);
    for (int m = 0; m < l->models && status == GS_OK; m++) {
        const gs_quant_norm *from = &l->model[m]->final_norm;
        status = gs_quant_read_floats(l->model[m], from->weight, 0, hidden, norm, err);
        if (status == GS_OK && from->bias) status = gs_quant_read_floats(l->model[m], from->bias, 0, hidden, bias, err);
        if (status == GS_OK) status = norm_ends(p, e, m, norm, from->bias ? bias : NULL);
    }
    gs_free(norm);
    gs_free(bias);
    return status;
}

static gs_status check_logits(const gs_pass *p, int model, int64_t n, const float *logits, gs_error *err)
{
    float least, greatest;
    bool finite;
    gs_minmax(p->l->c, n, logits, &least, &greatest, &finite);
    if (finite) return GS_OK;
    return gs_fail(err, GS_ERR_NUMERIC, "%s: the output layer gives NaN or infinity",
                   model < 0 ? p->l->checkpoint->dir : p->l->model[model]->checkpoint.dir);
}

/* Logits of one tile for output rows id0 .. id0 + n, into the sums. */
static gs_status run_tile(gs_pass *p, ends *e, int64_t token, int64_t id0, int64_t n, const float **served,
                          gs_token_sums **sums, gs_error *err)
{
    gs_lockstep *l = p->l;
    const int64_t hidden = l->config->hidden, tokens = min_i64(TILE_ROWS, e->n - token);
    float *const logits = e->logits.data;
    const float *const x = (float *)e->rows.data + token * hidden;
    gs_gemm_f32(l->c, &e->exact, tokens, x, hidden, NULL, logits, n);
    GS_TRY(check_logits(p, -1, tokens * n, logits, err));
    for (int m = 0; m < l->models; m++) {
        float *const y = logits + (m + 1) * TILE_ROWS * n;
        gs_served_apply(&e->served[m], l->c, &p->work, tokens, x + (m + 1) * e->n * hidden, y);
        GS_TRY(check_logits(p, m, tokens * n, y, err));
        served[m] = y;
        sums[m] = e->sums + (m + 1) * e->n + token;
    }
    const gs_logits some = {.tokens = tokens,
                            .id0 = id0,
                            .n = n,
                            .target = e->target + token,
                            .exact = logits,
                            .served = served,
                            .models = l->models,
                            .exact_sums = e->sums + token,
                            .served_sums = sums};
    gs_logits_add(l->c, &some);
    return gs_check_interrupt(err);
}

static gs_status run_vocabulary(gs_pass *p, ends *e, gs_error *err)
{
    gs_lockstep *l = p->l;
    const gs_config *c = l->config;
    const int64_t step = head_step(c);
    GS_TRY(gs_buf_alloc(&e->logits, (size_t)((1 + l->models) * TILE_ROWS * step) * sizeof(float),
                        "logits of some tokens", err));
    const float **served = gs_alloc_array((size_t)l->models + 1, sizeof *served);
    gs_token_sums **sums = gs_alloc_array((size_t)l->models + 1, sizeof *sums);
    gs_status status = GS_OK;
    for (int64_t id0 = 0; id0 < c->vocab && status == GS_OK; id0 += step) {
        const int64_t n = min_i64(step, c->vocab - id0);
        status = gs_weight_load_rows(&e->exact, l->c, l->checkpoint, l->tensors->head, id0, n, err);
        for (int m = 0; m < l->models && status == GS_OK; m++)
            status = gs_served_load(&e->served[m], l->c, l->model[m], &l->model[m]->head, id0, n, err);
        for (int64_t token = 0; token < e->n && status == GS_OK; token += TILE_ROWS)
            status = run_tile(p, e, token, id0, n, served, sums, err);
        p->block = (int)c->layers - 1;
        tell(p, "head", 0);
    }
    gs_free((void *)served);
    gs_free(sums);
    return status;
}

static int shared_top(const gs_token_sums *a, const gs_token_sums *b)
{
    int shared = 0;
    for (int i = 0; i < GS_EVAL_TOP; i++)
        for (int j = 0; j < GS_EVAL_TOP; j++) shared += a->top_id[i] >= 0 && a->top_id[i] == b->top_id[j];
    return shared;
}

static void keep_views(const gs_pass *p, const ends *e)
{
    gs_lockstep *l = p->l;
    for (int64_t i = 0; i < e->n; i++) l->exact.nll[e->place0 + i] = gs_token_nll(&e->sums[i]);
    for (int m = 0; m < l->models; m++) {
        const gs_token_views *to = &l->served[m];
        for (int64_t i = 0; i < e->n; i++) {
            const gs_token_sums *exact = &e->sums[i], *served = &e->sums[(m + 1) * e->n + i];
            to->nll[e->place0 + i] = gs_token_nll(served);
            to->kl[e->place0 + i] = gs_token_kl(exact, served);
            to->top1[e->place0 + i] = exact->top_id[0] == served->top_id[0];
            to->top5[e->place0 + i] = (unsigned char)shared_top(exact, served);
            l->head[m].signal += served->signal;
            l->head[m].noise += served->noise;
        }
    }
}

static gs_status run_head(gs_pass *p, gs_error *err)
{
    gs_lockstep *l = p->l;
    ends e = {0};
    find_ends(p, &e);
    e.sums = gs_alloc_array((size_t)((1 + l->models) * e.n) + 1, sizeof *e.sums);
    e.served = gs_alloc_array((size_t)l->models + 1, sizeof *e.served);
    for (int64_t i = 0; i < (1 + l->models) * e.n; i++) gs_token_sums_init(&e.sums[i]);
    gs_status status = norm_all(p, &e, err);
    if (status == GS_OK) status = run_vocabulary(p, &e, err);
    if (status == GS_OK) keep_views(p, &e);
    for (int m = 0; m < l->models; m++) gs_served_release(&e.served[m]);
    gs_packed_release(&e.exact);
    gs_buf_release(&e.rows);
    gs_buf_release(&e.logits);
    gs_free(e.served);
    gs_free(e.sums);
    gs_free(e.row);
    gs_free(e.target);
    return status;
}

/* ---- segments ---- */

static gs_status embed(gs_pass *p, gs_error *err)
{
    gs_lockstep *l = p->l;
    const int32_t *ids = l->set->samples.id + p->row0;
    GS_TRY(gs_embed(l->checkpoint, l->tensors->embedding, ids, p->rows, stream_of(p, -1, p->row0), err));
    for (int m = 0; m < l->models; m++)
        GS_TRY(gs_embed(&l->model[m]->checkpoint, l->model[m]->embedding, ids, p->rows, stream_of(p, m, p->row0), err));
    return GS_OK;
}

/* Whole chunks from sample `first` on, as many as the streams have room for, and one at least. */
static void choose_segment(gs_pass *p, int64_t first)
{
    const gs_samples *all = &p->l->set->samples;
    p->first = p->last = first;
    p->row0 = all->start[first];
    p->rows = 0;
    while (p->last < all->count) {
        const gs_chunk chunk = gs_chunk_at(all, p->last);
        if (p->rows > 0 && p->rows + chunk.rows > p->stream_rows) break;
        p->last += chunk.count;
        p->rows += chunk.rows;
    }
    p->view = *all;
    p->view.count = p->last;
}

static bool has_cards(const gs_quantdir *q)
{
    bool cards = !q->head.complete;
    for (int64_t b = 0; b < q->config.layers; b++)
        for (int role = 0; role < GS_ROLES; role++) cards = cards || !q->block[b].linear[role].complete;
    return cards;
}

static gs_status begin(gs_pass *p, gs_error *err)
{
    gs_lockstep *l = p->l;
    const gs_config *c = l->config;
    const int64_t models = 1 + l->models, longest = gs_chunk_rows_max(&l->set->samples);
    const int64_t fit = (int64_t)(l->stream_bytes / ((uint64_t)models * (uint64_t)c->hidden * sizeof(float)));
    p->stream_rows = min_i64(max_i64(fit, longest), l->set->samples.tokens);
    p->total = models * l->set->samples.tokens * c->layers;
    p->started = gs_seconds();
    GS_TRY(gs_buf_alloc(&p->stream, (size_t)(models * p->stream_rows * c->hidden) * sizeof(float),
                        "hidden states of all models", err));
    GS_TRY(gs_rope_init(&p->rope, l->set->samples.longest, c->rotary, c->rope_base, err));
    GS_TRY(gs_scratch_init(&p->scratch, c, longest, false, err));
    if (l->models == 0) return GS_OK;
    p->served = gs_alloc_array((size_t)l->models, sizeof *p->served);
    bool cards = false;
    for (int m = 0; m < l->models; m++) cards = cards || has_cards(l->model[m]);
    const int64_t rows = max_i64(min_i64(longest, GS_CHUNK_ROWS), TILE_ROWS);
    const int64_t in = max_i64(max_i64(c->hidden, c->ffn), gs_config_attention_width(c));
    const int64_t out = max_i64(max_i64(gs_config_qkv_width(c), 2 * c->ffn), max_i64(c->hidden, head_step(c)));
    GS_TRY(gs_served_work_init(&p->work, rows, in, out, cards, err));
    return gs_kept_init(&p->kept, c, l->set, longest, err);
}

static gs_status run_all(gs_pass *p, gs_error *err)
{
    GS_TRY(begin(p, err));
    const int64_t samples = p->l->set->samples.count;
    for (int64_t first = 0; first < samples; first = p->last) {
        choose_segment(p, first);
        GS_TRY(embed(p, err));
        for (p->block = 0; p->block < p->l->config->layers; p->block++) GS_TRY(run_block(p, err));
        GS_TRY(run_head(p, err));
    }
    return GS_OK;
}

gs_status gs_lockstep_run(gs_lockstep *l, gs_error *err)
{
    gs_pass p = {.l = l};
    const gs_status status = run_all(&p, err);
    for (int m = 0; m < l->models && p.served; m++) gs_served_block_release(&p.served[m]);
    gs_free(p.served);
    gs_block_release(&p.exact);
    gs_kept_release(&p.kept);
    gs_served_work_release(&p.work);
    gs_scratch_release(&p.scratch);
    gs_rope_release(&p.rope);
    gs_buf_release(&p.stream);
    return status;
}
