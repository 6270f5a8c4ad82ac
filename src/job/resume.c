/* See resume.h. SPDX-License-Identifier: Apache-2.0 */
#include "job/resume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job/identity.h"
#include "job/job.h"

/* ---- the journal of an earlier run ---- */

static gs_status start_over(gs_job *job, gs_error *err)
{
    gs_resume *r = &job->resume;
    gs_identity now;
    gs_str bytes;
    GS_TRY(gs_outdir_clear(r->out, err));
    GS_TRY(gs_identity_make(job, &now, err));
    gs_str_init(&bytes);
    gs_identity_write(&now, &bytes);
    gs_status status = gs_journal_create(&r->journal, r->out->base_path, err);
    if (status == GS_OK) status = gs_journal_append(&r->journal, GS_FRAME_IDENTITY, bytes.data, bytes.len, err);
    gs_str_release(&bytes);
    gs_identity_release(&now);
    return status;
}

static gs_status refuse(gs_job *job, gs_status status, const char *lead, const char *what, gs_error *err)
{
    job->resume.refused = true;
    return gs_fail(err, status, "%s%s%s; add --restart to throw away what it has finished", job->resume.out->base_path,
                   lead, what);
}

/* What the operating system refuses now it may grant the next time: no reason to throw work away. What is missing stays so. */
static bool is_passing(const gs_error *e)
{
    return (e->status == GS_ERR_IO && e->code != ENOENT) || e->status == GS_ERR_MEMORY ||
           e->status == GS_ERR_INTERRUPTED;
}

#define DAMAGED " holds an unfinished run whose journal is damaged: "

/* After *err. */
static gs_status refuse_damaged(gs_job *job, gs_error *err)
{
    gs_error why = err ? *err : (gs_error){.status = GS_ERR_FILE};
    return refuse(job, GS_ERR_FILE, DAMAGED, why.text, err);
}

/* Records that can follow one another. */
static bool in_order(const gs_record *before, const gs_record *r)
{
    if (!before) return r->pass == 0;
    if (before->ended) return r->pass == before->pass + 1;
    return r->pass == before->pass && r->blocks >= before->blocks && (r->blocks > before->blocks || r->ended);
}

static gs_status read_records(gs_job *job, const gs_frames *f, gs_error *err)
{
    gs_resume *r = &job->resume;
    r->record = gs_alloc_array((size_t)f->n, sizeof *r->record);
    for (int i = 1; i < f->n; i++) {
        gs_record *record = &r->record[r->n_records];
        if (f->frame[i].kind != GS_FRAME_RECORD) return gs_fail(err, GS_ERR_FILE, "a record of an unknown kind");
        GS_TRY(gs_record_parse(f->frame[i].data, f->frame[i].bytes, record, err));
        r->n_records++;
        if (record->blocks > job->config.layers || !in_order(i > 1 ? record - 1 : NULL, record))
            return gs_fail(err, GS_ERR_FILE, "records that do not follow one another");
    }
    r->kept = true;
    return GS_OK;
}

/* Is it the run that is asked for now? */
static gs_status compare(gs_job *job, const gs_identity *then, gs_error *err)
{
    gs_identity now;
    gs_str what;
    GS_TRY(gs_identity_make(job, &now, err));
    gs_str_init(&what);
    gs_status status = GS_OK;
    if (gs_identity_differs(then, &now, &what))
        status =
            refuse(job, GS_ERR_USAGE, " holds an unfinished run that was asked for something else: ", what.data, err);
    gs_str_release(&what);
    gs_identity_release(&now);
    return status;
}

static gs_status take_up(gs_job *job, const gs_frames *f, bool *over, gs_error *err)
{
    gs_resume *r = &job->resume;
    gs_identity then = {0};
    *over = f->n < 2; /* nothing is finished */
    if (*over) return GS_OK;
    gs_status status = f->frame[0].kind == GS_FRAME_IDENTITY
                           ? gs_identity_parse(f->frame[0].data, f->frame[0].bytes, &then, err)
                           : gs_fail(err, GS_ERR_FILE, "its first record is of an unknown kind");
    if (status != GS_OK) return refuse_damaged(job, err);
    status = compare(job, &then, err);
    gs_identity_release(&then);
    if (status != GS_OK) return status;
    status = read_records(job, f, err);
    if (status != GS_OK) return refuse_damaged(job, err);
    return gs_journal_continue(&r->journal, r->out->base_path, f, err);
}

static void say_where(gs_job *job)
{
    const gs_resume *r = &job->resume;
    if (r->n_records == 0) return;
    const gs_record *last = &r->record[r->n_records - 1];
    char text[256];
    if (last->ended)
        snprintf(text, sizeof text, "going on with what an earlier run has left: pass %d is finished", last->pass + 1);
    else
        snprintf(text, sizeof text, "going on with what an earlier run has left: %d of %lld blocks%s are finished",
                 last->blocks, (long long)job->config.layers, last->pass > 0 ? " of the second pass" : "");
    if (job->watch && job->watch->message) job->watch->message(job->watch->ctx, GS_INFO, text);
}

gs_status gs_resume_begin(gs_job *job, gs_outdir *out, gs_error *err)
{
    gs_resume *r = &job->resume;
    gs_frames frames;
    char *data = NULL;
    bool over = true;
    *r = (gs_resume){.out = out, .journal = {.fd = -1}, .last = gs_seconds()};
    if (job->recipe->restart || !out->found || !gs_journal_exists(out->base_path)) return start_over(job, err);
    gs_error local = {0};
    gs_status status = gs_journal_read(out->base_path, &data, &frames, &local);
    if (status == GS_OK) {
        status = take_up(job, &frames, &over, err);
        gs_frames_release(&frames);
    } else if (is_passing(&local)) {
        if (err) *err = local;
    } else {
        status =
            refuse(job, status, status == GS_ERR_UNSUPPORTED ? " holds an unfinished run: " : DAMAGED, local.text, err);
    }
    gs_free(data);
    if (status != GS_OK) {
        r->refused = true;
        return status;
    }
    if (over) return start_over(job, err);
    say_where(job);
    return GS_OK;
}

/* ---- putting back ---- */

/* A vector of n values, or none. */
static bool take_vector(gs_vector *from, int64_t n, float **to)
{
    if (from->v && from->n != n) return false;
    *to = from->v;
    *from = (gs_vector){0};
    return true;
}

static bool restore_block(gs_job *job, gs_block_state *b)
{
    if (b->block < 0 || b->block >= job->config.layers) return false;
    gs_transform *t = &job->transform[b->block];
    gs_vector *v = b->vector;
    bool fits = true;
    if (job->fa_score) job->fa_score[b->block] = b->fa_score;
    gs_transform_release(t);
    *t = b->transform;
    for (int norm = 0; norm < GS_NORMS; norm++) {
        fits = take_vector(v++, job->config.hidden, &t->norm[norm]) && fits;
        fits = take_vector(v++, job->config.hidden, &t->norm_bias[norm]) && fits;
    }
    for (int role = 0; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&job->config, (gs_role)role, &out, &in);
        fits = take_vector(v++, in, &t->column[role]) && fits;
        fits = take_vector(v++, out, &t->row[role]) && fits;
        fits = take_vector(v++, out, &t->bias[role]) && fits;
        if (b->branch[role]) t->choice[role].branch = gs_report_own(job->report, b->branch[role]);
        b->branch[role] = NULL;
    }
    return fits;
}

static bool restore_linear(gs_job *job, const gs_linear_state *l)
{
    if (l->linear < 0 || l->linear >= job->n_linears) return false;
    gs_linear_result *to = &job->report->linears[l->linear];
    const gs_linear_result plan = *to;
    job->score[l->linear] = l->score;
    job->max_input[l->linear] = l->max_input;
    *to = l->result;
    to->name = plan.name;
    to->type = plan.type;
    to->why_float = plan.why_float;
    to->score = plan.score;
    to->out = plan.out;
    to->in = plan.in;
    to->observer = l->observer ? gs_observer_kind_name((gs_observer_kind)l->observer) : NULL;
    return true;
}

static gs_status restore(gs_job *job, gs_record *r, gs_writer *writer, gs_error *err)
{
    bool fits = true;
    for (int i = 0; i < r->n_blocks; i++) fits = restore_block(job, &r->block[i]) && fits;
    for (int i = 0; i < r->n_linears; i++) fits = restore_linear(job, &r->linear[i]) && fits;
    for (int i = 0; i < r->n_written; i++)
        fits = writer && gs_writer_set_written(writer, r->written[i].index, r->written[i].bytes) && fits;
    for (int i = 0; i < r->n_messages; i++)
        gs_report_add_message(job->report, r->message[i].warning ? GS_WARNING : GS_INFO,
                              r->message[i].text ? r->message[i].text : "");
    job->work_done = r->work_done;
    if (fits) return GS_OK;
    return refuse(job, GS_ERR_FILE, DAMAGED, "a record does not fit this model", err);
}

gs_status gs_resume_pass(gs_job *job, gs_writer *writer, const gs_record **last, gs_error *err)
{
    gs_resume *r = &job->resume;
    const int pass = r->pass++;
    *last = NULL;
    for (int i = 0; i < r->n_records; i++) {
        if (r->record[i].pass != pass) continue;
        GS_TRY(restore(job, &r->record[i], writer, err));
        *last = &r->record[i];
    }
    return GS_OK;
}

gs_status gs_resume_refuse(gs_job *job, gs_error *err)
{
    gs_error why = err ? *err : (gs_error){.status = GS_ERR_FILE};
    if (is_passing(&why)) return why.status; /* gs_resume_keeps() says that the work is kept */
    return refuse(job, why.status, " holds an unfinished run that is damaged: ", why.text, err);
}

bool gs_resume_has_output(const gs_job *job)
{
    const gs_resume *r = &job->resume;
    return r->n_records > 0 && r->record[r->n_records - 1].pass == r->pass;
}

bool gs_resume_keeps(const gs_job *job, gs_status status, gs_error *err)
{
    const gs_resume *r = &job->resume;
    if (!r->out->active) return false; /* the result is in its place and the folder is gone */
    if (r->refused) return true;
    /* What is wrong with an input or a recipe does not go away by trying again. */
    const bool again = r->passing || status == GS_ERR_IO || status == GS_ERR_INTERRUPTED || status == GS_ERR_MEMORY;
    if (!r->kept || !again) return false;
    if (!err) return true;
    if (status == GS_ERR_INTERRUPTED) gs_fail(err, status, "interrupted");
    const size_t n = strlen(err->text);
    snprintf(err->text + n, sizeof err->text - n, "; run the same command to go on: finished blocks are kept in %s",
             r->out->base_path);
    return true;
}

void gs_resume_end(gs_resume *r)
{
    for (int i = 0; i < r->n_records; i++) gs_record_release(&r->record[i]);
    gs_free(r->record);
    gs_journal_close(&r->journal);
    *r = (gs_resume){.journal = {.fd = -1}};
}
