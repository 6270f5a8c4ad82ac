/* Peak loop of bf16 pairs. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

static double peak_bf16(int64_t steps)
{
    const __m512i x = _mm512_set1_epi16(0x3f7f), y = _mm512_set1_epi16(0x3e80);
    __m512 s[24];
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) s[i] = _mm512_set1_ps(1.0f + (float)i);
    for (int64_t step = 0; step < steps; step++) {
        GS_UNROLL(24)
        for (int i = 0; i < 24; i++) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(s[i]) : "v"(x), "v"(y));
    }
    GS_UNROLL(24)
    for (int i = 0; i < 24; i++) __asm__ volatile("" : : "v"(s[i]));
    return 24.0 * 32 * 2 * (double)steps;
}

void gs_peak_fill_bf16(gs_kernels *t) { t->peak_bf16 = peak_bf16; }
#endif
