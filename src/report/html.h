/* Pieces of the HTML page. A section function adds its body to *out; if it adds nothing, the page has no such section. Private to the
 * room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_REPORT_HTML_H
#define GS_REPORT_HTML_H

#include "eval/eval.h"
#include "report/read.h"
#include "report/report.h"
#include "report/svg.h"
#include "report/table.h"

typedef struct gs_page {
    const gs_report *report;     /* of one result; NULL on the page of an evaluation */
    const gs_recipe *recipe;     /* NULL = unknown */
    const gs_eval *eval;         /* NULL on the page of a run */
    const char *const *names;    /* [eval->quants] short, different from each other */
    const gs_report_file *files; /* [eval->quants], NULL = unknown */
    const char *prefix;          /* of ids, where several results share a page */
    int level;                   /* of headings inside of a section */
} gs_page;

typedef struct gs_section {
    const char *id, *title;
    void (*add)(const gs_page *p, gs_str *out);
} gs_section;

void gs_html_heading(const gs_page *p, const char *text, gs_str *out);

/* Tables scroll in a box of their own, which a keyboard can reach. */
typedef struct gs_column {
    const char *title;
    bool number; /* right-aligned */
} gs_column;
void gs_html_table_begin(gs_str *out, const char *label, const gs_column *columns, int n);
void gs_html_table_end(gs_str *out);
void gs_html_cell(gs_str *out, const char *text, bool number);
void gs_html_number_cell(gs_str *out, double v, int digits);
/* A cell with a bar; share: 0 … 1. */
void gs_html_bar_cell(gs_str *out, double share, bool soft);

/* One chart with its caption: the name, and a remark that screen readers hear too. */
void gs_html_panel_begin(const gs_plot *p, const char *name, const char *remark, gs_str *out);
void gs_html_panel_end(gs_str *out);

/* Linears by kind (all dense_4h_to_h) and block; those outside of the blocks are not in it. */
#define GS_MAX_KINDS 16
typedef struct gs_kinds {
    int n, blocks;
    const char *name[GS_MAX_KINDS];
    const gs_linear_result **at; /* [n · blocks]; NULL = none */
} gs_kinds;
void gs_kinds_init(gs_kinds *k, const gs_report *r);
void gs_kinds_release(gs_kinds *k);

/* html_charts.c */
void gs_html_smoothing(const gs_page *p, gs_str *out);
void gs_html_activations(const gs_page *p, gs_str *out);
void gs_html_weights(const gs_page *p, gs_str *out);
/* html_quality.c */
void gs_html_quality(const gs_page *p, gs_str *out);
void gs_html_questions(const gs_page *p, gs_str *out);
void gs_html_made(const gs_page *p, gs_str *out);
/* html_layers.c */
void gs_html_outputs(const gs_page *p, gs_str *out);
void gs_html_hidden(const gs_page *p, gs_str *out);
void gs_html_positions(const gs_page *p, gs_str *out);
/* html_tables.c */
void gs_html_done(const gs_page *p, gs_str *out);
void gs_html_messages(const gs_page *p, gs_str *out);
void gs_html_floats(const gs_page *p, gs_str *out);
void gs_html_sizes(const gs_page *p, gs_str *out);
void gs_html_times(const gs_page *p, gs_str *out);
void gs_html_linears(const gs_page *p, gs_str *out);

#endif
