/* `glmslim bench`: what this machine can do, and what of it is used. Each bench_*.c measures one thing into a gs_bench;
 * bench_text.c and bench_json.c show it. Private to the room, and for tests/bench. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_BENCH_H
#define GS_CLI_BENCH_H

#include "base/str.h"
#include "kernels/elem.h"
#include "kernels/gemm.h"

#define GS_BENCH_COUNTS 16 /* most thread counts: 1, 2, 4, … and all */
#define GS_BENCH_TOKENS 30000.0

typedef struct gs_bench_spec {
    int threads;      /* > 0 */
    int64_t width;    /* of the hidden states; 4096 = GLM-4-9B, whose other sizes follow it */
    bool quick;       /* a sixth of the work; the lesser instruction sets get no more in any case */
    bool by_cpu_time; /* kernels by processor time instead of the clock */
    const char *dir;  /* for files */
    gs_rung first, last;
} gs_bench_spec;

/* Sizes of a block of that width. */
typedef struct gs_bench_sizes {
    int64_t hidden, heads, groups, head_dim, qkv, ffn;
} gs_bench_sizes;
gs_bench_sizes gs_bench_sizes_of(int64_t width);
double gs_bench_weights(const gs_bench_sizes *z); /* of a block's linears */

typedef struct gs_bench_peak {
    gs_rung rung;
    gs_gemm_kind kind;
    int threads;
    double per_s;
    double kernel; /* share of it that the products' inner kernel reaches alone: median of the rounds */
} gs_bench_peak;

typedef struct gs_bench_gemm {
    gs_rung rung;
    gs_gemm_kind kind; /* of arithmetic */
    const char *name;  /* "f32", "f32, bf16 weights", "int8", "bf16" */
    const char *shape; /* "qkv", … or "block": all four */
    int threads;
    int64_t m, n, k; /* n, k: 0 for the block */
    double per_s;    /* best round */
    double share;    /* of the peak measured around it: median of the rounds */
} gs_bench_gemm;

enum { GS_BENCH_ROUNDS = 9, GS_BENCH_FEW = 32 }; /* most rounds; rows of the small products */

typedef struct gs_bench_elem {
    gs_rung rung;
    const char *name;
    int threads;
    double seconds, bytes; /* of one call; bytes read and written */
    double per_s;          /* operations, for attention; else 0 */
    double of_products;    /* its time in a block's pass of 30,000 tokens, over that of the products at peak */
} gs_bench_elem;

/* The block's f32 products on more and more threads of the best rung. */
typedef struct gs_bench_scale {
    int threads;
    double per_s, peak_per_s;
} gs_bench_scale;

typedef struct gs_bench_memory {
    double read[2], copy[2]; /* bytes per second: one thread, all; copy: bytes copied, not moved */
    double bytes;            /* of the array */
} gs_bench_memory;

typedef struct gs_bench_disk {
    bool direct; /* false: the file system refuses O_DIRECT, the page cache may have had a part in it */
    double bytes, write, read, copy;
} gs_bench_disk;

typedef struct gs_bench_phase {
    const char *name;
    double seconds;
} gs_bench_phase;

/* A block in the middle of a model, through the whole calibration: W8A8, histogram, int8 key/value cache. */
typedef struct gs_bench_block {
    int64_t tokens, samples;
    double seconds, products; /* of the block; of these in matrix products */
    double f32_per_s, s8_per_s;
    double f32_share, s8_share; /* of the peaks above */
    gs_bench_phase phase[16];   /* of the block */
    int n_phases;
    gs_bench_phase once[16]; /* of the run, beside the blocks */
    int n_once;
    double tokens_per_s; /* through the block, both streams */
    double memory;       /* peak of the process, bytes */
} gs_bench_block;

typedef struct gs_bench_forecast {
    double tokens, layers;
    double per_token, per_block, ends; /* seconds of streams; of weights; of embedding, head and checksums */
    double seconds;
} gs_bench_forecast;

typedef struct gs_bench {
    gs_bench_spec spec;
    gs_bench_sizes sizes;
    int counts[2], n_counts; /* threads of the kernels: 1 and all */
    gs_bench_peak *peaks;
    gs_bench_gemm *gemms;
    gs_bench_elem *elems;
    int n_peaks, n_gemms, n_elems;
    gs_bench_scale scales[GS_BENCH_COUNTS];
    int n_scales;
    gs_bench_memory memory;
    gs_bench_disk disk;
    gs_bench_block block;
    gs_bench_forecast forecast[2];
    double seconds;
} gs_bench;

/* One rung with one number of threads; the clock the spec asks for. */
typedef struct gs_bench_context {
    gs_bench *bench;
    gs_compute compute;
} gs_bench_context;

gs_status gs_bench_open(gs_bench_context *x, gs_bench *b, gs_rung rung, int threads, gs_error *err) GS_CHECKED;
void gs_bench_close(gs_bench_context *x);
double gs_bench_now(const gs_bench_context *x);
bool gs_bench_is_brief(const gs_bench *b, gs_rung rung); /* a quick run, or not the best instruction set */
/* Measures the peak once more and returns it; the best so far is kept in the table of peaks, if it has such a row. */
double gs_bench_refresh_peak(gs_bench_context *x, gs_gemm_kind kind);
double gs_bench_median(double *x, int n);                                                 /* sorts x */
double gs_bench_peak_of(const gs_bench *b, gs_rung rung, gs_gemm_kind kind, int threads); /* 0 = not measured */
const char *gs_bench_kind_name(gs_gemm_kind kind);                                        /* "f32", "int8", "bf16" */

/* A product with everything it needs; values are random. */
typedef struct gs_bench_product {
    gs_pack_kind kind;
    bool bf16_inputs; /* gs_gemm_bf16 */
    int64_t m, n, k;
    gs_packed w;
    gs_buf a, codes, vectors, out; /* vectors: [max(m, n)] floats, then int32 zeros */
} gs_bench_product;
gs_status gs_bench_product_init(gs_bench_product *p, gs_compute *c, gs_pack_kind kind, int64_t m, int64_t n, int64_t k,
                                gs_error *err) GS_CHECKED;
void gs_bench_product_release(gs_bench_product *p);
double gs_bench_product_run(gs_bench_product *p, gs_bench_context *x, int64_t m); /* seconds of one run with m rows */

void gs_bench_random(float *x, int64_t n); /* in [-2, 2] */

/* The parts. */
gs_status gs_bench_run_gemm(gs_bench *b, gs_rung rung, gs_error *err) GS_CHECKED;
gs_status gs_bench_run_elem(gs_bench *b, gs_rung rung, gs_error *err) GS_CHECKED;
gs_status gs_bench_run_scale(gs_bench *b, gs_error *err) GS_CHECKED;
gs_status gs_bench_run_memory(gs_bench *b, gs_error *err) GS_CHECKED;
gs_status gs_bench_run_disk(gs_bench *b, const char *dir, gs_error *err) GS_CHECKED;
gs_status gs_bench_run_block(gs_bench *b, const char *dir, gs_error *err) GS_CHECKED;

void gs_bench_text(const gs_bench *b, gs_str *out);
char *gs_bench_json(const gs_bench *b, size_t *n); /* caller gs_free()s */

#endif
