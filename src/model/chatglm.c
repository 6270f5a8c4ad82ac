/* GLM-4 in the ChatGLM remote-code layout: names of the checkpoint's tensors. Rows of query_key_value: all query
 * heads, then the key groups, then the value groups. Rows of dense_h_to_4h: the gate half, then the up half. The file
 * also carries the inverse frequencies of the rotary embedding, rounded and for base 10000: they must not be used and
 * are ignored.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/families.h"

static const char *const ignored[] = {"transformer.rotary_pos_emb.inv_freq", NULL};

const gs_family gs_family_chatglm = {
    .model_type = "chatglm",
    .title = "GLM-4 (ChatGLM remote-code layout)",
    .embedding = "transformer.embedding.word_embeddings.weight",
    .final_norm = "transformer.encoder.final_layernorm.weight",
    .head = "transformer.output_layer",
    .block_prefix = "transformer.encoder.layers.%d",
    .linear = {[GS_QKV] = "self_attention.query_key_value",
               [GS_DENSE] = "self_attention.dense",
               [GS_H4] = "mlp.dense_h_to_4h",
               [GS_4H] = "mlp.dense_4h_to_h"},
    .norm = {[GS_NORM_INPUT] = "input_layernorm", [GS_NORM_POST] = "post_attention_layernorm"},
    .ignored = ignored,
};
