/* Owns activation parameters and the tensors derived from them. Every operation is rounded to float32 where it is
 * written, in the order an engine and the reference compute it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quant/act.h"

static float round_to(float x, gs_dtype type)
{
    if (type == GS_BF16) return gs_bf16_to_f32(gs_f32_to_bf16(x));
    if (type == GS_F16) return gs_f16_to_f32(gs_f32_to_f16(x));
    return x;
}

gs_act_params gs_act_asym8(float xmin, float xmax, gs_dtype round_scale)
{
    const float min = xmin < 0.0f ? xmin : 0.0f;
    const float max = xmax > 0.0f ? xmax : 0.0f;
    const float scale = round_to(fmaxf((max - min) / 255.0f, GS_EPS), round_scale);
    /* Within range by construction for a scale that is not rounded; a coarse one may step out. */
    const float zero = gs_rint(-min / scale) - 128.0f;
    return (gs_act_params){.scale = scale, .zero = fminf(fmaxf(zero, -128.0f), 127.0f)};
}

gs_act_params gs_act_sym8(float xmin, float xmax, gs_dtype round_scale)
{
    const float peak = fmaxf(fmaxf(-xmin, xmax), 0.0f);
    return (gs_act_params){.scale = round_to(fmaxf(peak / 127.0f, GS_EPS), round_scale)};
}

gs_status gs_deq_and_bias(int64_t out, const float *weight_scale, const int32_t *row_sum, const float *bias,
                          gs_act_params act, float *deq, int32_t *quant_bias, gs_error *err)
{
    for (int64_t o = 0; o < out; o++) {
        deq[o] = act.scale * weight_scale[o];
        const float correction = (float)row_sum[o] * act.zero;
        const float quotient = (bias ? bias[o] : 0.0f) / deq[o];
        const float value = gs_rint(quotient - correction);
        if (!(value >= -0x1p31f && value < 0x1p31f)) {
            return gs_fail(
                err, GS_ERR_NUMERIC,
                "row %lld: quant_bias %g does not fit int32 (bias %g, weight scale %g, input scale %g); keep this "
                "linear in float with --disable_names",
                (long long)o, (double)value, bias ? (double)bias[o] : 0.0, (double)weight_scale[o], (double)act.scale);
        }
        quant_bias[o] = (int32_t)value;
    }
    return GS_OK;
}

void gs_deq_to_i64(const float *deq, int64_t *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = gs_f32_bits(deq[i]);
        int32_t value;
        memcpy(&value, &bits, sizeof value);
        dst[i] = value;
    }
}
