/* Every place where the default deviates from the reference on purpose. --reference_compat switches all of them back. One
 * table; docs/differences.md is printed from it. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_COMPAT_H
#define GS_RECIPE_COMPAT_H

#include "base/str.h"

typedef enum gs_compat_id {
    GS_COMPAT_HISTOGRAM_TRUNCATES, /* spec/06 §5: bounds cut to int() */
    GS_COMPAT_FLOAT_PRODUCTS,      /* calibration multiplies fake-quantized values as float32 */
    GS_COMPAT_SIGMA_THREE,         /* spec/00 §1.1 */
    GS_COMPAT_SIGMA_RANGE,         /* [3,4] instead of [1,4] */
    GS_COMPAT_ONLY_PROMPT_KEY,     /* calibration JSON: only "prompt" */
    GS_COMPAT_TOKENIZER_ARGS,      /* bad JSON: silently the default */
    GS_COMPAT_LOWBIT_LAYERS_DROPPED,
    GS_COMPAT_M4_M6_SPLIT,
    GS_COMPAT_SMOOTH_NAMES,
    GS_COMPAT_C8_KEYS_ALONE,
    GS_COMPAT_KV_BEFORE_ROPE, /* spec/01 §12 */
    GS_COMPAT_SCALE_BIAS_FULL,
    GS_COMPAT_TP_LAYOUT,
    GS_COMPAT_MM_TENSOR_SHAPES,
    GS_COMPAT_REDUCE_KEY_ONLY,
    GS_COMPAT_SPARSE_DYNAMIC,   /* spec/06 §4.7 */
    GS_COMPAT_OUTLIERS_CLIPPED, /* spec/01 §9.3 */
    GS_COMPAT_GROUP_INPUTS,     /* spec/01 §9.3, msd */
    GS_COMPAT_COUNT
} gs_compat_id;

typedef struct gs_compat_row {
    const char *name;
    const char *reference; /* what the reference does */
    const char *ours;      /* what is done by default, and why */
    const char *spec;      /* the option it shows with */
} gs_compat_row;

extern const gs_compat_row gs_compat_rows[GS_COMPAT_COUNT];
bool gs_compat(const gs_recipe *r, gs_compat_id id);
void gs_compat_markdown(gs_str *out);

#endif
