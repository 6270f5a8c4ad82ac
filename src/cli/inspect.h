/* What inspect found. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_INSPECT_H
#define GS_CLI_INSPECT_H

#include "cli/common.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "model/config.h"

typedef struct gs_inspect {
    const char *path;
    const char *kind;  /* "file", "checkpoint", "quantized" */
    const char *title; /* of the model family, or NULL */
    const gs_tensor_table *table;
    const gs_file *files;
    int n_files;

    gs_file file; /* a single file */
    gs_tensor_table own_table;
    gs_checkpoint checkpoint; /* a directory */
    bool opened, has_config;
    gs_config config;
    json_t *description; /* of a quantized directory, or NULL */
    char *description_name;
} gs_inspect;

/* The description's word for a tensor; NULL = none. */
const char *gs_inspect_type(const gs_inspect *v, const gs_tensor *t);
void gs_inspect_text(const gs_inspect *v, bool all, gs_str *out);
char *gs_inspect_json(const gs_inspect *v, size_t *n); /* caller gs_free()s */

#endif
