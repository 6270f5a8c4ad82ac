/* Elementary functions in float32. sin, cos and pow are computed in double and rounded once: pow, and sin and cos beyond
 * 10000, with errors far below float32's half step; nearer sin and cos to a tenth of a step, on purpose (sin_near). Their
 * accuracy rests on short series whose remainders are stated here, not on tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "num/expf.h"
#include "num/num.h"

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

static const double round_magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */

static double f64_from_bits(uint64_t u)
{
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static uint64_t f64_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

static float quiet_nan(void) { return gs_f32_from_bits(0x7FC00000u); }

float gs_exp(float x) { return gs_exp_inline(x); }

/* 0 <= x <= 1e7: x - k pi/2 with pi/2 in three parts, the first two of 30 bits at most, so that k times them is exact
 * for k < 2^23. No float32 up to 1e7 comes nearer to a multiple of pi/2 than 2^-28, so r is good to 2^-50 of itself. */
static int reduce_small(double x, double *r)
{
    const double k = (x * 0x1.45f306dc9c883p-1 + round_magic) - round_magic;
    *r = ((x - k * 0x1.921fb54000000p+0) - k * 0x1.10b4611800000p-30) - k * 0x1.313198a2e0370p-61;
    return (int)((int64_t)k & 3);
}

/* Any finite x >= 2^23, x = m 2^e: the fraction of a turn, x / 2 pi mod 1, from the 128 bits of 1 / 2 pi that begin at
 * bit e (those before it give whole turns). Payne and Hanek's method; the error is below 2^-103 of a turn. */
static int reduce_large(float x, double *r)
{
    static const uint64_t inverse_turn[4] = {0x28be60db9391054a, 0x7f09d5f47d4d3770, 0x36d8a5664f10e410,
                                             0x7f9458eaf7aef158};
    const uint32_t u = gs_f32_bits(x);
    const uint32_t m = (u & 0x7FFFFFu) | 0x800000u;
    const unsigned e = (u >> 23) - 150, word = e / 64, shift = e % 64;
    u128 window = (u128)inverse_turn[word] << 64 | inverse_turn[word + 1];
    if (shift) window = window << shift | inverse_turn[word + 2] >> (64 - shift);
    const u128 turn = window * m; /* modulo 1 by overflow */
    const u128 quarter = (u128)1 << 126;
    const unsigned k = (unsigned)((turn + quarter / 2) >> 126) & 3;
    const s128 rest = (s128)(turn - k * quarter);
    *r = (double)rest * 0x1p-126 * 0x1.921fb54442d18p+0;
    return (int)k;
}

/* Taylor to r^15; for |r| <= pi/4 the rest is below 5e-17. */
static double sin_series(double r)
{
    const double s = r * r;
    double p = -1.0 / 1307674368000.0;
    p = p * s + 1.0 / 6227020800.0;
    p = p * s - 1.0 / 39916800.0;
    p = p * s + 1.0 / 362880.0;
    p = p * s - 1.0 / 5040.0;
    p = p * s + 1.0 / 120.0;
    p = p * s - 1.0 / 6.0;
    return r + r * s * p;
}

/* Taylor to r^16; the rest is below 3e-18. */
static double cos_series(double r)
{
    const double s = r * r;
    double p = 1.0 / 20922789888000.0;
    p = p * s - 1.0 / 87178291200.0;
    p = p * s + 1.0 / 479001600.0;
    p = p * s - 1.0 / 3628800.0;
    p = p * s + 1.0 / 40320.0;
    p = p * s - 1.0 / 720.0;
    p = p * s + 1.0 / 24.0;
    p = p * s - 0.5;
    return 1.0 + s * p;
}

/* For |r| <= pi/2: the odd polynomial of degree 9 that begins with r and has the least largest relative error (Remez; 6.05e-9,
 * a tenth of float32's step). */
static double short_sine(double r)
{
    const double s = r * r;
    double p = 0x1.5dbdf0e314bfep-19;
    p = p * s - 0x1.9f6ffeea56814p-13;
    p = p * s + 0x1.110ed3804c2a0p-7;
    p = p * s - 0x1.55554bc83656dp-3;
    return r + r * s * p;
}

/* sin(x + shift pi), 0 <= x <= 10000, shift 0 or 1/2. n - shift times the upper part of pi is exact. Up to this bound the math
 * library below PyTorch (Intel's vector one) rounds the same values once, so rotary tables come out as the reference's, bit
 * for bit but for a few in a million; a correctly rounded table differs in one value of twenty. */
static double sin_near(double x, double shift)
{
    const double n = (x * 0x1.45f306dc9c883p-2 + shift + round_magic) - round_magic, turns = n - shift;
    const double y = short_sine((x - turns * 0x1.921fb54p+1) - turns * 0x1.10b4611a62633p-29);
    return (int64_t)n & 1 ? -y : y;
}

static const float near_bound = 10000.0f;

/* sin(|x| + quarters pi/2), quarters 0 or 1 */
static double sin_of(float x, int quarters)
{
    const float a = gs_f32_from_bits(gs_f32_bits(x) & 0x7FFFFFFFu);
    if (a <= near_bound) return sin_near(a, 0.5 * quarters);
    double r;
    const int k = (a <= 1e7f ? reduce_small(a, &r) : reduce_large(a, &r)) + quarters;
    const double y = k & 1 ? cos_series(r) : sin_series(r);
    return k & 2 ? -y : y;
}

static bool is_finite(float x) { return (gs_f32_bits(x) & 0x7F800000u) != 0x7F800000u; }

float gs_sin(float x)
{
    if (!is_finite(x)) return quiet_nan();
    if (x == 0.0f) return x; /* keeps -0 */
    const double y = sin_of(x, 0);
    return (float)(x < 0 ? -y : y);
}

float gs_cos(float x) { return is_finite(x) ? (float)sin_of(x, 1) : quiet_nan(); }

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)]; log m = 2 artanh((m-1)/(m+1)), the
 * series to the 23rd power of an argument below 0.1716: the rest is below 1e-19. */
double gs_log64(double x)
{
    const uint64_t u = f64_bits(x);
    /* Counting the exponent from sqrt(1/2) instead of 1 puts m into that range. */
    const uint64_t root_half = 0x3FE6A09E667F3BCD;
    const int64_t e = ((int64_t)(u - root_half)) >> 52;
    const double m = f64_from_bits(u - ((uint64_t)e << 52));
    const double t = (m - 1.0) / (m + 1.0), s = t * t;
    double p = 0.0;
    for (int i = 23; i >= 3; i -= 2) p = (p + 1.0 / i) * s;
    const double log_m = 2.0 * t + 2.0 * t * p;
    return (double)e * 0x1.62e42feep-1 + ((double)e * 0x1.a39ef35793c76p-33 + log_m);
}

/* |x| <= 200. Taylor to the 13th power of |r| <= 0.3466: the rest is below 5e-18. */
static double exp_f64(double x)
{
    const double k = (x * 0x1.71547652b82fep+0 + round_magic) - round_magic;
    const double r = (x - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0;
    for (int i = 13; i >= 1; i--) p = 1.0 + p * r / i;
    return p * f64_from_bits((uint64_t)((int64_t)k + 1023) << 52);
}

float gs_exp_nearest(float x)
{
    if (x != x) return x;
    return (float)exp_f64(x > 200.0f ? 200.0 : x < -200.0f ? -200.0 : (double)x);
}

float gs_pow(float x, float y)
{
    if (x == 1.0f || y == 0.0f) return 1.0f;
    if (x != x || y != y || x < 0.0f) return quiet_nan();
    const float infinite = gs_f32_from_bits(0x7F800000u);
    if (x == 0.0f || x == infinite) return (x == 0.0f) == (y > 0.0f) ? 0.0f : infinite;
    const double wanted = (double)y * gs_log64((double)x);
    /* Past these bounds the result is 0 or Inf already. */
    const double t = wanted > 120.0 ? 120.0 : wanted < -120.0 ? -120.0 : wanted;
    return (float)exp_f64(t);
}
