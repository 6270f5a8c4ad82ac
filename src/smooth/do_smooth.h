/* do_smooth: while calibrating, the first sample's input of a norm's linear is centred and scaled, with the exponent that hurts
 * the linear least. norm.weight /= scale; norm.bias = (norm.bias - shift)/scale; the linear's bias += W·shift (W as it was);
 * the linear's column c *= scale[c]. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_DO_SMOOTH_H
#define GS_SMOOTH_DO_SMOOTH_H

#include "kernels/gemm.h"

typedef struct gs_do_smooth_choice {
    double alpha;
    double loss_before, loss_after;   /* root of the sum of fourth powers of the output's error; before: no scaling */
    double range_before, range_after; /* max |x|, and of what the linear sees afterwards */
    int64_t scaled_channels;          /* channels with scale != 1 */
    int64_t zero_channels;            /* channels that were constant (guarded: scale 1, unless compat) */
} gs_do_smooth_choice;

/* x: [rows, in], what the norm gave for the first calibration sample; weight: [out, in]; w_bit 4 or 8; compat: constant channels get
 * 1e-5 as in the reference. shift, scale: [in]. GS_ERR_NUMERIC on NaN or Inf in x. */
gs_status gs_do_smooth_search(gs_compute *c, const gs_packed *weight, int64_t rows, const float *x, int w_bit,
                              bool compat, float *shift, float *scale, gs_do_smooth_choice *choice,
                              gs_error *err) GS_CHECKED;
/* The large buffers of that. */
uint64_t gs_do_smooth_bytes(int64_t rows, int64_t out, int64_t in);
/* add: [out] = W·shift. */
void gs_do_smooth_bias(gs_compute *c, const gs_packed *weight, const float *shift, float *add);

#endif
