/* Arena: blocks of memory handed out front to back and freed together. Requests that would not fit a fresh block get
 * one of their own. SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ALIGN = 16, BLOCK_BYTES = 64 * 1024 };

typedef struct block {
    struct block *next;
    size_t used, bytes;
    _Alignas(ALIGN) char data[];
} block;

struct gs_arena {
    block *first; /* the one being filled; full ones behind it */
};

gs_arena *gs_arena_create(void) { return gs_alloc(sizeof(gs_arena)); }

static block *block_create(size_t bytes)
{
    size_t whole;
    if (!gs_add_size(bytes, sizeof(block), &whole)) whole = SIZE_MAX; /* gs_alloc ends the program */
    block *b = gs_alloc(whole);
    b->bytes = bytes;
    return b;
}

void *gs_arena_alloc(gs_arena *a, size_t bytes)
{
    size_t padded;
    if (!gs_add_size(bytes, ALIGN - 1, &padded)) return gs_alloc(SIZE_MAX); /* ends the program */
    padded = bytes ? padded / ALIGN * ALIGN : ALIGN;
    if (a->first && a->first->bytes - a->first->used >= padded) {
        void *p = a->first->data + a->first->used;
        a->first->used += padded;
        return p;
    }
    block *b = block_create(padded > BLOCK_BYTES / 4 ? padded : BLOCK_BYTES);
    b->used = padded;
    /* A block made for one large request is full: it goes behind the one still being filled. */
    if (a->first && b->used == b->bytes) {
        b->next = a->first->next;
        a->first->next = b;
    } else {
        b->next = a->first;
        a->first = b;
    }
    return b->data;
}

char *gs_arena_strdup(gs_arena *a, const char *s)
{
    const size_t bytes = strlen(s) + 1;
    return memcpy(gs_arena_alloc(a, bytes), s, bytes);
}

char *gs_arena_printf(gs_arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    const size_t bytes = n < 0 ? 1 : (size_t)n + 1;
    char *text = gs_arena_alloc(a, bytes);
    if (n > 0) vsnprintf(text, bytes, fmt, again);
    va_end(again);
    return text;
}

void gs_arena_free(gs_arena *a)
{
    if (!a) return;
    for (block *b = a->first, *next; b; b = next) {
        next = b->next;
        gs_free(b);
    }
    gs_free(a);
}
