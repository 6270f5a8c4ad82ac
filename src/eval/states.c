/* Owns the states' memory or file. SPDX-License-Identifier: Apache-2.0 */
#include "eval/states.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gs_status open_file(gs_states *s, uint64_t bytes, const char *dir, gs_error *err)
{
    char *path = gs_path_join(dir, "glmslim-states-XXXXXX");
    s->file = (gs_file){.fd = mkostemp(path, O_CLOEXEC), .size = bytes, .path = path};
    if (s->file.fd < 0)
        return gs_fail_errno(err, errno, "%s: cannot create a file for hidden states; name a directory with --work_dir",
                             dir);
    if (unlink(path) != 0) return gs_fail_errno(err, errno, "%s: cannot take away the name of a work file", path);
    if (gs_file_reserve(s->file.fd, bytes, path, err) == GS_OK) return GS_OK;
    return gs_wrap(err, "hidden states of %lld streams need %.2f GB in --work_dir %s", (long long)s->streams,
                   (double)bytes / 1e9, dir);
}

gs_status gs_states_init(gs_states *s, int64_t streams, int64_t tokens, int64_t hidden, uint64_t memory_bytes,
                         const char *dir, gs_error *err)
{
    size_t bytes;
    *s = (gs_states){.streams = streams, .tokens = tokens, .hidden = hidden, .file = {.fd = -1}};
    const bool fits = gs_mul_size((size_t)streams, (size_t)tokens, &bytes) &&
                      gs_mul_size(bytes, (size_t)hidden * sizeof(float), &bytes) && bytes <= INT64_MAX;
    if (!fits)
        return gs_fail(err, GS_ERR_MEMORY, "hidden states of %lld streams of %lld tokens cannot be held",
                       (long long)streams, (long long)tokens);
    if (bytes > memory_bytes) return open_file(s, bytes, dir, err);
    return gs_buf_alloc(&s->buf, bytes, "hidden states", err);
}

void gs_states_release(gs_states *s)
{
    gs_file_close(&s->file);
    gs_buf_release(&s->buf);
    *s = (gs_states){.file = {.fd = -1}};
}

static uint64_t place_of(const gs_states *s, int64_t stream, int64_t row0)
{
    return (uint64_t)((stream * s->tokens + row0) * s->hidden) * sizeof(float);
}

static size_t bytes_of(const gs_states *s, int64_t rows) { return (size_t)(rows * s->hidden) * sizeof(float); }

gs_status gs_states_read(const gs_states *s, int64_t stream, int64_t row0, int64_t rows, float *to, gs_error *err)
{
    const uint64_t at = place_of(s, stream, row0);
    if (s->file.path) return gs_file_pread(&s->file, at, to, bytes_of(s, rows), err);
    memcpy(to, (const char *)s->buf.data + at, bytes_of(s, rows));
    return GS_OK;
}

gs_status gs_states_write(gs_states *s, int64_t stream, int64_t row0, int64_t rows, const float *from, gs_error *err)
{
    const uint64_t at = place_of(s, stream, row0);
    if (s->file.path) return gs_pwrite_all(s->file.fd, at, from, bytes_of(s, rows), s->file.path, err);
    memcpy((char *)s->buf.data + at, from, bytes_of(s, rows));
    return GS_OK;
}
