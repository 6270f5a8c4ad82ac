/* Where every byte of the output will lie, before the first is written. The places are those that the safetensors
 * library for Python chooses: tensors sorted by element type, widest and most exact first, then by name; a compact
 * header without __metadata__, padded with spaces to a multiple of 8; no gaps. Shards are cut in the order in
 * which tensors are generated.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/json.h"
#include "io/name_map.h"
#include "io/writer.h"

/* More shards than this and the numbers lose their leading zeros. */
#define MAX_PADDED_SHARDS 99999

void gs_layout_init(gs_layout *l) { *l = (gs_layout){.arena = gs_arena_create()}; }

void gs_layout_release(gs_layout *l)
{
    gs_free(l->tensors);
    gs_free(l->order);
    gs_free(l->files);
    gs_arena_free(l->arena);
    *l = (gs_layout){0};
}

/* Impossible sizes are marked with elements = -1 and reported by gs_layout_plan, where there is a gs_error to fill. */
static void set_sizes(gs_tensor *t)
{
    int64_t bytes;
    t->elements = 1;
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0 || __builtin_mul_overflow(t->elements, t->shape[i], &t->elements)) {
            t->elements = -1;
            return;
        }
    }
    if (__builtin_mul_overflow(t->elements, (int64_t)gs_dtype_bytes(t->dtype), &bytes))
        t->elements = -1;
    else
        t->bytes = (uint64_t)bytes;
}

int64_t gs_layout_add(gs_layout *l, const char *name, gs_dtype dtype, int rank, const int64_t *shape)
{
    assert(rank >= 0 && rank <= GS_MAX_RANK);
    if (l->count == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->tensors = gs_realloc_array(l->tensors, (size_t)l->cap, sizeof *l->tensors);
    }
    gs_tensor *t = &l->tensors[l->count];
    *t = (gs_tensor){.name = gs_arena_strdup(l->arena, name), .dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++) t->shape[i] = shape[i];
    set_sizes(t);
    return l->count++;
}

static gs_status check_tensors(const gs_layout *l, gs_error *err)
{
    gs_status status = GS_OK;
    gs_name_map *names = gs_name_map_create(l->count);
    if (l->count > GS_MAX_TENSORS)
        status = gs_fail(err, GS_ERR_FILE, "the output would have more than %d tensors", GS_MAX_TENSORS);
    for (int64_t i = 0; i < l->count && status == GS_OK; i++) {
        const gs_tensor *t = &l->tensors[i];
        const size_t n = strlen(t->name);
        if (t->elements < 0)
            status =
                gs_fail(err, GS_ERR_FILE, "output tensor '%s': its shape has a negative size or overflows", t->name);
        else if (n > GS_MAX_TENSOR_NAME || gs_utf8_valid(t->name, n) != n || strcmp(t->name, "__metadata__") == 0)
            status = gs_fail(err, GS_ERR_FILE,
                             "output tensor '%.100s': not a name that safetensors can hold (UTF-8, at most %d bytes)",
                             t->name, GS_MAX_TENSOR_NAME);
        else if (!gs_name_map_add(names, t->name, i))
            status = gs_fail(err, GS_ERR_FILE, "output tensor '%s' is planned twice", t->name);
    }
    gs_name_map_free(names);
    return status;
}

/* A shard is closed before the tensor that would make it reach the limit; a tensor larger than the limit stands
 * alone. */
static void cut_shards(gs_layout *l, uint64_t limit)
{
    uint64_t pending = 0;
    int cap = 0;
    l->n_files = 0;
    for (int64_t i = 0; i < l->count || l->n_files == 0; i++) {
        const uint64_t bytes = i < l->count ? l->tensors[i].bytes : 0;
        const bool full = limit > 0 && i > 0 && (bytes >= limit || pending >= limit - bytes);
        if (i == 0 || full) {
            if (l->n_files == cap) {
                cap = cap > 0 ? cap * 2 : 4;
                l->files = gs_realloc_array(l->files, (size_t)cap, sizeof *l->files);
            }
            l->files[l->n_files++] = (gs_out_file){.first = i};
            pending = 0;
        }
        if (i == l->count) break; /* no tensors at all: one empty file */
        pending += bytes;
        l->files[l->n_files - 1].n_tensors++;
        l->tensors[i].file = l->n_files - 1;
    }
}

static void name_files(gs_layout *l, const char *prefix, bool sharded)
{
    for (int i = 0; i < l->n_files; i++) {
        gs_out_file *f = &l->files[i];
        if (!sharded)
            f->name = gs_arena_printf(l->arena, "%s.safetensors", prefix);
        else if (l->n_files <= MAX_PADDED_SHARDS)
            f->name = gs_arena_printf(l->arena, "%s-%05d-of-%05d.safetensors", prefix, i + 1, l->n_files);
        else
            f->name = gs_arena_printf(l->arena, "%s-%d-of-%d.safetensors", prefix, i + 1, l->n_files);
    }
    l->index_name = sharded ? gs_arena_printf(l->arena, "%s.safetensors.index.json", prefix) : NULL;
}

static int by_place(const void *left, const void *right)
{
    const gs_tensor *a = *(const gs_tensor *const *)left, *b = *(const gs_tensor *const *)right;
    if (a->file != b->file) return a->file < b->file ? -1 : 1;
    if (a->dtype != b->dtype) return a->dtype < b->dtype ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void set_order(gs_layout *l)
{
    gs_tensor **sorted = gs_alloc_array((size_t)l->count + 1, sizeof(gs_tensor *));
    for (int64_t i = 0; i < l->count; i++) sorted[i] = &l->tensors[i];
    qsort(sorted, (size_t)l->count, sizeof(gs_tensor *), by_place);
    gs_free(l->order);
    l->order = gs_alloc_array((size_t)l->count + 1, sizeof *l->order);
    for (int64_t i = 0; i < l->count; i++) l->order[i] = sorted[i] - l->tensors;
    gs_free(sorted);
}

/* Names in a header keep their UTF-8; only what JSON demands is escaped. */
static void add_name(gs_str *to, const char *name)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    gs_str_addc(to, '"');
    for (; *name != '\0'; name++) {
        const char *found = strchr(plain, *name);
        if (found != NULL) {
            gs_str_addc(to, '\\');
            gs_str_addc(to, letter[found - plain]);
        } else if ((unsigned char)*name < 0x20) {
            gs_str_printf(to, "\\u%04x", (unsigned)*name);
        } else {
            gs_str_addc(to, *name);
        }
    }
    gs_str_addc(to, '"');
}

char *gs_layout_header(const gs_layout *l, int file, size_t *n)
{
    const gs_out_file *f = &l->files[file];
    uint64_t begin = 0;
    gs_str text;
    gs_str_init(&text);
    gs_str_add(&text, "\0\0\0\0\0\0\0\0{", 9);
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const gs_tensor *t = &l->tensors[l->order[f->first + i]];
        if (i > 0) gs_str_addc(&text, ',');
        add_name(&text, t->name);
        gs_str_printf(&text, ":{\"dtype\":\"%s\",\"shape\":[", gs_dtype_name(t->dtype));
        for (int d = 0; d < t->rank; d++) gs_str_printf(&text, "%s%" PRId64, d > 0 ? "," : "", t->shape[d]);
        gs_str_printf(&text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, begin + t->bytes);
        begin += t->bytes;
    }
    gs_str_addc(&text, '}');
    while (text.len % 8 != 0) gs_str_addc(&text, ' ');
    const uint64_t length = text.len - 8;
    for (int i = 0; i < 8; i++) text.data[i] = (char)(unsigned char)(length >> 8 * i);
    *n = text.len;
    char *bytes = gs_str_take(&text);
    gs_str_release(&text);
    return bytes;
}

static gs_status place_file(gs_layout *l, int file, gs_error *err)
{
    gs_out_file *f = &l->files[file];
    size_t header;
    gs_free(gs_layout_header(l, file, &header));
    if (header - 8 > GS_MAX_HEADER)
        return gs_fail(err, GS_ERR_FILE, "%s: its header would have %zu bytes, readers accept %u: write shards",
                       f->name, header - 8, GS_MAX_HEADER);
    f->header_bytes = f->bytes = header;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        gs_tensor *t = &l->tensors[l->order[f->first + i]];
        t->offset = f->bytes;
        f->bytes += t->bytes;
    }
    return GS_OK;
}

gs_status gs_layout_plan(gs_layout *l, const char *prefix, uint64_t shard_limit, gs_error *err)
{
    GS_TRY(check_tensors(l, err));
    l->total_bytes = 0;
    for (int64_t i = 0; i < l->count; i++) {
        if (__builtin_add_overflow(l->total_bytes, l->tensors[i].bytes, &l->total_bytes) ||
            l->total_bytes > INT64_MAX / 2)
            return gs_fail(err, GS_ERR_FILE,
                           "the output would be larger than any file system can hold (at tensor '%s')",
                           l->tensors[i].name);
    }
    cut_shards(l, shard_limit);
    name_files(l, prefix, shard_limit > 0);
    set_order(l);
    for (int i = 0; i < l->n_files; i++) GS_TRY(place_file(l, i, err));
    return GS_OK;
}

char *gs_layout_index_json(const gs_layout *l, size_t *n)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "metadata");
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "total_size");
    gs_json_out_int(j, (int64_t)l->total_bytes);
    gs_json_out_end(j);
    gs_json_out_key(j, "weight_map");
    gs_json_out_begin(j, '{');
    for (int64_t i = 0; i < l->count; i++) {
        gs_json_out_key(j, l->tensors[i].name);
        gs_json_out_string(j, l->files[l->tensors[i].file].name);
    }
    gs_json_out_end(j);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
