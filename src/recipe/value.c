/* Words into values, with the rules of Python's int(), float() and the script's True/False, and argparse's wording.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipe/value.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field_of(void *object, const gs_option *o) { return (char *)object + o->field; }

const char *gs_python_repr(const char *s, char *buf, size_t bytes)
{
    const char quote = strchr(s, '\'') != NULL && strchr(s, '"') == NULL ? '"' : '\'';
    const size_t n = strlen(s);
    size_t at = 0;
    buf[at++] = quote;
    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)s[i];
        size_t used = 1;
        char piece[8];
        if (c == (unsigned char)quote || c == '\\') {
            snprintf(piece, sizeof piece, "\\%c", c);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            snprintf(piece, sizeof piece, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(piece, sizeof piece, "\\x%02x", c);
        } else if (c < 0x80) {
            snprintf(piece, sizeof piece, "%c", c);
        } else {
            used = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (used > n - i || gs_utf8_valid(s + i, used) != used) {
                used = 1;
                snprintf(piece, sizeof piece, "\\x%02x", c);
            } else {
                memcpy(piece, s + i, used);
                piece[used] = '\0';
            }
        }
        const size_t length = strlen(piece);
        if (at + length + 5 >= bytes) {
            memcpy(buf + at, "...", 3);
            at += 3;
            break;
        }
        memcpy(buf + at, piece, length);
        at += length;
        i += used;
    }
    buf[at++] = quote;
    buf[at] = '\0';
    return buf;
}

static gs_status invalid(const gs_option *o, const char *type, const char *word, gs_error *err)
{
    char quoted[200];
    return gs_fail(err, GS_ERR_USAGE, "argument --%s: invalid %s value: %s", o->name, type,
                   gs_python_repr(word, quoted, sizeof quoted));
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Python's number literals in a string: blanks around it are ignored, one '_' may stand between digits. Copies the plain
 * digits to buf; false if it does not fit or has a misplaced '_'. */
static bool number_text(const char *word, char *buf, size_t bytes)
{
    while (is_space(*word)) word++;
    size_t n = strlen(word), at = 0;
    while (n > 0 && is_space(word[n - 1])) n--;
    if (n == 0) return false;
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '_') {
            if (i == 0 || i + 1 == n || !is_digit(word[i - 1]) || !is_digit(word[i + 1])) return false;
            continue;
        }
        if (at + 1 >= bytes) return false;
        buf[at++] = word[i];
    }
    buf[at] = '\0';
    return true;
}

static gs_status read_int(const gs_option *o, const char *word, int64_t min, int64_t max, int64_t *out, gs_error *err)
{
    char text[64];
    if (!number_text(word, text, sizeof text)) return invalid(o, "int", word, err);
    const char *p = text;
    if (*p == '+' || *p == '-') p++;
    if (*p == '\0') return invalid(o, "int", word, err);
    for (; *p != '\0'; p++)
        if (!is_digit(*p)) return invalid(o, "int", word, err);
    errno = 0;
    const long long v = strtoll(text, NULL, 10);
    if (errno != 0 || v < min || v > max)
        return gs_fail(err, GS_ERR_USAGE, "argument --%s: %s is out of range", o->name, text);
    *out = v;
    return GS_OK;
}

static gs_status read_double(const gs_option *o, const char *word, double *out, gs_error *err)
{
    char text[128];
    if (!number_text(word, text, sizeof text)) return invalid(o, "float", word, err);
    if (strpbrk(text, "xXpP(") != NULL) return invalid(o, "float", word, err); /* strtod's forms that Python lacks */
    char *end;
    const double v = strtod(text, &end);
    if (end == text || *end != '\0') return invalid(o, "float", word, err);
    *out = v;
    return GS_OK;
}

static gs_status read_bool(const gs_option *o, const char *word, bool *out, gs_error *err)
{
    if (strcmp(word, "True") == 0)
        *out = true;
    else if (strcmp(word, "False") == 0)
        *out = false;
    else
        return invalid(o, "cmd_bool", word, err);
    return GS_OK;
}

/* `shown`: the value as Python would show it; choices of strings are quoted, of numbers not. */
static gs_status check_choice(const gs_option *o, const char *plain, const char *shown, gs_error *err)
{
    if (o->choices == NULL) return GS_OK;
    gs_str list;
    gs_str_init(&list);
    const char *quote = o->kind == GS_OPT_STRING ? "'" : "";
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], plain) == 0) {
            gs_str_release(&list);
            return GS_OK;
        }
        gs_str_printf(&list, "%s%s%s%s", i > 0 ? ", " : "", quote, o->choices[i], quote);
    }
    gs_fail(err, GS_ERR_USAGE, "argument --%s: invalid choice: %s (choose from %s)", o->name, shown, list.data);
    gs_str_release(&list);
    return GS_ERR_USAGE;
}

static gs_status set_int(void *object, const gs_option *o, const char *word, gs_error *err)
{
    const bool wide = o->kind == GS_OPT_INT64;
    int64_t v = 0;
    GS_TRY(read_int(o, word, wide ? INT64_MIN : INT_MIN, wide ? INT64_MAX : INT_MAX, &v, err));
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    GS_TRY(check_choice(o, text, text, err));
    if (wide)
        *(int64_t *)field_of(object, o) = v;
    else
        *(int *)field_of(object, o) = (int)v;
    return GS_OK;
}

gs_status gs_option_set(void *object, const gs_option *o, const char *word, gs_error *err)
{
    char quoted[200];
    switch (o->kind) {
    case GS_OPT_STRING:
        GS_TRY(check_choice(o, word, gs_python_repr(word, quoted, sizeof quoted), err));
        *(const char **)field_of(object, o) = word;
        return GS_OK;
    case GS_OPT_INT:
    case GS_OPT_INT64:
        return set_int(object, o, word, err);
    case GS_OPT_DOUBLE:
        return read_double(o, word, field_of(object, o), err);
    case GS_OPT_BOOL:
    case GS_OPT_FLAG:
        return read_bool(o, word, field_of(object, o), err);
    case GS_OPT_STRINGS:
    case GS_OPT_LINES:
        break;
    }
    return gs_fail(err, GS_ERR_USAGE, "argument --%s: is a list", o->name);
}
