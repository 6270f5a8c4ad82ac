/* A family of models as data: which tensors a block has, their names, shapes and roles. One const table per family,
 * listed in family.c; today chatglm (GLM-4-9B remote-code layout). SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_FAMILY_H
#define GS_MODEL_FAMILY_H

#include "io/checkpoint.h"
#include "model/config.h"

/* The linears of a block in the order they execute and are written. */
typedef enum gs_role { GS_QKV, GS_DENSE, GS_H4, GS_4H, GS_ROLES } gs_role;
typedef enum gs_norm { GS_NORM_INPUT, GS_NORM_POST, GS_NORMS } gs_norm;

typedef struct gs_family {
    const char *model_type; /* "chatglm" */
    const char *title;      /* for inspect: "GLM-4 (ChatGLM remote-code layout)" */
    const char *embedding;  /* tensor names */
    const char *final_norm;
    const char *head;             /* prefix of the output layer: "transformer.output_layer" */
    const char *block_prefix;     /* printf with one int: "transformer.encoder.layers.%d" */
    const char *linear[GS_ROLES]; /* suffixes: "self_attention.query_key_value", … */
    const char *norm[GS_NORMS];   /* "input_layernorm", "post_attention_layernorm" */
    const char *const *ignored;   /* names of checkpoint tensors that are known and unused (inv_freq) */
} gs_family;

/* GS_ERR_UNSUPPORTED lists what is supported. */
gs_status gs_family_find(const gs_config *c, const gs_family **out, gs_error *err) GS_CHECKED;

/* Engines with several cards cut it along its input. */
static inline bool gs_role_is_row_parallel(gs_role role) { return role == GS_DENSE || role == GS_4H; }
void gs_role_shape(const gs_config *c, gs_role role, int64_t *out, int64_t *in);
bool gs_role_has_bias(const gs_config *c, gs_role role);

/* Tensor name into buf: "<block prefix>.<suffix><tail>", tail ".weight", ".bias" or "". Returns buf. */
char *gs_linear_name(const gs_family *f, int block, gs_role role, const char *tail, char *buf, size_t n);
/* The attention module, which holds QKV and DENSE: the part of QKV's name before its last dot. */
char *gs_attention_name(const gs_family *f, int block, const char *tail, char *buf, size_t n);
char *gs_norm_name(const gs_family *f, int block, gs_norm norm, const char *tail, char *buf, size_t n);

/* Every tensor the family needs, found and checked in the checkpoint (names, shapes, float types); unknown tensors
 * are an error that names one of them. Pointers live as long as the checkpoint. */
typedef struct gs_block_tensors {
    const gs_tensor *norm[GS_NORMS];
    const gs_tensor *weight[GS_ROLES];
    const gs_tensor *bias[GS_ROLES]; /* NULL where there is none */
} gs_block_tensors;
typedef struct gs_model_tensors {
    const gs_tensor *embedding, *final_norm, *head; /* head may equal embedding when tied */
    gs_block_tensors *block;                        /* [layers] */
} gs_model_tensors;
gs_status gs_model_tensors_find(gs_model_tensors *m, const gs_family *f, const gs_config *c, const gs_checkpoint *ck,
                                gs_error *err) GS_CHECKED;
void gs_model_tensors_release(gs_model_tensors *m);

#endif
