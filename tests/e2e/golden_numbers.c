/* Comparing one tensor with the reference's, by the last part of its name. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "golden_judge.h"

#define KV_SCALE   5e-5 /* the float forward pass alone */
#define SCALE_BIAS 1e-5 /* products of rounded scales */

typedef void compare_fn(judge *j, const golden_tensor *want, const golden_tensor *got);

double judge_relative(double want, double got)
{
    if (want == got || (isnan(want) && isnan(got))) return 0;
    const double d = fabs(got - want) / fmax(fabs(want), 1e-30);
    return isnan(d) ? INFINITY : d;
}

double judge_at(const golden_tensor *t, int64_t i)
{
    const unsigned char *at = t->data + (int64_t)gs_dtype_bytes(t->dtype) * i;
    float f;
    int64_t l;
    int32_t n;
    switch (t->dtype) {
    case GS_F32:
        memcpy(&f, at, sizeof f);
        return f;
    case GS_I64:
        memcpy(&l, at, sizeof l);
        return (double)l;
    case GS_I32:
        memcpy(&n, at, sizeof n);
        return n;
    case GS_I8:
        return (int8_t)*at;
    default:
        return NAN; /* no such tensor where numbers are compared */
    }
}

float judge_deq(const golden_tensor *t, int64_t row)
{
    float v;
    const int64_t i = t->elements == 1 ? 0 : row;
    memcpy(&v, t->data + (t->dtype == GS_I64 ? 8 : 4) * i, sizeof v);
    return v;
}

bool judge_is_packed(const judge *j, const golden_tensor *t)
{
    const gs_tensor *m = gs_checkpoint_find(&j->g->checkpoint, t->name);
    return t->dtype == GS_I8 && m != NULL && m->elements == 2 * t->elements;
}

int judge_code(const golden_tensor *t, int64_t i, bool packed)
{
    if (!packed) return (int8_t)t->data[i];
    const int half = t->data[i / 2] >> (i % 2 * 4) & 15;
    return half > 7 ? half - 16 : half;
}

static void compare_codes(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    const golden_bounds *b = golden_bounds_of(j->g, want->name);
    const bool packed = judge_is_packed(j, want);
    const int64_t codes = packed ? 2 * want->elements : want->elements;
    int64_t n = 0, at = -1;
    int worst = 0;
    for (int64_t i = 0; i < codes; i++) {
        const int w = judge_code(want, i, packed), a = judge_code(got, i, packed);
        const int d = a > w ? a - w : w - a;
        n += d != 0;
        if (d > worst) worst = d, at = i;
    }
    judge_saw(j, FIGURE_CODE, worst);
    judge_saw(j, FIGURE_CODE_SHARE, (double)n / (double)codes);
    if (worst > b->code_step || (double)n > b->code_share * (double)codes)
        judge_differ(j, "%s: %lld of %lld codes differ, most (%d) at %lld", want->name, (long long)n, (long long)codes,
                     worst, (long long)at);
}

/* Every element must be near by the relative measure or by the absolute one. */
static void compare_near(judge *j, const golden_tensor *want, const golden_tensor *got, golden_figure figure,
                         double limit, double absolute)
{
    double worst = 0;
    int64_t at = 0, over = 0;
    for (int64_t i = 0; i < want->elements; i++) {
        const double w = judge_at(want, i), a = judge_at(got, i);
        const double d = fabs(a - w) <= absolute ? 0 : judge_relative(w, a);
        over += d > limit;
        if (d > worst) worst = d, at = i;
    }
    judge_saw(j, figure, worst);
    if (over > 0)
        judge_differ(j,
                     "%s: expected %.9g, got %.9g at %lld (relative difference %.3g, allowed %.3g; %lld elements over)",
                     want->name, judge_at(want, at), judge_at(got, at), (long long)at, worst, limit, (long long)over);
}

static void compare_weight_scale(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_near(j, want, got, FIGURE_WEIGHT_SCALE, golden_bounds_of(j->g, want->name)->weight_scale, 0);
}

static void compare_weight_offset(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_near(j, want, got, FIGURE_WEIGHT_OFFSET, 0, golden_bounds_of(j->g, want->name)->weight_offset);
}

static void compare_kv_scale(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_near(j, want, got, FIGURE_KV_SCALE, KV_SCALE, 0);
}

static void compare_kv_offset(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    compare_near(j, want, got, FIGURE_KV_OFFSET, 0, 0);
}

static void compare_scale_bias(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    const golden_bounds *b = golden_bounds_of(j->g, want->name);
    compare_near(j, want, got, FIGURE_FLOAT, fmax(b->float_relative, SCALE_BIAS), 0);
}

static void compare_rest(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    const golden_bounds *b = golden_bounds_of(j->g, want->name);
    double largest = 0;
    if (b->float_relative > 0 && want->dtype == GS_F32) {
        for (int64_t i = 0; i < want->elements; i++) largest = fmax(largest, fabs(judge_at(want, i)));
        compare_near(j, want, got, FIGURE_FLOAT, b->float_relative,
                     fmax(b->float_absolute, largest * b->float_of_largest));
        return;
    }
    if (want->dtype == GS_F32) judge_saw(j, FIGURE_FLOAT, 0);
    if (memcmp(want->data, got->data, want->bytes) != 0) judge_differ(j, "%s: bytes differ", want->name);
}

static void compare_deq(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    if (want->dtype != GS_I64) return;
    int64_t bad = 0;
    for (int64_t i = 0; i < got->elements; i++) bad += memcmp(got->data + 8 * i + 4, "\0\0\0\0", 4) != 0;
    if (bad > 0) judge_differ(j, "%s: upper 32 bits are not zero in %lld elements", want->name, (long long)bad);
}

static void compare_with_layer(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    (void)j, (void)want, (void)got;
}

void judge_tensor(judge *j, const golden_tensor *want, const golden_tensor *got)
{
    static const struct {
        const char *part;
        compare_fn *compare;
    } parts[] = {
        {"weight_scale", compare_weight_scale},   {"weight_scale_second", compare_weight_scale},
        {"weight_offset", compare_weight_offset}, {"weight_offset_second", compare_weight_offset},
        {"kv_cache_scale", compare_kv_scale},     {"kv_cache_offset", compare_kv_offset},
        {"scale_bias", compare_scale_bias},       {"deq_scale", compare_deq},
        {"quant_bias", compare_with_layer},       {"input_scale", compare_with_layer},
        {"input_offset", compare_with_layer},
    };
    const char *part = strrchr(want->name, '.');
    part = part != NULL ? part + 1 : want->name;
    compare_fn *compare = want->dtype == GS_I8 && strcmp(part, "weight") == 0 ? compare_codes : compare_rest;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].part, part) == 0) compare = parts[i].compare;
    compare(j, want, got);
}
