/* A golden case: the reference's result for one command line, stored compactly (tests/golden/README.md). Opens it, hands out
 * its tensors, rebuilds its files. Everything lives until golden_close(). SPDX-License-Identifier: Apache-2.0 */
#ifndef GOLDEN_CASE_H
#define GOLDEN_CASE_H

#include "io/checkpoint.h"

#define GOLDEN_MAX_LIKE 4

/* How near a result must come (golden_bounds.h). */
typedef enum golden_rules {
    GOLDEN_EXACT,    /* weights as they are */
    GOLDEN_SMOOTHED, /* weights rescaled from statistics of activations */
    GOLDEN_SEARCHED, /* rescaled by a search that saw quantized activations */
    GOLDEN_FORM,     /* names, types, shapes and side files; the numbers are no target */
} golden_rules;

typedef struct golden_tensor {
    const char *name;
    gs_dtype dtype;
    int rank;
    int64_t shape[GS_MAX_RANK];
    int64_t elements;
    uint64_t begin, bytes;     /* in the data part */
    const unsigned char *data; /* NULL until golden_load() */
} golden_tensor;

/* One safetensors file, of a case (described by its stored header) or of an output directory. */
typedef struct golden_set {
    const char *name;
    golden_tensor *tensors; /* in order of offset */
    int count;
    const char *header; /* exact bytes */
    size_t header_bytes;
} golden_set;

typedef struct golden_file {
    const char *name;
    const char *kind; /* "stored" | "model" | "tensors" */
    unsigned mode;
    golden_set set; /* of kind "tensors" */
} golden_file;

typedef struct golden {
    gs_arena *arena;
    const char *dir, *name;
    const char *model_dir;
    const char *group, *model, *calib, *anti;
    golden_rules rules;
    const char *like[GOLDEN_MAX_LIKE]; /* cases that hold the files which this one does not */
    int n_like;
    const char *less; /* NULL, or what marks the lines of side files that the program leaves out on purpose */
    const char **args;
    int n_args;
    golden_file *files;
    int n_files;
    gs_checkpoint checkpoint; /* the model the case was made from */
    gs_file pool_file;        /* tensors of all cases of the model */
    golden_set pool;
} golden;

gs_status golden_open(golden *g, const char *case_dir, gs_error *err) GS_CHECKED;
void golden_close(golden *g);
const char *golden_arg(const golden *g, const char *option); /* value after the option, NULL when not given */

/* Fill in the data of every tensor of a golden set. Not for GOLDEN_FORM, which stores none. */
gs_status golden_load(golden *g, golden_set *set, gs_error *err) GS_CHECKED;
/* Read a whole safetensors file of a result, with its header bytes. */
gs_status golden_read_set(golden_set *set, gs_arena *arena, const char *path, gs_error *err) GS_CHECKED;
const golden_tensor *golden_find(const golden_set *set, const char *name);
const golden_tensor *golden_find_part(const golden_set *set, const char *layer,
                                      const char *part); /* "<layer>.<part>" */
/* The bytes of a file of kind "stored" or "model". */
gs_status golden_bytes(golden *g, const golden_file *file, const char **data, size_t *n, gs_error *err) GS_CHECKED;
/* A tensor that is not stored because it follows from others of its set (golden_follow.c): `how` is its word in the list of keys.
 * false: no such rule. */
bool golden_follows(const char *how);
gs_status golden_follow(golden *g, golden_set *set, golden_tensor *t, const char *how, gs_error *err) GS_CHECKED;
/* Write the case's files into dir, as the reference wrote them, modes included. */
gs_status golden_expand(golden *g, const char *dir, gs_error *err) GS_CHECKED;

#endif
