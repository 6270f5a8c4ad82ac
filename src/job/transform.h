/* What smoothing does to one block, as vectors. Panels keep the checkpoint's weights; whoever reads a weight, a norm or a bias for
 * the smoothed model reads it through the functions below. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_TRANSFORM_H
#define GS_JOB_TRANSFORM_H

#include "model/forward.h"
#include "smooth/do_smooth.h"
#include "smooth/smooth.h"

typedef struct gs_transform {
    bool ready;                 /* the outlier step has been here */
    float *norm[GS_NORMS];      /* [hidden] as written; NULL = as stored */
    float *norm_bias[GS_NORMS]; /* [hidden]; NULL = none */
    float *column[GS_ROLES];    /* [in] multipliers of the weight's columns; NULL = 1 */
    float *row[GS_ROLES];       /* [out] divisors of its rows; NULL = 1 */
    float *bias[GS_ROLES];      /* [out] as written; NULL = as stored */
    bool chosen[GS_ROLES];      /* by consumer */
    gs_smooth_choice choice[GS_ROLES];
    bool smoothed[GS_NORMS]; /* do_smooth has searched this norm's linear */
    gs_do_smooth_choice smooth_choice[GS_NORMS];
} gs_transform;

void gs_transform_release(gs_transform *t);

/* norm /= s, norm_bias /= s, columns of the consumer *= s. stored: the norm as loaded. */
void gs_transform_norm(gs_transform *t, const gs_block *b, gs_norm norm, gs_role consumer, const float *s);
/* norm_bias -= shift (before the division above), bias += add. */
void gs_transform_shift(gs_transform *t, const gs_block *b, gs_norm norm, gs_role consumer, const float *shift,
                        const float *add);
/* Rows and bias of the producer /= div, columns of the consumer *= s. */
void gs_transform_pair(gs_transform *t, const gs_block *b, gs_role producer, gs_role consumer, const float *s,
                       const float *div);

/* The block as the smoothed model sees it: norms and biases replaced; weights as stored (gs_transform_rows, gs_transform_linear). */
gs_block gs_transform_view(const gs_transform *t, const gs_block *b);
/* Rows row .. row+rows of the smoothed weight: (w·column)/row, one rounding each. dst: [rows, in]. */
void gs_transform_rows(const gs_transform *t, gs_compute *c, const gs_block *b, gs_role role, int64_t row, int64_t rows,
                       float *dst);
/* y = x·W'ᵀ + bias' from the stored panels: x's columns are scaled first, the sums divided after. */
gs_status gs_transform_linear(const gs_transform *t, gs_compute *c, const gs_block *b, gs_role role, int64_t rows,
                              const float *x, float *y, gs_error *err) GS_CHECKED;

#endif
