/* See stream.h. SPDX-License-Identifier: Apache-2.0 */
#include "calib/stream.h"

#include <assert.h>
#include <string.h>

#define RESUME_BYTES (8u << 20) /* read at once when a run is resumed */

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
                          const char *name, const char *purpose, gs_error *err)
{
    *s = (gs_stream){0};
    GS_TRY(check_size(tokens, hidden, purpose, err));
    GS_TRY(gs_buf_alloc(&s->buf, gs_stream_window_bytes(window, hidden), purpose, err));
    gs_generations_begin(&s->files, dir, name, tokens, hidden);
    s->tokens = tokens;
    s->hidden = hidden;
    s->window = window;
    s->spilled = true;
    return GS_OK;
}

void gs_stream_keep(gs_stream *s, const char *dir, const char *name)
{
    gs_generations_begin(&s->files, dir, name, s->tokens, s->hidden);
}

static float *place(void *ctx, int64_t row)
{
    const gs_stream *s = ctx;
    return s->spilled ? s->buf.data : (float *)s->buf.data + row * s->hidden;
}

gs_status gs_stream_resume(gs_stream *s, const gs_stream_state *from, gs_error *err)
{
    if (from->file < 0 || from->file > 1 || from->tokens != s->tokens || from->hidden != s->hidden)
        return gs_fail(err, GS_ERR_FILE,
                       "the journal speaks of hidden states of %lld tokens of width %lld, this run has %lld of %lld",
                       (long long)from->tokens, (long long)from->hidden, (long long)s->tokens, (long long)s->hidden);
    GS_TRY(gs_generations_resume(&s->files, from, err));
    const int64_t step = (int64_t)(RESUME_BYTES / sizeof(float)) / s->hidden + 1;
    return gs_generations_load(&s->files, step < s->window ? step : s->window, place, s, err);
}

static size_t offset_of(const gs_stream *s, int64_t row) { return (size_t)(row * s->hidden) * sizeof(float); }

/* Rows lie as far behind a block boundary in memory as in the file. */
float *gs_stream_room(gs_stream *s, int64_t row0)
{
    if (!s->spilled) return (float *)s->buf.data + row0 * s->hidden;
    return (float *)(void *)((char *)s->buf.data + offset_of(s, row0) % gs_direct_unit());
}

gs_status gs_stream_read(gs_stream *s, int64_t row0, int64_t rows, float **data, gs_error *err)
{
    assert(row0 >= 0 && rows >= 0 && rows <= s->window && row0 + rows <= s->tokens);
    float *from;
    *data = gs_stream_room(s, row0);
    if (!s->spilled || rows == 0) return GS_OK;
    GS_TRY(gs_generations_read(&s->files, row0, rows, s->buf.data, &from, err));
    if (from != *data) memmove(*data, from, offset_of(s, rows)); /* a small read begins in front */
    return GS_OK;
}

gs_status gs_stream_write(gs_stream *s, int64_t row0, int64_t rows, gs_error *err)
{
    assert(row0 >= 0 && rows >= 0 && rows <= s->window && row0 + rows <= s->tokens);
    if (rows == 0) return GS_OK;
    s->changed = true;
    return s->spilled ? gs_generations_write(&s->files, row0, rows, gs_stream_room(s, row0), err) : GS_OK;
}

void gs_stream_release(gs_stream *s)
{
    gs_generations_close(&s->files);
    gs_buf_release(&s->buf);
    *s = (gs_stream){0};
}
