/* The report as one HTML page: no script, nothing loaded from anywhere, readable on a phone and on a desk, in the dark and by a screen
 * reader. The markup is well-formed XML too. SPDX-License-Identifier: Apache-2.0 */
#include "report/html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "report/page_style.h"

static const gs_section run_sections[] = {
    {"done", "What was done", gs_html_done},
    {"messages", "Warnings and notes", gs_html_messages},
    {"smoothing", "Outlier suppression", gs_html_smoothing},
    {"activations", "Input ranges", gs_html_activations},
    {"weights", "Weights", gs_html_weights},
    {"float", "What stays float", gs_html_floats},
    {"size", "Size", gs_html_sizes},
    {"time", "Time and memory", gs_html_times},
    {"linears", "Every linear", gs_html_linears},
};

static const gs_section eval_sections[] = {
    {"quality", "Quality", gs_html_quality},
    {"questions", "Questions", gs_html_questions},
    {"outputs", "Output of each linear", gs_html_outputs},
    {"hidden", "Hidden states", gs_html_hidden},
    {"positions", "KL by position", gs_html_positions},
    {"made", "How the results were made", gs_html_made},
};

#define MAX_SECTIONS 16

void gs_html_heading(const gs_page *p, const char *text, gs_str *out)
{
    gs_str_printf(out, "<h%d>%s</h%d>\n", p->level, text, p->level);
}

void gs_html_table_begin(gs_str *out, const char *label, const gs_column *columns, int n)
{
    gs_str_adds(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"");
    gs_html_text(out, label);
    gs_str_adds(out, "\"><table><thead><tr>");
    for (int i = 0; i < n; i++) {
        gs_str_printf(out, "<th scope=\"col\"%s>", columns[i].number ? " class=\"n\"" : "");
        gs_html_text(out, columns[i].title);
        gs_str_adds(out, "</th>");
    }
    gs_str_adds(out, "</tr></thead><tbody>\n");
}

void gs_html_table_end(gs_str *out) { gs_str_adds(out, "</tbody></table></div>\n"); }

void gs_html_cell(gs_str *out, const char *text, bool number)
{
    gs_str_adds(out, number ? "<td class=\"n\">" : "<td>");
    gs_html_text(out, text);
    gs_str_adds(out, "</td>");
}

void gs_html_number_cell(gs_str *out, double v, int digits)
{
    char text[32];
    gs_html_cell(out, isinf(v) ? "exact" : gs_number_text(v, digits, text), true);
}

void gs_html_bar_cell(gs_str *out, double share, bool soft)
{
    const int tenths = share > 0 ? share < 1 ? (int)(share * 1000 + 0.5) : 1000 : 0;
    gs_str_printf(out,
                  "<td class=\"bar%s\" aria-hidden=\"true\"><span><span style=\"width:%d.%d%%\"></span></span></td>",
                  soft ? " soft" : "", tenths / 10, tenths % 10);
}

void gs_kinds_init(gs_kinds *k, const gs_report *r)
{
    *k = (gs_kinds){0};
    for (int i = 0; i < r->n_linears; i++) {
        const gs_linear_place place = gs_linear_place_of(r->linears[i].name);
        int kind = 0;
        if (place.block < 0 || place.block >= r->n_linears) continue;
        if (place.block >= k->blocks) k->blocks = place.block + 1;
        while (kind < k->n && strcmp(k->name[kind], place.linear) != 0) kind++;
        if (kind == k->n && k->n < GS_MAX_KINDS) k->name[k->n++] = place.linear;
    }
    k->at = gs_alloc_array((size_t)(k->n * k->blocks) + 1, sizeof *k->at);
    for (int i = 0; i < r->n_linears; i++) {
        const gs_linear_place place = gs_linear_place_of(r->linears[i].name);
        for (int kind = 0; kind < k->n && place.block >= 0 && place.block < k->blocks; kind++)
            if (strcmp(k->name[kind], place.linear) == 0) k->at[kind * k->blocks + place.block] = &r->linears[i];
    }
}

void gs_kinds_release(gs_kinds *k) { gs_free(k->at); }

static void add_tile(gs_str *out, const char *name, const char *value, const char *more)
{
    gs_str_adds(out, "<dl class=\"tile\"><dt>");
    gs_html_text(out, name);
    gs_str_adds(out, "</dt><dd class=\"value\">");
    gs_html_text(out, value);
    gs_str_adds(out, "</dd><dd>");
    gs_html_text(out, more);
    gs_str_adds(out, "</dd></dl>\n");
}

static void add_size_tile(const gs_report *r, gs_str *out)
{
    char before[32], after[32], more[64] = "";
    gs_bytes_text(r->input_bytes, before);
    gs_bytes_text(r->output_bytes, after);
    if (r->input_bytes > 0)
        snprintf(more, sizeof more, "%.0f %% of %s", 100.0 * (double)r->output_bytes / (double)r->input_bytes, before);
    add_tile(out, "Size", after, more);
}

static void add_sqnr_tile(const gs_report *r, gs_str *out)
{
    const gs_linear_result *worst = NULL;
    for (int i = 0; i < r->n_linears; i++)
        if (isfinite(r->linears[i].weight_sqnr_db) && (!worst || r->linears[i].weight_sqnr_db < worst->weight_sqnr_db))
            worst = &r->linears[i];
    if (!worst) return;
    char value[48], more[96];
    const gs_linear_place place = gs_linear_place_of(worst->name);
    snprintf(value, sizeof value, "%.1f dB", worst->weight_sqnr_db);
    if (place.block >= 0)
        snprintf(more, sizeof more, "block %d, %.60s", place.block, place.linear);
    else
        snprintf(more, sizeof more, "%.60s", place.linear);
    add_tile(out, "Lowest weight SQNR", value, more);
}

static void add_tiles(const gs_report *r, gs_str *out)
{
    char value[64], more[64], peak[32];
    int quantized = 0;
    for (int i = 0; i < r->n_linears; i++) quantized += strcmp(r->linears[i].type, "FLOAT") != 0;
    gs_str_adds(out, "<div class=\"tiles\">\n");
    add_size_tile(r, out);
    snprintf(value, sizeof value, "%d of %d", quantized, r->n_linears);
    snprintf(more, sizeof more, "%d stay float", r->n_linears - quantized);
    add_tile(out, "Linears quantized", value, more);
    add_sqnr_tile(r, out);
    snprintf(value, sizeof value, "%lld texts", (long long)r->n_samples);
    snprintf(more, sizeof more, "%lld tokens", (long long)r->n_tokens);
    if (r->n_samples == 0)
        add_tile(out, "Calibration", "none", "no inputs are looked at");
    else
        add_tile(out, "Calibration", value, more);
    gs_duration_text(r->seconds, value);
    gs_bytes_text(r->measured_peak_bytes, peak);
    snprintf(more, sizeof more, "peak memory %s", peak);
    add_tile(out, "Time", value, more);
    gs_str_adds(out, "</div>\n");
}

/* The last part of a path, without slashes behind it. Caller gs_free()s. */
static char *base_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t start = n;
    while (start > 0 && path[start - 1] != '/') start--;
    return gs_strndup(path + start, n - start);
}

static void add_base_name(gs_str *out, const char *path)
{
    char *name = base_name(path);
    gs_html_text(out, name);
    gs_free(name);
}

/* Last parts of the paths, or whole paths where two would be the same. */
static char **short_names(const gs_eval *e)
{
    char **names = gs_alloc_array((size_t)e->quants + 1, sizeof *names);
    bool different = true;
    for (int i = 0; i < e->quants; i++) {
        names[i] = base_name(e->quant[i].path);
        for (int j = 0; j < i; j++) different = different && strcmp(names[i], names[j]) != 0;
    }
    for (int i = 0; i < e->quants && !different; i++) {
        gs_free(names[i]);
        names[i] = gs_strdup(e->quant[i].path);
    }
    return names;
}

static void add_date(gs_str *out)
{
    char text[40];
    struct tm utc;
    const time_t now = time(NULL);
    if (gmtime_r(&now, &utc) != NULL && strftime(text, sizeof text, ", %Y-%m-%d %H:%M UTC", &utc) > 0)
        gs_str_adds(out, text);
}

/* title: escaped already; also the heading. */
static void add_head(const gs_str *title, gs_str *out)
{
    gs_str_adds(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
                     "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>");
    gs_str_add(out, title->data, title->len);
    gs_str_adds(out, "</title>\n<style>\n");
    gs_str_add(out, (const char *)gs_report_css, gs_report_css_bytes);
    gs_str_adds(out, "</style></head>\n<body>\n<header><h1>");
    gs_str_add(out, title->data, title->len);
    gs_str_adds(out, "</h1><p>");
}

/* Links to the sections that have something to show, `lead`, and the sections. */
static void add_sections(const gs_page *p, const gs_section *sections, int n, const gs_str *lead, gs_str *out)
{
    gs_str body[MAX_SECTIONS];
    gs_str_adds(out, "<nav aria-label=\"Sections\">");
    for (int i = 0; i < n; i++) {
        gs_str_init(&body[i]);
        sections[i].add(p, &body[i]);
        if (body[i].len > 0) gs_str_printf(out, "<a href=\"#%s\">%s</a>\n", sections[i].id, sections[i].title);
    }
    gs_str_adds(out, "</nav>\n<main>\n");
    gs_str_add(out, lead->data, lead->len);
    for (int i = 0; i < n; i++) {
        if (body[i].len > 0) {
            gs_str_printf(out, "<section id=\"%s\" aria-labelledby=\"%s-h\"><h2 id=\"%s-h\">%s</h2>\n", sections[i].id,
                          sections[i].id, sections[i].id, sections[i].title);
            gs_str_add(out, body[i].data, body[i].len);
            gs_str_adds(out, "</section>\n");
        }
        gs_str_release(&body[i]);
    }
    gs_str_adds(out, "</main>\n<footer>glmslim " GLMSLIM_VERSION "</footer>\n</body></html>\n");
}

void gs_report_html(const gs_report *r, const gs_recipe *recipe, gs_str *out)
{
    const gs_page page = {.report = r, .recipe = recipe, .prefix = "", .level = 3};
    const char *type = r->quant_type != NULL ? r->quant_type : "a quantized model";
    gs_str lead, title;
    gs_str_init(&lead);
    gs_str_init(&title);
    if (recipe != NULL && recipe->model_path != NULL) {
        add_base_name(&title, recipe->model_path);
        gs_str_adds(&title, " as ");
    }
    gs_html_text(&title, type);
    add_tiles(r, &lead);
    add_head(&title, out);
    gs_str_adds(out, "Written to ");
    gs_html_text(out, r->output != NULL ? r->output : "?");
    add_date(out);
    gs_str_adds(out, "</p></header>\n");
    add_sections(&page, run_sections, (int)(sizeof run_sections / sizeof run_sections[0]), &lead, out);
    gs_str_release(&lead);
    gs_str_release(&title);
}

/* The best of the results, and how far it is. */
static void add_eval_tiles(const gs_page *p, gs_str *out)
{
    const gs_eval *e = p->eval;
    char value[64], more[192];
    int at = 0;
    if (e->tokens == 0) return;
    for (int i = 1; i < e->quants; i++)
        if (e->quant[i].kl_mean < e->quant[at].kl_mean) at = i;
    gs_str_adds(out, "<div class=\"tiles\">\n");
    snprintf(value, sizeof value, "%.3f", e->exact.perplexity);
    snprintf(more, sizeof more, "± %.3f, %lld tokens", e->exact.perplexity_se, (long long)e->tokens);
    add_tile(out, "Perplexity, float", value, more);
    if (e->quants > 0) {
        const gs_eval_model *best = &e->quant[at];
        snprintf(value, sizeof value, "%.5f", best->kl_mean);
        add_tile(out, e->quants > 1 ? "Lowest KL" : "KL from float", value, p->names[at]);
        snprintf(value, sizeof value, "%.2f %%", 100 * best->top1_agreement);
        add_tile(out, "Same first token", value, p->names[at]);
        snprintf(value, sizeof value, "%+.3f %%", 100 * (best->ratio - 1));
        snprintf(more, sizeof more, "± %.3f %%%s", 100 * best->ratio_se, best->noise ? ", noise" : "");
        add_tile(out, "Perplexity over float", value, more);
    }
    gs_str_adds(out, "</div>\n");
}

void gs_report_eval_html(const gs_eval *e, const gs_report_file *files, const char *text_path, gs_str *out)
{
    char **names = short_names(e);
    const gs_page page = {.eval = e, .files = files, .names = (const char *const *)names, .prefix = "", .level = 3};
    gs_str lead, title;
    gs_str_init(&lead);
    gs_str_init(&title);
    add_base_name(&title, e->exact.path);
    if (e->quants > 0) gs_str_printf(&title, " and %d result%s", e->quants, e->quants == 1 ? "" : "s");
    add_eval_tiles(&page, &lead);
    add_head(&title, out);
    gs_str_adds(out, "Evaluated");
    if (text_path != NULL) {
        gs_str_adds(out, " on ");
        gs_html_text(out, text_path);
    }
    add_date(out);
    gs_str_adds(out, "</p></header>\n");
    add_sections(&page, eval_sections, (int)(sizeof eval_sections / sizeof eval_sections[0]), &lead, out);
    for (int i = 0; i < e->quants; i++) gs_free(names[i]);
    gs_free(names);
    gs_str_release(&lead);
    gs_str_release(&title);
}
