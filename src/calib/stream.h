/* Hidden states of all samples, [tokens, hidden] float32. In memory today; everything goes through gs_stream_rows so
 * that a stream can spill to disk later.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_STREAM_H
#define GS_CALIB_STREAM_H

#include "base/mem.h"

typedef struct gs_stream {
    gs_buf buf;
    int64_t tokens, hidden;
} gs_stream;
size_t gs_stream_bytes(int64_t tokens, int64_t hidden);
gs_status gs_stream_init(gs_stream *s, int64_t tokens, int64_t hidden, const char *purpose, gs_error *err) GS_CHECKED;
float *gs_stream_rows(gs_stream *s, int64_t row0);
void gs_stream_release(gs_stream *s);

#endif
