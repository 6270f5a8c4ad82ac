/* Byte-pair encoding as tiktoken does it: a piece that is a token is that token; otherwise start from single bytes and
 * merge, again and again, the neighbours whose concatenation has the lowest rank (the leftmost of equals), until no
 * concatenation is a token. Short pieces look at all neighbours each time; long ones keep them in a heap, so that a
 * megabyte of one letter takes n log n steps. Both give the same ids. SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"

#include <string.h>

enum { SHORT_PIECE = 64, MERGES_AT_ONCE = 1 << 16 }; /* between two looks for an interrupt */

void gs_bpe_release(gs_bpe *b)
{
    gs_free(b->next);
    gs_free(b->prev);
    gs_free(b->rank);
    gs_free(b->heap);
    *b = (gs_bpe){0};
}

static void encode_short(const gs_vocab *v, const char *piece, size_t n, gs_ids *out)
{
    uint8_t start[SHORT_PIECE + 1]; /* parts are [start[i], start[i+1]) */
    int32_t rank[SHORT_PIECE];      /* of parts i and i+1 together */
    size_t parts = n;
    for (size_t i = 0; i <= n; i++) start[i] = (uint8_t)i;
    for (size_t i = 0; i + 1 < n; i++) rank[i] = gs_vocab_find(v, piece + i, 2);
    for (;;) {
        size_t best = parts;
        for (size_t i = 0; i + 1 < parts; i++) {
            if (rank[i] >= 0 && (best == parts || rank[i] < rank[best])) best = i;
        }
        if (best == parts) break;
        memmove(start + best + 1, start + best + 2, parts - best - 1);
        memmove(rank + best, rank + best + 1, (parts - best - 2) * sizeof *rank);
        parts--;
        if (best + 1 < parts) rank[best] = gs_vocab_find(v, piece + start[best], (size_t)start[best + 2] - start[best]);
        if (best > 0)
            rank[best - 1] = gs_vocab_find(v, piece + start[best - 1], (size_t)start[best + 1] - start[best - 1]);
    }
    for (size_t i = 0; i < parts; i++)
        gs_ids_add(out, gs_vocab_find(v, piece + start[i], (size_t)start[i + 1] - start[i]));
}

/* The heap's order is (rank, position): both in one number. */
static uint64_t heap_key(int32_t rank, int32_t at) { return (uint64_t)(uint32_t)rank << 32 | (uint32_t)at; }

static void heap_push(gs_bpe *b, uint64_t key)
{
    if (b->heap_count == b->heap_cap) {
        b->heap_cap = b->heap_cap ? b->heap_cap * 2 : 256;
        b->heap = gs_realloc_array(b->heap, b->heap_cap, sizeof *b->heap);
    }
    size_t at = b->heap_count++;
    for (; at > 0 && b->heap[(at - 1) / 2] > key; at = (at - 1) / 2) b->heap[at] = b->heap[(at - 1) / 2];
    b->heap[at] = key;
}

static uint64_t heap_pop(gs_bpe *b)
{
    const uint64_t top = b->heap[0], key = b->heap[--b->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < b->heap_count; at = child) {
        if (child + 1 < b->heap_count && b->heap[child + 1] < b->heap[child]) child++;
        if (b->heap[child] >= key) break;
        b->heap[at] = b->heap[child];
    }
    b->heap[at] = key;
    return top;
}

static void reserve(gs_bpe *b, size_t n)
{
    if (n <= b->cap) return;
    b->cap = n;
    b->next = gs_realloc_array(b->next, n, sizeof *b->next);
    b->prev = gs_realloc_array(b->prev, n, sizeof *b->prev);
    b->rank = gs_realloc_array(b->rank, n, sizeof *b->rank);
}

/* A piece of n bytes as a linked list of parts, each known by its first byte; next == n ends it, prev == -1 begins it.
 */
typedef struct parts {
    gs_bpe *b;
    const gs_vocab *v;
    const char *piece;
    int32_t n;
} parts;

/* What part `at` and its right neighbour are together. */
static void rate_pair(const parts *p, int32_t at)
{
    gs_bpe *const b = p->b;
    const int32_t right = b->next[at];
    b->rank[at] = right < p->n ? gs_vocab_find(p->v, p->piece + at, (size_t)(b->next[right] - at)) : -1;
    if (b->rank[at] >= 0) heap_push(b, heap_key(b->rank[at], at));
}

static gs_status encode_long(gs_bpe *b, const gs_vocab *v, const char *piece, int32_t n, gs_ids *out, gs_error *err)
{
    const parts p = {b, v, piece, n};
    reserve(b, (size_t)n);
    b->heap_count = 0;
    for (int32_t i = 0; i < n; i++) {
        b->prev[i] = i - 1;
        b->next[i] = i + 1;
    }
    for (int32_t i = 0; i < n; i++) rate_pair(&p, i);
    for (int64_t step = 1; b->heap_count > 0; step++) {
        if (step % MERGES_AT_ONCE == 0) GS_TRY(gs_check_interrupt(err));
        const uint64_t key = heap_pop(b);
        const int32_t at = (int32_t)(key & UINT32_MAX);
        /* Entries of parts that have changed since stay behind. A part's pair only grows, so its rank tells. */
        if (b->rank[at] != (int32_t)(key >> 32)) continue;
        const int32_t gone = b->next[at];
        b->rank[gone] = -1;
        b->next[at] = b->next[gone];
        if (b->next[at] < n) b->prev[b->next[at]] = at;
        rate_pair(&p, at);
        if (b->prev[at] >= 0) rate_pair(&p, b->prev[at]);
    }
    for (int32_t i = 0; i < n; i = b->next[i]) gs_ids_add(out, gs_vocab_find(v, piece + i, (size_t)(b->next[i] - i)));
    return GS_OK;
}

gs_status gs_bpe_encode(gs_bpe *b, const gs_vocab *v, const char *piece, size_t n, gs_ids *out, gs_error *err)
{
    const int32_t whole = gs_vocab_find(v, piece, n);
    if (whole >= 0)
        gs_ids_add(out, whole);
    else if (n <= SHORT_PIECE)
        encode_short(v, piece, n, out);
    else
        return encode_long(b, v, piece, (int32_t)n, out, err);
    return GS_OK;
}
