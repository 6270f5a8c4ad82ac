/* Checks of rows: codes, and what is derived from what. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "format/verify_checks.h"

float gs_verify_slack(gs_dtype dtype, float value)
{
    const float a = fabsf(value);
    if (dtype == GS_BF16) return a * 0x1p-8f;
    return dtype == GS_F16 ? a * 0x1p-10f + 0x1p-24f : a * 0x1p-21f;
}

GS_CHECK_ROWS(weights_finite)
{
    (void)err;
    for (int64_t i = 0; x->weight && i < x->rows * x->in; i++)
        if (!isfinite(x->weight[i]))
            gs_verify_fail_about(v, x->prefix, "'%s.weight' holds %s in row %lld", x->prefix,
                                 isnan(x->weight[i]) ? "a NaN" : "an infinity", (long long)(x->row0 + i / x->in));
    return GS_OK;
}

/* Four bit codes that are not packed lie in bytes, which could hold more. */
GS_CHECK_ROWS(codes)
{
    (void)err;
    const gs_quant_type type = x->scheme->type;
    const bool four = type == GS_Q_W4A16 || type == GS_Q_W4A8_DYNAMIC || type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
    for (int64_t i = 0; four && x->codes && i < x->rows * x->in; i++)
        if (x->codes[i] < -8 || x->codes[i] > 7)
            gs_verify_fail_about(v, x->prefix, "'%s.weight' holds the code %d in row %lld; four bits are -8 to 7",
                                 x->prefix, x->codes[i], (long long)(x->row0 + i / x->in));
    return GS_OK;
}

GS_CHECK_ROWS(deq_product)
{
    (void)err;
    const gs_quant_values *q = &x->q;
    if (!q->deq || !q->scale || !(q->input_scale > 0.0f)) return GS_OK;
    const gs_dtype scales = x->part->piece[GS_PIECE_WEIGHT_SCALE]->dtype;
    const gs_dtype input = x->part->piece[GS_PIECE_INPUT_SCALE]->dtype;
    for (int64_t r = 0; r < x->rows; r++) {
        const float product = q->input_scale * q->scale[r];
        const float slack = q->input_scale * gs_verify_slack(scales, q->scale[r]) + gs_verify_slack(input, product);
        if (!isfinite(product) || fabsf(q->deq[r] - product) <= slack) continue;
        gs_verify_fail_about(v, x->prefix, "'%s.deq_scale' is %g in row %lld, but input_scale times weight_scale is %g",
                             x->prefix, (double)q->deq[r], (long long)(x->row0 + r), (double)product);
    }
    return GS_OK;
}

/* The bias of a smoothed model is rounded when it is written, after quant_bias was made from it. */
static double bias_slack(const gs_verify *v, const gs_rows *x, double quotient)
{
    const bool exact = v->has_model && !v->smoothed;
    return x->q.bias && !exact ? (double)gs_verify_slack(x->part->piece[GS_PIECE_BIAS]->dtype, (float)quotient) : 0;
}

GS_CHECK_ROWS(quant_bias)
{
    (void)err;
    const gs_quant_values *q = &x->q;
    for (int64_t r = 0; q->quant_bias && x->row_sum && q->deq && r < x->rows; r++) {
        const double quotient = q->bias ? (double)q->bias[r] / (double)q->deq[r] : 0;
        const double correction = (double)x->row_sum[r] * (double)q->input_offset;
        const double rounding = (fabs(quotient) + fabs(correction)) * 0x1p-22 + 1;
        if (!(fabs((double)q->quant_bias[r] - (quotient - correction)) > rounding + bias_slack(v, x, quotient)))
            continue;
        gs_verify_fail_about(v, x->prefix,
                             "'%s.quant_bias' is %d in row %lld; bias, deq_scale, codes and input_offset give %.0f",
                             x->prefix, q->quant_bias[r], (long long)(x->row0 + r), quotient - correction);
    }
    return GS_OK;
}
