/* See weights.h. Row chunks go through: rule → codes (packed where the format packs) → write-behind; scales are collected and
 * written once. SPDX-License-Identifier: Apache-2.0 */
#include "job/weights.h"

#include <math.h>
#include <string.h>

/* One weight at work. */
typedef struct work {
    gs_walk *w;
    const gs_weight_source *source;
    const gs_linear_out *to;
    gs_fake_linear *fake;
    gs_weight_result *result;
    gs_weight_layout layout;
    gs_weight_stats stats;
    float *offset, *second, *scale_bias; /* all rows; NULL where there are none */
    gs_buf codes;                        /* unpacked codes of a chunk, where the file has them packed */
    gs_buf forward;                      /* rows as calibration sees them, where it multiplies floats */
    gs_buf full_bias;                    /* scale_bias of a chunk under compat, [rows, in] */
} work;

static bool is_full(const work *k) { return k->layout.scale_bias_columns == k->source->in; }

static gs_status begin(work *k, gs_error *err)
{
    gs_job *job = k->w->job;
    const int64_t out = k->source->out, in = k->source->in;
    const bool one_per_byte = job->recipe->mindie_format;
    const int ranks = k->source->ranks;
    k->layout = ranks > 0 ? gs_weight_layout_rank(&job->rule, job->recipe, one_per_byte, ranks, in * ranks)
                          : gs_weight_layout_from(&job->rule, job->recipe, one_per_byte, k->source->row_parallel, in);
    const int64_t columns = k->layout.scale_columns, rows = gs_emit_chunk_rows(in);
    *k->result = (gs_weight_result){.scale_columns = columns};
    k->result->scale = gs_alloc_array((size_t)(out * columns), sizeof(float));
    k->result->row_sum = gs_alloc_array((size_t)out, sizeof(int32_t));
    k->offset = gs_alloc_array((size_t)(out * columns), sizeof(float));
    if (k->layout.second_columns > 0)
        k->second = gs_alloc_array((size_t)(out * k->layout.second_columns), sizeof(float));
    if (k->layout.scale_bias_columns > 0 && !is_full(k))
        k->scale_bias = gs_alloc_array((size_t)(out * k->layout.scale_bias_columns), sizeof(float));
    if (!k->source->tensor && (k->layout.nibbles != GS_NIBBLES_NONE || !k->to))
        GS_TRY(gs_buf_alloc(&k->codes, (size_t)(rows * in), "codes of a weight", err));
    if (k->fake && (k->fake->weight_only || k->fake->reference))
        GS_TRY(gs_buf_alloc(&k->forward, (size_t)(rows * in) * 4, "rows of a dequantized weight", err));
    if (is_full(k)) GS_TRY(gs_buf_alloc(&k->full_bias, (size_t)(rows * in) * 4, "scale_bias", err));
    if (!gs_weight_needs_stats(&job->rule)) return GS_OK;
    return gs_weight_measure(&job->compute, &job->rule, out, in, rows, k->source->rows, k->source->ctx, &k->stats, err);
}

static void end(work *k)
{
    gs_free(k->offset);
    gs_free(k->second);
    gs_free(k->scale_bias);
    gs_buf_release(&k->codes);
    gs_buf_release(&k->forward);
    gs_buf_release(&k->full_bias);
}

static gs_weight_codes codes_of(const work *k, int64_t row, int8_t *codes)
{
    gs_weight_codes to = {
        .codes = codes,
        .scale = k->result->scale + row * k->layout.scale_columns,
        .offset = k->offset + row * k->layout.scale_columns,
        .scale_second = k->second ? k->second + row * k->layout.second_columns : NULL,
        .scale_bias = k->scale_bias ? k->scale_bias + row * k->layout.scale_bias_columns : k->full_bias.data,
        .scale_bias_columns = k->layout.scale_bias_columns,
        .row_sum = k->result->row_sum + row,
        .forward = k->forward.data,
    };
    return to;
}

/* A chunk's float32 rows as the tensor's type, through a slot of the write-behind. */
static gs_status submit_floats(gs_walk *w, int64_t index, int64_t first, const float *from, int64_t n, gs_error *err)
{
    const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
    void *slot;
    GS_TRY(gs_behind_acquire(&w->behind, index, (uint64_t)first * gs_dtype_bytes(dtype), &slot, err));
    gs_from_f32(dtype, from, slot, n);
    gs_behind_submit(&w->behind, (size_t)n * gs_dtype_bytes(dtype));
    return GS_OK;
}

/* Rows of codes side by side with those of other cards. Packed in pairs along the output, two rows are one. */
static void copy_codes(const work *k, int64_t row, int64_t rows, const int8_t *from)
{
    const int64_t in = k->source->in, stride = k->source->copy_stride;
    const int64_t width = k->layout.nibbles == GS_NIBBLES_IN ? in / 2 : in;
    const int64_t per_row = k->layout.nibbles == GS_NIBBLES_OUT ? 2 : 1;
    int8_t *to = k->source->copy + row / per_row * stride;
    for (int64_t r = 0; r < rows / per_row; r++) memcpy(to + r * stride, from + r * width, (size_t)width);
}

/* Bytes of the codes of `rows` rows as they are written. */
static size_t code_bytes(const work *k, int64_t rows)
{
    return (size_t)(rows * k->source->in / (k->layout.nibbles == GS_NIBBLES_NONE ? 1 : 2));
}

static gs_status acquire_codes(const work *k, int64_t row, void **slot, gs_error *err)
{
    return gs_behind_acquire(&k->w->behind, k->to->piece[GS_PIECE_WEIGHT], code_bytes(k, row), slot, err);
}

static gs_status submit_full_bias(work *k, int64_t row, int64_t rows, gs_error *err)
{
    const int64_t index = k->to->piece[GS_PIECE_SCALE_BIAS], in = k->source->in;
    if (!is_full(k) || index < 0) return GS_OK;
    return submit_floats(k->w, index, row * in, k->full_bias.data, rows * in, err);
}

/* From the checkpoint's bytes to the codes as written, in one go. */
static gs_status quantize_stored(work *k, int64_t row, int64_t rows, gs_error *err)
{
    gs_walk *w = k->w;
    gs_job *job = w->job;
    const gs_weight_source *source = k->source;
    gs_stored_rows from = {rows, source->in, source->tensor->dtype, NULL, k->layout.nibbles};
    void *slot;
    int64_t bad;
    GS_TRY(gs_check_interrupt(err));
    GS_TRY(source->stored(source->ctx, row, rows, &from.data, err));
    GS_TRY(acquire_codes(k, row, &slot, err));
    const gs_weight_codes to = codes_of(k, row, slot);
    GS_TRY(gs_weight_apply_stored(&job->compute, &job->rule, &k->stats, &from, &to, &k->result->sqnr, &bad, err));
    if (bad >= 0) return gs_tensor_fail(&job->checkpoint, source->tensor, row * source->in + bad, err);
    gs_behind_submit(&w->behind, code_bytes(k, rows));
    return submit_full_bias(k, row, rows, err);
}

static gs_status quantize_rows(work *k, int64_t row, int64_t rows, gs_error *err)
{
    gs_walk *w = k->w;
    gs_job *job = w->job;
    gs_compute *c = &job->compute;
    const int64_t in = k->source->in;
    const float *from;
    void *slot = NULL;
    GS_TRY(gs_check_interrupt(err));
    GS_TRY(k->source->rows(k->source->ctx, row, rows, &from, err));
    if (k->to) GS_TRY(acquire_codes(k, row, &slot, err));
    const gs_weight_codes to = codes_of(k, row, k->codes.data ? k->codes.data : slot);
    gs_weight_apply(c, &job->rule, &k->stats, rows, in, from, &to);
    gs_weight_sqnr_add(&k->result->sqnr, c, &job->rule, rows, in, from, &to);
    if (k->fake) {
        for (int64_t r = 0; r < rows && k->layout.scale_columns == 1; r++) k->fake->scale[row + r] = to.scale[r];
        gs_fake_set_rows(k->fake, c, row, rows, to.codes, to.forward);
    }
    if (!k->to) return GS_OK;
    if (k->layout.nibbles != GS_NIBBLES_NONE) gs_nibbles_pack(c, k->layout.nibbles, rows, in, to.codes, slot);
    if (k->source->copy) copy_codes(k, row, rows, slot);
    gs_behind_submit(&w->behind, code_bytes(k, rows));
    return submit_full_bias(k, row, rows, err);
}

/* What needs no input range. weight_scale of types with static activations goes with deq_scale. */
static gs_status emit_scales(work *k, gs_error *err)
{
    gs_walk *w = k->w;
    if (!k->to) return GS_OK;
    GS_TRY(gs_emit_zeros(w, k->to->piece[GS_PIECE_OFFSET_SECOND], err));
    if (k->second)
        GS_TRY(gs_emit_floats(w, k->to->piece[GS_PIECE_SCALE_SECOND], k->second,
                              k->source->out * k->layout.second_columns, err));
    if (k->scale_bias)
        GS_TRY(gs_emit_floats(w, k->to->piece[GS_PIECE_SCALE_BIAS], k->scale_bias,
                              k->source->out * k->layout.scale_bias_columns, err));
    if (k->to->piece[GS_PIECE_DEQ_SCALE] >= 0) return GS_OK;
    const int64_t n = k->source->out * k->layout.scale_columns;
    GS_TRY(gs_emit_floats(w, k->to->piece[GS_PIECE_WEIGHT_SCALE], k->result->scale, n, err));
    return gs_emit_floats(w, k->to->piece[GS_PIECE_WEIGHT_OFFSET], k->offset, n, err);
}

gs_status gs_weight_quantize(gs_walk *w, const gs_weight_source *source, const gs_linear_out *to, gs_fake_linear *fake,
                             gs_weight_result *result, gs_error *err)
{
    work k = {.w = w, .source = source, .to = to, .fake = fake, .result = result};
    gs_status status = begin(&k, err);
    const int64_t step = gs_emit_chunk_rows(source->in);
    for (int64_t row = 0; row < source->out && status == GS_OK; row += step) {
        const int64_t rows = source->out - row < step ? source->out - row : step;
        status = source->tensor ? quantize_stored(&k, row, rows, err) : quantize_rows(&k, row, rows, err);
    }
    if (status == GS_OK) status = emit_scales(&k, err);
    end(&k);
    if (status != GS_OK) gs_weight_result_release(result);
    return status;
}

void gs_weight_result_release(gs_weight_result *r)
{
    gs_free(r->scale);
    gs_free(r->row_sum);
    *r = (gs_weight_result){0};
}

void gs_weight_note(gs_linear_result *l, const gs_weight_result *r)
{
    l->weight_sqnr_db = gs_sqnr_db(&r->sqnr);
    l->weight_scale_min = l->weight_scale_max = r->scale[0];
    for (int64_t i = 1; i < l->out * r->scale_columns; i++) {
        if (r->scale[i] < l->weight_scale_min) l->weight_scale_min = r->scale[i];
        if (r->scale[i] > l->weight_scale_max) l->weight_scale_max = r->scale[i];
    }
}
