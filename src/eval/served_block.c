/* Owns the block of a result. SPDX-License-Identifier: Apache-2.0 */
#include "eval/served_block.h"

#include <string.h>

static gs_status load_vector(float **v, const gs_quantdir *q, const gs_tensor *t, gs_error *err)
{
    gs_free(*v);
    *v = NULL;
    if (!t) return GS_OK;
    *v = gs_alloc_array((size_t)t->elements, sizeof **v);
    return gs_quant_read_floats(q, t, 0, t->elements, *v, err);
}

static gs_status load_offsets(float **v, const gs_quantdir *q, const gs_tensor *t, gs_error *err)
{
    gs_free(*v);
    *v = gs_alloc_array((size_t)t->elements, sizeof **v);
    int8_t *const raw = gs_alloc((size_t)t->elements);
    const gs_status status = gs_checkpoint_read(&q->checkpoint, t, 0, raw, (size_t)t->elements, err);
    for (int64_t i = 0; i < t->elements && status == GS_OK; i++) (*v)[i] = raw[i];
    gs_free(raw);
    return status;
}

static gs_status check_scales(const gs_tensor *t, const float *v, gs_error *err)
{
    for (int64_t i = 0; i < t->elements; i++)
        if (!(v[i] > 0.0f))
            return gs_fail(err, GS_ERR_FILE, "tensor '%s' holds %g at element %lld; a scale is above 0", t->name,
                           (double)v[i], (long long)i);
    return GS_OK;
}

static gs_status load_attention(gs_served_block *b, const gs_quantdir *q, const gs_quant_block *from, gs_error *err)
{
    b->kv = from->kv[0] != NULL;
    b->fa = from->fa[0] != NULL;
    for (int i = 0; i < GS_KV_PARTS && b->kv; i++) {
        GS_TRY(load_vector(&b->kv_value[i], q, from->kv[i], err));
        if (i == GS_KV_K_SCALE || i == GS_KV_V_SCALE) GS_TRY(check_scales(from->kv[i], b->kv_value[i], err));
    }
    for (int i = 0; i < GS_FA_PARTS && b->fa; i++) {
        GS_TRY(i < 3 ? load_vector(&b->fa_value[i], q, from->fa[i], err)
                     : load_offsets(&b->fa_value[i], q, from->fa[i], err));
        if (i < 3) GS_TRY(check_scales(from->fa[i], b->fa_value[i], err));
    }
    return GS_OK;
}

gs_status gs_served_block_load(gs_served_block *b, gs_compute *c, const gs_quantdir *q, int block, gs_error *err)
{
    const gs_quant_block *from = &q->block[block];
    b->vectors.config = &q->config;
    for (int i = 0; i < GS_NORMS; i++) {
        GS_TRY(load_vector(&b->vectors.norm[i], q, from->norm[i].weight, err));
        GS_TRY(load_vector(&b->vectors.norm_bias[i], q, from->norm[i].bias, err));
    }
    for (int role = 0; role < GS_ROLES; role++)
        GS_TRY(gs_served_load(&b->linear[role], c, q, &from->linear[role], 0, from->linear[role].whole.out, err));
    return load_attention(b, q, from, err);
}

void gs_served_block_release(gs_served_block *b)
{
    gs_block_release(&b->vectors);
    for (int role = 0; role < GS_ROLES; role++) gs_served_release(&b->linear[role]);
    for (int i = 0; i < GS_KV_PARTS; i++) gs_free(b->kv_value[i]);
    for (int i = 0; i < GS_FA_PARTS; i++) gs_free(b->fa_value[i]);
    *b = (gs_served_block){0};
}

typedef struct pass {
    gs_served_block *b;
    gs_compute *c;
    gs_served_work *work;
    const gs_served_watch *seen;
} pass;

static gs_status on_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                           float *y, gs_error *err)
{
    const pass *p = ctx;
    (void)err;
    gs_served_apply(&p->b->linear[role], p->c, p->work, rows, x, y);
    if (p->seen) p->seen->output(p->seen->ctx, role, chunk, row0, rows, y);
    return GS_OK;
}

static gs_status on_heads(void *ctx, const gs_chunk *chunk, float *qkv, gs_error *err)
{
    const pass *p = ctx;
    const gs_config *g = p->b->vectors.config;
    const int64_t width = gs_config_qkv_width(g), rows = chunk->rows, keys = g->groups * g->head_dim;
    float *const k = qkv + gs_config_attention_width(g), *const v = k + keys;
    float *const *kv = p->b->kv_value, *const *fa = p->b->fa_value;
    (void)err;
    if (p->b->fa) {
        gs_served_round_trip(p->c, rows, g->heads * g->head_dim, g->head_dim, qkv, width, fa[0], fa[3]);
        gs_served_round_trip(p->c, rows, keys, g->head_dim, k, width, fa[1], fa[4]);
        gs_served_round_trip(p->c, rows, keys, g->head_dim, v, width, fa[2], fa[5]);
    }
    if (p->b->kv) {
        gs_served_round_trip(p->c, rows, keys, 1, k, width, kv[GS_KV_K_SCALE], kv[GS_KV_K_OFFSET]);
        gs_served_round_trip(p->c, rows, keys, 1, v, width, kv[GS_KV_V_SCALE], kv[GS_KV_V_OFFSET]);
    }
    return GS_OK;
}

gs_status gs_served_block_forward(gs_served_block *b, gs_compute *c, int block, const gs_rope *rope,
                                  const gs_chunk *chunk, float *h, gs_scratch *s, gs_served_work *work,
                                  const gs_served_watch *seen, gs_error *err)
{
    pass p = {.b = b, .c = c, .work = work, .seen = seen};
    const gs_taps taps = {.ctx = &p, .linear = on_linear, .change_heads = b->kv || b->fa ? on_heads : NULL};
    return gs_block_forward(c, &b->vectors, block, rope, chunk, h, s, &taps, GS_UNTIL_END, err);
}
