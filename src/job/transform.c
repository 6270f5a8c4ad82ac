/* See transform.h. SPDX-License-Identifier: Apache-2.0 */
#include "job/transform.h"

#include <string.h>

void gs_transform_release(gs_transform *t)
{
    for (int norm = 0; norm < GS_NORMS; norm++) {
        gs_free(t->norm[norm]);
        gs_free(t->norm_bias[norm]);
    }
    for (int role = 0; role < GS_ROLES; role++) {
        gs_free(t->column[role]);
        gs_free(t->row[role]);
        gs_free(t->bias[role]);
    }
    *t = (gs_transform){0};
}

/* *vector, made on first use: a copy of `from`, or n times `value`. */
static float *own(float **vector, int64_t n, const float *from, float value)
{
    if (*vector) return *vector;
    *vector = gs_alloc_array((size_t)n, sizeof **vector);
    for (int64_t i = 0; i < n; i++) (*vector)[i] = from ? from[i] : value;
    return *vector;
}

static void scale_columns(gs_transform *t, const gs_block *b, gs_role role, const float *s)
{
    const int64_t in = b->weight[role].k;
    float *column = own(&t->column[role], in, NULL, 1.0f);
    for (int64_t i = 0; i < in; i++) column[i] *= s[i];
}

void gs_transform_norm(gs_transform *t, const gs_block *b, gs_norm norm, gs_role consumer, const float *s)
{
    const int64_t hidden = b->config->hidden;
    float *weight = own(&t->norm[norm], hidden, b->norm[norm], 0);
    for (int64_t i = 0; i < hidden; i++) weight[i] /= s[i];
    for (int64_t i = 0; i < hidden && t->norm_bias[norm]; i++) t->norm_bias[norm][i] /= s[i];
    scale_columns(t, b, consumer, s);
}

void gs_transform_shift(gs_transform *t, const gs_block *b, gs_norm norm, gs_role consumer, const float *shift,
                        const float *add)
{
    const int64_t hidden = b->config->hidden, out = b->weight[consumer].n;
    float *norm_bias = own(&t->norm_bias[norm], hidden, b->norm_bias[norm], 0);
    for (int64_t i = 0; i < hidden; i++) norm_bias[i] -= shift[i];
    float *bias = own(&t->bias[consumer], out, b->bias[consumer], 0);
    for (int64_t o = 0; o < out; o++) bias[o] += add[o];
}

void gs_transform_pair(gs_transform *t, const gs_block *b, gs_role producer, gs_role consumer, const float *s,
                       const float *div)
{
    const int64_t out = b->weight[producer].n;
    float *row = own(&t->row[producer], out, NULL, 1.0f);
    for (int64_t o = 0; o < out; o++) row[o] *= div[o];
    if (t->bias[producer] || b->bias[producer]) {
        float *bias = own(&t->bias[producer], out, b->bias[producer], 0);
        for (int64_t o = 0; o < out; o++) bias[o] /= div[o];
    }
    scale_columns(t, b, consumer, s);
}

gs_block gs_transform_view(const gs_transform *t, const gs_block *b)
{
    gs_block view = *b;
    for (int norm = 0; norm < GS_NORMS; norm++) {
        if (t->norm[norm]) view.norm[norm] = t->norm[norm];
        if (t->norm_bias[norm]) view.norm_bias[norm] = t->norm_bias[norm];
    }
    for (int role = 0; role < GS_ROLES; role++)
        if (t->bias[role]) view.bias[role] = t->bias[role];
    return view;
}

typedef struct scale_job {
    int64_t cols;
    const float *column;     /* NULL = 1 */
    const float *divide_row; /* per row, or NULL */
    const float *divide_column;
    const float *add;
    const float *from;
    float *to;
} scale_job;

static void scale_row(void *ctx, int64_t row, int worker)
{
    const scale_job *j = ctx;
    const float *from = j->from + row * j->cols;
    float *to = j->to + row * j->cols;
    (void)worker;
    if (to != from) memcpy(to, from, (size_t)j->cols * sizeof *to);
    if (j->column)
        for (int64_t i = 0; i < j->cols; i++) to[i] *= j->column[i];
    if (j->divide_row)
        for (int64_t i = 0; i < j->cols; i++) to[i] /= j->divide_row[row];
    if (j->divide_column)
        for (int64_t i = 0; i < j->cols; i++) to[i] /= j->divide_column[i];
    if (j->add)
        for (int64_t i = 0; i < j->cols; i++) to[i] += j->add[i];
}

void gs_transform_rows(const gs_transform *t, gs_compute *c, const gs_block *b, gs_role role, int64_t row, int64_t rows,
                       float *dst)
{
    gs_unpack_rows(c, &b->weight[role], row, rows, dst);
    if (!t->column[role] && !t->row[role]) return;
    scale_job job = {.cols = b->weight[role].k,
                     .column = t->column[role],
                     .divide_row = t->row[role] ? t->row[role] + row : NULL,
                     .from = dst,
                     .to = dst};
    gs_pool_run(c->pool, rows, scale_row, &job);
}

gs_status gs_transform_linear(const gs_transform *t, gs_compute *c, const gs_block *b, gs_role role, int64_t rows,
                              const float *x, float *y, gs_error *err)
{
    const gs_packed *p = &b->weight[role];
    const float *bias = t->bias[role] ? t->bias[role] : b->bias[role];
    gs_buf scaled = {0};
    if (t->column[role]) {
        GS_TRY(gs_buf_alloc(&scaled, (size_t)(rows * p->k) * sizeof(float), "scaled inputs of a linear", err));
        scale_job job = {.cols = p->k, .column = t->column[role], .from = x, .to = scaled.data};
        gs_pool_run(c->pool, rows, scale_row, &job);
        x = scaled.data;
    }
    const bool divides = t->row[role] != NULL;
    gs_gemm_f32(c, p, rows, x, p->k, divides ? NULL : bias, y, p->n);
    if (divides) {
        scale_job job = {.cols = p->n, .divide_column = t->row[role], .add = bias, .from = y, .to = y};
        gs_pool_run(c->pool, rows, scale_row, &job);
    }
    gs_buf_release(&scaled);
    return GS_OK;
}
