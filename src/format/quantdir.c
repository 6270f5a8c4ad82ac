/* Opening a result directory: which description counts, what it says about the whole, and the files behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/quantdir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "io/json.h"

#define DESCRIPTION     "quant_model_description"
#define MAX_DESCRIPTION ((size_t)256 << 20)

static bool is_description(const char *name)
{
    static const char start[] = DESCRIPTION, end[] = ".json";
    const size_t n = strlen(name), a = sizeof start - 1, b = sizeof end - 1;
    return n >= a + b && strncmp(name, start, a) == 0 && strcmp(name + n - b, end) == 0;
}

static void take(char **to, const char *name)
{
    gs_free(*to);
    *to = gs_strdup(name);
}

gs_status gs_quantdir_find_description(const char *dir, char **name, gs_error *err)
{
    char *first = NULL, *last = NULL;
    *name = NULL;
    DIR *d = opendir(dir);
    if (d == NULL) return gs_fail_errno(err, errno, "%s: cannot list the directory", dir);
    gs_status status = GS_OK;
    for (const char *entry; (entry = gs_dir_next(d, dir, &status, err)) != NULL;) {
        if (!is_description(entry)) continue;
        if (first == NULL || strcmp(entry, first) < 0) take(&first, entry);
        if (last == NULL || strcmp(entry, last) > 0) take(&last, entry);
    }
    closedir(d);
    const bool plain = first != NULL && strcmp(first, DESCRIPTION ".json") == 0;
    if (status == GS_OK && first != NULL && !plain && strcmp(first, last) != 0)
        status = gs_fail(err, GS_ERR_FILE, "%s holds several descriptions (%s, %s): leave the one of these weights",
                         dir, first, last);
    else if (status == GS_OK)
        *name = first;
    if (status != GS_OK) gs_free(first);
    gs_free(last);
    return status;
}

static gs_status read_description(gs_quantdir *q, const char *dir, gs_error *err)
{
    char *name, *text;
    size_t n;
    GS_TRY(gs_quantdir_find_description(dir, &name, err));
    if (name == NULL)
        return gs_fail(err, GS_ERR_FILE,
                       "%s holds no " DESCRIPTION "*.json: give the directory that a quantization has written", dir);
    q->description_path = gs_path_join(dir, name);
    gs_free(name);
    GS_TRY(gs_file_read_all(q->description_path, MAX_DESCRIPTION, &text, &n, err));
    q->description = gs_json_parse(text, n, q->description_path, 64, err);
    gs_free(text);
    if (q->description == NULL) return err->status;
    if (json_is_object(q->description)) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: must be a JSON object; quantize again", q->description_path);
}

/* *out = NULL where the key is absent or null. */
static gs_status get_word(const gs_quantdir *q, const char *key, const char **out, gs_error *err)
{
    const json_t *v = json_object_get(q->description, key);
    *out = json_string_value(v);
    if (v == NULL || json_is_null(v) || (*out != NULL && strlen(*out) == json_string_length(v))) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: \"%s\" must be a string; quantize again", q->description_path, key);
}

static gs_status read_type(gs_quantdir *q, gs_error *err)
{
    const char *word;
    char shown[64];
    GS_TRY(get_word(q, "model_quant_type", &word, err));
    if (word == NULL)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: \"model_quant_type\" is missing; engines do not load it without: quantize again",
                       q->description_path);
    const gs_scheme *scheme = gs_scheme_find(word);
    if (scheme == NULL)
        return gs_fail(
            err, GS_ERR_UNSUPPORTED,
            "%s: model_quant_type \"%s\" is not a type this program knows: quantize again, or use a newer version",
            q->description_path, gs_printable(word, strlen(word), shown, sizeof shown));
    q->type = scheme->type;
    return GS_OK;
}

static gs_status read_general(gs_quantdir *q, gs_error *err)
{
    const char *word;
    GS_TRY(read_type(q, err));
    GS_TRY(get_word(q, "version", &word, err));
    q->format = word != NULL ? &gs_format_ascend_v1 : &gs_format_mindie;
    GS_TRY(get_word(q, "kv_quant_type", &q->kv_type, err));
    if (q->kv_type == NULL) GS_TRY(get_word(q, "kv_cache_type", &q->kv_type, err));
    GS_TRY(get_word(q, "fa_quant_type", &q->fa_type, err));
    GS_TRY(get_word(q, "reduce_quant_type", &q->reduce_type, err));
    const json_t *group = json_object_get(q->description, "group_size");
    if (group != NULL && (!json_is_integer(group) || json_integer_value(group) < 0))
        return gs_fail(err, GS_ERR_FILE, "%s: \"group_size\" must be a whole number, 0 or more", q->description_path);
    q->group_size = group != NULL ? json_integer_value(group) : 0;
    return GS_OK;
}

static gs_status open_all(gs_quantdir *q, const char *dir, gs_error *err)
{
    GS_TRY(read_description(q, dir, err));
    GS_TRY(read_general(q, err));
    GS_TRY(gs_config_read(&q->config, dir, err));
    GS_TRY(gs_family_find(&q->config, &q->family, err));
    return gs_checkpoint_open(&q->checkpoint, dir, err);
}

gs_status gs_quantdir_open(gs_quantdir *q, const char *dir, gs_error *err)
{
    *q = (gs_quantdir){.arena = gs_arena_create()};
    const gs_status status = open_all(q, dir, err);
    if (status != GS_OK) gs_quantdir_close(q);
    return status;
}

void gs_quantdir_close(gs_quantdir *q)
{
    gs_checkpoint_close(&q->checkpoint);
    gs_config_release(&q->config);
    if (q->description != NULL) json_decref(q->description);
    gs_free(q->description_path);
    gs_arena_free(q->arena);
    *q = (gs_quantdir){0};
}

const char *gs_quantdir_word(const gs_quantdir *q, const char *tensor_name)
{
    return json_string_value(json_object_get(q->description, tensor_name));
}
