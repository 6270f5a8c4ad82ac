/* Two directories, checkpoints or results, tensor by tensor and key of the description by key. Values are compared as numbers, in
 * pieces: memory does not grow with the tensors. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_DIFF_H
#define GS_FORMAT_DIFF_H

#include "io/checkpoint.h"

typedef enum gs_diff_kind {
    GS_DIFF_EQUAL, /* type, shape and every byte */
    GS_DIFF_FORM,  /* another element type or encoding, the same values */
    GS_DIFF_VALUES,
    GS_DIFF_SHAPE,
    GS_DIFF_ONLY_A,
    GS_DIFF_ONLY_B,
    GS_DIFF_KINDS
} gs_diff_kind;

typedef struct gs_tensor_diff {
    const char *name;
    gs_diff_kind kind;
    gs_dtype dtype_a, dtype_b;
    bool codes;                       /* integers: weights */
    int64_t elements, changed, first; /* codes where they are packed; first: element or code */
    double largest;                   /* |difference|; infinite where one side is NaN */
} gs_tensor_diff;

typedef struct gs_key_diff {
    const char *key, *a, *b; /* values as JSON text; NULL = not there */
} gs_key_diff;

typedef struct gs_diff {
    gs_tensor_diff *tensors; /* A's order, then what is only in B */
    int64_t n_tensors;
    gs_key_diff *keys;
    int64_t n_keys;
    int64_t count[GS_DIFF_KINDS];
    bool differs;
    gs_arena *arena;
} gs_diff;

gs_status gs_diff_run(const char *dir_a, const char *dir_b, gs_diff *out, gs_error *err) GS_CHECKED;
void gs_diff_release(gs_diff *d);

#endif
