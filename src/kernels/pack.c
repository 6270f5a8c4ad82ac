/* Packed weights: allocation, packing of rows as they arrive, and unpacking. Layout in pack.h. Packing moves each weight
 * once per run (products use it thousands of times), so plain C is enough here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pack.h"

#include <assert.h>

static int64_t group_count(int64_t n) { return (n + GS_GROUP_COLS - 1) / GS_GROUP_COLS; }

static bool packed_bytes(gs_pack_kind kind, int64_t n, int64_t k, size_t *panels, size_t *total)
{
    if (n < 0 || k < 0 || n > INT64_MAX - GS_GROUP_COLS || k > INT64_MAX - 4) return false;
    const size_t rows = (size_t)group_count(n) * GS_GROUP_COLS;
    size_t values, sums = 0;
    if (!gs_mul_size(rows, (size_t)gs_pack_k_padded(kind, k), &values)) return false;
    if (!gs_mul_size(values, gs_pack_element_bytes(kind), panels)) return false;
    if (kind == GS_PACK_S8 && !gs_mul_size(rows, sizeof(int32_t), &sums)) return false;
    return gs_add_size(*panels, sums, total);
}

size_t gs_packed_bytes(gs_pack_kind kind, int64_t n, int64_t k)
{
    size_t panels, total;
    return packed_bytes(kind, n, k, &panels, &total) ? total : SIZE_MAX;
}

gs_status gs_packed_alloc(gs_packed *p, gs_pack_kind kind, int64_t n, int64_t k, const char *purpose, gs_error *err)
{
    size_t panels, total;
    memset(p, 0, sizeof *p);
    if (n <= 0 || k <= 0 || !packed_bytes(kind, n, k, &panels, &total))
        return gs_fail(err, GS_ERR_MEMORY, "%s: a packed matrix of %lld x %lld values cannot be held in memory",
                       purpose, (long long)n, (long long)k);
    GS_TRY(gs_buf_alloc(&p->buf, total, purpose, err));
    p->kind = kind;
    p->n = n;
    p->k = k;
    if (kind == GS_PACK_S8) p->row_sum = (int32_t *)(void *)((char *)p->buf.data + panels);
    return GS_OK;
}

void gs_packed_release(gs_packed *p)
{
    gs_buf_release(&p->buf);
    memset(p, 0, sizeof *p);
}

typedef struct pack_job {
    gs_packed *p;
    int64_t row0, rows;
    const char *src; /* [rows, k] */
} pack_job;

/* 16 weight rows x steps words of 4 bytes, transposed. from: row stride k_bytes; rows past the end give zeros. */
static void pack_words(char *restrict to, const char *restrict from, size_t k_bytes, int64_t rows, int64_t steps)
{
    for (int64_t s0 = 0; s0 < steps; s0 += 16) {
        const int64_t n = steps - s0 < 16 ? steps - s0 : 16;
        uint32_t word[GS_PANEL_COLS][16] = {{0}};
        for (int64_t r = 0; r < rows; r++) memcpy(word[r], from + (size_t)r * k_bytes + (size_t)s0 * 4, (size_t)n * 4);
        for (int64_t s = 0; s < n; s++) {
            uint32_t line[GS_PANEL_COLS];
            for (int64_t r = 0; r < GS_PANEL_COLS; r++) line[r] = word[r][s];
            memcpy(to + (s0 + s) * 64, line, sizeof line);
        }
    }
}

/* The last, incomplete word of each row: `bytes` of it are there. */
static void pack_ragged_word(char *to, const char *from, size_t k_bytes, int64_t rows, size_t bytes)
{
    memset(to, 0, 64);
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * 4, from + (size_t)r * k_bytes, bytes);
}

/* One panel of one k block: bytes = what each row has there, padded to bytes_padded. */
static void pack_panel(char *to, const char *from, size_t k_bytes, int64_t rows, size_t bytes, size_t bytes_padded)
{
    const int64_t whole = (int64_t)(bytes / 4), steps = (int64_t)(bytes_padded / 4);
    pack_words(to, from, k_bytes, rows, whole);
    if (bytes % 4) pack_ragged_word(to + whole * 64, from + whole * 4, k_bytes, rows, bytes % 4);
    const int64_t done = whole + (bytes % 4 != 0);
    memset(to + done * 64, 0, (size_t)(steps - done) * 64);
}

static void sum_rows(const pack_job *job, int64_t row, int64_t rows)
{
    for (int64_t r = row; r < row + rows; r++) {
        const int8_t *w = (const int8_t *)job->src + (size_t)(r - job->row0) * (size_t)job->p->k;
        int32_t sum = 0;
        for (int64_t i = 0; i < job->p->k; i++) sum += w[i];
        job->p->row_sum[r] = sum;
    }
}

static void pack_group_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const pack_job *const job = ctx;
    gs_packed *const p = job->p;
    const size_t element = gs_pack_element_bytes(p->kind), k_bytes = (size_t)p->k * element;
    const int64_t k_padded = gs_pack_k_padded(p->kind, p->k);
    const int64_t row = job->row0 + task * GS_GROUP_COLS, end = job->row0 + job->rows;
    const int64_t rows = end - row < GS_GROUP_COLS ? end - row : GS_GROUP_COLS;
    for (int64_t k0 = 0; k0 < k_padded; k0 += GS_GEMM_KC) {
        const int64_t kc = k_padded - k0 < GS_GEMM_KC ? k_padded - k0 : GS_GEMM_KC;
        const int64_t valid = p->k - k0 < kc ? p->k - k0 : kc;
        char *to = (char *)p->buf.data + gs_pack_block_offset(p, row / GS_GROUP_COLS, k0);
        for (int64_t j = 0; j < GS_GROUP_COLS; j += GS_PANEL_COLS, to += (size_t)kc * GS_PANEL_COLS * element) {
            const int64_t n = rows - j < 0 ? 0 : rows - j < GS_PANEL_COLS ? rows - j : GS_PANEL_COLS;
            const char *from = job->src + (size_t)(row - job->row0 + (n ? j : 0)) * k_bytes + (size_t)k0 * element;
            pack_panel(to, from, k_bytes, n, (size_t)valid * element, (size_t)kc * element);
        }
    }
    if (p->kind == GS_PACK_S8) sum_rows(job, row, rows);
}

void gs_pack_rows(gs_compute *c, gs_packed *p, int64_t row0, int64_t rows, const void *src)
{
    assert(row0 >= 0 && row0 % GS_PACK_ROWS == 0 && rows >= 0 && row0 + rows <= p->n);
    assert(rows % GS_PACK_ROWS == 0 || row0 + rows == p->n);
    pack_job job = {.p = p, .row0 = row0, .rows = rows, .src = src};
    gs_pool_run(c->pool, group_count(rows), pack_group_task, &job);
}

typedef struct unpack_job {
    const gs_packed *p;
    int64_t row0, rows;
    float *dst;
} unpack_job;

/* One weight row of one k block. from: the panel, at the row's column. */
static void unpack_row_f32(float *restrict to, const char *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) memcpy(&to[i], from + i * 64, 4);
}

static void unpack_row_bf16(float *restrict to, const char *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + i / 2 * 64 + i % 2 * 2, 2);
        to[i] = gs_bf16_to_f32(bits);
    }
}

static void unpack_group_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const unpack_job *const job = ctx;
    const gs_packed *const p = job->p;
    const int64_t k_padded = gs_pack_k_padded(p->kind, p->k);
    const int64_t group = job->row0 / GS_GROUP_COLS + task;
    const int64_t first = group * GS_GROUP_COLS < job->row0 ? job->row0 : group * GS_GROUP_COLS;
    const int64_t stop = (group + 1) * GS_GROUP_COLS, end = job->row0 + job->rows < stop ? job->row0 + job->rows : stop;
    for (int64_t k0 = 0; k0 < p->k; k0 += GS_GEMM_KC) {
        const int64_t kc = k_padded - k0 < GS_GEMM_KC ? k_padded - k0 : GS_GEMM_KC;
        const int64_t n = p->k - k0 < kc ? p->k - k0 : kc;
        const char *block = (const char *)p->buf.data + gs_pack_block_offset(p, group, k0);
        const size_t panel_bytes = (size_t)kc * GS_PANEL_COLS * gs_pack_element_bytes(p->kind);
        for (int64_t row = first; row < end; row++) {
            const int64_t j = row % GS_GROUP_COLS;
            const char *from = block + (size_t)(j / GS_PANEL_COLS) * panel_bytes + (size_t)(j % GS_PANEL_COLS) * 4;
            float *to = job->dst + (size_t)(row - job->row0) * (size_t)p->k + (size_t)k0;
            if (p->kind == GS_PACK_F32)
                unpack_row_f32(to, from, n);
            else
                unpack_row_bf16(to, from, n);
        }
    }
}

void gs_unpack_rows(gs_compute *c, const gs_packed *p, int64_t row0, int64_t rows, float *dst)
{
    assert(p->kind == GS_PACK_F32 || p->kind == GS_PACK_BF16);
    assert(row0 >= 0 && rows >= 0 && row0 + rows <= p->n);
    if (rows == 0) return;
    unpack_job job = {.p = p, .row0 = row0, .rows = rows, .dst = dst};
    const int64_t groups = (row0 + rows - 1) / GS_GROUP_COLS - row0 / GS_GROUP_COLS + 1;
    gs_pool_run(c->pool, groups, unpack_group_task, &job);
}
