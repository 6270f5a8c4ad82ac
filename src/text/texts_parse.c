/* Reads calibration texts by content, never by the file's name: a JSON array, JSON lines (objects or strings) or plain
 * text, one sample per line. What begins like JSON is JSON: a damaged file must not be calibrated on as if it were
 * prose. Messages name file, line and sample but never quote a text, which may be private. Where the script this
 * program stands in for fails on the same input, its own wording is part of the message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/texts_parse.h"

#include <string.h>

#include "io/json.h"
#include "text/unicode.h"

enum { MAX_DEPTH = 256, MAX_KEYS_SHOWN = 8 };

#define NOT_A_LIST "string indices must be integers, not 'str'"

typedef struct reader {
    gs_texts *out;
    const char *label;
    gs_text_keys keys;
    gs_error *err;
} reader;

/* Part of a text. */
typedef struct span {
    const char *at;
    size_t n;
} span;

static bool is_json_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static span trim(span s)
{
    while (s.n > 0 && is_json_blank(s.at[0])) s = (span){s.at + 1, s.n - 1};
    while (s.n > 0 && is_json_blank(s.at[s.n - 1])) s.n--;
    return s;
}

/* Take the first line off *rest; false at the end. The line is without its '\n'. */
static bool next_line(span *rest, span *line)
{
    if (rest->n == 0) return false;
    const char *const end = memchr(rest->at, '\n', rest->n);
    const size_t n = end ? (size_t)(end - rest->at) : rest->n;
    *line = (span){rest->at, n};
    const size_t taken = end ? n + 1 : n;
    *rest = (span){rest->at + taken, rest->n - taken};
    return true;
}

/* --- one sample --- */

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static gs_status fail_no_key(const reader *r, json_t *object)
{
    gs_str found;
    gs_str_init(&found);
    const char *key;
    json_t *value;
    int shown = 0;
    json_object_foreach(object, key, value)
    {
        char safe[40];
        if (shown == MAX_KEYS_SHOWN) gs_str_adds(&found, ", …");
        if (shown++ >= MAX_KEYS_SHOWN) break;
        gs_str_printf(&found, "%s%s", shown > 1 ? ", " : "", gs_printable(key, strlen(key), safe, sizeof safe));
    }
    const gs_status status =
        gs_fail(r->err, GS_ERR_FILE, "sample %lld has no key 'prompt' (keys found: %s)%s", (long long)r->out->count,
                found.len ? found.data : "none",
                r->keys == GS_KEYS_PROMPT_ONLY ? " (KeyError: 'prompt')"
                                               : "; 'inputs_pretokenized' or 'text' would do as well");
    gs_str_release(&found);
    return status;
}

static gs_status add_object(const reader *r, json_t *object)
{
    static const char *const names[] = {"prompt", "inputs_pretokenized", "text"};
    const size_t known = r->keys == GS_KEYS_PROMPT_ONLY ? 1 : sizeof names / sizeof *names;
    for (size_t i = 0; i < known; i++) {
        const json_t *const text = json_object_get(object, names[i]);
        if (!text) continue;
        if (!json_is_string(text))
            return gs_fail(r->err, GS_ERR_FILE,
                           "sample %lld: '%s' is %s, not a string (text input must be of type `str`)",
                           (long long)r->out->count, names[i], type_name(text));
        gs_texts_add(r->out, json_string_value(text), json_string_length(text));
        return GS_OK;
    }
    return fail_no_key(r, object);
}

static gs_status add_sample(const reader *r, json_t *value)
{
    if (json_is_object(value)) return add_object(r, value);
    if (!json_is_string(value))
        return gs_fail(r->err, GS_ERR_FILE,
                       "sample %lld is %s; it must be an object with the key 'prompt', or a string",
                       (long long)r->out->count, type_name(value));
    if (r->keys == GS_KEYS_PROMPT_ONLY)
        return gs_fail(r->err, GS_ERR_FILE,
                       "sample %lld is a string, not an object with the key 'prompt' (" NOT_A_LIST ")",
                       (long long)r->out->count);
    gs_texts_add(r->out, json_string_value(value), json_string_length(value));
    return GS_OK;
}

/* As gs_json_parse, without the piece of the text that the parser quotes after "near". */
static json_t *parse(const reader *r, const char *text, size_t n)
{
    json_t *const value = gs_json_parse(text, n, r->label, MAX_DEPTH, r->err);
    const size_t label = strlen(r->label);
    if (value || !r->err || strlen(r->err->text) < label) return value;
    char *const quote = strstr(r->err->text + label, " near '");
    if (quote) *quote = 0;
    return NULL;
}

/* --- JSON array --- */

/* Line where element `index` of a valid JSON array begins. */
static int64_t element_line(span text, int64_t index)
{
    int64_t line = 1, depth = 0, seen = -1;
    bool in_string = false, expect = false;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.at[i];
        if (c == '\n') line++;
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (is_json_blank(c)) continue;
        if (expect && ++seen == index) return line;
        expect = depth == 1 && c == ',';
        if (c == '"')
            in_string = true;
        else if (c == '[' || c == '{')
            expect = ++depth == 1;
        else if (c == ']' || c == '}')
            depth--;
    }
    return line;
}

static gs_status read_array(const reader *r, span text)
{
    json_t *const root = parse(r, text.at, text.n);
    if (!root) return GS_ERR_FILE;
    gs_status status = GS_OK;
    size_t i;
    json_t *value;
    json_array_foreach(root, i, value)
    {
        status = add_sample(r, value);
        if (status == GS_OK) continue;
        gs_wrap(r->err, "%s, line %lld", r->label, (long long)element_line(text, (int64_t)i));
        break;
    }
    json_decref(root);
    return status;
}

/* --- JSON lines --- */

/* Parse one line. A failure is found again behind as many empty lines as precede it, so that the message has the file's
 * line. */
static json_t *parse_line(const reader *r, span line, int64_t number)
{
    json_t *const value = gs_json_parse(line.at, line.n, r->label, MAX_DEPTH, NULL);
    if (value) return value;
    gs_str again;
    gs_str_init(&again);
    for (int64_t i = 1; i < number; i++) gs_str_addc(&again, '\n');
    gs_str_add(&again, line.at, line.n);
    json_t *const none = parse(r, again.data, again.len);
    gs_str_release(&again);
    return none;
}

static bool is_one_object(span text)
{
    json_t *const root = gs_json_parse(text.at, text.n, "", MAX_DEPTH, NULL);
    const bool yes = json_is_object(root);
    json_decref(root);
    return yes;
}

static gs_status fail_one_object(const reader *r)
{
    return gs_fail(r->err, GS_ERR_FILE,
                   "%s is one JSON object, not a list of samples (" NOT_A_LIST "): put it in [ ]%s", r->label,
                   r->keys == GS_KEYS_PROMPT_ONLY ? "" : ", or write one whole object per line");
}

static int64_t count_lines(span text)
{
    int64_t count = 0;
    for (span line; next_line(&text, &line);) count += trim(line).n > 0;
    return count;
}

static gs_status read_line(const reader *r, span line, int64_t number)
{
    json_t *const value = parse_line(r, line, number);
    if (!value) return GS_ERR_FILE;
    gs_status status = add_sample(r, value);
    json_decref(value);
    if (status != GS_OK) status = gs_wrap(r->err, "%s, line %lld", r->label, (long long)number);
    return status;
}

static gs_status read_lines(const reader *r, span text)
{
    const bool alone = count_lines(text) == 1;
    /* One object is one line of JSON lines, unless only what the script accepts is wanted: a list. */
    if (alone && r->keys == GS_KEYS_PROMPT_ONLY && is_one_object(text)) return fail_one_object(r);
    span rest = text, line;
    gs_status status = GS_OK;
    for (int64_t number = 1; status == GS_OK && next_line(&rest, &line); number++) {
        line = trim(line);
        if (line.n > 0) status = read_line(r, line, number);
    }
    if (status == GS_OK) return GS_OK;
    if (!is_one_object(text)) return status;
    return alone ? gs_wrap(r->err, "%s is one JSON object, not a list of samples (" NOT_A_LIST ")", r->label)
                 : fail_one_object(r);
}

/* --- plain text --- */

static bool is_blank_text(span s)
{
    for (size_t i = 0, used; i < s.n; i += used) {
        if (gs_char_class_get(gs_utf8_get(s.at + i, s.n - i, &used)) != GS_CHAR_SPACE) return false;
    }
    return true;
}

static gs_status read_plain(const reader *r, span text)
{
    for (span line; next_line(&text, &line);) {
        if (line.n > 0 && line.at[line.n - 1] == '\r') line.n--;
        if (!is_blank_text(line)) gs_texts_add(r->out, line.at, line.n);
    }
    if (r->out->count > 0) return GS_OK;
    return gs_fail(r->err, GS_ERR_FILE,
                   "%s holds nothing but white space: expected a JSON array, JSON lines or plain text", r->label);
}

/* --- whole --- */

static int hex4(const char *s, size_t n)
{
    int value = 0;
    if (n < 4) return -1;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* \u escapes of half a surrogate pair become U+FFFD, as they do on the script's way to the tokenizer. JSON has
 * backslashes only in strings, so no more need be understood. */
static void mend_surrogates(char *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (s[i] != '\\') continue;
        const int unit = s[i + 1] == 'u' ? hex4(s + i + 2, n - i - 2) : -1;
        if (unit >= 0xD800 && unit <= 0xDBFF && i + 8 <= n && s[i + 6] == '\\' && s[i + 7] == 'u') {
            const int low = hex4(s + i + 8, n - i - 8);
            if (low >= 0xDC00 && low <= 0xDFFF) {
                i += 11;
                continue;
            }
        }
        if (unit >= 0xD800 && unit <= 0xDFFF) memcpy(s + i + 2, "FFFD", 4);
        i += unit >= 0 ? 5 : 1;
    }
}

/* Does every line look like a JSON string by itself? Prose may begin with a quotation mark too. */
static bool all_strings(span text)
{
    for (span line; next_line(&text, &line);) {
        line = trim(line);
        if (line.n == 0) continue;
        json_t *const value =
            line.at[0] == '"' || line.at[0] == '{' ? gs_json_parse(line.at, line.n, "", MAX_DEPTH, NULL) : NULL;
        const bool yes = value != NULL;
        json_decref(value);
        if (!yes) return false;
    }
    return true;
}

gs_status gs_texts_parse(gs_texts *out, char *data, size_t n, const char *label, gs_text_keys keys, gs_error *err)
{
    const reader r = {out, label, keys, err};
    if (n == 0)
        return gs_fail(err, GS_ERR_FILE, "%s is empty (0 bytes): expected a JSON array, JSON lines or plain text",
                       label);
    const size_t valid = gs_utf8_valid(data, n);
    if (valid != n)
        return gs_fail(err, GS_ERR_FILE, "%s is not valid UTF-8 at byte %zu: convert it to UTF-8", label, valid);

    const size_t mark = n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    const span text = {data + mark, n - mark};
    const span body = trim(text);
    const char first = body.n > 0 ? body.at[0] : ' ';
    if (first == '[' || first == '{') mend_surrogates(data, n);
    if (first == '[') return read_array(&r, text);
    if (first == '{') return read_lines(&r, text);
    if (first != '"') return read_plain(&r, text);

    char *const copy = gs_alloc(text.n + 1); /* mending would damage prose */
    memcpy(copy, text.at, text.n);
    mend_surrogates(copy, text.n);
    const span mended = {copy, text.n};
    const gs_status status = all_strings(mended) ? read_lines(&r, mended) : read_plain(&r, text);
    gs_free(copy);
    return status;
}
