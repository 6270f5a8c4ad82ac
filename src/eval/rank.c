/* Owns the ranking and the budget. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "eval/analyze.h"

gs_status gs_budget_parse(const char *word, gs_budget *out, gs_error *err)
{
    *out = (gs_budget){0};
    if (word == NULL) return GS_OK;
    const size_t whole = strspn(word, "0123456789"),
                 part = word[whole] == '.' ? strspn(word + whole + 1, "0123456789") : 0;
    const size_t n = whole + (part > 0 ? 1 + part : 0);
    out->percent = strcmp(word + n, "%") == 0;
    const bool count = word[n] == '\0' && part == 0;
    if (whole == 0 || whole > 9 || part > 9 || (!out->percent && !count))
        return gs_fail(err, GS_ERR_USAGE, "--budget is a number of linears, as 4, or a growth of the result, as 2.5%%");
    double scale = 1;
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '.') continue;
        out->value = out->value * 10 + (word[i] - '0');
        if (i > whole) scale *= 10;
    }
    out->value /= scale;
    return GS_OK;
}

static double figure(const gs_trial_figures *f, bool by_kl) { return by_kl ? f->kl : f->loss; }

static int compare(const gs_trial_figures *a, const gs_trial_figures *b, bool by_kl)
{
    if (a->measured != b->measured) return a->measured ? -1 : 1;
    const double x = figure(a, by_kl), y = figure(b, by_kl);
    if (x != y) return x < y ? 1 : -1;
    return a->linear - b->linear;
}

static int compare_loss(const void *a, const void *b) { return compare(a, b, false); }
static int compare_kl(const void *a, const void *b) { return compare(a, b, true); }

void gs_rank(gs_trial_figures *f, int n, bool by_kl)
{
    qsort(f, (size_t)n, sizeof *f, by_kl ? compare_kl : compare_loss);
}

static bool can_keep(const gs_trial_figures *f) { return f->measured && !f->kept; }

static uint64_t growth(const gs_trial_figures *f) { return f->float_bytes > f->bytes ? f->float_bytes - f->bytes : 0; }

/* Does a lose more per extra byte than b? Equal: as ranked. */
typedef struct dense {
    gs_trial_figures *f;
    int place;
    double per_byte;
} dense;

static int compare_dense(const void *a, const void *b)
{
    const dense *x = a, *y = b;
    if (x->per_byte != y->per_byte) return x->per_byte < y->per_byte ? 1 : -1;
    return x->place - y->place;
}

/* In falling order of loss per extra byte whatever still fits. */
static void choose_growth(gs_analyze_scheme *s, double percent, bool by_kl)
{
    const double room = percent / 100 * (double)s->bytes;
    dense *list = gs_alloc_array((size_t)s->linears + 1, sizeof *list);
    int n = 0;
    for (int i = 0; i < s->linears; i++) {
        gs_trial_figures *f = &s->rank[i];
        const uint64_t extra = growth(f);
        if (!can_keep(f) || !(figure(f, by_kl) > 0)) continue;
        list[n++] = (dense){f, i, figure(f, by_kl) / (double)(extra > 0 ? extra : 1)};
    }
    qsort(list, (size_t)n, sizeof *list, compare_dense);
    double used = 0;
    for (int i = 0; i < n; i++) {
        const double extra = (double)growth(list[i].f);
        if (used + extra > room) continue;
        used += extra;
        list[i].f->chosen = true;
    }
    gs_free(list);
}

void gs_choose(gs_analyze_scheme *s, const gs_budget *budget, bool by_kl)
{
    double all = 0, removed = 0;
    int left = budget->percent ? 0 : (int)budget->value;
    for (int i = 0; i < s->linears; i++) {
        s->rank[i].chosen = left > 0 && can_keep(&s->rank[i]);
        left -= s->rank[i].chosen;
    }
    if (budget->percent) choose_growth(s, budget->value, by_kl);
    s->chosen = 0;
    s->extra_bytes = 0;
    for (int i = 0; i < s->linears; i++) {
        const gs_trial_figures *f = &s->rank[i];
        if (!can_keep(f)) continue;
        all += figure(f, by_kl);
        if (!f->chosen) continue;
        s->chosen++;
        s->extra_bytes += growth(f);
        removed += figure(f, by_kl);
    }
    s->removed = all > 0 ? removed / all : 0;
}
