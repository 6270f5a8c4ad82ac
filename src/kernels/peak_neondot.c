/* Peak loop of the dot-product extension. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

static double peak_s8(int64_t steps)
{
    enum { CHAINS = 24 };
    const int8x16_t x = vdupq_n_s8(77), y = vdupq_n_s8(-55);
    int32x4_t s[CHAINS];
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) s[i] = vdupq_n_s32(i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < CHAINS; i++) __asm__ volatile("sdot %0.4s, %1.16b, %2.16b" : "+w"(s[i]) : "w"(x), "w"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(s[i]));
    return CHAINS * 16.0 * 2 * (double)steps;
}

void gs_peak_fill_neondot(gs_kernels *t) { t->peak_s8 = peak_s8; }
#endif
