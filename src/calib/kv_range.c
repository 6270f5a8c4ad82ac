/* Owns the per-channel ranges of the key and value projections and the int8 cache scales made of them. Unlike the
 * activation observers this is a true running minimum and maximum over all tokens.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "calib/observer.h"

void gs_kv_range_init(gs_kv_range *r, int64_t width)
{
    r->width = width;
    r->min = gs_alloc_array((size_t)(2 * width), sizeof(float));
    r->max = gs_alloc_array((size_t)(2 * width), sizeof(float));
    for (int64_t j = 0; j < 2 * width; j++) {
        r->min[j] = INFINITY;
        r->max[j] = -INFINITY;
    }
}

void gs_kv_range_release(gs_kv_range *r)
{
    gs_free(r->min);
    gs_free(r->max);
    *r = (gs_kv_range){0};
}

void gs_kv_range_add(gs_kv_range *r, gs_compute *c, int64_t rows, const float *qkv, int64_t stride, int64_t q_width)
{
    gs_column_minmax(c, rows, 2 * r->width, qkv + q_width, stride, r->min, r->max); /* v follows k */
}

void gs_kv_range_scales(const gs_kv_range *r, float *scale)
{
    for (int64_t j = 0; j < 2 * r->width; j++) {
        const float below = -fminf(r->min[j], 0.0f), above = fmaxf(r->max[j], 0.0f);
        scale[j] = fmaxf(fmaxf(below, above) / 127.0f, GS_EPS);
    }
}
