/* Every tensor of the output, in generation order, with where it comes from: embedding; per block input norm, KV scales, QKV,
 * dense, post norm, H4, 4H; final norm; head. The walk looks tensors up here by place, never by name.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_MANIFEST_H
#define GS_FORMAT_MANIFEST_H

#include "format/names.h"
#include "io/writer.h"
#include "model/family.h"
#include "quant/rule.h"
#include "quant/scheme.h"

/* What was decided for one linear before the walk. */
typedef struct gs_choice {
    gs_quant_type type;
    const char *why_float; /* static text; NULL when quantized */
    bool first_sample;     /* float, but the first calibration sample saw it quantized (low-bit disable_level) */
    bool dropped;          /* --reference_compat: then it is not written at all */
} gs_choice;

/* Indices into the layout; -1 = not written. */
typedef struct gs_linear_out {
    int64_t piece[GS_PIECES];
} gs_linear_out;
/* A row-parallel linear on several cards: scales of what they exchange, and each card's own tensors. */
typedef struct gs_parallel_out {
    int64_t gather_scale, reduce_scale[GS_RANKS_MAX];
    gs_linear_out rank[GS_RANKS_MAX];
} gs_parallel_out;
/* A norm of a smoothed model is written with a bias, and by --mindie_format a second time under ".module". */
typedef struct gs_norm_out {
    int64_t weight, bias, module_weight, module_bias;
} gs_norm_out;
typedef struct gs_block_out {
    gs_norm_out norm[GS_NORMS];
    int64_t kv[GS_KV_PARTS];
    int64_t fa[GS_FA_PARTS];
    gs_linear_out linear[GS_ROLES];
    gs_parallel_out parallel[GS_ROLES];
} gs_block_out;

typedef struct gs_manifest {
    gs_layout layout;
    const char **type; /* [layout.count] description string of each tensor */
    int64_t type_cap;
    int64_t embedding;
    gs_norm_out final_norm;
    gs_linear_out head;
    gs_block_out *block; /* [layers] */
    gs_dtype floats;     /* dtype of derived float tensors (scales) */
    bool deq_i64;
} gs_manifest;

/* What the manifest is built from. choice: [layers·GS_ROLES] then the head. keep_dtypes: float tensors keep the checkpoint's
 * dtypes (--save_dtype checkpoint); otherwise all are F32. */
typedef struct gs_manifest_spec {
    const gs_config *config;
    const gs_family *family;
    const gs_model_tensors *tensors;
    const gs_choice *choice;
    const gs_weight_rule *rule;
    const gs_recipe *recipe;
    const struct gs_target *target; /* NULL = the reference's layout */
    const gs_resolved *resolved;    /* cards */
    gs_quant_type type;             /* of the model: what ".module" norms are typed as */
    bool kv;
    const bool *fa; /* [layers] attention is quantized (FA3); NULL = nowhere */
    bool keep_dtypes;
    bool norm_bias;     /* norms are written with a bias (anti_method m1 … m5, do_smooth) */
    bool norm_bias_f32; /* … in float32 whatever the rest is: those methods create it so */
    bool norm_module;   /* … and under ".module" too */
    bool h4_bias;       /* do_smooth gives H4 a bias */
    bool wrapped_names; /* do_smooth of the reference: "self_attn", norms behind the linears */
} gs_manifest_spec;

void gs_manifest_build(gs_manifest *m, const gs_manifest_spec *spec);
void gs_manifest_release(gs_manifest *m);

#endif
