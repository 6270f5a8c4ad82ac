/* The private table of kernels: plain C fills all of it, then each rung up to the chosen one overwrites what it does faster.
 * Every entry gives the bits of the plain C entry; tests/unit/kernels holds them to it. Entries are serial; gemm.c, elem.c
 * and attention.c cut the work into tasks. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_TABLE_H
#define GS_KERNELS_TABLE_H

#include "kernels/gemm.h"

#define GS_GROUP_COLS GS_PACK_ROWS /* weight rows (output columns) of one packed group */
#define GS_PANEL_COLS 16           /* columns of one panel; four panels make a group */
#define GS_PANEL_ROWS 6            /* rows of one panel of packed activations */
#define GS_TILE_ROWS  192          /* most activation rows of one tile */

/* In front of a loop of a few constant steps whose arrays are meant to be registers. clang unrolls such loops by itself, and
 * too late when told to. */
#if defined(__clang__)
#define GS_UNROLL(n)
#else
#define GS_PRAGMA(text) _Pragma(#text)
#define GS_UNROLL(n)    GS_PRAGMA(GCC unroll n)
#endif

/* One block of a product: rows x up to 64 columns over kc values of k, with operands packed as described in gemm.c. */
typedef struct gs_block_f32 {
    int64_t rows, cols, kc; /* kc is even */
    const void *a;          /* [ceil(rows/6)][kc][6] float; pairs: as pack_a_pairs of the same table wrote it */
    const void *b;          /* [4][kc][16] float, or [4][kc/2][16][2] bf16; panels past cols are not read */
    const void *b_next;     /* what the next call will read, for prefetching; may be NULL */
    float *c;               /* [rows, cols], row stride ldc */
    int64_t ldc;
    bool add;          /* add to c, otherwise store */
    const float *bias; /* [cols], added after that; or NULL */
} gs_block_f32;

/* The same for codes. While k is not exhausted c holds int32 sums (as bits in the float array). */
typedef struct gs_block_s8 {
    int64_t rows, cols, kc; /* kc is a multiple of 4 */
    const void *a;          /* as pack_a_s8 of the same table wrote it */
    const int8_t *b;        /* [4][kc/4][16][4] */
    const void *b_next;
    float *c;
    int64_t ldc;
    bool add, last;
    /* used when last */
    const int32_t *row_sum; /* [cols] */
    const float *w_scale;   /* [cols] */
    const float *bias;      /* [cols] or NULL */
    const float *scale;     /* [rows] */
    const int32_t *zero;    /* [rows] */
} gs_block_s8;

struct gs_kernels {
    /* a: [rows, k] with stride lda -> panels of 6 rows, k padded with zeros to k_padded, rows to a multiple of 6. */
    void (*pack_a_f32)(float *dst, const float *a, int64_t lda, int64_t rows, int64_t k, int64_t k_padded);
    void (*pack_a_s8)(void *dst, const int8_t *a, int64_t lda, int64_t rows, int64_t k, int64_t k_padded);
    void (*block_f32)(const gs_block_f32 *block);
    void (*block_bf16)(const gs_block_f32 *block);
    /* Products of bf16 pairs (gs_gemm_bf16): rows of A are rounded to bf16 while they are packed, each table in its own form. */
    void (*pack_a_pairs)(void *dst, const float *a, int64_t lda, int64_t rows, int64_t k, int64_t k_padded);
    void (*block_pairs)(const gs_block_f32 *block);
    void (*block_s8)(const gs_block_s8 *block);

    /* Register-only loops for gs_compute_peak; return the operations done. */
    double (*peak_f32)(int64_t steps);
    double (*peak_s8)(int64_t steps);
    double (*peak_bf16)(int64_t steps);

    /* elem.h by rows or by chunks; names and shapes as there. */
    void (*rmsnorm)(int64_t rows, int64_t h, const float *x, const float *w, const float *b, float eps, float *y);
    void (*rope)(int64_t half, const float *cosines, const float *sines, int64_t heads, int64_t d, float *x);
    void (*swiglu)(int64_t f, const float *gate, const float *up, float *y);
    void (*add)(int64_t n, float *x, const float *y);
    void (*minmax)(int64_t n, const float *x, float *min, float *max, bool *finite);
    void (*column_minmax)(int64_t rows, int64_t cols, const float *x, int64_t stride, float *min, float *max);
    void (*quantize_s8)(int64_t n, const float *x, float scale, float zero, float lowest, float highest, int8_t *q);
    /* One row for a task that calls them: max |x·t|; codes of x·t or x/t as quantize_s8 makes them. */
    float (*scaled_peak)(int64_t n, const float *x, const float *t);
    void (*scaled_codes)(int64_t n, const float *x, const float *t, bool divide, float scale, float zero, int8_t *q);
    void (*code_errors)(int64_t n, const float *w, const int8_t *codes, float scale, float zero, double *signal,
                        double *noise);
    /* bin[i] = bin of x[i], or `bins` for a value that is not counted. */
    void (*bin_index)(int64_t n, const float *x, float lo, float hi, int32_t bins, int32_t *bin);
    void (*sum_squares)(int64_t rows, int64_t cols, const float *x, const float *shift, double *sum, double *squares);

    /* One row of attention scores against one block of keys: s[i] = exp(s[i]·scale − new maximum) for i < visible, 0 beyond,
     * up to `keys` (a multiple of 16); *max (first -Inf) and *sum are carried on; the first block shows a key. Keys from
     * in_lanes on (a multiple of 8) are weighed by the nearest exponential and added one by one; in_lanes >= keys: none.
     * Returns the factor for what was gathered before. */
    float (*softmax_row)(int64_t keys, int64_t visible, int64_t in_lanes, float scale, float *s, float *max,
                         float *sum);
    void (*scale_row)(int64_t n, float factor, float *x); /* x = x·factor + 0 */
    /* Keys (rows of n floats) into panels [ceil(keys/16)][n_padded][16], zero-filled. */
    void (*pack_keys)(int64_t keys, int64_t n, int64_t n_padded, const float *k, int64_t stride, float *dst);
};

void gs_gemm_fill_c(gs_kernels *t);
void gs_elem_fill_c(gs_kernels *t);
void gs_peak_fill_c(gs_kernels *t);
#if defined(__x86_64__)
void gs_gemm_fill_avx2(gs_kernels *t);
void gs_elem_fill_avx2(gs_kernels *t);
void gs_peak_fill_avx2(gs_kernels *t);
void gs_gemm_fill_avx512(gs_kernels *t);
void gs_elem_fill_avx512(gs_kernels *t);
void gs_peak_fill_avx512(gs_kernels *t);
void gs_gemm_fill_vnni(gs_kernels *t);
void gs_peak_fill_vnni(gs_kernels *t);
void gs_gemm_fill_bf16(gs_kernels *t);
void gs_peak_fill_bf16(gs_kernels *t);
#elif defined(__aarch64__)
void gs_gemm_fill_neon(gs_kernels *t);
void gs_peak_fill_neon(gs_kernels *t);
void gs_gemm_fill_neondot(gs_kernels *t);
void gs_peak_fill_neondot(gs_kernels *t);
#endif

/* Bytes of scratch each worker needs: for a tile of packed activations, and for attention with head size d. */
size_t gs_gemm_scratch_bytes(void);
size_t gs_attention_scratch_bytes(int64_t d);

#endif
