/* The table of methods. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/methods.h"

const gs_smoother *const gs_smoothers[] = {&gs_smoother_m1, &gs_smoother_m2, &gs_smoother_m3, &gs_smoother_m4,
                                           &gs_smoother_m5, &gs_smoother_m6, NULL};

const gs_smoother *gs_smoother_find(const char *name)
{
    for (const gs_smoother *const *s = gs_smoothers; name && *s; s++)
        if (strcmp(name, (*s)->name) == 0) return *s;
    return NULL;
}
