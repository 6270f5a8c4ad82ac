/* m4: iterative smooth: the ratio of m1 with most of the range (0.9) moved into the weights, on norms and on pairs of linears.
 * Nothing is iterated. docs/algorithms/m4.md. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/methods.h"

static const double alpha = 0.9, beta = 0.1;

static gs_status ratios(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    gs_smooth_choice_init(choice, "ratio");
    choice->alpha = alpha;
    choice->beta = beta;
    GS_TRY(gs_smooth_weight_max(c, g->weight, GS_SMOOTH_LEAST, s, err));
    gs_smooth_ratios(g, alpha, s, beta, s);
    return GS_OK;
}

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    GS_TRY(ratios(c, g, s, choice, err));
    return gs_smooth_finish(g, s, choice, err);
}

/* A value row gets the mean of the scales its query heads ask for. */
static void fold_heads(const gs_smooth_pair *p, bool compat, float *s)
{
    const int64_t values = p->groups * p->head_dim, ratio = p->heads / p->groups;
    float *const one = gs_alloc_array((size_t)values, sizeof *one);
    for (int64_t row = 0; row < values; row++) {
        double sum = 0;
        float single = 0; /* the reference's */
        for (int64_t head = 0; head < ratio; head++) {
            sum += (double)s[gs_pair_channel(p, row, head)];
            single += s[gs_pair_channel(p, row, head)];
        }
        one[row] = compat ? single / (float)ratio : (float)(sum / (double)ratio);
    }
    gs_pair_spread(p, one, s);
    gs_free(one);
}

static gs_status pair(gs_compute *c, const gs_smooth_group *g, const gs_smooth_pair *p, float *s, float *div,
                      gs_smooth_choice *choice, gs_error *err)
{
    gs_pair_rule rule;
    GS_TRY(gs_pair_rule_find(g, p, &rule, err));
    GS_TRY(ratios(c, g, s, choice, err));
    if (rule == GS_PAIR_GROUPED) fold_heads(p, g->compat, s);
    gs_pair_divisors(g, p, rule, s, div);
    return gs_smooth_finish(g, s, choice, err);
}

const gs_smoother gs_smoother_m4 = {
    .name = "m4", .title = "iterative smooth", .norm_bias = true, .pairs = true, .scale = scale, .pair = pair};
