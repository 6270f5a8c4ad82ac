/* A result directory read back: ascendV1 or mindie layout, one file or shards, ours or the reference's. Headers and JSON only;
 * nothing read is trusted. Opening checks that the files are what they say; binding finds the tensors of every linear, norm and
 * cache of the model and checks types, shapes and dtypes against the scheme the description names. Values are not looked at
 * (quantread.h and eval/ do that). A tool that reports all faults calls gs_quantdir_linear() and its like one by one instead of
 * gs_quantdir_bind(), which stops at the first. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_QUANTDIR_H
#define GS_FORMAT_QUANTDIR_H

#include "format/format.h"

/* The tensors of one linear, or of its share on one card of a simulated tensor-parallel run. */
typedef struct gs_quant_part {
    int64_t out, in;
    const gs_tensor *piece[GS_PIECES]; /* NULL = not there */
    gs_weight_layout layout;           /* as the shapes say; nothing about scales_f32 */
} gs_quant_part;

typedef struct gs_quant_linear {
    const gs_scheme *scheme;
    gs_quant_part whole;
    bool complete;            /* whole has every tensor the scheme asks for; always true without cards */
    int ranks;                /* cards; 0 = not a tensor-parallel result */
    gs_quant_part *rank;      /* [ranks], each with in/ranks of the inputs, in order; the quantdir's */
    const gs_tensor *gather;  /* [out] scale of the summed output; NULL = communication is not quantized */
    const gs_tensor **reduce; /* [ranks] scale of each card's output; all the same one where it is shared */
} gs_quant_linear;

typedef struct gs_quant_norm {
    const gs_tensor *weight, *bias;               /* bias may be NULL */
    const gs_tensor *module_weight, *module_bias; /* mindie layout of a smoothed model; else NULL */
} gs_quant_norm;

typedef struct gs_quant_block {
    gs_quant_norm norm[GS_NORMS];
    const gs_tensor *kv[GS_KV_PARTS]; /* all or none */
    const gs_tensor *fa[GS_FA_PARTS]; /* all or none */
    gs_quant_linear linear[GS_ROLES];
} gs_quant_block;

typedef enum gs_deq_encoding {
    GS_DEQ_NONE, /* no tensor of that kind */
    GS_DEQ_F32,  /* numbers */
    GS_DEQ_I64,  /* bit patterns of float32 */
    GS_DEQ_MIXED
} gs_deq_encoding;

typedef struct gs_quantdir {
    gs_checkpoint checkpoint;
    gs_config config;
    const gs_family *family;

    json_t *description;    /* an object */
    char *description_path; /* for messages */
    const gs_format *format;
    gs_quant_type type;                          /* model_quant_type */
    const char *kv_type, *fa_type, *reduce_type; /* the description's words, NULL = absent */
    int64_t group_size;                          /* the description's, 0 = absent; mindie keeps it in config.json */

    /* gs_quantdir_bind() */
    const gs_tensor *embedding;
    gs_quant_norm final_norm;
    gs_quant_linear head;
    gs_quant_block *block; /* [layers] */
    gs_deq_encoding deq;
    bool wrapped; /* the attention is called self_attn, as by the reference's do_smooth; engines do not find it */
    gs_arena *arena;
} gs_quantdir;

/* quant_model_description*.json of dir as its name alone: the untyped one, which engines prefer, or the only typed one; NULL when
 * there is none. Caller gs_free()s *name. */
gs_status gs_quantdir_find_description(const char *dir, char **name, gs_error *err) GS_CHECKED;
/* Description, config.json, headers. GS_ERR_FILE where one is missing or no such file, GS_ERR_UNSUPPORTED for a quantization type or
 * model family we do not know. */
gs_status gs_quantdir_open(gs_quantdir *q, const char *dir, gs_error *err) GS_CHECKED;
void gs_quantdir_close(gs_quantdir *q); /* accepts an all-zero struct */

/* Everything the model needs, or the first fault. */
gs_status gs_quantdir_bind(gs_quantdir *q, gs_error *err) GS_CHECKED;

/* The steps of binding. block 0 .. layers-1. */
gs_status gs_quantdir_linear(gs_quantdir *q, int block, gs_role role, gs_quant_linear *out, gs_error *err) GS_CHECKED;
gs_status gs_quantdir_head(gs_quantdir *q, gs_quant_linear *out, gs_error *err) GS_CHECKED;
gs_status gs_quantdir_norm(gs_quantdir *q, int block, gs_norm norm, gs_quant_norm *out, gs_error *err) GS_CHECKED;
gs_status gs_quantdir_final_norm(gs_quantdir *q, gs_quant_norm *out, gs_error *err) GS_CHECKED;
gs_status gs_quantdir_kv(gs_quantdir *q, int block, const gs_tensor *out[GS_KV_PARTS], gs_error *err) GS_CHECKED;
gs_status gs_quantdir_fa(gs_quantdir *q, int block, const gs_tensor *out[GS_FA_PARTS], gs_error *err) GS_CHECKED;

/* The description's word for a tensor; NULL = none. */
const char *gs_quantdir_word(const gs_quantdir *q, const char *tensor_name);

#endif
