/* Hidden states of many models at once, [streams][tokens, hidden] float32: in memory when that is allowed, else in one nameless file,
 * of which nothing is in memory but what the caller reads. Unlike calib/stream.h a stream is changed in place and lost with the
 * program, and hundreds of them need no window each. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_STATES_H
#define GS_EVAL_STATES_H

#include "io/file.h"

typedef struct gs_states {
    int64_t streams, tokens, hidden;
    gs_buf buf;   /* everything, or nothing */
    gs_file file; /* path NULL = in memory */
} gs_states;

/* In memory if they take at most memory_bytes, else in a file in `dir`, which has no name once it is open. */
gs_status gs_states_init(gs_states *s, int64_t streams, int64_t tokens, int64_t hidden, uint64_t memory_bytes,
                         const char *dir, gs_error *err) GS_CHECKED;
void gs_states_release(gs_states *s); /* accepts an all-zero struct */
/* Rows row0 .. row0 + rows of a stream, [rows, hidden]. */
gs_status gs_states_read(const gs_states *s, int64_t stream, int64_t row0, int64_t rows, float *to,
                         gs_error *err) GS_CHECKED;
gs_status gs_states_write(gs_states *s, int64_t stream, int64_t row0, int64_t rows, const float *from,
                          gs_error *err) GS_CHECKED;

#endif
