/* The forward pass of one block of the ChatGLM layout, with taps. Linears are called through a pointer, so that
 * quant/ can put its fake-quantized arithmetic in their place. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_FORWARD_H
#define GS_MODEL_FORWARD_H

#include "kernels/elem.h"
#include "kernels/gemm.h"
#include "model/family.h"
#include "text/samples.h"

/* Consecutive whole samples that go through a block together. Rows are tokens. */
typedef struct gs_chunk {
    int64_t first, count; /* samples */
    int64_t row0, rows;   /* of the stream */
    const int64_t *start; /* samples' start array, absolute rows: sample s is start[s]..start[s+1] */
} gs_chunk;

/* The next chunk starting at sample `first`: whole samples up to GS_CHUNK_ROWS rows, or one longer sample. */
#define GS_CHUNK_ROWS 512
gs_chunk gs_chunk_at(const gs_samples *s, int64_t first);
int64_t gs_chunk_rows_max(const gs_samples *s); /* the largest chunk, wherever the first one ends */

/* One block's parameters in memory. norm vectors: [hidden] float32. */
typedef struct gs_block {
    const gs_config *config;
    float *norm[GS_NORMS];
    float *norm_bias[GS_NORMS]; /* NULL = none */
    gs_packed weight[GS_ROLES]; /* float panels; n == 0 = not loaded */
    float *bias[GS_ROLES];      /* [out] or NULL */
} gs_block;

/* How far to go in the block: later work is skipped, the stream is left as it is at that point. */
typedef enum gs_until {
    GS_UNTIL_QKV_OUTPUT, /* norm, QKV and the qkv_output tap */
    GS_UNTIL_DENSE_INPUT,
    GS_UNTIL_H4_INPUT,
    GS_UNTIL_4H_INPUT, /* the input tap of that linear has seen everything */
    GS_UNTIL_END
} gs_until;

typedef struct gs_taps {
    void *ctx;
    /* Complete input of a linear for the whole chunk, x: [rows, in] dense, before any call of `linear` for that role
     * and chunk. NULL = nobody looks. wants(role) false skips it; for GS_4H it also lets the MLP run in row tiles. */
    bool (*wants)(void *ctx, gs_role role);
    gs_status (*input)(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err);
    /* Output of QKV after bias, before RoPE: [rows, (heads+2·groups)·head_dim]. NULL = nobody looks. */
    gs_status (*qkv_output)(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err);
    /* After RoPE: q inside qkv is [rows, heads, d], k [rows, groups, d], v [rows, groups, d]; row stride: qkv width. */
    gs_status (*heads)(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err);
    /* y[rows, out] = linear(x[rows, in]) for rows row0 .. row0+rows of the chunk. NULL = gs_gemm_f32 with block
     * weights. */
    gs_status (*linear)(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err);
    bool reference; /* attention as gs_attention_whole */
    /* Behind `heads`, and attention takes what this leaves. NULL = nobody changes anything. */
    gs_status (*change_heads)(void *ctx, const gs_chunk *chunk, float *qkv, gs_error *err);
} gs_taps;

/* Scratch for chunks of at most `rows` rows; whole_4h: also room for the complete input of 4H. */
typedef struct gs_scratch {
    gs_buf buf;
    int64_t rows;
    bool whole_4h;
} gs_scratch;
size_t gs_scratch_bytes(const gs_config *c, int64_t rows, bool whole_4h);
gs_status gs_scratch_init(gs_scratch *s, const gs_config *c, int64_t rows, bool whole_4h, gs_error *err) GS_CHECKED;
void gs_scratch_release(gs_scratch *s);

/* h: [chunk rows, hidden], the residual stream of the chunk, updated in place. A linear that stays float and is not
 * in memory must not be reached. Non-finite values in h afterwards are GS_ERR_NUMERIC naming the block's index
 * `block_index`. */
gs_status gs_block_forward(gs_compute *c, const gs_block *b, int block_index, const gs_rope *rope,
                           const gs_chunk *chunk, float *h, gs_scratch *s, const gs_taps *taps, gs_until until,
                           gs_error *err) GS_CHECKED;

/* The second half of a block alone: h is as attention has left it. until: GS_UNTIL_H4_INPUT or later. */
gs_status gs_block_forward_mlp(gs_compute *c, const gs_block *b, int block_index, const gs_chunk *chunk, float *h,
                               gs_scratch *s, const gs_taps *taps, gs_until until, gs_error *err) GS_CHECKED;

/* Rows of the embedding gathered one by one from the file, never loaded whole. h: [tokens, hidden]. Refuses NaN/Inf. */
gs_status gs_embed(const gs_checkpoint *ck, const gs_tensor *embedding, const int32_t *ids, int64_t n, float *h,
                   gs_error *err) GS_CHECKED;

/* Bytes that loading a tensor takes for a moment, beside the panels: the raw rows of one read and, for F16, their
 * float32. */
size_t gs_load_bytes(const gs_block_tensors *t);
/* One weight into panels, as gs_block_load does it; _rows: some of its rows, as panels of that many rows. */
gs_status gs_weight_load_rows(gs_packed *p, gs_compute *c, const gs_checkpoint *ck, const gs_tensor *t, int64_t row0,
                              int64_t rows, gs_error *err) GS_CHECKED;
gs_status gs_weight_load(gs_packed *p, gs_compute *c, const gs_checkpoint *ck, const gs_tensor *t,
                         gs_error *err) GS_CHECKED;
/* The norms and biases of a block only. */
gs_status gs_block_load_vectors(gs_block *b, const gs_config *cfg, const gs_checkpoint *ck, const gs_block_tensors *t,
                                gs_error *err) GS_CHECKED;

/* Bytes of a block's float panels and vectors (bf16 panels for BF16 tensors, f32 panels else), for the plan. */
size_t gs_block_bytes(const gs_config *c, const gs_block_tensors *t);
/* Load norms, biases and all four weights of a block into b (panels allocated if needed, reused if they fit). Reads
 * in row chunks; refuses NaN/Inf naming the tensor. */
gs_status gs_block_load(gs_block *b, gs_compute *c, const gs_config *cfg, const gs_checkpoint *ck,
                        const gs_block_tensors *t, gs_error *err) GS_CHECKED;
void gs_block_release(gs_block *b);

#endif
