/* The reader ahead of the walk: tensors in the order in which they will be asked for, in chunks, read by one background thread past the
 * page cache into a few reused slots. The other end of behind.h. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_AHEAD_H
#define GS_JOB_AHEAD_H

#include <pthread.h>

#include "base/pool.h"
#include "io/checkpoint.h"
#include "io/direct.h"

#define GS_AHEAD_SLOTS 3

typedef struct gs_ahead_chunk {
    const gs_tensor *tensor;
    int64_t first, n; /* elements */
} gs_ahead_chunk;

typedef struct gs_ahead_slot {
    gs_buf buf;
    const void *data; /* in buf */
    bool full;
} gs_ahead_slot;

typedef struct gs_ahead {
    const gs_checkpoint *checkpoint;
    gs_ahead_chunk *chunk; /* [n_chunks], all that will be read, in order */
    int64_t n_chunks, cap, next_read, next_take;
    gs_ahead_slot slot[GS_AHEAD_SLOTS]; /* chunk i is in slot i mod GS_AHEAD_SLOTS */
    gs_direct_reader reader;            /* the thread's */
    gs_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, stop;
    gs_status status;
    gs_error error;
} gs_ahead;

/* One tensor more, whole, `step` elements at a time; before gs_ahead_open. */
void gs_ahead_add(gs_ahead *a, const gs_tensor *t, int64_t step);
/* Bytes of the slots: each is as large as the largest chunk that will be in it. */
uint64_t gs_ahead_bytes(const gs_ahead *a);
/* Allocates the slots and starts reading. */
gs_status gs_ahead_open(gs_ahead *a, const gs_checkpoint *checkpoint, gs_error *err) GS_CHECKED;
/* The next chunk as stored, which must be this one; valid until the next call. */
gs_status gs_ahead_take(gs_ahead *a, const gs_tensor *t, int64_t first, int64_t n, const void **data,
                        gs_error *err) GS_CHECKED;
void gs_ahead_close(gs_ahead *a); /* accepts an all-zero struct */

#endif
