/* Peak loop of the dot-product extension. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

static double peak_s8(int64_t steps)
{
    const __m512i x = _mm512_set1_epi8(77), y = _mm512_set1_epi8(-55);
    __m512i s[24];
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_epi32(i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < 24; i++) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(s[i]) : "v"(x), "v"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 64 * 2 * (double)steps;
}

void gs_peak_fill_vnni(gs_kernels *t) { t->peak_s8 = peak_s8; }
#endif
