/* Owns the per-tensor observers. Min-max is the mean over the samples of each sample's own least and greatest value,
 * added in torch's order, so the values of all samples are kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "calib/observer.h"

#include "calib/histogram.h"

struct gs_observer {
    gs_observer_kind kind;
    gs_hist *hist;           /* histogram only */
    float *least, *greatest; /* min-max only: of each sample */
    int64_t count, capacity;
};

gs_observer *gs_observer_create(gs_observer_kind kind, bool truncate)
{
    gs_observer *o = gs_alloc(sizeof *o);
    o->kind = kind;
    if (kind == GS_OBSERVE_HISTOGRAM) {
        o->hist = gs_alloc(sizeof *o->hist);
        o->hist->truncate = truncate;
    }
    return o;
}

void gs_observer_free(gs_observer *o)
{
    if (!o) return;
    gs_free(o->hist);
    gs_free(o->least);
    gs_free(o->greatest);
    gs_free(o);
}

static void add_minmax(gs_observer *o, float min, float max, float *xmin, float *xmax)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? 2 * o->capacity : 64;
        o->least = gs_realloc_array(o->least, (size_t)o->capacity, sizeof(float));
        o->greatest = gs_realloc_array(o->greatest, (size_t)o->capacity, sizeof(float));
    }
    o->least[o->count] = min;
    o->greatest[o->count] = max;
    o->count++;
    *xmin = gs_torch_mean(o->least, o->count);
    *xmax = gs_torch_mean(o->greatest, o->count);
}

gs_status gs_observer_add(gs_observer *o, gs_compute *c, int64_t n, const float *x, float *xmin, float *xmax,
                          gs_error *err)
{
    float min, max;
    bool finite;
    gs_minmax(c, n, x, &min, &max, &finite);
    if (!finite) {
        return gs_fail(err, GS_ERR_NUMERIC,
                       "an activation is NaN or Inf; check the checkpoint, its float forward pass overflows");
    }
    if (o->kind == GS_OBSERVE_MINMAX) {
        add_minmax(o, min, max, xmin, xmax);
        return GS_OK;
    }
    GS_TRY(gs_hist_add(o->hist, c, n, x, min, max, err));
    gs_hist_search(o->hist, xmin, xmax);
    return GS_OK;
}

const char *gs_observer_kind_name(gs_observer_kind kind) { return kind == GS_OBSERVE_MINMAX ? "min-max" : "histogram"; }
