/* See trial.h. Loops, from outside in: input rows (at most ROWS at once), candidates (as many as their codes fit in memory), chunks
 * of weight rows, candidates. SPDX-License-Identifier: Apache-2.0 */
#include "smooth/trial.h"

#include <math.h>

#include "kernels/elem.h"
#include "smooth/group.h"

enum {
    ROWS = 2048,            /* input rows at once */
    CODE_BYTES = 192 << 20, /* input codes of all candidates at hand, unless one needs more */
    MOST_ZERO = 1024,       /* zero point of the integer product; the rest goes into the bias */
};

typedef struct input_grid {
    float step, zero;
} input_grid;

typedef struct run {
    gs_compute *c;
    const gs_trial *trial;
    int64_t channels, chunk; /* chunk: weight rows at once */
    int64_t turn;            /* input rows at once */
    int batch;               /* candidates at once */
    gs_buf memory;
    int8_t *x_codes;                 /* [batch, turn, channels] */
    input_grid *grid;                /* [batch] */
    float *x_rows;                   /* [turn, channels], when rows are picked */
    float *w_rows;                   /* [chunk, channels] */
    int8_t *w_codes;                 /* [chunk, channels] */
    float *w_scale, *bias;           /* [chunk] */
    float *want, *got;               /* [turn, chunk] */
    float *row_scale;                /* [turn] */
    int32_t *row_zero;               /* [turn] */
    double *row_sum;                 /* [turn] */
    gs_packed floats, codes;         /* [chunk, channels] */
    int64_t row0, rows, w_row0, w_n; /* at hand */
    const float *x;                  /* [rows, channels] at hand */
} run;

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- input codes ---- */

static input_grid grid_for(const gs_trial *trial, const float *t)
{
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < trial->weight->k; i++) { /* division keeps the order of a column */
        lo = fminf(lo, trial->min[i] / t[i]);
        hi = fmaxf(hi, trial->max[i] / t[i]);
    }
    if (trial->symmetric) return (input_grid){.step = fmaxf(fmaxf(-lo, hi) / 127.0f, GS_EPS)};
    const float step = fmaxf((hi - lo) / 255.0f, GS_EPS);
    return (input_grid){.step = step, .zero = gs_rint(-lo / step) - 128.0f};
}

typedef struct code_job {
    const run *r;
    const float *t;
    input_grid grid;
    int8_t *codes;
} code_job;

static void input_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const code_job *const j = ctx;
    const int64_t n = j->r->channels;
    gs_scaled_codes(j->r->c, n, j->r->x + row * n, j->t, true, j->grid.step, j->grid.zero, j->codes + row * n);
}

/* ---- weight codes ---- */

typedef struct weight_job {
    const run *r;
    const float *t;
} weight_job;

/* No code leaves ±127, since the step comes from the peak. */
static float codes_w8(const gs_compute *c, const float *w, const float *t, int64_t n, int8_t *codes)
{
    const float scale = fmaxf(gs_scaled_peak(c, n, w, t) / 127.0f, GS_EPS);
    gs_scaled_codes(c, n, w, t, false, scale, 0.0f, codes);
    return scale;
}

/* Root of the unbiased variance of |w·t|. */
static float spread_of(const float *w, const float *t, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)fabsf(w[i] * t[i]);
        sum += a;
        squares += a * a;
    }
    const double variance = n > 1 ? (squares - sum * sum / (double)n) / (double)(n - 1) : 0;
    return (float)sqrt(variance > 0 ? variance : 0);
}

static float codes_w4(const gs_compute *c, const float *w, const float *t, int64_t n, int8_t *codes)
{
    (void)c;
    const float limit = 3.0f, spread = spread_of(w, t, n);
    const float unit = spread > 0.0f ? spread : INFINITY; /* equal magnitudes: nothing stands out */
    float peak = 0;
    for (int64_t i = 0; i < n; i++) {
        const float a = fabsf(w[i] * t[i]);
        if (!(a / unit > limit) && a > peak) peak = a;
    }
    const float scale = fmaxf(peak / 7.0f, GS_EPS);
    for (int64_t i = 0; i < n; i++) {
        const float top = fabsf(w[i] * t[i]) / unit > limit ? 127.0f : 7.0f;
        codes[i] = gs_clamp_s8(gs_rint(w[i] * t[i] / scale), -top, top);
    }
    return scale;
}

static void weight_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const weight_job *const j = ctx;
    const run *const r = j->r;
    const float *const w = r->w_rows + row * r->channels;
    int8_t *const codes = r->w_codes + row * r->channels;
    r->w_scale[row] = (r->trial->kind == GS_TRIAL_W8 ? codes_w8 : codes_w4)(r->c, w, j->t, r->channels, codes);
}

/* ---- comparing ---- */

enum { SUM_ROWS = 16 };

typedef struct sum_job {
    const run *r;
    const float *got; /* NULL: the wanted output itself */
    int power;
} sum_job;

static void sum_task(void *ctx, int64_t task, int worker)
{
    enum { LANES = 8 };
    (void)worker;
    const sum_job *const j = ctx;
    const int64_t n = j->r->w_n, stop = min_i64((task + 1) * SUM_ROWS, j->r->rows);
    for (int64_t row = task * SUM_ROWS; row < stop; row++) {
        const float *const want = j->r->want + row * n, *const got = j->got ? j->got + row * n : NULL;
        double lane[LANES] = {0};
        for (int64_t i = 0; i < n; i += LANES) {
            const int m = (int)min_i64(LANES, n - i);
            for (int k = 0; k < m; k++) {
                const double d = got ? (double)got[i + k] - (double)want[i + k] : (double)want[i + k];
                lane[k] += j->power == 4 ? d * d * (d * d) : d * d;
            }
        }
        double sum = 0;
        for (int k = 0; k < LANES; k++) sum += lane[k];
        j->r->row_sum[row] = sum;
    }
}

static double sum_rows(const run *r, const float *got, int power)
{
    sum_job job = {.r = r, .got = got, .power = power};
    gs_pool_run(r->c->pool, (r->rows + SUM_ROWS - 1) / SUM_ROWS, sum_task, &job);
    double sum = 0;
    for (int64_t i = 0; i < r->rows; i++) sum += r->row_sum[i];
    return sum;
}

/* ---- the loops ---- */

static double try_candidate(run *r, int slot, const float *t)
{
    weight_job job = {.r = r, .t = t};
    const input_grid grid = r->grid[slot];
    gs_pool_run(r->c->pool, r->w_n, weight_task, &job);
    gs_packed *const codes = &r->codes;
    codes->n = r->w_n; /* panels depend on k only */
    gs_pack_rows(r->c, codes, 0, r->w_n, r->w_codes);
    /* A range far from 0 has a zero point beyond what the integer product takes. */
    const float zero = fmaxf(fminf(grid.zero, (float)MOST_ZERO), -(float)MOST_ZERO), rest = grid.zero - zero;
    for (int64_t i = 0; i < r->w_n; i++) r->bias[i] = -rest * (float)codes->row_sum[i] * (grid.step * r->w_scale[i]);
    for (int64_t i = 0; i < r->rows; i++) {
        r->row_scale[i] = grid.step;
        r->row_zero[i] = (int32_t)zero;
    }
    gs_gemm_s8(r->c, codes, r->rows, r->x_codes + slot * r->turn * r->channels, r->channels, r->row_scale, r->row_zero,
               r->w_scale, rest != 0.0f ? r->bias : NULL, r->got, r->w_n);
    return sum_rows(r, r->got, r->trial->power);
}

static gs_status try_batch(run *r, int count, const float *t, double *error, double *reference, gs_error *err)
{
    const gs_packed *const weight = r->trial->weight;
    for (int i = 0; i < count; i++) {
        r->grid[i] = grid_for(r->trial, t + i * r->channels);
        code_job job = {
            .r = r, .t = t + i * r->channels, .grid = r->grid[i], .codes = r->x_codes + i * r->turn * r->channels};
        gs_pool_run(r->c->pool, r->rows, input_task, &job);
    }
    const int64_t step = r->chunk * (r->trial->sparse > 1 ? r->trial->sparse : 1);
    for (r->w_row0 = 0; r->w_row0 < weight->n; r->w_row0 += step) {
        GS_TRY(gs_check_interrupt(err));
        r->w_n = min_i64(r->chunk, weight->n - r->w_row0);
        gs_unpack_rows(r->c, weight, r->w_row0, r->w_n, r->w_rows);
        r->floats.n = r->w_n;
        gs_pack_rows(r->c, &r->floats, 0, r->w_n, r->w_rows);
        gs_gemm_f32(r->c, &r->floats, r->rows, r->x, r->channels, NULL, r->want, r->w_n);
        if (reference) *reference += sum_rows(r, NULL, 2);
        for (int i = 0; i < count; i++) error[i] += try_candidate(r, i, t + i * r->channels);
    }
    return GS_OK;
}

static void take_rows(run *r)
{
    const gs_trial *const trial = r->trial;
    r->rows = min_i64(r->turn, trial->rows - r->row0);
    r->x = trial->x + r->row0 * trial->stride * r->channels;
    if (trial->stride == 1) return;
    for (int64_t i = 0; i < r->rows; i++)
        memcpy(r->x_rows + i * r->channels, r->x + i * trial->stride * r->channels,
               (size_t)r->channels * sizeof(float));
    r->x = r->x_rows;
}

static void *carve(char **at, size_t bytes)
{
    void *const p = *at;
    *at += (bytes + 63) / 64 * 64;
    return p;
}

static int batch_of(int count, int64_t turn, int64_t channels)
{
    const int64_t fit = CODE_BYTES / turn / channels;
    return fit >= count ? count : fit < 1 ? 1 : (int)fit;
}

static int64_t chunk_of(int64_t out, int64_t in)
{
    return min_i64(gs_smooth_chunk_rows(in), (out + GS_PACK_ROWS - 1) / GS_PACK_ROWS * GS_PACK_ROWS);
}

/* Of run.memory. */
static size_t memory_bytes(int batch, int64_t turn, int64_t chunk, int64_t channels)
{
    const size_t rows = (size_t)turn, n = (size_t)channels, weights = (size_t)chunk;
    return (size_t)batch * (rows * n + sizeof(input_grid)) + rows * n * sizeof(float) + weights * (n * 5 + 8) +
           rows * (weights * 8 + 16) + (size_t)12 * 64;
}

size_t gs_trial_bytes(int count, int64_t rows, int64_t out, int64_t in)
{
    const int64_t turn = min_i64(ROWS, rows), chunk = chunk_of(out, in);
    if (turn <= 0) return 0;
    return memory_bytes(batch_of(count, turn, in), turn, chunk, in) + gs_packed_bytes(GS_PACK_F32, chunk, in) +
           gs_packed_bytes(GS_PACK_S8, chunk, in);
}

static gs_status run_init(run *r, int count, gs_error *err)
{
    const size_t n = (size_t)r->channels, chunk = (size_t)r->chunk, turn = (size_t)r->turn, one = turn * n;
    const bool picked = r->trial->stride != 1;
    r->batch = batch_of(count, r->turn, r->channels);
    GS_TRY(gs_buf_alloc(&r->memory, memory_bytes(r->batch, r->turn, r->chunk, r->channels), "trial outputs of a linear",
                        err));
    char *at = r->memory.data;
    r->x_codes = carve(&at, (size_t)r->batch * one);
    r->grid = carve(&at, (size_t)r->batch * sizeof(input_grid));
    if (picked) r->x_rows = carve(&at, one * sizeof(float));
    r->w_rows = carve(&at, chunk * n * sizeof(float));
    r->w_codes = carve(&at, chunk * n);
    r->w_scale = carve(&at, chunk * sizeof(float));
    r->bias = carve(&at, chunk * sizeof(float));
    r->want = carve(&at, turn * chunk * sizeof(float));
    r->got = carve(&at, turn * chunk * sizeof(float));
    r->row_scale = carve(&at, turn * sizeof(float));
    r->row_zero = carve(&at, turn * sizeof(int32_t));
    r->row_sum = carve(&at, turn * sizeof(double));
    GS_TRY(gs_packed_alloc(&r->floats, GS_PACK_F32, r->chunk, r->channels, "weight rows of a trial", err));
    return gs_packed_alloc(&r->codes, GS_PACK_S8, r->chunk, r->channels, "weight codes of a trial", err);
}

static gs_status run_all(run *r, int count, const float *t, double *error, double *reference, gs_error *err)
{
    GS_TRY(run_init(r, count, err));
    for (r->row0 = 0; r->row0 < r->trial->rows; r->row0 += r->turn) {
        take_rows(r);
        for (int i = 0; i < count; i += r->batch) {
            const int n = count - i < r->batch ? count - i : r->batch;
            GS_TRY(try_batch(r, n, t + i * r->channels, error + i, i == 0 ? reference : NULL, err));
        }
    }
    return GS_OK;
}

gs_status gs_trial_run(gs_compute *c, const gs_trial *trial, int count, const float *t, double *error,
                       double *reference, gs_error *err)
{
    run r = {.c = c,
             .trial = trial,
             .channels = trial->weight->k,
             .turn = min_i64(ROWS, trial->rows),
             .chunk = chunk_of(trial->weight->n, trial->weight->k)};
    for (int i = 0; i < count; i++) error[i] = 0;
    *reference = 0;
    const gs_status status = run_all(&r, count, t, error, reference, err);
    gs_packed_release(&r.floats);
    gs_packed_release(&r.codes);
    gs_buf_release(&r.memory);
    return status;
}
