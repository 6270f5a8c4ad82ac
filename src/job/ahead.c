/* See ahead.h. One reader and one consumer; slots are a ring. An error is kept until the consumer comes to the chunk it belongs to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/ahead.h"

#include <assert.h>

static size_t chunk_bytes(const gs_ahead_chunk *c) { return (size_t)c->n * gs_dtype_bytes(c->tensor->dtype); }

void gs_ahead_add(gs_ahead *a, const gs_tensor *t, int64_t step)
{
    for (int64_t first = 0; first < t->elements; first += step) {
        if (a->n_chunks == a->cap) {
            a->cap = a->cap > 0 ? 2 * a->cap : 64;
            a->chunk = gs_realloc_array(a->chunk, (size_t)a->cap, sizeof *a->chunk);
        }
        const int64_t n = t->elements - first < step ? t->elements - first : step;
        a->chunk[a->n_chunks++] = (gs_ahead_chunk){t, first, n};
    }
}

static size_t slot_bytes(const gs_ahead *a, int slot)
{
    size_t most = 0;
    for (int64_t i = slot; i < a->n_chunks; i += GS_AHEAD_SLOTS)
        if (chunk_bytes(&a->chunk[i]) > most) most = chunk_bytes(&a->chunk[i]);
    return gs_direct_room(most);
}

uint64_t gs_ahead_bytes(const gs_ahead *a)
{
    uint64_t sum = 0;
    for (int i = 0; i < GS_AHEAD_SLOTS && i < a->n_chunks; i++) sum += slot_bytes(a, i);
    return sum;
}

static gs_status read_chunk(gs_ahead *a, const gs_ahead_chunk *c, gs_ahead_slot *s, gs_error *err)
{
    const uint64_t offset = (uint64_t)c->first * gs_dtype_bytes(c->tensor->dtype);
    return gs_checkpoint_read_direct(a->checkpoint, &a->reader, c->tensor, offset, chunk_bytes(c), s->buf.data,
                                     &s->data, err);
}

static void read_loop(void *ctx)
{
    gs_ahead *a = ctx;
    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->next_read < a->n_chunks) {
        gs_ahead_slot *s = &a->slot[a->next_read % GS_AHEAD_SLOTS];
        if (s->full) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        gs_error error = {0};
        const gs_status status = read_chunk(a, &a->chunk[a->next_read], s, &error);
        pthread_mutex_lock(&a->lock);
        a->status = status;
        a->error = error;
        if (status != GS_OK) break;
        s->full = true;
        a->next_read++;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

gs_status gs_ahead_open(gs_ahead *a, const gs_checkpoint *checkpoint, gs_error *err)
{
    a->checkpoint = checkpoint;
    for (int i = 0; i < GS_AHEAD_SLOTS && i < a->n_chunks; i++)
        GS_TRY(gs_buf_alloc(&a->slot[i].buf, slot_bytes(a, i), "weights being read", err));
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->open = true;
    return gs_thread_start(&a->thread, read_loop, a, err);
}

gs_status gs_ahead_take(gs_ahead *a, const gs_tensor *t, int64_t first, int64_t n, const void **data, gs_error *err)
{
    const int64_t i = a->next_take;
    assert(i < a->n_chunks && a->chunk[i].tensor == t && a->chunk[i].first == first && a->chunk[i].n == n);
    (void)t, (void)first, (void)n;
    pthread_mutex_lock(&a->lock);
    if (i > 0) a->slot[(i - 1) % GS_AHEAD_SLOTS].full = false;
    pthread_cond_broadcast(&a->changed);
    while (a->next_read <= i && a->status == GS_OK) pthread_cond_wait(&a->changed, &a->lock);
    const gs_status status = a->next_read > i ? GS_OK : a->status;
    if (status != GS_OK && err) *err = a->error;
    pthread_mutex_unlock(&a->lock);
    a->next_take = i + 1;
    *data = a->slot[i % GS_AHEAD_SLOTS].data;
    return status;
}

void gs_ahead_close(gs_ahead *a)
{
    if (a->open) {
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        gs_thread_join(a->thread);
        pthread_mutex_destroy(&a->lock);
        pthread_cond_destroy(&a->changed);
    }
    for (int i = 0; i < GS_AHEAD_SLOTS; i++) gs_buf_release(&a->slot[i].buf);
    gs_direct_close(&a->reader);
    gs_free(a->chunk);
    *a = (gs_ahead){0};
}
