/* Sections of the page that are charts: outlier groups before and after, input ranges, weights. One small chart per kind of linear,
 * with the block across, so that they stack on a phone and stand side by side on a desk. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"

#define FLOAT_KEY                                                                                                      \
    "<ul class=\"key\"><li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"float\" cx=\"5\" cy=\"5\" " \
    "r=\"3.5\"/></svg>stays float</li></ul>\n"

#define BEFORE_AFTER_KEY                                                                                               \
    "<ul class=\"key\"><li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"then\" cx=\"5\" cy=\"5\" "  \
    "r=\"4\"/></svg>before</li><li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"mark-a\" cx=\"5\" " \
    "cy=\"5\" r=\"4\"/></svg>after</li></ul>\n"

void gs_html_panel_begin(const gs_plot *p, const char *name, const char *remark, gs_str *out)
{
    gs_str_adds(out, "<figure><figcaption><b>");
    gs_html_text(out, name);
    gs_str_adds(out, "</b> ");
    gs_html_text(out, remark);
    gs_str_adds(out, "</figcaption>");
    gs_svg_begin(p, out);
}

void gs_html_panel_end(gs_str *out)
{
    gs_svg_end(out);
    gs_str_adds(out, "</figure>\n");
}

/* A linear's values in a chart of spans. */
typedef struct span {
    double lo, hi;
} span;
typedef span (*span_fn)(const gs_linear_result *l);

static span input_span(const gs_linear_result *l) { return (span){l->range_min, l->range_max}; }
static span scale_span(const gs_linear_result *l) { return (span){l->weight_scale_min, l->weight_scale_max}; }
static span sqnr_span(const gs_linear_result *l)
{
    return isfinite(l->weight_sqnr_db) ? (span){l->weight_sqnr_db, l->weight_sqnr_db} : (span){NAN, NAN};
}

/* The extremes of one kind; *at: how far apart they are at most, and where. false = nothing to show. */
static bool extremes(const gs_kinds *k, int kind, span_fn get, span *all)
{
    *all = (span){INFINITY, -INFINITY};
    for (int b = 0; b < k->blocks; b++) {
        const gs_linear_result *l = k->at[kind * k->blocks + b];
        if (l == NULL) continue;
        const span s = get(l);
        if (isnan(s.lo) || isnan(s.hi)) continue;
        all->lo = fmin(all->lo, s.lo);
        all->hi = fmax(all->hi, s.hi);
    }
    return all->lo <= all->hi;
}

static bool extremes_of_all(const gs_kinds *k, span_fn get, span *all)
{
    *all = (span){INFINITY, -INFINITY};
    for (int kind = 0; kind < k->n; kind++) {
        span s;
        if (!extremes(k, kind, get, &s)) continue;
        all->lo = fmin(all->lo, s.lo);
        all->hi = fmax(all->hi, s.hi);
    }
    return all->lo <= all->hi;
}

/* The block where a measure is largest; -1 = nowhere. */
static int widest_block(const gs_kinds *k, int kind, double (*measure)(const gs_linear_result *), double *most)
{
    int at = -1;
    for (int b = 0; b < k->blocks; b++) {
        const gs_linear_result *l = k->at[kind * k->blocks + b];
        const double v = l ? measure(l) : NAN;
        if (isnan(v) || (at >= 0 && v <= *most)) continue;
        at = b;
        *most = v;
    }
    return at;
}

static double largest_input(const gs_linear_result *l) { return fmax(fabs(l->range_min), fabs(l->range_max)); }
static double scale_ratio(const gs_linear_result *l)
{
    return l->weight_scale_min > 0 ? l->weight_scale_max / l->weight_scale_min : NAN;
}
static double low_sqnr(const gs_linear_result *l) { return isfinite(l->weight_sqnr_db) ? -l->weight_sqnr_db : NAN; }

/* What differs between the charts of linears. */
typedef struct linear_chart {
    const char *id, *title;
    span_fn get;
    double (*measure)(const gs_linear_result *);
    const char *remark; /* before the measure's extreme */
    double sign;        /* of the measure as shown */
    int digits;
    const char *unit;   /* behind a value */
    const char *behind; /* the extreme */
    bool dots;          /* one value, not a span */
} linear_chart;

static const linear_chart input_chart = {.id = "in",
                                         .title = "Input range of ",
                                         .get = input_span,
                                         .measure = largest_input,
                                         .remark = "largest |x| ",
                                         .sign = 1,
                                         .digits = 4,
                                         .unit = "",
                                         .behind = ""};
static const linear_chart sqnr_chart = {.id = "sqnr",
                                        .title = "SQNR of the weight of ",
                                        .get = sqnr_span,
                                        .measure = low_sqnr,
                                        .remark = "lowest ",
                                        .sign = -1,
                                        .digits = 4,
                                        .unit = " dB",
                                        .behind = " dB",
                                        .dots = true};
static const linear_chart scale_chart = {.id = "scale",
                                         .title = "Scales of the weight of ",
                                         .get = scale_span,
                                         .measure = scale_ratio,
                                         .remark = "widest ",
                                         .sign = 1,
                                         .digits = 3,
                                         .unit = "",
                                         .behind = "-fold"};

static void add_mark(const gs_plot *p, const linear_chart *c, int block, const gs_linear_result *l, gs_str *out)
{
    char label[160], lo[32], hi[32];
    const span s = c->get(l);
    if (l->why_float != NULL) {
        snprintf(label, sizeof label, "block %d: float, %.80s", block, l->why_float);
        gs_svg_dot(p, block, p->y.lo, "float", label, out);
    } else if (c->dots) {
        snprintf(label, sizeof label, "block %d: %s%s", block, gs_number_text(s.lo, c->digits, lo), c->unit);
        gs_svg_dot(p, block, s.lo, "mark-a", label, out);
    } else {
        snprintf(label, sizeof label, "block %d: %s to %s%s", block, gs_number_text(s.lo, c->digits, lo),
                 gs_number_text(s.hi, c->digits, hi), c->unit);
        gs_svg_bar(p, block, s.lo, s.hi, "mark-a", label, out);
    }
}

static void add_linear_panel(const gs_page *page, const gs_kinds *k, int kind, const linear_chart *c, const gs_axis *y,
                             gs_str *out)
{
    char id[48], title[160], remark[160] = "", number[32];
    double most = NAN;
    const int at = widest_block(k, kind, c->measure, &most);
    snprintf(id, sizeof id, "%s%s%d", page->prefix, c->id, kind);
    snprintf(title, sizeof title, "%s%.100s by block", c->title, k->name[kind]);
    if (at >= 0)
        snprintf(remark, sizeof remark, "%s%s%s in block %d", c->remark,
                 gs_number_text(c->sign * most, c->digits, number), c->behind, at);
    const gs_plot p = {id, title, remark, "block", gs_axis_count(k->blocks), *y};
    gs_html_panel_begin(&p, k->name[kind], remark, out);
    for (int b = 0; b < k->blocks; b++) {
        const gs_linear_result *l = k->at[kind * k->blocks + b];
        if (l != NULL) add_mark(&p, c, b, l, out);
    }
    gs_html_panel_end(out);
}

/* shared: one scale for all kinds, so that they compare; NULL = each its own around 0. */
static void add_linear_panels(const gs_page *page, const gs_kinds *k, const linear_chart *c, const gs_axis *shared,
                              gs_str *out)
{
    bool floats = false;
    gs_str_adds(out, "<div class=\"panels\">\n");
    for (int kind = 0; kind < k->n; kind++) {
        span s;
        if (!extremes(k, kind, c->get, &s)) continue;
        const gs_axis own = gs_axis_linear(fmin(s.lo, 0), fmax(s.hi, 0));
        add_linear_panel(page, k, kind, c, shared ? shared : &own, out);
        for (int b = 0; b < k->blocks; b++) {
            const gs_linear_result *l = k->at[kind * k->blocks + b];
            floats = floats || (l && l->why_float);
        }
    }
    gs_str_adds(out, "</div>\n");
    if (floats) gs_str_adds(out, FLOAT_KEY);
}

void gs_html_activations(const gs_page *p, gs_str *out)
{
    gs_kinds kinds;
    span all;
    gs_kinds_init(&kinds, p->report);
    if (extremes_of_all(&kinds, input_span, &all)) {
        gs_str_adds(out,
                    "<p>What enters each linear, from the smallest to the largest value that calibration keeps; codes "
                    "of 8 bits are spread over it. A bar that is much longer than its neighbours has outliers.</p>\n");
        add_linear_panels(p, &kinds, &input_chart, NULL, out);
    }
    gs_kinds_release(&kinds);
}

void gs_html_weights(const gs_page *p, gs_str *out)
{
    gs_kinds kinds;
    span all;
    gs_kinds_init(&kinds, p->report);
    if (extremes_of_all(&kinds, sqnr_span, &all)) {
        const gs_axis y = gs_axis_linear(all.lo, all.hi);
        gs_html_heading(p, "Signal to quantization noise, dB", out);
        gs_str_adds(out, "<p>How far the dequantized weight is from the float one; "
                         "6 dB more is half the error.</p>\n");
        add_linear_panels(p, &kinds, &sqnr_chart, &y, out);
    }
    if (extremes_of_all(&kinds, scale_span, &all)) {
        const gs_axis y = gs_axis_log(all.lo, all.hi);
        gs_html_heading(p, "Spread of scales", out);
        gs_str_adds(out, "<p>From the smallest to the largest scale inside one weight. A wide "
                         "spread means that rows or groups differ much in size.</p>\n");
        add_linear_panels(p, &kinds, &scale_chart, &y, out);
    }
    gs_kinds_release(&kinds);
}

/* Groups with one method and one linear. */
typedef struct group_set {
    const char *method, *linear;
} group_set;

static bool same(const gs_group_result *g, const group_set *s)
{
    return strcmp(g->method, s->method) == 0 && strcmp(g->linear, s->linear) == 0;
}

static int find_sets(const gs_report *r, group_set sets[GS_MAX_KINDS], int *blocks)
{
    int n = 0;
    *blocks = 0;
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        int k = 0;
        if (g->block >= *blocks) *blocks = g->block + 1;
        while (k < n && !same(g, &sets[k])) k++;
        if (k == n && n < GS_MAX_KINDS) sets[n++] = (group_set){g->method, g->linear};
    }
    return n;
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* One for all groups, so that they compare. */
static gs_axis range_axis(const gs_report *r)
{
    double lo = INFINITY, hi = 0;
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        if (isnan(g->range_before) || isnan(g->range_after)) continue;
        lo = fmin(lo, fmin(g->range_before, g->range_after));
        hi = fmax(hi, fmax(g->range_before, g->range_after));
    }
    return lo > 0 && hi > 30 * lo ? gs_axis_log(lo, hi) : gs_axis_linear(0, hi);
}

static void add_range_panel(const gs_page *page, const group_set *s, int index, int blocks, gs_str *out)
{
    const gs_report *r = page->report;
    char id[48], title[192], remark[160] = "", label[160], a[32], b[32];
    double before = NAN, after = NAN;
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        if (!same(g, s)) continue;
        before = fmax(before, g->range_before); /* of a NaN and a number the number */
        after = fmax(after, g->range_after);
    }
    if (isnan(before) || isnan(after)) return;
    snprintf(id, sizeof id, "%srange%d", page->prefix, index);
    snprintf(title, sizeof title, "Largest input of %.80s before and after %.40s, by block", last_part(s->linear),
             s->method);
    snprintf(remark, sizeof remark, "%.40s: largest |x| %s, then %s", s->method, gs_number_text(before, 4, a),
             gs_number_text(after, 4, b));
    const gs_plot p = {id, title, remark, "block", gs_axis_count(blocks), range_axis(r)};
    gs_html_panel_begin(&p, last_part(s->linear), remark, out);
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        if (!same(g, s)) continue;
        snprintf(label, sizeof label, "block %d: %s before, %s after", g->block, gs_number_text(g->range_before, 4, a),
                 gs_number_text(g->range_after, 4, b));
        gs_svg_stem(&p, g->block, g->range_after, g->range_before, "stem", out);
        gs_svg_dot(&p, g->block, g->range_before, "then", label, out);
        gs_svg_dot(&p, g->block, g->range_after, "mark-a", label, out);
    }
    gs_html_panel_end(out);
}

/* Fewest and most channels of a set; false = the method does not count. */
static bool count_channels(const gs_report *r, const group_set *s, int64_t *least, int64_t *most)
{
    *least = INT64_MAX;
    *most = -1;
    for (int i = 0; i < r->n_groups; i++) {
        const int64_t n = r->groups[i].scaled_channels;
        if (!same(&r->groups[i], s) || n < 0) continue;
        if (n < *least) *least = n;
        if (n > *most) *most = n;
    }
    return *most >= 0;
}

static void add_channel_panel(const gs_page *page, const group_set *s, int index, int blocks, gs_str *out)
{
    const gs_report *r = page->report;
    char id[48], title[160], remark[96], label[96];
    int64_t least, most;
    if (!count_channels(r, s, &least, &most) || least == most) return;
    snprintf(id, sizeof id, "%schannels%d", page->prefix, index);
    snprintf(title, sizeof title, "Channels of %.80s that %.40s scales, by block", last_part(s->linear), s->method);
    snprintf(remark, sizeof remark, "%.40s: at most %lld channels", s->method, (long long)most);
    const gs_plot p = {id, title, remark, "block", gs_axis_count(blocks), gs_axis_linear(0, (double)most)};
    gs_html_panel_begin(&p, last_part(s->linear), remark, out);
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        if (!same(g, s) || g->scaled_channels < 0) continue;
        snprintf(label, sizeof label, "block %d: %lld channels", g->block, (long long)g->scaled_channels);
        gs_svg_bar(&p, g->block, 0, (double)g->scaled_channels, "mark-a", label, out);
    }
    gs_html_panel_end(out);
}

/* Charts where the numbers differ; a sentence where every block has the same. */
static void add_channels(const gs_page *page, const group_set *sets, int n, int blocks, gs_str *out)
{
    const gs_report *r = page->report;
    gs_str panels, same_everywhere;
    int64_t least, most;
    gs_str_init(&panels);
    gs_str_init(&same_everywhere);
    for (int i = 0; i < n; i++) {
        add_channel_panel(page, &sets[i], i, blocks, &panels);
        if (!count_channels(r, &sets[i], &least, &most) || least != most) continue;
        gs_str_printf(&same_everywhere, "%s%s scales %lld of %s", same_everywhere.len > 0 ? "; " : "", sets[i].method,
                      (long long)most, last_part(sets[i].linear));
    }
    if (panels.len + same_everywhere.len > 0) gs_html_heading(page, "Outlier channels", out);
    if (panels.len > 0) gs_str_printf(out, "<div class=\"panels\">\n%s</div>\n", panels.data);
    if (same_everywhere.len > 0) {
        gs_str_adds(out, "<p>The same number of channels in every block: ");
        gs_html_text(out, same_everywhere.data);
        gs_str_adds(out, ".</p>\n");
    }
    gs_str_release(&panels);
    gs_str_release(&same_everywhere);
}

static void add_group_table(const gs_report *r, gs_str *out)
{
    static const gs_column columns[] = {{"group", false},      {"method", false},        {"rule", false},
                                        {"alpha", true},       {"beta", true},           {"threshold", true},
                                        {"loss before", true}, {"loss after", true},     {"|x| before", true},
                                        {"|x| after", true},   {"scaled channels", true}};
    gs_str_printf(out, "<details><summary>%d groups</summary>\n", r->n_groups);
    gs_html_table_begin(out, "Groups of outlier suppression", columns, (int)(sizeof columns / sizeof columns[0]));
    for (int i = 0; i < r->n_groups; i++) {
        const gs_group_result *g = &r->groups[i];
        const double figures[] = {
            g->alpha,      g->beta,         g->threshold,   g->loss_before,
            g->loss_after, g->range_before, g->range_after, g->scaled_channels < 0 ? NAN : (double)g->scaled_channels};
        gs_str_adds(out, "<tr>");
        gs_html_cell(out, g->name, false);
        gs_html_cell(out, g->method, false);
        gs_html_cell(out, g->branch ? g->branch : "", false);
        for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) gs_html_number_cell(out, figures[f], 4);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
}

void gs_html_smoothing(const gs_page *p, gs_str *out)
{
    const gs_report *r = p->report;
    group_set sets[GS_MAX_KINDS];
    int blocks;
    const int n = find_sets(r, sets, &blocks);
    if (n == 0) return;
    gs_str_adds(out,
                "<p>The few input channels with very large values are scaled down in the norm before, and up in the "
                "weight; the model computes the same, and the codes of the other channels become finer.</p>\n");
    gs_html_heading(p, "Largest input", out);
    gs_str_adds(out, BEFORE_AFTER_KEY "<div class=\"panels\">\n");
    for (int i = 0; i < n; i++) add_range_panel(p, &sets[i], i, blocks, out);
    gs_str_adds(out, "</div>\n");
    add_channels(p, sets, n, blocks, out);
    add_group_table(r, out);
}
