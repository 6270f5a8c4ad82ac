/* Reading and rebuilding a golden case. A tensor comes from the case's own file, from the pool shared by the cases of a model,
 * or else is the float32 value of the model's tensor of that name. SPDX-License-Identifier: Apache-2.0 */
#include "golden_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/json.h"

#define MAX_TEXT (16u << 20)

/* Read a text into the arena, so that everything has one lifetime. */
static gs_status read_text(gs_arena *arena, const char *path, const char **data, size_t *n, gs_error *err)
{
    char *raw = NULL;
    GS_TRY(gs_file_read_all(path, MAX_TEXT, &raw, n, err));
    char *copy = gs_arena_alloc(arena, *n + 1);
    memcpy(copy, raw, *n);
    gs_free(raw);
    *data = copy;
    return GS_OK;
}

static gs_status header_entry(golden_tensor *t, const json_t *entry, const char *path, gs_error *err)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *span = json_object_get(entry, "data_offsets");
    if (dtype == NULL || !gs_dtype_find(dtype, strlen(dtype), &t->dtype) || json_array_size(shape) > GS_MAX_RANK ||
        json_array_size(span) != 2)
        return gs_fail(err, GS_ERR_FILE, "%s: %s: unusable entry", path, t->name);
    t->rank = (int)json_array_size(shape);
    t->elements = 1;
    for (int i = 0; i < t->rank; i++) {
        t->shape[i] = json_integer_value(json_array_get(shape, (size_t)i));
        t->elements *= t->shape[i];
    }
    t->begin = (uint64_t)json_integer_value(json_array_get(span, 0));
    t->bytes = (uint64_t)json_integer_value(json_array_get(span, 1)) - t->begin;
    if (t->bytes != (uint64_t)t->elements * gs_dtype_bytes(t->dtype))
        return gs_fail(err, GS_ERR_FILE, "%s: %s: shape and offsets disagree", path, t->name);
    return GS_OK;
}

static int by_offset(const void *a, const void *b)
{
    const golden_tensor *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Describe a set from header bytes alone. */
static gs_status parse_header(golden_set *set, gs_arena *arena, const char *path, gs_error *err)
{
    json_t *root = gs_json_parse(set->header, set->header_bytes, path, 8, err);
    if (root == NULL) return err->status;
    set->tensors = gs_arena_alloc(arena, (json_object_size(root) + 1) * sizeof *set->tensors);
    set->count = 0;
    gs_status status = GS_OK;
    const char *key = NULL;
    json_t *entry = NULL;
    json_object_foreach(root, key, entry)
    {
        if (strcmp(key, "__metadata__") == 0) continue;
        golden_tensor *t = &set->tensors[set->count++];
        t->name = gs_arena_strdup(arena, key);
        status = header_entry(t, entry, path, err);
        if (status != GS_OK) break;
    }
    json_decref(root);
    qsort(set->tensors, (size_t)set->count, sizeof *set->tensors, by_offset);
    return status;
}

gs_status golden_read_set(golden_set *set, gs_arena *arena, const char *path, gs_error *err)
{
    gs_file f = {.fd = -1};
    GS_TRY(gs_file_open(&f, path, err));
    /* The program's own reader checks the file first: the bounds below rest on it. */
    gs_tensor_table table = {0};
    gs_status status = gs_safetensors_read_header(&f, &table, err);
    gs_tensor_table_release(&table);
    if (status != GS_OK) goto done;
    unsigned char *all = gs_arena_alloc(arena, f.size + 1);
    status = gs_file_pread(&f, 0, all, f.size, err);
    if (status != GS_OK) goto done;
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; i--) header_bytes = header_bytes << 8 | all[i];
    set->header = (const char *)all + 8;
    set->header_bytes = header_bytes;
    status = parse_header(set, arena, path, err);
    if (status != GS_OK) goto done;
    for (int i = 0; i < set->count; i++) set->tensors[i].data = all + 8 + header_bytes + set->tensors[i].begin;
done:
    gs_file_close(&f);
    return status;
}

const golden_tensor *golden_find(const golden_set *set, const char *name)
{
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->tensors[i].name, name) == 0) return &set->tensors[i];
    return NULL;
}

const golden_tensor *golden_find_part(const golden_set *set, const char *layer, const char *part)
{
    const size_t n = strlen(layer);
    for (int i = 0; i < set->count; i++) {
        const char *name = set->tensors[i].name;
        if (strncmp(name, layer, n) == 0 && name[n] == '.' && strcmp(name + n + 1, part) == 0) return &set->tensors[i];
    }
    return NULL;
}

static gs_status take_line(golden *g, char *line, gs_error *err)
{
    char *value = strchr(line, ' ');
    if (value == NULL) return gs_fail(err, GS_ERR_FILE, "%s/case.txt: line '%s' has no value", g->dir, line);
    *value++ = '\0';
    if (strcmp(line, "model") == 0)
        g->model = value;
    else if (strcmp(line, "calib") == 0)
        g->calib = value;
    else if (strcmp(line, "anti") == 0)
        g->anti = value;
    else if (strcmp(line, "arg") == 0)
        g->args[g->n_args++] = value;
    else if (strcmp(line, "file") == 0) {
        golden_file *f = &g->files[g->n_files++];
        char *kind = strchr(value, ' ');
        char *name = kind != NULL ? strchr(kind + 1, ' ') : NULL;
        if (name == NULL)
            return gs_fail(err, GS_ERR_FILE, "%s/case.txt: file '%s' needs mode, kind, name", g->dir, value);
        *kind++ = '\0';
        *name++ = '\0';
        *f = (golden_file){.name = name, .kind = kind, .mode = (unsigned)strtoul(value, NULL, 8)};
    } else
        return gs_fail(err, GS_ERR_FILE, "%s/case.txt: unknown word '%s'", g->dir, line);
    return GS_OK;
}

static gs_status read_case(golden *g, gs_error *err)
{
    const char *text = NULL;
    size_t n = 0;
    GS_TRY(read_text(g->arena, gs_arena_printf(g->arena, "%s/case.txt", g->dir), &text, &n, err));
    size_t lines = 1;
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    g->args = gs_arena_alloc(g->arena, lines * sizeof *g->args);
    g->files = gs_arena_alloc(g->arena, lines * sizeof *g->files);
    char *line = gs_arena_strdup(g->arena, text);
    for (char *end = NULL; line != NULL && *line != '\0'; line = end) {
        end = strchr(line, '\n');
        if (end != NULL) *end++ = '\0';
        if (*line != '\0' && *line != '#') GS_TRY(take_line(g, line, err));
    }
    if (g->model == NULL || g->n_files == 0)
        return gs_fail(err, GS_ERR_FILE, "%s/case.txt: no model or no files", g->dir);
    return GS_OK;
}

gs_status golden_open(golden *g, const char *case_dir, gs_error *err)
{
    *g = (golden){.arena = gs_arena_create()};
    char *dir = gs_arena_strdup(g->arena, case_dir);
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--) dir[n - 1] = '\0';
    g->dir = dir;
    g->name = strrchr(dir, '/') != NULL ? strrchr(dir, '/') + 1 : dir;
    GS_TRY(read_case(g, err));
    g->model_dir = gs_arena_printf(g->arena, "%s/../../models/%s", dir, g->model);
    GS_TRY(gs_checkpoint_open(&g->checkpoint, g->model_dir, err));
    for (int i = 0; i < g->n_files; i++) {
        golden_file *f = &g->files[i];
        if (strcmp(f->kind, "tensors") != 0) continue;
        const char *path = gs_arena_printf(g->arena, "%s/%s.header", dir, f->name);
        f->set.name = f->name;
        GS_TRY(read_text(g->arena, path, &f->set.header, &f->set.header_bytes, err));
        GS_TRY(parse_header(&f->set, g->arena, path, err));
    }
    return GS_OK;
}

void golden_close(golden *g)
{
    gs_checkpoint_close(&g->checkpoint);
    gs_arena_free(g->arena);
    *g = (golden){0};
}

const char *golden_arg(const golden *g, const char *option)
{
    for (int i = 0; i + 1 < g->n_args; i++)
        if (strcmp(g->args[i], option) == 0) return g->args[i + 1];
    return NULL;
}

/* The pool may hold the codes of a weight that this case keeps in float: the type decides. */
static void take_from(golden_tensor *t, const golden_set *source)
{
    const golden_tensor *s = golden_find(source, t->name);
    if (t->data == NULL && s != NULL && s->dtype == t->dtype && s->bytes == t->bytes) t->data = s->data;
}

gs_status golden_load(golden *g, golden_set *set, gs_error *err)
{
    const char *own_path = gs_arena_printf(g->arena, "%s/%s.own.safetensors", g->dir, set->name);
    const char *pool_path = gs_arena_printf(g->arena, "%s/../../pool/%s.safetensors", g->dir, g->model);
    golden_set own = {0}, pool = {0};
    if (gs_path_exists(own_path)) GS_TRY(golden_read_set(&own, g->arena, own_path, err));
    GS_TRY(golden_read_set(&pool, g->arena, pool_path, err));
    for (int i = 0; i < set->count; i++) {
        golden_tensor *t = &set->tensors[i];
        take_from(t, &own);
        take_from(t, &pool);
        if (t->data != NULL) continue;
        const gs_tensor *m = gs_checkpoint_find(&g->checkpoint, t->name);
        if (m == NULL || t->dtype != GS_F32 || m->elements != t->elements)
            return gs_fail(err, GS_ERR_FILE, "%s: %s is neither stored nor a tensor of %s", g->dir, t->name, g->model);
        float *values = gs_arena_alloc(g->arena, t->bytes + 1);
        GS_TRY(gs_checkpoint_read_f32(&g->checkpoint, m, values, err));
        t->data = (const unsigned char *)values;
    }
    return GS_OK;
}

gs_status golden_bytes(golden *g, const golden_file *file, const char **data, size_t *n, gs_error *err)
{
    const char *dir = strcmp(file->kind, "model") == 0 ? g->model_dir : g->dir;
    return read_text(g->arena, gs_arena_printf(g->arena, "%s/%s", dir, file->name), data, n, err);
}

/* length, header and data in one piece */
static gs_status join_set(golden *g, golden_set *set, const char **data, size_t *n, gs_error *err)
{
    GS_TRY(golden_load(g, set, err));
    uint64_t end = 0;
    for (int i = 0; i < set->count; i++)
        if (set->tensors[i].begin + set->tensors[i].bytes > end) end = set->tensors[i].begin + set->tensors[i].bytes;
    *n = 8 + set->header_bytes + end;
    unsigned char *out = gs_arena_alloc(g->arena, *n);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)((uint64_t)set->header_bytes >> (8 * i));
    memcpy(out + 8, set->header, set->header_bytes);
    for (int i = 0; i < set->count; i++)
        memcpy(out + 8 + set->header_bytes + set->tensors[i].begin, set->tensors[i].data, set->tensors[i].bytes);
    *data = (const char *)out;
    return GS_OK;
}

gs_status golden_expand(golden *g, const char *dir, gs_error *err)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST) return gs_fail_errno(err, errno, "%s", dir);
    if (chmod(dir, 0750) != 0) return gs_fail_errno(err, errno, "%s", dir);
    for (int i = 0; i < g->n_files; i++) {
        golden_file *f = &g->files[i];
        const char *data = NULL;
        size_t n = 0;
        if (strcmp(f->kind, "tensors") == 0)
            GS_TRY(join_set(g, &f->set, &data, &n, err));
        else
            GS_TRY(golden_bytes(g, f, &data, &n, err));
        GS_TRY(gs_file_write_all(gs_arena_printf(g->arena, "%s/%s", dir, f->name), data, n, f->mode, err));
    }
    return GS_OK;
}
