/* What a block puts into the output: codes and scales of quantized weights, float weights and norms as they are, and, after
 * calibration, what is derived from the activation ranges. SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

gs_status gs_emit_floats(gs_walk *w, int64_t index, const float *src, int64_t n, gs_error *err)
{
    if (index < 0) return GS_OK;
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    if (dtype == GS_F32) return gs_writer_put(w->writer, index, 0, src, (size_t)n * 4, err);
    void *bytes = gs_alloc_array((size_t)n, gs_dtype_bytes(dtype));
    gs_from_f32(dtype, src, bytes, n);
    const gs_status status = gs_writer_put(w->writer, index, 0, bytes, (size_t)n * gs_dtype_bytes(dtype), err);
    gs_free(bytes);
    return status;
}

int64_t gs_emit_chunk_rows(int64_t in)
{
    const int64_t rows = (int64_t)(GS_EMIT_BYTES / 4) / in / GS_PACK_ROWS * GS_PACK_ROWS;
    return rows < GS_PACK_ROWS ? GS_PACK_ROWS : rows;
}

/* A float weight, from the panels back to the type it is written in: bf16 → f32 → bf16 gives the checkpoint's bytes. */
static gs_status emit_float_weight(gs_walk *w, int64_t index, gs_role role, gs_error *err)
{
    const gs_packed *p = &w->weights->weight[role];
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    const size_t size = gs_dtype_bytes(dtype);
    const int64_t step = gs_emit_chunk_rows(p->k);
    for (int64_t row = 0; row < p->n; row += step) {
        const int64_t rows = p->n - row < step ? p->n - row : step, n = rows * p->k;
        void *bytes;
        GS_TRY(gs_behind_acquire(&w->behind, &bytes, err));
        gs_transform_rows(w->transform, &w->job->compute, w->weights, role, row, rows, w->emit_rows.data);
        gs_from_f32(dtype, w->emit_rows.data, bytes, n);
        gs_behind_submit(&w->behind, index, (uint64_t)(row * p->k) * size, (size_t)n * size);
    }
    return GS_OK;
}

/* Codes row chunk by row chunk: to the file (unless index < 0), and into the panels the calibration multiplies with. */
static gs_status quantize_weight(gs_walk *w, int64_t index, gs_role role, gs_sqnr *sqnr, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    const gs_packed *p = &w->weights->weight[role];
    gs_fake_linear *f = &w->fake[role];
    const int64_t step = gs_emit_chunk_rows(p->k);
    for (int64_t row = 0; row < p->n; row += step) {
        const int64_t rows = p->n - row < step ? p->n - row : step;
        void *codes;
        GS_TRY(gs_behind_acquire(&w->behind, &codes, err));
        gs_transform_rows(w->transform, c, w->weights, role, row, rows, w->emit_rows.data);
        gs_weight_w8_sym(c, rows, p->k, w->emit_rows.data, f->scale + row, codes);
        gs_sqnr_add(sqnr, c, rows, p->k, w->emit_rows.data, f->scale + row, codes);
        gs_fake_set_rows(f, c, row, rows, codes, w->emit_rows.data); /* the float rows have served */
        if (index >= 0) gs_behind_submit(&w->behind, index, (uint64_t)(row * p->k), (size_t)(rows * p->k));
    }
    return GS_OK;
}

static gs_status emit_zeros(gs_walk *w, int64_t index, int64_t n, gs_error *err)
{
    float *zeros = gs_alloc_array((size_t)n, sizeof *zeros);
    const gs_status status = gs_emit_floats(w, index, zeros, n, err);
    gs_free(zeros);
    return status;
}

static gs_observer_kind observer_kind(const gs_job *job, int linear)
{
    if (job->recipe->act_method == 3) return gs_score_observer(&job->score[linear]);
    return job->recipe->act_method == 2 ? GS_OBSERVE_HISTOGRAM : GS_OBSERVE_MINMAX;
}

static void note_weight(gs_linear_result *r, const gs_fake_linear *f, const gs_sqnr *sqnr, gs_observer_kind kind)
{
    r->observer = gs_observer_kind_name(kind);
    r->weight_sqnr_db = gs_sqnr_db(sqnr);
    r->weight_scale_min = r->weight_scale_max = f->scale[0];
    for (int64_t o = 1; o < f->out; o++) {
        if (f->scale[o] < r->weight_scale_min) r->weight_scale_min = f->scale[o];
        if (f->scale[o] > r->weight_scale_max) r->weight_scale_max = f->scale[o];
    }
}

/* The fake-quantized linear of the block at hand, with nothing observed yet. */
static gs_status make_fake(gs_walk *w, gs_role role, int64_t index, gs_sqnr *sqnr, gs_error *err)
{
    const gs_job *job = w->job;
    const float *bias = w->transform->bias[role] ? w->transform->bias[role] : w->weights->bias[role];
    const bool truncate = gs_compat(job->recipe, GS_COMPAT_HISTOGRAM_TRUNCATES);
    const gs_observer_kind kind = observer_kind(job, gs_job_linear(w->block, role));
    int64_t out, in;
    gs_role_shape(&job->config, role, &out, &in);
    gs_fake_release(&w->fake[role]);
    GS_TRY(gs_fake_init(&w->fake[role], out, in, kind, truncate, job->manifest.floats, bias, err));
    if (w->reference) GS_TRY(gs_fake_use_reference(&w->fake[role], err));
    return quantize_weight(w, index, role, sqnr, err);
}

gs_status gs_emit_trial(gs_walk *w, gs_role role, gs_error *err)
{
    gs_sqnr unused = {0};
    if (!gs_job_is_quantized(w->job, gs_job_linear(w->block, role))) return GS_OK;
    return make_fake(w, role, -1, &unused, err);
}

static gs_status emit_linear(gs_walk *w, gs_role role, gs_error *err)
{
    gs_job *job = w->job;
    const int linear = gs_job_linear(w->block, role);
    const gs_linear_out *to = &job->manifest.block[w->block].linear[role];
    const int64_t bias_index = to->piece[GS_PIECE_BIAS], out = w->weights->weight[role].n;
    const float *bias = w->transform->bias[role] ? w->transform->bias[role] : w->weights->bias[role];
    gs_fake_release(&w->fake[role]);
    if (bias && bias_index >= 0) GS_TRY(gs_emit_floats(w, bias_index, bias, out, err));
    if (!bias && bias_index >= 0) GS_TRY(emit_zeros(w, bias_index, out, err));
    if (!gs_job_is_quantized(job, linear)) return emit_float_weight(w, to->piece[GS_PIECE_WEIGHT], role, err);
    gs_sqnr sqnr = {0};
    GS_TRY(make_fake(w, role, to->piece[GS_PIECE_WEIGHT], &sqnr, err));
    note_weight(&job->report->linears[linear], &w->fake[role], &sqnr, observer_kind(job, linear));
    return GS_OK;
}

gs_status gs_emit_norm(gs_walk *w, const gs_norm_out *to, const float *weight, const float *bias, gs_error *err)
{
    const int64_t hidden = w->job->config.hidden;
    float *zeros = bias ? NULL : gs_alloc_array((size_t)hidden, sizeof *zeros);
    const float *b = bias ? bias : zeros;
    gs_status status = gs_emit_floats(w, to->weight, weight, hidden, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->bias, b, hidden, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->module_weight, weight, hidden, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->module_bias, b, hidden, err);
    gs_free(zeros);
    return status;
}

gs_status gs_step_weights(gs_walk *w, gs_error *err)
{
    const gs_block_out *to = &w->job->manifest.block[w->block];
    const gs_block view = gs_transform_view(w->transform, w->weights);
    for (int norm = 0; norm < GS_NORMS; norm++)
        GS_TRY(gs_emit_norm(w, &to->norm[norm], view.norm[norm], view.norm_bias[norm], err));
    for (int role = 0; role < GS_ROLES; role++) GS_TRY(emit_linear(w, (gs_role)role, err));
    return GS_OK;
}

static gs_status emit_deq(gs_walk *w, int64_t index, const float *deq, int64_t out, gs_error *err)
{
    if (w->job->manifest.layout.tensors[index].dtype != GS_I64) return gs_emit_floats(w, index, deq, out, err);
    int64_t *bits = gs_alloc_array((size_t)out, sizeof *bits);
    gs_deq_to_i64(deq, bits, out);
    const gs_status status = gs_writer_put(w->writer, index, 0, bits, (size_t)out * sizeof *bits, err);
    gs_free(bits);
    return status;
}

gs_status gs_emit_derived(gs_walk *w, const gs_linear_out *to, const gs_derived *d, gs_error *err)
{
    float *deq = gs_alloc_array((size_t)d->out, sizeof *deq), *zeros = gs_alloc_array((size_t)d->out, sizeof *zeros);
    int32_t *quant_bias = gs_alloc_array((size_t)d->out, sizeof *quant_bias);
    gs_status status = gs_deq_and_bias(d->out, d->weight_scale, d->row_sum, d->bias, d->act, deq, quant_bias, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_WEIGHT_SCALE], d->weight_scale, d->out, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_WEIGHT_OFFSET], zeros, d->out, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_INPUT_SCALE], &d->act.scale, 1, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->piece[GS_PIECE_INPUT_OFFSET], &d->act.zero, 1, err);
    if (status == GS_OK)
        status = gs_writer_put(w->writer, to->piece[GS_PIECE_QUANT_BIAS], 0, quant_bias, (size_t)d->out * 4, err);
    if (status == GS_OK) status = emit_deq(w, to->piece[GS_PIECE_DEQ_SCALE], deq, d->out, err);
    gs_free(deq);
    gs_free(zeros);
    gs_free(quant_bias);
    return status;
}

static gs_status emit_kv(gs_walk *w, const gs_block_out *to, gs_error *err)
{
    const int64_t width = w->kv.width;
    float *scale = gs_alloc_array((size_t)(3 * width), sizeof *scale), *zeros = scale + 2 * width;
    gs_kv_range_scales(&w->kv, scale);
    gs_status status = gs_emit_floats(w, to->kv[GS_KV_K_SCALE], scale, width, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->kv[GS_KV_V_SCALE], scale + width, width, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->kv[GS_KV_K_OFFSET], zeros, width, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->kv[GS_KV_V_OFFSET], zeros, width, err);
    gs_free(scale);
    return status;
}

gs_status gs_step_derived(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const gs_block_out *to = &job->manifest.block[w->block];
    if (w->want_kv && to->kv[0] >= 0) GS_TRY(emit_kv(w, to, err));
    for (int role = 0; role < GS_ROLES; role++) {
        const gs_fake_linear *f = &w->fake[role];
        if (!f->active) continue;
        const gs_derived d = {f->out, f->scale, f->codes.row_sum, f->bias, f->act};
        const gs_status status = gs_emit_derived(w, &to->linear[role], &d, err);
        if (status != GS_OK) return gs_wrap(err, "block %d, %s", w->block, job->family->linear[role]);
        gs_linear_result *r = &job->report->linears[gs_job_linear(w->block, (gs_role)role)];
        r->range_min = f->xmin;
        r->range_max = f->xmax;
        r->input_scale = f->act.scale;
        r->input_offset = f->act.zero;
    }
    return GS_OK;
}
