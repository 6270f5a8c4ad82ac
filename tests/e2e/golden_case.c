/* Reading and rebuilding a golden case. The list of keys says of every tensor where it is: in the pool shared by the cases of a
 * model, in the model itself, or that it follows from others. SPDX-License-Identifier: Apache-2.0 */
#include "golden_case.h"

#include <errno.h>
#include <stdio.h>
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

/* The program's own reader checks the file first: the bounds of what follows rest on it. */
static gs_status read_header(golden_set *set, gs_arena *arena, const gs_file *f, gs_error *err)
{
    gs_tensor_table table = {0};
    const gs_status status = gs_safetensors_read_header(f, &table, err);
    gs_tensor_table_release(&table);
    if (status != GS_OK) return status;
    unsigned char length[8];
    GS_TRY(gs_file_pread(f, 0, length, sizeof length, err));
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | length[i];
    char *header = gs_arena_alloc(arena, n);
    GS_TRY(gs_file_pread(f, 8, header, n, err));
    set->header = header;
    set->header_bytes = n;
    return parse_header(set, arena, f->path, err);
}

gs_status golden_read_set(golden_set *set, gs_arena *arena, const char *path, gs_error *err)
{
    gs_file f = {.fd = -1};
    GS_TRY(gs_file_open(&f, path, err));
    gs_status status = read_header(set, arena, &f, err);
    if (status != GS_OK) goto done;
    const uint64_t base = 8 + set->header_bytes;
    unsigned char *data = gs_arena_alloc(arena, f.size - base + 1);
    status = gs_file_pread(&f, base, data, f.size - base, err);
    for (int i = 0; i < set->count; i++) set->tensors[i].data = data + set->tensors[i].begin;
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

static gs_status take_rules(golden *g, const char *word, gs_error *err)
{
    static const char *const words[] = {
        [GOLDEN_EXACT] = "exact",
        [GOLDEN_SMOOTHED] = "smoothed",
        [GOLDEN_SEARCHED] = "searched",
        [GOLDEN_FORM] = "form",
    };
    for (int i = 0; i <= GOLDEN_FORM; i++) {
        g->rules = (golden_rules)i;
        if (strcmp(words[i], word) == 0) return GS_OK;
    }
    return gs_fail(err, GS_ERR_FILE, "%s/case.txt: unknown rules '%s'", g->dir, word);
}

static gs_status take_line(golden *g, char *line, gs_error *err)
{
    char *value = strchr(line, ' ');
    if (value == NULL) return gs_fail(err, GS_ERR_FILE, "%s/case.txt: line '%s' has no value", g->dir, line);
    *value++ = '\0';
    if (strcmp(line, "group") == 0)
        g->group = value;
    else if (strcmp(line, "rules") == 0)
        return take_rules(g, value, err);
    else if (strcmp(line, "like") == 0) {
        if (g->n_like == GOLDEN_MAX_LIKE)
            return gs_fail(err, GS_ERR_FILE, "%s/case.txt: more than %d lines 'like'", g->dir, GOLDEN_MAX_LIKE);
        g->like[g->n_like++] = value;
    } else if (strcmp(line, "model") == 0)
        g->model = value;
    else if (strcmp(line, "calib") == 0)
        g->calib = value;
    else if (strcmp(line, "anti") == 0)
        g->anti = value;
    else if (strcmp(line, "less") == 0)
        g->less = value;
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
    if (g->model == NULL || g->group == NULL || g->n_files == 0)
        return gs_fail(err, GS_ERR_FILE, "%s/case.txt: no group, no model or no files", g->dir);
    return GS_OK;
}

/* Where a stored file of the case is: here, or with the first case it is like. */
static const char *stored_path(const golden *g, const char *name, const char *suffix)
{
    const char *path = gs_arena_printf(g->arena, "%s/%s%s", g->dir, name, suffix);
    for (int i = 0; i < g->n_like && !gs_path_exists(path); i++)
        path = gs_arena_printf(g->arena, "%s/../%s/%s%s", g->dir, g->like[i], name, suffix);
    return path;
}

/* The names of the pool and their places; data is read when it is asked for. */
static gs_status open_pool(golden *g, gs_error *err)
{
    const char *path = gs_arena_printf(g->arena, "%s/../../pool/%s.safetensors", g->dir, g->model);
    GS_TRY(gs_file_open(&g->pool_file, path, err));
    return read_header(&g->pool, g->arena, &g->pool_file, err);
}

gs_status golden_open(golden *g, const char *case_dir, gs_error *err)
{
    *g = (golden){.arena = gs_arena_create(), .pool_file = {.fd = -1}};
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
        const char *path = stored_path(g, f->name, ".header");
        f->set.name = f->name;
        GS_TRY(read_text(g->arena, path, &f->set.header, &f->set.header_bytes, err));
        GS_TRY(parse_header(&f->set, g->arena, path, err));
    }
    return GS_OK;
}

void golden_close(golden *g)
{
    gs_checkpoint_close(&g->checkpoint);
    gs_file_close(&g->pool_file);
    gs_arena_free(g->arena);
    *g = (golden){0};
}

const char *golden_arg(const golden *g, const char *option)
{
    for (int i = 0; i + 1 < g->n_args; i++)
        if (strcmp(g->args[i], option) == 0) return g->args[i + 1];
    return NULL;
}

/* The value of the model's tensor of that name. */
static gs_status from_model(golden *g, golden_tensor *t, gs_error *err)
{
    const gs_tensor *m = gs_checkpoint_find(&g->checkpoint, t->name);
    if (m == NULL || t->dtype != GS_F32 || m->elements != t->elements)
        return gs_fail(err, GS_ERR_FILE, "%s: %s is not a tensor of %s", g->dir, t->name, g->model);
    float *values = gs_arena_alloc(g->arena, t->bytes + 1);
    GS_TRY(gs_checkpoint_read_f32(&g->checkpoint, m, values, err));
    t->data = (const unsigned char *)values;
    return GS_OK;
}

static int by_name(const void *key, const void *tensor) { return strcmp(key, ((const golden_tensor *)tensor)->name); }

static gs_status from_pool(golden *g, golden_tensor *t, const char *key, gs_error *err)
{
    golden_tensor *p =
        bsearch(key, g->pool.tensors, (size_t)g->pool.count, sizeof *g->pool.tensors, by_name); /* sorted by name */
    if (p == NULL || p->dtype != t->dtype || p->bytes != t->bytes)
        return gs_fail(err, GS_ERR_FILE, "%s: %s: the pool of %s has no fitting tensor %s", g->dir, t->name, g->model,
                       key);
    unsigned char *data = gs_arena_alloc(g->arena, t->bytes + 1);
    GS_TRY(gs_file_pread(&g->pool_file, 8 + g->pool.header_bytes + p->begin, data, t->bytes, err));
    t->data = data;
    return GS_OK;
}

/* One word per tensor, in the order of the data. What follows from other tensors comes after them. */
gs_status golden_load(golden *g, golden_set *set, gs_error *err)
{
    const char *text = NULL;
    size_t n = 0;
    const char *path = stored_path(g, set->name, ".keys");
    GS_TRY(read_text(g->arena, path, &text, &n, err));
    if (g->pool.tensors == NULL) GS_TRY(open_pool(g, err));
    char *rest = gs_arena_strdup(g->arena, text);
    const char **how = gs_arena_alloc(g->arena, (size_t)(set->count + 1) * sizeof *how);
    for (int i = 0; i < set->count; i++) {
        golden_tensor *t = &set->tensors[i];
        how[i] = strsep(&rest, "\n");
        if (how[i] == NULL || how[i][0] == '\0')
            return gs_fail(err, GS_ERR_FILE, "%s: fewer keys than the %d tensors", path, set->count);
        if (strcmp(how[i], "-") == 0)
            GS_TRY(from_model(g, t, err));
        else if (!golden_follows(how[i]))
            GS_TRY(from_pool(g, t, how[i], err));
    }
    for (int i = 0; i < set->count; i++)
        if (set->tensors[i].data == NULL && strncmp(how[i], "codes", 5) == 0)
            GS_TRY(golden_follow(g, set, &set->tensors[i], how[i], err));
    for (int i = 0; i < set->count; i++)
        if (set->tensors[i].data == NULL) GS_TRY(golden_follow(g, set, &set->tensors[i], how[i], err));
    return GS_OK;
}

gs_status golden_bytes(golden *g, const golden_file *file, const char **data, size_t *n, gs_error *err)
{
    const char *path = strcmp(file->kind, "model") == 0 ? gs_arena_printf(g->arena, "%s/%s", g->model_dir, file->name)
                                                        : stored_path(g, file->name, "");
    return read_text(g->arena, path, data, n, err);
}

/* length, header and data in one piece; zeros where no numbers are stored */
static gs_status join_set(golden *g, golden_set *set, const char **data, size_t *n, gs_error *err)
{
    if (g->rules != GOLDEN_FORM) GS_TRY(golden_load(g, set, err));
    uint64_t end = 0;
    for (int i = 0; i < set->count; i++)
        if (set->tensors[i].begin + set->tensors[i].bytes > end) end = set->tensors[i].begin + set->tensors[i].bytes;
    *n = 8 + set->header_bytes + end;
    unsigned char *out = gs_arena_alloc(g->arena, *n);
    memset(out, 0, *n);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)((uint64_t)set->header_bytes >> (8 * i));
    memcpy(out + 8, set->header, set->header_bytes);
    for (int i = 0; i < set->count && g->rules != GOLDEN_FORM; i++)
        memcpy(out + 8 + set->header_bytes + set->tensors[i].begin, set->tensors[i].data, set->tensors[i].bytes);
    *data = (const char *)out;
    return GS_OK;
}

/* Without a sync: nobody's work is in it. */
static gs_status write_file(const char *path, const char *data, size_t n, unsigned mode, gs_error *err)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) return gs_fail_errno(err, errno, "%s", path);
    const bool written = fwrite(data, 1, n, f) == n;
    if (fclose(f) != 0 || !written || chmod(path, mode) != 0) return gs_fail_errno(err, errno, "%s", path);
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
        GS_TRY(write_file(gs_arena_printf(g->arena, "%s/%s", dir, f->name), data, n, f->mode, err));
    }
    return GS_OK;
}
