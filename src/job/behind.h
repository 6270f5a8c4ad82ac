/* The writer behind the walk: output bytes go to a few reused slots and reach the file from one background thread, so that
 * computing and writing overlap. An error is kept and returned by the next call. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_BEHIND_H
#define GS_JOB_BEHIND_H

#include <pthread.h>

#include "base/mem.h"
#include "base/pool.h"
#include "io/writer.h"

#define GS_BEHIND_SLOTS 3

typedef struct gs_behind_slot {
    gs_buf buf;
    int64_t index; /* tensor; where the bytes go */
    uint64_t offset;
    char *data;   /* in buf, where it suits the place in the file */
    size_t bytes; /* 0 = free */
} gs_behind_slot;

typedef struct gs_behind {
    gs_writer *writer;
    gs_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gs_behind_slot slot[GS_BEHIND_SLOTS];
    int next_fill, next_write; /* slots are used in turn */
    bool open, stop;
    gs_status status;
    gs_error error;
} gs_behind;

/* Bytes of one slot that takes slot_bytes, for the plan. */
size_t gs_behind_bytes(size_t slot_bytes);
gs_status gs_behind_open(gs_behind *b, gs_writer *writer, size_t slot_bytes, gs_error *err) GS_CHECKED;
/* Room for slot_bytes that go to byte `offset` of tensor `index`, waiting if all slots are under way. */
gs_status gs_behind_acquire(gs_behind *b, int64_t index, uint64_t offset, void **room, gs_error *err) GS_CHECKED;
/* Hand the acquired room's first n bytes over. */
void gs_behind_submit(gs_behind *b, size_t n);
/* Everything submitted has been written, or the first error. OK on a closed struct. */
gs_status gs_behind_wait(gs_behind *b, gs_error *err) GS_CHECKED;
void gs_behind_close(gs_behind *b); /* accepts an all-zero struct */

#endif
