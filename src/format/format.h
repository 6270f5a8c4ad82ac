/* What the output directory looks like: one const struct per format, one table in format.c. A format decides names and side
 * files; which tensors a linear is written with is the scheme's matter (quant/scheme.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_FORMAT_H
#define GS_FORMAT_FORMAT_H

#include "format/manifest.h"

typedef struct gs_format {
    const char *name; /* "ascendV1", "mindie" */
    const char *title;
    bool version;           /* the description opens with "version": "1.0.0" */
    bool typed_description; /* quant_model_description_<type>.json instead of quant_model_description.json */
    bool config_quantize;   /* config.json gets "quantize" and "quantization_config" */
} gs_format;

extern const gs_format gs_format_ascend_v1, gs_format_mindie;
const gs_format *gs_format_get(const gs_recipe *recipe);

/* Name of the weights without ".safetensors": "quant_model_weight_w8a8". buf is returned. */
char *gs_format_weights_prefix(gs_quant_type type, char *buf, size_t n);
char *gs_format_description_name(const gs_format *f, gs_quant_type type, char *buf, size_t n);

/* Text of the description file: general keys, then one "tensor": "TYPE" per tensor in generation order. gs_free() it. */
char *gs_format_description(const gs_format *f, const gs_manifest *m, const gs_resolved *r, bool kv, bool fa,
                            size_t *n);

/* group_size in the older layout's config.json; 0 = none. */
int gs_format_config_group(const gs_recipe *recipe);

/* Text of the output's config.json: the checkpoint's, as Python would write it again, with the format's keys. fa: some block has scales
 * for quantized attention. */
gs_status gs_format_config(const gs_format *f, const gs_config *c, const gs_recipe *recipe, const gs_resolved *r,
                           bool fa, char **out, size_t *n, gs_error *err) GS_CHECKED;

/* copy.c: tokenizer, generation and configuration files of the model directory. The rule is the reference's, the file's name
 * contains one of six words; but weights of another model, *.safetensors and their index, stay where they are.
 * What would stop the copying is refused: more than 1024 directory entries, a file that cannot be opened or is too large,
 * JSON that is none. *bytes: what the copies take. */
gs_status gs_format_check_copies(const char *model_dir, uint64_t *bytes, gs_error *err) GS_CHECKED;
gs_status gs_format_copy_files(const char *model_dir, const char *out_dir, gs_error *err) GS_CHECKED; /* mode 0600 */

#endif
