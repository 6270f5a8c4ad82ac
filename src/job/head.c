/* What stands outside the blocks: embedding and final norm, copied; the head, copied or quantized. Its product never runs here:
 * a quantized head needs only its input observed, and its weight goes through memory in row chunks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/rows.h"

/* Ranges of the head's input: final norm of the fake-quantized stream, sample by sample. */
static gs_status observe_head(gs_walk *w, gs_observer *o, const float *norm, float *rows, gs_linear_result *r,
                              gs_error *err)
{
    gs_job *job = w->job;
    const gs_samples *s = &job->samples;
    float xmin = 0, xmax = 0;
    for (int64_t i = 0; i < s->count; i++) {
        const int64_t n = s->start[i + 1] - s->start[i];
        float *h;
        GS_TRY(gs_stream_read(&w->stream[GS_STREAM_QUANTIZED], s->start[i], n, &h, err));
        gs_rmsnorm(&job->compute, n, job->config.hidden, h, norm, NULL, job->config.norm_eps, rows);
        const gs_status status = gs_observer_add(o, &job->compute, n * job->config.hidden, rows, &xmin, &xmax, err);
        if (status != GS_OK) return gs_wrap(err, "input of %s, sample %lld", job->family->head, (long long)i);
    }
    r->range_min = xmin;
    r->range_max = xmax;
    return GS_OK;
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

/* A buffer for the normed rows of the longest sample. */
static gs_status derive(gs_walk *w, const gs_weight_result *weight, gs_error *err)
{
    const gs_job *job = w->job;
    gs_buf work = {0};
    GS_TRY(gs_buf_alloc(&work, gs_stream_bytes(job->samples.longest, job->config.hidden), "input of the head", err));
    const gs_status status = derive_head(w, work.data, weight, err);
    gs_buf_release(&work);
    return status;
}

static gs_status quantize_head(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    gs_weight_result result;
    GS_TRY(gs_rows_quantize(w, job->tensors.head, false, &job->manifest.head, &result, err));
    gs_weight_note(&job->report->linears[job->n_linears - 1], &result);
    gs_status status = GS_OK;
    if (gs_scheme_get(job->resolved.type)->static_input) status = derive(w, &result, err);
    gs_weight_result_release(&result);
    return status == GS_OK ? GS_OK : gs_wrap(err, "%s", job->family->head);
}

gs_status gs_step_head(gs_walk *w, gs_error *err)
{
    const gs_job *job = w->job;
    const int64_t index = job->manifest.head.piece[GS_PIECE_WEIGHT];
    GS_TRY(gs_rows_begin_ends(w, err));
    if (gs_job_is_quantized(job, job->n_linears - 1)) return quantize_head(w, err);
    return index < 0 ? GS_OK : gs_rows_copy(w, index, job->tensors.head, err);
}

gs_status gs_step_ends(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    float *norm = gs_alloc_array((size_t)job->config.hidden, sizeof *norm);
    gs_status status = gs_checkpoint_read_f32(&job->checkpoint, job->tensors.final_norm, norm, err);
    if (status == GS_OK) status = gs_emit_norm(w, &job->manifest.final_norm, norm, NULL, err);
    gs_free(norm);
    if (status != GS_OK) return status;
    return gs_rows_copy(w, job->manifest.embedding, job->tensors.embedding, err);
}
