/* Planned safetensors output: all names, types, shapes and places are fixed before the first byte, headers are written
 * first, data goes to planned offsets with pwrite in any order and from any thread. The bytes are those of the safetensors
 * library for Python: sorted by type, then name; compact header without __metadata__, padded to 8; no gaps. A shard is
 * closed before the tensor with which it would reach the limit. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_WRITER_H
#define GS_IO_WRITER_H

#include "io/direct.h"
#include "io/safetensors.h"

typedef struct gs_out_file {
    char *name;            /* final name */
    uint64_t bytes;        /* whole file */
    uint64_t header_bytes; /* 8 + padded header */
    int64_t n_tensors;
    int64_t first; /* its tensors are order[first .. first + n_tensors) of the layout */
} gs_out_file;

typedef struct gs_layout {
    gs_tensor *tensors; /* generation order; file and offset are set by gs_layout_plan */
    int64_t count;
    int64_t cap;
    int64_t *order; /* tensor indices in the order of files and of places inside them; set by gs_layout_plan */
    gs_out_file *files;
    int n_files;
    char *index_name;     /* NULL when not sharded */
    uint64_t total_bytes; /* of tensor data */
    gs_arena *arena;
} gs_layout;

void gs_layout_init(gs_layout *l);
void gs_layout_release(gs_layout *l);
/* Append one tensor in generation order; returns its index, which gs_writer_put takes. The name is copied. */
int64_t gs_layout_add(gs_layout *l, const char *name, gs_dtype dtype, int rank, const int64_t *shape);
/* prefix: "quant_model_weight_w8a8". shard_limit in bytes; 0 = one file "<prefix>.safetensors" and no index. */
gs_status gs_layout_plan(gs_layout *l, const char *prefix, uint64_t shard_limit, gs_error *err) GS_CHECKED;
/* Bytes of one planned file before its data: length, header, padding. Caller gs_free()s. */
char *gs_layout_header(const gs_layout *l, int file, size_t *n);
/* Text of the index file (indent 2, no newline at the end). Caller gs_free()s. */
char *gs_layout_index_json(const gs_layout *l, size_t *n);

typedef struct gs_writer gs_writer;
/* Creates the files in dir (mode 0600 until finished), sets their size (ENOSPC shows here where the file system
 * tells), writes headers. Checks free space first. */
gs_status gs_writer_open(gs_writer **out, const char *dir, const gs_layout *layout, gs_error *err) GS_CHECKED;
/* The files as an earlier run has left them, finished or not; GS_ERR_FILE if one has not its planned size. */
gs_status gs_writer_reopen(gs_writer **out, const char *dir, const gs_layout *layout, gs_error *err) GS_CHECKED;
/* For resuming: so many bytes of the tensor are there already. False: it has not so many. */
bool gs_writer_set_written(gs_writer *w, int64_t index, uint64_t bytes);
uint64_t gs_writer_written(const gs_writer *w, int64_t index);
/* What has been written is on the disk; names are the caller's business. */
gs_status gs_writer_sync(gs_writer *w, gs_error *err) GS_CHECKED;
/* How far behind a block boundary (gs_direct_unit) byte `offset` of tensor `index` lies in its file: large writes from an address
 * that lies as far behind one go past the page cache. */
size_t gs_writer_lead(const gs_writer *w, int64_t index, uint64_t offset);
/* Write n bytes at byte `offset` of tensor `index`. Thread-safe for different ranges. */
gs_status gs_writer_put(gs_writer *w, int64_t index, uint64_t offset, const void *src, size_t n,
                        gs_error *err) GS_CHECKED;
/* Every tensor must have been written completely (byte counts are kept); fsync; mode 0400; frees nothing. */
gs_status gs_writer_finish(gs_writer *w, gs_error *err) GS_CHECKED;
void gs_writer_free(gs_writer *w); /* closes; a writer that was not finished leaves its files to the outdir's abort */

#endif
