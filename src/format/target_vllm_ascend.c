/* What vllm-ascend loads of a ChatGLM model. It knows a list of types for linears, reads quant_model_description.json only, and
 * stops at tensors it has no parameter for. SPDX-License-Identifier: Apache-2.0 */
#include "format/target.h"

static const gs_target_row rows[] = {
    {GS_Q_W8A8, GS_TF_SCHEME, true, NULL},
    {GS_Q_W8A8_DYNAMIC, GS_TF_SCHEME, true, NULL},
    {GS_Q_W8A16, GS_TF_SCHEME, true, NULL},
    {GS_Q_FLOAT, GS_TF_SCHEME, true, NULL},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, GS_TF_SCHEME, true,
     "W4A4 linears that are cut along their input (dense, dense_4h_to_h) load on one card only"},
    {GS_Q_W4A16, GS_TF_SCHEME, false, "the engine has no W4A16 linear and stops with NotImplementedError"},
    {GS_Q_W4A8_DYNAMIC, GS_TF_SCHEME, false,
     "the engine has W4A8_DYNAMIC for experts only, not for linears, and stops with NotImplementedError"},
    {GS_Q_W8A8S, GS_TF_SCHEME, false, "the engine has no sparse linear and stops with NotImplementedError"},
    {GS_Q_W8A16, GS_TF_ASYMMETRIC, false,
     "the engine loads asymmetric W8A16 and adds the offset where it should subtract: every output is wrong, without "
     "a word; use symmetric weights (w_sym True)"},
    {GS_ANY_TYPE, GS_TF_PER_GROUP, false,
     "the engine's scales are one per row: scales by group stop its loader with a shape that does not fit; leave "
     "open_outlier at True"},
    {GS_ANY_TYPE, GS_TF_FA, false,
     "the engine has quantized attention for other models only and stops at the type FAQuant; leave out use_fa_quant"},
    {GS_ANY_TYPE, GS_TF_OLD_LAYOUT, false,
     "the engine does not find the description of the older layout, and takes the quantization_config in config.json "
     "for it; leave out --mindie_format"},
    {GS_ANY_TYPE, GS_TF_SHIFT_H4, false,
     "do_smooth gives norms a bias that is not zero and dense_h_to_4h one that makes up for it; the engine loads the "
     "first and, unless the linear is W8A8, drops the second; leave out do_smooth, or quantize those linears so"},
    {GS_ANY_TYPE, GS_TF_CARDS, false,
     "the tensors of simulated cards (tp_list) have no place in the engine, and it stops at tensors it does not know; "
     "leave tp_size at 1: the engine cuts tensors itself"},
    {GS_ANY_TYPE, GS_TF_REDUCE, false,
     "scales for quantized communication have no place in the engine, and it stops at tensors it does not know; leave "
     "out use_reduce_quant"},
    {GS_ANY_TYPE, GS_TF_OTHER_CONFIG, false,
     "the checkpoint's config.json speaks of quantization itself, and the engine takes its quantization_config for the "
     "description; remove the keys quantize and quantization_config from the checkpoint"},
    {GS_ANY_TYPE, GS_TF_KV, true,
     "the scales of the key/value cache are named self_attention.k_proj and v_proj, where the engine looks for them"},
};

const gs_target gs_target_vllm_ascend = {
    .name = "vllm-ascend",
    .title = "vllm-ascend",
    .loads =
        "W8A8, W8A8_DYNAMIC, symmetric W8A16, W4A4_FLATQUANT_DYNAMIC and FLOAT, one scale per row, with or without "
        "an int8 key/value cache, in the default layout",
    .rows = rows,
    .n_rows = (int)(sizeof rows / sizeof rows[0]),
    .kv_on_attention = true,
};
