/* Rows of one float type into another, and the search for NaN and Inf. The loops have no branches and no calls, so that
 * the compiler makes vector code of them. SPDX-License-Identifier: Apache-2.0 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* -O2 does not turn these loops into vector code */
#endif
#include "num/num.h"

#include <assert.h>

static uint16_t load_u16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void bf16_to_f32(const unsigned char *restrict src, float *restrict dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = gs_bf16_to_f32(load_u16(src + 2 * i));
}

static void f16_to_f32(const unsigned char *restrict src, float *restrict dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = gs_f16_to_f32(load_u16(src + 2 * i));
}

void gs_to_f32(gs_dtype src_type, const void *src, float *dst, int64_t n)
{
    assert(gs_dtype_is_float(src_type));
    if (n <= 0) return;
    if (src_type == GS_BF16)
        bf16_to_f32(src, dst, n);
    else if (src_type == GS_F16)
        f16_to_f32(src, dst, n);
    else
        memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void f32_to_bf16(const float *restrict src, unsigned char *restrict dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t v = gs_f32_to_bf16(src[i]);
        memcpy(dst + 2 * i, &v, sizeof v);
    }
}

static void f32_to_f16(const float *restrict src, unsigned char *restrict dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t v = gs_f32_to_f16(src[i]);
        memcpy(dst + 2 * i, &v, sizeof v);
    }
}

void gs_from_f32(gs_dtype dst_type, const float *src, void *dst, int64_t n)
{
    assert(gs_dtype_is_float(dst_type));
    if (n <= 0) return;
    if (dst_type == GS_BF16)
        f32_to_bf16(src, dst, n);
    else if (dst_type == GS_F16)
        f32_to_f16(src, dst, n);
    else
        memcpy(dst, src, (size_t)n * sizeof *src);
}

/* An exponent of all ones is NaN or Inf. */
static int count_u16(const unsigned char *p, int n, uint16_t exponent)
{
    int found = 0;
    for (int i = 0; i < n; i++) {
        const int16_t masked = (int16_t)(load_u16(p + 2 * i) & exponent);
        found += masked == (int16_t)exponent;
    }
    return found;
}

static int count_u32(const unsigned char *p, int n)
{
    int found = 0;
    for (int i = 0; i < n; i++) {
        uint32_t v;
        memcpy(&v, p + 4 * i, sizeof v);
        found += (v & 0x7F800000u) == 0x7F800000u;
    }
    return found;
}

static int count_values(gs_dtype type, const unsigned char *p, int n)
{
    if (type == GS_F32) return count_u32(p, n);
    return count_u16(p, n, type == GS_BF16 ? 0x7F80 : 0x7C00);
}

int64_t gs_count_nonfinite(gs_dtype src_type, const void *src, int64_t n, int64_t *first)
{
    enum { CHUNK = 4096 };
    assert(gs_dtype_is_float(src_type));
    const size_t bytes = gs_dtype_bytes(src_type);
    int64_t found = 0;
    for (int64_t at = 0; at < n; at += CHUNK) {
        const unsigned char *p = (const unsigned char *)src + (size_t)at * bytes;
        const int len = n - at < CHUNK ? (int)(n - at) : CHUNK;
        const int here = count_values(src_type, p, len);
        if (here && found == 0 && first) {
            int i = 0;
            while (count_values(src_type, p + (size_t)i * bytes, 1) == 0) i++;
            *first = at + i;
        }
        found += here;
    }
    return found;
}
