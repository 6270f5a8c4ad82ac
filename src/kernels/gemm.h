/* Packed matrix products. C[m,n] = A[m,k] · W[n,k]ᵀ.
 *
 * Numeric contract. f32: k is cut in blocks of GS_GEMM_KC; inside a block every output is
 * one chain of fused multiply-adds in rising k, started at 0; block sums are added to the output in rising order with plain
 * additions (the first block is stored); the bias is added last. bf16 panels are widened to f32 in the kernel and give the
 * bits of f32 panels with the same values. bf16: inputs are rounded to bf16 (nearest even); blocks of k as in f32, a chain of fused
 * multiply-adds that takes the odd value of each pair of k before the even one; subnormals count as zeros, before and after every step
 * of the chain, of the sum over blocks and of the bias (what vdpbf16ps does, and the control register for the rest). s8: sums are exact integers.
 *
 * Weights are packed once, by rows, in any number of calls (each call starts at a multiple of GS_PACK_ROWS rows and only the
 * last may have a ragged count), so that a checkpoint can be packed while it is read. Unpacking gives the values back.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_GEMM_H
#define GS_KERNELS_GEMM_H

#include "base/mem.h"
#include "kernels/compute.h"

#define GS_GEMM_KC   512
#define GS_PACK_ROWS 64

typedef enum gs_pack_kind { GS_PACK_F32, GS_PACK_BF16, GS_PACK_S8 } gs_pack_kind;

typedef struct gs_packed {
    gs_pack_kind kind;
    int64_t n, k;
    gs_buf buf;       /* panels; layout private to kernels/ */
    int32_t *row_sum; /* S8: [n], Σ_k of each row, filled by packing; NULL otherwise; lives inside buf */
} gs_packed;

size_t gs_packed_bytes(gs_pack_kind kind, int64_t n, int64_t k);
gs_status gs_packed_alloc(gs_packed *p, gs_pack_kind kind, int64_t n, int64_t k, const char *purpose,
                          gs_error *err) GS_CHECKED;
void gs_packed_release(gs_packed *p);

/* src: [rows, k] row-major, dense; element type bf16 bits / float / int8 as the panel kind. A BF16 panel takes bf16 rows only,
 * an F32 panel float rows only. Parallel inside. */
void gs_pack_rows(gs_compute *c, gs_packed *p, int64_t row0, int64_t rows, const void *src);
/* dst: [rows, k] float32. Any row0. For F32 and BF16 panels. Parallel inside. */
void gs_unpack_rows(gs_compute *c, const gs_packed *p, int64_t row0, int64_t rows, float *dst);

/* a: [m, k] with row stride lda; bias: [n] or NULL; out: [m, n] with row stride ldc. Panel kind F32 or BF16. */
void gs_gemm_f32(gs_compute *c, const gs_packed *w, int64_t m, const float *a, int64_t lda, const float *bias,
                 float *out, int64_t ldc);

/* The same with bf16 inputs; panel kind BF16. */
void gs_gemm_bf16(gs_compute *c, const gs_packed *w, int64_t m, const float *a, int64_t lda, const float *bias,
                  float *out, int64_t ldc);

/* out[i,o] = (float)(Σ_k a[i,k]·w[o,k] − zero[i]·row_sum[o]) · (scale[i]·w_scale[o]) + bias[o], each float step rounded once,
 * in that order; the integer expression is exact (|value| < 2^31 for k ≤ 65536).
 * a: [m,k] int8 codes; scale, zero: [m] per row of a; w_scale: [n]; bias: [n] or NULL. */
void gs_gemm_s8(gs_compute *c, const gs_packed *w, int64_t m, const int8_t *a, int64_t lda, const float *scale,
                const int32_t *zero, const float *w_scale, const float *bias, float *out, int64_t ldc);

/* The same with an integer bias, as accelerators compute a linear with static input codes:
 * out[i,o] = (float)(Σ_k a[i,k]·w[o,k] + start[o]) · w_scale[o], the integer expression exact where it fits int32.
 * start, w_scale: [n]. */
void gs_gemm_s8_from(gs_compute *c, const gs_packed *w, int64_t m, const int8_t *a, int64_t lda, const int32_t *start,
                     const float *w_scale, float *out, int64_t ldc);

#endif
