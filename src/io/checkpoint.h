/* A checkpoint directory: one model.safetensors, or shards with model.safetensors.index.json, seen as one table of
 * tensors. Index and shards must agree both ways; index file names must be bare names inside the directory. The
 * same code opens our own output (quant_model_weight_*.safetensors[.index.json]) for inspect.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_CHECKPOINT_H
#define GS_IO_CHECKPOINT_H

#include "io/direct.h"
#include "io/safetensors.h"

typedef struct gs_checkpoint {
    char *dir;
    gs_file *files;
    int n_files;
    gs_tensor_table table; /* all files; tensor.file indexes files */
    struct gs_name_map *by_name;
    uint64_t bytes; /* sum of tensor bytes */
    bool read_once; /* set by a caller that reads each weight once: gs_weight_load goes past the page cache */
    char *warning;  /* NULL, or one sentence the caller should pass on (total_size of the index is wrong) */
} gs_checkpoint;

/* model.safetensors wins; then the only *.safetensors.index.json with its shards; then the only *.safetensors. */
gs_status gs_checkpoint_open(gs_checkpoint *ck, const char *dir, gs_error *err) GS_CHECKED;
void gs_checkpoint_close(gs_checkpoint *ck);
const gs_tensor *gs_checkpoint_find(const gs_checkpoint *ck, const char *name); /* NULL = absent; O(1) */
/* GS_ERR_FILE naming the tensor when absent, of another shape, or not of a float type. dim1 < 0: rank 1. */
gs_status gs_checkpoint_expect(const gs_checkpoint *ck, const char *name, int64_t dim0, int64_t dim1,
                               const gs_tensor **out, gs_error *err) GS_CHECKED;
/* n bytes from byte `offset` of the tensor. Thread-safe. */
gs_status gs_checkpoint_read(const gs_checkpoint *ck, const gs_tensor *t, uint64_t offset, void *dst, size_t n,
                             gs_error *err) GS_CHECKED;
/* The same through a reader of the calling thread, past the page cache. room: gs_direct_room(n) bytes; *data points into it. */
gs_status gs_checkpoint_read_direct(const gs_checkpoint *ck, gs_direct_reader *r, const gs_tensor *t, uint64_t offset,
                                    size_t n, void *room, const void **data, gs_error *err) GS_CHECKED;
/* After the last read: every file is still as it was when it was opened. */
gs_status gs_checkpoint_unchanged(const gs_checkpoint *ck, gs_error *err) GS_CHECKED;
/* GS_ERR_NUMERIC: the tensor holds NaN or Inf at this element. */
gs_status gs_tensor_fail(const gs_checkpoint *ck, const gs_tensor *t, int64_t element, gs_error *err);
/* A whole small float tensor (norms, biases) as float32; refuses NaN/Inf (GS_ERR_NUMERIC, names tensor and index). */
gs_status gs_checkpoint_read_f32(const gs_checkpoint *ck, const gs_tensor *t, float *dst, gs_error *err) GS_CHECKED;

#endif
