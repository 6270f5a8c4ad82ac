/* Tensors that only make sense together. An activation range behind fake-quantized layers may differ, because one activation code
 * that falls the other way moves it:
 *   tight   expected: the float forward pass agrees to a few float32 steps
 *   loose   allowed for a share of the layers; wider for the histogram, whose search can end one step elsewhere
 * What follows from other tensors (deq_scale, quant_bias) is checked against the file's own tensors, always, and against the golden
 * where the range agrees. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "golden_judge.h"

#define LOOSE_MEAN           1e-2 /* act_method 1 ... */
#define LOOSE_MEAN_OFFSET    2.0
#define LOOSE_SEARCH         0.10 /* act_method 2 and 3 */
#define LOOSE_SEARCH_OFFSET  12.0
#define LOOSE_FLIPPED        0.5 /* behind a do_smooth that may have chosen another exponent */
#define LOOSE_FLIPPED_OFFSET 40.0

typedef struct range_bounds {
    double scale, offset;
} range_bounds;

/* A layer whose input passed no quantized layer, the first QKV, must agree tightly. */
static range_bounds bounds_of_range(const judge *j, const char *layer)
{
    const bool first = strstr(layer, ".layers.0.") != NULL && strstr(layer, "query_key_value") != NULL;
    if (first) return (range_bounds){TIGHT, 0};
    if (j->g->rules == GOLDEN_SEARCHED) return (range_bounds){LOOSE_FLIPPED, LOOSE_FLIPPED_OFFSET};
    return j->search ? (range_bounds){LOOSE_SEARCH, LOOSE_SEARCH_OFFSET}
                     : (range_bounds){LOOSE_MEAN, LOOSE_MEAN_OFFSET};
}

static void judge_range(judge *j, const char *layer, const golden_set *want, const golden_set *got)
{
    const golden_tensor *ws = golden_find_part(want, layer, "input_scale"),
                        *as = golden_find_part(got, layer, "input_scale");
    const golden_tensor *wo = golden_find_part(want, layer, "input_offset"),
                        *ao = golden_find_part(got, layer, "input_offset");
    if (ws == NULL || as == NULL || wo == NULL || ao == NULL) return;
    const double scale = judge_relative(judge_at(ws, 0), judge_at(as, 0));
    const double offset = fabs(judge_at(wo, 0) - judge_at(ao, 0));
    judge_saw(j, FIGURE_INPUT_SCALE, scale);
    judge_saw(j, FIGURE_INPUT_OFFSET, offset);
    j->v->layers++;
    j->v->tight += scale < TIGHT;
    const range_bounds b = bounds_of_range(j, layer);
    if (!(scale <= b.scale && offset <= b.offset))
        judge_differ(
            j,
            "%s: input scale/offset expected %.9g/%g, got %.9g/%g (%.2e relative, allowed %g; offset off by %g, "
            "allowed %g)",
            layer, judge_at(ws, 0), judge_at(wo, 0), judge_at(as, 0), judge_at(ao, 0), scale, b.scale, offset,
            b.offset);
}

/* The tensors of one quantized linear, in one file. */
typedef struct linear {
    const golden_tensor *codes, *scale, *offset, *deq, *quant_bias, *bias, *weight_scale;
    int64_t out, in;
} linear;

static bool find_linear(linear *l, const golden_set *set, const char *layer)
{
    *l = (linear){
        .codes = golden_find_part(set, layer, "weight"),
        .scale = golden_find_part(set, layer, "input_scale"),
        .offset = golden_find_part(set, layer, "input_offset"),
        .deq = golden_find_part(set, layer, "deq_scale"),
        .quant_bias = golden_find_part(set, layer, "quant_bias"),
        .bias = golden_find_part(set, layer, "bias"),
        .weight_scale = golden_find_part(set, layer, "weight_scale"),
    };
    if (l->codes == NULL || l->codes->dtype != GS_I8 || l->scale == NULL || l->offset == NULL || l->deq == NULL ||
        l->quant_bias == NULL || l->quant_bias->dtype != GS_I32 || l->quant_bias->elements == 0)
        return false;
    l->out = l->quant_bias->elements;
    l->in = l->codes->elements / l->out;
    return l->deq->elements == l->out || l->deq->elements == 1;
}

/* round(bias / deq_scale - sum of the row's codes * offset), as float32 computes it */
static double own_bias(const linear *l, int64_t row)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < l->in; k++) sum += ((const int8_t *)l->codes->data)[row * l->in + k];
    const float bias = l->bias != NULL && l->bias->dtype == GS_F32 ? (float)judge_at(l->bias, row) : 0;
    const float from_bias = bias / judge_deq(l->deq, row), from_codes = (float)sum * (float)judge_at(l->offset, 0);
    return rintf(from_bias - from_codes);
}

/* What codes that are allowed to differ add to a difference of quant_bias. */
static double bias_of_codes(const linear *want, const linear *got, int64_t row)
{
    int64_t steps = 0;
    for (int64_t k = 0; k < got->in; k++) {
        const int d = ((const int8_t *)got->codes->data)[row * got->in + k] -
                      ((const int8_t *)want->codes->data)[row * got->in + k];
        steps += d < 0 ? -d : d;
    }
    return fabs(judge_at(got->offset, 0)) * (double)steps;
}

typedef struct bad_rows {
    int self, deq, product, bias;
} bad_rows;

static void judge_row(judge *j, const linear *want, const linear *got, int64_t i, const golden_bounds *b, bad_rows *bad)
{
    const double want_scale = judge_at(want->scale, 0), scale = judge_at(got->scale, 0);
    const double own = own_bias(got, i), bias = judge_at(got->quant_bias, i),
                 golden_bias = judge_at(want->quant_bias, i);
    const double self = fabs(own - bias);
    judge_saw(j, FIGURE_BIAS_SELF, self);
    bad->self += !(self <= BIAS_STEP + fmax(fabs(own), 1) * BIAS_SUM);
    const double deq = judge_relative(judge_deq(want->deq, i) / want_scale, judge_deq(got->deq, i) / scale);
    judge_saw(j, FIGURE_DEQ, deq);
    bad->deq += !(deq <= b->deq);
    if (got->weight_scale != NULL && got->weight_scale->elements == got->deq->elements) {
        const int64_t at = got->weight_scale->elements == 1 ? 0 : i;
        bad->product += !(judge_relative(judge_at(got->weight_scale, at) * scale, judge_deq(got->deq, i)) <= PRODUCT);
    }
    const bool same_range =
        judge_at(want->offset, 0) == judge_at(got->offset, 0) && judge_relative(want_scale, scale) <= TIGHT;
    if (b->flipped || !same_range) return;
    judge_saw(j, FIGURE_BIAS, fabs(bias - golden_bias));
    bad->bias += !(fabs(bias - golden_bias) <= BIAS_STEP + 2 * TIGHT * fabs(golden_bias) + bias_of_codes(want, got, i));
}

void judge_layer(judge *j, const char *layer, const golden_set *want_set, const golden_set *got_set)
{
    judge_range(j, layer, want_set, got_set);
    linear want, got;
    if (!find_linear(&want, want_set, layer) || !find_linear(&got, got_set, layer)) return;
    if (want.out != got.out || want.codes->bytes != got.codes->bytes) return; /* shapes were reported */
    const golden_bounds *b = golden_bounds_of(j->g, layer);
    bad_rows bad = {0};
    for (int64_t i = 0; i < got.out; i++) judge_row(j, &want, &got, i, b, &bad);
    if (bad.self > 0)
        judge_differ(j, "%s.quant_bias: %d rows do not follow from the file's own bias, deq_scale, codes and offset",
                     layer, bad.self);
    if (bad.deq > 0)
        judge_differ(j, "%s.deq_scale: in %d rows deq_scale/input_scale is not the reference's", layer, bad.deq);
    if (bad.product > 0)
        judge_differ(j, "%s.deq_scale: in %d rows not input_scale * weight_scale of the file", layer, bad.product);
    if (bad.bias > 0)
        judge_differ(j, "%s.quant_bias: %d rows are not the reference's although the range is", layer, bad.bias);
}
