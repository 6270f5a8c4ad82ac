/* config.json of the ChatGLM layout: every needed key is read and checked, never guessed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_CONFIG_H
#define GS_MODEL_CONFIG_H

#include "io/json.h"
#include "num/dtype.h"

typedef struct gs_config {
    char model_type[32];
    char torch_dtype[16]; /* as spelled: "bfloat16" */
    gs_dtype dtype;
    int64_t hidden, layers, heads, groups /* kv heads */, head_dim, ffn, vocab;
    int64_t rotary;        /* rotated components per head: head_dim / 2 */
    int64_t max_positions; /* seq_length */
    double rope_base;      /* 10000 · rope_ratio */
    float norm_eps;
    bool qkv_bias;
    bool tied_head;
    int32_t eos[8];
    int n_eos;
    char *text;
    size_t text_bytes; /* the file, for rewriting */
} gs_config;

/* GS_ERR_FILE names path, key and what it must be; GS_ERR_UNSUPPORTED names the model type and lists the supported ones
 * (GLM-4V by vision_config; glm, glm4, … as known but not built). */
gs_status gs_config_read(gs_config *c, const char *model_dir, gs_error *err) GS_CHECKED;
/* The same for a text in memory; `label` stands for the path in messages. */
gs_status gs_config_parse(gs_config *c, const char *text, size_t n, const char *label, gs_error *err) GS_CHECKED;
void gs_config_release(gs_config *c);

int64_t gs_config_qkv_width(const gs_config *c);       /* (heads + 2·groups) · head_dim */
int64_t gs_config_attention_width(const gs_config *c); /* heads · head_dim */

#endif
