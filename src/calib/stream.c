/* Owns the memory of a stream of hidden states: one dense [tokens, hidden] float32 buffer. Refuses sizes that
 * overflow.
 * SPDX-License-Identifier: Apache-2.0 */
#include "calib/stream.h"

size_t gs_stream_bytes(int64_t tokens, int64_t hidden)
{
    size_t values = 0, bytes = 0;
    if (tokens < 0 || hidden < 0 || !gs_mul_size((size_t)tokens, (size_t)hidden, &values) ||
        !gs_mul_size(values, sizeof(float), &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

gs_status gs_stream_init(gs_stream *s, int64_t tokens, int64_t hidden, const char *purpose, gs_error *err)
{
    *s = (gs_stream){0};
    const size_t bytes = gs_stream_bytes(tokens, hidden);
    if (bytes == SIZE_MAX || bytes > INT64_MAX) {
        return gs_fail(err, GS_ERR_MEMORY,
                       "%s: %lld tokens of width %lld do not fit any memory; calibrate with fewer or shorter texts",
                       purpose, (long long)tokens, (long long)hidden);
    }
    GS_TRY(gs_buf_alloc(&s->buf, bytes, purpose, err));
    s->tokens = tokens;
    s->hidden = hidden;
    return GS_OK;
}

float *gs_stream_rows(gs_stream *s, int64_t row0) { return (float *)s->buf.data + row0 * s->hidden; }

void gs_stream_release(gs_stream *s)
{
    gs_buf_release(&s->buf);
    *s = (gs_stream){0};
}
