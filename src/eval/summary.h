/* Private to eval/: from tokens to figures. Sums run in token order. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_SUMMARY_H
#define GS_EVAL_SUMMARY_H

#include "eval/eval.h"
#include "eval/lockstep.h"

typedef struct gs_mean {
    double mean, se; /* se: sample standard deviation over the square root of n; 0 for n < 2 */
} gs_mean;
gs_mean gs_mean_of(const double *x, int64_t n);
gs_mean gs_mean_difference(const double *x, const double *y, int64_t n); /* of x - y, pair by pair */
/* Nearest rank: the least value with at least share·n values not above it. sorted: rising, n > 0. */
double gs_percentile(const double *sorted, int64_t n, double share);
/* Wilson's score interval at 95 %. */
void gs_wilson(int64_t right, int64_t n, double *low, double *high);

/* nll and perplexity of the first n tokens. */
void gs_summary_text(gs_eval_model *m, int64_t n);
/* What compares m with the float model. top1, top5: of gs_token_views. */
void gs_summary_compare(gs_eval_model *m, const gs_eval_model *exact, const gs_token_views *views, int64_t n);
/* Which choice the model takes, by set and nll of all predicted tokens. picked: [questions], filled; exact: that of the float model,
 * or NULL. */
void gs_summary_choices(gs_eval_model *m, const gs_eval_set *set, const double *nll, int32_t *picked,
                        const int32_t *exact);

#endif
