/* The linears of a result as a table for a person: one row each for a small model; for a large one a summary by kind of linear, then
 * one row per block.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_KINDS 16

gs_linear_place gs_linear_place_of(const char *name)
{
    gs_linear_place place = {-1, name};
    const char *part = name;
    for (const char *dot = strchr(part, '.'); dot != NULL; part = dot + 1, dot = strchr(part, '.')) {
        const size_t digits = strspn(part, "0123456789");
        if (place.block < 0 && digits > 0 && digits < 9 && part + digits == dot)
            place.block = (int)strtol(part, NULL, 10);
    }
    place.linear = part;
    return place;
}

static bool is_float(const gs_linear_result *l) { return l->why_float != NULL; }
static bool is_static(const gs_linear_result *l)
{
    return isfinite(l->input_scale) && isfinite(l->range_min) && isfinite(l->range_max);
}

/* A number in at most `width` columns; nothing for NaN. */
static const char *number(double v, int digits, char buf[24])
{
    if (isnan(v))
        buf[0] = '\0';
    else
        snprintf(buf, 24, "%.*g", digits, v);
    return buf;
}

static const char *decibels(double v, char buf[24])
{
    if (isnan(v))
        buf[0] = '\0';
    else if (isinf(v))
        snprintf(buf, 24, "exact");
    else
        snprintf(buf, 24, "%.1f", v);
    return buf;
}

static void range_text(const gs_linear_result *l, int digits, char *buf, size_t bytes)
{
    buf[0] = '\0';
    if (is_static(l)) snprintf(buf, bytes, "[%.*g, %.*g]", digits, l->range_min, digits, l->range_max);
}

/* No blanks at the end of a line. */
static void end_line(gs_str *out)
{
    while (out->len > 0 && out->data[out->len - 1] == ' ') out->data[--out->len] = '\0';
    gs_str_addc(out, '\n');
}

static void add_row(const gs_linear_result *l, int type_width, int *last_block, gs_str *out)
{
    const gs_linear_place place = gs_linear_place_of(l->name);
    char block[16] = "", range[64], scale[24], offset[24], sqnr[24], score[24];
    if (place.block >= 0 && place.block != *last_block) snprintf(block, sizeof block, "%d", place.block);
    *last_block = place.block;
    if (is_float(l)) {
        gs_str_printf(out, "%5s  %-16s  %-*s  %-9s  %-43s  %7s  %6s", block, place.linear, type_width, l->type, "",
                      l->why_float, "", number(l->score, 4, score));
        end_line(out);
        return;
    }
    range_text(l, 5, range, sizeof range);
    gs_str_printf(out, "%5s  %-16s  %-*s  %-9s  %-23s %11s  %6s  %7s  %6s", block, place.linear, type_width, l->type,
                  l->observer != NULL ? l->observer : "", range, number(l->input_scale, 5, scale),
                  number(l->input_offset, 4, offset), decibels(l->weight_sqnr_db, sqnr), number(l->score, 4, score));
    end_line(out);
}

static void add_rows(const gs_report *r, gs_str *out)
{
    int last_block = -1, width = 5;
    for (int i = 0; i < r->n_linears; i++)
        if ((int)strlen(r->linears[i].type) > width) width = (int)strlen(r->linears[i].type);
    gs_str_printf(out, "%5s  %-16s  %-*s  %-9s  %-23s %11s  %6s  %7s  %6s\n", "block", "linear", width, "type",
                  "observer", "input range", "input scale", "offset", "SQNR dB", "score");
    for (int i = 0; i < r->n_linears; i++) add_row(&r->linears[i], width, &last_block, out);
}

/* All linears of one kind: all dense_4h_to_h. */
typedef struct kind_sum {
    const char *linear;
    int count, floats, histograms, minmaxes;
    double range_min, range_max, scale_min, scale_max, sqnr_min, sqnr_sum, score_max;
    int sqnr_count, sqnr_worst; /* block */
    size_t width;               /* of its column in the table of blocks */
} kind_sum;

static kind_sum *find_kind(kind_sum *kinds, int *n, const char *linear)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(kinds[i].linear, linear) == 0) return &kinds[i];
    if (*n == MAX_KINDS) return NULL;
    kinds[*n] = (kind_sum){.linear = linear,
                           .range_min = INFINITY,
                           .range_max = -INFINITY,
                           .scale_min = INFINITY,
                           .scale_max = -INFINITY,
                           .sqnr_min = INFINITY,
                           .score_max = NAN,
                           .sqnr_worst = -1,
                           .width = strlen(linear)};
    return &kinds[(*n)++];
}

static void cell_text(const gs_linear_result *l, char *buf, size_t bytes)
{
    char sqnr[24], range[64];
    if (is_float(l)) {
        snprintf(buf, bytes, "float");
        return;
    }
    range_text(l, 3, range, sizeof range);
    decibels(l->weight_sqnr_db, sqnr);
    snprintf(buf, bytes, "%s%s%s", range, range[0] != '\0' && sqnr[0] != '\0' ? " " : "", sqnr);
}

static void add_to_kind(kind_sum *k, const gs_linear_result *l, int block)
{
    char cell[96];
    cell_text(l, cell, sizeof cell);
    if (strlen(cell) > k->width) k->width = strlen(cell);
    k->count++;
    if (isnan(k->score_max) || l->score > k->score_max) k->score_max = l->score;
    if (is_float(l)) {
        k->floats++;
        return;
    }
    if (l->observer != NULL) *(strcmp(l->observer, "histogram") == 0 ? &k->histograms : &k->minmaxes) += 1;
    if (is_static(l)) {
        k->range_min = fmin(k->range_min, l->range_min);
        k->range_max = fmax(k->range_max, l->range_max);
        k->scale_min = fmin(k->scale_min, l->input_scale);
        k->scale_max = fmax(k->scale_max, l->input_scale);
    }
    if (isfinite(l->weight_sqnr_db)) {
        k->sqnr_sum += l->weight_sqnr_db;
        k->sqnr_count++;
        if (l->weight_sqnr_db < k->sqnr_min) {
            k->sqnr_min = l->weight_sqnr_db;
            k->sqnr_worst = block;
        }
    }
}

static void add_kind(const kind_sum *k, gs_str *out)
{
    char range[64] = "", scale[64] = "", sqnr[64] = "", score[24], observers[48] = "";
    if (k->range_min <= k->range_max) snprintf(range, sizeof range, "[%.4g, %.4g]", k->range_min, k->range_max);
    if (k->scale_min <= k->scale_max) snprintf(scale, sizeof scale, "%.4g .. %.4g", k->scale_min, k->scale_max);
    if (k->sqnr_count > 0) {
        const int n = snprintf(sqnr, sizeof sqnr, "%.1f, least %.1f", k->sqnr_sum / k->sqnr_count, k->sqnr_min);
        if (k->sqnr_worst >= 0) snprintf(sqnr + n, sizeof sqnr - (size_t)n, " (block %d)", k->sqnr_worst);
    }
    if (k->histograms > 0 && k->minmaxes > 0)
        snprintf(observers, sizeof observers, "%d histogram", k->histograms);
    else if (k->histograms + k->minmaxes > 0)
        snprintf(observers, sizeof observers, "%s", k->histograms > 0 ? "histogram" : "min-max");
    gs_str_printf(out, "%-16s %5d %5d  %-13s %-22s %-22s %-29s %s", k->linear, k->count - k->floats, k->floats,
                  observers, range, scale, sqnr, number(k->score_max, 4, score));
    end_line(out);
}

static void add_blocks(const gs_report *r, kind_sum *kinds, int n, gs_str *out)
{
    gs_str_adds(out, "\nInput range and weight SQNR in dB, by block:\n\nblock");
    for (int i = 0; i < n; i++) gs_str_printf(out, "  %-*s", i + 1 < n ? (int)kinds[i].width : 0, kinds[i].linear);
    end_line(out);
    for (int i = 0; i < r->n_linears;) {
        const int block = gs_linear_place_of(r->linears[i].name).block;
        char cells[MAX_KINDS][96];
        memset(cells, 0, sizeof cells);
        for (; i < r->n_linears && gs_linear_place_of(r->linears[i].name).block == block; i++) {
            const kind_sum *k = find_kind(kinds, &n, gs_linear_place_of(r->linears[i].name).linear);
            if (k != NULL) cell_text(&r->linears[i], cells[k - kinds], sizeof cells[0]);
            if (block < 0) break; /* each linear outside of the blocks has a row of its own */
        }
        if (block < 0) {
            i++;
            continue;
        }
        gs_str_printf(out, "%5d", block);
        for (int k = 0; k < n; k++) gs_str_printf(out, "  %-*s", (int)kinds[k].width, cells[k]);
        end_line(out);
    }
}

static void add_summary(const gs_report *r, gs_str *out)
{
    kind_sum kinds[MAX_KINDS];
    int n = 0, in_blocks = 0;
    for (int pass = 0; pass < 2; pass++) { /* those outside of the blocks last */
        for (int i = 0; i < r->n_linears; i++) {
            const gs_linear_place place = gs_linear_place_of(r->linears[i].name);
            if ((place.block < 0) != (pass == 1)) continue;
            kind_sum *k = find_kind(kinds, &n, place.linear);
            if (k != NULL) add_to_kind(k, &r->linears[i], place.block);
        }
        if (pass == 0) in_blocks = n;
    }
    gs_str_printf(out, "%-16s %5s %5s  %-13s %-22s %-22s %-29s %s\n", "linear", "quant", "float", "observer",
                  "input range", "input scale", "weight SQNR dB", "score");
    for (int i = 0; i < n; i++) add_kind(&kinds[i], out);
    add_blocks(r, kinds, in_blocks, out);
}

void gs_report_linears(const gs_report *r, gs_str *out)
{
    if (r->n_linears == 0) return;
    if (r->n_linears <= GS_REPORT_ROWS)
        add_rows(r, out);
    else
        add_summary(r, out);
}

void gs_report_floats(const gs_report *r, gs_str *out)
{
    const char *reason[MAX_KINDS];
    int count[MAX_KINDS], n = 0;
    for (int i = 0; i < r->n_linears; i++) {
        const char *why = r->linears[i].why_float;
        if (why == NULL) continue;
        int k = 0;
        while (k < n && strcmp(reason[k], why) != 0) k++;
        if (k == MAX_KINDS) k--;
        if (k == n) {
            reason[n] = why;
            count[n++] = 0;
        }
        count[k]++;
    }
    for (int k = 0; k < n; k++) gs_str_printf(out, "%s%d %s", k > 0 ? ", " : "", count[k], reason[k]);
}
