/* The reverse of json.c's record. SPDX-License-Identifier: Apache-2.0 */
#include "report/read.h"

#include <math.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "recipe/options.h"

#define MAX_BYTES ((size_t)256 << 20)

typedef struct reader {
    gs_report_file *f;
    char *path;
    gs_error *err;
} reader;

static gs_status wrong(const reader *r, const char *key, const char *wanted)
{
    return gs_fail(r->err, GS_ERR_FILE, "%s: \"%s\" must be %s; run quant again, or remove the file", r->path, key,
                   wanted);
}

/* Absent and null are the same: unknown. */
static gs_status get_text(const reader *r, const json_t *o, const char *key, const char **out)
{
    const json_t *v = json_object_get(o, key);
    *out = NULL;
    if (v == NULL || json_is_null(v)) return GS_OK;
    if (!json_is_string(v)) return wrong(r, key, "a text");
    *out = gs_arena_strdup(r->f->arena, json_string_value(v));
    return GS_OK;
}

static gs_status need_text(const reader *r, const json_t *o, const char *key, const char **out)
{
    GS_TRY(get_text(r, o, key, out));
    return *out != NULL ? GS_OK : wrong(r, key, "a text");
}

static gs_status get_number(const reader *r, const json_t *o, const char *key, double *out)
{
    const json_t *v = json_object_get(o, key);
    *out = NAN;
    if (v == NULL || json_is_null(v)) return GS_OK;
    if (!json_is_number(v)) return wrong(r, key, "a number");
    *out = json_number_value(v);
    return GS_OK;
}

static gs_status get_count(const reader *r, const json_t *o, const char *key, int64_t least, int64_t *out)
{
    const json_t *v = json_object_get(o, key);
    *out = least;
    if (v == NULL || json_is_null(v)) return GS_OK;
    if (!json_is_integer(v) || json_integer_value(v) < least) return wrong(r, key, "a count");
    *out = json_integer_value(v);
    return GS_OK;
}

static gs_status get_bytes(const reader *r, const json_t *o, const char *key, uint64_t *out)
{
    int64_t n;
    GS_TRY(get_count(r, o, key, 0, &n));
    *out = (uint64_t)n;
    return GS_OK;
}

/* The list under a key; *n = 0 when it is absent. */
static gs_status get_list(const reader *r, const json_t *o, const char *key, const json_t **list, int *n)
{
    *list = json_object_get(o, key);
    *n = 0;
    if (*list == NULL || json_is_null(*list)) return GS_OK;
    if (!json_is_array(*list) || json_array_size(*list) > 1000000) return wrong(r, key, "a list");
    for (size_t i = 0; i < json_array_size(*list); i++)
        if (!json_is_object(json_array_get(*list, i))) return wrong(r, key, "a list of objects");
    *n = (int)json_array_size(*list);
    return GS_OK;
}

typedef struct number_key {
    const char *key;
    double *to;
} number_key;

static gs_status get_numbers(const reader *r, const json_t *o, const number_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) GS_TRY(get_number(r, o, keys[i].key, keys[i].to));
    return GS_OK;
}

static gs_status read_linear(const reader *r, const json_t *o, gs_linear_result *l)
{
    GS_TRY(need_text(r, o, "name", &l->name));
    GS_TRY(need_text(r, o, "type", &l->type));
    GS_TRY(get_text(r, o, "why_float", &l->why_float));
    GS_TRY(get_text(r, o, "observer", &l->observer));
    GS_TRY(get_count(r, o, "out", 0, &l->out));
    GS_TRY(get_count(r, o, "in", 0, &l->in));
    const number_key keys[] = {{"score", &l->score},
                               {"range_min", &l->range_min},
                               {"range_max", &l->range_max},
                               {"input_scale", &l->input_scale},
                               {"input_offset", &l->input_offset},
                               {"weight_scale_min", &l->weight_scale_min},
                               {"weight_scale_max", &l->weight_scale_max},
                               {"weight_sqnr_db", &l->weight_sqnr_db}};
    return get_numbers(r, o, keys, sizeof keys / sizeof keys[0]);
}

static gs_status read_group(const reader *r, const json_t *o, gs_group_result *g)
{
    const char *name;
    int64_t block;
    GS_TRY(need_text(r, o, "name", &name));
    GS_TRY(need_text(r, o, "linear", &g->linear));
    GS_TRY(need_text(r, o, "method", &g->method));
    GS_TRY(get_text(r, o, "rule", &g->branch));
    GS_TRY(get_count(r, o, "block", 0, &block));
    GS_TRY(get_count(r, o, "scaled_channels", -1, &g->scaled_channels));
    if (block > 100000) return wrong(r, "block", "the number of a block");
    g->name = gs_arena_strdup(r->f->arena, name);
    g->block = (int)block;
    const number_key keys[] = {{"alpha", &g->alpha},
                               {"beta", &g->beta},
                               {"threshold", &g->threshold},
                               {"loss_before", &g->loss_before},
                               {"loss_after", &g->loss_after},
                               {"range_before", &g->range_before},
                               {"range_after", &g->range_after}};
    return get_numbers(r, o, keys, sizeof keys / sizeof keys[0]);
}

static gs_status read_input(const reader *r, const json_t *o, gs_input_file *f)
{
    const char *name, *sum;
    GS_TRY(need_text(r, o, "kind", &f->kind));
    GS_TRY(get_text(r, o, "name", &name));
    GS_TRY(get_bytes(r, o, "bytes", &f->bytes));
    GS_TRY(need_text(r, o, strcmp(f->kind, "weights") == 0 ? "sample_sha256" : "sha256", &sum));
    if (sum == NULL || strlen(sum) >= sizeof f->sha256) return wrong(r, "sha256", "64 hexadecimal digits");
    memcpy(f->sha256, sum, strlen(sum) + 1);
    f->name = name != NULL ? gs_arena_strdup(r->f->arena, name) : NULL;
    return GS_OK;
}

static gs_status read_file(const reader *r, const json_t *o, gs_output_file *f)
{
    GS_TRY(need_text(r, o, "name", &f->name));
    GS_TRY(get_count(r, o, "tensors", 0, &f->n_tensors));
    return get_bytes(r, o, "bytes", &f->bytes);
}

static gs_status read_type(const reader *r, const json_t *o, gs_type_total *t)
{
    GS_TRY(need_text(r, o, "type", &t->type));
    GS_TRY(get_count(r, o, "tensors", 0, &t->n_tensors));
    return get_bytes(r, o, "bytes", &t->bytes);
}

/* Every row of a list into an array of the arena. */
#define READ_ROWS(key, array, count, read_one)                                                                         \
    do {                                                                                                               \
        GS_TRY(get_list(r, doc, key, &list, &n));                                                                      \
        (array) = gs_arena_alloc(r->f->arena, ((size_t)n + 1) * sizeof *(array));                                      \
        for (int i = 0; i < n; i++) GS_TRY(read_one(r, json_array_get(list, (size_t)i), &(array)[i]));                 \
        (count) = n;                                                                                                   \
    } while (0)

static gs_status read_rows(const reader *r, const json_t *doc)
{
    gs_report *p = &r->f->report;
    const json_t *list;
    int n;
    READ_ROWS("inputs", p->inputs, p->n_inputs, read_input);
    READ_ROWS("files", p->files, p->n_files, read_file);
    READ_ROWS("groups", p->groups, p->n_groups, read_group);
    READ_ROWS("linears", p->linears, p->n_linears, read_linear);
    return GS_OK;
}

static gs_status read_report(const reader *r, const json_t *doc)
{
    gs_report *p = &r->f->report;
    const json_t *list;
    const char *type;
    int n;
    if (!json_is_object(doc)) return gs_fail(r->err, GS_ERR_FILE, "%s: must be a JSON object", r->path);
    GS_TRY(need_text(r, doc, "quant_type", &type));
    p->quant_type = gs_arena_strdup(r->f->arena, type);
    p->output = r->f->dir;
    GS_TRY(gs_recipe_from_json(&r->f->recipe, r->f->arena, json_object_get(doc, "recipe"), r->path, r->err));
    GS_TRY(get_count(r, doc, "samples", 0, &p->n_samples));
    GS_TRY(get_count(r, doc, "tokens", 0, &p->n_tokens));
    GS_TRY(get_bytes(r, doc, "input_bytes", &p->input_bytes));
    GS_TRY(get_bytes(r, doc, "output_bytes", &p->output_bytes));
    GS_TRY(read_rows(r, doc));
    GS_TRY(get_list(r, doc, "types", &list, &n));
    if (n > (int)(sizeof p->types / sizeof p->types[0])) return wrong(r, "types", "a shorter list");
    for (int i = 0; i < n; i++) GS_TRY(read_type(r, json_array_get(list, (size_t)i), &p->types[i]));
    p->n_types = n;
    return GS_OK;
}

static gs_status read_text(reader *r)
{
    char *text;
    size_t n;
    GS_TRY(gs_file_read_all(r->path, MAX_BYTES, &text, &n, r->err));
    json_t *doc = gs_json_parse(text, n, r->path, 16, r->err);
    gs_free(text);
    if (doc == NULL) return GS_ERR_FILE;
    const gs_status status = read_report(r, doc);
    json_decref(doc);
    r->f->found = status == GS_OK;
    return status;
}

gs_status gs_report_file_read(gs_report_file *f, const char *dir, gs_error *err)
{
    gs_error scratch = {.status = GS_OK};
    *f = (gs_report_file){.arena = gs_arena_create()};
    f->dir = gs_arena_strdup(f->arena, dir);
    reader r = {.f = f, .path = gs_path_join(dir, GS_REPORT_FILE), .err = err != NULL ? err : &scratch};
    const gs_status status = gs_path_exists(r.path) ? read_text(&r) : GS_OK;
    gs_free(r.path);
    if (status != GS_OK) gs_report_file_release(f);
    return status;
}

void gs_report_file_release(gs_report_file *f)
{
    if (f->arena != NULL) gs_arena_free(f->arena);
    *f = (gs_report_file){0};
}
