/* Owns the way of rows from the checkpoint's bytes to codes in one go: checked, widened, quantized, measured and packed while they are
 * in the processor's cache. The same bits as the single steps. SPDX-License-Identifier: Apache-2.0 */
#include "quant/rule_row.h"

typedef struct stored_job {
    const gs_compute *c;
    const gs_weight_rule *rule;
    const gs_weight_stats *stats;
    const gs_stored_rows *from;
    const gs_weight_codes *to;
    int64_t lines, lines_per_task; /* a line is a row, or the two rows whose codes share bytes */
    gs_sqnr *row;                  /* [rows] */
    int64_t *bad;                  /* [rows] column of the first value that is not finite, -1 = none */
} stored_job;

static int64_t line_rows(gs_nibbles how) { return how == GS_NIBBLES_OUT ? 2 : 1; }

/* One float32 row, then the codes of a line where they are packed afterwards. */
static size_t scratch_bytes(gs_nibbles how, int64_t in)
{
    const size_t codes = how == GS_NIBBLES_NONE ? 0 : (size_t)(line_rows(how) * in);
    return (size_t)in * sizeof(float) + codes;
}

static void quantize_row(const stored_job *job, int64_t r, float *w, int8_t *codes)
{
    const gs_stored_rows *from = job->from;
    const char *stored = (const char *)from->data + (size_t)(r * from->in) * gs_dtype_bytes(from->dtype);
    int64_t first = -1;
    job->bad[r] = gs_count_nonfinite(from->dtype, stored, from->in, &first) > 0 ? first : -1;
    if (job->bad[r] >= 0) return;
    gs_to_f32(from->dtype, stored, w, from->in);
    gs_weight_codes to = gs_weight_codes_row(job->rule, job->to, from->in, r);
    if (codes) to.codes = codes;
    gs_weight_apply_row(job->c, job->rule, job->stats, from->in, w, &to);
    job->row[r] = gs_weight_sqnr_row(job->c, job->rule, from->in, w, &to);
}

static void stored_task(void *ctx, int64_t task, int worker)
{
    const stored_job *job = ctx;
    const gs_nibbles how = job->from->nibbles;
    const int64_t in = job->from->in, step = line_rows(how), first = task * job->lines_per_task;
    float *w = gs_pool_scratch(job->c->pool, worker);
    int8_t *codes = how == GS_NIBBLES_NONE ? NULL : (int8_t *)(w + in);
    for (int64_t line = first; line < job->lines && line < first + job->lines_per_task; line++) {
        for (int64_t i = 0; i < step; i++) quantize_row(job, line * step + i, w, codes ? codes + i * in : NULL);
        if (codes) gs_nibbles_pack_line(how, in, codes, job->to->codes + line * step * in / 2);
    }
}

gs_status gs_weight_apply_stored(gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats,
                                 const gs_stored_rows *from, const gs_weight_codes *to, gs_sqnr *sqnr, int64_t *bad,
                                 gs_error *err)
{
    *bad = -1;
    if (from->in < 1 || from->rows < 1) return GS_OK;
    GS_TRY(gs_pool_reserve(c->pool, scratch_bytes(from->nibbles, from->in), err));
    const int64_t step = line_rows(from->nibbles);
    stored_job job = {.c = c, .rule = rule, .stats = stats, .from = from, .to = to};
    job.lines = from->rows / step;
    job.lines_per_task = gs_row_task_rows(from->in * step);
    job.row = gs_alloc_array((size_t)from->rows, sizeof *job.row);
    job.bad = gs_alloc_array((size_t)from->rows, sizeof *job.bad);
    gs_pool_run(c->pool, (job.lines + job.lines_per_task - 1) / job.lines_per_task, stored_task, &job);
    for (int64_t r = 0; r < from->rows; r++) {
        if (job.bad[r] >= 0 && *bad < 0) *bad = r * from->in + job.bad[r];
        sqnr->signal += job.row[r].signal;
        sqnr->noise += job.row[r].noise;
    }
    gs_free(job.row);
    gs_free(job.bad);
    return GS_OK;
}
