/* Quantization types as data: the tensors a linear of that type is written with, in order, and from the form of its weight their
 * shapes and dtypes. Adding a scheme is one file and one line in scheme.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_SCHEME_H
#define GS_QUANT_SCHEME_H

#include "num/dtype.h"
#include "quant/rule.h"
#include "recipe/legal.h"

/* The pieces of a written linear. */
typedef enum gs_piece {
    GS_PIECE_WEIGHT,
    GS_PIECE_BIAS,
    GS_PIECE_WEIGHT_SCALE,
    GS_PIECE_WEIGHT_OFFSET,
    GS_PIECE_INPUT_SCALE,
    GS_PIECE_INPUT_OFFSET,
    GS_PIECE_QUANT_BIAS,
    GS_PIECE_DEQ_SCALE,
    GS_PIECE_SCALE_SECOND,
    GS_PIECE_OFFSET_SECOND,
    GS_PIECE_SCALE_BIAS,
    GS_PIECE_CLIP_RATIO,
    GS_PIECE_LEFT_TRANS,
    GS_PIECE_RIGHT_TRANS,
    GS_PIECES
} gs_piece;

/* Shapes that depend on more than the size of the matrix take it from the layout of the weight. */
typedef enum gs_shape_kind {
    GS_SHAPE_CODES,  /* [out, in], packed [out, in/2] or [out/2, in] */
    GS_SHAPE_SCALE,  /* [out, 1], by group [out, in/g], one for all [1] */
    GS_SHAPE_SECOND, /* [out, in/g] */
    GS_SHAPE_SUMS,   /* scale_bias: [out, 1], [out, 16] or [out, in] */
    GS_SHAPE_OUT,    /* [out] */
    GS_SHAPE_DEQ,    /* [out], one for all [1] */
    GS_SHAPE_LEFT,   /* [a, a] and [b, b]: the factors of the input width, gs_w4a4_split() */
    GS_SHAPE_RIGHT,
    GS_SHAPE_1
} gs_shape_kind;

typedef struct gs_piece_spec {
    gs_piece piece;
    const char *suffix; /* ".weight_scale" */
    gs_shape_kind shape;
    bool typed_float; /* description says FLOAT whatever the layer (the bias) */
} gs_piece_spec;

typedef struct gs_scheme {
    gs_quant_type type;
    const char *name;  /* "W8A8" */
    bool static_input; /* needs calibrated activation ranges */
    const gs_piece_spec *pieces;
    int n_pieces;
} gs_scheme;

const gs_scheme *gs_scheme_get(gs_quant_type type); /* never NULL */
const gs_scheme *gs_scheme_find(const char *name);  /* by the word of the description; NULL = none */
/* dtype a piece is written with. layout: NULL = plain, int8 codes with one scale per row. floats: the dtype of float tensors in
 * this output (BF16, F16 or F32); deq_i64: the int64 encoding of deq_scale. weight_offset_second is int64 in every output. */
gs_dtype gs_piece_dtype(const gs_scheme *s, gs_piece piece, const gs_weight_layout *layout, gs_dtype floats,
                        bool deq_i64);
/* Rank and shape of a piece of an [out, in] linear; 0 if it is not written in this layout. layout: NULL = plain. */
int gs_piece_shape(const gs_piece_spec *p, const gs_weight_layout *layout, int64_t out, int64_t in, int64_t shape[2]);

#endif
