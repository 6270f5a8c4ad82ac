/* Comparing a result with the reference's: the directory, its side files byte for byte, the header of every weight file, then its
 * tensors (golden_numbers.c), layers (golden_layer.c) and what do_smooth moved (golden_smooth.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_rules.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "golden_judge.h"

#define TIGHT_SHARE    0.8 /* act_method 1: at least this share of the layers is tight, ... */
#define SMOOTHED_SHARE 0.6 /* ... on rescaled weights this share */
#define DIRECTORY_MODE 0750u

void judge_differ(judge *j, const char *fmt, ...)
{
    char line[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    j->v->differences++;
    gs_str_printf(&j->v->text, "%s: DIFF %s\n", j->g->name, line);
}

void judge_saw(judge *j, golden_figure figure, double value)
{
    if (!(j->v->worst[figure] >= value)) j->v->worst[figure] = value;
}

static bool same_form(const golden_tensor *a, const golden_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) == 0;
}

/* Names, types, shapes and their order: a header has one right spelling. */
static void judge_header(judge *j, const golden_set *want, const golden_set *got)
{
    if (want->header_bytes == got->header_bytes && memcmp(want->header, got->header, want->header_bytes) == 0) return;
    const int before = j->v->differences;
    for (int i = 0; i < want->count; i++) {
        const golden_tensor *a = golden_find(got, want->tensors[i].name);
        if (a == NULL)
            judge_differ(j, "%s: %s is missing", want->name, want->tensors[i].name);
        else if (!same_form(&want->tensors[i], a))
            judge_differ(j, "%s: %s has another type or shape", want->name, a->name);
    }
    for (int i = 0; i < got->count; i++)
        if (golden_find(want, got->tensors[i].name) == NULL)
            judge_differ(j, "%s: %s is too much", want->name, got->tensors[i].name);
    if (j->v->differences == before) judge_differ(j, "%s: the header's bytes differ (order or spelling)", want->name);
}

static gs_status judge_tensors(judge *j, golden_file *f, gs_error *err)
{
    golden_set got = {.name = f->name};
    gs_error why = {0};
    if (golden_read_set(&got, j->g->arena, gs_arena_printf(j->g->arena, "%s/%s", j->out_dir, f->name), &why) != GS_OK) {
        judge_differ(j, "%s", why.text);
        return GS_OK;
    }
    judge_header(j, &f->set, &got);
    if (j->g->rules == GOLDEN_FORM) return GS_OK;
    GS_TRY(golden_load(j->g, &f->set, err));
    for (int i = 0; i < f->set.count; i++) {
        const golden_tensor *want = &f->set.tensors[i], *a = golden_find(&got, want->name);
        if (a == NULL || !same_form(want, a)) continue;
        judge_tensor(j, want, a);
        const char *part = strrchr(want->name, '.');
        if (part == NULL || strcmp(part, ".input_scale") != 0) continue;
        char *layer = gs_arena_strdup(j->g->arena, want->name);
        layer[part - want->name] = '\0';
        judge_layer(j, layer, &f->set, &got);
    }
    /* An anti method has changed the product before. */
    const bool smooth = j->g->rules == GOLDEN_SEARCHED && golden_arg(j->g, "--anti_method") == NULL;
    return smooth ? judge_smoothing(j, &got, err) : GS_OK;
}

/* Without the lines that hold `mark`. */
static const char *less_lines(judge *j, const char *text, size_t *n, const char *mark)
{
    char *out = gs_arena_alloc(j->g->arena, *n + 1);
    size_t kept = 0;
    for (size_t at = 0, end = 0; at < *n; at = end) {
        const char *stop = memchr(text + at, '\n', *n - at);
        end = stop != NULL ? (size_t)(stop - text) + 1 : *n;
        if (memmem(text + at, end - at, mark, strlen(mark)) != NULL) continue;
        memcpy(out + kept, text + at, end - at);
        kept += end - at;
    }
    *n = kept;
    return out;
}

static gs_status judge_bytes(judge *j, const golden_file *f, gs_error *err)
{
    const char *want = NULL;
    size_t n = 0, m = 0, at = 0;
    GS_TRY(golden_bytes(j->g, f, &want, &n, err));
    if (j->g->less != NULL) want = less_lines(j, want, &n, j->g->less);
    char *got = NULL;
    gs_error why = {0};
    if (gs_file_read_all(gs_arena_printf(j->g->arena, "%s/%s", j->out_dir, f->name), 64u << 20, &got, &m, &why) !=
        GS_OK) {
        judge_differ(j, "%s", why.text);
        return GS_OK;
    }
    int line = 1;
    while (at < n && at < m && want[at] == got[at]) line += want[at++] == '\n';
    if (at < n || at < m) {
        char a[64], b[64];
        judge_differ(j, "%s: differs in line %d, expected '%s', got '%s'", f->name, line,
                     gs_printable(want + at, n - at, a, 40), gs_printable(got + at, m - at, b, 40));
    }
    gs_free(got);
    return GS_OK;
}

/* The same files with the same modes, and no other. */
static void judge_directory(judge *j)
{
    struct stat st;
    if (stat(j->out_dir, &st) == 0 && (st.st_mode & 07777u) != DIRECTORY_MODE)
        judge_differ(j, "the directory's mode is %04o instead of %04o", st.st_mode & 07777u, DIRECTORY_MODE);
    DIR *d = opendir(j->out_dir);
    if (d == NULL) return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        bool known = false;
        for (int i = 0; i < j->g->n_files; i++) known = known || strcmp(j->g->files[i].name, e->d_name) == 0;
        if (!known) judge_differ(j, "file %s is too much", e->d_name);
    }
    closedir(d);
}

void golden_verdict_init(golden_verdict *v)
{
    *v = (golden_verdict){0};
    gs_str_init(&v->text);
    for (int i = 0; i < FIGURE_COUNT; i++) v->worst[i] = -1;
}

void golden_verdict_release(golden_verdict *v) { gs_str_release(&v->text); }

gs_status golden_judge(golden *g, const char *out_dir, golden_verdict *v, gs_error *err)
{
    const char *method = golden_arg(g, "--act_method");
    judge j = {.g = g, .v = v, .out_dir = out_dir, .search = method != NULL && strcmp(method, "1") != 0};
    if (!gs_path_is_dir(out_dir)) {
        judge_differ(&j, "no output directory %s", out_dir);
        return GS_OK;
    }
    judge_directory(&j);
    for (int i = 0; i < g->n_files; i++) {
        golden_file *f = &g->files[i];
        struct stat st;
        if (stat(gs_arena_printf(g->arena, "%s/%s", out_dir, f->name), &st) != 0) {
            judge_differ(&j, "file %s is missing", f->name);
            continue;
        }
        if ((st.st_mode & 07777u) != f->mode)
            judge_differ(&j, "%s: mode %04o instead of %04o", f->name, st.st_mode & 07777u, f->mode);
        if (strcmp(f->kind, "tensors") == 0)
            GS_TRY(judge_tensors(&j, f, err));
        else
            GS_TRY(judge_bytes(&j, f, err));
    }
    const double share = g->rules == GOLDEN_EXACT ? TIGHT_SHARE : g->rules == GOLDEN_SMOOTHED ? SMOOTHED_SHARE : 0;
    if (!j.search && v->layers > 0 && v->tight < share * v->layers)
        judge_differ(&j, "input_scale agrees to %g in only %d of %d layers", TIGHT, v->tight, v->layers);
    return GS_OK;
}

void golden_verdict_figures(const golden_verdict *v, gs_str *out)
{
    static const char *const names[FIGURE_COUNT] = {
        [FIGURE_CODE] = "code",
        [FIGURE_CODE_SHARE] = "share",
        [FIGURE_WEIGHT_SCALE] = "weight_scale",
        [FIGURE_WEIGHT_OFFSET] = "weight_offset",
        [FIGURE_FLOAT] = "float",
        [FIGURE_INPUT_SCALE] = "input_scale",
        [FIGURE_INPUT_OFFSET] = "input_offset",
        [FIGURE_KV_SCALE] = "kv_scale",
        [FIGURE_KV_OFFSET] = "kv_offset",
        [FIGURE_DEQ] = "deq_scale",
        [FIGURE_BIAS_SELF] = "own bias",
        [FIGURE_BIAS] = "quant_bias",
        [FIGURE_SMOOTH] = "product",
    };
    for (int i = 0; i < FIGURE_COUNT; i++) {
        if (v->worst[i] < 0 || (i == FIGURE_CODE_SHARE && v->worst[FIGURE_CODE] == 0)) continue;
        gs_str_printf(out, "%s%s %.2g", out->len > 0 ? ", " : "", names[i], v->worst[i]);
        if (i == FIGURE_INPUT_SCALE) gs_str_printf(out, " (%d of %d layers below %g)", v->tight, v->layers, TIGHT);
    }
}
