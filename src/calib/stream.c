/* See stream.h. The file is unlinked as soon as it is open, so that nothing is left whatever happens to the process.
 * SPDX-License-Identifier: Apache-2.0 */
#include "calib/stream.h"

#include <assert.h>
#include <string.h>

size_t gs_stream_bytes(int64_t tokens, int64_t hidden)
{
    size_t values = 0, bytes = 0;
    if (tokens < 0 || hidden < 0 || !gs_mul_size((size_t)tokens, (size_t)hidden, &values) ||
        !gs_mul_size(values, sizeof(float), &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

size_t gs_stream_window_bytes(int64_t window, int64_t hidden)
{
    return gs_direct_room(gs_stream_bytes(window, hidden));
}

static gs_status check_size(int64_t tokens, int64_t hidden, const char *purpose, gs_error *err)
{
    const size_t bytes = gs_stream_bytes(tokens, hidden);
    if (bytes <= INT64_MAX) return GS_OK;
    return gs_fail(err, GS_ERR_MEMORY,
                   "%s: %lld tokens of width %lld do not fit any memory; calibrate with fewer or shorter texts",
                   purpose, (long long)tokens, (long long)hidden);
}

gs_status gs_stream_init(gs_stream *s, int64_t tokens, int64_t hidden, const char *purpose, gs_error *err)
{
    *s = (gs_stream){0};
    GS_TRY(check_size(tokens, hidden, purpose, err));
    GS_TRY(gs_buf_alloc(&s->buf, gs_stream_bytes(tokens, hidden), purpose, err));
    s->tokens = s->window = tokens;
    s->hidden = hidden;
    return GS_OK;
}

gs_status gs_stream_spill(gs_stream *s, int64_t tokens, int64_t hidden, int64_t window, const char *dir,
                          const char *purpose, gs_error *err)
{
    *s = (gs_stream){0};
    GS_TRY(check_size(tokens, hidden, purpose, err));
    GS_TRY(gs_buf_alloc(&s->buf, gs_stream_window_bytes(window, hidden), purpose, err));
    const gs_status status = gs_direct_temporary(&s->file, &s->reader, dir, gs_stream_bytes(tokens, hidden), err);
    if (status != GS_OK) {
        gs_stream_release(s);
        return gs_wrap(err, "%s", purpose);
    }
    s->tokens = tokens;
    s->hidden = hidden;
    s->window = window;
    return GS_OK;
}

static uint64_t offset_of(const gs_stream *s, int64_t row) { return (uint64_t)(row * s->hidden) * sizeof(float); }

/* Rows lie as far behind a block boundary in memory as in the file. */
float *gs_stream_room(gs_stream *s, int64_t row0)
{
    if (!s->file.path) return (float *)s->buf.data + row0 * s->hidden;
    return (float *)(void *)((char *)s->buf.data + offset_of(s, row0) % gs_direct_unit());
}

gs_status gs_stream_read(gs_stream *s, int64_t row0, int64_t rows, float **data, gs_error *err)
{
    assert(row0 >= 0 && rows >= 0 && rows <= s->window && row0 + rows <= s->tokens);
    *data = gs_stream_room(s, row0);
    if (!s->file.path || rows == 0) return GS_OK;
    const size_t bytes = gs_stream_bytes(rows, s->hidden);
    const void *from;
    GS_TRY(gs_direct_read(&s->reader, &s->file, offset_of(s, row0), bytes, s->buf.data, &from, err));
    if (from != *data) memmove(*data, from, bytes); /* a small read begins in front */
    return GS_OK;
}

gs_status gs_stream_write(gs_stream *s, int64_t row0, int64_t rows, gs_error *err)
{
    assert(row0 >= 0 && rows >= 0 && rows <= s->window && row0 + rows <= s->tokens);
    if (!s->file.path || rows == 0) return GS_OK;
    s->reader.kept_bytes = 0; /* of what was there before */
    return gs_direct_write(s->file.fd, s->reader.fd, offset_of(s, row0), gs_stream_room(s, row0),
                           gs_stream_bytes(rows, s->hidden), s->file.path, err);
}

void gs_stream_release(gs_stream *s)
{
    gs_direct_close(&s->reader);
    gs_file_close(&s->file);
    gs_buf_release(&s->buf);
    *s = (gs_stream){0};
}
