/* Sections of the page that are words and tables: the command, messages, linears that stay float, bytes, seconds, every linear.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "recipe/options.h"
#include "report/html.h"

static void add_fact(gs_str *out, const char *name, const char *text)
{
    gs_str_adds(out, "<dt>");
    gs_html_text(out, name);
    gs_str_adds(out, "</dt><dd>");
    gs_html_text(out, text);
    gs_str_adds(out, "</dd>\n");
}

/* Where the texts came from: a path, or, from a record without paths, what the file was. */
static void add_calibration(const gs_page *p, gs_str *out)
{
    const gs_recipe *r = p->recipe;
    char text[160];
    if (p->report->n_samples == 0) {
        add_fact(out, "Calibration", "none, since no inputs are looked at");
        return;
    }
    if (r->calib_file) {
        add_fact(out, "Calibration", r->calib_file);
        return;
    }
    for (int i = 0; i < p->report->n_inputs; i++) {
        const gs_input_file *f = &p->report->inputs[i];
        if (strcmp(f->kind, "calib_file") != 0) continue;
        snprintf(text, sizeof text, "a file of %llu bytes, SHA-256 %s", (unsigned long long)f->bytes, f->sha256);
        add_fact(out, "Calibration", text);
        return;
    }
    add_fact(out, "Calibration", r->calib_texts ? "texts of the command line" : "the built-in texts");
}

static void add_facts(const gs_page *p, gs_str *out)
{
    const gs_recipe *r = p->recipe;
    static const char *const observers[] = {"min-max (act_method 1)", "histogram (act_method 2)",
                                            "chosen per linear (act_method 3)"};
    gs_str_adds(out, "<dl class=\"facts\">\n");
    if (r->model_path) add_fact(out, "Model", r->model_path);
    add_calibration(p, out);
    if (r->anti_method && r->anti_method[0]) add_fact(out, "Outliers", r->anti_method);
    if (r->a_bit == 8 && !r->is_dynamic && r->act_method >= 1 && r->act_method <= 3)
        add_fact(out, "Input ranges", observers[r->act_method - 1]);
    if (r->use_kvcache_quant) add_fact(out, "Key/value cache", "int8, one scale per channel");
    gs_str_adds(out, "</dl>\n");
}

void gs_html_done(const gs_page *p, gs_str *out)
{
    if (p->recipe == NULL) return;
    gs_str command;
    gs_str_init(&command);
    gs_recipe_command(p->recipe, &command);
    add_facts(p, out);
    gs_str_adds(out, "<pre><code>");
    gs_html_text(out, command.data);
    gs_str_adds(out, "</code></pre>\n");
    gs_str_release(&command);
}

static void add_messages(const gs_report *r, gs_level level, const char *class, gs_str *out)
{
    gs_str_adds(out, "<ul class=\"messages\">\n");
    for (int i = 0; i < r->n_messages; i++) {
        if (r->messages[i].level != level) continue;
        gs_str_printf(out, "<li class=\"%s\">", class);
        gs_html_text(out, r->messages[i].text);
        gs_str_adds(out, "</li>\n");
    }
    gs_str_adds(out, "</ul>\n");
}

void gs_html_messages(const gs_page *p, gs_str *out)
{
    const gs_report *r = p->report;
    int warnings = 0;
    for (int i = 0; i < r->n_messages; i++) warnings += r->messages[i].level == GS_WARNING;
    const int notes = r->n_messages - warnings;
    if (warnings > 0) add_messages(r, GS_WARNING, "warning", out);
    if (notes == 0) return;
    if (warnings == 0) gs_str_adds(out, "<p>No warnings.</p>\n");
    gs_str_printf(out, "<details><summary>%d note%s</summary>\n", notes, notes == 1 ? "" : "s");
    add_messages(r, GS_INFO, "note", out);
    gs_str_adds(out, "</details>\n");
}

/* Why a linear stays float, for a reader who has not read the options. */
static const char *explained(const char *why)
{
    static const char *const known[][2] = {
        {"default fallback",
         "without --disable_names every dense_4h_to_h stays float: its inputs have the largest outliers"},
        {"disable_names", "named in --disable_names"},
        {"disable_level", "among the most sensitive linears, which --disable_level asks to keep"},
        {"last linear", "--disable_last_linear: engines load the output layer as float"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i][0], why) == 0) return known[i][1];
    return "";
}

/* "dense_4h_to_h in blocks 0-3, 7" of those that stay float for one reason. */
static void add_float_names(const gs_kinds *k, const char *why, gs_str *out)
{
    bool first = true;
    for (int kind = 0; kind < k->n; kind++) {
        int runs = 0;
        for (int b = 0; b < k->blocks; b++) {
            const gs_linear_result *l = k->at[kind * k->blocks + b];
            if (l == NULL || l->why_float == NULL || strcmp(l->why_float, why) != 0) continue;
            int last = b;
            for (; last + 1 < k->blocks; last++) {
                const gs_linear_result *next = k->at[kind * k->blocks + last + 1];
                if (next == NULL || next->why_float == NULL || strcmp(next->why_float, why) != 0) break;
            }
            if (runs++ == 0)
                gs_str_printf(out, "%s%s in block%s ", first ? "" : "; ", k->name[kind], last > b ? "s" : "");
            else
                gs_str_adds(out, ", ");
            gs_str_printf(out, last > b ? "%d–%d" : "%d", b, last);
            first = false;
            b = last;
        }
    }
}

static void add_outside_names(const gs_report *r, const char *why, gs_str *out)
{
    for (int i = 0; i < r->n_linears; i++) {
        const gs_linear_result *l = &r->linears[i];
        const gs_linear_place place = gs_linear_place_of(l->name);
        if (l->why_float == NULL || place.block >= 0 || strcmp(l->why_float, why) != 0) continue;
        gs_str_printf(out, "%s%s", out->len > 0 ? "; " : "", place.linear);
    }
}

static void add_float_row(const gs_report *r, const gs_kinds *k, const char *why, gs_str *out)
{
    gs_str names;
    gs_str_init(&names);
    int count = 0;
    for (int i = 0; i < r->n_linears; i++)
        count += r->linears[i].why_float != NULL && strcmp(r->linears[i].why_float, why) == 0;
    add_float_names(k, why, &names);
    add_outside_names(r, why, &names);
    gs_str_adds(out, "<tr>");
    gs_html_cell(out, why, false);
    gs_html_number_cell(out, count, 6);
    gs_html_cell(out, names.data, false);
    gs_html_cell(out, explained(why), false);
    gs_str_adds(out, "</tr>\n");
    gs_str_release(&names);
}

void gs_html_floats(const gs_page *p, gs_str *out)
{
    static const gs_column columns[] = {
        {"reason", false}, {"linears", true}, {"which", false}, {"what it means", false}};
    const gs_report *r = p->report;
    gs_kinds kinds;
    gs_kinds_init(&kinds, r);
    bool any = false;
    for (int i = 0; i < r->n_linears; i++) {
        const char *why = r->linears[i].why_float;
        bool seen = why == NULL;
        for (int j = 0; j < i && !seen; j++)
            seen = r->linears[j].why_float != NULL && strcmp(r->linears[j].why_float, why) == 0;
        if (seen) continue;
        if (!any) gs_html_table_begin(out, "Linears that stay float", columns, 4);
        any = true;
        add_float_row(r, &kinds, why, out);
    }
    if (any) gs_html_table_end(out);
    gs_kinds_release(&kinds);
}

static void add_size_row(gs_str *out, const char *name, int64_t tensors, uint64_t bytes, uint64_t whole, bool total)
{
    char text[32], count[24] = "";
    gs_bytes_text(bytes, text);
    if (tensors >= 0) snprintf(count, sizeof count, "%lld", (long long)tensors);
    gs_str_adds(out, total ? "<tr class=\"total\">" : "<tr>");
    gs_html_cell(out, name, false);
    gs_html_cell(out, count, true);
    gs_html_cell(out, text, true);
    gs_html_bar_cell(out, whole > 0 ? (double)bytes / (double)whole : 0, total);
    gs_str_adds(out, "</tr>\n");
}

void gs_html_sizes(const gs_page *p, gs_str *out)
{
    static const gs_column types[] = {{"", false}, {"tensors", true}, {"size", true}, {"", false}};
    static const gs_column files[] = {{"file", false}, {"tensors", true}, {"size", true}};
    const gs_report *r = p->report;
    const uint64_t whole = r->input_bytes > r->output_bytes ? r->input_bytes : r->output_bytes;
    gs_html_table_begin(out, "Bytes by type", types, 4);
    add_size_row(out, "checkpoint", -1, r->input_bytes, whole, true);
    add_size_row(out, "result", -1, r->output_bytes, whole, true);
    for (int i = 0; i < r->n_types; i++)
        add_size_row(out, r->types[i].type, r->types[i].n_tensors, r->types[i].bytes, whole, false);
    gs_html_table_end(out);
    if (r->n_files == 0) return;
    gs_str_printf(out, "<details><summary>%d file%s of weights</summary>\n", r->n_files, r->n_files == 1 ? "" : "s");
    gs_html_table_begin(out, "Files of weights", files, 3);
    for (int i = 0; i < r->n_files; i++) {
        char text[32];
        gs_bytes_text(r->files[i].bytes, text);
        gs_str_adds(out, "<tr>");
        gs_html_cell(out, r->files[i].name, false);
        gs_html_number_cell(out, (double)r->files[i].n_tensors, 9);
        gs_html_cell(out, text, true);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
}

static void add_machine(const gs_report *r, gs_str *out)
{
    char text[160], planned[32], measured[32];
    gs_bytes_text(r->planned_peak_bytes, planned);
    gs_bytes_text(r->measured_peak_bytes, measured);
    gs_str_adds(out, "<dl class=\"facts\">\n");
    snprintf(text, sizeof text, "%s at most (planned %s)", measured, planned);
    add_fact(out, "Memory", text);
    snprintf(text, sizeof text, "%d thread%s, %s", r->threads, r->threads == 1 ? "" : "s", r->cpu ? r->cpu : "unknown");
    add_fact(out, "Machine", text);
    for (int i = 0; i < r->n_gemm; i++) {
        const gs_gemm_result *g = &r->gemm[i];
        if (!(g->operations > 0 && g->seconds > 0)) continue;
        char name[48], share[64] = "";
        snprintf(name, sizeof name, "Products, %s", g->kind);
        if (g->peak_per_s > 0)
            snprintf(share, sizeof share, ", %.0f %% of the measured peak",
                     100.0 * g->operations / g->seconds / g->peak_per_s);
        snprintf(text, sizeof text, "%.1f s at %.1f Gop/s%s", g->seconds, g->operations / g->seconds / 1e9, share);
        add_fact(out, name, text);
    }
    gs_str_adds(out, "</dl>\n");
}

void gs_html_times(const gs_page *p, gs_str *out)
{
    static const gs_column columns[] = {{"phase", false}, {"time", true}, {"", false}};
    const gs_report *r = p->report;
    double longest = 0;
    char text[32];
    add_machine(r, out);
    if (r->n_phases == 0) return;
    for (int i = 0; i < r->n_phases; i++) longest = fmax(longest, r->phases[i].seconds);
    gs_html_table_begin(out, "Time by phase", columns, 3);
    for (int i = 0; i < r->n_phases; i++) {
        gs_duration_text(r->phases[i].seconds, text);
        gs_str_adds(out, "<tr>");
        gs_html_cell(out, r->phases[i].name, false);
        gs_html_cell(out, text, true);
        gs_html_bar_cell(out, longest > 0 ? r->phases[i].seconds / longest : 0, false);
        gs_str_adds(out, "</tr>\n");
    }
    gs_html_table_end(out);
}

static void add_linear(const gs_linear_result *l, gs_str *out)
{
    gs_str_adds(out, "<tr>");
    gs_html_cell(out, l->name, false);
    gs_html_cell(out, l->why_float ? l->why_float : l->type, false);
    gs_html_cell(out, l->observer ? l->observer : "", false);
    gs_html_number_cell(out, l->range_min, 4);
    gs_html_number_cell(out, l->range_max, 4);
    gs_html_number_cell(out, l->input_scale, 4);
    gs_html_number_cell(out, l->input_offset, 4);
    gs_html_number_cell(out, l->weight_scale_min, 3);
    gs_html_number_cell(out, l->weight_scale_max, 3);
    gs_html_number_cell(out, l->weight_sqnr_db, 4);
    gs_html_number_cell(out, l->score, 4);
    gs_str_adds(out, "</tr>\n");
}

void gs_html_linears(const gs_page *p, gs_str *out)
{
    static const gs_column columns[] = {{"linear", false},   {"type, or why it is float", false},
                                        {"observer", false}, {"input from", true},
                                        {"to", true},        {"input scale", true},
                                        {"offset", true},    {"weight scale from", true},
                                        {"to", true},        {"weight SQNR, dB", true},
                                        {"score", true}};
    const gs_report *r = p->report;
    if (r->n_linears == 0) return;
    gs_str_printf(out, "<p>The figures behind the charts.</p><details><summary>%d linears</summary>\n", r->n_linears);
    gs_html_table_begin(out, "Every linear", columns, (int)(sizeof columns / sizeof columns[0]));
    for (int i = 0; i < r->n_linears; i++) add_linear(&r->linears[i], out);
    gs_html_table_end(out);
    gs_str_adds(out, "</details>\n");
}
