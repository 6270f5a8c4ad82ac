/* See behind.h. One producer (the walk) and one consumer; slots are a ring. SPDX-License-Identifier: Apache-2.0 */
#include "job/behind.h"

static void write_loop(void *ctx)
{
    gs_behind *b = ctx;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        gs_behind_slot *s = &b->slot[b->next_write];
        while (!b->stop && s->bytes == 0) pthread_cond_wait(&b->changed, &b->lock);
        if (s->bytes == 0) break; /* stop, and nothing left */
        if (b->status == GS_OK) {
            gs_error error = {0};
            pthread_mutex_unlock(&b->lock);
            const gs_status status = gs_writer_put(b->writer, s->index, s->offset, s->data, s->bytes, &error);
            pthread_mutex_lock(&b->lock);
            if (status != GS_OK) {
                b->status = status;
                b->error = error;
            }
        }
        s->bytes = 0;
        b->next_write = (b->next_write + 1) % GS_BEHIND_SLOTS;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
}

size_t gs_behind_bytes(size_t slot_bytes) { return slot_bytes + gs_direct_unit(); }

gs_status gs_behind_open(gs_behind *b, gs_writer *writer, size_t slot_bytes, gs_error *err)
{
    *b = (gs_behind){.writer = writer};
    for (int i = 0; i < GS_BEHIND_SLOTS; i++) {
        const gs_status status =
            gs_buf_alloc(&b->slot[i].buf, gs_behind_bytes(slot_bytes), "output waiting to be written", err);
        if (status != GS_OK) {
            gs_behind_close(b);
            return status;
        }
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->open = true;
    const gs_status status = gs_thread_start(&b->thread, write_loop, b, err);
    if (status != GS_OK) gs_behind_close(b);
    return status;
}

gs_status gs_behind_acquire(gs_behind *b, int64_t index, uint64_t offset, void **room, gs_error *err)
{
    pthread_mutex_lock(&b->lock);
    gs_behind_slot *s = &b->slot[b->next_fill];
    while (b->status == GS_OK && s->bytes != 0) pthread_cond_wait(&b->changed, &b->lock);
    const gs_status status = b->status;
    if (status != GS_OK && err) *err = b->error;
    pthread_mutex_unlock(&b->lock);
    if (status != GS_OK) return status;
    s->index = index;
    s->offset = offset;
    *room = s->data = (char *)s->buf.data + (b->writer ? gs_writer_lead(b->writer, index, offset) : 0);
    return GS_OK;
}

void gs_behind_submit(gs_behind *b, size_t n)
{
    if (n == 0 || !b->writer) return;
    pthread_mutex_lock(&b->lock);
    gs_behind_slot *s = &b->slot[b->next_fill];
    s->bytes = n;
    b->next_fill = (b->next_fill + 1) % GS_BEHIND_SLOTS;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

gs_status gs_behind_wait(gs_behind *b, gs_error *err)
{
    if (!b->open) return GS_OK;
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < GS_BEHIND_SLOTS; i++)
        while (b->slot[i].bytes != 0) pthread_cond_wait(&b->changed, &b->lock);
    const gs_status status = b->status;
    if (status != GS_OK && err) *err = b->error;
    pthread_mutex_unlock(&b->lock);
    return status;
}

void gs_behind_close(gs_behind *b)
{
    if (b->open) {
        pthread_mutex_lock(&b->lock);
        b->stop = true;
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
        gs_thread_join(b->thread);
        pthread_mutex_destroy(&b->lock);
        pthread_cond_destroy(&b->changed);
    }
    for (int i = 0; i < GS_BEHIND_SLOTS; i++) gs_buf_release(&b->slot[i].buf);
    *b = (gs_behind){0};
}
