/* Growing byte strings. SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_CAP = 32 };

void gs_str_init(gs_str *s)
{
    s->data = gs_alloc(FIRST_CAP);
    s->len = 0;
    s->cap = FIRST_CAP;
}

void gs_str_release(gs_str *s)
{
    gs_free(s->data);
    *s = (gs_str){0};
}

void gs_str_clear(gs_str *s)
{
    s->len = 0;
    s->data[0] = '\0';
}

/* Room for n more bytes and the NUL. An impossible size ends the program in gs_realloc_array. */
static void reserve(gs_str *s, size_t n)
{
    size_t need, doubled;
    if (!gs_add_size(s->len, n, &need) || !gs_add_size(need, 1, &need)) need = SIZE_MAX;
    if (need <= s->cap) return;
    if (!gs_mul_size(s->cap, 2, &doubled)) doubled = need;
    s->cap = doubled > need ? doubled : need;
    s->data = gs_realloc_array(s->data, s->cap, 1);
}

void gs_str_add(gs_str *s, const char *bytes, size_t n)
{
    if (n == 0) return;
    reserve(s, n);
    memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void gs_str_adds(gs_str *s, const char *text) { gs_str_add(s, text, strlen(text)); }

void gs_str_addc(gs_str *s, char c) { gs_str_add(s, &c, 1); }

void gs_str_printf(gs_str *s, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const size_t room = s->cap - s->len;
    const int n = vsnprintf(s->data + s->len, room, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n >= room) {
        reserve(s, (size_t)n);
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0) s->len += (size_t)n;
    s->data[s->len] = '\0';
}

char *gs_str_take(gs_str *s)
{
    char *bytes = s->data;
    gs_str_init(s);
    return bytes;
}
