/* Owns the fake-quantized linear of the calibration walk: the input is quantized with the parameters that hold after
 * its own sample, the product is exact in integers, and the result is what the dequantized codes would give up to one
 * rounding per factor.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/fakequant.h"

#include <math.h>

#define IN_MAX 65536 /* above, the integer sums of gs_gemm_s8 could leave int32 */

static gs_status init_codes(gs_fake_linear *f, int64_t out, int64_t in, const float *bias, gs_error *err)
{
    *f = (gs_fake_linear){0};
    if (in > IN_MAX) {
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "a linear with %lld inputs is wider than the %d that int8 calibration supports; keep it in float with "
            "--disable_names",
            (long long)in, IN_MAX);
    }
    GS_TRY(gs_packed_alloc(&f->codes, GS_PACK_S8, out, in, "int8 weight codes of a linear", err));
    f->active = true;
    f->out = out;
    f->in = in;
    f->bias = bias;
    f->scale = gs_alloc_array((size_t)out, sizeof(float));
    return GS_OK;
}

gs_status gs_fake_init(gs_fake_linear *f, int64_t out, int64_t in, gs_observer_kind kind, bool truncate,
                       gs_dtype round_scale, const float *bias, gs_error *err)
{
    GS_TRY(init_codes(f, out, in, bias, err));
    f->round_scale = round_scale;
    f->observer = gs_observer_create(kind, truncate);
    f->act = gs_act_asym8(0.0f, 0.0f, round_scale);
    return GS_OK;
}

gs_status gs_fake_init_per_token(gs_fake_linear *f, int64_t out, int64_t in, const float *bias, gs_error *err)
{
    GS_TRY(init_codes(f, out, in, bias, err));
    f->per_token = true;
    return GS_OK;
}

gs_status gs_fake_init_fixed(gs_fake_linear *f, int64_t out, int64_t in, gs_act_params act, const float *bias,
                             gs_error *err)
{
    GS_TRY(init_codes(f, out, in, bias, err));
    f->fixed = true;
    f->act = act;
    return GS_OK;
}

gs_status gs_fake_init_weight_only(gs_fake_linear *f, int64_t out, int64_t in, const float *bias, gs_error *err)
{
    *f = (gs_fake_linear){0};
    GS_TRY(gs_packed_alloc(&f->codes, GS_PACK_F32, out, in, "dequantized weight of a linear", err));
    f->active = f->weight_only = true;
    f->out = out;
    f->in = in;
    f->bias = bias;
    f->scale = gs_alloc_array((size_t)out, sizeof(float));
    return GS_OK;
}

gs_status gs_fake_use_reference(gs_fake_linear *f, gs_error *err)
{
    f->reference = gs_alloc(sizeof *f->reference);
    return gs_reference_init(f->reference, f->out, f->in, err);
}

typedef struct cut_job {
    int64_t in;
    const float *x;
    float *to;
} cut_job;

/* One token, over 1.001 times its largest magnitude: whole sevenths, then a fifteenth of the rest twice over, each cut down.
 * A token of zeros stays one, where the reference divides by zero. */
static void cut_row(void *ctx, int64_t row, int worker)
{
    const cut_job *job = ctx;
    const float *x = job->x + row * job->in;
    float *to = job->to + row * job->in, peak = 0.0f;
    (void)worker;
    for (int64_t i = 0; i < job->in; i++) peak = fmaxf(peak, fabsf(x[i]));
    const float unit = 1.001f * peak;
    for (int64_t i = 0; i < job->in; i++) {
        const float u = peak > 0.0f ? x[i] / unit : 0.0f;
        float v = floorf(7.0f * u) / 7.0f;
        v += fminf(floorf((u - v) * 7.0f * 15.0f), 15.0f) / 15.0f / 7.0f;
        v += fminf(floorf((u - v) * 15.0f * 7.0f * 15.0f), 15.0f) / 225.0f / 7.0f;
        to[i] = v * unit;
    }
}

/* Of the scratch, behind the codes. */
static float *scratch_floats(const gs_fake_linear *f, int64_t rows, int8_t *codes)
{
    return (float *)(void *)(codes + (rows * f->in + 63) / 64 * 64);
}

static gs_status forward_weight_only(gs_fake_linear *f, gs_compute *c, int64_t rows, const float *x, int8_t *codes,
                                     float *y, gs_error *err)
{
    if (f->reference && f->cut_inputs) {
        cut_job job = {f->in, x, scratch_floats(f, rows, codes)};
        gs_pool_run(c->pool, rows, cut_row, &job);
        x = job.to;
    }
    if (f->reference) return gs_reference_apply(f->reference, c, rows, x, f->bias, y, err);
    gs_gemm_f32(c, &f->codes, rows, x, f->in, f->bias, y, f->out);
    return GS_OK;
}

typedef struct dequantize_job {
    int64_t in;
    const int8_t *codes;
    const float *scale;  /* per row */
    const int32_t *zero; /* per row, or NULL */
    float *to;
} dequantize_job;

/* (q - z)·s, one rounding. */
static void dequantize_row(void *ctx, int64_t row, int worker)
{
    const dequantize_job *job = ctx;
    const int32_t zero = job->zero ? job->zero[row] : 0;
    const int8_t *from = job->codes + row * job->in;
    float *to = job->to + row * job->in;
    (void)worker;
    for (int64_t i = 0; i < job->in; i++) to[i] = (float)(from[i] - zero) * job->scale[row];
}

void gs_fake_set_rows(gs_fake_linear *f, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes,
                      const float *forward)
{
    if (f->reference) gs_reference_set_rows(f->reference, c, row0, rows, forward);
    if (f->weight_only)
        gs_pack_rows(c, &f->codes, row0, rows, forward);
    else
        gs_pack_rows(c, &f->codes, row0, rows, codes);
}

void gs_fake_release(gs_fake_linear *f)
{
    if (f->reference) gs_reference_release(f->reference);
    gs_free(f->reference);
    gs_packed_release(&f->codes);
    gs_observer_free(f->observer);
    gs_free(f->scale);
    gs_free(f->sample);
    gs_free(f->row_scale);
    gs_free(f->row_zero);
    *f = (gs_fake_linear){0};
}

gs_status gs_fake_observe(gs_fake_linear *f, gs_compute *c, const gs_chunk *chunk, const float *x, gs_error *err)
{
    if (f->weight_only || f->per_token || f->fixed) return GS_OK;
    if (chunk->count > f->sample_cap) {
        f->sample = gs_realloc_array(f->sample, (size_t)chunk->count, sizeof *f->sample);
        f->sample_cap = chunk->count;
    }
    for (int64_t i = 0; i < chunk->count; i++) {
        const int64_t s = chunk->first + i;
        const int64_t rows = chunk->start[s + 1] - chunk->start[s];
        if (rows > 0) {
            const float *values = x + (chunk->start[s] - chunk->row0) * f->in;
            if (gs_observer_add(f->observer, c, rows * f->in, values, &f->xmin, &f->xmax, err) != GS_OK) {
                return gs_wrap(err, "calibration sample %lld", (long long)s);
            }
            f->act = (f->symmetric ? gs_act_sym8 : gs_act_asym8)(f->xmin, f->xmax, f->round_scale);
        }
        f->sample[i] = f->act;
    }
    return GS_OK;
}

/* Codes of rows that share their parameters: rows at .. at + rows of the call. */
static void quantize_alike(gs_fake_linear *f, gs_compute *c, gs_act_params act, int64_t at, int64_t rows,
                           const float *x, int8_t *codes)
{
    gs_quantize_s8(c, rows * f->in, x + at * f->in, act.scale, act.zero, codes + at * f->in);
    for (int64_t r = at; r < at + rows; r++) {
        f->row_scale[r] = act.scale;
        f->row_zero[r] = (int32_t)act.zero;
    }
}

/* Per-row parameters of rows row0 .. row0+rows, and the codes of x, sample by sample. */
static void quantize_rows(gs_fake_linear *f, gs_compute *c, const gs_chunk *chunk, int64_t row0, int64_t rows,
                          const float *x, int8_t *codes)
{
    const int64_t last = row0 + rows;
    for (int64_t i = 0; i < chunk->count; i++) {
        const int64_t begin = chunk->start[chunk->first + i] - chunk->row0;
        const int64_t end = chunk->start[chunk->first + i + 1] - chunk->row0;
        const int64_t from = begin > row0 ? begin : row0, to = end < last ? end : last;
        if (from >= to) continue;
        quantize_alike(f, c, f->sample[i], from - row0, to - from, x, codes);
    }
}

gs_status gs_fake_forward(gs_fake_linear *f, gs_compute *c, const gs_chunk *chunk, int64_t row0, int64_t rows,
                          const float *x, int8_t *codes, float *y, gs_error *err)
{
    if (f->weight_only) return forward_weight_only(f, c, rows, x, codes, y, err);
    const bool observed = f->per_token || f->fixed || chunk->count <= f->sample_cap;
    if (row0 < 0 || rows < 0 || row0 + rows > chunk->rows || !observed) {
        return gs_fail(err, GS_ERR_UNSUPPORTED, "rows %lld to %lld of a chunk of %lld were not observed",
                       (long long)row0, (long long)(row0 + rows), (long long)chunk->rows);
    }
    if (rows > f->row_cap) {
        f->row_scale = gs_realloc_array(f->row_scale, (size_t)rows, sizeof *f->row_scale);
        f->row_zero = gs_realloc_array(f->row_zero, (size_t)rows, sizeof *f->row_zero);
        f->row_cap = rows;
    }
    if (f->per_token) {
        gs_weight_w8_sym(c, rows, f->in, x, f->row_scale, codes); /* the same rule for a row of either */
        memset(f->row_zero, 0, (size_t)rows * sizeof *f->row_zero);
    } else if (f->fixed) {
        quantize_alike(f, c, f->act, 0, rows, x, codes);
    } else {
        quantize_rows(f, c, chunk, row0, rows, x, codes);
    }
    if (f->reference) {
        float *dequantized = scratch_floats(f, rows, codes);
        dequantize_job job = {f->in, codes, f->row_scale, f->row_zero, dequantized};
        gs_pool_run(c->pool, rows, dequantize_row, &job);
        return gs_reference_apply(f->reference, c, rows, dequantized, f->bias, y, err);
    }
    gs_gemm_s8(c, &f->codes, rows, codes, f->in, f->row_scale, f->row_zero, f->scale, f->bias, y, f->out);
    return GS_OK;
}
