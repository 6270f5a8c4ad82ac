/* e^x in double, for sums of many exponentials. Written like expf.h, so that a loop over it becomes vector code with the same
 * bits: only +, -, *, comparisons and integer operations. Needs -ffp-contract=off and the default rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_EXP64_H
#define GS_NUM_EXP64_H

#include "num/num.h"

/* Within 2 ulp on [-700, 700]; e^-700 below and e^700 above. NaN gives e^-700. x = k ln 2 + r, |r| <= ln 2 / 2; Taylor to the 13th
 * power, whose rest is below 5e-18. */
static inline double gs_exp64_inline(double x)
{
    const double low = x > -700.0 ? x : -700.0, c = low < 700.0 ? low : 700.0;
    const double magic =
        6755399441055744.0; /* 1.5 · 2^52: adding it rounds to an integer and leaves it in the low bits */
    const double shifted = c * 0x1.71547652b82fep+0 + magic, k = shifted - magic;
    const double r = (c - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (bits + 1023) << 52; /* the low bits of shifted are k; what is above leaves at the top */
    double power;
    memcpy(&power, &bits, 8);
    return p * power;
}

#endif
