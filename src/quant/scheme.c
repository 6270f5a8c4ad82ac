/* Owns the table of quantization types.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/scheme.h"

#include <string.h>

#include "quant/w4a4.h"

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

/* Types that share a beginning of this list share the list. */
static const gs_piece_spec static_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_CODES, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_WEIGHT_SCALE, ".weight_scale", GS_SHAPE_SCALE, false},
    {GS_PIECE_WEIGHT_OFFSET, ".weight_offset", GS_SHAPE_SCALE, false},
    {GS_PIECE_INPUT_SCALE, ".input_scale", GS_SHAPE_1, false},
    {GS_PIECE_INPUT_OFFSET, ".input_offset", GS_SHAPE_1, false},
    {GS_PIECE_QUANT_BIAS, ".quant_bias", GS_SHAPE_OUT, false},
    {GS_PIECE_DEQ_SCALE, ".deq_scale", GS_SHAPE_DEQ, false},
};
#define FLOAT_PIECES  2
#define WEIGHT_PIECES 4

static const gs_piece_spec sparse_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_CODES, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_INPUT_SCALE, ".input_scale", GS_SHAPE_1, false},
    {GS_PIECE_INPUT_OFFSET, ".input_offset", GS_SHAPE_1, false},
    {GS_PIECE_QUANT_BIAS, ".quant_bias", GS_SHAPE_OUT, false},
    {GS_PIECE_DEQ_SCALE, ".deq_scale", GS_SHAPE_DEQ, false},
};

static const gs_piece_spec stage_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_CODES, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_WEIGHT_SCALE, ".weight_scale", GS_SHAPE_SCALE, false},
    {GS_PIECE_WEIGHT_OFFSET, ".weight_offset", GS_SHAPE_SCALE, false},
    {GS_PIECE_SCALE_SECOND, ".weight_scale_second", GS_SHAPE_SECOND, false},
    {GS_PIECE_OFFSET_SECOND, ".weight_offset_second", GS_SHAPE_SECOND, false},
    {GS_PIECE_SCALE_BIAS, ".scale_bias", GS_SHAPE_SUMS, false},
};

static const gs_piece_spec transform_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_CODES, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_WEIGHT_SCALE, ".weight_scale", GS_SHAPE_SCALE, false},
    {GS_PIECE_WEIGHT_OFFSET, ".weight_offset", GS_SHAPE_SCALE, false},
    {GS_PIECE_CLIP_RATIO, ".clip_ratio", GS_SHAPE_1, false},
    {GS_PIECE_LEFT_TRANS, ".left_trans", GS_SHAPE_LEFT, false},
    {GS_PIECE_RIGHT_TRANS, ".right_trans", GS_SHAPE_RIGHT, false},
};

static const gs_scheme schemes[] = {
    {GS_Q_FLOAT, "FLOAT", false, static_pieces, FLOAT_PIECES},
    {GS_Q_W8A8, "W8A8", true, static_pieces, COUNT(static_pieces)},
    {GS_Q_W8A8_DYNAMIC, "W8A8_DYNAMIC", false, static_pieces, WEIGHT_PIECES},
    {GS_Q_W8A16, "W8A16", false, static_pieces, WEIGHT_PIECES},
    {GS_Q_W4A16, "W4A16", false, static_pieces, WEIGHT_PIECES},
    {GS_Q_W8A8S, "W8A8S", true, sparse_pieces, COUNT(sparse_pieces)},
    {GS_Q_W4A8_DYNAMIC, "W4A8_DYNAMIC", false, stage_pieces, COUNT(stage_pieces)},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, "W4A4_FLATQUANT_DYNAMIC", false, transform_pieces, COUNT(transform_pieces)},
};

const gs_scheme *gs_scheme_get(gs_quant_type type)
{
    for (int i = 0; i < COUNT(schemes); i++) {
        if (schemes[i].type == type) return &schemes[i];
    }
    return &schemes[0];
}

const gs_scheme *gs_scheme_find(const char *name)
{
    for (int i = 0; i < COUNT(schemes); i++) {
        if (strcmp(schemes[i].name, name) == 0) return &schemes[i];
    }
    return NULL;
}

gs_dtype gs_piece_dtype(const gs_scheme *s, gs_piece piece, const gs_weight_layout *layout, gs_dtype floats,
                        bool deq_i64)
{
    switch (piece) {
    case GS_PIECE_WEIGHT:
        return s->type == GS_Q_FLOAT ? floats : GS_I8;
    case GS_PIECE_QUANT_BIAS:
        return GS_I32;
    case GS_PIECE_DEQ_SCALE:
        return deq_i64 ? GS_I64 : GS_F32;
    case GS_PIECE_OFFSET_SECOND:
        return GS_I64;
    case GS_PIECE_WEIGHT_SCALE:
    case GS_PIECE_WEIGHT_OFFSET:
        return s->type == GS_Q_W4A4_FLATQUANT_DYNAMIC || (layout && layout->scales_f32) ? GS_F32 : floats;
    case GS_PIECE_SCALE_SECOND:
    case GS_PIECE_SCALE_BIAS:
    case GS_PIECE_CLIP_RATIO:
        return GS_F32;
    default:
        return floats;
    }
}

static int matrix(int64_t rows, int64_t columns, int64_t shape[2])
{
    shape[0] = rows;
    shape[1] = columns;
    return columns > 0 ? 2 : 0;
}

static int vector(int64_t n, int64_t shape[2])
{
    shape[0] = n;
    return 1;
}

static int factor(bool left, int64_t in, int64_t shape[2])
{
    int64_t a, b;
    if (!gs_w4a4_split(in, &a, &b)) return 0;
    return matrix(left ? a : b, left ? a : b, shape);
}

int gs_piece_shape(const gs_piece_spec *p, const gs_weight_layout *layout, int64_t out, int64_t in, int64_t shape[2])
{
    static const gs_weight_layout plain = {.scale_columns = 1};
    const gs_weight_layout *l = layout ? layout : &plain;
    switch (p->shape) {
    case GS_SHAPE_CODES:
        return matrix(l->nibbles == GS_NIBBLES_OUT ? out / 2 : out, l->nibbles == GS_NIBBLES_IN ? in / 2 : in, shape);
    case GS_SHAPE_SCALE:
        return l->one_scale ? vector(1, shape) : matrix(out, l->scale_columns, shape);
    case GS_SHAPE_SECOND:
        return matrix(out, l->second_columns, shape);
    case GS_SHAPE_SUMS:
        return matrix(out, l->scale_bias_columns, shape);
    case GS_SHAPE_DEQ:
        return vector(l->one_scale ? 1 : out, shape);
    case GS_SHAPE_OUT:
        return vector(out, shape);
    case GS_SHAPE_LEFT:
    case GS_SHAPE_RIGHT:
        return factor(p->shape == GS_SHAPE_LEFT, in, shape);
    case GS_SHAPE_1:
        break;
    }
    return vector(1, shape);
}
