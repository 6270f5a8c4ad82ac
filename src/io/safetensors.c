/* A safetensors file: 8 bytes of header length, little-endian; the header; the data to the end of the file. Here
 * are the checks that need the file's size: the length before anything is allocated, and that the tensors cover
 * the data without hole or overlap. The header's text is checked in safetensors_parse.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "io/safetensors_parse.h"

static gs_status read_length(const gs_file *f, uint64_t *length, gs_error *err)
{
    unsigned char raw[8];
    if (f->size < 8)
        return gs_fail(err, GS_ERR_FILE,
                       "%s has only %llu bytes: not a safetensors file, or its download was cut; fetch it again",
                       f->path, (unsigned long long)f->size);
    GS_TRY(gs_file_pread(f, 0, raw, sizeof raw, err));
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | raw[i];
    if (n > GS_MAX_HEADER)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: header length %llu is above %u: not a safetensors file; fetch it again (a Git "
                       "LFS pointer: 'git lfs pull')",
                       f->path, (unsigned long long)n, GS_MAX_HEADER);
    if (n > f->size - 8)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: the header needs %llu bytes but the file has only %llu: it was cut; fetch it again",
                       f->path, (unsigned long long)(n + 8), (unsigned long long)f->size);
    *length = n;
    return GS_OK;
}

/* Empty tensors may share a boundary: those first, by name, so that the order is always the same. */
static int by_place(const void *left, const void *right)
{
    const gs_tensor *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static gs_status check_cover(const gs_file *f, const gs_tensor *tensors, int64_t n, uint64_t data_bytes, gs_error *err)
{
    uint64_t end = 0;
    char shown[128];
    for (int64_t i = 0; i < n; i++) {
        const gs_tensor *t = &tensors[i];
        if (t->offset != end)
            return gs_fail(err, GS_ERR_FILE,
                           "%s: tensor '%s' begins at data byte %llu, but the one before it ends at %llu: %s; fetch "
                           "the file again",
                           f->path, gs_printable(t->name, strlen(t->name), shown, sizeof shown),
                           (unsigned long long)t->offset, (unsigned long long)end,
                           t->offset < end ? "they overlap" : "a hole");
        end += t->bytes; /* at most 2^53 + 2^53: begin and end were both limited */
    }
    if (end > data_bytes)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: its tensors need %llu bytes of data but %llu are there: the file was cut; fetch it again",
                       f->path, (unsigned long long)end, (unsigned long long)data_bytes);
    if (end < data_bytes)
        return gs_fail(err, GS_ERR_FILE, "%s: %llu bytes behind the last tensor belong to none; fetch the file again",
                       f->path, (unsigned long long)(data_bytes - end));
    return GS_OK;
}

gs_status gs_safetensors_append_header(const gs_file *f, int file_index, gs_tensor_table *table, gs_error *err)
{
    uint64_t length = 0;
    const int64_t first = table->count;
    gs_buf header = {0};
    GS_TRY(read_length(f, &length, err));
    GS_TRY(gs_buf_alloc(&header, (size_t)length + 1, "a safetensors header", err));
    gs_status status = gs_file_pread(f, 8, header.data, (size_t)length, err);
    if (status == GS_OK) status = gs_safetensors_parse(header.data, (size_t)length, f->path, table, err);
    gs_buf_release(&header);
    if (status != GS_OK) return status;

    const int64_t n = table->count - first;
    gs_tensor *tensors = n > 0 ? table->tensors + first : NULL;
    if (n > 0) qsort(tensors, (size_t)n, sizeof *tensors, by_place);
    GS_TRY(check_cover(f, tensors, n, f->size - 8 - length, err));
    for (int64_t i = 0; i < n; i++) {
        tensors[i].offset += 8 + length;
        tensors[i].file = file_index;
    }
    return GS_OK;
}

gs_status gs_safetensors_read_header(const gs_file *f, gs_tensor_table *out, gs_error *err)
{
    *out = (gs_tensor_table){0};
    const gs_status status = gs_safetensors_append_header(f, 0, out, err);
    if (status != GS_OK) gs_tensor_table_release(out);
    return status;
}

void gs_tensor_table_release(gs_tensor_table *t)
{
    gs_free(t->tensors);
    gs_arena_free(t->arena);
    *t = (gs_tensor_table){0};
}
