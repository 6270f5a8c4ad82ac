/* One block of a result as it is served: norms with their biases, four linears, the int8 key/value cache, int8 attention.
 *
 * Engines write keys to the cache after the rotation, so the round trip through int8 stands there, although the reference measured
 * its ranges before it; values have no rotation. Every key and value goes through it, also that of the token at hand, which an
 * engine may take from before the cache: what is measured is decoding. Quantized attention (FA) rounds q, k and v per head at the
 * same place; its int8 probabilities are not imitated. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_SERVED_BLOCK_H
#define GS_EVAL_SERVED_BLOCK_H

#include "eval/served.h"

typedef struct gs_served_block {
    gs_block vectors; /* norms and their biases; no weights */
    gs_served_linear linear[GS_ROLES];
    bool kv, fa;
    float *kv_value[GS_KV_PARTS]; /* [groups·head_dim] */
    float *fa_value[GS_FA_PARTS]; /* [heads], [groups], [groups]; scales, then offsets */
} gs_served_block;

/* Block `block` of a bound quantdir. What b held from an earlier block is reused or replaced. */
gs_status gs_served_block_load(gs_served_block *b, gs_compute *c, const gs_quantdir *q, int block,
                               gs_error *err) GS_CHECKED;
void gs_served_block_release(gs_served_block *b); /* accepts an all-zero struct */

/* The block in place of the float one: hidden states of the chunk in place. seen (may be NULL) gets the output of every call of a
 * linear. */
typedef struct gs_served_watch {
    void *ctx;
    void (*output)(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *y);
} gs_served_watch;
gs_status gs_served_block_forward(gs_served_block *b, gs_compute *c, int block, const gs_rope *rope,
                                  const gs_chunk *chunk, float *h, gs_scratch *s, gs_served_work *work,
                                  const gs_served_watch *seen, gs_error *err) GS_CHECKED;

#endif
