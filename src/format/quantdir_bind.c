/* Finding the tensors of a result: by the names the manifest would give them, checked against the scheme that the description
 * names. The form of a weight (packing, groups, one scale for all) is read off the shapes; every other shape must then agree.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "format/quantdir.h"

static const gs_tensor *find(const gs_quantdir *q, const char *name)
{
    return gs_checkpoint_find(&q->checkpoint, name);
}

static const char *path_of(const gs_quantdir *q, const gs_tensor *t) { return q->checkpoint.files[t->file].path; }

/* ---- shapes and dtypes ---- */

static void shape_text(int rank, const int64_t *shape, char *to, size_t room)
{
    size_t at = (size_t)snprintf(to, room, "[");
    for (int i = 0; i < rank && at < room; i++)
        at += (size_t)snprintf(to + at, room - at, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    if (at < room) snprintf(to + at, room - at, "]");
}

static gs_status check_shape(const gs_quantdir *q, const gs_tensor *t, int rank, const int64_t *shape, gs_error *err)
{
    if (t->rank == rank && memcmp(t->shape, shape, (size_t)rank * sizeof *shape) == 0) return GS_OK;
    char have[200], want[64];
    shape_text(t->rank, t->shape, have, sizeof have);
    shape_text(rank, shape, want, sizeof want);
    return gs_fail(err, GS_ERR_FILE,
                   "%s: tensor '%s' has shape %s, but config.json and the linear's type ask for %s: the files do not "
                   "belong together, or were changed after they were written",
                   path_of(q, t), t->name, have, want);
}

static gs_status check_float(const gs_quantdir *q, const gs_tensor *t, gs_error *err)
{
    if (gs_dtype_is_float(t->dtype)) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' is %s; BF16, F16 or F32 is needed here", path_of(q, t), t->name,
                   gs_dtype_name(t->dtype));
}

static gs_status check_dtype(const gs_quantdir *q, const gs_tensor *t, gs_dtype wanted, gs_error *err)
{
    if (t->dtype == wanted) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' is %s; %s is needed here", path_of(q, t), t->name,
                   gs_dtype_name(t->dtype), gs_dtype_name(wanted));
}

static gs_status check_piece_dtype(const gs_quantdir *q, const gs_scheme *s, gs_piece piece, const gs_tensor *t,
                                   gs_error *err)
{
    if (piece == GS_PIECE_DEQ_SCALE && t->dtype == GS_I64) return GS_OK; /* the other encoding */
    const gs_dtype wanted = gs_piece_dtype(s, piece, NULL, GS_F32, false);
    return gs_dtype_is_float(wanted) && piece != GS_PIECE_DEQ_SCALE ? check_float(q, t, err)
                                                                    : check_dtype(q, t, wanted, err);
}

/* ---- linears ---- */

static bool is_four_bit(gs_quant_type type) { return type == GS_Q_W4A16 || type == GS_Q_W4A8_DYNAMIC; }

static void read_layout(gs_quant_part *p, const gs_scheme *s)
{
    p->layout = (gs_weight_layout){.scale_columns = 1};
    for (int i = 0; i < s->n_pieces; i++) {
        const gs_tensor *t = p->piece[s->pieces[i].piece];
        if (!t) continue;
        const gs_shape_kind kind = s->pieces[i].shape;
        const bool matrix = t->rank == 2 && t->shape[1] >= 1;
        if (kind == GS_SHAPE_CODES && matrix && is_four_bit(s->type))
            p->layout.nibbles = t->shape[0] == p->out && 2 * t->shape[1] == p->in   ? GS_NIBBLES_IN
                                : 2 * t->shape[0] == p->out && t->shape[1] == p->in ? GS_NIBBLES_OUT
                                                                                    : GS_NIBBLES_NONE;
        if (kind == GS_SHAPE_SCALE && matrix) p->layout.scale_columns = t->shape[1];
        if (kind == GS_SHAPE_SECOND && matrix) p->layout.second_columns = t->shape[1];
        if (kind == GS_SHAPE_SUMS && matrix) p->layout.scale_bias_columns = t->shape[1];
        if ((kind == GS_SHAPE_SCALE || kind == GS_SHAPE_DEQ) && t->rank == 1 && t->elements == 1)
            p->layout.one_scale = true;
    }
}

static gs_status check_part(const gs_quantdir *q, const gs_quant_part *p, const gs_scheme *s, const char *prefix,
                            gs_error *err)
{
    const gs_weight_layout *l = &p->layout;
    if (p->in % l->scale_columns != 0 || (l->second_columns > 0 && p->in % l->second_columns != 0))
        return gs_fail(err, GS_ERR_FILE, "%s: the %lld inputs of '%s' do not divide into its %lld groups of scales",
                       q->checkpoint.dir, (long long)p->in, prefix,
                       (long long)(l->scale_columns > 1 ? l->scale_columns : l->second_columns));
    for (int i = 0; i < s->n_pieces; i++) {
        const gs_piece_spec *spec = &s->pieces[i];
        const gs_tensor *t = p->piece[spec->piece];
        int64_t shape[2];
        if (!t) continue;
        const int rank = gs_piece_shape(spec, l, p->out, p->in, shape);
        GS_TRY(check_shape(q, t, rank, shape, err));
        GS_TRY(check_piece_dtype(q, s, spec->piece, t, err));
    }
    return GS_OK;
}

/* Finds what is there under the prefix; *missing = the suffix of the first required tensor that is not, or NULL. */
static gs_status find_part(gs_quantdir *q, const gs_scheme *s, const char *prefix, int64_t out, int64_t in,
                           gs_quant_part *p, const char **missing, gs_error *err)
{
    *p = (gs_quant_part){.out = out, .in = in};
    *missing = NULL;
    for (int i = 0; i < s->n_pieces; i++) {
        char name[GS_NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", prefix, s->pieces[i].suffix);
        p->piece[s->pieces[i].piece] = find(q, name);
    }
    read_layout(p, s);
    for (int i = 0; i < s->n_pieces && !*missing; i++) {
        const gs_piece piece = s->pieces[i].piece;
        const bool optional = piece == GS_PIECE_BIAS || piece == GS_PIECE_SCALE_BIAS; /* mindie has no scale_bias */
        if (!optional && !p->piece[piece]) *missing = s->pieces[i].suffix;
    }
    return check_part(q, p, s, prefix, err);
}

static gs_status fail_missing(const gs_quantdir *q, const char *prefix, const char *suffix, const gs_scheme *s,
                              gs_error *err)
{
    return gs_fail(err, GS_ERR_FILE, "%s: the description says '%s' is %s, but tensor '%s%s' is not in the weights",
                   q->checkpoint.dir, prefix, s->name, prefix, suffix);
}

/* The scale of card r, or the one that all cards share. */
static gs_status find_reduce(gs_quantdir *q, const char *prefix, int64_t out, gs_quant_linear *l, gs_error *err)
{
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s" GS_GATHER_SCALE, prefix);
    l->gather = find(q, name);
    if (!l->gather) return GS_OK;
    GS_TRY(check_shape(q, l->gather, 1, &out, err));
    GS_TRY(check_float(q, l->gather, err));
    l->reduce = gs_arena_alloc(q->arena, (size_t)l->ranks * sizeof *l->reduce);
    for (int r = 0; r < l->ranks; r++) {
        snprintf(name, sizeof name, "%s" GS_REDUCE_SCALE, prefix);
        l->reduce[r] = find(q, name);
        snprintf(name, sizeof name, "%s" GS_REDUCE_SCALE ".%d", prefix, r);
        if (!l->reduce[r]) l->reduce[r] = find(q, name);
        if (!l->reduce[r])
            return gs_fail(err, GS_ERR_FILE, "%s: '%s" GS_GATHER_SCALE "' is there, but tensor '%s' is not",
                           q->checkpoint.dir, prefix, name);
        GS_TRY(check_shape(q, l->reduce[r], 1, &out, err));
        GS_TRY(check_float(q, l->reduce[r], err));
    }
    return GS_OK;
}

static int count_ranks(const gs_quantdir *q, const char *prefix)
{
    int ranks = 0;
    for (; ranks < GS_TP_RANKS_MAX; ranks++) {
        char name[GS_NAME_BYTES];
        snprintf(name, sizeof name, "%s" GS_TP_RANK ".weight", prefix, ranks);
        if (!find(q, name)) break;
    }
    return ranks;
}

static gs_status find_ranks(gs_quantdir *q, const char *prefix, gs_quant_linear *l, gs_error *err)
{
    l->ranks = count_ranks(q, prefix);
    if (l->ranks == 0) return GS_OK;
    if (l->whole.in % l->ranks != 0)
        return gs_fail(err, GS_ERR_FILE, "%s: '%s' has slices for %d cards, but its %lld inputs do not divide by that",
                       q->checkpoint.dir, prefix, l->ranks, (long long)l->whole.in);
    l->rank = gs_arena_alloc(q->arena, (size_t)l->ranks * sizeof *l->rank);
    for (int r = 0; r < l->ranks; r++) {
        char name[GS_NAME_BYTES];
        const char *missing;
        snprintf(name, sizeof name, "%s" GS_TP_RANK, prefix, r);
        GS_TRY(find_part(q, l->scheme, name, l->whole.out, l->whole.in / l->ranks, &l->rank[r], &missing, err));
        if (missing) return fail_missing(q, name, missing, l->scheme, err);
    }
    return find_reduce(q, prefix, l->whole.out, l, err);
}

/* The type of a linear is that of its weight; the reference writes no merged weight for a float linear cut into slices. */
static gs_status find_scheme(const gs_quantdir *q, const char *prefix, const gs_scheme **out, gs_error *err)
{
    char name[GS_NAME_BYTES], shown[64];
    snprintf(name, sizeof name, "%s.weight", prefix);
    const char *word = gs_quantdir_word(q, name);
    if (!word) {
        snprintf(name, sizeof name, "%s" GS_TP_RANK ".weight", prefix, 0);
        word = gs_quantdir_word(q, name);
    }
    if (!word)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: has no entry '%s.weight'; engines look every linear up there and stop without",
                       q->description_path, prefix);
    *out = gs_scheme_find(word);
    if (*out && (*out)->n_pieces > 0) return GS_OK;
    return gs_fail(err, GS_ERR_UNSUPPORTED, "%s: '%s' has type \"%s\", which this program does not know",
                   q->description_path, name, gs_printable(word, strlen(word), shown, sizeof shown));
}

static gs_status bind_linear(gs_quantdir *q, const char *prefix, int64_t out, int64_t in, gs_quant_linear *l,
                             gs_error *err)
{
    const char *missing;
    *l = (gs_quant_linear){0};
    GS_TRY(find_scheme(q, prefix, &l->scheme, err));
    assert(l->scheme != NULL); /* or find_scheme has failed */
    GS_TRY(find_part(q, l->scheme, prefix, out, in, &l->whole, &missing, err));
    GS_TRY(find_ranks(q, prefix, l, err));
    l->complete = missing == NULL;
    return l->complete || l->ranks > 0 ? GS_OK : fail_missing(q, prefix, missing, l->scheme, err);
}

gs_status gs_quantdir_linear(gs_quantdir *q, int block, gs_role role, gs_quant_linear *out, gs_error *err)
{
    char name[GS_NAME_BYTES];
    int64_t rows, in;
    gs_role_shape(&q->config, role, &rows, &in);
    gs_linear_name(q->family, block, role, ".weight", name, sizeof name);
    const bool plain = gs_quantdir_word(q, name) != NULL;
    gs_wrap_name(name, sizeof name);
    const bool wrapped = !plain && gs_quantdir_word(q, name) != NULL;
    gs_linear_name(q->family, block, role, "", name, sizeof name);
    if (wrapped) gs_wrap_name(name, sizeof name);
    q->wrapped = q->wrapped || wrapped;
    return bind_linear(q, name, rows, in, out, err);
}

gs_status gs_quantdir_head(gs_quantdir *q, gs_quant_linear *out, gs_error *err)
{
    return bind_linear(q, q->family->head, q->config.vocab, q->config.hidden, out, err);
}

/* ---- norms ---- */

static gs_status find_vector(const gs_quantdir *q, const char *prefix, const char *suffix, bool needed,
                             const gs_tensor **out, gs_error *err)
{
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", prefix, suffix);
    *out = find(q, name);
    if (!*out && needed) return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' is missing", q->checkpoint.dir, name);
    if (!*out) return GS_OK;
    GS_TRY(check_shape(q, *out, 1, &q->config.hidden, err));
    return check_float(q, *out, err);
}

static gs_status bind_norm(const gs_quantdir *q, const char *prefix, gs_quant_norm *n, gs_error *err)
{
    GS_TRY(find_vector(q, prefix, ".weight", true, &n->weight, err));
    GS_TRY(find_vector(q, prefix, ".bias", false, &n->bias, err));
    GS_TRY(find_vector(q, prefix, ".module.weight", false, &n->module_weight, err));
    return find_vector(q, prefix, ".module.bias", n->module_weight != NULL, &n->module_bias, err);
}

gs_status gs_quantdir_norm(gs_quantdir *q, int block, gs_norm norm, gs_quant_norm *out, gs_error *err)
{
    char name[GS_NAME_BYTES];
    return bind_norm(q, gs_norm_name(q->family, block, norm, "", name, sizeof name), out, err);
}

gs_status gs_quantdir_final_norm(gs_quantdir *q, gs_quant_norm *out, gs_error *err)
{
    char name[GS_NAME_BYTES];
    snprintf(name, sizeof name, "%s", q->family->final_norm);
    char *const tail = strrchr(name, '.'); /* ".weight" */
    if (tail) *tail = '\0';
    return bind_norm(q, name, out, err);
}

/* ---- attention ---- */

/* A set of tensors is there whole or not at all. */
static gs_status whole_set(const gs_quantdir *q, int block, const gs_tensor *const *t, int n, const char *what,
                           gs_error *err)
{
    int found = 0;
    for (int i = 0; i < n; i++) found += t[i] != NULL;
    if (found == 0 || found == n) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: block %d has %d of the %d tensors of %s", q->checkpoint.dir, block, found, n,
                   what);
}

gs_status gs_quantdir_kv(gs_quantdir *q, int block, const gs_tensor *out[GS_KV_PARTS], gs_error *err)
{
    const int64_t width = q->config.groups * q->config.head_dim;
    for (int i = 0; i < GS_KV_PARTS; i++) {
        char name[GS_NAME_BYTES];
        out[i] = find(q, gs_kv_name(q->family, block, i, false, name, sizeof name));
        if (!out[i]) out[i] = find(q, gs_kv_name(q->family, block, i, true, name, sizeof name));
        if (!out[i]) continue;
        GS_TRY(check_shape(q, out[i], 1, &width, err));
        GS_TRY(check_float(q, out[i], err));
    }
    return whole_set(q, block, out, GS_KV_PARTS, "a quantized key/value cache", err);
}

gs_status gs_quantdir_fa(gs_quantdir *q, int block, const gs_tensor *out[GS_FA_PARTS], gs_error *err)
{
    for (int i = 0; i < GS_FA_PARTS; i++) {
        char name[GS_NAME_BYTES];
        const int64_t shape[2] = {i % 3 == 0 ? q->config.heads : q->config.groups, 1};
        out[i] = find(q, gs_fa_name(q->family, block, i, name, sizeof name));
        if (!out[i]) continue;
        GS_TRY(check_shape(q, out[i], 2, shape, err));
        GS_TRY(i < 3 ? check_float(q, out[i], err) : check_dtype(q, out[i], GS_I8, err));
    }
    return whole_set(q, block, out, GS_FA_PARTS, "quantized attention", err);
}

/* ---- all of it ---- */

static void count_deq(gs_quantdir *q, const gs_quant_part *p)
{
    const gs_tensor *t = p->piece[GS_PIECE_DEQ_SCALE];
    if (!t) return;
    const gs_deq_encoding this = t->dtype == GS_I64 ? GS_DEQ_I64 : GS_DEQ_F32;
    q->deq = q->deq == GS_DEQ_NONE || q->deq == this ? this : GS_DEQ_MIXED;
}

static void count_linear(gs_quantdir *q, const gs_quant_linear *l)
{
    count_deq(q, &l->whole);
    assert(l->rank != NULL || l->ranks == 0); /* find_ranks sets both */
    for (int r = 0; r < l->ranks; r++) count_deq(q, &l->rank[r]);
}

static gs_status bind_block(gs_quantdir *q, int block, gs_quant_block *b, gs_error *err)
{
    for (gs_norm norm = GS_NORM_INPUT; norm < GS_NORMS; norm++)
        GS_TRY(gs_quantdir_norm(q, block, norm, &b->norm[norm], err));
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        GS_TRY(gs_quantdir_linear(q, block, role, &b->linear[role], err));
        count_linear(q, &b->linear[role]);
    }
    GS_TRY(gs_quantdir_kv(q, block, b->kv, err));
    return gs_quantdir_fa(q, block, b->fa, err);
}

gs_status gs_quantdir_bind(gs_quantdir *q, gs_error *err)
{
    const gs_config *c = &q->config;
    q->deq = GS_DEQ_NONE;
    q->wrapped = false;
    GS_TRY(gs_checkpoint_expect(&q->checkpoint, q->family->embedding, c->vocab, c->hidden, &q->embedding, err));
    q->block = gs_arena_alloc(q->arena, (size_t)c->layers * sizeof *q->block);
    for (int64_t i = 0; i < c->layers; i++) GS_TRY(bind_block(q, (int)i, &q->block[i], err));
    GS_TRY(gs_quantdir_final_norm(q, &q->final_norm, err));
    GS_TRY(gs_quantdir_head(q, &q->head, err));
    count_linear(q, &q->head);
    return GS_OK;
}
