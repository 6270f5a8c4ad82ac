/* What an unfinished run was asked and what it has read: the first frame of its journal. Another run may go on from there if all of it
 * is equal. How the work is done (threads, memory limit) and where files lie is not in it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_IDENTITY_H
#define GS_JOB_IDENTITY_H

#include "job/job.h"

#define GS_IDENTITY_FORMAT 2 /* of all records in the journal */

typedef struct gs_option_state {
    char *name, *value;
} gs_option_state;

typedef struct gs_input_state {
    char *name;     /* as a person would call it */
    uint64_t bytes; /* of weights: size and time of the file */
    int64_t seconds, nanoseconds;
    char *sha256; /* of weights: of the header; else of the content, or of the token ids */
} gs_input_state;

typedef struct gs_identity {
    int format;
    char *version; /* of glmslim */
    gs_option_state *option;
    gs_input_state *input;
    int n_options, n_inputs;
} gs_identity;

/* What this run is. */
gs_status gs_identity_make(const gs_job *job, gs_identity *out, gs_error *err) GS_CHECKED;
void gs_identity_write(const gs_identity *id, gs_str *out);
/* Bytes to identity; nothing else is looked at. Of another format only format and version are read. */
gs_status gs_identity_parse(const void *data, size_t n, gs_identity *out, gs_error *err) GS_CHECKED;
/* The first thing that differs, as "--act_method was 1 and is 2"; false: nothing does. */
bool gs_identity_differs(const gs_identity *then, const gs_identity *now, gs_str *what);
void gs_identity_release(gs_identity *id);

#endif
