/* See keeper.h. SPDX-License-Identifier: Apache-2.0 */
#include "job/keeper.h"

static gs_status keep_rows(const gs_keeper *k, const gs_keeper_task *t, gs_error *err)
{
    gs_stream *s = k->stream[t->stream];
    return gs_generations_write(&s->files, t->row0, t->rows, gs_stream_room(s, t->row0), err);
}

/* Streams are of no use any more behind the last block's last step. */
static gs_status sync_streams(const gs_keeper *k, gs_record *r, bool *made, gs_error *err)
{
    for (int i = 0; i < GS_STREAMS; i++) {
        gs_generations *g = &k->stream[i]->files;
        r->stream[i] = (gs_stream_state){.file = -1};
        if (!g->dir || r->ended) continue;
        GS_TRY(gs_generations_sync(g, &r->stream[i], err));
        *made = *made || g->made;
    }
    return GS_OK;
}

static gs_status keep_record(gs_keeper *k, gs_record *r, gs_error *err)
{
    bool made = !k->named;
    gs_str bytes;
    GS_TRY(sync_streams(k, r, &made, err));
    if (k->writer) GS_TRY(gs_writer_sync(k->writer, err));
    if (made) GS_TRY(gs_outdir_sync_names(k->resume->out, err));
    gs_str_init(&bytes);
    gs_record_write(r, &bytes);
    const gs_status status = gs_journal_append(&k->resume->journal, GS_FRAME_RECORD, bytes.data, bytes.len, err);
    gs_str_release(&bytes);
    if (status != GS_OK) return status;
    k->named = true;
    for (int i = 0; i < GS_STREAMS; i++) {
        gs_generations *g = &k->stream[i]->files;
        if (!g->dir || r->ended) continue;
        gs_generations_turn(g);
        g->made = false;
    }
    return GS_OK;
}

static void free_record(gs_record *r)
{
    if (!r) return;
    gs_record_release(r);
    gs_free(r);
}

static void keep_loop(void *ctx)
{
    gs_keeper *k = ctx;
    pthread_mutex_lock(&k->lock);
    for (;;) {
        while (!k->stop && k->count == 0) pthread_cond_wait(&k->changed, &k->lock);
        if (k->count == 0) break; /* stop, and nothing left */
        const gs_keeper_task t = k->task[k->first];
        if (k->status == GS_OK) {
            gs_error error = {0};
            pthread_mutex_unlock(&k->lock);
            const gs_status status = t.record ? keep_record(k, t.record, &error) : keep_rows(k, &t, &error);
            pthread_mutex_lock(&k->lock);
            if (status != GS_OK) {
                k->status = gs_wrap(&error, "what has been computed cannot be kept in the work folder");
                k->error = error;
            } else if (t.record) {
                k->resume->kept = true;
            }
        }
        free_record(t.record);
        k->first = (k->first + 1) % k->cap;
        k->count--;
        if (!t.record) k->rows_left--;
        pthread_cond_broadcast(&k->changed);
    }
    pthread_mutex_unlock(&k->lock);
}

gs_status gs_keeper_open(gs_keeper *k, gs_error *err)
{
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    k->open = true;
    return gs_thread_start(&k->thread, keep_loop, k, err);
}

/* The lock is held. */
static void add(gs_keeper *k, const gs_keeper_task *t)
{
    if (k->count == k->cap) {
        const int cap = k->cap > 0 ? 2 * k->cap : 64;
        gs_keeper_task *task = gs_alloc_array((size_t)cap, sizeof *task);
        for (int i = 0; i < k->count; i++) task[i] = k->task[(k->first + i) % k->cap];
        gs_free(k->task);
        k->task = task;
        k->cap = cap;
        k->first = 0;
    }
    k->task[(k->first + k->count++) % k->cap] = *t;
    if (!t->record) k->rows_left++;
    pthread_cond_broadcast(&k->changed);
}

void gs_keeper_rows(gs_keeper *k, int stream, int64_t row0, int64_t rows)
{
    if (rows == 0) return;
    pthread_mutex_lock(&k->lock);
    add(k, &(gs_keeper_task){.stream = stream, .row0 = row0, .rows = rows});
    pthread_mutex_unlock(&k->lock);
}

void gs_keeper_record(gs_keeper *k, gs_record *r)
{
    pthread_mutex_lock(&k->lock);
    add(k, &(gs_keeper_task){.record = r});
    pthread_mutex_unlock(&k->lock);
}

static gs_status wait_for(gs_keeper *k, const int *left, gs_error *err)
{
    if (!k->open) return GS_OK;
    pthread_mutex_lock(&k->lock);
    while (*left > 0) pthread_cond_wait(&k->changed, &k->lock);
    const gs_status status = k->status;
    if (status != GS_OK && err) *err = k->error;
    pthread_mutex_unlock(&k->lock);
    return status;
}

gs_status gs_keeper_wait_rows(gs_keeper *k, gs_error *err) { return wait_for(k, &k->rows_left, err); }
gs_status gs_keeper_wait(gs_keeper *k, gs_error *err) { return wait_for(k, &k->count, err); }

void gs_keeper_close(gs_keeper *k)
{
    if (k->open) {
        pthread_mutex_lock(&k->lock);
        k->stop = true;
        pthread_cond_broadcast(&k->changed);
        pthread_mutex_unlock(&k->lock);
        gs_thread_join(k->thread);
        pthread_mutex_destroy(&k->lock);
        pthread_cond_destroy(&k->changed);
    }
    gs_free(k->task);
    *k = (gs_keeper){0};
}
