/* Weights go by in rows, a few megabytes at a time, each byte once, with the scales and biases of those rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "format/verify_checks.h"

#define CHUNK_VALUES ((int64_t)4 << 20)

/* Room for the largest chunk of a part. */
typedef struct buffers {
    gs_buf codes, weight, model, scratch;
    int32_t *row_sum;
} buffers;

static void release(buffers *b)
{
    gs_buf_release(&b->codes);
    gs_buf_release(&b->weight);
    gs_buf_release(&b->model);
    gs_buf_release(&b->scratch);
    gs_free(b->row_sum);
}

static gs_status reserve(buffers *b, const gs_rows *x, int64_t rows, bool with_model, gs_error *err)
{
    const gs_tensor *t = x->part->piece[GS_PIECE_WEIGHT];
    const size_t n = (size_t)(rows * x->in);
    *b = (buffers){0};
    if (!t) return GS_OK;
    b->row_sum = gs_alloc_array((size_t)rows, sizeof *b->row_sum);
    GS_TRY(t->dtype == GS_I8 ? gs_buf_alloc(&b->codes, n, "codes of some rows", err)
                             : gs_buf_alloc(&b->weight, n * 4, "weights of some rows", err));
    if (!with_model) return GS_OK;
    GS_TRY(gs_buf_alloc(&b->model, n * 4, "the checkpoint's rows", err));
    return gs_buf_alloc(&b->scratch, n * 4, "dequantized rows", err);
}

/* columns values per row, repeated where the tensor holds one for all. */
static gs_status read_rows(gs_verify *v, const gs_tensor *t, const gs_rows *x, int64_t columns, float **to,
                           gs_error *err)
{
    if (!t) return GS_OK;
    float *p = *to = gs_alloc_array((size_t)(x->rows * columns), sizeof *p);
    if (t->elements > 1 || x->out == 1) return gs_verify_read(v, t, x->row0 * columns, x->rows * columns, p, err);
    GS_TRY(gs_verify_read(v, t, 0, 1, p, err));
    for (int64_t i = 1; i < x->rows * columns; i++) p[i] = p[0];
    return GS_OK;
}

static gs_status read_raw(gs_verify *v, const gs_tensor *t, int64_t first, int64_t n, void *to, gs_error *err)
{
    const size_t size = gs_dtype_bytes(t->dtype);
    v->result->bytes += (uint64_t)n * size;
    return gs_checkpoint_read(&v->q.checkpoint, t, (uint64_t)first * size, to, (size_t)n * size, err);
}

static gs_status read_deq(gs_verify *v, const gs_tensor *t, gs_rows *x, gs_error *err)
{
    if (!t || t->dtype != GS_I64) return read_rows(v, t, x, 1, &x->q.deq, err);
    const bool one = t->elements == 1;
    int64_t *raw = gs_alloc_array((size_t)x->rows, sizeof *raw);
    const gs_status status = read_raw(v, t, one ? 0 : x->row0, one ? 1 : x->rows, raw, err);
    x->q.deq = gs_alloc_array((size_t)x->rows, sizeof *x->q.deq);
    for (int64_t i = 0; i < x->rows; i++) x->q.deq[i] = gs_f32_from_bits((uint32_t)raw[one ? 0 : i]);
    gs_free(raw);
    return status;
}

static gs_status read_values(gs_verify *v, gs_rows *x, gs_error *err)
{
    const gs_tensor *const *t = x->part->piece;
    const gs_weight_layout *l = &x->part->layout;
    const gs_tensor *input[] = {t[GS_PIECE_INPUT_SCALE], t[GS_PIECE_INPUT_OFFSET]};
    float scalar[2] = {0};
    GS_TRY(read_rows(v, t[GS_PIECE_BIAS], x, 1, &x->q.bias, err));
    GS_TRY(read_rows(v, t[GS_PIECE_WEIGHT_SCALE], x, l->scale_columns, &x->q.scale, err));
    GS_TRY(read_rows(v, t[GS_PIECE_WEIGHT_OFFSET], x, l->scale_columns, &x->q.offset, err));
    GS_TRY(read_rows(v, t[GS_PIECE_SCALE_SECOND], x, l->second_columns, &x->q.second, err));
    GS_TRY(read_deq(v, t[GS_PIECE_DEQ_SCALE], x, err));
    for (int i = 0; i < 2; i++)
        if (input[i]) GS_TRY(gs_verify_read(v, input[i], 0, 1, &scalar[i], err));
    const gs_tensor *left = t[GS_PIECE_LEFT_TRANS], *right = t[GS_PIECE_RIGHT_TRANS];
    if (left && right) {
        x->q.left = gs_alloc_array((size_t)left->elements, sizeof *x->q.left);
        x->q.right = gs_alloc_array((size_t)right->elements, sizeof *x->q.right);
        GS_TRY(gs_verify_read(v, left, 0, left->elements, x->q.left, err));
        GS_TRY(gs_verify_read(v, right, 0, right->elements, x->q.right, err));
    }
    x->q.input_scale = scalar[0];
    x->q.input_offset = scalar[1];
    if (!t[GS_PIECE_QUANT_BIAS]) return GS_OK;
    x->q.quant_bias = gs_alloc_array((size_t)x->rows, sizeof *x->q.quant_bias);
    return read_raw(v, t[GS_PIECE_QUANT_BIAS], x->row0, x->rows, x->q.quant_bias, err);
}

typedef struct sum_job {
    const int8_t *codes;
    int32_t *sum;
    int64_t in;
} sum_job;

static void sum_row(void *ctx, int64_t row, int worker)
{
    const sum_job *j = ctx;
    int32_t sum = 0;
    (void)worker;
    for (int64_t i = 0; i < j->in; i++) sum += j->codes[row * j->in + i];
    j->sum[row] = sum;
}

static gs_status read_codes(gs_verify *v, gs_rows *x, buffers *b, gs_error *err)
{
    sum_job job = {b->codes.data, b->row_sum, x->in};
    GS_TRY(gs_quant_read_codes(&v->q, v->request->compute, x->part, x->row0, x->rows, b->codes.data, err));
    v->result->bytes += (uint64_t)(x->rows * x->in) / (x->part->layout.nibbles == GS_NIBBLES_NONE ? 1 : 2);
    gs_pool_run(v->request->compute->pool, x->rows, sum_row, &job);
    x->codes = b->codes.data;
    x->row_sum = b->row_sum;
    return GS_OK;
}

/* The dequantized rows come later, so their place can hold the stored ones. */
static gs_status read_model(gs_verify *v, gs_rows *x, buffers *b, gs_error *err)
{
    const gs_tensor *t = gs_verify_model_weight(v, x->linear);
    const size_t size = gs_dtype_bytes(t->dtype), n = (size_t)(x->rows * x->in);
    void *raw = b->scratch.data;
    GS_TRY(gs_checkpoint_read(&v->model, t, (uint64_t)(x->row0 * x->in) * size, raw, n * size, err));
    gs_to_f32(t->dtype, raw, b->model.data, (int64_t)n);
    x->model = b->model.data;
    x->scratch = b->scratch.data;
    return GS_OK;
}

static gs_status read_chunk(gs_verify *v, gs_rows *x, buffers *b, gs_error *err)
{
    const gs_tensor *t = x->part->piece[GS_PIECE_WEIGHT];
    GS_TRY(read_values(v, x, err));
    if (v->request->light || !t) return GS_OK;
    if (t->dtype == GS_I8) {
        GS_TRY(read_codes(v, x, b, err));
    } else {
        GS_TRY(gs_verify_read(v, t, x->row0 * x->in, x->rows * x->in, b->weight.data, err));
        x->weight = b->weight.data;
    }
    return b->model.data ? read_model(v, x, b, err) : GS_OK;
}

/* All rows of a part, in chunks; packed rows come in pairs. */
static gs_status walk_part(gs_verify *v, const gs_rows *part, bool with_model, gs_error *err)
{
    buffers b;
    int64_t step = CHUNK_VALUES / part->in / 2 * 2;
    if (step < 2) step = 2;
    if (step > part->out) step = part->out;
    gs_status status = reserve(&b, part, v->request->light ? 0 : step, with_model, err);
    for (int64_t row = 0; row < part->out && status == GS_OK; row += step) {
        gs_rows x = *part;
        x.row0 = x.q.row0 = row;
        x.rows = x.q.rows = x.out - row < step ? x.out - row : step;
        status = gs_check_interrupt(err);
        if (status == GS_OK) status = read_chunk(v, &x, &b, err);
        if (status == GS_OK) status = gs_verify_each_rows(v, &x, err);
        gs_quant_values_release(&x.q);
    }
    release(&b);
    return status;
}

static gs_status walk_linear(gs_verify *v, const gs_verify_linear *l, gs_error *err)
{
    const gs_quant_linear *q = &l->linear;
    const gs_rows x = {.linear = l,
                       .part = &q->whole,
                       .scheme = q->scheme,
                       .prefix = l->prefix,
                       .out = q->whole.out,
                       .in = q->whole.in};
    const bool alone = q->complete || q->ranks == 0; /* else there are the cards' tensors only */
    if (alone) GS_TRY(walk_part(v, &x, v->has_model && !v->request->light, err));
    for (int r = 0; r < q->ranks; r++) {
        gs_rows card = x;
        card.part = &q->rank[r];
        card.in = q->rank[r].in;
        card.prefix = gs_arena_printf(v->arena, "%s" GS_TP_RANK, l->prefix, r);
        GS_TRY(walk_part(v, &card, false, err));
    }
    return GS_OK;
}

static gs_status walk_embedding(gs_verify *v, gs_error *err)
{
    if (!v->embedding || v->request->light) return GS_OK;
    const gs_quant_part part = {
        .out = v->q.config.vocab, .in = v->q.config.hidden, .piece[GS_PIECE_WEIGHT] = v->embedding};
    char *prefix = gs_arena_strdup(v->arena, v->q.family->embedding);
    char *tail = strrchr(prefix, '.'); /* ".weight" */
    if (tail) *tail = '\0';
    const gs_rows x = {
        .part = &part, .scheme = gs_scheme_get(GS_Q_FLOAT), .prefix = prefix, .out = part.out, .in = part.in};
    return walk_part(v, &x, v->has_model, err);
}

gs_status gs_verify_rows(gs_verify *v, gs_error *err)
{
    const gs_watch *watch = v->request->watch;
    GS_TRY(walk_embedding(v, err));
    for (int i = 0; i < v->n_linears; i++) {
        const gs_progress p = {.step = "verify",
                               .block = i / GS_ROLES,
                               .n_blocks = (int)v->q.config.layers + 1,
                               .eta_s = -1,
                               .memory_bytes = gs_rss_now()};
        if (watch && watch->progress) watch->progress(watch->ctx, &p);
        if (v->linear[i].found) GS_TRY(walk_linear(v, &v->linear[i], err));
    }
    return GS_OK;
}
