/* Hidden states of all samples, [tokens, hidden] float32: in memory, or in a file without a name of which one window of rows at a time is
 * in memory. Who changes rows writes them back. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_STREAM_H
#define GS_CALIB_STREAM_H

#include "io/direct.h"

typedef struct gs_stream {
    gs_buf buf;                     /* everything, or the window */
    int64_t tokens, hidden, window; /* window: most rows of one call */
    gs_file file;                   /* path NULL = in memory */
    gs_direct_reader reader;        /* its descriptor serves writing too */
} gs_stream;

size_t gs_stream_bytes(int64_t tokens, int64_t hidden);        /* in memory */
size_t gs_stream_window_bytes(int64_t window, int64_t hidden); /* of one in a file */
gs_status gs_stream_init(gs_stream *s, int64_t tokens, int64_t hidden, const char *purpose, gs_error *err) GS_CHECKED;
/* In a file in `dir`; the space is reserved. */
gs_status gs_stream_spill(gs_stream *s, int64_t tokens, int64_t hidden, int64_t window, const char *dir,
                          const char *purpose, gs_error *err) GS_CHECKED;

/* Rows row0 .. row0+rows, at most s->window of them; *data is valid until the next call. */
gs_status gs_stream_read(gs_stream *s, int64_t row0, int64_t rows, float **data, gs_error *err) GS_CHECKED;
/* Room for them, whatever they were. */
float *gs_stream_room(gs_stream *s, int64_t row0);
/* They have been changed: the rows read, or given room for, last. */
gs_status gs_stream_write(gs_stream *s, int64_t row0, int64_t rows, gs_error *err) GS_CHECKED;
void gs_stream_release(gs_stream *s);

#endif
