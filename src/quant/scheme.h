/* Quantization types as data: the tensors a linear of that type is written with, in order. Adding a scheme is one file
 * and one line in scheme.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_SCHEME_H
#define GS_QUANT_SCHEME_H

#include "num/dtype.h"
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
    GS_PIECES
} gs_piece;

typedef enum gs_shape_kind { GS_SHAPE_OUT_IN, GS_SHAPE_OUT_1, GS_SHAPE_OUT, GS_SHAPE_1 } gs_shape_kind;

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
    bool built;
} gs_scheme;

const gs_scheme *gs_scheme_get(gs_quant_type type); /* never NULL */
/* dtype a piece is written with. floats: the dtype of float tensors in this output (BF16, F16 or F32); deq_i64: the
 * int64 encoding of deq_scale. */
gs_dtype gs_piece_dtype(const gs_scheme *s, gs_piece piece, gs_dtype floats, bool deq_i64);

#endif
