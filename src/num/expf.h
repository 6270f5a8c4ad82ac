/* e^x in float32, written so that a compiler can turn a loop over it into vector code of any width and every version
 * gives the same bits: no branches, no fused multiply-add, no tables; only +, -, *, comparisons and integer operations,
 * each of which IEEE 754 defines exactly. Needs -ffp-contract=off and the default rounding.
 *
 * Method: x = n ln 2 + r with n an integer and |r| <= ln 2 / 2 (ln 2 split in two, the first part short enough that n
 * times it is exact); e^r = 1 + r + r^2 q(r), q of degree 5 with the least largest relative error (Remez; 5.4e-11); the
 * power of two is applied in two factors, so that results below 2^-126 are rounded once.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_EXPF_H
#define GS_NUM_EXPF_H

#include "num/num.h"

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

    const float r_high = c - fn * 0x1.63p-1f; /* exact */
    const float r_low = fn * -0x1.bd0106p-13f;
    const float r = r_high - r_low;
    float q = 0x1.9f06ccp-13f;
    q = q * r + 0x1.6d8f2ap-10f;
    q = q * r + 0x1.111274p-7f;
    q = q * r + 0x1.55548cp-5f;
    q = q * r + 0x1.555554p-3f;
    q = q * r + 0.5f;
    const float p = 1.0f + (r_high + (r * r * q - r_low));

    const int32_t half = n >> 1;
    const float scale_a = gs_f32_from_bits((uint32_t)(half + 127) << 23);
    const float scale_b = gs_f32_from_bits((uint32_t)(n - half + 127) << 23);
    const float y = p * scale_a * scale_b;
    return gs_f32_from_bits(gs_select(a > 0x7F800000, u, gs_f32_bits(y)));
}

#endif
