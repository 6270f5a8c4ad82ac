/* Synthetic checkpoints: any shape, seeded, with outlier channels, in the ChatGLM layout, bf16, sharded, with a small
 * byte-level tokenizer, so that size and speed can be tried without downloading anything.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_SYNTH_H
#define GS_MODEL_SYNTH_H

#include "base/status.h"

typedef struct gs_synth_spec {
    const char *dir; /* must not exist or be empty */
    int64_t hidden, layers, heads, groups, head_dim, ffn, vocab;
    double rope_ratio; /* 0 = key absent */
    uint64_t seed;
    int outlier_channels;    /* per norm: weight ×s, following columns ÷s, s in 8..60; also rows of the up half */
    int64_t shard_bytes;     /* 0 = 2 GB */
    const char *torch_dtype; /* "bfloat16" (default when NULL), "float16", "float32" */
} gs_synth_spec;
void gs_synth_defaults(gs_synth_spec *s); /* GLM-4-9B width, 4 layers, vocabulary 4096 */
gs_status gs_synth_write(const gs_synth_spec *s, gs_error *err) GS_CHECKED;

#endif
