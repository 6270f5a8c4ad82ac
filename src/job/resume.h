/* Going on where an earlier run has stopped: its journal is read and compared with what is asked now, and as the passes come along
 * again, what they had found is put back. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_RESUME_H
#define GS_JOB_RESUME_H

#include "io/journal.h"
#include "io/outdir.h"
#include "io/writer.h"
#include "job/record.h"

struct gs_job;

typedef struct gs_resume {
    gs_outdir *out;
    gs_journal journal;
    gs_record *record; /* [n_records] of earlier runs */
    int n_records;
    int pass;     /* passes that have begun */
    bool kept;    /* the journal has a record: there is something to go on from */
    bool passing; /* whatever the kind of the error: the same command can go on */
    bool refused; /* what is in the work folder stays, whatever the error */
    double last;  /* when the last record was made, or the work began */
} gs_resume;

/* Take up what the work folder holds, or begin anew. Refused: the unfinished run of another recipe, input or version. */
gs_status gs_resume_begin(struct gs_job *job, gs_outdir *out, gs_error *err) GS_CHECKED;
/* The next pass begins: what earlier runs found in it is in its place again. *last: how far they came in it, NULL = not at all. */
gs_status gs_resume_pass(struct gs_job *job, gs_writer *writer, const gs_record **last, gs_error *err) GS_CHECKED;
/* Have earlier runs written any of the pass that would begin next? */
bool gs_resume_has_output(const struct gs_job *job);
/* After a failure: does the work folder stay? Then the error says so. */
bool gs_resume_keeps(const struct gs_job *job, gs_status status, gs_error *err);
/* After *err: what the journal says is not what is found, unless it could only not be looked at now; the folder stays. Returns the
 * error's status. */
gs_status gs_resume_refuse(struct gs_job *job, gs_error *err);
void gs_resume_end(gs_resume *r); /* accepts an all-zero struct */

#endif
