/* Trying scales on a linear as an int8 engine would compute it: inputs divided and weight columns multiplied by t, both in codes,
 * exact integer products, compared with the float product. All candidates go through a chunk of weight rows while it is at
 * hand. Private to smooth/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_TRIAL_H
#define GS_SMOOTH_TRIAL_H

#include "kernels/gemm.h"

typedef enum gs_trial_weight {
    GS_TRIAL_W8,         /* 8 bits per row, ±127 */
    GS_TRIAL_W4_OUTLIERS /* 4 bits for the body of a row, ±7; elements of more than three standard deviations of the row's
                          * magnitudes keep up to ±127 of the same steps */
} gs_trial_weight;

typedef struct gs_trial {
    const gs_packed *weight;
    int64_t rows, stride;   /* every stride-th row of x, `rows` of them */
    int sparse;             /* > 1: only every sparse-th chunk of weight rows, an estimate */
    const float *x;         /* [.., channels] */
    const float *min, *max; /* [channels] what the scale of the input codes is taken from */
    bool symmetric; /* input codes: ±127 around 0; otherwise 0 … 255 between the ends, which need not include 0 */
    gs_trial_weight kind;
    int power; /* of the differences that are summed: 2 or 4 */
} gs_trial;

/* The most memory a run takes for `count` candidates on `rows` rows and a weight of [out, in]. */
size_t gs_trial_bytes(int count, int64_t rows, int64_t out, int64_t in);
/* t: [count, channels], positive. error[i] = Σ |out_i - out|^power over rows and outputs; *reference = Σ out². */
gs_status gs_trial_run(gs_compute *c, const gs_trial *trial, int count, const float *t, double *error,
                       double *reference, gs_error *err) GS_CHECKED;

#endif
