/* Owns the table of quantization types. A type that is listed but not built has the pieces it will be written with
 * where they are plain; packed and two-stage weights get theirs with their code.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/scheme.h"

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

/* Types that share a beginning of this list share the list. */
static const gs_piece_spec static_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_OUT_IN, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_WEIGHT_SCALE, ".weight_scale", GS_SHAPE_OUT_1, false},
    {GS_PIECE_WEIGHT_OFFSET, ".weight_offset", GS_SHAPE_OUT_1, false},
    {GS_PIECE_INPUT_SCALE, ".input_scale", GS_SHAPE_1, false},
    {GS_PIECE_INPUT_OFFSET, ".input_offset", GS_SHAPE_1, false},
    {GS_PIECE_QUANT_BIAS, ".quant_bias", GS_SHAPE_OUT, false},
    {GS_PIECE_DEQ_SCALE, ".deq_scale", GS_SHAPE_OUT, false},
};
#define FLOAT_PIECES  2
#define WEIGHT_PIECES 4

static const gs_piece_spec sparse_pieces[] = {
    {GS_PIECE_WEIGHT, ".weight", GS_SHAPE_OUT_IN, false},
    {GS_PIECE_BIAS, ".bias", GS_SHAPE_OUT, true},
    {GS_PIECE_INPUT_SCALE, ".input_scale", GS_SHAPE_1, false},
    {GS_PIECE_INPUT_OFFSET, ".input_offset", GS_SHAPE_1, false},
    {GS_PIECE_QUANT_BIAS, ".quant_bias", GS_SHAPE_OUT, false},
    {GS_PIECE_DEQ_SCALE, ".deq_scale", GS_SHAPE_OUT, false},
};

static const gs_scheme schemes[] = {
    {GS_Q_FLOAT, "FLOAT", false, static_pieces, FLOAT_PIECES, true},
    {GS_Q_W8A8, "W8A8", true, static_pieces, COUNT(static_pieces), true},
    {GS_Q_W8A8_DYNAMIC, "W8A8_DYNAMIC", false, static_pieces, WEIGHT_PIECES, false},
    {GS_Q_W8A16, "W8A16", false, static_pieces, WEIGHT_PIECES, false},
    {GS_Q_W4A16, "W4A16", false, NULL, 0, false},
    {GS_Q_W8A8S, "W8A8S", true, sparse_pieces, COUNT(sparse_pieces), false},
    {GS_Q_W4A8_DYNAMIC, "W4A8_DYNAMIC", false, NULL, 0, false},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, "W4A4_FLATQUANT_DYNAMIC", false, NULL, 0, false},
};

const gs_scheme *gs_scheme_get(gs_quant_type type)
{
    for (int i = 0; i < COUNT(schemes); i++) {
        if (schemes[i].type == type) return &schemes[i];
    }
    return &schemes[0];
}

gs_dtype gs_piece_dtype(const gs_scheme *s, gs_piece piece, gs_dtype floats, bool deq_i64)
{
    switch (piece) {
    case GS_PIECE_WEIGHT:
        return s->type == GS_Q_FLOAT ? floats : GS_I8;
    case GS_PIECE_QUANT_BIAS:
        return GS_I32;
    case GS_PIECE_DEQ_SCALE:
        return deq_i64 ? GS_I64 : GS_F32;
    default:
        return floats;
    }
}
