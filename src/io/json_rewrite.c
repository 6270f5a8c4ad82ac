/* Rewriting a JSON object the way json.load followed by json.dump does. A token walk, not a tree: jansson has
 * accepted the text before, so the walk may rely on the grammar, and integers keep every digit they have.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/json_text.h"

/* Deep enough for any configuration, shallow enough for the recursion below. */
#define MAX_DEPTH 64

typedef struct rewrite {
    const char *p, *end;
    gs_json_out *out;
    gs_str scratch, quoted;
} rewrite;

static void skip_space(rewrite *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) r->p++;
}

/* The string at p, decoded into scratch and quoted again. */
static const char *take_string(rewrite *r)
{
    size_t used;
    (void)gs_json_decode_string(r->p, (size_t)(r->end - r->p), true, &r->scratch, &used);
    r->p += used;
    gs_str_clear(&r->quoted);
    gs_json_add_string(&r->quoted, r->scratch.data, r->scratch.len);
    return r->quoted.data;
}

static void put_number(rewrite *r)
{
    const char *from = r->p;
    bool integer = true;
    for (; r->p < r->end && strchr("0123456789+-.eE", *r->p) != NULL && *r->p != '\0'; r->p++)
        if (*r->p == '.' || *r->p == 'e' || *r->p == 'E') integer = false;
    const size_t n = (size_t)(r->p - from);
    if (integer) {
        gs_str_clear(&r->quoted);
        gs_str_add(&r->quoted, from, n);
        gs_json_out_raw(r->out,
                        strcmp(r->quoted.data, "-0") == 0 ? "0" : r->quoted.data); /* Python has no integer -0 */
    } else {
        char repr[32];
        gs_json_repr_double(gs_json_token_double(from, n), repr);
        gs_json_out_raw(r->out, repr);
    }
}

static const gs_json_set *find_set(const gs_json_set *sets, int n_sets, const char *key)
{
    for (int i = 0; i < n_sets; i++)
        if (strcmp(sets[i].key, key) == 0) return &sets[i];
    return NULL;
}

static void put_value(rewrite *r);

/* p is behind the key: pass over ':' and the value, which goes to `to`. */
static void put_member(rewrite *r, gs_json_out *to)
{
    gs_json_out *const kept = r->out;
    skip_space(r);
    r->p++;
    r->out = to;
    put_value(r);
    r->out = kept;
}

static void put_container(rewrite *r, const gs_json_set *sets, int n_sets, bool *seen)
{
    const char open = *r->p++;
    gs_json_out_begin(r->out, open);
    for (skip_space(r); *r->p != '}' && *r->p != ']'; skip_space(r)) {
        if (*r->p == ',') {
            r->p++;
        } else if (open == '[') {
            put_value(r);
        } else {
            take_string(r);
            const gs_json_set *set = find_set(sets, n_sets, r->scratch.data);
            gs_json_out_key(r->out, r->scratch.data); /* jansson allows no NUL in a key */
            if (set == NULL) {
                put_member(r, r->out);
            } else {
                gs_json_out *ignored = gs_json_out_create(-1);
                put_member(r, ignored);
                gs_free(gs_json_out_finish(ignored, NULL));
                gs_json_out_raw(r->out, set->value);
                seen[set - sets] = true;
            }
        }
    }
    r->p++;
    for (int i = 0; i < n_sets; i++) {
        if (seen[i]) continue;
        gs_json_out_key(r->out, sets[i].key);
        gs_json_out_raw(r->out, sets[i].value);
    }
    gs_json_out_end(r->out);
}

static void put_value(rewrite *r)
{
    skip_space(r);
    switch (*r->p) {
    case '{':
    case '[':
        put_container(r, NULL, 0, NULL);
        return;
    case '"':
        gs_json_out_raw(r->out, take_string(r));
        return;
    case 't':
        r->p += 4;
        gs_json_out_bool(r->out, true);
        return;
    case 'f':
        r->p += 5;
        gs_json_out_bool(r->out, false);
        return;
    case 'n':
        r->p += 4;
        gs_json_out_null(r->out);
        return;
    default:
        put_number(r);
        return;
    }
}

gs_status gs_json_rewrite(const char *text, size_t n, const char *label, int indent, const gs_json_set *sets,
                          int n_sets, char **out, size_t *out_n, gs_error *err)
{
    *out = NULL;
    *out_n = 0;
    json_t *checked = gs_json_parse(text, n, label, MAX_DEPTH, err);
    if (checked == NULL) return err != NULL ? err->status : GS_ERR_FILE;
    const bool object = json_is_object(checked);
    json_decref(checked);
    if (!object) return gs_fail(err, GS_ERR_FILE, "%s: a JSON object { … } is needed at the top", label);
    rewrite r = {.p = text, .end = text + n, .out = gs_json_out_create(indent)};
    gs_str_init(&r.scratch);
    gs_str_init(&r.quoted);
    bool *seen = gs_alloc_array((size_t)n_sets + 1, sizeof *seen);
    skip_space(&r);
    put_container(&r, sets, n_sets, seen);
    *out = gs_json_out_finish(r.out, out_n);
    gs_free(seen);
    gs_str_release(&r.scratch);
    gs_str_release(&r.quoted);
    return GS_OK;
}
