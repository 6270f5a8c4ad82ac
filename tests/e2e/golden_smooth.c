/* do_smooth divides a norm and multiplies the weight behind it, by exponents whose search may end elsewhere without being wrong.
 * What cannot change is their product: it must still be the model's, within half a quantization step.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "golden_judge.h"

#define SMOOTH_BAD 1e-4 /* share of products that may miss */

/* The scale of a row of codes: stored, or deq_scale over input_scale where a scheme leaves it out. 0: none per row. */
static double row_scale(const golden_set *set, const char *layer, int64_t row, double *offset)
{
    const golden_tensor *scale = golden_find_part(set, layer, "weight_scale"),
                        *z = golden_find_part(set, layer, "weight_offset"),
                        *deq = golden_find_part(set, layer, "deq_scale"),
                        *input = golden_find_part(set, layer, "input_scale");
    *offset = 0;
    if (scale != NULL && z != NULL) {
        if (scale->rank != 2 || scale->shape[1] != 1 || row >= scale->elements || row >= z->elements) return 0;
        *offset = judge_at(z, row);
        return judge_at(scale, row);
    }
    return deq != NULL && input != NULL && row < deq->elements ? judge_deq(deq, row) / judge_at(input, 0) : 0;
}

/* The share of weights whose code times scale times norm is not the model's weight times norm within half a step. */
static double share_missing(const golden_set *got, const char *layer, const golden_tensor *norm, const float *old_norm,
                            const float *weight)
{
    const golden_tensor *codes = golden_find_part(got, layer, "weight");
    const int64_t in = norm->elements, out = codes->elements / in;
    int64_t bad = 0;
    for (int64_t r = 0; r < out; r++) {
        double offset = 0;
        const double scale = row_scale(got, layer, r, &offset);
        for (int64_t c = 0; c < in; c++) {
            const double q = judge_code(codes, r * in + c, false), n = judge_at(norm, c);
            const double d = (q - offset) * scale * n - (double)weight[r * in + c] * (double)old_norm[c];
            bad += !(fabs(d) <= (0.5 + 1e-3 * fabs(q)) * scale * fabs(n));
        }
    }
    return (double)bad / (double)codes->elements;
}

static gs_status judge_pair(judge *j, const golden_set *got, const char *norm_name, const char *layer,
                            const char *model_layer, gs_error *err)
{
    const golden_tensor *norm = golden_find(got, norm_name), *codes = golden_find_part(got, layer, "weight");
    const gs_tensor *w = gs_checkpoint_find(&j->g->checkpoint, gs_arena_printf(j->g->arena, "%s.weight", model_layer));
    const gs_tensor *n = gs_checkpoint_find(&j->g->checkpoint, norm_name);
    double offset = 0;
    if (norm == NULL || norm->dtype != GS_F32 || codes == NULL || codes->dtype != GS_I8 || w == NULL || n == NULL ||
        codes->elements != w->elements || n->elements != norm->elements || row_scale(got, layer, 0, &offset) == 0)
        return GS_OK;
    float *weight = gs_arena_alloc(j->g->arena, (size_t)w->elements * sizeof *weight);
    float *old_norm = gs_arena_alloc(j->g->arena, (size_t)n->elements * sizeof *old_norm);
    GS_TRY(gs_checkpoint_read_f32(&j->g->checkpoint, w, weight, err));
    GS_TRY(gs_checkpoint_read_f32(&j->g->checkpoint, n, old_norm, err));
    const double missing = share_missing(got, layer, norm, old_norm, weight);
    judge_saw(j, FIGURE_SMOOTH, missing);
    if (missing > SMOOTH_BAD)
        judge_differ(j, "%s: times its norm is not the model's product within half a step in %.2g of the weights",
                     layer, missing);
    return GS_OK;
}

gs_status judge_smoothing(judge *j, const golden_set *got, gs_error *err)
{
    static const struct {
        const char *norm, *layer, *model_layer;
    } pairs[] = {
        {".input_layernorm.weight", ".self_attention.query_key_value", ".self_attention.query_key_value"},
        {".input_layernorm.weight", ".self_attn.query_key_value", ".self_attention.query_key_value"}, /* its new name */
        {".post_attention_layernorm.weight", ".mlp.dense_h_to_4h", ".mlp.dense_h_to_4h"},
    };
    for (int i = 0; i < got->count; i++) {
        const char *name = got->tensors[i].name;
        for (size_t p = 0; p < sizeof pairs / sizeof pairs[0]; p++) {
            const char *at = strstr(name, pairs[p].norm);
            if (at == NULL || strcmp(at, pairs[p].norm) != 0) continue;
            const int n = (int)(at - name);
            GS_TRY(judge_pair(j, got, name, gs_arena_printf(j->g->arena, "%.*s%s", n, name, pairs[p].layer),
                              gs_arena_printf(j->g->arena, "%.*s%s", n, name, pairs[p].model_layer), err));
        }
    }
    return GS_OK;
}
