/* See wire.h. Numbers are as the machine holds them: a journal does not leave its machine. SPDX-License-Identifier: Apache-2.0 */
#include "io/wire.h"

#include <limits.h>
#include <string.h>

static void raw(gs_wire *w, void *v, size_t n)
{
    if (w->out) {
        gs_str_add(w->out, v, n);
        return;
    }
    if (w->bad || (size_t)(w->end - w->at) < n) {
        w->bad = true;
        memset(v, 0, n);
        return;
    }
    memcpy(v, w->at, n);
    w->at += n;
}

void gs_wire_bool(gs_wire *w, bool *v)
{
    unsigned char byte = *v ? 1 : 0;
    raw(w, &byte, 1);
    if (byte > 1) w->bad = true;
    *v = byte == 1;
}

void gs_wire_int(gs_wire *w, int *v)
{
    int64_t wide = *v;
    gs_wire_i64(w, &wide);
    if (wide < INT_MIN || wide > INT_MAX) w->bad = true;
    *v = w->bad ? 0 : (int)wide;
}

void gs_wire_i64(gs_wire *w, int64_t *v) { raw(w, v, sizeof *v); }
void gs_wire_u64(gs_wire *w, uint64_t *v) { raw(w, v, sizeof *v); }
void gs_wire_f32(gs_wire *w, float *v) { raw(w, v, sizeof *v); }
void gs_wire_f64(gs_wire *w, double *v) { raw(w, v, sizeof *v); }

/* A length of which the rest can hold `least` bytes each; 0 if not. */
static uint64_t length(gs_wire *w, uint64_t n, size_t least)
{
    gs_wire_u64(w, &n);
    if (w->out || n == 0) return n;
    if (!w->bad && n <= (uint64_t)(w->end - w->at) / least) return n;
    w->bad = true;
    return 0;
}

void gs_wire_text(gs_wire *w, char **v)
{
    bool there = *v != NULL;
    if (!w->out) *v = NULL;
    gs_wire_bool(w, &there);
    if (!there) return;
    const size_t n = (size_t)length(w, w->out ? strlen(*v) : 0, 1);
    if (!w->out) *v = gs_alloc(n + 1);
    if (n > 0) raw(w, *v, n);
    if (!w->out && strlen(*v) != n) w->bad = true;
}

void gs_wire_floats(gs_wire *w, float **v, int64_t *n)
{
    const size_t count = (size_t)length(w, w->out && *v ? (uint64_t)*n : 0, sizeof **v);
    if (!w->out) {
        *n = (int64_t)count;
        *v = count > 0 ? gs_alloc_array(count, sizeof **v) : NULL;
    }
    if (count > 0) raw(w, *v, count * sizeof **v);
}

void *gs_wire_list(gs_wire *w, void *list, int *n, size_t size, size_t least)
{
    uint64_t count = length(w, (uint64_t)*n, least);
    if (w->out) return list;
    if (count > INT_MAX) {
        w->bad = true;
        count = 0;
    }
    *n = (int)count;
    return count > 0 ? gs_alloc_array((size_t)count, size) : NULL;
}
