/* What the walk does for the journal: it decides which blocks end with a record, hands rows of streams in memory to the keeper as they
 * are finished, and gathers what a record holds. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_KEEP_H
#define GS_JOB_KEEP_H

#include "job/keeper.h"

struct gs_walk;

typedef struct gs_keep {
    gs_keeper keeper;
    bool on;    /* there is a journal */
    bool armed; /* this block ends with a record */
    bool
        hand_over; /* rows go to the keeper as the walk writes them back: it will not change them again in this block */
    int64_t handed[GS_STREAMS]; /* rows of this block */
    int blocks;                 /* finished, in the last record */
    int n_messages;             /* in the report, then */
    uint64_t *written;          /* bytes of each tensor of the output, then */
    double began, last;         /* this block; seconds that the one before took, < 0 = none */
} gs_keep;

/* After the pass has begun its streams. */
gs_status gs_keep_open(struct gs_walk *w, gs_error *err) GS_CHECKED;
void gs_keep_begin_block(struct gs_walk *w);
/* From here on, rows that are written back are final for this block. */
void gs_keep_final(struct gs_walk *w);
gs_status gs_keep_end_block(struct gs_walk *w, gs_error *err) GS_CHECKED;
gs_status gs_keep_end_pass(struct gs_walk *w, gs_error *err) GS_CHECKED;
void gs_keep_close(gs_keep *k); /* accepts an all-zero struct */

/* The chunk at hand of a stream (GS_STREAM_…) has gone through the block: gs_stream_write, and on to the keeper. */
gs_status gs_walk_write_stream(struct gs_walk *w, int stream, gs_error *err) GS_CHECKED;

#endif
