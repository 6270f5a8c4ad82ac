/* NEON peak loops: 24 independent chains, operands in registers, as many as the kernels have. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__aarch64__)
#include <arm_neon.h>

enum { CHAINS = 24 };

static double peak_f32(int64_t steps)
{
    float32x4_t x = vdupq_n_f32(0.9999f), y = vdupq_n_f32(1.0001f), s[CHAINS];
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) s[i] = vdupq_n_f32(1.0f + (float)i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < CHAINS; i++) s[i] = vfmaq_f32(s[i], x, y);
        /* unknown to the compiler */
        __asm__ volatile("" : "+w"(x), "+w"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(s[i]));
    return CHAINS * 4.0 * 2 * (double)steps;
}

static double peak_s8(int64_t steps)
{
    int16x8_t x = vdupq_n_s16(77), y = vdupq_n_s16(-55);
    int32x4_t s[CHAINS];
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) s[i] = vdupq_n_s32(i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < CHAINS; i++) /* assembly, or one product would do for all */
            __asm__ volatile("smlal %0.4s, %1.4h, %2.4h" : "+w"(s[i]) : "w"(x), "w"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(s[i]));
    return CHAINS * 4.0 * 2 * (double)steps;
}

void gs_peak_fill_neon(gs_kernels *t)
{
    t->peak_f32 = peak_f32;
    t->peak_s8 = peak_s8;
}
#endif
