/* A checkpoint directory as one table of tensors: which files belong to it, do they agree with the index and with
 * each other, and bounded reads from them. Every file stays open, so that all reads come from the files that were
 * checked; whether somebody has written into them meanwhile is asked at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/checkpoint_index.h"
#include "io/guard.h"
#include "io/io_error.h"
#include "io/name_map.h"
#include "io/safetensors_parse.h"
#include "num/num.h"

#define SINGLE_FILE  "model.safetensors"
#define INDEX_SUFFIX ".safetensors.index.json"
#define FILE_SUFFIX  ".safetensors"

/* What lies in the directory: counts, and the first of each kind by name. */
typedef struct listing {
    int n_files, n_indexes;
    char *file, *index, *second_index;
    bool has_single, has_bin;
} listing;

static void keep_first(char **first, const char *name)
{
    if (*first != NULL && strcmp(*first, name) <= 0) return;
    gs_free(*first);
    *first = gs_strdup(name);
}

static bool ends_with(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static void add_entry(listing *l, const char *name)
{
    if (name[0] == '.') return;
    if (ends_with(name, INDEX_SUFFIX)) {
        if (l->n_indexes++ > 0) keep_first(&l->second_index, strcmp(name, l->index) > 0 ? name : l->index);
        keep_first(&l->index, name);
    } else if (ends_with(name, FILE_SUFFIX)) {
        l->n_files++;
        keep_first(&l->file, name);
        if (strcmp(name, SINGLE_FILE) == 0) l->has_single = true;
    } else if (ends_with(name, ".bin") || ends_with(name, ".pt") || ends_with(name, ".pth")) {
        l->has_bin = true;
    }
}

static gs_status list_directory(const char *path, listing *l, gs_error *err)
{
    *l = (listing){0};
    DIR *dir = opendir(path);
    if (dir == NULL && errno == ENOTDIR)
        return gs_fail(err, GS_ERR_IO,
                       "%s is not a directory: give the folder that holds config.json and the safetensors files", path);
    if (dir == NULL) return gs_io_fail(err, errno, "open the model directory", path);
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) add_entry(l, e->d_name);
    const int code = errno;
    closedir(dir);
    return code != 0 ? gs_io_fail(err, code, "list", path) : GS_OK;
}

static gs_status choose(const char *dir, const listing *l, const char **single, gs_error *err)
{
    *single = NULL;
    if (l->has_single) {
        *single = SINGLE_FILE;
    } else if (l->n_indexes > 1) {
        return gs_fail(err, GS_ERR_FILE, "%s holds %d index files (%s, %s, …): leave one checkpoint in the directory",
                       dir, l->n_indexes, l->index, l->second_index);
    } else if (l->n_indexes == 0 && l->n_files == 1) {
        *single = l->file;
    } else if (l->n_indexes == 0 && l->n_files > 1) {
        return gs_fail(err, GS_ERR_FILE,
                       "%s holds %d safetensors files but no index: fetch model.safetensors.index.json as well", dir,
                       l->n_files);
    } else if (l->n_indexes == 0) {
        return gs_fail(err, GS_ERR_FILE, "%s holds no safetensors file%s", dir,
                       l->has_bin ? "; its .bin or .pt weights must be saved as safetensors first"
                                  : ": is it the folder of the model, and is its download complete?");
    }
    return GS_OK;
}

static gs_status add_file(gs_checkpoint *ck, const char *name, bool listed, gs_error *err)
{
    gs_file *f = &ck->files[ck->n_files];
    char *path = gs_path_join(ck->dir, name);
    gs_status status;
    if (listed && !gs_path_exists(path))
        status =
            gs_fail(err, GS_ERR_FILE, "%s is missing but the index names it: fetch this file into the directory", path);
    else
        status = gs_file_open(f, path, err);
    gs_free(path);
    GS_TRY(status);
    ck->n_files++;
    return gs_safetensors_append_header(f, ck->n_files - 1, &ck->table, err);
}

static gs_status build_names(gs_checkpoint *ck, gs_error *err)
{
    char shown[128];
    ck->by_name = gs_name_map_create(ck->table.count);
    for (int64_t i = 0; i < ck->table.count; i++) {
        const gs_tensor *t = &ck->table.tensors[i];
        ck->bytes += t->bytes;
        if (gs_name_map_add(ck->by_name, t->name, i)) continue;
        const gs_tensor *other = gs_checkpoint_find(ck, t->name);
        return gs_fail(err, GS_ERR_FILE,
                       "tensor '%s' is in two files, %s and %s: remove the file that does not belong to the checkpoint",
                       gs_printable(t->name, strlen(t->name), shown, sizeof shown), ck->files[other->file].path,
                       ck->files[t->file].path);
    }
    return GS_OK;
}

/* Both ways: every tensor of a listed file is mapped to that file, and there are as many mapped names as tensors. */
static gs_status check_index(const gs_checkpoint *ck, const gs_shard_index *index, gs_error *err)
{
    char shown[128];
    for (int64_t i = 0; i < ck->table.count; i++) {
        const gs_tensor *t = &ck->table.tensors[i];
        const int at = gs_shard_index_file(index, t->name);
        if (at == t->file) continue;
        return gs_fail(
            err, GS_ERR_FILE, "%s: tensor '%s' lies in %s, but %s %s; fetch index and weights from the same source",
            index->path, gs_printable(t->name, strlen(t->name), shown, sizeof shown), index->files[t->file],
            at < 0 ? "the index does not name it" : "the index says it is in", at < 0 ? "at all" : index->files[at]);
    }
    const char *name, *file;
    void *entry;
    for (entry = gs_shard_index_first(index); entry != NULL; entry = gs_shard_index_next(index, entry)) {
        gs_shard_index_entry(entry, &name, &file);
        if (gs_checkpoint_find(ck, name) == NULL)
            return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' should be in %s but is not there; fetch that file again",
                           index->path, gs_printable(name, strlen(name), shown, sizeof shown), file);
    }
    return GS_OK;
}

static gs_status open_sharded(gs_checkpoint *ck, const char *index_name, gs_error *err)
{
    gs_shard_index index;
    char *path = gs_path_join(ck->dir, index_name);
    gs_status status = gs_shard_index_open(&index, path, err);
    gs_free(path);
    GS_TRY(status);
    ck->files = gs_alloc_array((size_t)index.n_files + 1, sizeof *ck->files);
    for (int i = 0; i < index.n_files && status == GS_OK; i++) status = add_file(ck, index.files[i], true, err);
    if (status == GS_OK) status = build_names(ck, err);
    if (status == GS_OK) status = check_index(ck, &index, err);
    if (status == GS_OK && index.total_size >= 0 && (uint64_t)index.total_size != ck->bytes) {
        gs_str text;
        gs_str_init(&text);
        gs_str_printf(
            &text, "%s says total_size %lld, but the tensors have %llu bytes; names and sizes were checked one by one",
            index.path, (long long)index.total_size, (unsigned long long)ck->bytes);
        ck->warning = gs_str_take(&text);
        gs_str_release(&text);
    }
    gs_shard_index_close(&index);
    return status;
}

static gs_status open_single(gs_checkpoint *ck, const char *name, gs_error *err)
{
    ck->files = gs_alloc_array(1, sizeof *ck->files);
    GS_TRY(add_file(ck, name, false, err));
    return build_names(ck, err);
}

gs_status gs_checkpoint_open(gs_checkpoint *ck, const char *dir, gs_error *err)
{
    *ck = (gs_checkpoint){.dir = gs_strdup(dir)};
    listing l = {0};
    const char *single;
    gs_status status = gs_guard_directory(dir, err);
    if (status == GS_OK) status = list_directory(dir, &l, err);
    if (status == GS_OK) status = choose(dir, &l, &single, err);
    if (status == GS_OK) status = single != NULL ? open_single(ck, single, err) : open_sharded(ck, l.index, err);
    gs_free(l.file);
    gs_free(l.index);
    gs_free(l.second_index);
    if (status != GS_OK) gs_checkpoint_close(ck);
    return status;
}

void gs_checkpoint_close(gs_checkpoint *ck)
{
    for (int i = 0; i < ck->n_files; i++) gs_file_close(&ck->files[i]);
    gs_free(ck->files);
    gs_free(ck->dir);
    gs_free(ck->warning);
    gs_name_map_free(ck->by_name);
    gs_tensor_table_release(&ck->table);
    *ck = (gs_checkpoint){0};
}

const gs_tensor *gs_checkpoint_find(const gs_checkpoint *ck, const char *name)
{
    const int64_t at = gs_name_map_find(ck->by_name, name);
    return at < 0 ? NULL : &ck->table.tensors[at];
}

static void print_shape(const int64_t *shape, int rank, char *to, size_t room)
{
    size_t at = (size_t)snprintf(to, room, "[");
    for (int i = 0; i < rank && at < room; i++)
        at += (size_t)snprintf(to + at, room - at, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    if (at < room) snprintf(to + at, room - at, "]");
}

gs_status gs_checkpoint_expect(const gs_checkpoint *ck, const char *name, int64_t dim0, int64_t dim1,
                               const gs_tensor **out, gs_error *err)
{
    const gs_tensor *t = gs_checkpoint_find(ck, name);
    if (t == NULL)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: tensor '%s' is missing: the download is incomplete, or config.json is of another model",
                       ck->dir, name);
    const int64_t wanted[2] = {dim0, dim1};
    const int rank = dim1 < 0 ? 1 : 2;
    if (t->rank != rank || t->shape[0] != dim0 || (rank == 2 && t->shape[1] != dim1)) {
        char have[200], want[64];
        print_shape(t->shape, t->rank, have, sizeof have);
        print_shape(wanted, rank, want, sizeof want);
        return gs_fail(err, GS_ERR_FILE,
                       "%s: tensor '%s' has shape %s, but config.json asks for %s: the two do not belong together",
                       ck->files[t->file].path, name, have, want);
    }
    if (!gs_dtype_is_float(t->dtype))
        return gs_fail(err, GS_ERR_FILE,
                       "%s: tensor '%s' is %s; BF16, F16 or F32 is needed: give the unquantized checkpoint",
                       ck->files[t->file].path, name, gs_dtype_name(t->dtype));
    *out = t;
    return GS_OK;
}

static gs_status check_range(const gs_tensor *t, uint64_t offset, size_t n, gs_error *err)
{
    char shown[128];
    if (offset <= t->bytes && n <= t->bytes - offset) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "tensor '%s': %zu bytes wanted at byte %llu, but it has %llu bytes",
                   gs_printable(t->name, strlen(t->name), shown, sizeof shown), n, (unsigned long long)offset,
                   (unsigned long long)t->bytes);
}

static gs_status name_tensor(gs_status status, const gs_tensor *t, gs_error *err)
{
    char shown[128];
    if (status == GS_OK) return GS_OK;
    return gs_wrap(err, "tensor '%s'", gs_printable(t->name, strlen(t->name), shown, sizeof shown));
}

gs_status gs_checkpoint_read(const gs_checkpoint *ck, const gs_tensor *t, uint64_t offset, void *dst, size_t n,
                             gs_error *err)
{
    GS_TRY(check_range(t, offset, n, err));
    return name_tensor(gs_file_pread(&ck->files[t->file], t->offset + offset, dst, n, err), t, err);
}

gs_status gs_checkpoint_read_direct(const gs_checkpoint *ck, gs_direct_reader *r, const gs_tensor *t, uint64_t offset,
                                    size_t n, void *room, const void **data, gs_error *err)
{
    GS_TRY(check_range(t, offset, n, err));
    return name_tensor(gs_direct_read(r, &ck->files[t->file], t->offset + offset, n, room, data, err), t, err);
}

gs_status gs_checkpoint_unchanged(const gs_checkpoint *ck, gs_error *err)
{
    for (int i = 0; i < ck->n_files; i++) GS_TRY(gs_file_unchanged(&ck->files[i], err));
    return GS_OK;
}

gs_status gs_tensor_fail(const gs_checkpoint *ck, const gs_tensor *t, int64_t element, gs_error *err)
{
    char shown[128], place[64];
    if (t->rank == 2)
        snprintf(place, sizeof place, "[%lld, %lld]", (long long)(element / t->shape[1]),
                 (long long)(element % t->shape[1]));
    else
        snprintf(place, sizeof place, "element %lld", (long long)element);
    return gs_fail(err, GS_ERR_NUMERIC,
                   "%s: tensor '%s' holds NaN or infinity at %s: the file is damaged, fetch it again",
                   ck->files[t->file].path, gs_printable(t->name, strlen(t->name), shown, sizeof shown), place);
}

gs_status gs_checkpoint_read_f32(const gs_checkpoint *ck, const gs_tensor *t, float *dst, gs_error *err)
{
    char raw[16384], shown[128];
    gs_printable(t->name, strlen(t->name), shown, sizeof shown);
    const char *path = ck->files[t->file].path;
    if (!gs_dtype_is_float(t->dtype))
        return gs_fail(err, GS_ERR_FILE, "%s: tensor '%s' is %s; BF16, F16 or F32 is needed", path, shown,
                       gs_dtype_name(t->dtype));
    const size_t size = gs_dtype_bytes(t->dtype);
    const int64_t step = (int64_t)(sizeof raw / size);
    for (int64_t at = 0; at < t->elements; at += step) {
        const int64_t n = t->elements - at < step ? t->elements - at : step;
        int64_t first = 0;
        GS_TRY(gs_checkpoint_read(ck, t, (uint64_t)at * size, raw, (size_t)n * size, err));
        if (gs_count_nonfinite(t->dtype, raw, n, &first) > 0) return gs_tensor_fail(ck, t, at + first, err);
        gs_to_f32(t->dtype, raw, dst + at, n);
    }
    return GS_OK;
}
