/* How the scratch of a block is cut up, and the parts of a block that forward.c and generate.c share. Private to
 * model/.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_SCRATCH_H
#define GS_MODEL_SCRATCH_H

#include "model/forward.h"

/* Rows of one call of a linear, and so of every wide intermediate. */
#define GS_LINEAR_ROWS GS_CHUNK_ROWS

/* Shapes for a scratch of `rows` rows with tiles of t = min(rows, GS_LINEAR_ROWS). The attention part (qkv, context)
 * is dead when the MLP part (wide, gated) begins: they share their place. */
typedef struct gs_scratch_parts {
    float *normed;  /* [rows, hidden] */
    float *y;       /* [t, hidden] */
    float *qkv;     /* [rows, qkv width] */
    float *context; /* [rows, heads·head_dim] */
    float *wide;    /* [t, 2·ffn] */
    float *gated;   /* [rows or t, ffn] */
    size_t bytes;
} gs_scratch_parts;

/* base may be NULL: then only bytes is meaningful. */
gs_scratch_parts gs_scratch_cut(void *base, const gs_config *c, int64_t rows, bool whole_4h);

/* A float linear of a block with its bias: y[rows, out] from dense x[rows, in]. */
void gs_block_linear(gs_compute *c, const gs_block *b, gs_role role, int64_t rows, const float *x, float *y);

/* One block over the next `rows` rows of a single sequence whose first pos0 positions are in the cache already.
 * rows <= the scratch's. cache: [capacity, 2·groups·head_dim], keys then values; rows pos0.. are filled.
 * h: [rows, hidden] in place. */
gs_status gs_block_step(gs_compute *c, const gs_block *b, int block_index, const gs_rope *rope, int64_t rows,
                        int64_t pos0, float *h, float *cache, gs_scratch *s, gs_error *err) GS_CHECKED;

#endif
