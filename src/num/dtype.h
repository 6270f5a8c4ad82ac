/* Element types of safetensors files, in the order the format's writer sorts them: a lower value is written
 * first. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_NUM_DTYPE_H
#define GS_NUM_DTYPE_H

#include "base/status.h"

typedef enum gs_dtype {
    GS_U64,
    GS_I64,
    GS_F64,
    GS_F32,
    GS_U32,
    GS_I32,
    GS_BF16,
    GS_F16,
    GS_U16,
    GS_I16,
    GS_F8_E4M3,
    GS_F8_E5M2,
    GS_I8,
    GS_U8,
    GS_BOOL,
    GS_DTYPE_COUNT
} gs_dtype;

const char *gs_dtype_name(gs_dtype t); /* "BF16" */
size_t gs_dtype_bytes(gs_dtype t);
bool gs_dtype_find(const char *name, size_t n, gs_dtype *out);
bool gs_dtype_is_float(gs_dtype t); /* BF16, F16 or F32: what a weight may be */

#endif
