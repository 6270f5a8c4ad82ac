/* e^x in float32, twice: the exact one, and the weight of softmax. Both are written so that a compiler can turn a loop over
 * them into vector code of any width and every version gives the same bits: no branches, no tables; only +, -, *, the fused
 * multiply-add (asked for by name; exact everywhere, fast where the processor has it), comparisons and integer operations.
 * Needs -ffp-contract=off and the default rounding. NaN stays NaN.
 *
 * Orders, constants and degrees are those of the 8-lane functions behind PyTorch 2.4 on a CPU (Sleef's exp of 1 ulp for silu; a
 * shorter one inside attention), because a calibration that is to agree with it in every code needs its bits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_EXPF_H
#define GS_NUM_EXPF_H

#include <math.h>

#include "num/num.h"

/* x = n ln 2 + r, |r| <= ln 2 / 2 (ln 2 in two parts); e^r = 1 + (r + r^2 q(r)) with q of degree 5; the power of two is applied
 * in two factors, so that results below 2^-126 are rounded once. */
static inline float gs_exp_inline(float x)
{
    /* Past ±104 the result is Inf or 0 already. NaN is clamped too, and put back at the end. */
    const uint32_t u = gs_f32_bits(x), bound = 0x42D00000u;
    const int32_t a = (int32_t)(u & 0x7FFFFFFFu);
    const float c = gs_f32_from_bits((u & 0x80000000u) | gs_select(a > (int32_t)bound, bound, (uint32_t)a));

    /* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
    const float magic = 12582912.0f;
    const float shifted = c * 0x1.715476p+0f + magic;
    const int32_t n = (int32_t)(gs_f32_bits(shifted) - gs_f32_bits(magic));
    const float fn = shifted - magic;

    const float r = fmaf(fn, -1.428606765330187045e-06f, fmaf(fn, -0.693145751953125f, c));
    float q = 0.000198527617612853646278381f;
    q = fmaf(q, r, 0.00139304355252534151077271f);
    q = fmaf(q, r, 0.00833336077630519866943359f);
    q = fmaf(q, r, 0.0416664853692054748535156f);
    q = fmaf(q, r, 0.166666671633720397949219f);
    q = fmaf(q, r, 0.5f);
    const float p = 1.0f + fmaf(r * r, q, r);

    const int32_t half = n >> 1;
    const float scale_a = gs_f32_from_bits((uint32_t)(half + 127) << 23);
    const float scale_b = gs_f32_from_bits((uint32_t)(n - half + 127) << 23);
    const float y = p * scale_a * scale_b;
    return gs_f32_from_bits(gs_select(a > 0x7F800000, u, gs_f32_bits(y)));
}

/* For x <= 0: one polynomial of degree 5 after n = floor(x / ln 2 + 1/2). Within 3 ulp; 0 below -86.99, where n <= -126. */
static inline float gs_exp_weight_inline(float x)
{
    const float least = -0x1.5d58ap+6f; /* ln of the least normal number */
    const uint32_t low = 0u - (uint32_t)(x < least);
    const float c = gs_f32_from_bits((gs_f32_bits(least) & low) | (gs_f32_bits(x) & ~low));

    const float magic = 12582912.0f;
    const float t = fmaf(c, 0x1.715476p+0f, 0.5f);
    const float shifted = t + magic;
    const float rounded = shifted - magic;
    const uint32_t above = (uint32_t)(rounded > t); /* rounded up: floor is one less */
    const float fn = rounded - (float)(int32_t)above;
    const uint32_t n = gs_f32_bits(shifted) - gs_f32_bits(magic) - above;

    const float r = fmaf(-fn, 0x1.62e43p-1f, c);
    float p = fmaf(r, 0.00828929059f, 0.0418978221f);
    p = fmaf(r, p, 0.166676521f);
    p = fmaf(r, p, 0.499991506f);
    p = fmaf(r, p, 0.999999701f);
    p = fmaf(r, p, 1.0f);
    const float y = p * gs_f32_from_bits((n + 126u) << 23) * 2.0f;
    return gs_f32_from_bits(gs_f32_bits(y) & ~low);
}

#endif
