/* Errors and the interrupt flag. An error is one text of bounded size; a text that is too long is cut at a character's
 * boundary, never in the middle of one. SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* gs_wrap() without a gs_error still has to return the status of the failure it wraps. */
static _Thread_local gs_status last_status = GS_OK;
static atomic_int interrupted;

/* Bytes of text[0..n) that remain when a UTF-8 character cut by the end is dropped. */
static size_t whole_characters(const char *text, size_t n)
{
    size_t start = n;
    while (start > 0 && n - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return n;
    const unsigned char lead = (unsigned char)text[start - 1];
    const size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return n - (start - 1) < want ? start - 1 : n;
}

/* vsnprintf that marks a cut with "…". Returns the bytes written. */
GS_PRINTF(3, 0) static size_t format_text(char *out, size_t bytes, const char *fmt, va_list args)
{
    static const char mark[] = "…";
    const int wanted = vsnprintf(out, bytes, fmt, args);
    if (wanted < 0) {
        out[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < bytes) return (size_t)wanted;
    const size_t keep = whole_characters(out, bytes - sizeof mark);
    memcpy(out + keep, mark, sizeof mark);
    return keep + sizeof mark - 1;
}

static gs_status set_error(gs_error *err, gs_status status, int code, const char *text)
{
    last_status = status;
    if (err) {
        err->status = status;
        err->code = code;
        snprintf(err->text, sizeof err->text, "%s", text[0] ? text : "failed without a message");
        /* Paths and words of a command line are quoted as they are. A message is one line. */
        gs_make_printable(err->text, strlen(err->text), "");
    }
    return status;
}

gs_status gs_fail(gs_error *err, gs_status status, const char *fmt, ...)
{
    char text[sizeof err->text]; /* arguments may point into err->text */
    va_list args;
    va_start(args, fmt);
    format_text(text, sizeof text, fmt, args);
    va_end(args);
    return set_error(err, status, 0, text);
}

gs_status gs_fail_errno(gs_error *err, int code, const char *fmt, ...)
{
    char text[sizeof err->text];
    char reason_buf[128];
    const char *reason = strerror_r(code, reason_buf, sizeof reason_buf);
    const size_t room = strnlen(reason, sizeof reason_buf) + 2;
    va_list args;
    va_start(args, fmt);
    const size_t n = format_text(text, sizeof text - room, fmt, args);
    va_end(args);
    snprintf(text + n, sizeof text - n, "%s%s", n ? ": " : "", reason);
    return set_error(err, GS_ERR_IO, code, text);
}

gs_status gs_wrap(gs_error *err, const char *fmt, ...)
{
    if (!err) return last_status;
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    /* Context never pushes out the cause: it gets at most half of the room. */
    const size_t n = format_text(text, sizeof text / 2, fmt, args);
    va_end(args);
    const size_t held = strnlen(err->text, sizeof err->text - 1);
    const size_t room = sizeof text - n - 3;
    const size_t keep = held <= room ? held : whole_characters(err->text, room);
    memcpy(text + n, ": ", 2);
    memcpy(text + n + 2, err->text, keep);
    text[n + 2 + keep] = '\0';
    return set_error(err, err->status, err->code, text);
}

void gs_interrupt(void) { atomic_store_explicit(&interrupted, 1, memory_order_relaxed); }

void gs_clear_interrupt(void) { atomic_store_explicit(&interrupted, 0, memory_order_relaxed); }

gs_status gs_check_interrupt(gs_error *err)
{
    if (!atomic_load_explicit(&interrupted, memory_order_relaxed)) return GS_OK;
    return gs_fail(err, GS_ERR_INTERRUPTED, "interrupted; nothing was written");
}
