/* The list of families, tensor names, and the check that a checkpoint holds exactly what a family needs: every tensor
 * present with the shape config.json implies, and none that nobody would read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

#include "model/families.h"

static const gs_family *const families[] = {&gs_family_chatglm};

gs_status gs_family_find(const gs_config *c, const gs_family **out, gs_error *err)
{
    gs_str list;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i]->model_type, c->model_type) != 0) continue;
        *out = families[i];
        return GS_OK;
    }
    gs_str_init(&list);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        gs_str_printf(&list, "%s\"%s\" = %s", i ? ", " : "", families[i]->model_type, families[i]->title);
    const gs_status status =
        gs_fail(err, GS_ERR_UNSUPPORTED, "model_type \"%s\" is not supported; supported: %s", c->model_type, list.data);
    gs_str_release(&list);
    return status;
}

void gs_role_shape(const gs_config *c, gs_role role, int64_t *out, int64_t *in)
{
    const int64_t attention = gs_config_attention_width(c);
    *out = role == GS_QKV ? gs_config_qkv_width(c) : role == GS_H4 ? 2 * c->ffn : c->hidden;
    *in = role == GS_DENSE ? attention : role == GS_4H ? c->ffn : c->hidden;
}

bool gs_role_has_bias(const gs_config *c, gs_role role) { return role == GS_QKV && c->qkv_bias; }

/* block_prefix holds one "%d"; it is data, so it is filled in by hand and not used as a format. */
static char *compose(const gs_family *f, int block, const char *suffix, const char *tail, char *buf, size_t n)
{
    const char *at = strstr(f->block_prefix, "%d");
    const int before = (int)(at - f->block_prefix);
    snprintf(buf, n, "%.*s%d%s.%s%s", before, f->block_prefix, block, at + 2, suffix, tail);
    return buf;
}

char *gs_linear_name(const gs_family *f, int block, gs_role role, const char *tail, char *buf, size_t n)
{
    return compose(f, block, f->linear[role], tail, buf, n);
}

char *gs_attention_name(const gs_family *f, int block, const char *tail, char *buf, size_t n)
{
    gs_linear_name(f, block, GS_QKV, "", buf, n);
    char *const dot = strrchr(buf, '.');
    if (dot) snprintf(dot, n - (size_t)(dot - buf), "%s", tail);
    return buf;
}

char *gs_norm_name(const gs_family *f, int block, gs_norm norm, const char *tail, char *buf, size_t n)
{
    return compose(f, block, f->norm[norm], tail, buf, n);
}

static gs_status find_block(gs_block_tensors *b, int index, const gs_family *f, const gs_config *c,
                            const gs_checkpoint *ck, gs_error *err)
{
    char name[GS_MAX_TENSOR_NAME];
    for (gs_norm i = GS_NORM_INPUT; i < GS_NORMS; i++)
        GS_TRY(gs_checkpoint_expect(ck, gs_norm_name(f, index, i, ".weight", name, sizeof name), c->hidden, -1,
                                    &b->norm[i], err));
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(c, role, &out, &in);
        GS_TRY(gs_checkpoint_expect(ck, gs_linear_name(f, index, role, ".weight", name, sizeof name), out, in,
                                    &b->weight[role], err));
        if (!gs_role_has_bias(c, role)) continue;
        GS_TRY(gs_checkpoint_expect(ck, gs_linear_name(f, index, role, ".bias", name, sizeof name), out, -1,
                                    &b->bias[role], err));
    }
    return GS_OK;
}

static void mark(bool *known, const gs_checkpoint *ck, const gs_tensor *t)
{
    if (t) known[t - ck->table.tensors] = true;
}

/* A tensor nobody reads means that config.json and the weights do not belong together. */
static gs_status refuse_unknown(const gs_model_tensors *m, const gs_family *f, const gs_config *c,
                                const gs_checkpoint *ck, gs_error *err)
{
    bool *known = gs_alloc_array((size_t)ck->table.count, sizeof *known);
    mark(known, ck, m->embedding);
    mark(known, ck, m->final_norm);
    mark(known, ck, m->head);
    for (int64_t i = 0; i < c->layers; i++) {
        for (int j = 0; j < GS_NORMS; j++) mark(known, ck, m->block[i].norm[j]);
        for (int j = 0; j < GS_ROLES; j++) mark(known, ck, m->block[i].weight[j]);
        for (int j = 0; j < GS_ROLES; j++) mark(known, ck, m->block[i].bias[j]);
    }
    for (const char *const *name = f->ignored; *name; name++) mark(known, ck, gs_checkpoint_find(ck, *name));

    const gs_tensor *first = NULL;
    int64_t count = 0;
    for (int64_t i = 0; i < ck->table.count; i++) {
        if (known[i]) continue;
        if (count++ == 0) first = &ck->table.tensors[i];
    }
    gs_free(known);
    if (count == 0) return GS_OK;
    char shown[160];
    gs_printable(first->name, strlen(first->name), shown, sizeof shown);
    return gs_fail(err, GS_ERR_FILE,
                   "%s holds tensor '%s', which a %s with num_layers = %lld and add_qkv_bias = %s does not have "
                   "(%lld such tensors); config.json and the weights do not belong together",
                   ck->files[first->file].path, shown, f->title, (long long)c->layers, c->qkv_bias ? "true" : "false",
                   (long long)count);
}

static gs_status find_all(gs_model_tensors *m, const gs_family *f, const gs_config *c, const gs_checkpoint *ck,
                          gs_error *err)
{
    char head[GS_MAX_TENSOR_NAME];
    GS_TRY(gs_checkpoint_expect(ck, f->embedding, c->vocab, c->hidden, &m->embedding, err));
    for (int64_t i = 0; i < c->layers; i++) GS_TRY(find_block(&m->block[i], (int)i, f, c, ck, err));
    GS_TRY(gs_checkpoint_expect(ck, f->final_norm, c->hidden, -1, &m->final_norm, err));
    snprintf(head, sizeof head, "%s.weight", f->head);
    if (c->tied_head && !gs_checkpoint_find(ck, head))
        m->head = m->embedding;
    else
        GS_TRY(gs_checkpoint_expect(ck, head, c->vocab, c->hidden, &m->head, err));
    return refuse_unknown(m, f, c, ck, err);
}

gs_status gs_model_tensors_find(gs_model_tensors *m, const gs_family *f, const gs_config *c, const gs_checkpoint *ck,
                                gs_error *err)
{
    memset(m, 0, sizeof *m);
    m->block = gs_alloc_array((size_t)c->layers, sizeof *m->block);
    const gs_status status = find_all(m, f, c, ck, err);
    if (status != GS_OK) gs_model_tensors_release(m);
    return status;
}

void gs_model_tensors_release(gs_model_tensors *m)
{
    gs_free(m->block);
    memset(m, 0, sizeof *m);
}
