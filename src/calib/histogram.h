/* The running histogram of one tensor's values, private to calib/. It follows the histogram observer of PyTorch 1.13
 * bit by bit: float32 counts, old counts spread over a 128-fold finer grid when the range grows, range found by a
 * search that narrows the quantiles step by step until the L2 error of 256 levels rises.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_HISTOGRAM_H
#define GS_CALIB_HISTOGRAM_H

#include "kernels/elem.h"

#define GS_HIST_BINS     2048
#define GS_HIST_UPSAMPLE 128
#define GS_HIST_LEVELS   256

typedef struct gs_hist {
    bool seen;
    bool truncate; /* cut the bounds of counting toward zero to whole numbers */
    float min, max;
    float bin[GS_HIST_BINS];
} gs_hist;

/* Count one sample whose least and greatest value are given. All values finite, n > 0. */
gs_status gs_hist_add(gs_hist *h, gs_compute *c, int64_t n, const float *x, float min, float max,
                      gs_error *err) GS_CHECKED;

/* The range with the least error of 8-bit quantization, as far as the search goes. */
void gs_hist_search(const gs_hist *h, float *xmin, float *xmax);

/* The search's measure: L2 error when bins start..end are spread over the 256 levels and all others are clipped to
 * them. */
float gs_hist_error(const gs_hist *h, int start, int end);

#endif
