/* x^y as PyTorch's 8-lane kernels give it: the logarithm and its product with y as sums of two float32 (Dekker's arithmetic with
 * fused multiply-adds), then an exponential of degree 5. Orders and coefficients are those of the function of 1 ulp in Sleef
 * that they call (Shibata and Petrogalli 2019); it rounds one value in fifty to the other side.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "num/exp64.h"
#include "num/num.h"

/* The value hi + lo. */
typedef struct pair {
    float hi, lo;
} pair;

/* |a| >= |b| */
static pair join(float a, float b)
{
    const float s = a + b;
    return (pair){s, a - s + b};
}

static pair sum(float a, float b)
{
    const float s = a + b, v = s - a;
    return (pair){s, (a - (s - v)) + (b - v)};
}

/* |a| >= |b| */
static pair join_pairs(pair a, pair b)
{
    const float s = a.hi + b.hi;
    return (pair){s, a.hi - s + b.hi + a.lo + b.lo};
}

static pair sum_of_pairs(pair a, pair b)
{
    const pair s = sum(a.hi, b.hi);
    return (pair){s.hi, s.lo + (a.lo + b.lo)};
}

static pair add_float(pair a, float b)
{
    const pair s = sum(a.hi, b);
    return (pair){s.hi, s.lo + a.lo};
}

static pair times_float(pair a, float b)
{
    const float p = a.hi * b;
    return (pair){p, fmaf(a.lo, b, fmaf(a.hi, b, -p))};
}

static pair times(pair a, pair b)
{
    const float p = a.hi * b.hi;
    return (pair){p, fmaf(a.hi, b.lo, fmaf(a.lo, b.hi, fmaf(a.hi, b.hi, -p)))};
}

static pair square(pair a)
{
    const float p = a.hi * a.hi;
    return (pair){p, fmaf(a.hi + a.hi, a.lo, fmaf(a.hi, a.hi, -p))};
}

static pair quotient(pair a, pair b)
{
    const float t = 1.0f / b.hi, q = a.hi * t;
    const float rest = fmaf(-b.lo, t, fmaf(-b.hi, t, 1.0f));
    return (pair){q, fmaf(q, rest, fmaf(a.lo, t, fmaf(t, a.hi, -q)))};
}

/* x = m·2^e with m from 3/4 to 3/2; log m = 2 artanh((m - 1)/(m + 1)). x positive and normal. */
static pair log_of(float x)
{
    const int32_t e = (int32_t)(gs_f32_bits(x * (1.0f / 0.75f)) >> 23) - 127;
    const float m = gs_f32_from_bits(gs_f32_bits(x) - ((uint32_t)e << 23));
    const pair z = quotient(sum(-1.0f, m), sum(1.0f, m)), z2 = square(z);
    float t = 0.240320354700088500976562f;
    t = fmaf(t, z2.hi, 0.285112679004669189453125f);
    t = fmaf(t, z2.hi, 0.400007992982864379882812f);
    const pair c = {0.66666662693023681640625f, 3.69183861259614332084311e-09f};
    const pair whole = times_float((pair){0.69314718246459960938f, -1.904654323148236017e-09f}, (float)e);
    const pair twice = join_pairs(whole, (pair){2.0f * z.hi, 2.0f * z.lo});
    return join_pairs(twice, times(times(z2, z), sum_of_pairs(times_float(z2, t), c)));
}

static float exp_of(pair d)
{
    const float n = gs_rint((d.hi + d.lo) * 1.44269504088896340736f);
    pair s = add_float(d, n * -0.693145751953125f);
    s = add_float(s, n * -1.428606765330187045e-06f);
    s = join(s.hi, s.lo);
    float u = 0.00136324646882712841033936f;
    u = fmaf(u, s.hi, 0.00836596917361021041870117f);
    u = fmaf(u, s.hi, 0.0416710823774337768554688f);
    u = fmaf(u, s.hi, 0.166665524244308471679688f);
    u = fmaf(u, s.hi, 0.499999850988388061523438f);
    const pair t = join_pairs(s, times_float(square(s), u));
    const float one = 1.0f + t.hi;
    return (one + (1.0f - one + t.hi + t.lo)) * gs_f32_from_bits((uint32_t)((int32_t)n + 127) << 23);
}

float gs_reference_pow(float x, float y)
{
    if (y == 0.5f) return gs_reference_root(x);
    if (y == 1.0f) return x;
    if (!(x >= 0x1p-126f && x <= 0x1.fffffep126f)) return gs_pow(x, y);
    const pair t = times_float(log_of(x), y);
    return t.hi > -80.0f && t.hi < 80.0f ? exp_of(t) : gs_pow(x, y);
}

float gs_reference_pow_left(float x, double y) { return (float)gs_exp64_inline(y * gs_log64((double)x)); }
