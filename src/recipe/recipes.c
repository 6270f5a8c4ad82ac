/* One command line for each scheme and mode. The first of a type is the one to begin with. SPDX-License-Identifier: Apache-2.0 */
#include "recipe/recipes.h"

#include <string.h>

const gs_recipe_line gs_recipe_lines[] = {
    {"W8A8", "W8A8, ranges of activations by histogram", "--act_method 2"},
    {"W8A8", "W8A8 with an int8 key/value cache", "--act_method 2 --use_kvcache_quant True"},
    {"W8A8", "W8A8 with scales for quantized attention", "--use_fa_quant True"},
    {"W8A8", "W8A8, the five most sensitive linears kept in float", "--disable_level L5"},
    {"W8A8", "W8A8, low-bit quantizer with fallback", "--is_lowbit True --disable_level L2"},
    {"W8A8", "W8A8, one scale for each weight", "--mm_tensor True"},
    {"W8A8", "W8A8 after outlier suppression", "--anti_method m2"},
    {"W8A8", "W8A8 with smoothing searched during calibration", "--do_smooth True"},
    {"W8A8", "W8A8 for two cards, with scales of the communication", "--tp_size 2 --use_reduce_quant True"},
    {"W8A8_DYNAMIC", "W8A8, activations per token", "--is_dynamic True"},
    {"W8A8_DYNAMIC", "sparse weights, activations per token", "--co_sparse True --is_dynamic True"},
    {"W8A16", "int8 weights", "--w_bit 8 --a_bit 16"},
    {"W8A16", "int8 weights with offsets", "--w_bit 8 --a_bit 16 --w_sym False"},
    {"W8A16", "int8 weights, a scale for every 64",
     "--w_bit 8 --a_bit 16 --is_lowbit True --open_outlier False --group_size 64"},
    {"W8A16", "int8 weights, outliers split off", "--w_bit 8 --a_bit 16 --is_lowbit True"},
    {"W4A16", "int4 weights", "--w_bit 4 --a_bit 16"},
    {"W4A16", "int4 weights with offsets", "--w_bit 4 --a_bit 16 --w_sym False"},
    {"W4A16", "int4 weights, a scale for every 128",
     "--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 128"},
    {"W4A16", "int4 weights, outliers split off by the sigma rule",
     "--w_bit 4 --a_bit 16 --is_lowbit True --use_sigma True --sigma_factor 3.0"},
    {"W8A8S", "sparse weights", "--co_sparse True"},
    {"W8A8S", "sparse weights, low-bit", "--w_bit 4 --a_bit 8 --is_lowbit True --fraction 0.02"},
    {"W8A8S", "sparse weights in groups of 64",
     "--w_bit 4 --a_bit 8 --is_lowbit True --open_outlier False --group_size 64"},
    {"W4A8_DYNAMIC", "int4 weights in groups, int8 activations per token",
     "--w_bit 4 --a_bit 8 --is_lowbit True --is_dynamic True --open_outlier False --group_size 64"},
    {"W4A4_FLATQUANT_DYNAMIC", "int4 weights and activations", "--w_bit 4 --a_bit 4 --is_dynamic True"},
    {"FLOAT", "outliers smoothed, nothing quantized", "--w_bit 16 --a_bit 16 --anti_method m1"},
    {"FLOAT", "scales for quantized attention alone", "--w_bit 16 --a_bit 16 --use_fa_quant True"},
};

const int gs_recipe_line_count = (int)(sizeof gs_recipe_lines / sizeof gs_recipe_lines[0]);

const gs_recipe_line *gs_recipe_line_find(const char *type)
{
    for (int i = 0; i < gs_recipe_line_count; i++)
        if (strcmp(gs_recipe_lines[i].type, type) == 0) return &gs_recipe_lines[i];
    return NULL;
}
