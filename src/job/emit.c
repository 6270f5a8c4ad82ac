/* What a block puts into the output: codes and scales of quantized weights, float weights and norms as they are, and, after
 * calibration, what is derived from the activation ranges. SPDX-License-Identifier: Apache-2.0 */
#include "job/parallel.h"

#include <string.h>

gs_status gs_emit_floats(gs_walk *w, int64_t index, const float *src, int64_t n, gs_error *err)
{
    if (index < 0) return GS_OK;
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    const int64_t elements = w->job->manifest.layout.tensors[index].elements;
    if (elements < n) n = elements; /* mm_tensor of the reference keeps one value for all rows */
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

/* rows of x: [rows, cols] times a factor each */
static void scale_rows(float *x, int64_t rows, int64_t cols, const float *factor)
{
    for (int64_t r = 0; r < rows && factor; r++)
        for (int64_t i = 0; i < cols; i++) x[r * cols + i] *= factor[r];
}

/* A float weight, from the panels back to the type it is written in: bf16 → f32 → bf16 gives the checkpoint's bytes. */
static gs_status emit_float_weight(gs_walk *w, int64_t index, gs_role role, const float *row_factor, gs_error *err)
{
    const gs_packed *p = &w->weights->weight[role];
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    const size_t size = gs_dtype_bytes(dtype);
    const int64_t step = gs_emit_chunk_rows(p->k);
    for (int64_t row = 0; row < p->n; row += step) {
        const int64_t rows = p->n - row < step ? p->n - row : step, n = rows * p->k;
        void *bytes;
        GS_TRY(gs_behind_acquire(&w->behind, index, (uint64_t)(row * p->k) * size, &bytes, err));
        gs_transform_rows(w->transform, &w->job->compute, w->weights, role, row, rows, w->emit_rows.data);
        scale_rows(w->emit_rows.data, rows, p->k, row_factor ? row_factor + row : NULL);
        gs_from_f32(dtype, w->emit_rows.data, bytes, n);
        gs_behind_submit(&w->behind, (size_t)n * size);
    }
    return GS_OK;
}

gs_status gs_emit_zeros(gs_walk *w, int64_t index, gs_error *err)
{
    if (index < 0) return GS_OK;
    static char zeros[1 << 16];
    const uint64_t bytes = w->job->manifest.layout.tensors[index].bytes;
    for (uint64_t at = 0; at < bytes; at += sizeof zeros)
        GS_TRY(gs_writer_put(w->writer, index, at, zeros, bytes - at < sizeof zeros ? bytes - at : sizeof zeros, err));
    return GS_OK;
}

/* Rows of the current block's smoothed weight. */
typedef struct block_rows {
    gs_walk *w;
    gs_role role;
} block_rows;

static gs_status read_block_rows(void *ctx, int64_t row0, int64_t rows, const float **out, gs_error *err)
{
    const block_rows *b = ctx;
    gs_walk *w = b->w;
    (void)err;
    gs_transform_rows(w->transform, &w->job->compute, w->weights, b->role, row0, rows, w->emit_rows.data);
    *out = w->emit_rows.data;
    return GS_OK;
}

gs_status gs_emit_make_fake(gs_walk *w, gs_role role, gs_fake_linear *f, int64_t out, int64_t in, const float *bias,
                            gs_error *err)
{
    const gs_job *job = w->job;
    const bool truncate = gs_compat(job->recipe, GS_COMPAT_HISTOGRAM_TRUNCATES);
    if (job->resolved.a_bit > 8) {
        GS_TRY(gs_fake_init_weight_only(f, out, in, bias, err));
        f->cut_inputs = job->resolved.per_group && gs_compat(job->recipe, GS_COMPAT_GROUP_INPUTS);
    } else if (job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC) { /* its stream is as engines compute */
        GS_TRY(gs_fake_init_per_token(f, out, in, bias, err));
    } else {
        const gs_observer_kind kind = gs_job_observer_kind(job, gs_job_linear(w->block, role));
        GS_TRY(gs_fake_init(f, out, in, kind, truncate, job->manifest.floats, bias, err));
        f->symmetric = job->resolved.type == GS_Q_W4A8_DYNAMIC; /* a_sym, which the library sets for it alone */
    }
    return w->reference ? gs_fake_use_reference(f, err) : GS_OK;
}

/* A linear for the calibration is made only if a stream needs it, and none where cards compute. */
static gs_status quantize(gs_walk *w, gs_role role, const gs_linear_out *to, gs_weight_result *result, gs_error *err)
{
    const gs_packed *p = &w->weights->weight[role];
    block_rows rows = {w, role};
    const gs_weight_source source = {
        .out = p->n, .in = p->k, .row_parallel = gs_role_is_row_parallel(role), .rows = read_block_rows, .ctx = &rows};
    gs_fake_linear *f = &w->fake[role];
    gs_fake_release(f);
    if (w->stream[GS_STREAM_QUANTIZED].tokens > 0 && !gs_cards_cut(w->job, role))
        GS_TRY(gs_emit_make_fake(w, role, f, p->n, p->k, gs_walk_bias(w, role), err));
    return gs_weight_quantize(w, &source, to, f->active ? f : NULL, result, err);
}

gs_status gs_emit_trial(gs_walk *w, gs_role role, gs_error *err)
{
    const gs_choice *choice = &w->job->choice[gs_job_linear(w->block, role)];
    gs_weight_result unused;
    if (gs_cards_cut(w->job, role)) return gs_cards_weights(w, role, false, err);
    if (choice->type == GS_Q_FLOAT && !choice->first_sample) return GS_OK;
    if (choice->type == GS_Q_W4A4_FLATQUANT_DYNAMIC) return GS_OK; /* float while attention is ranked */
    GS_TRY(quantize(w, role, NULL, &unused, err));
    gs_weight_result_release(&unused);
    return GS_OK;
}

/* The bias, or zeros where it is new. */
static gs_status emit_bias(gs_walk *w, gs_role role, int64_t index, const float *row_factor, gs_error *err)
{
    const int64_t out = w->weights->weight[role].n;
    const float *bias = gs_walk_bias(w, role);
    if (!bias) return gs_emit_zeros(w, index, err);
    if (!row_factor) return gs_emit_floats(w, index, bias, out, err);
    float *scaled = gs_alloc_array((size_t)out, sizeof *scaled);
    memcpy(scaled, bias, (size_t)out * sizeof *scaled);
    scale_rows(scaled, out, 1, row_factor);
    const gs_status status = gs_emit_floats(w, index, scaled, out, err);
    gs_free(scaled);
    return status;
}

gs_status gs_emit_float_linear(gs_walk *w, gs_role role, const float *row_factor, gs_error *err)
{
    const gs_linear_out *to = &w->job->manifest.block[w->block].linear[role];
    const int64_t index = to->piece[GS_PIECE_WEIGHT];
    GS_TRY(emit_bias(w, role, to->piece[GS_PIECE_BIAS], row_factor, err));
    return index < 0 ? GS_OK : emit_float_weight(w, index, role, row_factor, err);
}

gs_status gs_emit_linear(gs_walk *w, gs_role role, gs_error *err)
{
    gs_job *job = w->job;
    const int linear = gs_job_linear(w->block, role);
    gs_fake_release(&w->fake[role]);
    if (!w->writer) return gs_emit_trial(w, role, err); /* before the plan: there is no manifest yet */
    if (gs_job_is_quantized(job, linear) && gs_scheme_get(job->resolved.type)->static_input)
        job->report->linears[linear].observer = gs_observer_kind_name(gs_job_observer_kind(job, linear));
    if (gs_cards_cut(job, role)) GS_TRY(gs_cards_weights(w, role, true, err));
    if (gs_cards_alone(job, role)) return GS_OK;
    if (!gs_job_is_quantized(job, linear)) {
        if (!gs_cards_cut(job, role))
            GS_TRY(gs_emit_trial(w, role, err)); /* low-bit disable_level: quantized for the first sample only */
        return gs_emit_float_linear(w, role, NULL, err);
    }
    const gs_linear_out *to = &job->manifest.block[w->block].linear[role];
    gs_weight_result result;
    GS_TRY(emit_bias(w, role, to->piece[GS_PIECE_BIAS], NULL, err));
    GS_TRY(quantize(w, role, to, &result, err));
    gs_weight_note(&job->report->linears[linear], &result);
    if (gs_cards_cut(job, role)) gs_cards_keep(w, role, &result);
    gs_weight_result_release(&result);
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
    const gs_block view = gs_transform_view(w->transform, w->weights);
    for (int norm = 0; norm < GS_NORMS && w->writer; norm++)
        GS_TRY(
            gs_emit_norm(w, &w->job->manifest.block[w->block].norm[norm], view.norm[norm], view.norm_bias[norm], err));
    for (int role = 0; role < GS_ROLES; role++) GS_TRY(gs_emit_linear(w, (gs_role)role, err));
    return GS_OK;
}

static gs_status emit_deq(gs_walk *w, int64_t index, const float *deq, int64_t out, gs_error *err)
{
    if (w->job->manifest.layout.tensors[index].dtype != GS_I64) return gs_emit_floats(w, index, deq, out, err);
    const int64_t elements = w->job->manifest.layout.tensors[index].elements;
    if (elements < out) out = elements;
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

static gs_status emit_attention(gs_walk *w, const gs_block_out *to, gs_error *err)
{
    const int64_t heads = w->job->config.heads, groups = w->job->config.groups;
    float *scale = gs_alloc_array((size_t)(heads + 2 * groups), sizeof *scale);
    gs_fa_range_scales(&w->fa, scale, scale + heads, scale + heads + groups);
    gs_status status = gs_emit_floats(w, to->fa[0], scale, heads, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->fa[1], scale + heads, groups, err);
    if (status == GS_OK) status = gs_emit_floats(w, to->fa[2], scale + heads + groups, groups, err);
    for (int i = 3; i < GS_FA_PARTS && status == GS_OK; i++) status = gs_emit_zeros(w, to->fa[i], err);
    gs_free(scale);
    return status;
}

gs_status gs_step_derived(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const gs_block_out *to = &job->manifest.block[w->block];
    if (w->want_kv && to->kv[0] >= 0) GS_TRY(emit_kv(w, to, err));
    if (to->fa[0] >= 0) GS_TRY(emit_attention(w, to, err));
    for (int role = 0; role < GS_ROLES; role++) {
        const gs_fake_linear *f = &w->fake[role];
        if (gs_role_is_row_parallel((gs_role)role)) GS_TRY(gs_cards_derive(w, (gs_role)role, err));
        if (!f->active || !gs_job_is_quantized(job, gs_job_linear(w->block, (gs_role)role))) continue;
        if (to->linear[role].piece[GS_PIECE_DEQ_SCALE] < 0) continue;
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
