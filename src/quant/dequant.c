/* Owns the way back from codes to values, and how far those are from the weight. SPDX-License-Identifier: Apache-2.0 */
#include "quant/rule_row.h"

#define TASK_VALUES 65536
#define LANES       8

typedef struct dequant_job {
    const gs_weight_rule *rule;
    int64_t rows, in, rows_per_task, columns, second_columns;
    const gs_weight_codes *from;
    const float *w;
    float *out;
    gs_sqnr *row;
} dequant_job;

/* Scale and offset of the span of the row that begins at column i; *end is where it ends. */
static gs_grid span_of(const dequant_job *job, int64_t r, int64_t i, int64_t *end)
{
    const int64_t width = job->rule->group_size > 0 ? job->rule->group_size : job->in, k = i / width;
    const int64_t column = r * job->columns + (job->columns > 1 ? k : 0);
    gs_grid g = {.scale = job->from->scale[column]};
    if (job->from->offset) g.offset = job->from->offset[column];
    if (job->from->scale_second && job->rule->kind == GS_WEIGHT_TWO_STAGE)
        g.scale *= job->from->scale_second[r * job->second_columns + k];
    *end = (k + 1) * width;
    return g;
}

static void dequant_row(const dequant_job *job, int64_t r)
{
    const int8_t *codes = job->from->codes + r * job->in;
    float *out = job->out + r * job->in;
    int64_t end;
    for (int64_t i = 0; i < job->in;) {
        const gs_grid g = span_of(job, r, i, &end);
        for (; i < end; i++) out[i] = ((float)codes[i] - g.offset) * g.scale;
    }
}

/* Column i adds to lane i mod LANES; lanes are added in order. */
static gs_sqnr sqnr_row(const dequant_job *job, int64_t r)
{
    const int8_t *codes = job->from->codes + r * job->in;
    const float *w = job->w + r * job->in;
    double signal[LANES] = {0}, noise[LANES] = {0};
    int64_t end;
    for (int64_t i = 0; i < job->in;) {
        const gs_grid g = span_of(job, r, i, &end);
        for (; i < end; i++) {
            const double v = (double)w[i];
            const double d = v - (double)(((float)codes[i] - g.offset) * g.scale);
            signal[i % LANES] += v * v;
            noise[i % LANES] += d * d;
        }
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
        if (job->row)
            job->row[r] = sqnr_row(job, r);
        else
            dequant_row(job, r);
    }
}

static void run(gs_compute *c, dequant_job *job)
{
    if (job->in < 1) return;
    const int64_t groups = job->rule->group_size > 0 ? job->in / job->rule->group_size : 1;
    job->columns = job->rule->kind == GS_WEIGHT_GROUP ? groups : 1;
    job->second_columns = groups;
    job->rows_per_task = job->in < TASK_VALUES ? TASK_VALUES / job->in : 1;
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
