/* The result against the checkpoint it was made from: is it that model, and was it smoothed? Without smoothing norms and biases are
 * copies; with it the norms tell by what the columns behind them were multiplied. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "format/verify_checks.h"

const gs_tensor *gs_verify_model_weight(const gs_verify *v, const gs_verify_linear *l)
{
    const gs_model_tensors *m = &v->model_tensors;
    if (!l) return m->embedding;
    return l->block == v->q.config.layers ? m->head : m->block[l->block].weight[l->role];
}

gs_status gs_verify_model_open(gs_verify *v, gs_error *err)
{
    const char *path = v->request->model_path;
    const gs_family *family;
    GS_TRY(gs_config_read(&v->model_config, path, err));
    gs_status status = gs_family_find(&v->model_config, &family, err);
    if (status == GS_OK) status = gs_checkpoint_open(&v->model, path, err);
    if (status == GS_OK) status = gs_model_tensors_find(&v->model_tensors, family, &v->model_config, &v->model, err);
    v->has_model = status == GS_OK;
    return status == GS_OK ? GS_OK : gs_wrap(err, "--model_path");
}

void gs_verify_model_close(gs_verify *v)
{
    gs_model_tensors_release(&v->model_tensors);
    gs_checkpoint_close(&v->model);
    gs_config_release(&v->model_config);
    gs_free(v->ratio);
    gs_verify_fit_free(v->fit);
}

/* Sizes first: nothing can be compared with another model. */
GS_CHECK_DIRECTORY(model_sizes)
{
    const gs_config *a = &v->q.config, *b = &v->model_config;
    const struct {
        const char *key;
        int64_t a, b;
    } size[] = {{"num_layers", a->layers, b->layers},
                {"hidden_size", a->hidden, b->hidden},
                {"ffn_hidden_size", a->ffn, b->ffn},
                {"num_attention_heads", a->heads, b->heads},
                {"multi_query_group_num", a->groups, b->groups},
                {"kv_channels", a->head_dim, b->head_dim},
                {"padded_vocab_size", a->vocab, b->vocab}};
    (void)err;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        if (size[i].a == size[i].b) continue;
        gs_verify_fail(v, NULL, "config.json has %s %lld, the checkpoint's %lld; weights were not compared",
                       size[i].key, (long long)size[i].a, (long long)size[i].b);
        v->has_model = false;
    }
    return GS_OK;
}

#define SMOOTHED 0x1p-6f /* no rounding moves a norm so far */

static gs_status read_ratio(gs_verify *v, const gs_tensor *ours, const gs_tensor *theirs, float *ratio, gs_error *err)
{
    const int64_t hidden = v->q.config.hidden;
    for (int64_t i = 0; i < hidden; i++) ratio[i] = 1.0f;
    if (!ours) return GS_OK; /* missing: told already */
    float *mine = gs_alloc_array((size_t)hidden, sizeof *mine);
    gs_status status = gs_verify_read(v, ours, 0, hidden, mine, err);
    if (status == GS_OK) status = gs_checkpoint_read_f32(&v->model, theirs, ratio, err);
    for (int64_t i = 0; i < hidden && status == GS_OK; i++) {
        const float r = ratio[i] / mine[i];
        ratio[i] = isfinite(r) && r != 0.0f ? r : 1.0f;
        if (fabsf(ratio[i] - 1.0f) > SMOOTHED) v->smoothed = true;
    }
    gs_free(mine);
    return status;
}

/* Norms: copies, or what tells how the columns behind them were multiplied. */
GS_CHECK_DIRECTORY(model_norms)
{
    const int64_t layers = v->q.config.layers, hidden = v->q.config.hidden;
    v->ratio = gs_alloc_array((size_t)((layers * GS_NORMS + 1) * hidden), sizeof *v->ratio);
    for (int64_t i = 0; i < layers * GS_NORMS; i++)
        GS_TRY(read_ratio(v, v->norm[i].weight, v->model_tensors.block[i / GS_NORMS].norm[i % GS_NORMS],
                          v->ratio + i * hidden, err));
    const bool smoothed = v->smoothed;
    GS_TRY(read_ratio(v, v->norm[layers * GS_NORMS].weight, v->model_tensors.final_norm,
                      v->ratio + layers * GS_NORMS * hidden, err));
    v->smoothed = smoothed; /* nothing smooths the last norm */
    for (int64_t i = 0; i < layers * GS_NORMS + 1; i++) {
        const gs_tensor *t = v->norm[i].weight;
        const bool copy = !smoothed || i == layers * GS_NORMS;
        for (int64_t j = 0; j < hidden && t && copy; j++)
            if (v->ratio[i * hidden + j] != 1.0f &&
                fabsf(v->ratio[i * hidden + j] - 1.0f) > gs_verify_slack(t->dtype, 1))
                gs_verify_fail_about(v, t, "'%s' is not the checkpoint's at element %lld: %g times it", t->name,
                                     (long long)j, 1.0 / (double)v->ratio[i * hidden + j]);
    }
    return GS_OK;
}

/* Float vectors that smoothing would have changed too. */
GS_CHECK_DIRECTORY(model_biases)
{
    const int64_t out = gs_config_qkv_width(&v->q.config);
    if (v->smoothed || !v->q.config.qkv_bias || !v->model_config.qkv_bias) return GS_OK;
    float *mine = gs_alloc_array((size_t)(2 * out), sizeof *mine), *theirs = mine + out;
    gs_status status = GS_OK;
    for (int i = GS_QKV; i < v->n_linears - 1 && status == GS_OK; i += GS_ROLES) {
        const gs_tensor *t = v->linear[i].found ? v->linear[i].linear.whole.piece[GS_PIECE_BIAS] : NULL;
        if (!t) continue;
        status = gs_verify_read(v, t, 0, out, mine, err);
        if (status == GS_OK)
            status =
                gs_checkpoint_read_f32(&v->model, v->model_tensors.block[v->linear[i].block].bias[GS_QKV], theirs, err);
        for (int64_t j = 0; j < out && status == GS_OK; j++)
            if (!(fabsf(mine[j] - theirs[j]) <= gs_verify_slack(t->dtype, theirs[j])))
                gs_verify_fail_about(v, t, "'%s' is %g at element %lld, the checkpoint's is %g", t->name,
                                     (double)mine[j], (long long)j, (double)theirs[j]);
    }
    gs_free(mine);
    return status;
}
