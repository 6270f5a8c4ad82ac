/* --reference_compat: m2's choice among thresholds that scale the same channels. Their scales differ in last bits only, through
 * (thres/t)·t, and so do their losses; the reference takes the first with the least float32 loss. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_M2_FLOAT_H
#define GS_SMOOTH_M2_FLOAT_H

#include "smooth/group.h"

/* Most memory of a call: weight [out, in]. */
size_t gs_m2_float_bytes(int64_t out, int64_t in, int64_t first_rows);
/* t: [n] the thresholds, rising. w: [in] column maxima of the weight. s: [in] the scales; *best: which threshold. */
gs_status gs_m2_float_pick(gs_compute *c, const gs_smooth_group *g, const float *w, const float *t, int n, float *s,
                           int *best, gs_error *err) GS_CHECKED;

#endif
