/* A stream's files in the work folder: the rows as of the last record of the journal, and the rows that are being written now, in the
 * other file. They change places when the journal says that the new ones are on the disk, so a run that dies finds one whole
 * generation, whatever it was doing. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CALIB_GENERATIONS_H
#define GS_CALIB_GENERATIONS_H

#include "io/direct.h"

/* What a record says of a stream. */
typedef struct gs_stream_state {
    int file; /* 0 or 1; -1 = there is none */
    int64_t tokens, hidden;
    uint64_t digest; /* of all rows */
} gs_stream_state;

typedef struct gs_generations {
    gs_file file[2]; /* path NULL = not open yet */
    gs_direct_reader reader[2];
    char *dir, *name; /* dir NULL = there are none */
    int64_t tokens, hidden;
    int kept; /* the file of the last record; -1 = none */
    uint64_t kept_digest;
    int64_t fresh;       /* rows of the other file that are newer, from the first on */
    int64_t digest_rows; /* of these, in one sweep from the first on, are in the digest */
    uint64_t digest;
    bool made; /* a file whose name is not on the disk yet */
} gs_generations;

/* Files dir/name.0 and .1, of which nothing is used or made yet. */
void gs_generations_begin(gs_generations *g, const char *dir, const char *name, int64_t tokens, int64_t hidden);
/* Right after that: the record's file is taken up; its rows are for gs_generations_load. */
gs_status gs_generations_resume(gs_generations *g, const gs_stream_state *s, gs_error *err) GS_CHECKED;
/* All rows of the record's file, `step` at a time, to where place(ctx, row) says; they must have its digest. */
gs_status gs_generations_load(gs_generations *g, int64_t step, float *(*place)(void *ctx, int64_t row), void *ctx,
                              gs_error *err) GS_CHECKED;

/* The newest of these rows. room as for gs_direct_read. */
gs_status gs_generations_read(gs_generations *g, int64_t row0, int64_t rows, void *room, float **data,
                              gs_error *err) GS_CHECKED;
gs_status gs_generations_write(gs_generations *g, int64_t row0, int64_t rows, const float *src,
                               gs_error *err) GS_CHECKED;

/* All rows have been written, or none: the newest are on the disk, and this is what a record says of them. */
gs_status gs_generations_sync(gs_generations *g, gs_stream_state *out, gs_error *err) GS_CHECKED;
/* The record is on the disk. */
void gs_generations_turn(gs_generations *g);
/* No row is read or written any more: the files go, but for the one a resumed run would need, unless `all`. What cannot be removed stays
 * until the work folder goes. */
void gs_generations_drop(gs_generations *g, bool all);
void gs_generations_close(gs_generations *g); /* the files stay; accepts an all-zero struct */

#endif
