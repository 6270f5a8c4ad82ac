/* m6: flex smooth: the ratio of m1 with an exponent for each side, both searched over 21 values: first beta = 1 - alpha, then beta
 * alone. The measure is the relative error of the linear in 8 bits over rows of all samples. With many rows every candidate is
 * first tried on a part of them, and the best few then on all. docs/algorithms/m6.md. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "smooth/methods.h"
#include "smooth/trial.h"

enum {
    GRID = 21,
    MANY_ROWS = 1024,  /* from here on candidates are screened, unless all rows were asked for */
    SCREEN_ROWS = 256, /* on about so many rows */
    SCREEN_CHUNKS = 4, /* and every fourth chunk of outputs: neighbours on the grid differ smoothly, so the best */
    FINALISTS = 3,     /* of all is among the best few of the sample */
};

typedef struct search {
    gs_compute *c;
    const gs_smooth_group *g;
    const float *w; /* [channels] */
    float *t;       /* [GRID + 1, channels] */
    double alpha[GRID + 1], beta[GRID + 1], error[GRID + 1];
    double best_alpha, best_beta, best, before;
} search;

static void fill_scales(const search *q, int slot, double alpha, double beta)
{
    const float *const a = q->g->stats->abs_max;
    const int64_t n = q->g->weight->k;
    float *const t = q->t + slot * n;
    for (int64_t i = 0; i < n; i++) {
        const float scale = gs_pow(a[i], (float)alpha) * gs_pow(q->w[i], -(float)beta);
        t[i] = a[i] > 0.0f && scale > 0.0f ? scale : 1.0f;
    }
}

/* error[slot[i]] of the given candidates; screen: on a sample of rows and outputs. */
static gs_status measure(search *q, int count, const int *slot, bool screen, gs_error *err)
{
    const gs_outlier_stats *const stats = q->g->stats;
    const int64_t stride = screen ? stats->n_rows / SCREEN_ROWS : 1;
    const gs_trial trial = {.weight = q->g->weight,
                            .x = stats->rows,
                            .stride = stride,
                            .sparse = screen ? SCREEN_CHUNKS : 1,
                            .min = stats->min,
                            .max = stats->max,
                            .rows = (stats->n_rows + stride - 1) / stride,
                            .kind = GS_TRIAL_W8,
                            .power = 2};
    double error[GRID + 1], reference;
    for (int i = 0; i < count; i++) fill_scales(q, i, q->alpha[slot[i]], q->beta[slot[i]]);
    GS_TRY(gs_trial_run(q->c, &trial, count, q->t, error, &reference, err));
    for (int i = 0; i < count; i++) q->error[slot[i]] = sqrt(error[i] / (reference > 0 ? reference : 1));
    return GS_OK;
}

/* Slots of the least errors among the first GRID, taken one by one. */
static void pick_finalists(const search *q, int *slot)
{
    bool taken[GRID] = {false};
    for (int n = 0; n < FINALISTS; n++) {
        int least = -1;
        for (int i = 0; i < GRID; i++)
            if (!taken[i] && (least < 0 || q->error[i] < q->error[least])) least = i;
        taken[least] = true;
        slot[n] = least;
    }
}

/* Errors of `count` candidates (GRID of them and perhaps one to compare with); Inf for those that were screened out. */
static gs_status measure_all(search *q, int count, gs_error *err)
{
    int slot[GRID + 1] = {0};
    for (int i = 0; i < count; i++) slot[i] = i;
    if (q->g->stats->row_limit <= 0 || q->g->stats->n_rows < MANY_ROWS) return measure(q, count, slot, false, err);
    GS_TRY(measure(q, GRID, slot, true, err));
    pick_finalists(q, slot);
    for (int i = 0; i < count; i++) q->error[i] = INFINITY;
    if (count > GRID) slot[FINALISTS] = GRID;
    return measure(q, FINALISTS + (count > GRID), slot, false, err);
}

/* The last of equal errors wins. */
static int best_of(const search *q, double at_most)
{
    int best = -1;
    for (int i = 0; i < GRID; i++)
        if (q->error[i] <= at_most) {
            best = i;
            at_most = q->error[i];
        }
    return best;
}

static gs_status search_exponents(search *q, gs_error *err)
{
    const double step = 0.05;
    for (int i = 0; i < GRID; i++) {
        q->alpha[i] = i * step;
        q->beta[i] = 1.0 - q->alpha[i];
    }
    q->alpha[GRID] = q->beta[GRID] = 0; /* no scaling: what it was before */
    GS_TRY(measure_all(q, GRID + 1, err));
    q->before = q->error[GRID];
    q->best = 1.0; /* worse than an output of zeros is not accepted */
    const int first = best_of(q, q->best);
    if (first >= 0) {
        q->best = q->error[first];
        q->best_alpha = q->alpha[first];
        q->best_beta = q->beta[first];
    }
    for (int i = 0; i < GRID; i++) {
        q->alpha[i] = q->best_alpha;
        q->beta[i] = i * step;
    }
    GS_TRY(measure_all(q, GRID, err));
    const int second = best_of(q, q->best);
    if (second >= 0) {
        q->best = q->error[second];
        q->best_beta = q->beta[second];
    }
    return GS_OK;
}

/* w: the column maxima of the weight when it is done. */
static gs_status find_exponents(gs_compute *c, const gs_smooth_group *g, float *w, gs_smooth_choice *choice,
                                gs_error *err)
{
    gs_smooth_choice_init(choice, "search");
    if (g->stats->n_rows == 0) return gs_fail(err, GS_ERR_USAGE, "m6 needs at least one token of outlier text");
    GS_TRY(gs_smooth_weight_max(c, g->weight, GS_SMOOTH_LEAST, w, err));
    gs_buf memory;
    GS_TRY(
        gs_buf_alloc(&memory, (GRID + 1) * (size_t)g->weight->k * sizeof(float), "candidate scales of a group", err));
    search q = {.c = c, .g = g, .w = w, .t = memory.data};
    const gs_status status = search_exponents(&q, err);
    gs_buf_release(&memory);
    choice->alpha = q.best_alpha;
    choice->beta = q.best_beta;
    choice->loss_before = q.before;
    choice->loss_after = q.best;
    return status;
}

static gs_status scale(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err)
{
    GS_TRY(find_exponents(c, g, s, choice, err));
    gs_smooth_ratios(g, choice->alpha, s, choice->beta, s);
    return gs_smooth_finish(g, s, choice, err);
}

/* A value row gets the ratio of the greatest input and the greatest weight among its query heads. w becomes s. */
static void fold_heads(const gs_smooth_group *g, const gs_smooth_pair *p, const gs_smooth_choice *choice, float *w)
{
    const int64_t values = p->groups * p->head_dim;
    float *const one = gs_alloc_array((size_t)values, sizeof *one);
    for (int64_t row = 0; row < values; row++) {
        float a_top = 0, w_top = 0;
        for (int64_t head = 0; head < p->heads / p->groups; head++) {
            const int64_t channel = gs_pair_channel(p, row, head);
            a_top = fmaxf(a_top, g->stats->abs_max[channel]);
            w_top = fmaxf(w_top, w[channel]);
        }
        const bool leave = a_top == 0.0f && !g->compat;
        one[row] = leave ? 1.0f
                         : (g->compat ? gs_smooth_reference_ratio : gs_smooth_ratio)(a_top, (float)choice->alpha, w_top,
                                                                                     (float)choice->beta);
    }
    gs_pair_spread(p, one, w);
    gs_free(one);
}

static gs_status pair(gs_compute *c, const gs_smooth_group *g, const gs_smooth_pair *p, float *s, float *div,
                      gs_smooth_choice *choice, gs_error *err)
{
    gs_pair_rule rule;
    GS_TRY(gs_pair_rule_find(g, p, &rule, err));
    GS_TRY(find_exponents(c, g, s, choice, err));
    if (rule == GS_PAIR_GROUPED)
        fold_heads(g, p, choice, s);
    else
        gs_smooth_ratios(g, choice->alpha, s, choice->beta, s);
    gs_pair_divisors(g, p, rule, s, div);
    return gs_smooth_finish(g, s, choice, err);
}

static size_t bytes(int64_t out, int64_t in, int64_t first_rows, int64_t n_rows)
{
    (void)first_rows;
    return (size_t)((GRID + 1) * in) * sizeof(float) + gs_trial_bytes(GRID + 1, n_rows, out, in);
}

const gs_smoother gs_smoother_m6 = {.name = "m6",
                                    .title = "flex smooth",
                                    .pairs = true,
                                    .needs_rows = true,
                                    .bytes = bytes,
                                    .scale = scale,
                                    .pair = pair};
