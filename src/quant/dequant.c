/* Owns the way back from codes to values, and how far those are from the weight. SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/elem.h"
#include "quant/rule_row.h"

#define LANES GS_ERROR_LANES

typedef struct dequant_job {
    const gs_compute *c;
    const gs_weight_rule *rule;
    int64_t rows, in, rows_per_task;
    const gs_weight_codes *from;
    const float *w;
    float *out;
    gs_sqnr *row;
} dequant_job;

/* Scale and offset of the span of a row that begins at column i; *end is where it ends. */
static gs_grid span_of(const gs_weight_rule *rule, int64_t in, const gs_weight_codes *from, int64_t i, int64_t *end)
{
    const int64_t width = rule->group_size > 0 ? rule->group_size : in, k = i / width;
    const int64_t column = rule->kind == GS_WEIGHT_GROUP ? k : 0;
    gs_grid g = {.scale = from->scale[column]};
    if (from->offset) g.offset = from->offset[column];
    if (from->scale_second && rule->kind == GS_WEIGHT_TWO_STAGE) g.scale *= from->scale_second[k];
    *end = (k + 1) * width;
    return g;
}

static void dequant_row(const gs_weight_rule *rule, int64_t in, const gs_weight_codes *from, float *out)
{
    int64_t end;
    for (int64_t i = 0; i < in;) {
        const gs_grid g = span_of(rule, in, from, i, &end);
        for (; i < end; i++) out[i] = ((float)from->codes[i] - g.offset) * g.scale;
    }
}

/* Column i adds to lane i mod 8; lanes are added in order. */
gs_sqnr gs_weight_sqnr_row(const gs_compute *c, const gs_weight_rule *rule, int64_t in, const float *w,
                           const gs_weight_codes *from)
{
    double signal[LANES] = {0}, noise[LANES] = {0};
    int64_t end;
    assert(rule->group_size % LANES == 0); /* spans begin in lane 0 */
    for (int64_t i = 0; i < in; i = end) {
        const gs_grid g = span_of(rule, in, from, i, &end);
        gs_code_errors(c, end - i, w + i, from->codes + i, g.scale, g.offset, signal, noise);
    }
    gs_sqnr sum = {0};
    for (int j = 0; j < LANES; j++) {
        sum.signal += signal[j];
        sum.noise += noise[j];
    }
    return sum;
}

static void dequant_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const dequant_job *job = ctx;
    const int64_t first = task * job->rows_per_task;
    for (int64_t r = first; r < job->rows && r < first + job->rows_per_task; r++) {
        const gs_weight_codes from = gs_weight_codes_row(job->rule, job->from, job->in, r);
        if (job->row)
            job->row[r] = gs_weight_sqnr_row(job->c, job->rule, job->in, job->w + r * job->in, &from);
        else
            dequant_row(job->rule, job->in, &from, job->out + r * job->in);
    }
}

static void run(gs_compute *c, dequant_job *job)
{
    if (job->in < 1) return;
    job->c = c;
    job->rows_per_task = gs_row_task_rows(job->in);
    gs_pool_run(c->pool, (job->rows + job->rows_per_task - 1) / job->rows_per_task, dequant_task, job);
}

void gs_weight_dequant(gs_compute *c, const gs_weight_rule *rule, int64_t rows, int64_t in, const gs_weight_codes *from,
                       float *out)
{
    dequant_job job = {.rule = rule, .rows = rows, .in = in, .from = from, .out = out};
    run(c, &job);
}

void gs_weight_sqnr_add(gs_sqnr *s, gs_compute *c, const gs_weight_rule *rule, int64_t rows, int64_t in, const float *w,
                        const gs_weight_codes *from)
{
    gs_sqnr *row = gs_alloc_array((size_t)rows, sizeof *row);
    dequant_job job = {.rule = rule, .rows = rows, .in = in, .from = from, .w = w, .row = row};
    run(c, &job);
    for (int64_t r = 0; r < rows; r++) {
        s->signal += row[r].signal;
        s->noise += row[r].noise;
    }
    gs_free(row);
}
