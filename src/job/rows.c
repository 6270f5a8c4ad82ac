/* The pass of jobs that need no hidden states: no block is in memory, only row chunks of one tensor after another, at the speed of the
 * disk. Head and embedding go this way in every pass. SPDX-License-Identifier: Apache-2.0 */
#include "job/rows.h"

#define TASK_VALUES 65536

int64_t gs_rows_step(const gs_tensor *t) { return gs_emit_chunk_rows(t->shape[1]) * t->shape[1]; }

/* Values of one type as another: the same, or float32. */
typedef struct copy_job {
    gs_dtype from, to;
    const char *src;
    char *dst;
    int64_t n;
    int64_t *bad; /* by task: the first value that is not finite, -1 = none */
} copy_job;

static void copy_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const copy_job *job = ctx;
    const int64_t first = task * TASK_VALUES, n = job->n - first < TASK_VALUES ? job->n - first : TASK_VALUES;
    const size_t size = gs_dtype_bytes(job->from);
    const char *src = job->src + (size_t)first * size;
    int64_t at = -1;
    job->bad[task] = gs_count_nonfinite(job->from, src, n, &at) > 0 ? first + at : -1;
    if (job->from == job->to)
        memcpy(job->dst + (size_t)first * size, src, (size_t)n * size);
    else
        gs_to_f32(job->from, src, (float *)(void *)job->dst + first, n);
}

/* The index of the first value that is not finite, or -1. */
static int64_t copy_values(gs_compute *c, copy_job *job)
{
    const int64_t n_tasks = (job->n + TASK_VALUES - 1) / TASK_VALUES;
    int64_t bad = -1;
    job->bad = gs_alloc_array((size_t)n_tasks, sizeof *job->bad);
    gs_pool_run(c->pool, n_tasks, copy_task, job);
    for (int64_t i = n_tasks - 1; i >= 0; i--)
        if (job->bad[i] >= 0) bad = job->bad[i];
    gs_free(job->bad);
    return bad;
}

gs_status gs_rows_copy(gs_walk *w, int64_t index, const gs_tensor *t, gs_error *err)
{
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    const size_t size = gs_dtype_bytes(dtype);
    const int64_t step = gs_rows_step(t);
    for (int64_t first = 0; first < t->elements; first += step) {
        const int64_t n = t->elements - first < step ? t->elements - first : step;
        const void *stored;
        void *slot;
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(gs_ahead_take(&w->ahead, t, first, n, &stored, err));
        GS_TRY(gs_behind_acquire(&w->behind, index, (uint64_t)first * size, &slot, err));
        copy_job job = {.from = t->dtype, .to = dtype, .src = stored, .dst = slot, .n = n};
        const int64_t bad = copy_values(&w->job->compute, &job);
        if (bad >= 0) return gs_tensor_fail(&w->job->checkpoint, t, first + bad, err);
        gs_behind_submit(&w->behind, (size_t)n * size);
    }
    return GS_OK;
}

/* A weight as the checkpoint stores it. */
typedef struct stored {
    gs_walk *w;
    const gs_tensor *t;
    /* for statistics, which read it once more, by themselves */
    gs_direct_reader reader;
    gs_buf raw, rows;
} stored;

static gs_status take_stored(void *ctx, int64_t row0, int64_t rows, const void **data, gs_error *err)
{
    stored *s = ctx;
    return gs_ahead_take(&s->w->ahead, s->t, row0 * s->t->shape[1], rows * s->t->shape[1], data, err);
}

static gs_status read_floats(void *ctx, int64_t row0, int64_t rows, const float **out, gs_error *err)
{
    stored *s = ctx;
    const gs_checkpoint *ck = &s->w->job->checkpoint;
    const int64_t first = row0 * s->t->shape[1], n = rows * s->t->shape[1];
    const size_t size = gs_dtype_bytes(s->t->dtype), chunk = (size_t)gs_rows_step(s->t);
    const void *data;
    if (!s->raw.data) GS_TRY(gs_buf_alloc(&s->raw, gs_direct_room(chunk * size), "weights being read", err));
    if (!s->rows.data) GS_TRY(gs_buf_alloc(&s->rows, chunk * sizeof(float), "rows of weights", err));
    GS_TRY(gs_checkpoint_read_direct(ck, &s->reader, s->t, (uint64_t)first * size, (size_t)n * size, s->raw.data, &data,
                                     err));
    copy_job job = {.from = s->t->dtype, .to = GS_F32, .src = data, .dst = s->rows.data, .n = n};
    const int64_t bad = copy_values(&s->w->job->compute, &job);
    if (bad >= 0) return gs_tensor_fail(ck, s->t, first + bad, err);
    *out = s->rows.data;
    return GS_OK;
}

gs_status gs_rows_quantize(gs_walk *w, const gs_tensor *t, bool row_parallel, const gs_linear_out *to,
                           gs_weight_result *result, gs_error *err)
{
    stored s = {.w = w, .t = t};
    const gs_weight_source source = {.out = t->shape[0],
                                     .in = t->shape[1],
                                     .row_parallel = row_parallel,
                                     .rows = read_floats,
                                     .ctx = &s,
                                     .tensor = t,
                                     .stored = take_stored};
    const gs_status status = gs_weight_quantize(w, &source, to, NULL, result, err);
    gs_direct_close(&s.reader);
    gs_buf_release(&s.raw);
    gs_buf_release(&s.rows);
    return status;
}

void gs_rows_list(gs_ahead *a, const gs_job *job, int from)
{
    for (int i = from; i < job->n_linears; i++) {
        const bool head = i == job->n_linears - 1;
        const gs_tensor *t = head ? job->tensors.head : job->tensors.block[i / GS_ROLES].weight[i % GS_ROLES];
        const gs_linear_out *to = head ? &job->manifest.head : &job->manifest.block[i / GS_ROLES].linear[i % GS_ROLES];
        if (to->piece[GS_PIECE_WEIGHT] >= 0) gs_ahead_add(a, t, gs_rows_step(t));
    }
    gs_ahead_add(a, job->tensors.embedding, gs_rows_step(job->tensors.embedding));
}

gs_status gs_rows_begin_ends(gs_walk *w, gs_error *err)
{
    if (w->ahead.open) return GS_OK;
    gs_prefetch_close(&w->prefetch);
    gs_rows_list(&w->ahead, w->job, w->job->n_linears - 1);
    return gs_ahead_open(&w->ahead, &w->job->checkpoint, err);
}

gs_status gs_begin_rows(gs_walk *w, gs_error *err)
{
    GS_TRY(gs_behind_open(&w->behind, w->writer, gs_job_slot_bytes(w->job), err));
    gs_rows_list(&w->ahead, w->job, gs_job_linear(w->first, GS_QKV));
    return gs_ahead_open(&w->ahead, &w->job->checkpoint, err);
}

static gs_status emit_linear(gs_walk *w, gs_role role, const float *bias, gs_error *err)
{
    gs_job *job = w->job;
    const int linear = gs_job_linear(w->block, role);
    const gs_tensor *t = job->tensors.block[w->block].weight[role];
    const gs_linear_out *to = &job->manifest.block[w->block].linear[role];
    const int64_t index = to->piece[GS_PIECE_WEIGHT];
    if (bias) GS_TRY(gs_emit_floats(w, to->piece[GS_PIECE_BIAS], bias, t->shape[0], err));
    if (!gs_job_is_quantized(job, linear)) return index < 0 ? GS_OK : gs_rows_copy(w, index, t, err);
    gs_weight_result result;
    GS_TRY(gs_rows_quantize(w, t, gs_role_is_row_parallel((gs_role)role), to, &result, err));
    gs_weight_note(&job->report->linears[linear], &result);
    gs_weight_result_release(&result);
    return GS_OK;
}

static gs_status emit_block(gs_walk *w, const gs_block *vectors, gs_error *err)
{
    const gs_block_out *to = &w->job->manifest.block[w->block];
    for (int norm = 0; norm < GS_NORMS; norm++)
        GS_TRY(gs_emit_norm(w, &to->norm[norm], vectors->norm[norm], NULL, err));
    for (int role = 0; role < GS_ROLES; role++) GS_TRY(emit_linear(w, (gs_role)role, vectors->bias[role], err));
    return GS_OK;
}

gs_status gs_step_rows(gs_walk *w, gs_error *err)
{
    const gs_job *job = w->job;
    gs_block vectors = {0};
    gs_status status =
        gs_block_load_vectors(&vectors, &job->config, &job->checkpoint, &job->tensors.block[w->block], err);
    if (status == GS_OK) status = emit_block(w, &vectors, err);
    gs_block_release(&vectors);
    return status;
}
