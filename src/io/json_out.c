/* Writing JSON as Python's json.dump does, byte for byte: ASCII only, lower-case \uXXXX, "{}" and "[]" for what is
 * empty, no newline at the end. Misuse (a value without a key, an end without a begin) is a bug in the caller and
 * asserted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/json_text.h"

typedef struct level {
    char close;
    bool empty;
} level;

struct gs_json_out {
    gs_str text;
    int indent;
    level *levels;
    int depth, cap;
    bool after_key;
};

gs_json_out *gs_json_out_create(int indent)
{
    gs_json_out *j = gs_alloc(sizeof *j);
    gs_str_init(&j->text);
    j->indent = indent;
    return j;
}

static void add_newline(gs_json_out *j)
{
    if (j->indent < 0) return;
    gs_str_addc(&j->text, '\n');
    for (int i = 0; i < j->depth * j->indent; i++) gs_str_addc(&j->text, ' ');
}

/* What stands between the previous thing and a new key or list element. */
static void add_separator(gs_json_out *j)
{
    if (j->depth == 0) return;
    level *top = &j->levels[j->depth - 1];
    if (!top->empty) gs_str_addc(&j->text, ',');
    top->empty = false;
    add_newline(j);
}

static void before_value(gs_json_out *j)
{
    assert(j->after_key || (j->depth == 0 && j->text.len == 0) ||
           (j->depth > 0 && j->levels[j->depth - 1].close == ']'));
    if (!j->after_key) add_separator(j);
    j->after_key = false;
}

void gs_json_out_begin(gs_json_out *j, char open)
{
    assert(open == '{' || open == '[');
    before_value(j);
    gs_str_addc(&j->text, open);
    if (j->depth == j->cap) {
        j->cap = j->cap > 0 ? j->cap * 2 : 8;
        j->levels = gs_realloc_array(j->levels, (size_t)j->cap, sizeof *j->levels);
    }
    j->levels[j->depth++] = (level){open == '{' ? '}' : ']', true};
}

void gs_json_out_end(gs_json_out *j)
{
    assert(j->depth > 0 && !j->after_key);
    const level top = j->levels[--j->depth];
    if (!top.empty) add_newline(j);
    gs_str_addc(&j->text, top.close);
}

void gs_json_out_key(gs_json_out *j, const char *key)
{
    assert(j->depth > 0 && j->levels[j->depth - 1].close == '}' && !j->after_key);
    add_separator(j);
    gs_json_add_string(&j->text, key, strlen(key));
    gs_str_adds(&j->text, j->indent < 0 ? ":" : ": ");
    j->after_key = true;
}

void gs_json_out_string(gs_json_out *j, const char *s)
{
    before_value(j);
    gs_json_add_string(&j->text, s, strlen(s));
}

void gs_json_out_int(gs_json_out *j, int64_t v)
{
    before_value(j);
    gs_str_printf(&j->text, "%" PRId64, v);
}

void gs_json_out_double(gs_json_out *j, double v)
{
    char repr[32] = "null";
    if (isfinite(v)) gs_json_repr_double(v, repr);
    gs_json_out_raw(j, repr);
}

void gs_json_out_float(gs_json_out *j, float v)
{
    char repr[32] = "null";
    if (isfinite(v)) gs_json_repr_float(v, repr);
    gs_json_out_raw(j, repr);
}

void gs_json_out_bool(gs_json_out *j, bool v) { gs_json_out_raw(j, v ? "true" : "false"); }

void gs_json_out_null(gs_json_out *j) { gs_json_out_raw(j, "null"); }

void gs_json_out_raw(gs_json_out *j, const char *token)
{
    before_value(j);
    gs_str_adds(&j->text, token);
}

char *gs_json_out_finish(gs_json_out *j, size_t *n)
{
    assert(j->depth == 0 && !j->after_key);
    if (n != NULL) *n = j->text.len;
    char *text = gs_str_take(&j->text);
    gs_str_release(&j->text);
    gs_free(j->levels);
    gs_free(j);
    return text;
}

void gs_json_put_int(gs_json_out *j, const char *key, int64_t v)
{
    gs_json_out_key(j, key);
    gs_json_out_int(j, v);
}

void gs_json_put_double(gs_json_out *j, const char *key, double v)
{
    gs_json_out_key(j, key);
    gs_json_out_double(j, v);
}

void gs_json_put_bool(gs_json_out *j, const char *key, bool v)
{
    gs_json_out_key(j, key);
    gs_json_out_bool(j, v);
}

void gs_json_put_string(gs_json_out *j, const char *key, const char *s)
{
    gs_json_out_key(j, key);
    gs_json_out_string(j, s);
}

void gs_json_put_text(gs_json_out *j, const char *key, const char *s)
{
    gs_json_out_key(j, key);
    if (s != NULL && gs_utf8_valid(s, strlen(s)) == strlen(s))
        gs_json_out_string(j, s);
    else
        gs_json_out_null(j);
}
