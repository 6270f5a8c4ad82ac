/* Checks of the tensors' presence, shapes and types: the reader's own, made for everything instead of up to the first fault.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "format/verify_checks.h"

static void know(gs_verify *v, const gs_tensor *t)
{
    if (t) v->known[t - v->q.checkpoint.table.tensors] = true;
}

static void know_linear(gs_verify *v, const gs_quant_linear *l)
{
    for (int i = 0; i < GS_PIECES; i++) know(v, l->whole.piece[i]);
    for (int r = 0; r < l->ranks; r++)
        for (int i = 0; i < GS_PIECES; i++) know(v, l->rank[r].piece[i]);
    know(v, l->gather);
    for (int r = 0; r < l->ranks && l->gather; r++) know(v, l->reduce[r]);
}

/* A scale of the communication behind a linear; *to is NULL where there is none, or no such one. */
static gs_status find_scale(gs_verify *v, const gs_verify_linear *l, const char *tail, const gs_tensor **to,
                            gs_error *err)
{
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", l->prefix, tail);
    *to = gs_checkpoint_find(&v->q.checkpoint, name);
    know(v, *to);
    if (!*to) return GS_OK;
    const gs_status status = gs_checkpoint_expect(&v->q.checkpoint, name, l->linear.whole.out, -1, to, err);
    if (status != GS_OK) *to = NULL;
    return gs_verify_absorb(v, status, err);
}

/* One reduce_scale for all cards, or one for each. */
static gs_status find_reduce(gs_verify *v, gs_verify_linear *l, gs_error *err)
{
    GS_TRY(find_scale(v, l, GS_REDUCE_SCALE, &l->reduce[0], err));
    if (l->reduce[0]) {
        l->n_reduce = 1;
        return GS_OK;
    }
    for (; l->n_reduce < GS_TP_RANKS_MAX; l->n_reduce++) {
        char tail[32];
        snprintf(tail, sizeof tail, GS_REDUCE_SCALE ".%d", l->n_reduce);
        GS_TRY(find_scale(v, l, tail, &l->reduce[l->n_reduce], err));
        if (!l->reduce[l->n_reduce]) break;
    }
    l->own_reduce = l->n_reduce > 0;
    return GS_OK;
}

/* Scales of the communication behind a linear of which no cards' slices are written, as of a float one. */
static gs_status bind_communication(gs_verify *v, gs_verify_linear *l, gs_error *err)
{
    if (l->linear.ranks == 0) {
        GS_TRY(find_scale(v, l, GS_GATHER_SCALE, &l->gather, err));
        GS_TRY(find_reduce(v, l, err));
    }
    if (!l->gather != !l->reduce[0])
        gs_verify_fail(v, NULL, "'%s' has only one of gather_scale and reduce_scale", l->prefix);
    if (l->linear.ranks > 1 && l->linear.gather) l->own_reduce = l->linear.reduce[0] != l->linear.reduce[1];
    const int cards = l->linear.ranks > 0 ? l->linear.ranks : l->own_reduce ? l->n_reduce : 0;
    if (v->cards == 0) v->cards = cards;
    if (cards > 0 && cards != v->cards)
        gs_verify_fail(v, NULL, "'%s' has tensors for %d cards, others for %d", l->prefix, cards, v->cards);
    return GS_OK;
}

/* A linear that could not be bound is told about as a whole; its tensors are not unknown on top of that. */
static void know_prefix(gs_verify *v, const char *prefix)
{
    const gs_tensor_table *t = &v->q.checkpoint.table;
    const size_t n = strlen(prefix);
    for (int64_t i = 0; i < t->count; i++)
        if (strncmp(t->tensors[i].name, prefix, n) == 0 && t->tensors[i].name[n] == '.') v->known[i] = true;
}

static gs_status bind_linear(gs_verify *v, int at, gs_error *err)
{
    gs_verify_linear *l = &v->linear[at];
    char name[GS_NAME_BYTES];
    const bool head = at == v->n_linears - 1;
    l->block = at / GS_ROLES;
    l->role = (gs_role)(at % GS_ROLES);
    if (head)
        snprintf(name, sizeof name, "%s", v->q.family->head);
    else
        gs_linear_name(v->q.family, l->block, l->role, "", name, sizeof name);
    l->prefix = gs_arena_strdup(v->arena, name);
    const gs_status status =
        head ? gs_quantdir_head(&v->q, &l->linear, err) : gs_quantdir_linear(&v->q, l->block, l->role, &l->linear, err);
    l->found = status == GS_OK;
    if (l->found) {
        know_linear(v, &l->linear);
        return bind_communication(v, l, err);
    }
    know_prefix(v, name);
    return gs_verify_absorb(v, status, err);
}

GS_CHECK_DIRECTORY(linears)
{
    v->n_linears = (int)v->q.config.layers * GS_ROLES + 1;
    v->linear = gs_alloc_array((size_t)v->n_linears, sizeof *v->linear);
    v->known = gs_alloc_array((size_t)v->q.checkpoint.table.count + 1, sizeof *v->known);
    for (int i = 0; i < v->n_linears; i++) GS_TRY(bind_linear(v, i, err));
    return GS_OK;
}

GS_CHECK_DIRECTORY(norms)
{
    const int64_t layers = v->q.config.layers;
    v->norm = gs_alloc_array((size_t)(layers * GS_NORMS + 1), sizeof *v->norm);
    for (int64_t i = 0; i < layers * GS_NORMS + 1; i++) {
        gs_quant_norm *n = &v->norm[i];
        const gs_status status = i == layers * GS_NORMS
                                     ? gs_quantdir_final_norm(&v->q, n, err)
                                     : gs_quantdir_norm(&v->q, (int)(i / GS_NORMS), (gs_norm)(i % GS_NORMS), n, err);
        know(v, n->weight);
        know(v, n->bias);
        know(v, n->module_weight);
        know(v, n->module_bias);
        if (status != GS_OK) *n = (gs_quant_norm){0};
        GS_TRY(gs_verify_absorb(v, status, err));
    }
    const gs_config *c = &v->q.config;
    const gs_status status =
        gs_checkpoint_expect(&v->q.checkpoint, v->q.family->embedding, c->vocab, c->hidden, &v->embedding, err);
    know(v, gs_checkpoint_find(&v->q.checkpoint, v->q.family->embedding));
    return gs_verify_absorb(v, status, err);
}

/* By name, because a set that is not whole is not bound. */
static void know_set(gs_verify *v, int block)
{
    char name[GS_NAME_BYTES];
    for (int i = 0; i < GS_KV_PARTS; i++)
        for (int defused = 0; defused < 2; defused++)
            know(v,
                 gs_checkpoint_find(&v->q.checkpoint, gs_kv_name(v->q.family, block, i, defused, name, sizeof name)));
    for (int i = 0; i < GS_FA_PARTS; i++)
        know(v, gs_checkpoint_find(&v->q.checkpoint, gs_fa_name(v->q.family, block, i, name, sizeof name)));
}

GS_CHECK_DIRECTORY(attention)
{
    const int layers = (int)v->q.config.layers;
    v->kv = gs_alloc_array((size_t)layers, sizeof *v->kv);
    v->fa = gs_alloc_array((size_t)layers, sizeof *v->fa);
    for (int b = 0; b < layers; b++) {
        know_set(v, b);
        gs_status status = gs_quantdir_kv(&v->q, b, v->kv[b], err);
        if (status != GS_OK) memset(v->kv[b], 0, sizeof v->kv[b]);
        GS_TRY(gs_verify_absorb(v, status, err));
        status = gs_quantdir_fa(&v->q, b, v->fa[b], err);
        if (status != GS_OK) memset(v->fa[b], 0, sizeof v->fa[b]);
        GS_TRY(gs_verify_absorb(v, status, err));
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(unknown)
{
    const gs_tensor_table *t = &v->q.checkpoint.table;
    (void)err;
    for (int64_t i = 0; i < t->count; i++)
        if (!v->known[i])
            gs_verify_fail(v, NULL, "%s: tensor '%s' belongs to no part of the model",
                           gs_verify_file_of(v, &t->tensors[i]), t->tensors[i].name);
    return GS_OK;
}

GS_CHECK_DIRECTORY(qkv_bias)
{
    (void)err;
    for (int i = GS_QKV; i < v->n_linears - 1 && v->q.config.qkv_bias; i += GS_ROLES)
        if (v->linear[i].found && v->linear[i].linear.whole.piece[GS_PIECE_WEIGHT] &&
            !v->linear[i].linear.whole.piece[GS_PIECE_BIAS])
            gs_verify_fail(v, NULL, "'%s.bias' is missing, but config.json has add_qkv_bias true", v->linear[i].prefix);
    return GS_OK;
}

/* A part that is complete on its own, whole or per card. */
static gs_deq_encoding encoding(const gs_quant_linear *l)
{
    const gs_tensor *t = l->whole.piece[GS_PIECE_DEQ_SCALE];
    if (!t && l->ranks > 0) t = l->rank[0].piece[GS_PIECE_DEQ_SCALE];
    return !t ? GS_DEQ_NONE : t->dtype == GS_I64 ? GS_DEQ_I64 : GS_DEQ_F32;
}

/* Engines choose by torch_dtype: numbers under bfloat16, bit patterns under float16. Neither notices the other. */
GS_CHECK_DIRECTORY(deq_encoding)
{
    static const char *const name[] = {"", "F32", "I64"};
    const gs_dtype dtype = v->q.config.dtype;
    const gs_deq_encoding wanted = dtype == GS_BF16 ? GS_DEQ_F32 : GS_DEQ_I64;
    gs_deq_encoding first = GS_DEQ_NONE;
    (void)err;
    for (int i = 0; i < v->n_linears; i++) {
        const gs_deq_encoding e = v->linear[i].found ? encoding(&v->linear[i].linear) : GS_DEQ_NONE;
        if (e == GS_DEQ_NONE) continue;
        if (first == GS_DEQ_NONE) first = e;
        if (e != first)
            gs_verify_fail(v, NULL, "'%s.deq_scale' is %s, in others it is %s", v->linear[i].prefix, name[e],
                           name[first]);
    }
    if (first == GS_DEQ_NONE || first == wanted) return GS_OK;
    char text[160];
    snprintf(text, sizeof text, "deq_scale is %s, but config.json has torch_dtype %s, which goes with %s", name[first],
             v->q.config.torch_dtype, name[wanted]);
    if (v->request->target)
        gs_verify_fail(v, NULL, "%s", text);
    else /* what the reference writes on a CPU: nothing runs it as it is */
        gs_verify_warn(v, NULL, "%s", text);
    return GS_OK;
}
