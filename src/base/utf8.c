/* UTF-8 (RFC 3629): validity, one code point at a time, and text made safe to print.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"

/* Bytes of the well-formed sequence at s[0..n), n > 0; 0 if there is none. */
static size_t sequence_bytes(const unsigned char *s, size_t n)
{
    const unsigned char lead = s[0];
    if (lead < 0x80) return 1;
    size_t want;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    if (lead >= 0xC2 && lead <= 0xDF) {
        want = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        want = 3;
        if (lead == 0xE0) low = 0xA0;  /* shorter forms exist */
        if (lead == 0xED) high = 0x9F; /* surrogates */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        want = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F; /* beyond U+10FFFF */
    } else {
        return 0;
    }
    if (n < want || s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < want; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return want;
}

size_t gs_utf8_valid(const char *s, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const size_t used = sequence_bytes((const unsigned char *)s + at, n - at);
        if (used == 0) break;
        at += used;
    }
    return at;
}

uint32_t gs_utf8_get(const char *s, size_t n, size_t *used)
{
    const unsigned char *const u = (const unsigned char *)s;
    const size_t bytes = sequence_bytes(u, n);
    *used = bytes ? bytes : 1;
    switch (bytes) {
    case 1:
        return u[0];
    case 2:
        return (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    case 3:
        return (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    case 4:
        return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 | (uint32_t)(u[2] & 0x3F) << 6 |
               (u[3] & 0x3F);
    default:
        return 0xFFFD;
    }
}

size_t gs_utf8_put(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    const size_t bytes = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[bytes] | cp);
    return bytes;
}

/* Control characters, line separators, and marks that reorder or hide the text around them. */
static bool is_unprintable(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp <= 0x9F) || cp == 0x2028 || cp == 0x2029 || (cp >= 0x202A && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200E || cp == 0x200F || cp == 0xFEFF;
}

/* Is there a character at s[0..n) that can be shown? *used = its bytes. */
static bool shows(const char *s, size_t n, size_t *used)
{
    const uint32_t cp = gs_utf8_get(s, n, used);
    return sequence_bytes((const unsigned char *)s, n) != 0 && !is_unprintable(cp);
}

bool gs_is_printable(const char *s, size_t n)
{
    size_t used;
    for (size_t at = 0; at < n; at += used)
        if (!shows(s + at, n - at, &used)) return false;
    return true;
}

size_t gs_make_printable(char *text, size_t n, const char *keep)
{
    size_t out = 0, used;
    for (size_t at = 0; at < n; at += used) {
        if (shows(text + at, n - at, &used) || (text[at] != '\0' && strchr(keep, text[at]) != NULL)) {
            memmove(text + out, text + at, used);
            out += used;
        } else {
            text[out++] = '?';
        }
    }
    text[out] = '\0';
    return out;
}

const char *gs_printable(const char *s, size_t n, char *buf, size_t buf_bytes)
{
    static const char mark[] = "…";
    const size_t mark_bytes = sizeof mark - 1;
    if (buf_bytes == 0) return "";
    size_t out = 0, cut = 0; /* cut: the last end of a character that leaves room for the mark */
    for (size_t at = 0; at < n;) {
        size_t used;
        const bool replace = !shows(s + at, n - at, &used);
        const size_t bytes = replace ? 1 : used;
        if (out + bytes > buf_bytes - 1) {
            const bool fits = buf_bytes - 1 >= mark_bytes;
            if (fits) memcpy(buf + cut, mark, mark_bytes);
            out = fits ? cut + mark_bytes : out;
            break;
        }
        if (replace)
            buf[out] = '?';
        else
            memcpy(buf + out, s + at, used);
        out += bytes;
        at += used;
        if (out + mark_bytes <= buf_bytes - 1) cut = out;
    }
    buf[out] = '\0';
    return buf;
}
