/* Ranges of queries, keys and values for quantized attention (FA3), after RoPE and before keys are repeated: per head the recall
 * window of each sample, running minimum and maximum over samples. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_ATTENTION_H
#define GS_CALIB_ATTENTION_H

#include "kernels/elem.h"

typedef struct gs_fa_range {
    int64_t heads, groups;
    float *min[3], *max[3]; /* q: [heads]; k, v: [groups] */
} gs_fa_range;
void gs_fa_range_init(gs_fa_range *r, int64_t heads, int64_t groups);
void gs_fa_range_release(gs_fa_range *r); /* accepts an all-zero struct */

/* One sample. qkv: row stride `stride`, [heads·d | groups·d | groups·d]. Of a head's n = rows·d values the narrowest window of
 * (int)(n·ratio) sorted ones counts, the first of equals; ratio 0.9999 for q and k, 1 for v. GS_ERR_NUMERIC on NaN or Inf. */
gs_status gs_fa_range_add(gs_fa_range *r, gs_compute *c, int64_t rows, const float *qkv, int64_t stride, int64_t d,
                          gs_error *err) GS_CHECKED;
/* max(max(-min(lo, 0), max(hi, 0))/127, eps). q: [heads]; k, v: [groups]. Offsets are 0. */
void gs_fa_range_scales(const gs_fa_range *r, float *q, float *k, float *v);

/* How much the largest magnitudes stand out, for fa_amp: the largest of the three tensors' max / edge, the edge being where, from
 * the top of a 100-bin histogram of |x|, two neighbouring bins first hold more than 0.2 % of the values. */
gs_status gs_fa_layer_score(gs_compute *c, int64_t heads, int64_t groups, int64_t rows, const float *qkv,
                            int64_t stride, int64_t d, float *score, gs_error *err) GS_CHECKED;

#endif
