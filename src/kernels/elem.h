/* Everything that is not a matrix product. Shapes beside each buffer; rows are tokens. All calls are parallel over rows or
 * fixed chunks and give the same bits on every rung and for any thread count: reductions keep 16 lanes (lane j takes
 * elements j, j+16, …) combined in a fixed tree, and parallel partial results are combined in chunk order. The norm's mean
 * alone adds in the order of gs_torch_mean, so that it gives the reference's bits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_ELEM_H
#define GS_KERNELS_ELEM_H

#include "base/mem.h"
#include "kernels/compute.h"

/* y = w·(x·(1/sqrt(mean(x²)+eps))) + b. x, y: [rows, h]; w: [h]; b: [h] or NULL. x == y is allowed. */
void gs_rmsnorm(gs_compute *c, int64_t rows, int64_t h, const float *x, const float *w, const float *b, float eps,
                float *y);

/* cos/sin of p·theta_i for positions 0..positions-1: cos, sin: [positions, r/2], theta_i = 1/base^(2i/r); exponent, power,
 * reciprocal and product in float32. */
typedef struct gs_rope {
    int64_t positions, half; /* half = r/2 pairs */
    gs_buf buf;
    const float *cos, *sin;
} gs_rope;
gs_status gs_rope_init(gs_rope *rope, int64_t positions, int64_t r, double base, gs_error *err) GS_CHECKED;
void gs_rope_release(gs_rope *rope);
/* Rotate pairs (2i, 2i+1) of the first 2*half components of each head in place. x: row t at x + t*stride, heads
 * contiguous [heads, d]; row t has position pos0 + t. */
void gs_rope_apply(gs_compute *c, const gs_rope *rope, int64_t rows, float *x, int64_t stride, int64_t heads, int64_t d,
                   int64_t pos0);

/* Causal attention of one sequence. q row t (t < q_rows) is position pos0 + t and sees keys 0..pos0+t.
 * q: row stride q_stride, [heads, d]; k, v: row stride kv_stride, [groups, d]; out: row stride out_stride, [heads, d].
 * scale = 1/sqrt(d) inside. Memory: no more than a fixed block of scores per worker, whatever the length. Query head j uses
 * group j / (heads/groups). Keys are taken in fixed blocks with a running maximum and sum, so the result does not depend on how
 * the queries are cut into calls. */
void gs_attention(gs_compute *c, int64_t q_rows, int64_t pos0, const float *q, int64_t q_stride, const float *k,
                  const float *v, int64_t kv_stride, int64_t heads, int64_t groups, int64_t d, float *out,
                  int64_t out_stride);
/* The same for a sequence given whole, with the reference's dependence on its length in the last bits (attention.c). */
void gs_attention_whole(gs_compute *c, int64_t rows, const float *q, int64_t q_stride, const float *k, const float *v,
                        int64_t kv_stride, int64_t heads, int64_t groups, int64_t d, float *out, int64_t out_stride);

/* y[t, j] = silu(z[t, j])·z[t, f+j]; z: [rows, 2f], y: [rows, f] (row stride f). silu(a) = a/(1+exp(-a)). */
void gs_swiglu(gs_compute *c, int64_t rows, int64_t f, const float *z, float *y);

void gs_add(gs_compute *c, int64_t n, float *x, const float *y); /* x += y */

/* Least and greatest value; *finite is false if any value is NaN or Inf (min, max then cover the others, and are 0 if there
 * are none). n > 0. */
void gs_minmax(gs_compute *c, int64_t n, const float *x, float *min, float *max, bool *finite);
/* Running per-column range: min[j] = min(min[j], x[·,j]), max likewise. x: [rows, cols] with row stride. NaN is ignored. */
void gs_column_minmax(gs_compute *c, int64_t rows, int64_t cols, const float *x, int64_t stride, float *min,
                      float *max);

/* q = clamp(rint(x/scale + zero), -128, 127): division, then addition, then rounding. NaN gives -128. x: [n], q: [n]. */
void gs_quantize_s8(gs_compute *c, int64_t n, const float *x, float scale, float zero, int8_t *q);

/* For tasks that have a row of their own (not parallel). gs_scaled_peak: max |x·t|. gs_scaled_codes: gs_quantize_s8 of x·t, or with
 * `divide` of x/t, rounded once before the division by scale. t: [n]. */
float gs_scaled_peak(const gs_compute *c, int64_t n, const float *x, const float *t);
void gs_scaled_codes(const gs_compute *c, int64_t n, const float *x, const float *t, bool divide, float scale,
                     float zero, int8_t *q);

/* q = clamp(rint(x/scale + zero), lowest, highest), both whole numbers in [-128, 127]. Serial, for tasks. */
void gs_clamped_codes(const gs_compute *c, int64_t n, const float *x, float scale, float zero, float lowest,
                      float highest, int8_t *q);

/* signal[i mod 8] += w², noise[i mod 8] += (w − (code − zero)·scale)², in double; the difference is of float32 values. Serial. */
#define GS_ERROR_LANES 8
void gs_code_errors(const gs_compute *c, int64_t n, const float *w, const int8_t *codes, float scale, float zero,
                    double signal[GS_ERROR_LANES], double noise[GS_ERROR_LANES]);

/* torch.histc: counts[b] += number of x in bin b, bins over [lo, hi] (lo < hi); outside or NaN ignored;
 * bin = (int64)((x-lo)*bins/(hi-lo)) in float32, in that order, capped at bins-1. */
void gs_histogram(gs_compute *c, int64_t n, const float *x, float lo, float hi, int64_t bins, int64_t *counts);

/* Σ (x[t,j]-shift[j]) and Σ (x[t,j]-shift[j])² in double, fixed order. x: [rows, cols] dense; shift: [cols] or NULL. The
 * difference is rounded to float32 first. */
void gs_sum_squares(gs_compute *c, int64_t rows, int64_t cols, const float *x, const float *shift, double *sum,
                    double *sum_squares);

#endif
