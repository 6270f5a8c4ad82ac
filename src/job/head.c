/* What stands outside the blocks: embedding and final norm, copied; the head, copied or quantized. Its product never runs here:
 * a quantized head needs only its input observed, and its weight goes through memory in row chunks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/weights.h"

/* n elements from element `first` of a checkpoint tensor as float32, refusing NaN and Inf. raw: room for n stored elements. */
static gs_status read_floats(gs_walk *w, const gs_tensor *t, int64_t first, int64_t n, void *raw, float *dst,
                             gs_error *err)
{
    const size_t size = gs_dtype_bytes(t->dtype);
    GS_TRY(gs_checkpoint_read(&w->job->checkpoint, t, (uint64_t)first * size, raw, (size_t)n * size, err));
    int64_t at = 0;
    if (gs_count_nonfinite(t->dtype, raw, n, &at) > 0)
        return gs_fail(err, GS_ERR_NUMERIC,
                       "%s: tensor %s holds a NaN or Inf at element %lld; the checkpoint is damaged, "
                       "get that shard again",
                       w->job->checkpoint.files[t->file].path, t->name, (long long)(first + at));
    if (dst) gs_to_f32(t->dtype, raw, dst, n);
    return GS_OK;
}

gs_status gs_emit_copy(gs_walk *w, int64_t index, const gs_tensor *t, gs_error *err)
{
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    const size_t size = gs_dtype_bytes(dtype);
    const int64_t step = (int64_t)(GS_EMIT_BYTES / 4);
    for (int64_t first = 0; first < t->elements; first += step) {
        const int64_t n = t->elements - first < step ? t->elements - first : step;
        GS_TRY(gs_check_interrupt(err));
        void *slot;
        GS_TRY(gs_behind_acquire(&w->behind, &slot, err));
        if (dtype == t->dtype)
            GS_TRY(read_floats(w, t, first, n, slot, NULL, err));
        else /* only to F32: the slot holds n of them */
            GS_TRY(read_floats(w, t, first, n, w->emit_rows.data, slot, err));
        gs_behind_submit(&w->behind, index, (uint64_t)first * size, (size_t)n * size);
    }
    return GS_OK;
}

/* Ranges of the head's input: final norm of the fake-quantized stream, sample by sample. */
static gs_status observe_head(gs_walk *w, gs_observer *o, const float *norm, float *rows, gs_linear_result *r,
                              gs_error *err)
{
    gs_job *job = w->job;
    const gs_samples *s = &job->samples;
    float xmin = 0, xmax = 0;
    for (int64_t i = 0; i < s->count; i++) {
        const int64_t n = s->start[i + 1] - s->start[i];
        gs_rmsnorm(&job->compute, n, job->config.hidden, gs_stream_rows(&w->quant_stream, s->start[i]), norm, NULL,
                   job->config.norm_eps, rows);
        const gs_status status = gs_observer_add(o, &job->compute, n * job->config.hidden, rows, &xmin, &xmax, err);
        if (status != GS_OK) return gs_wrap(err, "input of %s, sample %lld", job->family->head, (long long)i);
    }
    r->range_min = xmin;
    r->range_max = xmax;
    return GS_OK;
}

/* Rows of the head's stored weight. raw: room for a chunk of stored elements. */
typedef struct head_rows {
    gs_walk *w;
    void *raw;
} head_rows;

static gs_status read_head_rows(void *ctx, int64_t row0, int64_t rows, const float **out, gs_error *err)
{
    const head_rows *h = ctx;
    const gs_tensor *t = h->w->job->tensors.head;
    *out = h->w->emit_rows.data;
    return read_floats(h->w, t, row0 * t->shape[1], rows * t->shape[1], h->raw, h->w->emit_rows.data, err);
}

/* The input's range and what follows from it. work: normed rows of one sample. */
static gs_status derive_head(gs_walk *w, float *work, const gs_weight_result *weight, gs_error *err)
{
    gs_job *job = w->job;
    const int head = job->n_linears - 1;
    gs_linear_result *r = &job->report->linears[head];
    const gs_observer_kind kind = gs_job_observer_kind(job, head);
    r->observer = gs_observer_kind_name(kind);
    float *norm = gs_alloc_array((size_t)job->config.hidden, sizeof *norm);
    gs_observer *observer = gs_observer_create(kind, gs_compat(job->recipe, GS_COMPAT_HISTOGRAM_TRUNCATES));
    gs_status status = gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm, err);
    if (status == GS_OK) status = observe_head(w, observer, norm, work, r, err);
    gs_observer_free(observer);
    gs_free(norm);
    if (status != GS_OK) return status;
    const gs_act_params act = gs_act_asym8((float)r->range_min, (float)r->range_max, job->manifest.floats);
    r->input_scale = act.scale;
    r->input_offset = act.zero;
    const gs_derived d = {job->tensors.head->shape[0], weight->scale, weight->row_sum, NULL, act};
    return gs_emit_derived(w, &job->manifest.head, &d, err);
}

static gs_status quantize_head(gs_walk *w, void *work, gs_error *err)
{
    gs_job *job = w->job;
    const gs_tensor *t = job->tensors.head;
    head_rows rows = {w, work};
    const gs_weight_source source = {.out = t->shape[0], .in = t->shape[1], .rows = read_head_rows, .ctx = &rows};
    gs_weight_result result;
    GS_TRY(gs_weight_quantize(w, &source, &job->manifest.head, NULL, &result, err));
    gs_weight_note(&job->report->linears[job->n_linears - 1], &result);
    gs_status status = GS_OK;
    if (gs_scheme_get(job->resolved.type)->static_input) status = derive_head(w, work, &result, err);
    gs_weight_result_release(&result);
    return status == GS_OK ? GS_OK : gs_wrap(err, "%s", job->family->head);
}

gs_status gs_step_head(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const gs_tensor *t = job->tensors.head;
    const int64_t index = job->manifest.head.piece[GS_PIECE_WEIGHT];
    if (!gs_job_is_quantized(job, job->n_linears - 1)) return index < 0 ? GS_OK : gs_emit_copy(w, index, t, err);
    /* One buffer serves twice: normed rows of the longest sample, stored rows of the weight. */
    const size_t rows_bytes = gs_stream_bytes(job->samples.longest, job->config.hidden);
    gs_buf work = {0};
    GS_TRY(gs_buf_alloc(&work, rows_bytes > w->emit_rows.bytes ? rows_bytes : w->emit_rows.bytes,
                        "input and rows of the head", err));
    const gs_status status = quantize_head(w, work.data, err);
    gs_buf_release(&work);
    return status;
}

gs_status gs_step_ends(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    float *norm = gs_alloc_array((size_t)job->config.hidden, sizeof *norm);
    gs_status status = gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm, err);
    if (status == GS_OK) status = gs_emit_norm(w, &job->manifest.final_norm, norm, NULL, err);
    gs_free(norm);
    if (status != GS_OK) return status;
    return gs_emit_copy(w, job->manifest.embedding, job->tensors.embedding, err);
}
