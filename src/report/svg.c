/* Scales, ticks and marks. Coordinates are whole tenths, so that the text is short and the same everywhere.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH  400.0
#define HEIGHT 190.0
#define LEFT   46.0
#define RIGHT  12.0
#define TOP    10.0
#define BOTTOM 30.0

const char *gs_number_text(double v, int digits, char buf[32])
{
    buf[0] = '\0';
    if (isnan(v)) return buf;
    if (fabs(v) < 1e6 && digits < 6 && fabs(v) >= pow(10.0, digits)) digits = 6; /* 1000, not 1e3 */
    snprintf(buf, 32, "%.*g", digits, v);
    for (char *p = buf; *p != '\0'; p++) {
        if (*p == ',') *p = '.';
        if (*p != 'e') continue;
        char *to = p[1] == '-' ? p + 2 : p + 1; /* e-05 -> e-5, e+05 -> e5 */
        const char *from = p + 2;
        while (*from == '0' && from[1] != '\0') from++;
        memmove(to, from, strlen(from) + 1);
        break;
    }
    return buf;
}

static void add_escaped(gs_str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '&':
            gs_str_adds(out, "&amp;");
            break;
        case '<':
            gs_str_adds(out, "&lt;");
            break;
        case '>':
            gs_str_adds(out, "&gt;");
            break;
        case '"':
            gs_str_adds(out, "&quot;");
            break;
        case '\'':
            gs_str_adds(out, "&#39;");
            break;
        default:
            if (((unsigned char)s[i] < 0x20 && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f)
                gs_str_adds(out, "&#xfffd;");
            else
                gs_str_addc(out, s[i]);
        }
    }
}

void gs_html_text(gs_str *out, const char *s)
{
    for (size_t n = strlen(s); n > 0;) {
        const size_t valid = gs_utf8_valid(s, n);
        add_escaped(out, s, valid);
        if (valid == n) return;
        gs_str_adds(out, "&#xfffd;");
        s += valid + 1;
        n -= valid + 1;
    }
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least)
{
    const double power = pow(10.0, floor(log10(least)));
    if (!(power > 0)) return 1;
    const double times = least / power;
    return (times <= 1.0000001 ? 1 : times <= 2.0000001 ? 2 : times <= 5.0000001 ? 5 : 10) * power;
}

static void sort_ends(double *lo, double *hi)
{
    *lo = isfinite(*lo) ? fmax(fmin(*lo, 1e300), -1e300) : 0; /* so that differences stay finite */
    *hi = isfinite(*hi) ? fmax(fmin(*hi, 1e300), -1e300) : 0;
    if (*lo <= *hi) return;
    const double swap = *lo;
    *lo = *hi;
    *hi = swap;
}

gs_axis gs_axis_linear(double lo, double hi)
{
    sort_ends(&lo, &hi);
    const double size = fmax(fabs(lo), fabs(hi));
    if (hi - lo <= size * 1e-9) { /* one value: give it room */
        const double room = size > 0 ? size * 0.1 : 1;
        lo -= room;
        hi += room;
    }
    const double step = round_step((hi - lo) / 4);
    gs_axis a = {.lo = floor(lo / step + 1e-9) * step, .hi = ceil(hi / step - 1e-9) * step};
    if (!(a.hi > a.lo)) a.hi = a.lo + step;
    for (int i = 0; i < GS_AXIS_TICKS; i++) {
        const double v = a.lo + i * step;
        if (v > a.hi + step * 0.5) break;
        a.tick[a.n++] = fabs(v) < step * 1e-6 ? 0 : v;
    }
    return a;
}

gs_axis gs_axis_log(double lo, double hi)
{
    sort_ends(&lo, &hi);
    if (!(lo > 0)) lo = hi > 0 ? hi * 1e-3 : 1;
    lo = fmax(lo, fmax(hi * 1e-15, 1e-290)); /* what is further down is drawn at the end */
    if (!(hi > lo)) hi = lo * 10;
    gs_axis a = {.log = true};
    const double decades = log10(hi / lo);
    const bool fine = decades < 2.5;
    int low = (int)floor(log10(lo) + 1e-9), high = (int)ceil(log10(hi) - 1e-9);
    if (high <= low) high = low + 1;
    const int every = (high - low) / 6 + 1;
    a.lo = pow(10, low);
    a.hi = pow(10, high);
    static const double parts[] = {1, 2, 5};
    for (int e = low; e <= high; e += every)
        for (int k = 0; k < (fine ? 3 : 1); k++) {
            const double v = parts[k] * pow(10, e);
            if (v <= lo * 1.0000001 && v > a.lo) { /* the axis begins at the last tick below the values */
                a.lo = v;
                a.n = 0;
            }
            if (v <= a.hi * 1.0000001 && a.n < GS_AXIS_TICKS) a.tick[a.n++] = v;
            if (v >= hi * 0.9999999) {
                a.hi = v;
                return a;
            }
        }
    return a;
}

gs_axis gs_axis_exact(double lo, double hi)
{
    gs_axis a = gs_axis_linear(lo, hi);
    if (!(hi > lo)) return a;
    gs_axis cut = {.lo = lo, .hi = hi};
    for (int i = 0; i < a.n; i++)
        if (a.tick[i] >= lo && a.tick[i] <= hi) cut.tick[cut.n++] = a.tick[i];
    return cut;
}

gs_axis gs_axis_count(int n)
{
    gs_axis a = {.lo = -0.5, .hi = n > 0 ? n - 0.5 : 0.5};
    const double step = n > 8 ? round_step(n / 8.0) : 1;
    for (double v = 0; v < n && a.n < GS_AXIS_TICKS; v += step) a.tick[a.n++] = v;
    return a;
}

static double place(const gs_axis *a, double v)
{
    const double t = a->log ? (v > 0 ? log(v / a->lo) / log(a->hi / a->lo) : 0) : (v - a->lo) / (a->hi - a->lo);
    return t < 0 ? 0 : t > 1 ? 1 : t;
}
static double x_of(const gs_plot *p, double v) { return LEFT + place(&p->x, v) * (WIDTH - LEFT - RIGHT); }
static double y_of(const gs_plot *p, double v) { return HEIGHT - BOTTOM - place(&p->y, v) * (HEIGHT - TOP - BOTTOM); }

/* name="12.3" */
static void add_at(gs_str *out, const char *name, double v)
{
    const long tenths = lround(v * 10);
    gs_str_printf(out, " %s=\"%s%ld.%ld\"", name, tenths < 0 ? "-" : "", labs(tenths) / 10, labs(tenths) % 10);
}

static void add_line(gs_str *out, const char *class, double x1, double y1, double x2, double y2)
{
    gs_str_printf(out, "<line class=\"%s\"", class);
    add_at(out, "x1", x1);
    add_at(out, "y1", y1);
    add_at(out, "x2", x2);
    add_at(out, "y2", y2);
    gs_str_adds(out, "/>");
}

static void add_text(gs_str *out, const char *anchor, double x, double y, const char *text)
{
    gs_str_printf(out, "<text text-anchor=\"%s\"", anchor);
    add_at(out, "x", x);
    add_at(out, "y", y);
    gs_str_addc(out, '>');
    gs_html_text(out, text);
    gs_str_adds(out, "</text>");
}

static void add_axes(const gs_plot *p, gs_str *out)
{
    char text[32];
    const double right = WIDTH - RIGHT, bottom = HEIGHT - BOTTOM;
    gs_str_adds(out, "<g aria-hidden=\"true\">");
    for (int i = 0; i < p->y.n; i++) {
        const double y = y_of(p, p->y.tick[i]);
        add_line(out, p->y.tick[i] == 0 && p->y.lo < 0 ? "zero" : "grid", LEFT, y, right, y);
        add_text(out, "end", LEFT - 6, y + 3.5, gs_number_text(p->y.tick[i], 3, text));
    }
    add_line(out, "axis", LEFT, bottom, right, bottom);
    for (int i = 0; i < p->x.n; i++)
        add_text(out, "middle", x_of(p, p->x.tick[i]), bottom + 14, gs_number_text(p->x.tick[i], 6, text));
    add_text(out, "end", right, HEIGHT - 3, p->x_name);
    gs_str_adds(out, "</g>");
}

void gs_svg_begin(const gs_plot *p, gs_str *out)
{
    gs_str_printf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"%s-t %s-d\"><title id=\"%s-t\">",
                  WIDTH, HEIGHT, p->id, p->id, p->id);
    gs_html_text(out, p->title);
    gs_str_printf(out, "</title><desc id=\"%s-d\">", p->id);
    gs_html_text(out, p->about);
    gs_str_adds(out, "</desc>");
    add_axes(p, out);
}

void gs_svg_end(gs_str *out) { gs_str_adds(out, "</svg>\n"); }

static void close_mark(gs_str *out, const char *name, const char *label)
{
    if (label == NULL) {
        gs_str_adds(out, "/>");
        return;
    }
    gs_str_adds(out, "><title>");
    gs_html_text(out, label);
    gs_str_printf(out, "</title></%s>", name);
}

void gs_svg_bar(const gs_plot *p, double x, double lo, double hi, const char *class, const char *label, gs_str *out)
{
    if (isnan(x) || isnan(lo) || isnan(hi)) return;
    double width = 0.62 * (x_of(p, p->x.lo + 1) - x_of(p, p->x.lo));
    width = width > 16 ? 16 : width < 1.5 ? 1.5 : width;
    const double top = y_of(p, hi), bottom = y_of(p, lo);
    const double height = bottom - top < 2 ? 2 : bottom - top;
    gs_str_printf(out, "<rect class=\"%s\" rx=\"1.5\"", class);
    add_at(out, "x", x_of(p, x) - width / 2);
    add_at(out, "y", bottom - top < 2 ? (top + bottom) / 2 - 1 : top);
    add_at(out, "width", width);
    add_at(out, "height", height);
    close_mark(out, "rect", label);
}

void gs_svg_dot(const gs_plot *p, double x, double y, const char *class, const char *label, gs_str *out)
{
    if (isnan(x) || isnan(y)) return;
    double r = 0.4 * (x_of(p, p->x.lo + 1) - x_of(p, p->x.lo));
    r = r > 4 ? 4 : r < 2 ? 2 : r;
    gs_str_printf(out, "<circle class=\"%s\"", class);
    add_at(out, "cx", x_of(p, x));
    add_at(out, "cy", y_of(p, y));
    add_at(out, "r", r);
    close_mark(out, "circle", label);
}

void gs_svg_stem(const gs_plot *p, double x, double lo, double hi, const char *class, gs_str *out)
{
    if (isnan(x) || isnan(lo) || isnan(hi)) return;
    add_line(out, class, x_of(p, x), y_of(p, lo), x_of(p, x), y_of(p, hi));
}

void gs_svg_line(const gs_plot *p, int n, const double *x, const double *y, const char *class, gs_str *out)
{
    bool pen = false;
    gs_str_printf(out, "<path class=\"%s\" d=\"", class);
    for (int i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) {
            pen = false;
            continue;
        }
        const long tx = lround(x_of(p, x[i]) * 10), ty = lround(y_of(p, y[i]) * 10); /* inside of the frame: positive */
        gs_str_printf(out, "%c%ld.%ld %ld.%ld", pen ? 'L' : 'M', tx / 10, tx % 10, ty / 10, ty % 10);
        pen = true;
    }
    gs_str_adds(out, "\"/>");
}
