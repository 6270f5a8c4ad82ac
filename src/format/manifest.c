/* Builds the list of output tensors in generation order (the order of the description and of weight_map).
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/manifest.h"

#include <stdio.h>
#include <string.h>

#include "format/target.h"
#include "recipe/compat.h"

static int64_t add(gs_manifest *m, const char *type, const char *name, gs_dtype dtype, int rank, const int64_t *shape)
{
    const int64_t index = gs_layout_add(&m->layout, name, dtype, rank, shape);
    if (index >= m->type_cap) {
        m->type_cap = m->type_cap ? 2 * m->type_cap : 256;
        m->type = gs_realloc_array(m->type, (size_t)m->type_cap, sizeof *m->type);
    }
    m->type[index] = type;
    return index;
}

/* A float tensor of the checkpoint under its own name and shape. */
static int64_t add_float(gs_manifest *m, const gs_manifest_spec *s, const gs_tensor *t, const char *name)
{
    const gs_dtype dtype = s->keep_dtypes ? t->dtype : GS_F32;
    return add(m, "FLOAT", name, dtype, t->rank, t->shape);
}

static gs_dtype piece_dtype(const gs_manifest *m, const gs_manifest_spec *s, const gs_scheme *scheme, gs_piece piece,
                            const gs_weight_layout *layout, const gs_tensor *weight, const gs_tensor *bias)
{
    const bool stays_float = scheme->type == GS_Q_FLOAT;
    if (piece == GS_PIECE_WEIGHT && stays_float) return s->keep_dtypes ? weight->dtype : GS_F32;
    if (piece == GS_PIECE_BIAS) return s->keep_dtypes ? bias->dtype : GS_F32;
    return gs_piece_dtype(scheme, piece, layout, m->floats, m->deq_i64);
}

/* prefix: the norm's name without ".weight". */
static void add_norm(gs_manifest *m, const gs_manifest_spec *s, gs_norm_out *out, const gs_tensor *t,
                     const char *prefix)
{
    char name[GS_NAME_BYTES];
    const gs_dtype dtype = s->keep_dtypes ? t->dtype : GS_F32;
    const gs_dtype bias_dtype = s->norm_bias_f32 ? GS_F32 : dtype;
    const char *module_type = gs_quant_type_name(s->type);
    *out = (gs_norm_out){-1, -1, -1, -1};
    snprintf(name, sizeof name, "%s.weight", prefix);
    out->weight = add(m, "FLOAT", name, dtype, 1, t->shape);
    if (!s->norm_bias) return;
    snprintf(name, sizeof name, "%s.bias", prefix);
    out->bias = add(m, "FLOAT", name, bias_dtype, 1, t->shape);
    if (!s->norm_module) return;
    snprintf(name, sizeof name, "%s.module.weight", prefix);
    out->module_weight = add(m, module_type, name, dtype, 1, t->shape);
    snprintf(name, sizeof name, "%s.module.bias", prefix);
    out->module_bias = add(m, module_type, name, bias_dtype, 1, t->shape);
}

/* A linear to be written, or one card's part of it. */
typedef struct linear_spec {
    const char *prefix;
    gs_choice choice;
    gs_weight_layout layout;
    int64_t in;
    const gs_tensor *weight, *bias; /* bias: the checkpoint's, or the weight where a bias is new (its dtype counts, the
                                     * length is the weight's rows); NULL = none */
    bool weight_alone;              /* no other piece */
    bool one_type;                  /* the bias is typed as the linear: what the reference does to cards */
} linear_spec;

static void no_pieces(gs_linear_out *out)
{
    for (int i = 0; i < GS_PIECES; i++) out->piece[i] = -1;
}

static void add_pieces(gs_manifest *m, const gs_manifest_spec *s, gs_linear_out *out, const linear_spec *l)
{
    const gs_scheme *scheme = gs_scheme_get(l->choice.type);
    for (int i = 0; i < scheme->n_pieces && !l->choice.dropped; i++) {
        const gs_piece_spec *p = &scheme->pieces[i];
        if (p->piece == GS_PIECE_BIAS && !l->bias) continue;
        if (p->piece != GS_PIECE_WEIGHT && l->weight_alone) continue;
        char name[GS_NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", l->prefix, p->suffix);
        int64_t shape[2];
        const int rank = gs_piece_shape(p, &l->layout, l->weight->shape[0], l->in, shape);
        if (rank == 0) continue;
        const gs_dtype dtype = piece_dtype(m, s, scheme, p->piece, &l->layout, l->weight, l->bias);
        const char *type = p->typed_float && !l->one_type ? "FLOAT" : scheme->name;
        out->piece[p->piece] = add(m, type, name, dtype, rank, shape);
    }
}

static bool has_rule(gs_choice choice)
{
    return choice.type != GS_Q_FLOAT && choice.type != GS_Q_W4A4_FLATQUANT_DYNAMIC;
}

/* A linear that is not row-parallel. */
static linear_spec linear_of(const gs_manifest_spec *s, const char *prefix, gs_choice choice, const gs_tensor *weight,
                             const gs_tensor *bias)
{
    linear_spec l = {.prefix = prefix, .choice = choice, .in = weight->shape[1], .weight = weight, .bias = bias};
    l.layout = (gs_weight_layout){.scale_columns = 1};
    if (has_rule(choice)) l.layout = gs_weight_layout_from(s->rule, s->recipe, s->recipe->mindie_format, false, l.in);
    return l;
}

/* Scales of what cards send: one for each, or one for all. */
static void add_communication(gs_manifest *m, const gs_manifest_spec *s, gs_parallel_out *out, const linear_spec *l)
{
    const char *type = gs_scheme_get(l->choice.type)->name;
    const int n = s->resolved->comm_per_rank ? s->resolved->ranks : 1;
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s" GS_GATHER_SCALE, l->prefix);
    out->gather_scale = add(m, type, name, m->floats, 1, l->weight->shape);
    for (int r = 0; r < n; r++) {
        if (n > 1)
            snprintf(name, sizeof name, "%s" GS_REDUCE_SCALE ".%d", l->prefix, r);
        else
            snprintf(name, sizeof name, "%s" GS_REDUCE_SCALE, l->prefix);
        out->reduce_scale[r] = add(m, type, name, m->floats, 1, l->weight->shape);
    }
}

static void add_ranks(gs_manifest *m, const gs_manifest_spec *s, gs_parallel_out *out, const linear_spec *whole,
                      gs_weight_layout rank_layout)
{
    const int ranks = s->resolved->ranks;
    for (int r = 0; r < ranks; r++) {
        char prefix[GS_NAME_BYTES];
        linear_spec l = *whole;
        snprintf(prefix, sizeof prefix, "%s" GS_TP_RANK, whole->prefix, r);
        l.prefix = prefix;
        l.in = whole->in / ranks;
        l.layout = rank_layout;
        if (r > 0) l.bias = NULL;
        l.one_type = gs_compat(s->recipe, GS_COMPAT_TP_LAYOUT);
        add_pieces(m, s, &out->rank[r], &l);
    }
}

/* The linear as engines load it, and, quantized, every card's part. The reference writes the parts alone, beside their codes in one
 * piece; of a float linear not even that. */
static void add_row_parallel(gs_manifest *m, const gs_manifest_spec *s, gs_linear_out *out, gs_parallel_out *parallel,
                             linear_spec *l)
{
    const bool cards = s->resolved->ranks > 1, compat = cards && gs_compat(s->recipe, GS_COMPAT_TP_LAYOUT);
    const bool quantized = l->choice.type != GS_Q_FLOAT, one_per_byte = s->recipe->mindie_format;
    gs_weight_layout rank_layout = l->layout;
    if (has_rule(l->choice)) {
        rank_layout = gs_weight_layout_rank(s->rule, s->recipe, one_per_byte, s->resolved->ranks, l->in);
        l->layout = compat ? rank_layout : gs_weight_layout_from(s->rule, s->recipe, one_per_byte, true, l->in);
    }
    if (s->resolved->comm && !l->choice.dropped) add_communication(m, s, parallel, l);
    l->weight_alone = compat;
    if (quantized || !compat) add_pieces(m, s, out, l);
    l->weight_alone = false;
    if (cards && (quantized || compat)) add_ranks(m, s, parallel, l, rank_layout);
}

static void no_parallel(gs_parallel_out *out)
{
    out->gather_scale = -1;
    for (int r = 0; r < GS_RANKS_MAX; r++) {
        out->reduce_scale[r] = -1;
        no_pieces(&out->rank[r]);
    }
}

static void add_kv(gs_manifest *m, const gs_manifest_spec *s, int block, gs_block_out *out)
{
    const int64_t width = s->config->groups * s->config->head_dim;
    for (int i = 0; i < GS_KV_PARTS; i++) {
        char name[GS_NAME_BYTES];
        gs_kv_name(s->family, block, i, s->target && s->target->kv_on_attention, name, sizeof name);
        out->kv[i] = s->kv ? add(m, "C8", name, m->floats, 1, &width) : -1;
    }
}

static void add_attention(gs_manifest *m, const gs_manifest_spec *s, int block, gs_block_out *out)
{
    for (int i = 0; i < GS_FA_PARTS; i++) {
        char name[GS_NAME_BYTES];
        gs_fa_name(s->family, block, i, name, sizeof name);
        const int64_t shape[2] = {i % 3 == 0 ? s->config->heads : s->config->groups, 1};
        const bool written = s->fa && s->fa[block];
        out->fa[i] = written ? add(m, "FAQuant", name, i < 3 ? m->floats : GS_I8, 2, shape) : -1;
    }
}

static void add_block_norm(gs_manifest *m, const gs_manifest_spec *s, int block, gs_norm norm)
{
    char name[GS_NAME_BYTES];
    gs_norm_name(s->family, block, norm, "", name, sizeof name);
    add_norm(m, s, &m->block[block].norm[norm], s->tensors->block[block].norm[norm], name);
}

static void add_block(gs_manifest *m, const gs_manifest_spec *s, int block)
{
    const gs_block_tensors *t = &s->tensors->block[block];
    gs_block_out *out = &m->block[block];
    char name[GS_NAME_BYTES];
    for (int role = 0; role < GS_ROLES; role++) {
        if (role == GS_QKV && !s->wrapped_names) add_block_norm(m, s, block, GS_NORM_INPUT);
        if (role == GS_H4 && !s->wrapped_names) add_block_norm(m, s, block, GS_NORM_POST);
        if (role == GS_QKV) add_kv(m, s, block, out);
        if (role == GS_QKV) add_attention(m, s, block, out);
        gs_linear_name(s->family, block, (gs_role)role, "", name, sizeof name);
        if (s->wrapped_names) gs_wrap_name(name, sizeof name); /* the reference's do_smooth */
        const gs_tensor *bias = t->bias[role];
        if (role == GS_H4 && s->h4_bias && !bias) bias = t->weight[role];
        no_pieces(&out->linear[role]);
        no_parallel(&out->parallel[role]);
        linear_spec l = linear_of(s, name, s->choice[block * GS_ROLES + role], t->weight[role], bias);
        if (gs_role_is_row_parallel((gs_role)role))
            add_row_parallel(m, s, &out->linear[role], &out->parallel[role], &l);
        else
            add_pieces(m, s, &out->linear[role], &l);
    }
    for (int norm = 0; norm < GS_NORMS && s->wrapped_names; norm++) add_block_norm(m, s, block, (gs_norm)norm);
}

void gs_manifest_build(gs_manifest *m, const gs_manifest_spec *s)
{
    /* Scales are in the type that --target computes in, else in that of the float tensors beside them. */
    *m = (gs_manifest){.floats = s->target ? gs_target_dtype(s->config) : s->keep_dtypes ? s->config->dtype : GS_F32};
    /* Only bfloat16 keeps deq_scale as float32; everything else gets the bit pattern in int64 (the engines' rule). */
    m->deq_i64 = m->floats != GS_BF16;
    gs_layout_init(&m->layout);
    const int layers = (int)s->config->layers;
    m->block = gs_alloc_array((size_t)layers, sizeof *m->block);
    m->embedding = add_float(m, s, s->tensors->embedding, s->family->embedding);
    for (int block = 0; block < layers; block++) add_block(m, s, block);
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s", s->family->final_norm);
    char *tail = strrchr(name, '.'); /* ".weight" */
    if (tail) *tail = '\0';
    add_norm(m, s, &m->final_norm, s->tensors->final_norm, name);
    no_pieces(&m->head);
    const linear_spec head = linear_of(s, s->family->head, s->choice[layers * GS_ROLES], s->tensors->head, NULL);
    add_pieces(m, s, &m->head, &head);
}

void gs_manifest_release(gs_manifest *m)
{
    gs_layout_release(&m->layout);
    gs_free(m->type);
    gs_free(m->block);
    *m = (gs_manifest){0};
}
