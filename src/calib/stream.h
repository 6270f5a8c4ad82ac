/* Hidden states of all samples, [tokens, hidden] float32: in memory, or in files of which one window of rows at a time is in memory.
 * Who changes rows writes them back. Files in the work folder come in two generations, so that a run can be resumed; of a stream in
 * memory they are written by whoever keeps the journal. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_STREAM_H
#define GS_CALIB_STREAM_H

#include "calib/generations.h"

typedef struct gs_stream {
    gs_buf buf;                     /* everything, or the window */
    int64_t tokens, hidden, window; /* window: most rows of one call */
    bool spilled;                   /* lives in its files */
    bool changed;                   /* since whoever keeps the journal has cleared this */
    gs_generations files;           /* dir NULL = none */
} gs_stream;

size_t gs_stream_bytes(int64_t tokens, int64_t hidden);        /* in memory */
size_t gs_stream_window_bytes(int64_t window, int64_t hidden); /* of one in a file */
gs_status gs_stream_init(gs_stream *s, int64_t tokens, int64_t hidden, const char *purpose, gs_error *err) GS_CHECKED;
/* It lives in files name.0 and name.1 of `dir`. */
gs_status gs_stream_spill(gs_stream *s, int64_t tokens, int64_t hidden, int64_t window, const char *dir,
                          const char *name, const char *purpose, gs_error *err) GS_CHECKED;
/* For a stream in memory: such files, of which this room writes nothing. */
void gs_stream_keep(gs_stream *s, const char *dir, const char *name);
/* After one of the two above: rows and files as a record has them. */
gs_status gs_stream_resume(gs_stream *s, const gs_stream_state *from, gs_error *err) GS_CHECKED;

/* Rows row0 .. row0+rows, at most s->window of them; *data is valid until the next call. */
gs_status gs_stream_read(gs_stream *s, int64_t row0, int64_t rows, float **data, gs_error *err) GS_CHECKED;
/* Room for them, whatever they were. */
float *gs_stream_room(gs_stream *s, int64_t row0);
/* They have been changed: the rows read, or given room for, last. All rows in their order, before any of them again. */
gs_status gs_stream_write(gs_stream *s, int64_t row0, int64_t rows, gs_error *err) GS_CHECKED;
void gs_stream_release(gs_stream *s);

#endif
