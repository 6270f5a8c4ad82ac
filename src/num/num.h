/* Scalar conversions, rounding and elementary functions whose bits never depend on libm, compiler or instruction set.
 * Built with -ffp-contract=off. The plain C here is the reference for every vector kernel.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_NUM_H
#define GS_NUM_NUM_H

#include <stdint.h>
#include <string.h>

#include "num/dtype.h"

#define GS_EPS 1.1920928955078125e-07f /* 2^-23, the least scale (spec/01 §5) */

static inline uint32_t gs_f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static inline float gs_f32_from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline float gs_bf16_to_f32(uint16_t b) { return gs_f32_from_bits((uint32_t)b << 16); }
uint16_t gs_f32_to_bf16(float f);        /* round to nearest even; NaN stays NaN (quiet) */
float gs_f16_to_f32(uint16_t h);
uint16_t gs_f32_to_f16(float f);         /* round to nearest even, overflow to Inf */

float gs_rint(float x);                  /* half to even; exact for all x, keeps -0 and NaN */
int8_t gs_clamp_s8(float rounded, float lo, float hi);

/* Own elementary functions (float32 in and out). gs_exp: ≤ 1 ulp on [-87, 88], 0 below -103.97, Inf above 88.73.
 * gs_sin/gs_cos: ≤ 1 ulp for |x| ≤ 1e7 (double range reduction inside). gs_pow: x > 0, ≤ 1 ulp (computed in double). */
float gs_exp(float x);
float gs_sin(float x);
float gs_cos(float x);
float gs_pow(float x, float y);

/* torch.mean of a float32 vector on CPU with 8-lane kernels: the exact order of additions (goldens/README.md). */
float gs_torch_mean(const float *x, int64_t n);

/* Convert n elements of a float type to float32. src need not be aligned. */
void gs_to_f32(gs_dtype src_type, const void *src, float *dst, int64_t n);
/* Convert n float32 to a float type. */
void gs_from_f32(gs_dtype dst_type, const float *src, void *dst, int64_t n);

/* Number of values that are NaN or Inf; *first (may be NULL) = index of the first. src_type is a float type. */
int64_t gs_count_nonfinite(gs_dtype src_type, const void *src, int64_t n, int64_t *first);

#endif
