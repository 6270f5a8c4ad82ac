/* AVX2 peak loops: twelve independent chains, operands in registers, as many as the kernels have.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

static double peak_f32(int64_t steps)
{
    __m256 x = _mm256_set1_ps(0.9999f), y = _mm256_set1_ps(0.5f), s[12];
    GS_UNROLL(12)
    for (int i = 0; i < 12; i++) s[i] = _mm256_set1_ps(1.0f + (float)i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(12)
        for (int i = 0; i < 12; i++) s[i] = _mm256_fmadd_ps(x, s[i], i % 2 ? y : x);
        /* the values stay below 10,000 and must be unknown to the compiler */
        __asm__ volatile("" : "+x"(x), "+x"(y));
    }
    GS_UNROLL(12)
    for (int i = 0; i < 12; i++) __asm__ volatile("" : : "x"(s[i]));
    return 12.0 * 8 * 2 * (double)steps;
}

static double peak_s8(int64_t steps)
{
    const __m256i x = _mm256_set1_epi16(77), y = _mm256_set1_epi16(-55);
    __m256i s[12], product;
    GS_UNROLL(12)
    for (int i = 0; i < 12; i++) s[i] = _mm256_set1_epi32(i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(12)
        for (int i = 0; i < 12; i++) /* assembly, or one product would do for all */
            __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(s[i]), "=&x"(product) : "x"(x), "x"(y));
    }
    GS_UNROLL(12)
    for (int i = 0; i < 12; i++) __asm__ volatile("" : : "x"(s[i]));
    return 12.0 * 16 * 2 * (double)steps;
}

void gs_peak_fill_avx2(gs_kernels *t)
{
    t->peak_f32 = peak_f32;
    t->peak_s8 = peak_s8;
    t->peak_bf16 = peak_f32; /* the pairs are multiplied one after the other */
}
#endif
