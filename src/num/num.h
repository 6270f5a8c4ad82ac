/* Scalar conversions, rounding and elementary functions whose bits never depend on libm, compiler or instruction set.
 * Built with -ffp-contract=off. The plain C here is the reference for every vector kernel.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_NUM_H
#define GS_NUM_NUM_H

#include <stdint.h>
#include <string.h>

#include "num/dtype.h"

#define GS_EPS 1.1920928955078125e-07f /* 2^-23, the least scale */

static inline uint32_t gs_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float gs_f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline float gs_bf16_to_f32(uint16_t b) { return gs_f32_from_bits((uint32_t)b << 16); }

/* a where condition is true, else b, without a branch: the compiler may not execute both sides of a ?: that holds float
 * arithmetic, and then cannot turn the loop around it into vector code. */
static inline uint32_t gs_select(bool condition, uint32_t a, uint32_t b)
{
    const uint32_t mask = 0u - (uint32_t)condition;
    return (a & mask) | (b & ~mask);
}

/* Round to nearest even; NaN stays NaN (quiet). */
static inline uint16_t gs_f32_to_bf16(float f)
{
    const uint32_t u = gs_f32_bits(f);
    const uint32_t rounded = (u + 0x7FFFu + (u >> 16 & 1)) >> 16;
    return (uint16_t)gs_select((int32_t)(u & 0x7FFFFFFFu) > 0x7F800000, u >> 16 | 0x40u, rounded);
}

/* Exact; a NaN comes out quiet, as the processor's own conversion does. */
static inline float gs_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const int32_t code = h & 0x7FFF;
    const uint32_t shifted = (uint32_t)code << 13;
    const uint32_t normal = shifted + (112u << 23);
    /* With exponent 113 and an implied one, less that one: the subnormal's value, normalised by the subtraction. */
    const uint32_t tiny = gs_f32_bits(gs_f32_from_bits(shifted + (113u << 23)) - gs_f32_from_bits(113u << 23));
    const uint32_t special = shifted | 0x7F800000u | gs_select(code > 0x7C00, 0x400000u, 0u);
    const uint32_t finite = gs_select(code < 0x0400, tiny, normal);
    return gs_f32_from_bits(sign | gs_select(code >= 0x7C00, special, finite));
}

/* Round to nearest even, overflow to Inf; a NaN keeps its upper bits and comes out quiet. */
static inline uint16_t gs_f32_to_f16(float f)
{
    const uint32_t u = gs_f32_bits(f);
    const int32_t a = (int32_t)(u & 0x7FFFFFFFu);
    const uint32_t normal = ((uint32_t)a - (112u << 23) + 0xFFFu + ((uint32_t)a >> 13 & 1)) >> 13;
    /* The step of numbers in [0.5, 1) is that of the subnormals: the addition rounds. */
    const uint32_t tiny = gs_f32_bits(gs_f32_from_bits((uint32_t)a) + 0.5f) - 0x3F000000u;
    const uint32_t special = gs_select(a > 0x7F800000, 0x7E00u | ((uint32_t)a >> 13 & 0x3FFu), 0x7C00u);
    const uint32_t finite = gs_select(a < 0x38800000, tiny, normal);
    return (uint16_t)((u >> 16 & 0x8000u) | gs_select(a >= 0x47800000, special, finite));
}

/* Half to even; exact for all x, keeps -0, NaN and Inf. Needs the default rounding. */
static inline float gs_rint(float x)
{
    const uint32_t u = gs_f32_bits(x), sign = u & 0x80000000u;
    const float a = gs_f32_from_bits(u & 0x7FFFFFFFu);
    const uint32_t rounded = gs_f32_bits((a + 8388608.0f) - 8388608.0f) | sign;
    /* 2^23 and more are integers; NaN is above them all. */
    return gs_f32_from_bits(gs_select((int32_t)(u & 0x7FFFFFFFu) < 0x4B000000, rounded, u));
}

/* lo, hi: integers in [-128, 127]. NaN becomes lo. */
static inline int8_t gs_clamp_s8(float rounded, float lo, float hi)
{
    const float floored = rounded > lo ? rounded : lo;
    return (int8_t)(floored < hi ? floored : hi);
}

/* Own elementary functions (float32 in and out). gs_exp: ≤ 1 ulp on [-87, 88], 0 below -103.97, Inf above 88.73.
 * gs_sin/gs_cos: ≤ 0.61 ulp for all finite x (computed in double), NaN for Inf. gs_pow: x >= 0 (NaN below), ≤
 * 1 ulp (computed in double). */
float gs_exp(float x);
float gs_exp_nearest(float x); /* computed in double and rounded once */
float gs_sin(float x);
float gs_cos(float x);
float gs_pow(float x, float y);
/* As the library below the reference rounds it: a last bit off for one value in six. */
float gs_reference_root(float x);
float gs_reference_pow(float x, float y);       /* likewise, one in fifty; the root for 1/2 */
float gs_reference_pow_left(float x, double y); /* for the last n % 16 values of a vector, x normal, |y ln x| < 80 */
double
gs_log64(double x); /* natural logarithm within 2 ulp (1e-16 near 1); x > 0 and normal. exp64.h is the way back */

/* torch.mean of a float32 vector on CPU with 8-lane kernels: the exact order of additions described in mean.c. */
float gs_torch_mean(const float *x, int64_t n);

/* Convert n elements of a float type to float32. src need not be aligned. */
void gs_to_f32(gs_dtype src_type, const void *src, float *dst, int64_t n);
/* Convert n float32 to a float type. */
void gs_from_f32(gs_dtype dst_type, const float *src, void *dst, int64_t n);

/* Number of values that are NaN or Inf; *first (may be NULL) = index of the first. src_type is a float type. */
int64_t gs_count_nonfinite(gs_dtype src_type, const void *src, int64_t n, int64_t *first);

#endif
