/* Owns the sums over the vocabulary. SPDX-License-Identifier: Apache-2.0 */
#include "eval/logits.h"

#include <math.h>

#include "num/exp64.h"

#define BLOCK 256 /* logits whose exponentials are computed together */

void gs_token_sums_init(gs_token_sums *t)
{
    *t = (gs_token_sums){.max = -INFINITY};
    for (int i = 0; i < GS_EVAL_TOP; i++) {
        t->top[i] = -INFINITY;
        t->top_id[i] = -1;
    }
}

static void see_top(gs_token_sums *t, const float *z, int64_t id0, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!(z[i] > t->top[GS_EVAL_TOP - 1])) continue;
        int at = GS_EVAL_TOP - 1;
        for (; at > 0 && z[i] > t->top[at - 1]; at--) {
            t->top[at] = t->top[at - 1];
            t->top_id[at] = t->top_id[at - 1];
        }
        t->top[at] = z[i];
        t->top_id[at] = (int32_t)(id0 + i);
    }
}

/* What earlier sums are multiplied with when the maximum rises: 1 if it does not, 0 the first time. */
static double raise_max(gs_token_sums *t, const float *z, int64_t n)
{
    const float before = t->max;
    for (int64_t i = 0; i < n; i++) t->max = z[i] > t->max ? z[i] : t->max;
    return before == t->max ? 1.0 : before == -INFINITY ? 0.0 : gs_exp64_inline((double)before - (double)t->max);
}

static void exponentials(const float *z, float max, int64_t n, double *e)
{
    for (int64_t i = 0; i < n; i++) e[i] = gs_exp64_inline((double)z[i] - (double)max);
}

static void add_served(gs_token_sums *t, const float *exact, const double *weight, double factor, const float *z,
                       int64_t n)
{
    t->cross *= factor;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)exact[i], d = v - (double)z[i];
        t->cross += weight[i] * d;
        t->signal += v * v;
        t->noise += d * d;
    }
}

static void add_own(gs_token_sums *t, const float *z, double *e, int64_t n, double factor)
{
    t->sum *= factor;
    exponentials(z, t->max, n, e);
    for (int64_t i = 0; i < n; i++) t->sum += e[i];
}

static void see_target(gs_token_sums *t, const gs_logits *l, const float *z, int64_t token)
{
    const int64_t at = l->target[token] - l->id0;
    if (at >= 0 && at < l->n) t->target = z[at];
}

static void token_task(void *ctx, int64_t token, int worker)
{
    const gs_logits *l = ctx;
    double weight[BLOCK], own[BLOCK];
    (void)worker;
    for (int64_t i = 0; i < l->n; i += BLOCK) {
        const int64_t n = l->n - i < BLOCK ? l->n - i : BLOCK;
        gs_token_sums *const exact = &l->exact_sums[token];
        const float *const z = l->exact + token * l->n + i;
        const double factor = raise_max(exact, z, n);
        add_own(exact, z, weight, n, factor);
        see_top(exact, z, l->id0 + i, n);
        for (int m = 0; m < l->models; m++) {
            gs_token_sums *const served = &l->served_sums[m][token];
            const float *const y = l->served[m] + token * l->n + i;
            add_served(served, z, weight, factor, y, n);
            const double own_factor = raise_max(served, y, n);
            add_own(served, y, own, n, own_factor);
            see_top(served, y, l->id0 + i, n);
        }
    }
    see_target(&l->exact_sums[token], l, l->exact + token * l->n, token);
    for (int m = 0; m < l->models; m++) see_target(&l->served_sums[m][token], l, l->served[m] + token * l->n, token);
}

void gs_logits_add(gs_compute *c, const gs_logits *l)
{
    gs_logits job = *l;
    gs_pool_run(c->pool, l->tokens, token_task, &job);
}

/* ln Σ exp(z) */
static double log_sum(const gs_token_sums *t) { return (double)t->max + gs_log64(t->sum); }

double gs_token_nll(const gs_token_sums *t) { return log_sum(t) - (double)t->target; }

/* Σ p·(ln p - ln q) = Σ p·(z_float - z) - ln Σ exp(z_float) + ln Σ exp(z) */
double gs_token_kl(const gs_token_sums *exact, const gs_token_sums *served)
{
    const double kl = served->cross / exact->sum - log_sum(exact) + log_sum(served);
    return kl > 0 ? kl : 0;
}
