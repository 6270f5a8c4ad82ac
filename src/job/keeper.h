/* The keeper behind the walk: one background thread that brings streams to the disk while the walk computes, and a record of the
 * journal when everything it speaks of is there: streams, output, names, then the record itself, each synced before the next. What it
 * is given it does in that order. An error is kept and returned by the next call. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_KEEPER_H
#define GS_JOB_KEEPER_H

#include <pthread.h>

#include "base/pool.h"
#include "calib/stream.h"
#include "job/resume.h"

typedef struct gs_keeper_task {
    int stream; /* rows of this one, or */
    int64_t row0, rows;
    gs_record *record; /* not NULL: a record; the keeper frees it */
} gs_keeper_task;

typedef struct gs_keeper {
    gs_resume *resume;
    gs_writer *writer;             /* NULL = nothing is written in this pass */
    gs_stream *stream[GS_STREAMS]; /* in the walk */
    bool named;                    /* names in the work folder are on the disk, but for streams' new files */
    gs_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gs_keeper_task *task; /* a ring: [cap], `count` from `first` on */
    int cap, first, count;
    int rows_left; /* tasks that read rows of streams in memory */
    bool open, stop;
    gs_status status;
    gs_error error;
} gs_keeper;

/* Members above `thread` are the caller's to set. */
gs_status gs_keeper_open(gs_keeper *k, gs_error *err) GS_CHECKED;
/* These rows stay as they are until gs_keeper_wait_rows() has returned. */
void gs_keeper_rows(gs_keeper *k, int stream, int64_t row0, int64_t rows);
/* Takes the record over; its streams are filled in by the keeper. */
void gs_keeper_record(gs_keeper *k, gs_record *r);
gs_status gs_keeper_wait_rows(gs_keeper *k, gs_error *err) GS_CHECKED; /* all rows have been taken */
gs_status gs_keeper_wait(gs_keeper *k, gs_error *err) GS_CHECKED;      /* all is done, or the first error */
void gs_keeper_close(gs_keeper *k); /* finishes what was given; accepts an all-zero struct */

#endif
