/* Charts as inline SVG. One plot is a frame with two axes; marks are added between begin and end. Colours are classes that the
 * page's style gives a light and a dark value. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_REPORT_SVG_H
#define GS_REPORT_SVG_H

#include "base/str.h"

#define GS_AXIS_TICKS 16

typedef struct gs_axis {
    double lo, hi; /* the values at its ends */
    bool log;
    int n;
    double tick[GS_AXIS_TICKS];
} gs_axis;

/* From round number to round number around [lo, hi]; any order, and finite or not: what is no number is taken as 0. */
gs_axis gs_axis_linear(double lo, double hi);
/* The same for positive values, in powers of ten with 1, 2 and 5 between them where there are few. */
gs_axis gs_axis_log(double lo, double hi);
/* From lo to hi and no further, with round ticks between. */
gs_axis gs_axis_exact(double lo, double hi);
/* n things side by side, numbered from 0. */
gs_axis gs_axis_count(int n);

typedef struct gs_plot {
    const char *id;    /* unique in the page */
    const char *title; /* what a screen reader says: short name, then a sentence with the extremes */
    const char *about;
    const char *x_name;
    gs_axis x, y;
} gs_plot;

void gs_svg_begin(const gs_plot *p, gs_str *out);
void gs_svg_end(gs_str *out);
/* Marks. class: of the style. label: shown when pointed at, plain text; NULL = none. Marks off the axes are cut at their ends; what is
 * no number is left out. */
void gs_svg_bar(const gs_plot *p, double x, double lo, double hi, const char *class, const char *label, gs_str *out);
void gs_svg_dot(const gs_plot *p, double x, double y, const char *class, const char *label, gs_str *out);
void gs_svg_stem(const gs_plot *p, double x, double lo, double hi, const char *class, gs_str *out);
/* A line through n points, broken where a value is no number. */
void gs_svg_line(const gs_plot *p, int n, const double *x, const double *y, const char *class, gs_str *out);

/* Text of any origin for HTML and SVG: escaped, and what is no character becomes U+FFFD. */
void gs_html_text(gs_str *out, const char *s);
/* A number for people, at most `digits` significant ones: "12.5", "1e-5"; whatever the locale. Empty for NaN. */
const char *gs_number_text(double v, int digits, char buf[32]);

#endif
