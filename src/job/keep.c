/* See keep.h. SPDX-License-Identifier: Apache-2.0 */
#include "job/keep.h"

#include <string.h>

#include "job/walk.h"

static int64_t n_tensors(const gs_walk *w) { return w->writer ? w->job->manifest.layout.count : 0; }

gs_status gs_keep_open(gs_walk *w, gs_error *err)
{
    gs_keep *k = &w->keep;
    *k = (gs_keep){.on = w->job->resume.out != NULL, .blocks = w->first, .last = -1};
    if (!k->on) return GS_OK;
    k->n_messages = w->job->report->n_messages;
    k->written = gs_alloc_array((size_t)n_tensors(w) + 1, sizeof *k->written);
    for (int64_t i = 0; i < n_tensors(w); i++) k->written[i] = gs_writer_written(w->writer, i);
    k->keeper.resume = &w->job->resume;
    k->keeper.writer = w->writer;
    for (int i = 0; i < GS_STREAMS; i++) k->keeper.stream[i] = &w->stream[i];
    return gs_keeper_open(&k->keeper, err);
}

/* A block is worth a record if with it so much would be lost as the interval says. */
void gs_keep_begin_block(gs_walk *w)
{
    gs_keep *k = &w->keep;
    const gs_job *job = w->job;
    k->began = gs_seconds();
    const double expected = k->last >= 0 ? k->last : job->estimated_seconds / (double)job->config.layers;
    k->armed = k->on && k->began - job->resume.last + expected >= job->recipe->checkpoint_interval;
    k->hand_over = k->armed && !w->pass->sweeps_twice;
    memset(k->handed, 0, sizeof k->handed);
}

void gs_keep_final(gs_walk *w) { w->keep.hand_over = w->keep.armed; }

gs_status gs_walk_write_stream(gs_walk *w, int stream, gs_error *err)
{
    gs_keep *k = &w->keep;
    gs_stream *s = &w->stream[stream];
    const gs_chunk *c = &w->chunk;
    GS_TRY(gs_stream_write(s, c->row0, c->rows, err));
    if (!k->hand_over || s->spilled) return GS_OK;
    gs_keeper_rows(&k->keeper, stream, c->row0, c->rows);
    k->handed[stream] = c->row0 + c->rows;
    return GS_OK;
}

/* ---- what a record holds ---- */

static void add_written(gs_walk *w, gs_record *r)
{
    gs_keep *k = &w->keep;
    for (int64_t i = 0; i < n_tensors(w); i++) r->n_written += gs_writer_written(w->writer, i) != k->written[i];
    r->written = gs_alloc_array((size_t)r->n_written, sizeof *r->written);
    r->n_written = 0;
    for (int64_t i = 0; i < n_tensors(w); i++) {
        const uint64_t bytes = gs_writer_written(w->writer, i);
        if (bytes == k->written[i]) continue;
        r->written[r->n_written++] = (gs_written){i, bytes};
        k->written[i] = bytes;
    }
}

static void add_linears(const gs_job *job, int from, int to, gs_record *r)
{
    r->linear = gs_alloc_array((size_t)(to - from), sizeof *r->linear);
    for (int i = from; i < to; i++) {
        const gs_linear_result *l = &job->report->linears[i];
        gs_linear_state *s = &r->linear[r->n_linears++];
        *s = (gs_linear_state){.linear = i, .score = job->score[i], .max_input = job->max_input[i], .result = *l};
        if (l->observer) s->observer = (int)gs_job_observer_kind(job, i);
    }
}

static gs_vector copy_vector(const float *v, int64_t n)
{
    if (!v) return (gs_vector){0};
    const gs_vector copy = {gs_alloc_array((size_t)n, sizeof *v), n};
    memcpy(copy.v, v, (size_t)n * sizeof *v);
    return copy;
}

static void add_block(const gs_job *job, int block, gs_block_state *b)
{
    const gs_transform *t = &job->transform[block];
    *b = (gs_block_state){.block = block, .transform = *t, .fa_score = job->fa_score ? job->fa_score[block] : 0};
    gs_vector *v = b->vector;
    for (int norm = 0; norm < GS_NORMS; norm++) {
        *v++ = copy_vector(t->norm[norm], job->config.hidden);
        *v++ = copy_vector(t->norm_bias[norm], job->config.hidden);
        b->transform.norm[norm] = b->transform.norm_bias[norm] = NULL;
    }
    for (int role = 0; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&job->config, (gs_role)role, &out, &in);
        *v++ = copy_vector(t->column[role], in);
        *v++ = copy_vector(t->row[role], out);
        *v++ = copy_vector(t->bias[role], out);
        b->transform.column[role] = b->transform.row[role] = b->transform.bias[role] = NULL;
        b->branch[role] = t->choice[role].branch ? gs_strdup(t->choice[role].branch) : NULL;
        b->transform.choice[role].branch = NULL;
    }
}

static void add_messages(const gs_walk *w, gs_record *r)
{
    const gs_report *report = w->job->report;
    const int from = w->keep.n_messages;
    r->message = gs_alloc_array((size_t)(report->n_messages - from), sizeof *r->message);
    for (int i = from; i < report->n_messages; i++)
        r->message[r->n_messages++] = (gs_message_state){.warning = report->messages[i].level == GS_WARNING,
                                                         .text = gs_strdup(report->messages[i].text)};
}

static gs_record *make_record(gs_walk *w, int blocks, bool ended)
{
    const gs_job *job = w->job;
    gs_keep *k = &w->keep;
    gs_record *r = gs_alloc(sizeof *r);
    *r = (gs_record){.pass = job->resume.pass - 1, .blocks = blocks, .ended = ended, .work_done = job->work_done};
    add_written(w, r);
    add_linears(job, gs_job_linear(k->blocks, GS_QKV), ended ? job->n_linears : gs_job_linear(blocks, GS_QKV), r);
    r->block = gs_alloc_array((size_t)(blocks - k->blocks), sizeof *r->block);
    for (int b = k->blocks; b < blocks; b++) add_block(job, b, &r->block[r->n_blocks++]);
    add_messages(w, r);
    k->blocks = blocks;
    k->n_messages = job->report->n_messages;
    return r;
}

/* ---- when ---- */

/* What the keeper has not been given of the streams yet. */
static void hand_rest(gs_walk *w)
{
    gs_keep *k = &w->keep;
    for (int i = 0; i < GS_STREAMS; i++) {
        gs_stream *s = &w->stream[i];
        if (!s->spilled && s->changed) gs_keeper_rows(&k->keeper, i, k->handed[i], s->tokens - k->handed[i]);
        s->changed = false;
    }
}

static gs_status make(gs_walk *w, bool ended, gs_error *err)
{
    gs_keep *k = &w->keep;
    GS_TRY(gs_behind_wait(&w->behind, err));
    if (!ended) hand_rest(w);
    gs_keeper_record(&k->keeper, make_record(w, ended ? w->block : w->block + 1, ended));
    w->job->resume.last = gs_seconds();
    /* Rows in memory change in the next block; a stream in files goes on in the file that the record frees. */
    return w->job->spill ? gs_keeper_wait(&k->keeper, err) : gs_keeper_wait_rows(&k->keeper, err);
}

gs_status gs_keep_end_block(gs_walk *w, gs_error *err)
{
    gs_keep *k = &w->keep;
    const double now = gs_seconds();
    k->last = now - k->began;
    if (!k->on) return GS_OK;
    if (!k->armed && now - w->job->resume.last < w->job->recipe->checkpoint_interval) return GS_OK;
    const gs_status status = make(w, false, err);
    gs_job_phase(w->job, "keep", gs_seconds() - now);
    return status;
}

/* A pass whose results another one needs always ends with a record: those of the other one would be worth nothing without. */
gs_status gs_keep_end_pass(gs_walk *w, gs_error *err)
{
    const gs_keep *k = &w->keep;
    const double now = gs_seconds();
    if (!k->on) return GS_OK;
    const bool record = !w->writer || now - w->job->resume.last >= w->job->recipe->checkpoint_interval;
    if (record) GS_TRY(make(w, true, err));
    GS_TRY(gs_keeper_wait(&w->keep.keeper, err));
    for (int i = 0; i < GS_STREAMS; i++) gs_generations_drop(&w->stream[i].files, record);
    if (record) gs_job_phase(w->job, "keep", gs_seconds() - now);
    return GS_OK;
}

void gs_keep_close(gs_keep *k)
{
    gs_keeper_close(&k->keeper);
    gs_free(k->written);
    *k = (gs_keep){0};
}
