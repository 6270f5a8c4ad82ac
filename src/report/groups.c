/* The table of outlier groups: what was chosen for each, and what it did to the range of the linear's input.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "report/table.h"

static void put_number(gs_str *out, int width, double v)
{
    if (isnan(v))
        gs_str_printf(out, " %*s", width, "-");
    else
        gs_str_printf(out, " %*.4g", width, v);
}

void gs_report_groups(const gs_report *r, gs_str *out)
{
    if (r->n_groups == 0) return;
    gs_str_printf(out, "\n%-72s %-9s %-9s %6s %6s %9s %10s %10s %9s %9s %6s\n", "group", "method", "rule", "alpha",
                  "beta", "threshold", "loss then", "loss now", "max then", "max now", "scaled");
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        gs_str_printf(out, "%-72s %-9s %-9s", g->name, g->method, g->branch ? g->branch : "-");
        put_number(out, 6, g->alpha);
        put_number(out, 6, g->beta);
        put_number(out, 9, g->threshold);
        put_number(out, 10, g->loss_before);
        put_number(out, 10, g->loss_after);
        put_number(out, 9, g->range_before);
        put_number(out, 9, g->range_after);
        if (g->scaled_channels < 0)
            gs_str_printf(out, " %6s\n", "-");
        else
            gs_str_printf(out, " %6lld\n", (long long)g->scaled_channels);
    }
}
