/* The table of W4A4 transforms: what was chosen for each linear and what its output lost with plain rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "report/table.h"

void gs_report_transforms(const gs_report *r, gs_str *out)
{
    bool first = true;
    for (int i = 0; i < r->n_linears; i++) {
        const gs_linear_result *l = &r->linears[i];
        const gs_linear_place place = gs_linear_place_of(l->name);
        char alpha[24] = "-";
        if (!(l->clip_ratio > 0)) continue;
        if (first)
            gs_str_printf(out, "\n%5s  %-16s  %6s  %6s  %12s\n", "block", "W4A4 linear", "alpha", "clip",
                          "output error");
        first = false;
        if (!isnan(l->transform_alpha)) snprintf(alpha, sizeof alpha, "%.1f", l->transform_alpha);
        gs_str_printf(out, "%5d  %-16s  %6s  %6.3f  %12.3g\n", place.block, place.linear, alpha, l->clip_ratio,
                      l->transform_error);
    }
}
