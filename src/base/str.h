/* A growing byte string. `data` is never NULL after gs_str_init and always NUL-terminated; `len` excludes the NUL, and
 * the content may hold NUL bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_STR_H
#define GS_BASE_STR_H

#include "base/status.h"

typedef struct gs_str {
    char *data;
    size_t len, cap;
} gs_str;

void gs_str_init(gs_str *s);
void gs_str_release(gs_str *s);
void gs_str_clear(gs_str *s);
void gs_str_add(gs_str *s, const char *bytes, size_t n);
void gs_str_adds(gs_str *s, const char *text);
void gs_str_addc(gs_str *s, char c);
void gs_str_printf(gs_str *s, const char *fmt, ...) GS_PRINTF(2, 3);
char *gs_str_take(gs_str *s); /* the bytes, caller gs_free()s; s is empty again */

/* Length of valid UTF-8 from the start (== n when all is valid: no overlong forms, surrogates, > U+10FFFF). */
size_t gs_utf8_valid(const char *s, size_t n);
/* Decode one code point at s[0..n), n > 0, valid UTF-8 assumed; *used = its bytes. */
uint32_t gs_utf8_get(const char *s, size_t n, size_t *used);
size_t gs_utf8_put(uint32_t cp, char out[4]);

/* Make text from a file safe for one line of a message: control characters and bad bytes become '?', cut to max bytes
 * with "…". Returns s's data via the caller's buffer. */
const char *gs_printable(const char *s, size_t n, char *buf, size_t buf_bytes);
/* The same in place and without a limit, but for the control characters in `keep`. Returns the length, which never grows. */
size_t gs_make_printable(char *text, size_t n, const char *keep);
bool gs_is_printable(const char *s, size_t n); /* nothing would be replaced */

#endif
