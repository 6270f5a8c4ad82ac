/* The table of deliberate deviations. Rows in the order of gs_compat_id.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipe/compat.h"

const gs_compat_row gs_compat_rows[GS_COMPAT_COUNT] = {
    [GS_COMPAT_HISTOGRAM_TRUNCATES] =
        {"histogram bounds",
         "In a float32 run act_method 2 and 3 count only inputs between int(min) and int(max): the largest outliers "
         "fall out and the "
         "range that is searched lacks them. The same script on an NPU keeps them, because large bfloat16 values are "
         "integers.",
         "Bounds are not truncated, as in later versions of the same observer: CPU and NPU results agree.",
         "act_method"},
    [GS_COMPAT_FLOAT_PRODUCTS] =
        {"products in calibration",
         "Fake-quantized values are multiplied as float32 numbers; each sum has its own rounding error, which now and "
         "then flips an activation code further on.",
         "Codes are multiplied as integers, exactly, several times faster.", "act_method"},
    [GS_COMPAT_SIGMA_THREE] =
        {"sigma_factor with data",
         "The low-bit quantizer uses 3.0 whenever there is calibration data, whatever sigma_factor says.",
         "sigma_factor is honoured with and without data.", "sigma_factor"},
    [GS_COMPAT_SIGMA_RANGE] = {"range of sigma_factor",
                               "3.0 to 4.0, checked even when use_sigma is False; its documentation says 1 to 3.",
                               "1.0 to 4.0, checked when use_sigma is True.", "sigma_factor"},
    [GS_COMPAT_ONLY_PROMPT_KEY] =
        {"keys of calibration files",
         "Files are JSON arrays of objects with the key `prompt`, in a path that ends in `json`.",
         "JSON arrays of objects or strings, JSON lines and plain text, by content; keys prompt, inputs_pretokenized, "
         "text.",
         "calib_file"},
    [GS_COMPAT_TOKENIZER_ARGS] = {"tokenizer_args that is not JSON", "Replaced by the default without a word.",
                                  "An error.", "tokenizer_args"},
    [GS_COMPAT_LOWBIT_LAYERS_DROPPED] = {"disable_level with is_lowbit",
                                         "The linears it chooses are missing from the files, weight included.",
                                         "They are written in floating point, type FLOAT.", "is_lowbit"},
    [GS_COMPAT_M4_M6_SPLIT] =
        {"m4 and m6 on the MLP",
         "Columns of dense_4h_to_h are scaled without scaling the matching rows of dense_h_to_4h: the model's "
         "function is destroyed.",
         "Both sides are scaled, so that the function is kept.", "anti_method"},
    [GS_COMPAT_SMOOTH_NAMES] =
        {"names under do_smooth",
         "Tensors are named self_attn.* instead of self_attention.*; no engine can load them, and disable_names "
         "under self_attention is ignored.",
         "Names stay as they are in the checkpoint and disable_names applies.", "do_smooth"},
    [GS_COMPAT_C8_KEYS_ALONE] =
        {"C8 keys without tensors",
         "With do_smooth, and without calibration data, the description has the keys of the key/value cache but "
         "no tensors are written.",
         "Tensors are written with do_smooth; without data the request is refused.", "use_kvcache_quant"},
    [GS_COMPAT_KV_BEFORE_ROPE] = {"where the key/value cache is measured",
                                  "Ranges of keys are taken before the rotary embedding. Engines quantize the rotated "
                                  "keys, whose two components "
                                  "of a pair mix: values leave the range and are clipped.",
                                  "Ranges are those of the keys as they are cached, after the rotary embedding.",
                                  "use_kvcache_quant"},
    [GS_COMPAT_SCALE_BIAS_FULL] = {"scale_bias of W4A8_DYNAMIC", "The full [out, in] matrix in float32.",
                                   "Reduced as for models whose names the script knows: row sums "
                                   "for column-parallel linears, 16 partial sums for row-parallel ones.",
                                   "w_bit"},
    [GS_COMPAT_TP_LAYOUT] =
        {"files under tp_size",
         "Per-card tensors only (`tp_list`), the weight being their codes side by side, and a linear kept in floating "
         "point loses its merged weight.",
         "The plain tensors that engines load are written too, computed on the undivided linear; one kept in floating "
         "point is written whole and not by card.",
         "tp_size"},
    [GS_COMPAT_MM_TENSOR_SHAPES] =
        {"shapes under mm_tensor",
         "weight_scale, weight_offset and deq_scale have one element; engines expect one per row.",
         "The one value is written once per row.", "mm_tensor"},
    [GS_COMPAT_REDUCE_KEY_ONLY] = {"use_reduce_quant",
                                   "Writes the key reduce_quant_type but no scales: engines that act on the key fail.",
                                   "The scales are calibrated and written. With tp_size 1 the script's key alone is "
                                   "written under --reference_compat, with more cards the library's files.",
                                   "use_reduce_quant"},
    [GS_COMPAT_SPARSE_DYNAMIC] = {"low-bit sparse codes with is_dynamic",
                                  "w4a8 with is_lowbit, open_outlier True and is_dynamic is refused.",
                                  "Sparse codes are written as W8A8_DYNAMIC, which engines load.", "is_dynamic"},
    [GS_COMPAT_OUTLIERS_CLIPPED] =
        {"split outliers in int4 files",
         "The outliers that open_outlier splits off are clipped to 4 bits when the W4A16 file is written, although "
         "calibration computed with them. Behind m4 and m6, which make outliers of whole columns, that destroys the "
         "model.",
         "Each row is clipped only if that loses less, in squared error, than a scale that holds its outliers; "
         "calibration computes with what is written.",
         "open_outlier"},
    [GS_COMPAT_GROUP_INPUTS] = {"inputs of per-group W4A16 and W8A16",
                                "In calibration each token's inputs are cut down to steps of a 1575th of its largest "
                                "magnitude. It shows in the "
                                "scales of use_fa_quant, and may show in what disable_level chooses.",
                                "Inputs stay in floating point, as engines compute.", "group_size"},
};

bool gs_compat(const gs_recipe *r, gs_compat_id id)
{
    (void)id; /* one switch for all rows; the id names the row at the place that honours it */
    return r->reference_compat;
}
