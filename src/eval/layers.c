/* Owns the comparison of two streams. SPDX-License-Identifier: Apache-2.0 */
#include "eval/layers.h"

#include <math.h>
#include <string.h>

#define LANES 8

typedef struct diff_job {
    const float *a, *b;
    int64_t n, a_step, b_step;
    double *signal, *noise;
} diff_job;

static void diff_row(void *ctx, int64_t task, int worker)
{
    const diff_job *job = ctx;
    const float *a = job->a + task * job->a_step, *b = job->b + task * job->b_step;
    double signal[LANES] = {0}, noise[LANES] = {0};
    (void)worker;
    int64_t i = 0;
    for (; i + LANES <= job->n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            const double v = (double)a[i + j], d = (double)b[i + j] - v;
            signal[j] += v * v;
            noise[j] += d * d;
        }
    }
    for (; i < job->n; i++) {
        const double v = (double)a[i], d = (double)b[i] - v;
        signal[i % LANES] += v * v;
        noise[i % LANES] += d * d;
    }
    job->signal[task] = job->noise[task] = 0;
    for (int j = 0; j < LANES; j++) {
        job->signal[task] += signal[j];
        job->noise[task] += noise[j];
    }
}

void gs_rows_error(gs_compute *c, int64_t rows, int64_t n, const float *a, int64_t a_step, const float *b,
                   int64_t b_step, double *signal, double *noise)
{
    diff_job job = {.a = a, .b = b, .n = n, .a_step = a_step, .b_step = b_step, .signal = signal, .noise = noise};
    gs_pool_run(c->pool, rows, diff_row, &job);
}

static int64_t kept_rows(int64_t rows, int64_t every) { return (rows + every - 1) / every; }

gs_status gs_kept_init(gs_kept *k, const gs_config *c, const gs_eval_set *set, int64_t chunk_rows, gs_error *err)
{
    int64_t width = 0;
    *k = (gs_kept){.set = set, .every = kept_rows(chunk_rows, GS_CHUNK_ROWS)};
    const int64_t rows = kept_rows(chunk_rows, k->every);
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t in;
        gs_role_shape(c, role, &k->out[role], &in);
        width += k->out[role];
    }
    GS_TRY(gs_buf_alloc(&k->buf, (size_t)(rows * width) * sizeof(float), "outputs of the float linears", err));
    float *at = k->buf.data;
    for (int role = 0; role < GS_ROLES; role++) {
        k->output[role] = at;
        at += rows * k->out[role];
    }
    return GS_OK;
}

void gs_kept_release(gs_kept *k)
{
    gs_buf_release(&k->buf);
    *k = (gs_kept){0};
}

/* First kept row at or behind row0. */
static int64_t first_kept(const gs_kept *k, int64_t row0) { return kept_rows(row0, k->every) * k->every; }

void gs_kept_store(gs_kept *k, const gs_chunk *chunk, gs_role role, int64_t row0, int64_t rows, const float *y)
{
    const int64_t n = k->out[role];
    (void)chunk;
    for (int64_t row = first_kept(k, row0); row < row0 + rows; row += k->every)
        memcpy(k->output[role] + row / k->every * n, y + (row - row0) * n, (size_t)n * sizeof *y);
}

/* The sample that a row of the stream belongs to, and whether its token is predicted. */
static bool is_predicted(const gs_eval_set *set, const gs_chunk *chunk, int64_t row)
{
    int64_t sample = chunk->first;
    while (chunk->start[sample + 1] <= row) sample++;
    return row - chunk->start[sample] >= set->first[sample];
}

void gs_kept_compare(gs_kept *k, gs_compute *c, const gs_chunk *chunk, gs_role role, int64_t row0, int64_t rows,
                     const float *y, gs_layer_sums *to)
{
    const int64_t n = k->out[role], first = first_kept(k, row0);
    if (first >= row0 + rows) return;
    const int64_t tasks = kept_rows(row0 + rows - first, k->every);
    gs_rows_error(c, tasks, n, k->output[role] + first / k->every * n, n, y + (first - row0) * n, n * k->every,
                  k->signal, k->noise);
    for (int64_t i = 0; i < tasks; i++) {
        if (!is_predicted(k->set, chunk, chunk->row0 + first + i * k->every)) continue;
        to->signal[role] += k->signal[i];
        to->noise[role] += k->noise[i];
    }
}

typedef struct cosine_job {
    const float *a, *b;
    int64_t n;
    double *cosine;
} cosine_job;

static void cosine_row(void *ctx, int64_t row, int worker)
{
    const cosine_job *job = ctx;
    const float *a = job->a + row * job->n, *b = job->b + row * job->n;
    double aa = 0, bb = 0, ab = 0;
    (void)worker;
    for (int64_t i = 0; i < job->n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    const double norm = sqrt(aa) * sqrt(bb);
    job->cosine[row] = norm > 0 ? ab / norm : aa == bb ? 1.0 : 0.0;
}

void gs_layers_cosine(gs_compute *c, const gs_eval_set *set, const gs_chunk *chunk, int64_t hidden, const float *exact,
                      const float *served, gs_layer_sums *to)
{
    double *const cosine = gs_alloc_array((size_t)chunk->rows, sizeof *cosine);
    cosine_job job = {.a = exact, .b = served, .n = hidden, .cosine = cosine};
    gs_pool_run(c->pool, chunk->rows, cosine_row, &job);
    for (int64_t row = 0; row < chunk->rows; row++) {
        if (!is_predicted(set, chunk, chunk->row0 + row)) continue;
        if (to->rows == 0 || cosine[row] < to->cosine_min) to->cosine_min = cosine[row];
        to->cosine += cosine[row];
        to->rows++;
    }
    gs_free(cosine);
}
