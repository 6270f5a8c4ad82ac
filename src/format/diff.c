/* Comparing two directories. SPDX-License-Identifier: Apache-2.0 */
#include "format/diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/quantdir.h"
#include "num/num.h"

#define PIECE           (1 << 18) /* elements */
#define MAX_DESCRIPTION ((size_t)256 << 20)

typedef struct side {
    gs_checkpoint checkpoint;
    json_t *description; /* NULL = there is none */
} side;

typedef struct pieces {
    char *raw[2];
    float *value[2];
} pieces;

static gs_status open_side(side *s, const char *dir, gs_error *err)
{
    char *name, *text = NULL;
    size_t n = 0;
    GS_TRY(gs_checkpoint_open(&s->checkpoint, dir, err));
    GS_TRY(gs_quantdir_find_description(dir, &name, err));
    if (!name) return GS_OK;
    char *path = gs_path_join(dir, name);
    gs_status status = gs_file_read_all(path, MAX_DESCRIPTION, &text, &n, err);
    if (status == GS_OK && !(s->description = gs_json_parse(text, n, path, 64, err))) status = err->status;
    if (status == GS_OK && !json_is_object(s->description))
        status = gs_fail(err, GS_ERR_FILE, "%s: must be a JSON object", path);
    gs_free(text);
    gs_free(path);
    gs_free(name);
    return status;
}

static void close_side(side *s)
{
    gs_checkpoint_close(&s->checkpoint);
    if (s->description) json_decref(s->description);
}

/* Two codes in a byte: a four bit type in the layout that has a version. */
static bool is_packed(const side *s, const gs_tensor *t)
{
    const char *type = json_string_value(json_object_get(s->description, t->name));
    const size_t n = strlen(t->name);
    return type && t->dtype == GS_I8 && json_object_get(s->description, "version") && n > 7 &&
           strcmp(t->name + n - 7, ".weight") == 0 && (strcmp(type, "W4A16") == 0 || strcmp(type, "W4A8_DYNAMIC") == 0);
}

static bool is_deq(const gs_tensor *t)
{
    const size_t n = strlen(t->name);
    return n > 10 && strcmp(t->name + n - 10, ".deq_scale") == 0;
}

static gs_status read(const side *s, const gs_tensor *t, int64_t at, int64_t n, void *to, gs_error *err)
{
    const size_t size = gs_dtype_bytes(t->dtype);
    return gs_checkpoint_read(&s->checkpoint, t, (uint64_t)at * size, to, (size_t)n * size, err);
}

static gs_status same_bytes(const side *s, const gs_tensor *const *t, pieces *p, bool *same, gs_error *err)
{
    *same = true;
    for (int64_t at = 0; at < t[0]->elements && *same; at += PIECE) {
        const int64_t n = t[0]->elements - at < PIECE ? t[0]->elements - at : PIECE;
        GS_TRY(gs_check_interrupt(err));
        for (int i = 0; i < 2; i++) GS_TRY(read(&s[i], t[i], at, n, p->raw[i], err));
        *same = memcmp(p->raw[0], p->raw[1], (size_t)n * gs_dtype_bytes(t[0]->dtype)) == 0;
    }
    return GS_OK;
}

static void note(gs_tensor_diff *d, double a, double b, int64_t at)
{
    if (a == b || (isnan(a) && isnan(b))) return;
    const double off = fabs(a - b);
    if (d->changed++ == 0) d->first = at;
    if (!(off <= d->largest)) d->largest = isnan(off) ? INFINITY : off;
}

/* One stored integer. */
static double integer_at(gs_dtype dtype, const char *raw, int64_t i, bool pattern)
{
    int64_t v = 0;
    if (dtype == GS_I8) return (double)((const int8_t *)raw)[i];
    if (dtype == GS_I32) {
        int32_t w;
        memcpy(&w, raw + i * 4, sizeof w);
        return w;
    }
    memcpy(&v, raw + i * 8, sizeof v);
    return pattern ? (double)gs_f32_from_bits((uint32_t)v) : (double)v;
}

static bool is_integer(gs_dtype dtype) { return dtype == GS_I8 || dtype == GS_I32 || dtype == GS_I64; }

static int nibble(char byte, int which)
{
    const int v = which == 0 ? byte & 15 : (byte >> 4) & 15;
    return (v ^ 8) - 8;
}

static void compare_packed(gs_tensor_diff *d, const pieces *p, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int which = 0; which < 2 && p->raw[0][i] != p->raw[1][i]; which++)
            note(d, nibble(p->raw[0][i], which), nibble(p->raw[1][i], which), 2 * (at + i) + which);
}

static void compare_values(gs_tensor_diff *d, const gs_tensor *const *t, const pieces *p, int64_t at, int64_t n)
{
    double v[2];
    for (int i = 0; i < 2; i++)
        if (!is_integer(t[i]->dtype)) gs_to_f32(t[i]->dtype, p->raw[i], p->value[i], n);
    for (int64_t j = 0; j < n; j++) {
        for (int i = 0; i < 2; i++)
            v[i] =
                is_integer(t[i]->dtype) ? integer_at(t[i]->dtype, p->raw[i], j, is_deq(t[i])) : (double)p->value[i][j];
        note(d, v[0], v[1], at + j);
    }
}

static bool is_numeric(gs_dtype dtype) { return is_integer(dtype) || gs_dtype_is_float(dtype); }

static gs_status compare_numbers(const side *s, const gs_tensor *const *t, pieces *p, gs_tensor_diff *d, gs_error *err)
{
    const bool packed = is_packed(&s[0], t[0]) && is_packed(&s[1], t[1]);
    d->codes = t[0]->dtype == GS_I8 && t[1]->dtype == GS_I8;
    d->elements = packed ? 2 * t[0]->elements : t[0]->elements;
    if (!is_numeric(t[0]->dtype) || !is_numeric(t[1]->dtype)) {
        d->changed = d->elements; /* types no result has: bytes are all that can be said */
        d->largest = INFINITY;
        return GS_OK;
    }
    for (int64_t at = 0; at < t[0]->elements; at += PIECE) {
        const int64_t n = t[0]->elements - at < PIECE ? t[0]->elements - at : PIECE;
        GS_TRY(gs_check_interrupt(err));
        for (int i = 0; i < 2; i++) GS_TRY(read(&s[i], t[i], at, n, p->raw[i], err));
        if (packed)
            compare_packed(d, p, at, n);
        else
            compare_values(d, t, p, at, n);
    }
    return GS_OK;
}

static gs_status compare(const side *s, const gs_tensor *a, const gs_tensor *b, pieces *p, gs_tensor_diff *d,
                         gs_error *err)
{
    const gs_tensor *const t[] = {a, b};
    *d = (gs_tensor_diff){.name = a->name, .dtype_a = a->dtype, .dtype_b = b->dtype};
    if (a->rank != b->rank || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0) {
        d->kind = GS_DIFF_SHAPE;
        return GS_OK;
    }
    bool same = a->dtype == b->dtype;
    if (same) GS_TRY(same_bytes(s, t, p, &same, err));
    if (same) return GS_OK;
    GS_TRY(compare_numbers(s, t, p, d, err));
    d->kind = d->changed > 0 ? GS_DIFF_VALUES : GS_DIFF_FORM;
    return GS_OK;
}

static gs_status compare_tensors(const side *s, gs_diff *out, pieces *p, gs_error *err)
{
    const gs_tensor_table *a = &s[0].checkpoint.table, *b = &s[1].checkpoint.table;
    out->tensors = gs_alloc_array((size_t)(a->count + b->count + 1), sizeof *out->tensors);
    for (int64_t i = 0; i < a->count; i++) {
        gs_tensor_diff *d = &out->tensors[out->n_tensors++];
        const gs_tensor *other = gs_checkpoint_find(&s[1].checkpoint, a->tensors[i].name);
        *d = (gs_tensor_diff){.name = a->tensors[i].name, .kind = GS_DIFF_ONLY_A};
        if (other) GS_TRY(compare(s, &a->tensors[i], other, p, d, err));
    }
    for (int64_t i = 0; i < b->count; i++)
        if (!gs_checkpoint_find(&s[0].checkpoint, b->tensors[i].name))
            out->tensors[out->n_tensors++] = (gs_tensor_diff){.name = b->tensors[i].name, .kind = GS_DIFF_ONLY_B};
    for (int64_t i = 0; i < out->n_tensors; i++) {
        gs_tensor_diff *d = &out->tensors[i];
        d->name = gs_arena_strdup(out->arena, d->name); /* the directories are closed before it is read */
        out->count[d->kind]++;
    }
    return GS_OK;
}

static const char *as_text(gs_diff *out, const json_t *v)
{
    if (!v) return NULL;
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    const char *copy = gs_arena_strdup(out->arena, text ? text : "?");
    free(text);
    return copy;
}

static void add_key(gs_diff *out, const char *key, const json_t *a, const json_t *b)
{
    out->keys = gs_realloc_array(out->keys, (size_t)out->n_keys + 1, sizeof *out->keys);
    out->keys[out->n_keys++] = (gs_key_diff){gs_arena_strdup(out->arena, key), as_text(out, a), as_text(out, b)};
}

static void compare_descriptions(const side *s, gs_diff *out)
{
    const char *key;
    json_t *value;
    json_object_foreach(s[0].description, key, value)
    {
        const json_t *other = json_object_get(s[1].description, key);
        if (!other || !json_equal(value, other)) add_key(out, key, value, other);
    }
    json_object_foreach(s[1].description, key, value)
    {
        if (!json_object_get(s[0].description, key)) add_key(out, key, NULL, value);
    }
}

static gs_status run(side *s, const char *const *dir, gs_diff *out, gs_error *err)
{
    pieces p = {0};
    for (int i = 0; i < 2; i++) GS_TRY(open_side(&s[i], dir[i], err));
    for (int i = 0; i < 2; i++) {
        p.raw[i] = gs_alloc_array(PIECE, sizeof(int64_t));
        p.value[i] = gs_alloc_array(PIECE, sizeof(float));
    }
    const gs_status status = compare_tensors(s, out, &p, err);
    for (int i = 0; i < 2; i++) {
        gs_free(p.raw[i]);
        gs_free(p.value[i]);
    }
    if (status != GS_OK) return status;
    compare_descriptions(s, out);
    out->differs = out->count[GS_DIFF_EQUAL] != out->n_tensors || out->n_keys > 0;
    return GS_OK;
}

gs_status gs_diff_run(const char *dir_a, const char *dir_b, gs_diff *out, gs_error *err)
{
    side s[2] = {0};
    const char *const dir[] = {dir_a, dir_b};
    *out = (gs_diff){.arena = gs_arena_create()};
    const gs_status status = run(s, dir, out, err);
    for (int i = 0; i < 2; i++) close_side(&s[i]);
    if (status != GS_OK) gs_diff_release(out);
    return status;
}

void gs_diff_release(gs_diff *d)
{
    gs_free(d->tensors);
    gs_free(d->keys);
    gs_arena_free(d->arena);
    *d = (gs_diff){0};
}
