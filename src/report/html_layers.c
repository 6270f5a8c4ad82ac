/* Sections of an evaluation's page that are charts: SQNR of every linear's output and angle of the hidden states by block, divergence by
 * position. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "report/html.h"

#define MAX_SERIES 4  /* results with a colour of their own */
#define MAX_BINS   48 /* of positions */

static const char *const dots[MAX_SERIES] = {"mark-a", "mark-b", "mark-c", "mark-d"};
static const char *const lines[MAX_SERIES] = {"line-a", "line-b", "line-c", "line-d"};

static int series(const gs_eval *e) { return e->quants < MAX_SERIES ? e->quants : MAX_SERIES; }

/* Which colour is which result. */
static void add_key(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    gs_str_adds(out, "<ul class=\"key\">");
    for (int i = 0; i < series(e); i++) {
        gs_str_printf(out,
                      "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"%s\" cx=\"5\" cy=\"5\" "
                      "r=\"4\"/></svg>",
                      dots[i]);
        gs_html_text(out, p->names[i]);
        gs_str_adds(out, "</li>");
    }
    gs_str_adds(out, "</ul>\n");
    if (e->quants > MAX_SERIES)
        gs_str_printf(out, "<p>The first %d results; all are in the table below.</p>\n", MAX_SERIES);
}

static double sqnr_of(const gs_eval_linear *l) { return isfinite(l->sqnr_db) ? l->sqnr_db : NAN; }

/* Points of results that share a block stand side by side. */
static double beside(int i, int n) { return (i - (n - 1) / 2.0) * 0.16; }

static void add_output_panel(const gs_page *p, int64_t first, int64_t step, const gs_axis *y, gs_str *out)
{
    const gs_eval *e = p->eval;
    char id[32], title[160], remark[160] = "", label[160], number[32];
    double worst = INFINITY;
    int64_t at = -1;
    for (int i = 0; i < series(e); i++)
        for (int64_t l = first; l < e->layers * step; l += step)
            if (sqnr_of(&e->quant[i].linear[l]) < worst) {
                worst = e->quant[i].linear[l].sqnr_db;
                at = l;
            }
    const char *name = gs_linear_place_of(e->quant[0].linear[first].name).linear;
    snprintf(id, sizeof id, "out%d", (int)first);
    snprintf(title, sizeof title, "SQNR of the output of %.100s by block", name);
    if (at >= 0)
        snprintf(remark, sizeof remark, "lowest %s dB in block %lld", gs_number_text(worst, 4, number),
                 (long long)(at / step));
    const gs_plot plot = {id, title, remark, "block", gs_axis_count((int)e->layers), *y};
    gs_html_panel_begin(&plot, name, remark, out);
    for (int i = 0; i < series(e); i++)
        for (int64_t b = 0; b < e->layers; b++) {
            const gs_eval_linear *l = &e->quant[i].linear[first + b * step];
            snprintf(label, sizeof label, "block %lld: %s dB, %.40s, %.60s", (long long)b,
                     gs_number_text(l->sqnr_db, 4, number), l->type, p->names[i]);
            gs_svg_dot(&plot, (double)b + beside(i, series(e)), sqnr_of(l), dots[i], label, out);
        }
    gs_html_panel_end(out);
}

static void add_output_table(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    const int64_t linears = e->quant[0].linears;
    gs_column *columns = gs_alloc_array((size_t)e->quants + 1, sizeof *columns);
    columns[0] = (gs_column){"linear", false};
    for (int i = 0; i < e->quants; i++) columns[i + 1] = (gs_column){p->names[i], true};
    gs_str_printf(out, "<details><summary>%lld linears</summary>\n", (long long)linears);
    gs_html_table_begin(out, "SQNR of the output of every linear, dB", columns, e->quants + 1);
    for (int64_t l = 0; l < linears; l++) {
        gs_str_adds(out, "<tr>");
        gs_html_cell(out, e->quant[0].linear[l].name, false);
        for (int i = 0; i < e->quants; i++) gs_html_number_cell(out, e->quant[i].linear[l].sqnr_db, 4);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
    gs_free(columns);
}

void gs_html_outputs(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    double lo = INFINITY, hi = -INFINITY;
    if (e->quants == 0 || e->layers == 0) return;
    const int64_t step = (e->quant[0].linears - 1) / e->layers; /* linears of a block; the output layer comes last */
    if (step < 1) return;
    for (int i = 0; i < series(e); i++)
        for (int64_t l = 0; l < e->layers * step; l++) {
            lo = fmin(lo, sqnr_of(&e->quant[i].linear[l]));
            hi = fmax(hi, sqnr_of(&e->quant[i].linear[l]));
        }
    if (!(lo <= hi)) return;
    const gs_axis y = gs_axis_linear(lo, hi);
    gs_str_adds(out, "<p>Signal to noise of what each linear gives out, in dB, compared with the float model: with all "
                     "errors of the blocks before in it. Where the points fall at once, something is lost.</p>\n");
    add_key(p, out);
    gs_str_adds(out, "<div class=\"panels\">\n");
    for (int64_t first = 0; first < step; first++) add_output_panel(p, first, step, &y, out);
    gs_str_adds(out, "</div>\n");
    add_output_table(p, out);
}

/* One line per result over x; the axis from all of them. */
typedef struct curves {
    const char *id, *title, *name, *x_name;
    gs_axis x;
    int n;
    const double *at;      /* [n] */
    double *v[MAX_SERIES]; /* [n] each */
} curves;

static void add_curves(const gs_page *page, const curves *c, gs_str *out)
{
    const gs_eval *e = page->eval;
    double lo = INFINITY, hi = -INFINITY;
    char remark[160], label[160], a[32];
    double worst = -INFINITY;
    int where = 0;
    for (int i = 0; i < series(e); i++)
        for (int k = 0; k < c->n; k++) {
            if (isnan(c->v[i][k])) continue;
            lo = fmin(lo, c->v[i][k]);
            hi = fmax(hi, c->v[i][k]);
            if (c->v[i][k] <= worst) continue;
            worst = c->v[i][k];
            where = k;
        }
    if (!(lo <= hi)) return;
    snprintf(remark, sizeof remark, "largest %s at %s %.0f", gs_number_text(worst, 3, a), c->x_name, c->at[where]);
    const gs_plot p = {c->id,     c->title, remark,
                       c->x_name, c->x,     lo > 0 && hi > 30 * lo ? gs_axis_log(lo, hi) : gs_axis_linear(0, hi)};
    gs_html_panel_begin(&p, c->name, remark, out);
    for (int i = 0; i < series(e); i++) {
        gs_svg_line(&p, c->n, c->at, c->v[i], lines[i], out);
        for (int k = 0; k < c->n && c->n <= 64; k++) {
            snprintf(label, sizeof label, "%s %.0f: %s, %.60s", c->x_name, c->at[k], gs_number_text(c->v[i][k], 3, a),
                     page->names[i]);
            gs_svg_dot(&p, c->at[k], c->v[i][k], dots[i], label, out);
        }
    }
    gs_html_panel_end(out);
}

static void add_hidden_table(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    gs_column *columns = gs_alloc_array((size_t)e->quants + 1, sizeof *columns);
    char text[64];
    columns[0] = (gs_column){"behind block", true};
    for (int i = 0; i < e->quants; i++) columns[i + 1] = (gs_column){p->names[i], true};
    gs_str_printf(out, "<details><summary>%lld blocks</summary>\n", (long long)e->layers);
    gs_html_table_begin(out, "Cosine of hidden states, mean and least", columns, e->quants + 1);
    for (int64_t b = 0; b < e->layers; b++) {
        gs_str_adds(out, "<tr>");
        gs_html_number_cell(out, (double)b, 6);
        for (int i = 0; i < e->quants; i++) {
            const gs_eval_block *k = &e->quant[i].block[b];
            snprintf(text, sizeof text, "%.6f, least %.4f", k->cosine, k->cosine_min);
            gs_html_cell(out, text, true);
        }
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
    gs_free(columns);
}

void gs_html_hidden(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    if (e->quants == 0 || e->layers == 0) return;
    const size_t n = (size_t)e->layers;
    double *values = gs_alloc_array(n * (MAX_SERIES + 1), sizeof *values);
    curves c = {.id = "hidden",
                .title = "One minus the cosine of hidden states, by block",
                .name = "1 − cosine",
                .x_name = "block",
                .x = gs_axis_count((int)e->layers),
                .n = (int)e->layers,
                .at = values};
    for (size_t b = 0; b < n; b++) values[b] = (double)b;
    for (int i = 0; i < series(e); i++) {
        c.v[i] = values + (size_t)(i + 1) * n;
        for (size_t b = 0; b < n; b++) c.v[i][b] = fmax(1 - e->quant[i].block[b].cosine, 0);
    }
    gs_str_adds(out,
                "<p>How far the hidden states behind each block have turned away from the float model's: 0 is the same "
                "direction.</p>\n");
    add_key(p, out);
    gs_str_adds(out, "<div class=\"panels wide\">\n");
    add_curves(p, &c, out);
    gs_str_adds(out, "</div>\n");
    add_hidden_table(p, out);
    gs_free(values);
}

/* Mean KL of the tokens of each bin of positions; NaN where there are none. */
static void fill_bins(const gs_eval *e, const gs_eval_model *m, int64_t width, int n, double *v)
{
    int64_t *count = gs_alloc_array((size_t)n, sizeof *count);
    for (int k = 0; k < n; k++) v[k] = 0;
    for (int64_t t = 0; t < e->tokens; t++) {
        const int64_t k = e->token_position[t] / width;
        if (k < 0 || k >= n) continue;
        v[k] += m->token_kl[t];
        count[k]++;
    }
    for (int k = 0; k < n; k++) v[k] = count[k] > 0 ? v[k] / (double)count[k] : NAN;
    gs_free(count);
}

static void add_position_table(const gs_page *p, const curves *c, int64_t width, gs_str *out)
{
    const gs_eval *e = p->eval;
    gs_column *columns = gs_alloc_array((size_t)e->quants + 1, sizeof *columns);
    double *v = gs_alloc_array((size_t)c->n * (size_t)e->quants, sizeof *v);
    char text[64];
    columns[0] = (gs_column){"positions", true};
    for (int i = 0; i < e->quants; i++) {
        columns[i + 1] = (gs_column){p->names[i], true};
        fill_bins(e, &e->quant[i], width, c->n, v + (size_t)i * (size_t)c->n);
    }
    gs_str_printf(out, "<details><summary>%d ranges of positions</summary>\n", c->n);
    gs_html_table_begin(out, "KL by position", columns, e->quants + 1);
    for (int k = 0; k < c->n; k++) {
        snprintf(text, sizeof text, "%lld–%lld", (long long)(k * width), (long long)((k + 1) * width - 1));
        gs_str_adds(out, "<tr>");
        gs_html_cell(out, text, true);
        for (int i = 0; i < e->quants; i++) gs_html_number_cell(out, v[(size_t)i * (size_t)c->n + (size_t)k], 4);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
    gs_free(columns);
    gs_free(v);
}

void gs_html_positions(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    int64_t end = 0;
    if (e->quants == 0 || e->tokens == 0) return;
    for (int64_t t = 0; t < e->tokens; t++)
        if (e->token_position[t] >= end) end = e->token_position[t] + 1;
    if (end < 1) return;
    const int64_t width = (end + MAX_BINS - 1) / MAX_BINS;
    const int n = (int)((end + width - 1) / width);
    double *values = gs_alloc_array((size_t)n * (MAX_SERIES + 1), sizeof *values);
    curves c = {.id = "position",
                .title = "Mean KL by position in the window",
                .name = "KL, nats per token",
                .x_name = "position",
                .x = gs_axis_exact(0, (double)end),
                .n = n,
                .at = values};
    for (int k = 0; k < n; k++) values[k] = (double)(k * width) + (double)(width - 1) / 2;
    for (int i = 0; i < series(e); i++) {
        c.v[i] = values + (size_t)(i + 1) * (size_t)n;
        fill_bins(e, &e->quant[i], width, n, c.v[i]);
    }
    gs_str_adds(
        out, "<p>Mean divergence of the tokens at each place in a window. A line that climbs says that errors of the "
             "key/value cache or of long contexts add up.</p>\n");
    add_key(p, out);
    gs_str_adds(out, "<div class=\"panels wide\">\n");
    add_curves(p, &c, out);
    gs_str_adds(out, "</div>\n");
    add_position_table(p, &c, width, out);
    gs_free(values);
}
