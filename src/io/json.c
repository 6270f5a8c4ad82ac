/* Reading JSON: a scan of our own for what jansson does not promise (encoding, nesting, numbers beyond 64 bits),
 * then jansson with duplicate keys rejected. The scan needs no grammar: outside strings only brackets, digits and
 * quotes matter to it, and whatever is malformed is refused by jansson afterwards.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/json.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

typedef struct place {
    int line, column;
} place;

static place find_place(const char *text, size_t at)
{
    place p = {1, 1};
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            p.line++;
            p.column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            p.column++;
        }
    }
    return p;
}

static gs_status fail_at(const char *text, size_t at, const char *label, const char *what, gs_error *err)
{
    const place p = find_place(text, at);
    return gs_fail(err, GS_ERR_FILE, "%s: line %d, column %d: %s", label, p.line, p.column, what);
}

static gs_status check_encoding(const char *text, size_t n, const char *label, gs_error *err)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return gs_fail(err, GS_ERR_FILE, "%s begins with a byte order mark: save it as UTF-8 without one", label);
    if (n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return gs_fail(err, GS_ERR_FILE, "%s is UTF-16: save it as UTF-8", label);
    const size_t valid = gs_utf8_valid(text, n);
    if (valid < n) return fail_at(text, valid, label, "not valid UTF-8: save the file as UTF-8", err);
    const char *nul = memchr(text, '\0', n);
    if (nul != NULL)
        return fail_at(text, (size_t)(nul - text), label, "a NUL byte: the file is damaged or not JSON", err);
    return GS_OK;
}

/* Position after the string that begins at text[at] == '"', or n when it does not end. */
static size_t skip_string(const char *text, size_t n, size_t at)
{
    for (at++; at < n; at++) {
        if (text[at] == '\\')
            at++;
        else if (text[at] == '"')
            return at + 1;
    }
    return n;
}

static size_t number_end(const char *text, size_t n, size_t at, bool *integer)
{
    *integer = true;
    for (; at < n; at++) {
        const char c = text[at];
        if (c == '.' || c == 'e' || c == 'E')
            *integer = false;
        else if (!(c >= '0' && c <= '9') && c != '+' && c != '-')
            break;
    }
    return at;
}

/* Integers beyond 64 bits ("model_max_length": 1000000000000000019884624838656 is common) become reals: "e0" is
 * put behind them. 18 digits always fit. */
static bool is_wide(const char *text, size_t n, size_t at, size_t *end)
{
    bool integer;
    *end = number_end(text, n, at, &integer);
    const size_t digits = *end - at - (text[at] == '-' ? 1 : 0);
    if (!integer || digits <= 18) return false;
    if (digits > 19) return true;
    const char *limit = text[at] == '-' ? "9223372036854775808" : "9223372036854775807";
    return memcmp(text + *end - 19, limit, 19) > 0;
}

/* Check the nesting and, when there are wide integers, fill *copy with a text that jansson can read. */
static gs_status scan(const char *text, size_t n, const char *label, int max_depth, gs_str *copy, gs_error *err)
{
    int depth = 0;
    size_t copied = 0, end = 0;
    for (size_t i = 0; i < n;) {
        const char c = text[i];
        if (c == '"') {
            i = skip_string(text, n, i);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            if (is_wide(text, n, i, &end)) {
                gs_str_add(copy, text + copied, end - copied);
                gs_str_adds(copy, "e0");
                copied = end;
            }
            i = end;
        } else {
            if ((c == '{' || c == '[') && ++depth > max_depth)
                return fail_at(text, i, label, "nested too deeply for a file of this kind: fetch it again", err);
            if (c == '}' || c == ']') depth--;
            i++;
        }
    }
    if (copied > 0) gs_str_add(copy, text + copied, n - copied);
    return GS_OK;
}

/* jansson says "not valid JSON" when memory ends, or goes on with less; ours never returns NULL. */
static void use_our_memory(void) { json_set_alloc_funcs(gs_alloc, gs_free); }

json_t *gs_json_parse(const char *text, size_t n, const char *label, int max_depth, gs_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_our_memory);
    if (check_encoding(text, n, label, err) != GS_OK) return NULL;
    gs_str copy;
    gs_str_init(&copy);
    json_t *value = NULL;
    if (scan(text, n, label, max_depth, &copy, err) == GS_OK) {
        json_error_t why;
        const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
        value = json_loadb(copy.len > 0 ? copy.data : text, copy.len > 0 ? copy.len : n, flags, &why);
        if (value == NULL) {
            char shown[JSON_ERROR_TEXT_LENGTH];
            gs_fail(err, GS_ERR_FILE, "%s: line %d, column %d: not valid JSON: %s", label, why.line, why.column,
                    gs_printable(why.text, strlen(why.text), shown, sizeof shown));
        }
    }
    gs_str_release(&copy);
    return value;
}
