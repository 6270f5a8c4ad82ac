/* Comparing a result with the reference's. What depends on weights alone is exact; what depends on activations behind
 * fake-quantized layers may differ, because one activation code that falls the other way moves a range:
 *   tight   expected: the float forward pass agrees to a few float32 steps
 *   loose   allowed for a share of the layers; wider for the histogram, whose search can end one step elsewhere
 * Tensors that follow from others (deq_scale, quant_bias) are checked against the file's own tensors, always, and against the
 * golden where the range agrees. SPDX-License-Identifier: Apache-2.0 */
#include "golden_rules.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TIGHT               2e-5 /* input_scale, relative */
#define LOOSE_MEAN          1e-2 /* act_method 1 ... */
#define LOOSE_MEAN_OFFSET   2.0
#define LOOSE_SEARCH        0.10 /* act_method 2 and 3 */
#define LOOSE_SEARCH_OFFSET 12.0
#define TIGHT_SHARE         0.8    /* act_method 1: at least this share of the layers is tight */
#define KV_SCALE            5e-5   /* the float forward pass alone */
#define WEIGHT_SCALE        2.4e-7 /* two float32 steps */
#define PRODUCT             3e-7   /* one float32 product against another */
#define BIAS_STEP           1.0    /* rounding of quant_bias next to a half */
#define DIRECTORY_MODE      0750u

typedef struct judge {
    golden *g;
    golden_verdict *v;
    const char *out_dir;
    bool search; /* act_method 2 or 3 */
} judge;

typedef void compare_fn(judge *j, const golden_tensor *want, const golden_tensor *got);

static void differ(judge *j, const char *fmt, ...) GS_PRINTF(2, 3);
static void differ(judge *j, const char *fmt, ...)
{
    char line[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    j->v->differences++;
    gs_str_printf(&j->v->text, "%s: DIFF %s\n", j->g->name, line);
}

static void saw(judge *j, golden_figure figure, double value)
{
    if (!(j->v->worst[figure] >= value)) j->v->worst[figure] = value;
}

/* Relative difference; equal values, two NaN included, differ by 0 and a NaN on one side by infinity. */
static double relative(double want, double got)
{
    if (want == got || (isnan(want) && isnan(got))) return 0;
    const double d = fabs(got - want) / fmax(fabs(want), 1e-30);
    return isnan(d) ? INFINITY : d;
}

static float f32_at(const golden_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, t->data + 4 * i, sizeof v);
    return v;
}

/* deq_scale is float32, or the same 32 bits in the lower half of an int64. */
static float deq_at(const golden_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, t->data + (t->dtype == GS_I64 ? 8 : 4) * i, sizeof v);
    return v;
}

static int32_t i32_at(const golden_tensor *t, int64_t i)
{
    int32_t v;
    memcpy(&v, t->data + 4 * i, sizeof v);
    return v;
}

static void compare_codes(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    int64_t n = 0, at = -1;
    int worst = 0;
    for (int64_t i = 0; i < want->elements; i++) {
        const int w = ((const int8_t *)want->data)[i], a = ((const int8_t *)got->data)[i];
        const int d = a > w ? a - w : w - a;
        n += d != 0;
        if (d > worst) worst = d, at = i;
    }
    saw(j, FIGURE_CODE, worst);
    if (n > 0)
        differ(j, "%s: %lld of %lld codes differ, most (%d) at %lld", want->name, (long long)n,
               (long long)want->elements, worst, (long long)at);
}

static void compare_relative(judge *j, const golden_tensor *want, const golden_tensor *got, golden_figure figure,
                             double limit)
{
    double worst = 0;
    int64_t at = 0, over = 0;
    for (int64_t i = 0; i < want->elements; i++) {
        const double d = relative(f32_at(want, i), f32_at(got, i));
        over += d > limit;
        if (d > worst) worst = d, at = i;
    }
    saw(j, figure, worst);
    if (over > 0)
        differ(j, "%s: expected %.9g, got %.9g at %lld (relative difference %.3g, allowed %.3g; %lld elements over)",
               want->name, (double)f32_at(want, at), (double)f32_at(got, at), (long long)at, worst, limit,
               (long long)over);
}

static void compare_weight_scale(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_relative(j, want, got, FIGURE_WEIGHT_SCALE, WEIGHT_SCALE);
}
static void compare_weight_offset(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_relative(j, want, got, FIGURE_WEIGHT_OFFSET, 0);
}
static void compare_kv_scale(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_relative(j, want, got, FIGURE_KV_SCALE, KV_SCALE);
}
static void compare_kv_offset(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_relative(j, want, got, FIGURE_KV_OFFSET, 0);
}

static void compare_exact(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    if (want->dtype == GS_F32) compare_relative(j, want, got, FIGURE_FLOAT, INFINITY);
    if (memcmp(want->data, got->data, want->bytes) != 0) differ(j, "%s: bytes differ", want->name);
}

static void compare_deq(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    if (want->dtype != GS_I64) return;
    int64_t bad = 0;
    for (int64_t i = 0; i < got->elements; i++) bad += memcmp(got->data + 8 * i + 4, "\0\0\0\0", 4) != 0;
    if (bad > 0) differ(j, "%s: upper 32 bits are not zero in %lld elements", want->name, (long long)bad);
}

static void compare_nothing(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    (void)j, (void)want, (void)got;
}

/* By the last part of the name. */
static compare_fn *compare_for(const golden_tensor *t)
{
    static const struct {
        const char *part;
        compare_fn *compare;
    } parts[] = {
        {"weight_scale", compare_weight_scale},
        {"weight_offset", compare_weight_offset},
        {"kv_cache_scale", compare_kv_scale},
        {"kv_cache_offset", compare_kv_offset},
        {"deq_scale", compare_deq},
        {"quant_bias", compare_nothing}, /* with its layer */
        {"input_scale", compare_nothing},
        {"input_offset", compare_nothing}, /* with its layer */
    };
    const char *part = strrchr(t->name, '.');
    part = part != NULL ? part + 1 : t->name;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].part, part) == 0) return parts[i].compare;
    return t->dtype == GS_I8 ? compare_codes : compare_exact;
}

/* Range of a layer's input. A layer whose input passed no quantized layer (the first QKV) must agree tightly. */
static void judge_range(judge *j, const char *layer, const golden_set *want, const golden_set *got)
{
    const golden_tensor *ws = golden_find_part(want, layer, "input_scale"),
                        *as = golden_find_part(got, layer, "input_scale");
    const golden_tensor *wo = golden_find_part(want, layer, "input_offset"),
                        *ao = golden_find_part(got, layer, "input_offset");
    if (ws == NULL || as == NULL || wo == NULL || ao == NULL) return;
    const double scale = relative(f32_at(ws, 0), f32_at(as, 0));
    const double offset = fabs((double)f32_at(wo, 0) - (double)f32_at(ao, 0));
    saw(j, FIGURE_INPUT_SCALE, scale);
    saw(j, FIGURE_INPUT_OFFSET, offset);
    j->v->layers++;
    j->v->tight += scale < TIGHT;
    const bool first = strstr(layer, ".layers.0.") != NULL && strstr(layer, "query_key_value") != NULL;
    const double scale_limit = first ? TIGHT : j->search ? LOOSE_SEARCH : LOOSE_MEAN;
    const double offset_limit = first ? 0 : j->search ? LOOSE_SEARCH_OFFSET : LOOSE_MEAN_OFFSET;
    if (!(scale <= scale_limit && offset <= offset_limit))
        differ(j,
               "%s: input scale/offset expected %.9g/%g, got %.9g/%g (%.2e relative, allowed %g; offset off by %g, "
               "allowed %g)",
               layer, (double)f32_at(ws, 0), (double)f32_at(wo, 0), (double)f32_at(as, 0), (double)f32_at(ao, 0), scale,
               scale_limit, offset, offset_limit);
}

/* The tensors of one quantized linear, in one file. */
typedef struct linear {
    const golden_tensor *codes, *scale, *offset, *deq, *quant_bias, *bias, *weight_scale;
} linear;

static bool find_linear(linear *l, const golden_set *set, const char *layer)
{
    *l = (linear){
        .codes = golden_find_part(set, layer, "weight"),
        .scale = golden_find_part(set, layer, "input_scale"),
        .offset = golden_find_part(set, layer, "input_offset"),
        .deq = golden_find_part(set, layer, "deq_scale"),
        .quant_bias = golden_find_part(set, layer, "quant_bias"),
        .bias = golden_find_part(set, layer, "bias"),
        .weight_scale = golden_find_part(set, layer, "weight_scale"),
    };
    return l->codes != NULL && l->codes->dtype == GS_I8 && l->scale != NULL && l->offset != NULL && l->deq != NULL &&
           l->quant_bias != NULL && l->quant_bias->dtype == GS_I32;
}

/* round(bias / deq_scale - sum of the row's codes * offset), as float32 computes it */
static double own_bias(const linear *l, int64_t row, int64_t in)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < in; k++) sum += ((const int8_t *)l->codes->data)[row * in + k];
    const float from_bias =
        l->bias != NULL && l->bias->dtype == GS_F32 ? f32_at(l->bias, row) / deq_at(l->deq, row) : 0;
    const float from_codes = (float)sum * f32_at(l->offset, 0);
    return rintf(from_bias - from_codes);
}

static void judge_linear(judge *j, const char *layer, const golden_set *want_set, const golden_set *got_set)
{
    linear want, got;
    if (!find_linear(&want, want_set, layer) || !find_linear(&got, got_set, layer)) return;
    const int64_t out = got.quant_bias->elements, in = out > 0 ? got.codes->elements / out : 0;
    if (got.deq->elements != out || want.quant_bias->elements != out) return; /* shapes were reported */
    const double want_scale = f32_at(want.scale, 0), scale = f32_at(got.scale, 0);
    const bool same_range = f32_at(want.offset, 0) == f32_at(got.offset, 0) && relative(want_scale, scale) <= TIGHT;
    int bad_self = 0, bad_deq = 0, bad_product = 0, bad_bias = 0;
    for (int64_t i = 0; i < out; i++) {
        const double own = own_bias(&got, i, in), bias = i32_at(got.quant_bias, i),
                     golden_bias = i32_at(want.quant_bias, i);
        const double self = fabs(own - bias);
        saw(j, FIGURE_BIAS_SELF, self);
        bad_self += !(self <= BIAS_STEP + fmax(fabs(own), 1) * WEIGHT_SCALE);
        const double deq = relative(deq_at(want.deq, i) / want_scale, deq_at(got.deq, i) / scale);
        saw(j, FIGURE_DEQ, deq);
        bad_deq += !(deq <= 2 * WEIGHT_SCALE);
        if (got.weight_scale != NULL && got.weight_scale->elements == out)
            bad_product += !(relative((double)f32_at(got.weight_scale, i) * scale, deq_at(got.deq, i)) <= PRODUCT);
        if (!same_range) continue;
        saw(j, FIGURE_BIAS, fabs(bias - golden_bias));
        bad_bias += !(fabs(bias - golden_bias) <= BIAS_STEP + 2 * TIGHT * fabs(golden_bias));
    }
    if (bad_self > 0)
        differ(j, "%s.quant_bias: %d rows do not follow from the file's own bias, deq_scale, codes and offset", layer,
               bad_self);
    if (bad_deq > 0) differ(j, "%s.deq_scale: in %d rows deq_scale/input_scale is not the reference's", layer, bad_deq);
    if (bad_product > 0)
        differ(j, "%s.deq_scale: in %d rows not input_scale * weight_scale of the file", layer, bad_product);
    if (bad_bias > 0)
        differ(j, "%s.quant_bias: %d rows are not the reference's although the range is", layer, bad_bias);
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
            differ(j, "%s: %s is missing", want->name, want->tensors[i].name);
        else if (!same_form(&want->tensors[i], a))
            differ(j, "%s: %s has another type or shape", want->name, a->name);
    }
    for (int i = 0; i < got->count; i++)
        if (golden_find(want, got->tensors[i].name) == NULL)
            differ(j, "%s: %s is too much", want->name, got->tensors[i].name);
    if (j->v->differences == before) differ(j, "%s: the header's bytes differ (order or spelling)", want->name);
}

static gs_status judge_tensors(judge *j, golden_file *f, gs_error *err)
{
    GS_TRY(golden_load(j->g, &f->set, err));
    golden_set got = {.name = f->name};
    gs_error why = {0};
    if (golden_read_set(&got, j->g->arena, gs_arena_printf(j->g->arena, "%s/%s", j->out_dir, f->name), &why) != GS_OK) {
        differ(j, "%s", why.text);
        return GS_OK;
    }
    judge_header(j, &f->set, &got);
    for (int i = 0; i < f->set.count; i++) {
        const golden_tensor *want = &f->set.tensors[i], *a = golden_find(&got, want->name);
        if (a == NULL || !same_form(want, a)) continue;
        compare_for(want)(j, want, a);
        const char *part = strrchr(want->name, '.');
        if (part == NULL || strcmp(part, ".input_scale") != 0) continue;
        char *layer = gs_arena_strdup(j->g->arena, want->name);
        layer[part - want->name] = '\0';
        judge_range(j, layer, &f->set, &got);
        judge_linear(j, layer, &f->set, &got);
    }
    return GS_OK;
}

static gs_status judge_bytes(judge *j, const golden_file *f, gs_error *err)
{
    const char *want = NULL;
    size_t n = 0, m = 0, at = 0;
    GS_TRY(golden_bytes(j->g, f, &want, &n, err));
    char *got = NULL;
    gs_error why = {0};
    if (gs_file_read_all(gs_arena_printf(j->g->arena, "%s/%s", j->out_dir, f->name), 64u << 20, &got, &m, &why) !=
        GS_OK) {
        differ(j, "%s", why.text);
        return GS_OK;
    }
    int line = 1;
    while (at < n && at < m && want[at] == got[at]) line += want[at++] == '\n';
    if (at < n || at < m) {
        char a[64], b[64];
        differ(j, "%s: differs in line %d, expected '%s', got '%s'", f->name, line,
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
        differ(j, "the directory's mode is %04o instead of %04o", st.st_mode & 07777u, DIRECTORY_MODE);
    DIR *d = opendir(j->out_dir);
    if (d == NULL) return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        bool known = false;
        for (int i = 0; i < j->g->n_files; i++) known = known || strcmp(j->g->files[i].name, e->d_name) == 0;
        if (!known) differ(j, "file %s is too much", e->d_name);
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
        differ(&j, "no output directory %s", out_dir);
        return GS_OK;
    }
    judge_directory(&j);
    for (int i = 0; i < g->n_files; i++) {
        golden_file *f = &g->files[i];
        struct stat st;
        if (stat(gs_arena_printf(g->arena, "%s/%s", out_dir, f->name), &st) != 0) {
            differ(&j, "file %s is missing", f->name);
            continue;
        }
        if ((st.st_mode & 07777u) != f->mode)
            differ(&j, "%s: mode %04o instead of %04o", f->name, st.st_mode & 07777u, f->mode);
        if (strcmp(f->kind, "tensors") == 0)
            GS_TRY(judge_tensors(&j, f, err));
        else
            GS_TRY(judge_bytes(&j, f, err));
    }
    if (!j.search && v->layers > 0 && v->tight < TIGHT_SHARE * v->layers)
        differ(&j, "input_scale agrees to %g in only %d of %d layers", TIGHT, v->tight, v->layers);
    return GS_OK;
}

void golden_verdict_figures(const golden_verdict *v, gs_str *out)
{
    static const char *const names[FIGURE_COUNT] = {
        [FIGURE_CODE] = "code",
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
    };
    for (int i = 0; i < FIGURE_COUNT; i++) {
        if (v->worst[i] < 0) continue;
        gs_str_printf(out, "%s%s %.2g", out->len > 0 ? ", " : "", names[i], v->worst[i]);
        if (i == FIGURE_INPUT_SCALE) gs_str_printf(out, " (%d of %d layers below %g)", v->tight, v->layers, TIGHT);
    }
}
