/* The table of methods. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/methods.h"

const gs_smoother *const gs_smoothers[] = {
    &gs_smoother_m1, &gs_smoother_m2, &gs_smoother_m3, &gs_smoother_m4, &gs_smoother_m5, &gs_smoother_m6, NULL};

size_t gs_smooth_bytes(const gs_smoother *method, int64_t out, int64_t in, int64_t first_rows, int64_t n_rows)
{
    const size_t rows = (size_t)((gs_smooth_chunk_rows(in) + 2) * in) * sizeof(float); /* gs_smooth_weight_max */
    const size_t own = method->bytes ? method->bytes(out, in, first_rows, n_rows) : 0;
    return own > rows ? own : rows;
}

const gs_smoother *gs_smoother_find(const char *name)
{
    for (const gs_smoother *const *s = gs_smoothers; name && *s; s++)
        if (strcmp(name, (*s)->name) == 0) return *s;
    return NULL;
}
