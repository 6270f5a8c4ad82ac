/* Small allocations: they succeed or the program ends with a message and the exit code for memory: nothing sensible can go on, but
 * whoever waits for the program learns why it ended. SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_abort(void *p, size_t count, size_t size)
{
    if (p) return p;
    fprintf(stderr, "glmslim: error: out of memory (%zu x %zu bytes for a table); free memory, then run again\n", count,
            size);
    _exit(GS_ERR_MEMORY); /* not exit(): what runs at exit may want memory too */
}

bool gs_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

bool gs_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

/* count * size, at least 1; what no object can have is refused here, not left to the allocator. */
static size_t object_bytes(size_t count, size_t size)
{
    size_t bytes;
    if (!gs_mul_size(count, size, &bytes) || bytes > PTRDIFF_MAX) or_abort(NULL, count, size);
    return bytes ? bytes : 1;
}

void *gs_alloc(size_t bytes) { return or_abort(calloc(1, object_bytes(1, bytes)), 1, bytes); }

void *gs_alloc_array(size_t count, size_t size) { return or_abort(calloc(1, object_bytes(count, size)), count, size); }

void *gs_realloc_array(void *p, size_t count, size_t size)
{
    return or_abort(realloc(p, object_bytes(count, size)), count, size);
}

char *gs_strndup(const char *s, size_t n)
{
    const size_t len = strnlen(s, n);
    char *copy = gs_alloc(len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *gs_strdup(const char *s)
{
    const size_t bytes = strlen(s) + 1;
    return memcpy(gs_alloc(bytes), s, bytes);
}

void gs_free(void *p) { free(p); }
