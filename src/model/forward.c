/* The forward pass of one block of the ChatGLM layout, in float32:
 *   h += DENSE(attention(rope(QKV(norm(h)))));  h += 4H(silu(gate)·up), gate|up = H4(norm(h)).
 * Taps see the inputs of the linears and the outputs of QKV; linears may be replaced. Every kernel below gives a row
 * the same bits whatever other rows are in the call, so a sample's result does not depend on how samples are put into
 * chunks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <math.h>
#include <string.h>

#include "model/scratch.h"

/* What every step of one call needs. */
typedef struct pass {
    gs_compute *c;
    const gs_block *b;
    const gs_config *config;
    const gs_rope *rope;
    const gs_chunk *chunk;
    const gs_taps *taps;
    gs_scratch_parts s;
    float *h; /* [chunk rows, hidden] */
    gs_error *err;
} pass;

static int64_t at_most(int64_t n, int64_t limit) { return n < limit ? n : limit; }

gs_chunk gs_chunk_at(const gs_samples *s, int64_t first)
{
    gs_chunk c = {.first = first, .row0 = s->start[first], .start = s->start};
    while (first + c.count < s->count) {
        const int64_t rows = s->start[first + c.count + 1] - c.row0;
        if (c.count > 0 && rows > GS_CHUNK_ROWS) break;
        c.rows = rows;
        c.count++;
    }
    return c;
}

int64_t gs_chunk_rows_max(const gs_samples *s)
{
    int64_t most = 0;
    for (int64_t first = 0; first < s->count; first++) {
        const gs_chunk c = gs_chunk_at(s, first);
        if (c.rows > most) most = c.rows;
    }
    return most;
}

void gs_block_linear(gs_compute *c, const gs_block *b, gs_role role, int64_t rows, const float *x, float *y)
{
    const gs_packed *w = &b->weight[role];
    gs_gemm_f32(c, w, rows, x, w->k, b->bias[role], y, w->n);
}

static gs_status linear(const pass *p, gs_role role, int64_t row0, int64_t rows, const float *x, float *y)
{
    if (p->taps && p->taps->linear) return p->taps->linear(p->taps->ctx, role, p->chunk, row0, rows, x, y, p->err);
    gs_block_linear(p->c, p->b, role, rows, x, y);
    return GS_OK;
}

static bool wanted(const pass *p, gs_role role)
{
    const gs_taps *t = p->taps;
    return t && t->input && (!t->wants || t->wants(t->ctx, role));
}

static gs_status tap_input(const pass *p, gs_role role, const float *x)
{
    return wanted(p, role) ? p->taps->input(p->taps->ctx, role, p->chunk, x, p->err) : GS_OK;
}

static void norm(const pass *p, gs_norm which)
{
    gs_rmsnorm(p->c, p->chunk->rows, p->config->hidden, p->h, p->b->norm[which], p->b->norm_bias[which],
               p->config->norm_eps, p->s.normed);
}

static gs_status qkv(const pass *p)
{
    const int64_t width = gs_config_qkv_width(p->config), hidden = p->config->hidden, rows = p->chunk->rows;
    norm(p, GS_NORM_INPUT);
    GS_TRY(tap_input(p, GS_QKV, p->s.normed));
    for (int64_t row = 0; row < rows; row += GS_LINEAR_ROWS)
        GS_TRY(linear(p, GS_QKV, row, at_most(rows - row, GS_LINEAR_ROWS), p->s.normed + row * hidden,
                      p->s.qkv + row * width));
    return p->taps && p->taps->qkv_output ? p->taps->qkv_output(p->taps->ctx, p->chunk, p->s.qkv, p->err) : GS_OK;
}

/* Positions start at 0 in every sample. Queries and keys lie side by side in a row and rotate alike, so they go in
 * one call. */
static gs_status attention(const pass *p)
{
    const gs_config *g = p->config;
    const gs_chunk *chunk = p->chunk;
    const int64_t width = gs_config_qkv_width(g), attended = gs_config_attention_width(g);
    for (int64_t i = chunk->first; i < chunk->first + chunk->count; i++) {
        const int64_t rows = chunk->start[i + 1] - chunk->start[i];
        float *const q = p->s.qkv + (chunk->start[i] - chunk->row0) * width;
        gs_rope_apply(p->c, p->rope, rows, q, width, g->heads + g->groups, g->head_dim, 0);
    }
    if (p->taps && p->taps->heads) GS_TRY(p->taps->heads(p->taps->ctx, chunk, p->s.qkv, p->err));
    if (p->taps && p->taps->change_heads) GS_TRY(p->taps->change_heads(p->taps->ctx, chunk, p->s.qkv, p->err));
    GS_TRY(gs_compute_provide_heads(p->c, g->head_dim, p->err));
    for (int64_t i = chunk->first; i < chunk->first + chunk->count; i++) {
        const int64_t row = chunk->start[i] - chunk->row0, rows = chunk->start[i + 1] - chunk->start[i];
        const float *const q = p->s.qkv + row * width, *const k = q + attended;
        GS_TRY(gs_check_interrupt(p->err));
        if (rows == 0) continue;
        const float *const v = k + g->groups * g->head_dim;
        float *const out = p->s.context + row * attended;
        if (p->taps && p->taps->reference)
            gs_attention_whole(p->c, rows, q, width, k, v, width, g->heads, g->groups, g->head_dim, out, attended);
        else
            gs_attention(p->c, rows, 0, q, width, k, v, width, g->heads, g->groups, g->head_dim, out, attended);
    }
    return GS_OK;
}

static gs_status dense(const pass *p)
{
    const int64_t attended = gs_config_attention_width(p->config), hidden = p->config->hidden, rows = p->chunk->rows;
    for (int64_t row = 0; row < rows; row += GS_LINEAR_ROWS) {
        const int64_t n = at_most(rows - row, GS_LINEAR_ROWS);
        GS_TRY(linear(p, GS_DENSE, row, n, p->s.context + row * attended, p->s.y));
        gs_add(p->c, n * hidden, p->h + row * hidden, p->s.y);
    }
    return GS_OK;
}

/* gated: where the input of 4H for these rows goes, [n, ffn]. */
static gs_status mlp_up(const pass *p, int64_t row, int64_t n, float *gated)
{
    GS_TRY(gs_check_interrupt(p->err));
    GS_TRY(linear(p, GS_H4, row, n, p->s.normed + row * p->config->hidden, p->s.wide));
    gs_swiglu(p->c, n, p->config->ffn, p->s.wide, gated);
    return GS_OK;
}

static gs_status mlp_down(const pass *p, int64_t row, int64_t n, const float *gated)
{
    GS_TRY(linear(p, GS_4H, row, n, gated, p->s.y));
    gs_add(p->c, n * p->config->hidden, p->h + row * p->config->hidden, p->s.y);
    return GS_OK;
}

/* The tap of 4H must see the whole chunk before the first call of 4H, which may need what the tap learns. */
static gs_status mlp_whole(const pass *p, bool stop_at_input)
{
    const int64_t rows = p->chunk->rows, ffn = p->config->ffn;
    for (int64_t row = 0; row < rows; row += GS_LINEAR_ROWS)
        GS_TRY(mlp_up(p, row, at_most(rows - row, GS_LINEAR_ROWS), p->s.gated + row * ffn));
    GS_TRY(tap_input(p, GS_4H, p->s.gated));
    if (stop_at_input) return GS_OK;
    for (int64_t row = 0; row < rows; row += GS_LINEAR_ROWS)
        GS_TRY(mlp_down(p, row, at_most(rows - row, GS_LINEAR_ROWS), p->s.gated + row * ffn));
    return GS_OK;
}

static gs_status mlp_tiled(const pass *p)
{
    const int64_t rows = p->chunk->rows;
    for (int64_t row = 0; row < rows; row += GS_LINEAR_ROWS) {
        const int64_t n = at_most(rows - row, GS_LINEAR_ROWS);
        GS_TRY(mlp_up(p, row, n, p->s.gated));
        GS_TRY(mlp_down(p, row, n, p->s.gated));
    }
    return GS_OK;
}

static gs_status check_finite(const pass *p, int block_index)
{
    const int64_t hidden = p->config->hidden, n = p->chunk->rows * hidden;
    float least, greatest;
    bool finite;
    gs_minmax(p->c, n, p->h, &least, &greatest, &finite);
    if (finite) return GS_OK;
    /* Inside a sample a bad value may reach earlier rows too (0 · NaN behind the causal mask), so only the sample is
     * named. */
    int64_t at = 0, sample = p->chunk->first;
    while (at < n - 1 && isfinite(p->h[at])) at++;
    const int64_t row = p->chunk->row0 + at / hidden;
    while (sample < p->chunk->first + p->chunk->count - 1 && p->chunk->start[sample + 1] <= row) sample++;
    return gs_fail(p->err, GS_ERR_NUMERIC,
                   "block %d: the hidden state becomes NaN or infinite in sample %lld; the weights of this block are "
                   "damaged, or the model overflows float32",
                   block_index, (long long)sample);
}

static gs_status run_mlp(const pass *p, gs_until until)
{
    norm(p, GS_NORM_POST);
    GS_TRY(tap_input(p, GS_H4, p->s.normed));
    if (until == GS_UNTIL_H4_INPUT) return GS_OK;
    if (wanted(p, GS_4H)) return mlp_whole(p, until == GS_UNTIL_4H_INPUT);
    return until == GS_UNTIL_4H_INPUT ? GS_OK : mlp_tiled(p);
}

static gs_status run(const pass *p, gs_until until)
{
    GS_TRY(qkv(p));
    if (until == GS_UNTIL_QKV_OUTPUT) return GS_OK;
    GS_TRY(attention(p));
    GS_TRY(tap_input(p, GS_DENSE, p->s.context));
    if (until == GS_UNTIL_DENSE_INPUT) return GS_OK;
    GS_TRY(dense(p));
    return run_mlp(p, until);
}

/* p without its scratch. rope NULL: the second half alone. */
static gs_status forward(pass *p, int block_index, const gs_scratch *s, gs_until until)
{
    const int64_t rows = p->chunk->rows;
    p->config = p->b->config;
    p->s = gs_scratch_cut(s->buf.data, p->config, s->rows, s->whole_4h);
    if (rows == 0) return GS_OK;
    if (rows > s->rows || (wanted(p, GS_4H) && !s->whole_4h && rows > GS_LINEAR_ROWS))
        return gs_fail(p->err, GS_ERR_MEMORY, "block %d: scratch for %lld rows is too small for a chunk of %lld rows",
                       block_index, (long long)s->rows, (long long)rows);
    GS_TRY(p->rope ? run(p, until) : run_mlp(p, until));
    return until >= GS_UNTIL_H4_INPUT ? check_finite(p, block_index) : GS_OK;
}

gs_status gs_block_forward(gs_compute *c, const gs_block *b, int block_index, const gs_rope *rope,
                           const gs_chunk *chunk, float *h, gs_scratch *s, const gs_taps *taps, gs_until until,
                           gs_error *err)
{
    pass p = {.c = c, .b = b, .rope = rope, .chunk = chunk, .taps = taps, .h = h, .err = err};
    return forward(&p, block_index, s, until);
}

gs_status gs_block_forward_mlp(gs_compute *c, const gs_block *b, int block_index, const gs_chunk *chunk, float *h,
                               gs_scratch *s, const gs_taps *taps, gs_until until, gs_error *err)
{
    pass p = {.c = c, .b = b, .chunk = chunk, .taps = taps, .h = h, .err = err};
    return forward(&p, block_index, s, until);
}

gs_status gs_block_step(gs_compute *c, const gs_block *b, int block_index, const gs_rope *rope, int64_t rows,
                        int64_t pos0, float *h, float *cache, gs_scratch *s, gs_error *err)
{
    const gs_config *g = b->config;
    const int64_t start[2] = {0, rows};
    const gs_chunk chunk = {.count = 1, .rows = rows, .start = start};
    const pass p = {.c = c,
                    .b = b,
                    .config = g,
                    .rope = rope,
                    .chunk = &chunk,
                    .h = h,
                    .err = err,
                    .s = gs_scratch_cut(s->buf.data, g, s->rows, s->whole_4h)};
    const int64_t width = gs_config_qkv_width(g), attended = gs_config_attention_width(g);
    const int64_t kv = 2 * g->groups * g->head_dim;

    GS_TRY(gs_compute_provide_heads(c, g->head_dim, err));
    GS_TRY(qkv(&p));
    gs_rope_apply(c, rope, rows, p.s.qkv, width, g->heads + g->groups, g->head_dim, pos0);
    for (int64_t i = 0; i < rows; i++)
        memcpy(cache + (pos0 + i) * kv, p.s.qkv + i * width + attended, (size_t)kv * sizeof(float));
    gs_attention(c, rows, pos0, p.s.qkv, width, cache, cache + kv / 2, kv, g->heads, g->groups, g->head_dim,
                 p.s.context, attended);
    GS_TRY(dense(&p));
    norm(&p, GS_NORM_POST);
    GS_TRY(mlp_tiled(&p));
    return check_finite(&p, block_index);
}
