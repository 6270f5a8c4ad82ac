/* W4A4 weight codes: the transformed rows, their scales, and rounding column after column, each with the error of those
 * before it. With H = L·D·Lᵀ (L unit lower, D diagonal) the error e·H·eᵀ is Σ_j D_j·(e_j + Σ_{i>j} e_i·L_ij)², so going from
 * the last place down, place j rounds w_j + Σ_{i>j} e_i·L_ij: the rule of GPTQ without an inverse. Errors of earlier blocks of
 * columns enter by a product, those of the same block row by row. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quant/w4a4_parts.h"

enum { NB = GS_W4A4_BLOCK, LANES = 16, FOUR = 4, FACTORS = 9 };

typedef struct scale_job {
    int64_t in;
    const float *w, *moment;
    float *scale;
    int8_t *codes;
} scale_job;

/* The reciprocal may round a tie the other way, which changes no error. */
static double error_at(int64_t in, const float *w, const float *moment, float s)
{
    const float inverse = 1.0f / s;
    gs_w4a4_four lane[LANES / FOUR] = {{0}};
    double sum = 0;
    int64_t j = 0;
    for (; j + LANES <= in; j += LANES)
        for (int k = 0; k < LANES / FOUR; k++) {
            const gs_w4a4_four v = gs_w4a4_load(w + j + k * FOUR), e = gs_w4a4_code(v * inverse) * s - v;
            lane[k] += gs_w4a4_load(moment + j + k * FOUR) * (e * e);
        }
    for (; j < in; j++) {
        const float e = gs_w4a4_code((gs_w4a4_four){w[j] * inverse})[0] * s - w[j];
        sum += (double)(moment[j] * (e * e));
    }
    for (int k = 0; k < LANES; k++) sum += (double)lane[k / FOUR][k % FOUR];
    return sum;
}

static void scale_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    static const float factors[FACTORS] = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f, 0.65f, 0.6f};
    const scale_job *const job = ctx;
    const float *const w = job->w + row * job->in;
    const float whole = gs_w4a4_peak(job->in, w, 1e-5f) / 7.0f;
    float s = whole;
    double best = -1;
    for (int i = 0; job->moment && i < FACTORS; i++) {
        const double error = error_at(job->in, w, job->moment, whole * factors[i]);
        if (best >= 0 && !(error < best)) continue;
        best = error;
        s = whole * factors[i];
    }
    job->scale[row] = s;
    if (job->codes) gs_w4a4_codes(job->in, w, s, job->codes + row * job->in);
}

void gs_w4a4_row_scale(gs_compute *c, int64_t rows, int64_t in, const float *w, const float *moment, float *scale,
                       int8_t *codes)
{
    scale_job job = {.in = in, .w = w, .moment = moment, .scale = scale, .codes = codes};
    gs_pool_run(c->pool, rows, scale_task, &job);
}

typedef struct round_job {
    const gs_w4a4_plan *p;
    const float *factor; /* [in, in] */
    int64_t rows, j0, j1;
    float *w;     /* [rows, in] in the order of rounding; errors in the places that are done */
    float *carry; /* [rows, NB]: what the errors of places from j1 on add to places j0..j1 */
    float *dense; /* [NB, in] */
    const float *scale;
    int8_t *codes;
} round_job;

static void order_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const round_job *const job = ctx;
    const int64_t in = job->p->in;
    const float *const from = job->dense + row * in; /* here: the rows as they came */
    for (int64_t j = 0; j < in; j++) job->w[row * in + j] = from[job->p->order[j]];
}

static void factor_rows_task(void *ctx, int64_t r, int worker)
{
    (void)worker;
    const round_job *const job = ctx;
    const int64_t in = job->p->in, k = in - job->j1;
    memcpy(job->dense + r * k, job->factor + (job->j0 + r) * in + job->j1, (size_t)k * sizeof(float));
}

/* Places j0..j1 of 16 rows, one row per lane. e: the weights, then their errors; sum: what earlier places add; s: scales. */
static void round_lanes(const round_job *job, float e[NB][LANES], float sum[NB][LANES], const float *s,
                        int8_t codes[LANES][NB])
{
    const int64_t in = job->p->in, nb = job->j1 - job->j0;
    for (int64_t j = nb - 1; j >= 0; j--) {
        const float *const factor = job->factor + (job->j0 + j) * in + job->j0;
        gs_w4a4_four acc[LANES / FOUR];
        memcpy(acc, sum[j], sizeof acc);
        for (int64_t i = j + 1; i < nb; i++) {
            const float f = factor[i];
            acc[0] += gs_w4a4_load(e[i]) * f;
            acc[1] += gs_w4a4_load(e[i] + FOUR) * f;
            acc[2] += gs_w4a4_load(e[i] + 2 * FOUR) * f;
            acc[3] += gs_w4a4_load(e[i] + 3 * FOUR) * f;
        }
        for (int k = 0; k < LANES / FOUR; k++) {
            const gs_w4a4_four w = gs_w4a4_load(e[j] + k * FOUR), scale = gs_w4a4_load(s + k * FOUR);
            const gs_w4a4_four code = gs_w4a4_code((w + acc[k]) / scale);
            gs_w4a4_store(e[j] + k * FOUR, w - code * scale);
            for (int64_t r = 0; r < FOUR; r++) codes[k * FOUR + r][j] = (int8_t)code[r];
        }
    }
}

static void block_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const round_job *const job = ctx;
    const int64_t in = job->p->in, nb = job->j1 - job->j0, r0 = task * LANES;
    const int64_t lanes = gs_w4a4_min(LANES, job->rows - r0);
    float e[NB][LANES] = {{0}}, sum[NB][LANES] = {{0}}, s[LANES];
    int8_t codes[LANES][NB];
    for (int64_t r = 0; r < LANES; r++) s[r] = r < lanes ? job->scale[r0 + r] : 1.0f;
    for (int64_t r = 0; r < lanes; r++)
        for (int64_t j = 0; j < nb; j++) {
            e[j][r] = job->w[(r0 + r) * in + job->j0 + j];
            if (job->j1 < in) sum[j][r] = job->carry[(r0 + r) * nb + j];
        }
    round_lanes(job, e, sum, s, codes);
    for (int64_t r = 0; r < lanes; r++) {
        for (int64_t j = 0; j < nb; j++) job->w[(r0 + r) * in + job->j0 + j] = e[j][r];
        memcpy(job->codes + (r0 + r) * in + job->j0, codes[r], (size_t)nb);
    }
}

/* Codes from the order of rounding to their columns, row by row: done block by block it would go through all cache lines of all
 * rows once per block. The errors of the row are not needed any more. */
static void place_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const round_job *const job = ctx;
    const int64_t in = job->p->in;
    int8_t *const codes = job->codes + row * in, *const copy = (int8_t *)(job->w + row * in);
    memcpy(copy, codes, (size_t)in);
    for (int64_t j = 0; j < in; j++) codes[job->p->order[j]] = copy[j];
}

/* wt is the source of the reordered rows and then room for the factor's rows. */
static void round_all(round_job *job, gs_compute *c, gs_packed *panel)
{
    const int64_t in = job->p->in;
    gs_pool_run(c->pool, job->rows, order_task, job);
    for (job->j1 = in; job->j1 > 0; job->j1 = job->j0) {
        job->j0 = (job->j1 - 1) / NB * NB;
        if (job->j1 < in) {
            panel->n = job->j1 - job->j0;
            panel->k = in - job->j1;
            gs_pool_run(c->pool, panel->n, factor_rows_task, job);
            gs_pack_rows(c, panel, 0, panel->n, job->dense);
            gs_gemm_f32(c, panel, job->rows, job->w + job->j1, in, NULL, job->carry, panel->n);
        }
        gs_pool_run(c->pool, (job->rows + LANES - 1) / LANES, block_task, job);
    }
    gs_pool_run(c->pool, job->rows, place_task, job);
}

void gs_w4a4_round_rows(gs_w4a4_plan *p, gs_compute *c, int64_t rows, const float *scale, int8_t *codes)
{
    float *const wt = p->work.data;
    const int64_t half = gs_w4a4_round_rows_max(p->in) * p->in;
    round_job job = {.p = p,
                     .factor = p->factor.data,
                     .rows = rows,
                     .dense = wt,
                     .w = wt + half,
                     .carry = wt + 2 * half,
                     .scale = scale,
                     .codes = codes};
    gs_packed panel = p->panel;
    round_all(&job, c, &panel);
}

gs_status gs_w4a4_round(gs_w4a4_plan *p, gs_compute *c, const gs_packed *w, int64_t row0, int64_t rows, int8_t *codes,
                        float *scale, gs_error *err)
{
    const int64_t in = p->in, most = gs_w4a4_round_rows_max(in);
    float *const wt = p->work.data, *const work = wt + most * in;
    for (int64_t row = 0; row < rows; row += most) {
        const int64_t n = gs_w4a4_min(most, rows - row);
        GS_TRY(gs_check_interrupt(err));
        gs_unpack_rows(c, w, row0 + row, n, wt);
        gs_w4a4_enter(&p->weight, c, p->d, true, n, wt, work);
        gs_w4a4_row_scale(c, n, in, wt, p->moment, scale + row, NULL);
        for (int64_t r = 0; r < n; r++)
            if (!(scale[row + r] < INFINITY))
                return gs_fail(err, GS_ERR_NUMERIC, "W4A4: row %lld of the weight is NaN or infinite",
                               (long long)(row0 + row + r));
        gs_w4a4_round_rows(p, c, n, scale + row, codes + row * in);
    }
    return GS_OK;
}
