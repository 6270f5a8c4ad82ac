/* What the files of the W4A4 construction share. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_W4A4_PARTS_H
#define GS_QUANT_W4A4_PARTS_H

#include "quant/w4a4.h"

#define GS_W4A4_BLOCK 128 /* columns of one step of the factorisation and of the rounding */
#define GS_W4A4_QUEUE 512 /* tokens that enter the moments together */
#define GS_W4A4_CHUNK 256 /* rows transformed together elsewhere */

/* The orthonormal matrix that spreads each axis over all: H_p ⊗ DCT_m with n = p·m, p the largest power of two. s: [n, n]. */
void gs_w4a4_spread(int64_t n, double *s);
/* Eigenvectors of the symmetric m: [n, n] (destroyed) in the rows of v: [n, n], by rising eigenvalue; the entry of largest
 * magnitude is positive, the first one on ties. */
void gs_w4a4_eigen(int64_t n, double *m, double *v);
/* q = inverse transpose of m: [n, n], which is nearly orthogonal. */
void gs_w4a4_inverse_transpose(int64_t n, const float *m, float *q);

/* h: [n, n] symmetric, both triangles. Afterwards row j holds, at i > j, the entries L[i][j]/L[j][j] of the lower factor of
 * h + damping·I; the rest of h is rubbish. *damping is raised until it works; GS_ERR_NUMERIC if it never does. */
gs_status gs_w4a4_factor(gs_compute *c, int64_t n, float *h, double *damping, gs_error *err) GS_CHECKED;

/* scale[r] = factor·max(max|w_r|, 1e-5)/7 with the factor of least Σ moment·error² under plain rounding; moment NULL: factor
 * 1. codes may be NULL. w: [rows, in]. */
void gs_w4a4_row_scale(gs_compute *c, int64_t rows, int64_t in, const float *w, const float *moment, float *scale,
                       int8_t *codes);
/* plan.work holds rows_max transformed weight rows, as many again, and rows_max·GS_W4A4_BLOCK values. */
static inline int64_t gs_w4a4_round_rows_max(int64_t in)
{
    const int64_t rows = ((int64_t)1 << 23) / in / GS_PACK_ROWS * GS_PACK_ROWS;
    return rows < 256 ? 256 : rows > 2048 ? 2048 : rows;
}
/* Round the transformed weight rows at the start of plan.work with given scales. */
void gs_w4a4_round_rows(gs_w4a4_plan *p, gs_compute *c, int64_t rows, const float *scale, int8_t *codes);
/* x: [rows, in] times (or, for weights, over) d, then through the pair. */
void gs_w4a4_enter(const gs_w4a4_pair *pair, gs_compute *c, const float *d, bool weight, int64_t rows, float *x,
                   float *work);

/* dst[j][i] = src[i][j]; serial. */
void gs_w4a4_transpose(int64_t rows, int64_t cols, const float *src, int64_t src_stride, float *dst,
                       int64_t dst_stride);

static inline int64_t gs_w4a4_min(int64_t a, int64_t b) { return a < b ? a : b; }
/* Four values at a time: the compilers' own vectors, since loops over a few lanes stay scalar at -O2. */
typedef float gs_w4a4_four __attribute__((vector_size(16)));
typedef int32_t gs_w4a4_mask __attribute__((vector_size(16)));

static inline gs_w4a4_four gs_w4a4_load(const float *x)
{
    gs_w4a4_four v;
    memcpy(&v, x, sizeof v);
    return v;
}
static inline void gs_w4a4_store(float *x, gs_w4a4_four v) { memcpy(x, &v, sizeof v); }
static inline gs_w4a4_four gs_w4a4_pick(gs_w4a4_mask mask, gs_w4a4_four x, gs_w4a4_four y)
{
    return (gs_w4a4_four)(((gs_w4a4_mask)x & mask) | ((gs_w4a4_mask)y & ~mask));
}
/* clamp(rint(v), -8, 7) as floats; NaN gives -8. Adding 1.5·2^23 leaves no bits after the point: half to even. */
static inline gs_w4a4_four gs_w4a4_code(gs_w4a4_four v)
{
    const gs_w4a4_four low = {-8.0f, -8.0f, -8.0f, -8.0f}, high = {7.0f, 7.0f, 7.0f, 7.0f};
    v = gs_w4a4_pick(v > low, v, low);
    v = gs_w4a4_pick(v < high, v, high);
    return (v + 12582912.0f) - 12582912.0f;
}
/* codes of n values over s */
void gs_w4a4_codes(int64_t n, const float *x, float s, int8_t *codes);
/* max(least, max|x|); NaN is passed over */
float gs_w4a4_peak(int64_t n, const float *x, float least);

#endif
