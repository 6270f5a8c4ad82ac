/* The W4A4 transform on rows, int4 codes of rows, and the linear as an accelerator computes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>

#include "quant/w4a4_parts.h"

void gs_w4a4_transpose(int64_t rows, int64_t cols, const float *src, int64_t src_stride, float *dst, int64_t dst_stride)
{
    enum { SIDE = 16 };
    for (int64_t i0 = 0; i0 < rows; i0 += SIDE)
        for (int64_t j0 = 0; j0 < cols; j0 += SIDE) {
            const int64_t i1 = gs_w4a4_min(i0 + SIDE, rows), j1 = gs_w4a4_min(j0 + SIDE, cols);
            for (int64_t j = j0; j < j1; j++)
                for (int64_t i = i0; i < i1; i++) dst[j * dst_stride + i] = src[i * src_stride + j];
        }
}

/* Panels of mᵀ for a product with m on the right. */
static gs_status pack_transposed(gs_packed *p, gs_compute *c, int64_t n, const float *m, gs_error *err)
{
    GS_TRY(gs_packed_alloc(p, GS_PACK_F32, n, n, "factors of the W4A4 transform", err));
    float *t = gs_alloc_array((size_t)(n * n), sizeof *t);
    gs_w4a4_transpose(n, n, m, n, t, n);
    gs_pack_rows(c, p, 0, n, t);
    gs_free(t);
    return GS_OK;
}

gs_status gs_w4a4_pair_init(gs_w4a4_pair *p, gs_compute *c, int64_t a, int64_t b, const float *left, const float *right,
                            gs_error *err)
{
    *p = (gs_w4a4_pair){.a = a, .b = b};
    gs_status status = pack_transposed(&p->left, c, a, left, err);
    if (status == GS_OK) status = pack_transposed(&p->right, c, b, right, err);
    if (status != GS_OK) gs_w4a4_pair_release(p);
    return status;
}

void gs_w4a4_pair_release(gs_w4a4_pair *p)
{
    gs_packed_release(&p->left);
    gs_packed_release(&p->right);
    memset(p, 0, sizeof *p);
}

typedef struct turn_job {
    int64_t a, b;
    const float *src;
    float *dst;
} turn_job;

static void turn_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const turn_job *const job = ctx;
    const int64_t at = task * job->a * job->b;
    gs_w4a4_transpose(job->a, job->b, job->src + at, job->b, job->dst + at, job->a);
}

void gs_w4a4_pair_apply(const gs_w4a4_pair *p, gs_compute *c, int64_t rows, float *x, float *work)
{
    const int64_t a = p->a, b = p->b;
    gs_gemm_f32(c, &p->right, rows * a, x, b, NULL, work, b); /* X·R */
    turn_job job = {.a = a, .b = b, .src = work, .dst = x};
    gs_pool_run(c->pool, rows, turn_task, &job);
    gs_gemm_f32(c, &p->left, rows * b, x, a, NULL, work, a); /* (X·R)ᵀ·L */
    job = (turn_job){.a = b, .b = a, .src = work, .dst = x};
    gs_pool_run(c->pool, rows, turn_task, &job);
}

typedef struct row_job {
    int64_t in;
    const float *x, *d;
    float *y;
    bool weight;
    float clip_ratio;
    int8_t *codes;
    float *scale;
} row_job;

static void diagonal_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const row_job *const job = ctx;
    float *const y = job->y + task * job->in;
    const float *const d = job->d;
    if (job->weight)
        for (int64_t j = 0; j < job->in; j++) y[j] /= d[j];
    else
        for (int64_t j = 0; j < job->in; j++) y[j] *= d[j];
}

void gs_w4a4_enter(const gs_w4a4_pair *pair, gs_compute *c, const float *d, bool weight, int64_t rows, float *x,
                   float *work)
{
    row_job job = {.in = pair->a * pair->b, .d = d, .y = x, .weight = weight};
    if (d) gs_pool_run(c->pool, rows, diagonal_task, &job);
    gs_w4a4_pair_apply(pair, c, rows, x, work);
}

enum { FOUR = 4, LANES = 16 };

float gs_w4a4_peak(int64_t n, const float *x, float least)
{
    gs_w4a4_four lane[LANES / FOUR] = {{least}, {least}, {least}, {least}};
    const gs_w4a4_mask size_bits = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int k = 0; k < LANES / FOUR; k++) {
            const gs_w4a4_four size = (gs_w4a4_four)((gs_w4a4_mask)gs_w4a4_load(x + j + k * FOUR) & size_bits);
            lane[k] = gs_w4a4_pick(size > lane[k], size, lane[k]);
        }
    float peak = least;
    for (int k = 0; k < LANES; k++) peak = lane[k / FOUR][k % FOUR] > peak ? lane[k / FOUR][k % FOUR] : peak;
    for (; j < n; j++) peak = fabsf(x[j]) > peak ? fabsf(x[j]) : peak;
    return peak;
}

void gs_w4a4_codes(int64_t n, const float *x, float s, int8_t *codes)
{
    int64_t j = 0;
    for (; j + FOUR <= n; j += FOUR) {
        const gs_w4a4_four v = gs_w4a4_code(gs_w4a4_load(x + j) / s);
        for (int k = 0; k < FOUR; k++) codes[j + k] = (int8_t)v[k];
    }
    for (; j < n; j++) codes[j] = (int8_t)gs_w4a4_code((gs_w4a4_four){x[j] / s})[0];
}

static void quantize_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const row_job *const job = ctx;
    const float *const x = job->x + task * job->in;
    float s = gs_w4a4_peak(job->in, x, 0.0f) * job->clip_ratio / 7.0f;
    if (s == 0) s = 1.0f;
    job->scale[task] = s;
    gs_w4a4_codes(job->in, x, s, job->codes + task * job->in);
}

void gs_w4a4_quantize(gs_compute *c, int64_t rows, int64_t in, const float *x, float clip_ratio, int8_t *codes,
                      float *scale)
{
    row_job job = {.in = in, .x = x, .clip_ratio = clip_ratio, .codes = codes, .scale = scale};
    gs_pool_run(c->pool, rows, quantize_task, &job);
}

/* ---- the linear ---- */

/* Rows that one turn of the forward takes, and where its parts are in `work`. */
enum { TURN = GS_W4A4_CHUNK };

static size_t linear_work_bytes(int64_t in) { return (size_t)(TURN * in) * 9 + TURN * 8; }

size_t gs_w4a4_linear_bytes(int64_t out, int64_t in)
{
    int64_t a, b;
    if (!gs_w4a4_split(in, &a, &b)) return SIZE_MAX;
    return gs_packed_bytes(GS_PACK_F32, a, a) + gs_packed_bytes(GS_PACK_F32, b, b) +
           gs_packed_bytes(GS_PACK_S8, out, in) + linear_work_bytes(in) + (size_t)(out + in) * sizeof(float);
}

gs_status gs_w4a4_linear_init(gs_w4a4_linear *l, gs_compute *c, int64_t out, int64_t in, const float *left,
                              const float *right, float clip_ratio, const float *d, const float *bias, gs_error *err)
{
    int64_t a, b;
    *l = (gs_w4a4_linear){.out = out, .in = in, .clip_ratio = clip_ratio, .bias = bias};
    if (!gs_w4a4_split(in, &a, &b) || out < 1)
        return gs_fail(err, GS_ERR_UNSUPPORTED, "W4A4: a linear of %lld x %lld has no split of its input width",
                       (long long)out, (long long)in);
    gs_status status = gs_w4a4_pair_init(&l->pair, c, a, b, left, right, err);
    if (status == GS_OK) status = gs_packed_alloc(&l->codes, GS_PACK_S8, out, in, "codes of a W4A4 linear", err);
    if (status == GS_OK) status = gs_buf_alloc(&l->work, linear_work_bytes(in), "rows of a W4A4 linear", err);
    if (status != GS_OK) {
        gs_w4a4_linear_release(l);
        return status;
    }
    l->scale = gs_alloc_array((size_t)out, sizeof *l->scale);
    if (d) {
        l->d = gs_alloc_array((size_t)in, sizeof *l->d);
        memcpy(l->d, d, (size_t)in * sizeof *d);
    }
    return GS_OK;
}

void gs_w4a4_linear_release(gs_w4a4_linear *l)
{
    gs_w4a4_pair_release(&l->pair);
    gs_packed_release(&l->codes);
    gs_buf_release(&l->work);
    gs_free(l->scale);
    gs_free(l->d);
    memset(l, 0, sizeof *l);
}

void gs_w4a4_linear_set_rows(gs_w4a4_linear *l, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes,
                             const float *scale)
{
    assert(row0 >= 0 && rows >= 0 && row0 + rows <= l->out);
    memcpy(l->scale + row0, scale, (size_t)rows * sizeof *scale);
    gs_pack_rows(c, &l->codes, row0, rows, codes);
}

void gs_w4a4_linear_forward(gs_w4a4_linear *l, gs_compute *c, int64_t rows, const float *x, float *y)
{
    float *const xt = l->work.data, *const work = xt + TURN * l->in, *const scale = work + TURN * l->in;
    int32_t *const zero = (int32_t *)(void *)(scale + TURN); /* stays zero */
    int8_t *const codes = (int8_t *)(zero + TURN);
    for (int64_t row = 0; row < rows; row += TURN) {
        const int64_t n = gs_w4a4_min(TURN, rows - row);
        memcpy(xt, x + row * l->in, (size_t)(n * l->in) * sizeof *xt);
        gs_w4a4_enter(&l->pair, c, l->d, false, n, xt, work);
        gs_w4a4_quantize(c, n, l->in, xt, l->clip_ratio, codes, scale);
        gs_gemm_s8(c, &l->codes, n, codes, l->in, scale, zero, l->scale, l->bias, y + row * l->out, l->out);
    }
}
