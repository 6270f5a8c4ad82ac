/* Per-tensor activation ranges of the reference's methods: min-max mean (act_method 1) and histogram (act_method 2).
 * An observer sees one whole sample at a time, in file order, and gives the range after it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_OBSERVER_H
#define GS_CALIB_OBSERVER_H

#include "kernels/elem.h"

typedef enum gs_observer_kind { GS_OBSERVE_MINMAX = 1, GS_OBSERVE_HISTOGRAM = 2 } gs_observer_kind;

typedef struct gs_observer gs_observer;
/* truncate: histogram bounds cut to int() as the reference's CPU run does (GS_COMPAT_HISTOGRAM_TRUNCATES). */
gs_observer *gs_observer_create(gs_observer_kind kind, bool truncate);
void gs_observer_free(gs_observer *o);
/* x: [n] all values of one sample, n > 0. GS_ERR_NUMERIC when a value is NaN or Inf (text without a name; the caller
 * wraps). */
gs_status gs_observer_add(gs_observer *o, gs_compute *c, int64_t n, const float *x, float *xmin, float *xmax,
                          gs_error *err) GS_CHECKED;
const char *gs_observer_kind_name(gs_observer_kind kind); /* "min-max", "histogram" */

/* Score of a linear's input on the float model: accumulate sample by sample (the first five), then read. */
typedef struct gs_score {
    bool seen;
    float t_max, t_min, std;
    int64_t cols;
} gs_score;
gs_status gs_score_add(gs_score *s, gs_compute *c, int64_t rows, int64_t cols, const float *x,
                       gs_error *err) GS_CHECKED;
float gs_score_value(const gs_score *s); /* range / std; as the reference's float */
/* act_method 3: score <= 50 → histogram, else min-max; unseen → histogram. */
gs_observer_kind gs_score_observer(const gs_score *s);

/* KV ranges: running per-channel min and max of the k and v parts of the QKV output. */
typedef struct gs_kv_range {
    int64_t width;    /* groups · head_dim */
    float *min, *max; /* [2·width], k then v */
} gs_kv_range;
void gs_kv_range_init(gs_kv_range *r, int64_t width);
void gs_kv_range_release(gs_kv_range *r);
/* qkv: [rows, stride], k at column q_width. */
void gs_kv_range_add(gs_kv_range *r, gs_compute *c, int64_t rows, const float *qkv, int64_t stride, int64_t q_width);
/* scale: [2·width]: max(max(-min(mn,0), max(mx,0))/127, eps). Offsets are +0.0. */
void gs_kv_range_scales(const gs_kv_range *r, float *scale);

#endif
