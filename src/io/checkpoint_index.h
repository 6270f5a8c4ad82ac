/* Private to io/: the index of a sharded checkpoint, *.safetensors.index.json:
 *   {"metadata": {"total_size": bytes}, "weight_map": {tensor: file, …}}
 * File names are bare names inside the index's own directory; anything else could lead out of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_CHECKPOINT_INDEX_H
#define GS_IO_CHECKPOINT_INDEX_H

#include <jansson.h>

#include "base/mem.h"

typedef struct gs_shard_index {
    char *path;
    const char **files;
    int n_files;        /* without repetition, sorted; borrowed from document */
    int64_t total_size; /* -1 = not stated */
    json_t *document, *weight_map;
    struct gs_name_map *by_file;
} gs_shard_index;

gs_status gs_shard_index_open(gs_shard_index *x, const char *path, gs_error *err) GS_CHECKED;
void gs_shard_index_close(gs_shard_index *x);
int gs_shard_index_file(const gs_shard_index *x, const char *tensor); /* index into files; -1 = not mapped */
/* Walk over the weight map. */
void *gs_shard_index_first(const gs_shard_index *x);
void *gs_shard_index_next(const gs_shard_index *x, void *entry);
void gs_shard_index_entry(void *entry, const char **tensor, const char **file);

#endif
