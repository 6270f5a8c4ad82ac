/* Plain C peak loops: what the plain C kernels could reach at best with the fmaf and the int32 sums of this build.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/table.h"

static double peak_f32(int64_t steps)
{
    volatile float seed = 0.9999f;
    const float x = seed, y = 1.0f - seed;
    float s[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int64_t step = 0; step < steps; step++)
        for (int i = 0; i < 8; i++) s[i] = fmaf(x, s[i], y);
    for (int i = 0; i < 8; i++) seed = s[i];
    return 8.0 * 2 * (double)steps;
}

static double peak_s8(int64_t steps)
{
    enum { N = 64 };
    int8_t x[N], y[N];
    for (int i = 0; i < N; i++) {
        x[i] = (int8_t)(i - 32);
        y[i] = (int8_t)(3 * i - 90);
    }
    volatile uint32_t sink = 0;
    uint32_t sum = 0;
    for (int64_t step = 0; step < steps; step++) {
        __asm__ volatile("" : : "r"(x), "r"(y) : "memory");
        for (int i = 0; i < N; i++) sum += (uint32_t)(x[i] * y[i]);
    }
    sink = sum;
    (void)sink;
    return N * 2.0 * (double)steps;
}

void gs_peak_fill_c(gs_kernels *t)
{
    t->peak_f32 = peak_f32;
    t->peak_s8 = peak_s8;
    t->peak_bf16 = peak_f32; /* the pairs are multiplied one after the other */
}
