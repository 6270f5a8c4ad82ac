/* AVX-512 peak loops; the code path without the dot-product extension multiplies int16 pairs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>

static double peak_f32(int64_t steps)
{
    __m512 x = _mm512_set1_ps(0.9999f), y = _mm512_set1_ps(1.0001f), s[24];
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_ps(1.0f + (float)i);
    for (int64_t step = 0; step < steps; step++) {
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) s[i] = _mm512_fmadd_ps(i % 2 ? x : y, s[i], i % 2 ? y : x);
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 16 * 2 * (double)steps;
}

static double peak_s8(int64_t steps)
{
    __m512i x = _mm512_set1_epi16(77), y = _mm512_set1_epi16(-55), s[24];
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_epi32(i);
    for (int64_t step = 0; step < steps; step++) {
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            s[i] = _mm512_add_epi32(s[i], _mm512_madd_epi16(x, y));
            __asm__ volatile("" : "+v"(x));
        }
    }
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 32 * 2 * (double)steps;
}

void gs_peak_fill_avx512(gs_kernels *t)
{
    t->peak_f32 = peak_f32;
    t->peak_s8 = peak_s8;
}
#endif
