/* What an inference engine really loads: one const table per engine (target_mindie.c, target_vllm_ascend.c), scheme by feature, with
 * the sentence a person sees. --target asks before any work whether the result would load, and changes the few names and words that
 * the engine wants otherwise; verify asks the same tables about files. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_TARGET_H
#define GS_FORMAT_TARGET_H

#include "format/manifest.h"

/* What a recipe can have that an engine may not take. */
typedef enum gs_target_feature {
    GS_TF_SCHEME, /* always: the type itself */
    GS_TF_ASYMMETRIC,
    GS_TF_PER_GROUP,
    GS_TF_GROUP_32,
    GS_TF_KV,           /* int8 key/value cache */
    GS_TF_FA,           /* quantized attention */
    GS_TF_HEAD,         /* the output layer is quantized */
    GS_TF_OLD_LAYOUT,   /* --mindie_format */
    GS_TF_SHIFT_QKV,    /* do_smooth: a norm bias that is not zero in front of a QKV without static activation scales */
    GS_TF_SHIFT_H4,     /* … of an H4 */
    GS_TF_CARDS,        /* tensors of simulated cards */
    GS_TF_REDUCE_OWN,   /* a reduce_scale for each card */
    GS_TF_REDUCE,       /* scales for quantized communication */
    GS_TF_NO_QKV_BIAS,  /* the model's QKV has no bias */
    GS_TF_OTHER_CONFIG, /* the checkpoint's config.json speaks of quantization itself */
    GS_TF_COUNT
} gs_target_feature;

#define GS_ANY_TYPE (-1)

/* The row of a type wins over GS_ANY_TYPE; what no row speaks of loads. */
typedef struct gs_target_row {
    int type; /* gs_quant_type or GS_ANY_TYPE */
    gs_target_feature feature;
    bool loads;
    const char *text; /* refused: what the engine would do. loads: NULL, or what is worth knowing */
} gs_target_row;

/* A run, as far as a target looks at it. */
typedef struct gs_target_request {
    const gs_recipe *recipe;
    const gs_resolved *resolved;
    const gs_config *config;
    const gs_choice *choice; /* [n_linears]: layers · GS_ROLES, then the head */
    int n_linears;
} gs_target_request;

typedef struct gs_target {
    const char *name;  /* "mindie" */
    const char *title; /* "MindIE" */
    const char *loads; /* what it takes, to end a refusal with */
    const gs_target_row *rows;
    int n_rows;
    bool kv_on_attention; /* the cache's tensors hang on the attention, not on QKV */
    /* What config.json's _name_or_path must become; NULL = it may stay. The member may be NULL. */
    const char *(*model_name)(const gs_config *c);
    /* Warnings, one line each; lines that begin with "note: " are information. The member may be NULL. */
    void (*advise)(const gs_target_request *q, gs_str *notes);
} gs_target;

extern const gs_target gs_target_mindie, gs_target_vllm_ascend;
extern const gs_target *const gs_targets[];        /* NULL at the end */
const gs_target *gs_target_find(const char *name); /* NULL for NULL, "" and unknown names */

bool gs_target_has(const gs_target_request *q, gs_target_feature feature);
/* The table's word on a cell; NULL = it has none: loads. */
const gs_target_row *gs_target_cell(const gs_target *t, gs_quant_type type, gs_target_feature feature);
/* GS_ERR_USAGE with the first thing that would not load, and what would. Adds warnings and notes. */
gs_status gs_target_check(const gs_target *t, const gs_target_request *q, gs_str *notes, gs_error *err) GS_CHECKED;

/* The type engines compute in, which config.json must name and deq_scale and scales follow: the checkpoint's, except that float32
 * runs nowhere and becomes bfloat16, whose range is the same. */
gs_dtype gs_target_dtype(const gs_config *c);
/* Does MindIE take groups of that many weights? */
bool gs_target_takes_group(int64_t group);
/* Are the characters of the path, made absolute, all of those that MindIE takes (GS_MINDIE_PATH)? It may not exist yet. */
bool gs_target_path_fits(const char *path);
/* Does _name_or_path say that this is a GLM-4 in the way MindIE looks for it? name may be NULL. */
bool gs_target_names_glm4(const char *name);

#endif
