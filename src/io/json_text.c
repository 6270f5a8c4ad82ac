/* JSON strings and numbers as text: Python's escapes, Python's repr of floats, and strict decoding of string
 * literals. The shortest digits of a float are found by trying 1, 2, … 17 of them, each correctly rounded by the C
 * library, until they read back as the same value; a few microseconds, and no table-driven algorithm to trust.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"

static void add_unit(gs_str *to, unsigned unit) { gs_str_printf(to, "\\u%04x", unit); }

static void add_escaped(gs_str *to, uint32_t cp)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *found = cp != 0 && cp < 0x80 ? strchr(plain, (int)cp) : NULL;
    if (found != NULL) {
        gs_str_addc(to, '\\');
        gs_str_addc(to, letter[found - plain]);
    } else if (cp >= 0x20 && cp < 0x7f) {
        gs_str_addc(to, (char)cp);
    } else if (cp < 0x10000) {
        add_unit(to, cp);
    } else {
        add_unit(to, 0xd800 + ((cp - 0x10000) >> 10));
        add_unit(to, 0xdc00 + ((cp - 0x10000) & 0x3ff));
    }
}

void gs_json_add_string(gs_str *to, const char *s, size_t n)
{
    gs_str_addc(to, '"');
    for (size_t used; n > 0; s += used, n -= used) add_escaped(to, gs_utf8_get(s, n, &used));
    gs_str_addc(to, '"');
}

/* ---- floats */

/* v = 0.d1d2d3… * 10^point, d1 != 0; digits without trailing zeros. */
typedef struct decimal {
    char digits[24];
    int n, point;
} decimal;

static double decimal_value(const decimal *d, bool single)
{
    char text[48];
    snprintf(text, sizeof text, "%se%d", d->digits, d->point - d->n); /* no decimal point: the same in every locale */
    return single ? (double)strtof(text, NULL) : strtod(text, NULL);
}

static void round_to_digits(double magnitude, int n, decimal *d)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n - 1, magnitude);
    const char *exponent = strchr(text, 'e');
    d->n = 0;
    for (const char *p = text; p < exponent; p++)
        if (*p >= '0' && *p <= '9') d->digits[d->n++] = *p;
    d->digits[d->n] = '\0';
    d->point = (int)strtol(exponent + 1, NULL, 10) + 1;
}

/* The next larger decimal of as many digits. */
static void step_up(decimal *d)
{
    int i = d->n - 1;
    while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
    if (i >= 0) {
        d->digits[i]++;
    } else {
        d->digits[0] = '1';
        d->point++;
    }
}

/* At a power of two the values that round to v reach farther up than down: the decimal of n digits nearest to v
 * can miss while the next one above hits. Hence the second try. */
static void shortest(double magnitude, bool single, decimal *d)
{
    for (int n = 1; n <= 17; n++) {
        round_to_digits(magnitude, n, d);
        if (decimal_value(d, single) == magnitude) break;
        step_up(d);
        if (decimal_value(d, single) == magnitude) break;
    }
    while (d->n > 1 && d->digits[d->n - 1] == '0') d->digits[--d->n] = '\0';
}

static void add_fixed(const decimal *d, char *to, size_t room)
{
    if (d->point <= 0)
        snprintf(to, room, "0.%.*s%s", -d->point, "0000", d->digits);
    else if (d->point >= d->n)
        snprintf(to, room, "%.17s%.*s.0", d->digits, d->point - d->n, "0000000000000000");
    else
        snprintf(to, room, "%.*s.%s", d->point, d->digits, d->digits + d->point);
}

static void repr(double v, bool single, char out[32])
{
    if (!isfinite(v)) { /* as Python writes them; not JSON */
        snprintf(out, 32, "%s", isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    const char *sign = signbit(v) ? "-" : "";
    if (v == 0) {
        snprintf(out, 32, "%s0.0", sign);
        return;
    }
    decimal d;
    shortest(fabs(v), single, &d);
    const int exponent = d.point - 1;
    char body[48];
    if (exponent >= -4 && exponent < 16) {
        add_fixed(&d, body, sizeof body);
    } else {
        snprintf(body, sizeof body, "%.1s%s%.16se%c%02u", d.digits, d.n > 1 ? "." : "", d.digits + 1,
                 exponent < 0 ? '-' : '+', (unsigned)abs(exponent) % 1000u);
    }
    snprintf(out, 32, "%s%.30s", sign, body);
}

void gs_json_repr_double(double v, char out[32]) { repr(v, false, out); }

void gs_json_repr_float(float v, char out[32]) { repr((double)v, true, out); }

double gs_json_token_double(const char *token, size_t n)
{
    gs_str text;
    gs_str_init(&text);
    size_t i = 0;
    int64_t fraction = 0;
    bool after_point = false;
    for (; i < n && token[i] != 'e' && token[i] != 'E'; i++) {
        if (token[i] == '.') {
            after_point = true;
        } else {
            gs_str_addc(&text, token[i]);
            fraction += after_point ? 1 : 0;
        }
    }
    long long exponent = 0;
    if (i < n) {
        char *written = gs_strndup(token + i + 1, n - i - 1);
        exponent = strtoll(written, NULL, 10); /* saturates, which is far enough */
        gs_free(written);
    }
    if (exponent > 1000000000) exponent = 1000000000;
    if (exponent < -1000000000) exponent = -1000000000;
    gs_str_printf(&text, "e%lld", exponent - (long long)fraction);
    const double v = strtod(text.data, NULL);
    gs_str_release(&text);
    return v;
}

/* ---- string literals */

const char *gs_string_fault_text(gs_string_fault fault)
{
    switch (fault) {
    case GS_STRING_OPEN:
        return "a string without closing quote";
    case GS_STRING_CONTROL:
        return "a control character inside a string";
    case GS_STRING_ESCAPE:
        return "an invalid escape in a string";
    case GS_STRING_SURROGATE:
        return "half of a surrogate pair in a string";
    case GS_STRING_NUL:
        return "a NUL character in a string";
    default:
        return "no fault";
    }
}

static bool hex4(const char *s, size_t n, uint32_t *out)
{
    if (n < 4) return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            v = v * 16 + (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* s[0..n) follows "\u". */
static gs_string_fault decode_unicode(const char *s, size_t n, bool allow_nul, gs_str *out, size_t *used)
{
    uint32_t cp, low;
    if (!hex4(s, n, &cp)) return GS_STRING_ESCAPE;
    *used = 4;
    if (cp >= 0xd800 && cp < 0xe000) {
        if (cp >= 0xdc00 || n < 10 || s[4] != '\\' || s[5] != 'u' || !hex4(s + 6, n - 6, &low) || low < 0xdc00 ||
            low > 0xdfff)
            return GS_STRING_SURROGATE;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        *used = 10;
    }
    if (cp == 0 && !allow_nul) return GS_STRING_NUL;
    char bytes[4];
    gs_str_add(out, bytes, gs_utf8_put(cp, bytes));
    return GS_STRING_OK;
}

static gs_string_fault decode_escape(const char *s, size_t n, bool allow_nul, gs_str *out, size_t *used)
{
    static const char letter[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (n == 0) return GS_STRING_OPEN;
    if (s[0] == 'u') {
        const gs_string_fault fault = decode_unicode(s + 1, n - 1, allow_nul, out, used);
        ++*used;
        return fault;
    }
    const char *found = s[0] != '\0' ? strchr(letter, s[0]) : NULL;
    if (found == NULL) return GS_STRING_ESCAPE;
    gs_str_addc(out, meant[found - letter]);
    *used = 1;
    return GS_STRING_OK;
}

gs_string_fault gs_json_decode_string(const char *s, size_t n, bool allow_nul, gs_str *out, size_t *used)
{
    gs_str_clear(out);
    *used = 0;
    for (size_t i = 1; i < n;) {
        size_t run = i;
        while (run < n && (unsigned char)s[run] >= 0x20 && s[run] != '"' && s[run] != '\\') run++;
        gs_str_add(out, s + i, run - i);
        if (run == n) break;
        i = run + 1;
        if (s[run] == '"') {
            *used = i;
            return GS_STRING_OK;
        }
        if (s[run] != '\\') return GS_STRING_CONTROL;
        size_t length = 0;
        const gs_string_fault fault = decode_escape(s + i, n - i, allow_nul, out, &length);
        if (fault != GS_STRING_OK) return fault;
        i += length;
    }
    return GS_STRING_OPEN;
}
