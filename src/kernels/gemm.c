/* Matrix products: the output is cut in tiles, workers take tiles from the pool's counter, and for each k block a worker packs
 * its rows of A into panels of six in its own scratch and runs the kernel of its rung along the packed weight groups. How
 * the tiles are cut never shows in the result: every output is summed in the same order in every tiling. The loop nest is the
 * one of Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008) as BLIS arranges it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/pack.h"

typedef struct gemm_job {
    const gs_compute *c;
    const gs_packed *w;
    int64_t m, lda, ldc;
    int64_t tile_rows, tile_cols, row_tiles;
    const float *a;     /* f32 and bf16 */
    bool pairs;         /* bf16 */
    const int8_t *a_s8; /* s8, with the four below */
    const float *scale;
    const int32_t *zero;
    const float *w_scale;
    const float *bias;
    const int32_t *start; /* [n] what s8 sums begin with, or NULL = 0 */
    float *out;
} gemm_job;

typedef struct tile {
    int64_t row, rows, group, group_end;
} tile;

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

size_t gs_gemm_scratch_bytes(void) { return (size_t)GS_TILE_ROWS * GS_GEMM_KC * sizeof(float); }

/* Sizes of the tiles, by an estimate of the time until the last worker is done. One unit is one output of one k block; packing
 * a row of A costs about as much as A_COST columns, fetching a weight column as much as B_COST rows. */
static void choose_tiles(gemm_job *job, int64_t most_rows)
{
    enum { A_COST = 10, B_COST = 6, MOST_COLS = 1024 };
    const int64_t n = job->w->n, threads = gs_pool_threads(job->c->pool);
    double best = INFINITY;
    const int64_t least_tiles = ceil_div(job->m, most_rows);
    job->tile_rows = GS_PANEL_ROWS;
    job->tile_cols = GS_GROUP_COLS;
    job->row_tiles = ceil_div(job->m, GS_PANEL_ROWS);
    for (int64_t tiles = least_tiles; tiles <= least_tiles * 3; tiles++) {
        const int64_t rows = ceil_div(ceil_div(job->m, tiles), GS_PANEL_ROWS) * GS_PANEL_ROWS;
        const int64_t row_tiles = ceil_div(job->m, rows);
        for (int64_t cols = GS_GROUP_COLS; cols <= MOST_COLS; cols += GS_GROUP_COLS) {
            const int64_t turns = ceil_div(row_tiles * ceil_div(n, cols), threads);
            const double time = ((double)turns + 0.1) * (double)(rows + B_COST) * (double)(min_i64(cols, n) + A_COST);
            if (time >= best) continue;
            best = time;
            job->tile_rows = rows;
            job->tile_cols = cols;
            job->row_tiles = row_tiles;
        }
    }
}

static tile tile_of_task(const gemm_job *job, int64_t task)
{
    const int64_t row = task % job->row_tiles * job->tile_rows, col = task / job->row_tiles * job->tile_cols;
    return (tile){.row = row,
                  .rows = min_i64(job->tile_rows, job->m - row),
                  .group = col / GS_GROUP_COLS,
                  .group_end = ceil_div(min_i64(col + job->tile_cols, job->w->n), GS_GROUP_COLS)};
}

static const char *block_at(const gs_packed *w, int64_t group, int64_t k0)
{
    return (const char *)w->buf.data + gs_pack_block_offset(w, group, k0);
}

static void f32_task(void *ctx, int64_t task, int worker)
{
    const gemm_job *const job = ctx;
    const gs_packed *const w = job->w;
    const gs_kernels *const kernels = job->c->kernels;
    const int64_t k_padded = gs_pack_k_padded(w->kind, w->k);
    const tile t = tile_of_task(job, task);
    float *const panels = gs_pool_scratch(job->c->pool, worker);
    for (int64_t k0 = 0; k0 < k_padded; k0 += GS_GEMM_KC) {
        const int64_t kc = min_i64(GS_GEMM_KC, k_padded - k0);
        const bool last = k0 + kc == k_padded;
        const float *const a = job->a + t.row * job->lda + k0;
        if (job->pairs)
            kernels->pack_a_pairs(panels, a, job->lda, t.rows, min_i64(kc, w->k - k0), kc);
        else
            kernels->pack_a_f32(panels, a, job->lda, t.rows, min_i64(kc, w->k - k0), kc);
        for (int64_t group = t.group; group < t.group_end; group++) {
            const int64_t col = group * GS_GROUP_COLS;
            const gs_block_f32 block = {
                .rows = t.rows,
                .cols = min_i64(GS_GROUP_COLS, w->n - col),
                .kc = kc,
                .a = panels,
                .b = block_at(w, group, k0),
                .b_next = group + 1 < t.group_end ? block_at(w, group + 1, k0) : NULL,
                .c = job->out + t.row * job->ldc + col,
                .ldc = job->ldc,
                .add = k0 > 0,
                .bias = last && job->bias ? job->bias + col : NULL,
            };
            if (job->pairs)
                kernels->block_pairs(&block);
            else if (w->kind == GS_PACK_F32)
                kernels->block_f32(&block);
            else
                kernels->block_bf16(&block);
        }
    }
}

/* While k is not exhausted the output holds int32 sums. */
static void begin_sums(const gemm_job *job, const tile *t)
{
    const int64_t col = t->group * GS_GROUP_COLS, cols = min_i64(t->group_end * GS_GROUP_COLS, job->w->n) - col;
    for (int64_t row = t->row; row < t->row + t->rows; row++)
        memcpy(job->out + row * job->ldc + col, job->start + col, (size_t)cols * sizeof *job->start);
}

static void s8_task(void *ctx, int64_t task, int worker)
{
    const gemm_job *const job = ctx;
    const gs_packed *const w = job->w;
    const gs_kernels *const kernels = job->c->kernels;
    const int64_t k_padded = gs_pack_k_padded(w->kind, w->k);
    const tile t = tile_of_task(job, task);
    void *const panels = gs_pool_scratch(job->c->pool, worker);
    if (job->start) begin_sums(job, &t);
    for (int64_t k0 = 0; k0 < k_padded; k0 += GS_GEMM_KC) {
        const int64_t kc = min_i64(GS_GEMM_KC, k_padded - k0);
        kernels->pack_a_s8(panels, job->a_s8 + t.row * job->lda + k0, job->lda, t.rows, min_i64(kc, w->k - k0), kc);
        for (int64_t group = t.group; group < t.group_end; group++) {
            const int64_t col = group * GS_GROUP_COLS;
            const gs_block_s8 block = {
                .rows = t.rows,
                .cols = min_i64(GS_GROUP_COLS, w->n - col),
                .kc = kc,
                .a = panels,
                .b = (const int8_t *)block_at(w, group, k0),
                .b_next = group + 1 < t.group_end ? block_at(w, group + 1, k0) : NULL,
                .c = job->out + t.row * job->ldc + col,
                .ldc = job->ldc,
                .add = k0 > 0 || job->start,
                .last = k0 + kc == k_padded,
                .row_sum = w->row_sum + col,
                .w_scale = job->w_scale + col,
                .bias = job->bias ? job->bias + col : NULL,
                .scale = job->scale + t.row,
                .zero = job->zero + t.row,
            };
            kernels->block_s8(&block);
        }
    }
}

static void run_counted(gs_compute *c, gemm_job *job, gs_gemm_kind kind)
{
    if (job->m <= 0) return;
    const double start = gs_seconds();
    /* a tile of A should take no more than half of a second-level cache of 512 KiB; codes are half as wide */
    choose_tiles(job, kind == GS_GEMM_S8 ? GS_TILE_ROWS : GS_TILE_ROWS / 2);
    gs_pool_run(c->pool, job->row_tiles * ceil_div(job->w->n, job->tile_cols), kind == GS_GEMM_S8 ? s8_task : f32_task,
                job);
    c->work[kind].seconds += gs_seconds() - start;
    c->work[kind].operations += 2.0 * (double)job->m * (double)job->w->n * (double)job->w->k;
}

void gs_gemm_f32(gs_compute *c, const gs_packed *w, int64_t m, const float *a, int64_t lda, const float *bias,
                 float *out, int64_t ldc)
{
    assert(w->kind == GS_PACK_F32 || w->kind == GS_PACK_BF16);
    if (c->bf16_inputs && w->kind == GS_PACK_BF16) {
        gs_gemm_bf16(c, w, m, a, lda, bias, out, ldc);
        return;
    }
    gemm_job job = {.c = c, .w = w, .m = m, .a = a, .lda = lda, .bias = bias, .out = out, .ldc = ldc};
    run_counted(c, &job, GS_GEMM_F32);
}

void gs_gemm_bf16(gs_compute *c, const gs_packed *w, int64_t m, const float *a, int64_t lda, const float *bias,
                  float *out, int64_t ldc)
{
    assert(w->kind == GS_PACK_BF16);
    gemm_job job = {.c = c, .w = w, .m = m, .a = a, .pairs = true, .lda = lda, .bias = bias, .out = out, .ldc = ldc};
    run_counted(c, &job, GS_GEMM_BF16);
}

void gs_gemm_s8(gs_compute *c, const gs_packed *w, int64_t m, const int8_t *a, int64_t lda, const float *scale,
                const int32_t *zero, const float *w_scale, const float *bias, float *out, int64_t ldc)
{
    assert(w->kind == GS_PACK_S8);
    gemm_job job = {.c = c,
                    .w = w,
                    .m = m,
                    .a_s8 = a,
                    .lda = lda,
                    .scale = scale,
                    .zero = zero,
                    .w_scale = w_scale,
                    .bias = bias,
                    .out = out,
                    .ldc = ldc};
    run_counted(c, &job, GS_GEMM_S8);
}

void gs_gemm_s8_from(gs_compute *c, const gs_packed *w, int64_t m, const int8_t *a, int64_t lda, const int32_t *start,
                     const float *w_scale, float *out, int64_t ldc)
{
    assert(w->kind == GS_PACK_S8);
    float *const ones = gs_alloc_array((size_t)m + 1, sizeof *ones);
    int32_t *const zeros = gs_alloc_array((size_t)m + 1, sizeof *zeros);
    for (int64_t i = 0; i < m; i++) ones[i] = 1.0f;
    gemm_job job = {.c = c,
                    .w = w,
                    .m = m,
                    .a_s8 = a,
                    .lda = lda,
                    .scale = ones,
                    .zero = zeros,
                    .w_scale = w_scale,
                    .start = start,
                    .out = out,
                    .ldc = ldc};
    run_counted(c, &job, GS_GEMM_S8);
    gs_free(ones);
    gs_free(zeros);
}
