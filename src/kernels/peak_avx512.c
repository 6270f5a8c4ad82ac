/* AVX-512 peak loops; the code path without the dot-product extension multiplies int16 pairs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>

static double peak_f32(int64_t steps)
{
    __m512 x = _mm512_set1_ps(0.9999f), y = _mm512_set1_ps(0.5f), s[24];
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_ps(1.0f + (float)i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < 24; i++) s[i] = _mm512_fmadd_ps(x, s[i], i % 2 ? y : x);
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 16 * 2 * (double)steps;
}

static double peak_s8(int64_t steps)
{
    const __m512i x = _mm512_set1_epi16(77), y = _mm512_set1_epi16(-55);
    __m512i s[24], product;
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_epi32(i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < 24; i++) /* assembly, or one product would do for all */
            __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(s[i]), "=&v"(product) : "v"(x), "v"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 32 * 2 * (double)steps;
}

void gs_peak_fill_avx512(gs_kernels *t)
{
    t->peak_f32 = peak_f32;
    t->peak_s8 = peak_s8;
    t->peak_bf16 = peak_f32; /* the pairs are multiplied one after the other */
}
#endif
