/* A record of the journal: what a run knows when a block is finished, beside what is in the output's files and in those of the streams.
 * Members that belong to a block, a linear or a tensor are there for those that changed since the record before.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_RECORD_H
#define GS_JOB_RECORD_H

#include "calib/observer.h"
#include "calib/generations.h"
#include "job/transform.h"

enum { GS_STREAM_OUTLIERS, GS_STREAM_FLOAT, GS_STREAM_QUANTIZED, GS_STREAMS };

#define GS_FRAME_IDENTITY 1u /* kinds of frames */
#define GS_FRAME_RECORD   2u

typedef struct gs_written {
    int64_t index; /* tensor of the output */
    uint64_t bytes;
} gs_written;

typedef struct gs_linear_state {
    int linear;
    int observer; /* gs_observer_kind; 0 = none */
    gs_score score;
    float max_input;
    gs_linear_result result; /* its numbers; no text */
} gs_linear_state;

typedef struct gs_vector {
    float *v; /* NULL = none */
    int64_t n;
} gs_vector;

#define GS_TRANSFORM_VECTORS (2 * GS_NORMS + 3 * GS_ROLES)

typedef struct gs_block_state {
    int block;
    float fa_score;
    gs_transform transform;                 /* its choices; vectors are NULL */
    char *branch[GS_ROLES];                 /* text of choice[].branch */
    gs_vector vector[GS_TRANSFORM_VECTORS]; /* norm, norm_bias, column, row, bias */
} gs_block_state;

typedef struct gs_message_state {
    bool warning;
    char *text;
} gs_message_state;

typedef struct gs_record {
    int pass;   /* of the run, from 0 */
    int blocks; /* finished */
    bool ended; /* what comes after the blocks too */
    int64_t work_done;
    gs_stream_state stream[GS_STREAMS];
    gs_written *written;
    gs_linear_state *linear;
    gs_block_state *block;
    gs_message_state *message;
    int n_written, n_linears, n_blocks, n_messages;
} gs_record;

void gs_record_write(const gs_record *r, gs_str *out);
/* Bytes to record; nothing else is looked at. GS_ERR_FILE: not such bytes. */
gs_status gs_record_parse(const void *data, size_t n, gs_record *out, gs_error *err) GS_CHECKED;
void gs_record_release(gs_record *r);

#endif
