/* Owns the statistics. SPDX-License-Identifier: Apache-2.0 */
#include "eval/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/logits.h"
#include "num/exp64.h"

gs_mean gs_mean_difference(const double *x, const double *y, int64_t n)
{
    gs_mean m = {0};
    if (n < 1) return m;
    for (int64_t i = 0; i < n; i++) m.mean += y ? x[i] - y[i] : x[i];
    m.mean /= (double)n;
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (y ? x[i] - y[i] : x[i]) - m.mean;
        squares += d * d;
    }
    if (n > 1) m.se = sqrt(squares / (double)(n - 1) / (double)n);
    return m;
}

gs_mean gs_mean_of(const double *x, int64_t n) { return gs_mean_difference(x, NULL, n); }

double gs_percentile(const double *sorted, int64_t n, double share)
{
    int64_t rank = (int64_t)ceil(share * (double)n);
    rank = rank < 1 ? 1 : rank > n ? n : rank;
    return sorted[rank - 1];
}

void gs_wilson(int64_t right, int64_t n, double *low, double *high)
{
    const double z = 1.959963984540054, count = (double)n;
    *low = *high = 0;
    if (n < 1) return;
    const double p = (double)right / count, spread = 1 + z * z / count;
    const double centre = (p + z * z / (2 * count)) / spread;
    const double half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / spread;
    *low = centre - half > 0 ? centre - half : 0;
    *high = centre + half < 1 ? centre + half : 1;
}

void gs_summary_text(gs_eval_model *m, int64_t n)
{
    const gs_mean nll = gs_mean_of(m->token_nll, n);
    m->nll = nll.mean;
    m->nll_se = nll.se;
    m->perplexity = gs_exp64_inline(nll.mean);
    m->perplexity_se = m->perplexity * nll.se;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise_kl(gs_eval_model *m, int64_t n)
{
    const gs_mean kl = gs_mean_of(m->token_kl, n);
    m->kl_mean = kl.mean;
    m->kl_se = kl.se;
    double *const sorted = gs_alloc_array((size_t)n, sizeof *sorted);
    memcpy(sorted, m->token_kl, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    m->kl_median = gs_percentile(sorted, n, 0.5);
    m->kl_p99 = gs_percentile(sorted, n, 0.99);
    m->kl_max = sorted[n - 1];
    gs_free(sorted);
}

void gs_summary_compare(gs_eval_model *m, const gs_eval_model *exact, const gs_token_views *views, int64_t n)
{
    if (n < 1) return;
    const gs_mean difference = gs_mean_difference(m->token_nll, exact->token_nll, n);
    m->ratio = gs_exp64_inline(difference.mean);
    m->ratio_se = m->ratio * difference.se;
    m->noise = fabs(m->ratio - 1) <= m->ratio_se;
    summarise_kl(m, n);
    int64_t top1 = 0, same = 0, shared = 0;
    for (int64_t i = 0; i < n; i++) {
        top1 += views->top1[i];
        same += views->top5[i] == GS_EVAL_TOP;
        shared += views->top5[i];
    }
    m->top1_agreement = (double)top1 / (double)n;
    m->top5_same = (double)same / (double)n;
    m->top5_overlap = (double)shared / (double)(n * GS_EVAL_TOP);
}

/* First choice with the greatest log-likelihood, over its bytes where per_byte. */
static int32_t pick(const gs_eval_set *s, const double *nll, int64_t question, bool per_byte)
{
    const int64_t first = s->question[question], end = s->question[question + 1];
    int32_t best = 0;
    double least = INFINITY;
    for (int64_t i = first; i < end; i++) {
        double sum = 0;
        for (int64_t j = s->place[i]; j < s->place[i + 1]; j++) sum += nll[j];
        if (per_byte && s->bytes[i] > 0) sum /= (double)s->bytes[i];
        if (!(sum < least)) continue;
        least = sum;
        best = (int32_t)(i - first);
    }
    return best;
}

void gs_summary_choices(gs_eval_model *m, const gs_eval_set *set, const double *nll, int32_t *picked,
                        const int32_t *exact)
{
    gs_eval_accuracy *a = &m->choices;
    const int64_t n = set->questions;
    int64_t agreed = 0;
    if (n < 1) return;
    for (int64_t i = 0; i < n; i++) {
        picked[i] = pick(set, nll, i, false);
        a->correct += picked[i] == set->answer[i];
        a->correct_per_byte += pick(set, nll, i, true) == set->answer[i];
        agreed += exact && picked[i] == exact[i];
    }
    a->accuracy = (double)a->correct / (double)n;
    a->accuracy_per_byte = (double)a->correct_per_byte / (double)n;
    if (exact) a->agreement = (double)agreed / (double)n;
    gs_wilson(a->correct, n, &a->low, &a->high);
    gs_wilson(a->correct_per_byte, n, &a->low_per_byte, &a->high_per_byte);
}
