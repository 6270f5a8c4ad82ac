/* An analysis for a person: per scheme the worst linears, then the line for quant. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cli/analyze.h"

#define WORST 12 /* linears shown per scheme */

static void text_head(const gs_analysis *a, gs_str *out)
{
    char shown[300];
    gs_str_printf(out, "%s: %lld samples, %lld tokens", gs_printable(a->source, strlen(a->source), shown, sizeof shown),
                  (long long)a->samples, (long long)a->tokens);
    if (a->text)
        gs_str_printf(out, "; measured on %s: %lld windows",
                      gs_printable(a->text, strlen(a->text), shown, sizeof shown), (long long)a->windows);
    gs_str_printf(out,
                  ", %lld tokens behind the prefixes count\nloss: mean of |h' - h|² / |h|² behind the block with one "
                  "linear quantized%s\n\n",
                  (long long)a->counted, a->kl ? "; ranked by KL(float ‖ that)" : "");
}

static void text_outliers(const gs_input_figures *f, gs_str *out)
{
    gs_str_printf(out, "%8lld ", (long long)f->outliers);
    if (f->top == 0)
        gs_str_adds(out, "             ");
    else if (isinf(f->ratio[0]))
        gs_str_printf(out, "%6lld      ∞ ", (long long)f->channel[0]);
    else
        gs_str_printf(out, "%6lld %5.0fx ", (long long)f->channel[0], f->ratio[0]);
}

static void text_trial(const gs_analysis *a, const gs_trial_figures *f, int place, gs_str *out)
{
    const gs_analyze_linear *l = &a->linear[f->linear];
    gs_str_printf(out, "%4d  ", place);
    if (f->measured && a->kl) gs_str_printf(out, "%10.3e ", f->kl);
    if (f->measured)
        gs_str_printf(out, "%10.3e ", f->loss);
    else
        gs_str_printf(out, "%*s ", a->kl ? 21 : 10, "-");
    gs_str_printf(out, " %9.4g %9.4g  %8.4g ", l->input.min, l->input.max, l->input.kurtosis);
    text_outliers(&l->input, out);
    gs_str_printf(out, " %c %s%s%s\n", f->chosen ? '*' : ' ', l->name, f->kept ? " (stays float)" : "",
                  f->measured ? "" : " (never quantized)");
}

void gs_analyze_disable_names(const gs_analysis *a, const gs_analyze_scheme *s, gs_str *out)
{
    if (s->chosen == 0) return;
    gs_str_adds(out, "--disable_names");
    for (int i = 0; i < s->linears; i++)
        if (s->rank[i].chosen) gs_str_printf(out, " '%s'", a->linear[s->rank[i].linear].name);
}

static void text_choice(const gs_analysis *a, const gs_analyze_scheme *s, gs_str *out)
{
    if (s->chosen == 0) {
        gs_str_adds(out, a->budget.value > 0 ? "\nNothing that the budget has room for.\n\n" : "\n");
        return;
    }
    gs_str_printf(out,
                  "\n%d linear%s in float (*): %.1f %% less %s in sum, %.2f MB (%.2f %%) more than %.2f MB. The list "
                  "replaces the default one, dense_4h_to_h:\n",
                  s->chosen, s->chosen == 1 ? "" : "s", 100 * s->removed, a->kl ? "KL" : "loss",
                  (double)s->extra_bytes / 1e6, 100 * (double)s->extra_bytes / (double)s->bytes,
                  (double)s->bytes / 1e6);
    gs_analyze_disable_names(a, s, out);
    gs_str_adds(out, "\n\n");
}

static void text_scheme(const gs_analysis *a, const gs_analyze_scheme *s, bool all, gs_str *out)
{
    const int n = all || s->linears <= WORST + 1 ? s->linears : WORST;
    gs_str_printf(out, "%s: %s\n", s->type, s->options);
    gs_str_printf(out, "      %s%10s  %9s %9s  %8s %8s %13s\n", a->kl ? "        KL " : "", "loss", "input min", "max",
                  "kurtosis", "outliers", "  largest");
    for (int i = 0; i < n; i++) text_trial(a, &s->rank[i], i + 1, out);
    if (n < s->linears) gs_str_printf(out, "      … and %d more (--all)\n", s->linears - n);
    text_choice(a, s, out);
}

void gs_analyze_text(const gs_analysis *a, bool all, gs_str *out)
{
    text_head(a, out);
    for (int i = 0; i < a->schemes; i++) text_scheme(a, &a->scheme[i], all, out);
}
