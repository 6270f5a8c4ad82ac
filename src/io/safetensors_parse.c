/* A strict pull parser for one fixed grammar:
 *   { "name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, …, "__metadata__": {"key": "value", …} }
 * with spaces only behind it. No tree is built and nothing recurses, so nesting cannot go deeper than the grammar
 * does, and an unknown field is refused where it begins. Duplicate names are found by hash over decoded names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/safetensors_parse.h"

#include <string.h>

#include "base/str.h"
#include "io/json_text.h"
#include "io/name_map.h"

#define MAX_NUMBER ((uint64_t)1 << 53) /* what every JSON reader holds exactly */
#define MAX_DIM    ((int64_t)1 << 40)

typedef struct parser {
    const char *text;
    size_t n, at;
    const char *path;
    gs_tensor_table *table;
    int64_t cap;
    gs_name_map *names;
    gs_str string;  /* last string read */
    char where[96]; /* printable name of the current tensor, "" = none */
    gs_error *err;
} parser;

static gs_status fail(parser *p, const char *what)
{
    if (p->where[0] == '\0')
        return gs_fail(p->err, GS_ERR_FILE, "%s: header, byte %zu: %s; fetch the file again", p->path, p->at + 8, what);
    return gs_fail(p->err, GS_ERR_FILE, "%s: header, byte %zu, entry '%s': %s; fetch the file again", p->path,
                   p->at + 8, p->where, what);
}

static char peek(parser *p)
{
    while (p->at < p->n) {
        const char c = p->text[p->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
        p->at++;
    }
    return '\0'; /* NUL bytes were refused before, so this is the end */
}

static gs_status expect(parser *p, char c, const char *what)
{
    if (peek(p) != c) return fail(p, what);
    p->at++;
    return GS_OK;
}

static gs_status read_string(parser *p, const char *what)
{
    if (peek(p) != '"') return fail(p, what);
    size_t used;
    const gs_string_fault fault = gs_json_decode_string(p->text + p->at, p->n - p->at, false, &p->string, &used);
    if (fault != GS_STRING_OK) return fail(p, gs_string_fault_text(fault));
    p->at += used;
    return GS_OK;
}

static gs_status read_number(parser *p, uint64_t *out)
{
    const char first = peek(p);
    if (first < '0' || first > '9') return fail(p, "a plain non-negative integer is needed here");
    const size_t from = p->at;
    uint64_t v = 0;
    while (p->at < p->n && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        v = v * 10 + (uint64_t)(p->text[p->at] - '0');
        if (v > MAX_NUMBER) return fail(p, "a number above 2^53");
        p->at++;
    }
    if (first == '0' && p->at - from > 1) return fail(p, "a number with leading zeros");
    if (p->at < p->n && strchr(".eE+-", p->text[p->at]) != NULL) return fail(p, "a number that is not a plain integer");
    *out = v;
    return GS_OK;
}

/* After an element: true in *more when ',' follows, false when the closing bracket did. */
static gs_status read_next(parser *p, char close, bool *more)
{
    const char c = peek(p);
    if (c != ',' && c != close) return fail(p, "',' or a closing bracket is needed here");
    p->at++;
    *more = c == ',';
    return GS_OK;
}

static gs_status read_shape(parser *p, gs_tensor *t)
{
    GS_TRY(expect(p, '[', "shape must be a list"));
    t->rank = 0;
    bool more = peek(p) != ']';
    if (!more) p->at++;
    while (more) {
        uint64_t dim;
        GS_TRY(read_number(p, &dim));
        if (dim > (uint64_t)MAX_DIM) return fail(p, "a dimension above 2^40");
        if (t->rank == GS_MAX_RANK) return fail(p, "more than 8 dimensions");
        t->shape[t->rank++] = (int64_t)dim;
        GS_TRY(read_next(p, ']', &more));
    }
    return GS_OK;
}

static gs_status read_offsets(parser *p, uint64_t offsets[2])
{
    bool more = false;
    GS_TRY(expect(p, '[', "data_offsets must be a list of two numbers"));
    GS_TRY(read_number(p, &offsets[0]));
    GS_TRY(read_next(p, ']', &more));
    if (!more) return fail(p, "data_offsets must be two numbers");
    GS_TRY(read_number(p, &offsets[1]));
    GS_TRY(read_next(p, ']', &more));
    if (more) return fail(p, "data_offsets must be two numbers");
    return GS_OK;
}

static gs_status check_sizes(parser *p, gs_tensor *t, const uint64_t offsets[2])
{
    int64_t elements = 1, bytes;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(elements, t->shape[i], &elements))
            return fail(p, "the product of the shape overflows");
    if (__builtin_mul_overflow(elements, (int64_t)gs_dtype_bytes(t->dtype), &bytes))
        return fail(p, "the product of the shape overflows");
    if (offsets[1] < offsets[0]) return fail(p, "data_offsets run backwards");
    t->elements = elements;
    t->bytes = (uint64_t)bytes;
    t->offset = offsets[0];
    if (offsets[1] - offsets[0] == t->bytes) return GS_OK;
    return gs_fail(
        p->err, GS_ERR_FILE,
        "%s: tensor '%s': data_offsets give it %llu bytes, but its type and shape need %llu; fetch the file again",
        p->path, p->where, (unsigned long long)(offsets[1] - offsets[0]), (unsigned long long)t->bytes);
}

static gs_status read_dtype(parser *p, gs_tensor *t)
{
    GS_TRY(read_string(p, "dtype must be a string"));
    if (gs_dtype_find(p->string.data, p->string.len, &t->dtype)) return GS_OK;
    char shown[32];
    return gs_fail(p->err, GS_ERR_FILE,
                   "%s: tensor '%s': unknown element type '%s'; known are U64 I64 F64 F32 U32 I32 BF16 F16 U16 I16 "
                   "F8_E4M3 F8_E5M2 I8 U8 BOOL; fetch the file again or convert it",
                   p->path, p->where, gs_printable(p->string.data, p->string.len, shown, sizeof shown));
}

static gs_status read_tensor(parser *p, gs_tensor *t)
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    uint64_t offsets[2] = {0, 0};
    unsigned seen = 0;
    bool more = true;
    GS_TRY(expect(p, '{', "a tensor must be an object with dtype, shape and data_offsets"));
    if (peek(p) == '}') return fail(p, "dtype, shape and data_offsets are missing");
    while (more) {
        GS_TRY(read_string(p, "a field name is needed here"));
        unsigned field = 0;
        while (field < 3 && strcmp(p->string.data, fields[field]) != 0) field++;
        if (field == 3) return fail(p, "a field other than dtype, shape and data_offsets");
        if (seen & 1u << field) return fail(p, "a field is there twice");
        seen |= 1u << field;
        GS_TRY(expect(p, ':', "':' is needed here"));
        if (field == 0) GS_TRY(read_dtype(p, t));
        if (field == 1) GS_TRY(read_shape(p, t));
        if (field == 2) GS_TRY(read_offsets(p, offsets));
        GS_TRY(read_next(p, '}', &more));
    }
    if (seen != 7) return fail(p, "one of dtype, shape, data_offsets is missing");
    return check_sizes(p, t, offsets);
}

static gs_status read_metadata_entries(parser *p, gs_arena *arena, gs_name_map *keys)
{
    for (bool more = true; more;) {
        GS_TRY(read_string(p, "__metadata__ must map strings to strings"));
        if (!gs_name_map_add(keys, gs_arena_strdup(arena, p->string.data), 0))
            return fail(p, "a key of __metadata__ is there twice");
        GS_TRY(expect(p, ':', "':' is needed here"));
        GS_TRY(read_string(p, "__metadata__ must map strings to strings"));
        GS_TRY(read_next(p, '}', &more));
    }
    return GS_OK;
}

/* Checked and forgotten: nothing here needs what it says. */
static gs_status read_metadata(parser *p)
{
    GS_TRY(expect(p, '{', "__metadata__ must be an object"));
    if (peek(p) == '}') {
        p->at++;
        return GS_OK;
    }
    gs_arena *arena = gs_arena_create();
    gs_name_map *keys = gs_name_map_create(16);
    const gs_status status = read_metadata_entries(p, arena, keys);
    gs_name_map_free(keys);
    gs_arena_free(arena);
    return status;
}

static gs_status add_tensor(parser *p, const char *name)
{
    gs_tensor_table *table = p->table;
    if (table->count >= GS_MAX_TENSORS) return fail(p, "more than 1000000 tensors");
    gs_tensor t = {.name = name};
    GS_TRY(read_tensor(p, &t));
    if (table->count == p->cap) {
        p->cap = p->cap < 64 ? 64 : p->cap * 2;
        table->tensors = gs_realloc_array(table->tensors, (size_t)p->cap, sizeof *table->tensors);
    }
    table->tensors[table->count++] = t;
    return GS_OK;
}

static gs_status read_member(parser *p)
{
    p->where[0] = '\0';
    GS_TRY(read_string(p, "a tensor name is needed here"));
    gs_printable(p->string.data, p->string.len, p->where, sizeof p->where);
    if (p->string.len > GS_MAX_TENSOR_NAME) return fail(p, "a name of more than 512 bytes");
    const char *name = gs_arena_strdup(p->table->arena, p->string.data);
    if (!gs_name_map_add(p->names, name, 0)) return fail(p, "the name is there twice");
    GS_TRY(expect(p, ':', "':' is needed here"));
    return strcmp(name, "__metadata__") == 0 ? read_metadata(p) : add_tensor(p, name);
}

static gs_status read_document(parser *p)
{
    if (p->n == 0 || p->text[0] != '{') return fail(p, "it must begin with '{': this is not a safetensors file");
    const size_t valid = gs_utf8_valid(p->text, p->n);
    const char *nul = memchr(p->text, '\0', p->n);
    p->at = valid;
    if (valid < p->n) return fail(p, "not valid UTF-8");
    p->at = nul != NULL ? (size_t)(nul - p->text) : 0;
    if (nul != NULL) return fail(p, "a NUL byte");
    p->at = 1;
    bool more = peek(p) != '}';
    if (!more) p->at++;
    while (more) {
        GS_TRY(read_member(p));
        GS_TRY(read_next(p, '}', &more));
    }
    p->where[0] = '\0';
    for (; p->at < p->n; p->at++)
        if (p->text[p->at] != ' ') return fail(p, "something other than spaces behind the closing '}'");
    return GS_OK;
}

gs_status gs_safetensors_parse(const char *text, size_t n, const char *path, gs_tensor_table *table, gs_error *err)
{
    parser p = {.text = text, .n = n, .path = path, .table = table, .cap = table->count, .err = err};
    if (table->arena == NULL) table->arena = gs_arena_create();
    p.names = gs_name_map_create(256);
    gs_str_init(&p.string);
    const gs_status status = read_document(&p);
    gs_str_release(&p.string);
    gs_name_map_free(p.names);
    return status;
}
