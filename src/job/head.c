/* What stands outside the blocks: embedding and final norm, copied; the head, copied or quantized. Its product never runs here:
 * a quantized head needs only its input observed, and its weight goes through memory in row chunks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

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

static void sum_rows(const int8_t *codes, int64_t rows, int64_t in, int32_t *row_sum)
{
    for (int64_t r = 0; r < rows; r++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < in; i++) sum += codes[r * in + i];
        row_sum[r] = sum;
    }
}

static gs_status quantize_head_weight(gs_walk *w, int64_t index, const gs_tensor *t, float *scale, int32_t *row_sum,
                                      void *raw, gs_linear_result *r, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    const int64_t out = t->shape[0], in = t->shape[1];
    int64_t step = (int64_t)(GS_EMIT_BYTES / 4) / in;
    if (step < 1) step = 1;
    gs_sqnr sqnr = {0};
    for (int64_t row = 0; row < out; row += step) {
        const int64_t rows = out - row < step ? out - row : step;
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(read_floats(w, t, row * in, rows * in, raw, w->emit_rows.data, err));
        void *codes;
        GS_TRY(gs_behind_acquire(&w->behind, &codes, err));
        gs_weight_w8_sym(c, rows, in, w->emit_rows.data, scale + row, codes);
        gs_sqnr_add(&sqnr, c, rows, in, w->emit_rows.data, scale + row, codes);
        sum_rows(codes, rows, in, row_sum + row);
        gs_behind_submit(&w->behind, index, (uint64_t)(row * in), (size_t)(rows * in));
    }
    r->weight_sqnr_db = gs_sqnr_db(&sqnr);
    r->weight_scale_min = r->weight_scale_max = scale[0];
    for (int64_t o = 1; o < out; o++) {
        if (scale[o] < r->weight_scale_min) r->weight_scale_min = scale[o];
        if (scale[o] > r->weight_scale_max) r->weight_scale_max = scale[o];
    }
    return GS_OK;
}

static gs_status quantize_head(gs_walk *w, float *norm, void *work, gs_observer *observer, float *scale,
                               int32_t *row_sum, gs_error *err)
{
    gs_job *job = w->job;
    const gs_linear_out *to = &job->manifest.head;
    gs_linear_result *r = &job->report->linears[job->n_linears - 1];
    GS_TRY(gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm, err));
    GS_TRY(observe_head(w, observer, norm, work, r, err));
    GS_TRY(quantize_head_weight(w, to->piece[GS_PIECE_WEIGHT], job->tensors.head, scale, row_sum, work, r, err));
    const gs_act_params act = gs_act_asym8((float)r->range_min, (float)r->range_max, job->manifest.floats);
    r->input_scale = act.scale;
    r->input_offset = act.zero;
    const gs_derived d = {job->tensors.head->shape[0], scale, row_sum, NULL, act};
    const gs_status status = gs_emit_derived(w, to, &d, err);
    return status == GS_OK ? GS_OK : gs_wrap(err, "%s", job->family->head);
}

gs_status gs_step_head(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const int head = job->n_linears - 1;
    const gs_tensor *t = job->tensors.head;
    if (!gs_job_is_quantized(job, head)) return gs_emit_copy(w, job->manifest.head.piece[GS_PIECE_WEIGHT], t, err);
    gs_observer_kind kind = job->recipe->act_method == 2 ? GS_OBSERVE_HISTOGRAM : GS_OBSERVE_MINMAX;
    if (job->recipe->act_method == 3) kind = gs_score_observer(&job->score[head]);
    job->report->linears[head].observer = gs_observer_kind_name(kind);
    gs_observer *observer = gs_observer_create(kind, gs_compat(job->recipe, GS_COMPAT_HISTOGRAM_TRUNCATES));
    float *norm = gs_alloc_array((size_t)job->config.hidden, sizeof *norm);
    float *scale = gs_alloc_array((size_t)t->shape[0], sizeof *scale);
    int32_t *row_sum = gs_alloc_array((size_t)t->shape[0], sizeof *row_sum);
    /* One buffer serves twice: normed rows of the longest sample, then stored rows of the weight. */
    const size_t rows_bytes = gs_stream_bytes(job->samples.longest, job->config.hidden);
    const size_t work_bytes = rows_bytes > w->emit_rows.bytes ? rows_bytes : w->emit_rows.bytes;
    gs_buf work = {0};
    gs_status status = gs_buf_alloc(&work, work_bytes, "input and rows of the head", err);
    if (status == GS_OK) status = quantize_head(w, norm, work.data, observer, scale, row_sum, err);
    gs_buf_release(&work);
    gs_free(norm);
    gs_free(scale);
    gs_free(row_sum);
    gs_observer_free(observer);
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
