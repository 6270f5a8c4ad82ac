/* Reading and checking the index of a sharded checkpoint; what the shards themselves hold is compared in checkpoint.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint_index.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/name_map.h"
#include "io/safetensors.h"

#define MAX_INDEX_BYTES ((size_t)256 << 20)
#define MAX_FILE_NAME   255
#define MAX_FILES       10000 /* each stays open; a checkpoint of a thousand shards would be a large one */

static bool is_bare_name(const char *name, size_t n)
{
    static const char suffix[] = ".safetensors";
    const size_t m = sizeof suffix - 1;
    if (n <= m || n > MAX_FILE_NAME || name[0] == '.' || strcmp(name + n - m, suffix) != 0) return false;
    return strpbrk(name, "/\\") == NULL && gs_is_printable(name, n);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static gs_status add_entry(gs_shard_index *x, const char *tensor, const json_t *value, int64_t *cap, gs_error *err)
{
    char shown_tensor[128], shown_file[128];
    gs_printable(tensor, strlen(tensor), shown_tensor, sizeof shown_tensor);
    if (strlen(tensor) > GS_MAX_TENSOR_NAME)
        return gs_fail(err, GS_ERR_FILE, "%s: weight_map: the name '%s' has more than %d bytes; fetch the index again",
                       x->path, shown_tensor, GS_MAX_TENSOR_NAME);
    if (!json_is_string(value))
        return gs_fail(err, GS_ERR_FILE, "%s: weight_map: the value of '%s' must be a file name; fetch the index again",
                       x->path, shown_tensor);
    const char *file = json_string_value(value);
    const size_t n = json_string_length(value);
    if (strlen(file) != n || !is_bare_name(file, n))
        return gs_fail(err, GS_ERR_FILE,
                       "%s: weight_map: '%s' is mapped to '%s'; only names of .safetensors files in the same directory "
                       "are allowed: fetch the index again from a source you trust",
                       x->path, shown_tensor, gs_printable(file, n, shown_file, sizeof shown_file));
    if (!gs_name_map_add(x->by_file, file, 0)) return GS_OK;
    if (x->n_files == MAX_FILES)
        return gs_fail(err, GS_ERR_FILE, "%s: weight_map names more than %d files; fetch the index again", x->path,
                       MAX_FILES);
    if (x->n_files == *cap) {
        *cap = *cap > 0 ? *cap * 2 : 16;
        x->files = gs_realloc_array(x->files, (size_t)*cap, sizeof *x->files);
    }
    x->files[x->n_files++] = file;
    return GS_OK;
}

static gs_status read_map(gs_shard_index *x, gs_error *err)
{
    const json_t *map = x->weight_map = json_object_get(x->document, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: an object \"weight_map\" with at least one tensor is needed; fetch the index again",
                       x->path);
    if (json_object_size(map) > GS_MAX_TENSORS)
        return gs_fail(err, GS_ERR_FILE, "%s: weight_map names %zu tensors; at most %d are read: fetch the index again",
                       x->path, json_object_size(map), GS_MAX_TENSORS);
    int64_t cap = 0;
    x->by_file = gs_name_map_create(64);
    for (void *at = json_object_iter(x->weight_map); at != NULL; at = json_object_iter_next(x->weight_map, at))
        GS_TRY(add_entry(x, json_object_iter_key(at), json_object_iter_value(at), &cap, err));
    qsort(x->files, (size_t)x->n_files, sizeof *x->files, by_text);
    gs_name_map_free(x->by_file);
    x->by_file = gs_name_map_create(x->n_files);
    for (int i = 0; i < x->n_files; i++) (void)gs_name_map_add(x->by_file, x->files[i], i);
    return GS_OK;
}

gs_status gs_shard_index_open(gs_shard_index *x, const char *path, gs_error *err)
{
    *x = (gs_shard_index){.total_size = -1};
    char *text;
    size_t n;
    GS_TRY(gs_file_read_all(path, MAX_INDEX_BYTES, &text, &n, err));
    x->path = gs_strdup(path);
    x->document = gs_json_parse(text, n, path, 8, err);
    gs_free(text);
    gs_status status = GS_OK;
    if (x->document == NULL)
        status = GS_ERR_FILE;
    else if (!json_is_object(x->document))
        status = gs_fail(err, GS_ERR_FILE, "%s: a JSON object is needed at the top; fetch the index again", path);
    if (status == GS_OK) status = read_map(x, err);
    if (status != GS_OK) {
        gs_shard_index_close(x);
        return status;
    }
    const json_t *total = json_object_get(json_object_get(x->document, "metadata"), "total_size");
    if (json_is_integer(total) && json_integer_value(total) >= 0) x->total_size = json_integer_value(total);
    return GS_OK;
}

void gs_shard_index_close(gs_shard_index *x)
{
    gs_name_map_free(x->by_file);
    gs_free(x->files);
    gs_free(x->path);
    json_decref(x->document);
    *x = (gs_shard_index){.total_size = -1};
}

int gs_shard_index_file(const gs_shard_index *x, const char *tensor)
{
    const json_t *file = json_object_get(x->weight_map, tensor);
    return file != NULL ? (int)gs_name_map_find(x->by_file, json_string_value(file)) : -1;
}

void *gs_shard_index_first(const gs_shard_index *x) { return json_object_iter(x->weight_map); }

void *gs_shard_index_next(const gs_shard_index *x, void *entry) { return json_object_iter_next(x->weight_map, entry); }

void gs_shard_index_entry(void *entry, const char **tensor, const char **file)
{
    *tensor = json_object_iter_key(entry);
    *file = json_string_value(json_object_iter_value(entry));
}
