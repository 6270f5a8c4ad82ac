/* Eval for a person: one line per model, what is noise, and where the loss comes from. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/eval.h"

#define NAME_BYTES 40 /* of a result's name */
#define WORST      5  /* linears shown per result */

/* The last part of a path; of a long one the end, which tells results apart. */
static const char *model_name(const gs_eval *e, int i, char buf[4 * NAME_BYTES]) /* i < 0: the float model */
{
    if (i < 0) return "float";
    const char *path = e->quant[i].path;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/' && end - begin < NAME_BYTES) begin--;
    while (begin < end && ((unsigned char)path[begin] & 0xC0) == 0x80) begin++; /* a whole character first */
    return gs_printable(path + begin, end - begin, buf, 4 * NAME_BYTES);
}

static void type_text(const gs_eval_model *m, char buf[64])
{
    snprintf(buf, 64, "%s%s%s", m->type, m->kv ? " C8" : "", m->fa ? " FA" : "");
}

/* Columns for names and types; what is not ASCII may come out narrower. */
typedef struct widths {
    int name, type;
} widths;

static widths measure(const gs_eval *e)
{
    char name[4 * NAME_BYTES], type[64];
    widths w = {5, 0};
    for (int i = 0; i < e->quants; i++) {
        type_text(&e->quant[i], type);
        const int n = (int)strlen(model_name(e, i, name)), t = (int)strlen(type);
        w.name = n > w.name ? n : w.name;
        w.type = t > w.type ? t : w.type;
    }
    return w;
}

static void text_head(const gs_eval *e, const char *path, gs_str *out)
{
    gs_str_printf(out, "%s: %lld tokens in %lld windows of %lld", path, (long long)e->tokens, (long long)e->windows,
                  (long long)e->context);
    if (e->stride < e->context) gs_str_printf(out, ", %lld further each,", (long long)e->stride);
    gs_str_printf(out, " behind the prefix of %lld; every token predicted once\n\n", (long long)e->prefix);
}

static void text_table(const gs_eval *e, gs_str *out)
{
    char name[4 * NAME_BYTES], type[64], value[64];
    const widths w = measure(e);
    gs_str_printf(out, "%*s  %17s", w.name + 2 + w.type, "", "perplexity");
    if (e->quants > 0)
        gs_str_printf(out, "  %17s  %8s %8s %8s %8s  %6s %6s", "over float", "KL mean", "median", "99 %", "max",
                      "top-1", "top-5");
    gs_str_addc(out, '\n');
    for (int i = -1; i < e->quants; i++) {
        const gs_eval_model *m = i < 0 ? &e->exact : &e->quant[i];
        type_text(m, type);
        snprintf(value, sizeof value, "%.3f ± %.3f", m->perplexity, m->perplexity_se);
        /* ± has two bytes and one column */
        gs_str_printf(out, "%-*s  %-*s  %18s", w.name, model_name(e, i, name), w.type, i < 0 ? "" : type, value);
        if (i >= 0) {
            snprintf(value, sizeof value, "%.5f ± %.5f", m->ratio, m->ratio_se);
            gs_str_printf(out, "  %18s  %8.5f %8.5f %8.5f %8.4f  %6.4f %6.4f", value, m->kl_mean, m->kl_median,
                          m->kl_p99, m->kl_max, m->top1_agreement, m->top5_same);
        }
        gs_str_addc(out, '\n');
    }
    gs_str_addc(out, '\n');
}

static void text_noise(const gs_eval *e, gs_str *out)
{
    char name[4 * NAME_BYTES];
    for (int i = 0; i < e->quants; i++) {
        const gs_eval_model *m = &e->quant[i];
        gs_str_printf(out, "%s: ", model_name(e, i, name));
        if (m->noise)
            gs_str_printf(out, "the difference in perplexity is noise (%+.3f %% ± %.3f %%)", 100 * (m->ratio - 1),
                          100 * m->ratio_se);
        else
            gs_str_printf(out, "perplexity %s by %.3f %% ± %.3f %%", m->ratio > 1 ? "rises" : "falls",
                          100 * fabs(m->ratio - 1), 100 * m->ratio_se);
        gs_str_printf(out, "; KL %.5f ± %.5f\n", m->kl_mean, m->kl_se);
    }
    if (e->quants > 0) gs_str_adds(out, "KL is the figure to rank by; perplexity moves by chance.\n\n");
}

static void choices_table(const gs_eval *e, const char *path, gs_str *out)
{
    char name[4 * NAME_BYTES];
    const int width = measure(e).name;
    gs_str_printf(out, "%s: %lld questions\n\n%-*s  %28s  %28s  %9s\n", path, (long long)e->questions, width, "",
                  "accuracy (95 %)", "per byte (95 %)", "as float");
    for (int i = -1; i < e->quants; i++) {
        const gs_eval_accuracy *a = i < 0 ? &e->exact.choices : &e->quant[i].choices;
        char whole[64], bytes[64];
        snprintf(whole, sizeof whole, "%.4f (%.4f to %.4f)", a->accuracy, a->low, a->high);
        snprintf(bytes, sizeof bytes, "%.4f (%.4f to %.4f)", a->accuracy_per_byte, a->low_per_byte, a->high_per_byte);
        gs_str_printf(out, "%-*s  %28s  %28s", width, model_name(e, i, name), whole, bytes);
        if (i >= 0) gs_str_printf(out, "  %9.4f", a->agreement);
        gs_str_addc(out, '\n');
    }
    gs_str_addc(out, '\n');
}

static void linear_line(const gs_eval_linear *l, gs_str *out)
{
    if (isinf(l->sqnr_db))
        gs_str_printf(out, "  %8s     %-14s %s\n", "exact", l->type, l->name);
    else
        gs_str_printf(out, "  %8.2f dB  %-14s %s\n", l->sqnr_db, l->type, l->name);
}

/* The next worse one behind (db, at) in the order of rising SQNR; -1 = none. */
static int64_t next_worst(const gs_eval_model *m, double db, int64_t at)
{
    int64_t best = -1;
    for (int64_t i = 0; i < m->linears; i++) {
        const double v = m->linear[i].sqnr_db;
        if (isinf(v) || v < db || (v == db && i <= at)) continue;
        if (best < 0 || v < m->linear[best].sqnr_db) best = i;
    }
    return best;
}

static void layers_text(const gs_eval *e, int i, bool all, gs_str *out)
{
    const gs_eval_model *m = &e->quant[i];
    char name[4 * NAME_BYTES];
    const int64_t last = e->layers - 1;
    gs_str_printf(out, "%s: hidden states behind block 0 and block %lld at cosine %.6f and %.6f (least %.4f)\n",
                  model_name(e, i, name), (long long)last, m->block[0].cosine, m->block[last].cosine,
                  m->block[last].cosine_min);
    gs_str_printf(out, "%s\n", all ? "outputs of the linears:" : "outputs with the most noise:");
    if (all) {
        for (int64_t at = 0; at < m->linears; at++) linear_line(&m->linear[at], out);
    } else {
        double db = -INFINITY;
        int64_t at = -1;
        for (int shown = 0; shown < WORST; shown++) {
            at = next_worst(m, db, at);
            if (at < 0) break;
            db = m->linear[at].sqnr_db;
            linear_line(&m->linear[at], out);
        }
    }
    gs_str_addc(out, '\n');
}

void gs_eval_text(const gs_eval *e, const char *text_path, const char *choices_path, bool layers, gs_str *out)
{
    if (e->tokens > 0) {
        text_head(e, text_path, out);
        text_table(e, out);
        text_noise(e, out);
    }
    if (e->questions > 0) choices_table(e, choices_path, out);
    for (int i = 0; i < e->quants; i++) layers_text(e, i, layers, out);
}
