/* Activation parameters and what is derived from them. Float32, one rounding per written operation.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_ACT_H
#define GS_QUANT_ACT_H

#include "num/num.h"

typedef struct gs_act_params {
    float scale;
    float zero; /* offset: an integer in [-128, 127] */
} gs_act_params;

/* Asymmetric 8 bit: min, max widened to include 0; s = max((max-min)/255, eps); z = rint(-min/s) - 128. round_scale:
 * the dtype the engine will see the scale in; the scale is rounded to it before the offset is computed (GS_F32 = no
 * rounding). */
gs_act_params gs_act_asym8(float xmin, float xmax, gs_dtype round_scale);

/* Symmetric 8 bit: s = max(max(-min, max)/127, eps), no offset. */
gs_act_params gs_act_sym8(float xmin, float xmax, gs_dtype round_scale);

/* deq[o] = input_scale·weight_scale[o]; quant_bias[o] = (int32)rint(bias[o]/deq[o] - (float)row_sum[o]·input_offset),
 * bias NULL = zeros. All float32. Values beyond int32 are GS_ERR_NUMERIC naming the row. */
gs_status gs_deq_and_bias(int64_t out, const float *weight_scale, const int32_t *row_sum, const float *bias,
                          gs_act_params act, float *deq, int32_t *quant_bias, gs_error *err) GS_CHECKED;
/* float32 bits, sign-extended to int64. */
void gs_deq_to_i64(const float *deq, int64_t *dst, int64_t n);

#endif
