/* What the inputs of a linear look like: range, kurtosis, outlier channels. Sums of powers are taken per row in double over eight
 * lanes (value i in lane i mod 8, lanes added in order) and added in row order. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_INPUT_H
#define GS_EVAL_INPUT_H

#include "kernels/elem.h"

#define GS_OUTLIER_RATIO 10.0 /* over the median channel */
#define GS_OUTLIER_TOP   5    /* channels that are named */

typedef struct gs_input_figures {
    double min, max;
    double kurtosis;  /* NaN where all values are the same */
    int64_t channels; /* the input's width */
    double median;    /* of the channels' largest magnitudes */
    int64_t outliers; /* channels with more than GS_OUTLIER_RATIO times that */
    int top;          /* the largest of them, falling; equal ones in channel order */
    int64_t channel[GS_OUTLIER_TOP];
    double ratio[GS_OUTLIER_TOP]; /* over the median; +Inf where that is 0 */
} gs_input_figures;

typedef struct gs_input_sums {
    int64_t in, values;
    float *min, *max; /* [in] */
    double power[4];  /* Σ x, Σ x², Σ x³, Σ x⁴ */
} gs_input_sums;

void gs_input_sums_init(gs_input_sums *s, int64_t in);
void gs_input_sums_release(gs_input_sums *s); /* accepts an all-zero struct */
/* x: [rows, in], finite. */
void gs_input_sums_add(gs_input_sums *s, gs_compute *c, int64_t rows, const float *x);
void gs_input_figures_of(const gs_input_sums *s, gs_input_figures *out);

#endif
