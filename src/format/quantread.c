/* Owns the decoding of a result's tensors. SPDX-License-Identifier: Apache-2.0 */
#include "format/quantread.h"

#include <math.h>
#include <string.h>

#define STEP 4096 /* elements per read of a small tensor */

static const char *path_of(const gs_quantdir *q, const gs_tensor *t) { return q->checkpoint.files[t->file].path; }

gs_status gs_quant_read_floats(const gs_quantdir *q, const gs_tensor *t, int64_t first, int64_t n, float *dst,
                               gs_error *err)
{
    char raw[STEP * sizeof(float)];
    const size_t size = gs_dtype_bytes(t->dtype);
    for (int64_t at = 0; at < n; at += STEP) {
        const int64_t some = n - at < STEP ? n - at : STEP;
        int64_t bad = 0;
        GS_TRY(gs_checkpoint_read(&q->checkpoint, t, (uint64_t)(first + at) * size, raw, (size_t)some * size, err));
        if (gs_count_nonfinite(t->dtype, raw, some, &bad) > 0)
            return gs_fail(err, GS_ERR_NUMERIC, "%s: tensor '%s' holds NaN or Inf at element %lld", path_of(q, t),
                           t->name, (long long)(first + at + bad));
        gs_to_f32(t->dtype, raw, dst + at, some);
    }
    return GS_OK;
}

/* [rows, columns] of a tensor with that many columns, or of one that holds a single value for all rows. */
static gs_status read_rows(float **out, const gs_quantdir *q, const gs_tensor *t, int64_t row0, int64_t rows,
                           int64_t columns, gs_error *err)
{
    if (!t) return GS_OK;
    float *const v = *out = gs_alloc_array((size_t)(rows * columns), sizeof *v);
    if (t->elements > 1 || rows * columns <= 1)
        return gs_quant_read_floats(q, t, row0 * columns, rows * columns, v, err);
    GS_TRY(gs_quant_read_floats(q, t, 0, 1, v, err));
    for (int64_t i = 1; i < rows; i++) v[i] = v[0];
    return GS_OK;
}

/* A bit pattern is the float's 32 bits with its sign repeated above. */
static gs_status read_patterns(float *dst, const gs_quantdir *q, const gs_tensor *t, int64_t first, int64_t n,
                               gs_error *err)
{
    int64_t raw[STEP / 2];
    const int64_t most = STEP / 2;
    for (int64_t at = 0; at < n; at += most) {
        const int64_t some = n - at < most ? n - at : most;
        GS_TRY(gs_checkpoint_read(&q->checkpoint, t, (uint64_t)(first + at) * 8, raw, (size_t)some * 8, err));
        for (int64_t i = 0; i < some; i++) {
            const float value = gs_f32_from_bits((uint32_t)raw[i]);
            if (raw[i] != (int32_t)raw[i] || !isfinite(value))
                return gs_fail(err, GS_ERR_NUMERIC,
                               "%s: tensor '%s' holds %lld at element %lld, which is not the bit pattern of a finite "
                               "float32",
                               path_of(q, t), t->name, (long long)raw[i], (long long)(first + at + i));
            dst[at + i] = value;
        }
    }
    return GS_OK;
}

static gs_status read_deq(gs_quant_values *v, const gs_quantdir *q, const gs_tensor *t, gs_error *err)
{
    if (!t) return GS_OK;
    if (t->dtype != GS_I64) return read_rows(&v->deq, q, t, v->row0, v->rows, 1, err);
    v->deq = gs_alloc_array((size_t)v->rows, sizeof *v->deq);
    const bool one = t->elements == 1;
    GS_TRY(read_patterns(v->deq, q, t, one ? 0 : v->row0, one ? 1 : v->rows, err));
    for (int64_t i = 1; i < v->rows && one; i++) v->deq[i] = v->deq[0];
    return GS_OK;
}

static gs_status read_scalar(float *out, const gs_quantdir *q, const gs_tensor *t, float least, float most, bool whole,
                             gs_error *err)
{
    if (!t) return GS_OK;
    GS_TRY(gs_quant_read_floats(q, t, 0, 1, out, err));
    if (*out >= least && *out <= most && (!whole || gs_rint(*out) == *out)) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' is %g; %s is needed", path_of(q, t), t->name, (double)*out,
                   whole ? "a whole number from -128 to 127" : "a number above 0");
}

/* Written as zeros, and nothing reads anything else. */
static gs_status check_zeros(const gs_quantdir *q, const gs_tensor *t, int64_t first, int64_t n, gs_error *err)
{
    int64_t raw[STEP / 2];
    const int64_t most = STEP / 2;
    for (int64_t at = 0; t && at < n; at += most) {
        const int64_t some = n - at < most ? n - at : most;
        GS_TRY(gs_checkpoint_read(&q->checkpoint, t, (uint64_t)(first + at) * 8, raw, (size_t)some * 8, err));
        for (int64_t i = 0; i < some; i++)
            if (raw[i] != 0)
                return gs_fail(err, GS_ERR_UNSUPPORTED, "%s: tensor '%s' is not zero at element %lld", path_of(q, t),
                               t->name, (long long)(first + at + i));
    }
    return GS_OK;
}

static gs_status read_all(gs_quant_values *v, const gs_quantdir *q, const gs_quant_part *p, gs_error *err)
{
    const gs_tensor *const *t = p->piece;
    const gs_weight_layout *l = &p->layout;
    const int64_t row0 = v->row0, rows = v->rows, second = l->second_columns;
    GS_TRY(read_rows(&v->bias, q, t[GS_PIECE_BIAS], row0, rows, 1, err));
    GS_TRY(read_rows(&v->scale, q, t[GS_PIECE_WEIGHT_SCALE], row0, rows, l->scale_columns, err));
    GS_TRY(read_rows(&v->offset, q, t[GS_PIECE_WEIGHT_OFFSET], row0, rows, l->scale_columns, err));
    GS_TRY(read_rows(&v->second, q, t[GS_PIECE_SCALE_SECOND], row0, rows, second, err));
    GS_TRY(check_zeros(q, t[GS_PIECE_OFFSET_SECOND], row0 * second, rows * second, err));
    GS_TRY(read_deq(v, q, t[GS_PIECE_DEQ_SCALE], err));
    if (t[GS_PIECE_QUANT_BIAS]) {
        v->quant_bias = gs_alloc_array((size_t)rows, sizeof *v->quant_bias);
        GS_TRY(gs_checkpoint_read(&q->checkpoint, t[GS_PIECE_QUANT_BIAS], (uint64_t)row0 * 4, v->quant_bias,
                                  (size_t)rows * 4, err));
    }
    const float tiny = gs_f32_from_bits(1), huge = gs_f32_from_bits(0x7F7FFFFF);
    GS_TRY(read_scalar(&v->input_scale, q, t[GS_PIECE_INPUT_SCALE], tiny, huge, false, err));
    GS_TRY(read_scalar(&v->input_offset, q, t[GS_PIECE_INPUT_OFFSET], -128.0f, 127.0f, true, err));
    GS_TRY(read_scalar(&v->clip_ratio, q, t[GS_PIECE_CLIP_RATIO], tiny, huge, false, err));
    const gs_tensor *left = t[GS_PIECE_LEFT_TRANS], *right = t[GS_PIECE_RIGHT_TRANS];
    if (left) GS_TRY(read_rows(&v->left, q, left, 0, left->shape[0], left->shape[1], err));
    return right ? read_rows(&v->right, q, right, 0, right->shape[0], right->shape[1], err) : GS_OK;
}

gs_status gs_quant_values_read(gs_quant_values *v, const gs_quantdir *q, const gs_quant_part *p, int64_t row0,
                               int64_t rows, gs_error *err)
{
    *v = (gs_quant_values){.row0 = row0, .rows = rows};
    const gs_status status = read_all(v, q, p, err);
    if (status != GS_OK) gs_quant_values_release(v);
    return status;
}

void gs_quant_values_release(gs_quant_values *v)
{
    gs_free(v->bias);
    gs_free(v->scale);
    gs_free(v->offset);
    gs_free(v->second);
    gs_free(v->deq);
    gs_free(v->quant_bias);
    gs_free(v->left);
    gs_free(v->right);
    *v = (gs_quant_values){0};
}

gs_status gs_quant_read_codes(const gs_quantdir *q, gs_compute *c, const gs_quant_part *p, int64_t row0, int64_t rows,
                              int8_t *codes, gs_error *err)
{
    const gs_nibbles how = p->layout.nibbles;
    const gs_tensor *t = p->piece[GS_PIECE_WEIGHT];
    const int pack = how == GS_NIBBLES_NONE ? 1 : 2; /* codes per byte */
    const size_t begin = (size_t)(row0 * p->in) / (size_t)pack, n = (size_t)(rows * p->in) / (size_t)pack;
    if (how == GS_NIBBLES_NONE) return gs_checkpoint_read(&q->checkpoint, t, begin, codes, n, err);
    int8_t *const packed = gs_alloc(n + 1);
    const gs_status status = gs_checkpoint_read(&q->checkpoint, t, begin, packed, n, err);
    if (status == GS_OK) gs_nibbles_unpack(c, how, rows, p->in, packed, codes);
    gs_free(packed);
    return status;
}

void gs_quant_dequant(gs_compute *c, const gs_quant_part *p, const gs_quant_values *v, const int8_t *codes, float *w)
{
    const int64_t groups = v->second ? p->layout.second_columns : p->layout.scale_columns;
    const gs_weight_rule rule = {.kind = v->second    ? GS_WEIGHT_TWO_STAGE
                                         : groups > 1 ? GS_WEIGHT_GROUP
                                                      : GS_WEIGHT_NORMAL,
                                 .group_size = v->second || groups > 1 ? (int)(p->in / groups) : 0};
    float *own = NULL;
    if (!v->scale) {
        own = gs_alloc_array((size_t)v->rows, sizeof *own);
        for (int64_t i = 0; i < v->rows; i++) own[i] = v->deq[i] / v->input_scale;
    }
    /* gs_weight_dequant only reads */
    const gs_weight_codes from = {.codes = (int8_t *)(uintptr_t)codes,
                                  .scale = own ? own : v->scale,
                                  .offset = v->offset,
                                  .scale_second = v->second};
    gs_weight_dequant(c, &rule, v->rows, p->in, &from, w);
    gs_free(own);
}
