/* Sections of an evaluation's page that are tables: figures per model, questions, and how each result was made, where it says so.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"

/* Which model, and its type below; i < 0: the float one. */
static void add_model_cell(const gs_page *p, int i, gs_str *out)
{
    const gs_eval_model *m = i < 0 ? &p->eval->exact : &p->eval->quant[i];
    gs_str_adds(out, "<td>");
    gs_html_text(out, i < 0 ? "float" : p->names[i]);
    if (i >= 0) {
        gs_str_adds(out, "<span class=\"type\">");
        gs_html_text(out, m->type);
        gs_str_printf(out, "%s%s</span>", m->kv ? " C8" : "", m->fa ? " FA" : "");
    }
    gs_str_adds(out, "</td>");
}

/* "12.345 ± 0.067" */
static void add_error_cell(double v, double se, int digits, gs_str *out)
{
    char text[80] = "";
    if (!isnan(v)) snprintf(text, sizeof text, "%.*f ± %.*f", digits, v, digits, se);
    gs_html_cell(out, text, true);
}

static void add_fixed_cell(double v, int digits, gs_str *out)
{
    char text[48] = "";
    if (!isnan(v)) snprintf(text, sizeof text, "%.*f", digits, v);
    gs_html_cell(out, text, true);
}

static void add_quality_row(const gs_page *p, int i, double most, gs_str *out)
{
    const gs_eval_model *m = i < 0 ? &p->eval->exact : &p->eval->quant[i];
    char ratio[96];
    gs_str_adds(out, "<tr>");
    add_model_cell(p, i, out);
    add_error_cell(m->perplexity, m->perplexity_se, 3, out);
    if (i < 0) {
        gs_str_adds(out, p->eval->quants > 0 ? "<td colspan=\"8\"></td></tr>\n" : "</tr>\n");
        return;
    }
    snprintf(ratio, sizeof ratio, "%+.2f %% ± %.2f %%", 100 * (m->ratio - 1), 100 * m->ratio_se);
    gs_html_cell(out, ratio, true);
    add_error_cell(m->kl_mean, m->kl_se, 5, out);
    gs_html_bar_cell(out, most > 0 ? m->kl_mean / most : 0, false);
    add_fixed_cell(m->kl_median, 5, out);
    add_fixed_cell(m->kl_p99, 5, out);
    add_fixed_cell(m->kl_max, 4, out);
    add_fixed_cell(100 * m->top1_agreement, 2, out);
    add_fixed_cell(100 * m->top5_same, 2, out);
    gs_str_adds(out, "</tr>\n");
}

static void add_noise(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    gs_str names;
    gs_str_init(&names);
    for (int i = 0; i < e->quants; i++)
        if (e->quant[i].noise) gs_str_printf(&names, "%s%s", names.len > 0 ? ", " : "", p->names[i]);
    if (names.len > 0) {
        gs_str_adds(out, "<p>The difference in perplexity is noise, not above its standard error, for: ");
        gs_html_text(out, names.data);
        gs_str_adds(out, ".</p>\n");
    }
    gs_str_release(&names);
}

static void add_protocol(const gs_eval *e, gs_str *out)
{
    gs_str_printf(out, "<p>%lld tokens in %lld windows of %lld", (long long)e->tokens, (long long)e->windows,
                  (long long)e->context);
    if (e->stride < e->context) gs_str_printf(out, ", %lld further each", (long long)e->stride);
    gs_str_printf(out, ", behind a prefix of %lld; each token is predicted once.</p>\n", (long long)e->prefix);
}

void gs_html_quality(const gs_page *p, gs_str *out)
{
    static const gs_column columns[] = {
        {"model", false}, {"perplexity", true}, {"over float", true}, {"KL mean", true},       {"", false},
        {"median", true}, {"99 %", true},       {"max", true},        {"same first, %", true}, {"same five, %", true}};
    const gs_eval *e = p->eval;
    double most = 0;
    if (e->tokens == 0) return;
    for (int i = 0; i < e->quants; i++) most = fmax(most, e->quant[i].kl_mean);
    add_protocol(e, out);
    gs_html_table_begin(out, "Quality of each model", columns,
                        e->quants > 0 ? (int)(sizeof columns / sizeof columns[0]) : 2);
    for (int i = -1; i < e->quants; i++) add_quality_row(p, i, most, out);
    gs_html_table_end(out);
    if (e->quants == 0) return;
    gs_str_adds(out,
                "<p>KL is the divergence from the float model's prediction, in nats per token: the figure to rank by. "
                "Perplexity moves by chance. “Same first” and “same five” are shares of tokens whose most likely "
                "token, or set of five, is the float model's.</p>\n");
    add_noise(p, out);
}

static void add_interval_cell(double v, double low, double high, gs_str *out)
{
    char text[96];
    snprintf(text, sizeof text, "%.4f (%.4f to %.4f)", v, low, high);
    gs_html_cell(out, text, true);
}

void gs_html_questions(const gs_page *p, gs_str *out)
{
    static const gs_column columns[] = {
        {"model", false}, {"accuracy (95 %)", true}, {"per byte (95 %)", true}, {"as float", true}};
    const gs_eval *e = p->eval;
    if (e->questions == 0) return;
    gs_str_printf(out, "<p>%lld questions; the choice with the largest log-likelihood counts, whole or per byte.</p>\n",
                  (long long)e->questions);
    gs_html_table_begin(out, "Questions with choices", columns, 4);
    for (int i = -1; i < e->quants; i++) {
        const gs_eval_model *m = i < 0 ? &e->exact : &e->quant[i];
        const gs_eval_accuracy *a = &m->choices;
        gs_str_adds(out, "<tr>");
        add_model_cell(p, i, out);
        add_interval_cell(a->accuracy, a->low, a->high, out);
        add_interval_cell(a->accuracy_per_byte, a->low_per_byte, a->high_per_byte, out);
        add_fixed_cell(i < 0 ? NAN : a->agreement, 4, out);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
}

/* The sections of a result's own page, a level further down. */
static const gs_section parts[] = {
    {"smoothing", "Outlier suppression", gs_html_smoothing},
    {"activations", "Input ranges", gs_html_activations},
    {"weights", "Weights", gs_html_weights},
    {"float", "What stays float", gs_html_floats},
    {"size", "Size", gs_html_sizes},
    {"linears", "Every linear", gs_html_linears},
};

static void add_parts(const gs_page *p, gs_str *out)
{
    gs_str_adds(out, "<details><summary>Charts and tables</summary>\n");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        gs_str body;
        gs_str_init(&body);
        parts[i].add(p, &body);
        if (body.len > 0) gs_str_printf(out, "<h4>%s</h4>\n", parts[i].title);
        gs_str_add(out, body.data, body.len);
        gs_str_release(&body);
    }
    gs_str_adds(out, "</details>\n");
}

void gs_html_made(const gs_page *p, gs_str *out)
{
    for (int i = 0; i < p->eval->quants && p->files != NULL; i++) {
        const gs_report_file *f = &p->files[i];
        char prefix[16];
        if (!f->found) continue;
        snprintf(prefix, sizeof prefix, "r%d-", i);
        const gs_page own = {.report = &f->report, .recipe = &f->recipe, .prefix = prefix, .level = 5};
        gs_str_adds(out, "<h3>");
        gs_html_text(out, f->dir);
        gs_str_adds(out, "</h3>\n");
        gs_html_done(&own, out);
        add_parts(&own, out);
    }
    if (out->len > 0)
        gs_str_adds(
            out, "<p class=\"note\">From the glmslim_report.json of each result, which does not record paths.</p>\n");
}
