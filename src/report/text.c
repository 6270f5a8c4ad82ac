/* The report and the plan as text for a person.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/table.h"

#define MAX_FILES 12

void gs_bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(out, 32, "%u bytes", (unsigned)bytes);
        return;
    }
    double v = (double)bytes / 1000.0;
    size_t unit = 0;
    while (v >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        v /= 1000.0;
        unit++;
    }
    snprintf(out, 32, v < 9.995 ? "%.2f %s" : v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
}

void gs_duration_text(double s, char out[32])
{
    if (!(s >= 0 && isfinite(s)))
        snprintf(out, 32, "unknown");
    else if (s < 9.95)
        snprintf(out, 32, "%.1f s", s);
    else if (s < 90)
        snprintf(out, 32, "%.0f s", s);
    else if (s < 3600)
        snprintf(out, 32, "%d min %02d s", (int)(s / 60), (int)fmod(s, 60));
    else
        snprintf(out, 32, "%.0f h %02d min", floor(s / 3600), (int)(fmod(s, 3600) / 60));
}

static void add_types(const gs_report *r, gs_str *out)
{
    if (r->codes != NULL) gs_str_printf(out, "  codes: %s\n", r->codes);
    for (int i = 0; i < r->n_types; i++) {
        char size[32];
        gs_bytes_text(r->types[i].bytes, size);
        gs_str_printf(out, "  %-24s %7lld tensors  %10s\n", r->types[i].type, (long long)r->types[i].n_tensors, size);
    }
}

static void add_files(const gs_report *r, gs_str *out)
{
    for (int i = 0; i < r->n_files && i < MAX_FILES; i++) {
        char size[32];
        gs_bytes_text(r->files[i].bytes, size);
        gs_str_printf(out, "  %-50s %7lld tensors  %10s\n", r->files[i].name, (long long)r->files[i].n_tensors, size);
    }
    if (r->n_files > MAX_FILES) gs_str_printf(out, "  and %d more files\n", r->n_files - MAX_FILES);
}

static void add_sizes(const gs_report *r, gs_str *out)
{
    char before[32], after[32];
    gs_bytes_text(r->input_bytes, before);
    gs_bytes_text(r->output_bytes, after);
    gs_str_printf(out, "size          %s before, %s after", before, after);
    if (r->input_bytes > 0) gs_str_printf(out, " (%.0f %%)", 100.0 * (double)r->output_bytes / (double)r->input_bytes);
    gs_str_addc(out, '\n');
}

static void add_phases(const gs_report *r, gs_str *out)
{
    char total[32];
    gs_duration_text(r->seconds, total);
    gs_str_printf(out, "time          %s", total);
    bool first = true;
    for (int i = 0; i < r->n_phases; i++) {
        if (r->phases[i].seconds < 0.005 * r->seconds) continue; /* noise; the JSON has all */
        char seconds[32];
        gs_duration_text(r->phases[i].seconds, seconds);
        gs_str_printf(out, "%s%s %s", first ? ": " : ", ", r->phases[i].name, seconds);
        first = false;
    }
    gs_str_addc(out, '\n');
}

static void add_gemm(const gs_report *r, gs_str *out)
{
    for (int i = 0; i < r->n_gemm; i++) {
        const gs_gemm_result *g = &r->gemm[i];
        if (!(g->operations > 0 && g->seconds > 0)) continue;
        char seconds[32];
        gs_duration_text(g->seconds, seconds);
        gs_str_printf(out, "GEMM %-8s %s, %.1f Gop/s", g->kind, seconds, g->operations / g->seconds / 1e9);
        if (g->peak_per_s > 0)
            gs_str_printf(out, ", %.0f %% of the measured peak of %.1f Gop/s",
                          100.0 * g->operations / g->seconds / g->peak_per_s, g->peak_per_s / 1e9);
        gs_str_addc(out, '\n');
    }
}

static void add_memory(const gs_report *r, gs_str *out)
{
    char planned[32], measured[32];
    gs_bytes_text(r->planned_peak_bytes, planned);
    gs_str_printf(out, "memory        planned peak %s", planned);
    if (r->measured_peak_bytes > 0) {
        gs_bytes_text(r->measured_peak_bytes, measured);
        gs_str_printf(out, ", measured %s", measured);
        if (r->planned_peak_bytes > 0)
            gs_str_printf(out, " (%+.0f %%)",
                          100.0 * ((double)r->measured_peak_bytes / (double)r->planned_peak_bytes - 1.0));
    }
    if (r->spilled_bytes > 0) {
        gs_bytes_text(r->spilled_bytes, measured);
        gs_str_printf(out, "; %s of hidden states in a file", measured);
    }
    gs_str_addc(out, '\n');
}

static void add_data(const gs_report *r, gs_str *out)
{
    gs_str floats;
    gs_str_init(&floats);
    gs_report_floats(r, &floats);
    if (floats.len > 0) gs_str_printf(out, "stay float    %s\n", floats.data);
    gs_str_release(&floats);
    if (r->n_samples == 0 && r->pass != NULL && strcmp(r->pass, "rows") == 0)
        gs_str_adds(out, "calibration   none is needed: weights go through memory in chunks of rows\n");
    else
        gs_str_printf(out, "calibration   %lld samples, %lld tokens\n", (long long)r->n_samples,
                      (long long)r->n_tokens);
}

void gs_report_text(const gs_report *r, gs_str *out)
{
    gs_report_linears(r, out);
    gs_report_groups(r, out);
    gs_report_transforms(r, out);
    if (r->n_linears > 0) gs_str_addc(out, '\n');
    gs_str_printf(out, "%s written to %s\n", r->quant_type != NULL ? r->quant_type : "model",
                  r->output != NULL ? r->output : "?");
    add_types(r, out);
    add_files(r, out);
    add_sizes(r, out);
    add_data(r, out);
    add_phases(r, out);
    add_gemm(r, out);
    add_memory(r, out);
    gs_str_printf(out, "machine       %d thread%s, %s\n", r->threads, r->threads == 1 ? "" : "s",
                  r->cpu != NULL ? r->cpu : "unknown");
}

void gs_report_plan_text(const gs_report *r, gs_str *out)
{
    char time[32];
    int quantized = 0;
    for (int i = 0; i < r->n_linears; i++) quantized += r->linears[i].why_float == NULL;
    gs_str_printf(out, "plan: %s to %s (dry run, nothing is written)\n",
                  r->quant_type != NULL ? r->quant_type : "model", r->output != NULL ? r->output : "?");
    add_types(r, out);
    add_files(r, out);
    add_sizes(r, out);
    gs_str_printf(out, "linears       %d quantized, %d float\n", quantized, r->n_linears - quantized);
    add_data(r, out);
    add_memory(r, out);
    gs_duration_text(r->estimated_seconds, time);
    gs_str_printf(out, "time          about %s with %d thread%s, %s\n", time, r->threads, r->threads == 1 ? "" : "s",
                  r->cpu != NULL ? r->cpu : "unknown");
}
