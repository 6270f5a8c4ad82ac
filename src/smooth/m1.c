/* m1: SmoothQuant (Xiao et al. 2022) with alpha = 1/2: half of each channel's range moves from the activation into the weight.
 * docs/algorithms/m1.md. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/methods.h"

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    gs_smooth_choice_init(choice, "ratio");
    choice->alpha = choice->beta = 0.5;
    GS_TRY(gs_smooth_weight_max(c, g->weight, GS_SMOOTH_LEAST, s, err));
    gs_smooth_ratios(g, 0.5, s, 0.5, s);
    return gs_smooth_finish(g, s, choice, err);
}

const gs_smoother gs_smoother_m1 = {.name = "m1", .title = "SmoothQuant", .norm_bias = true, .scale = scale};
