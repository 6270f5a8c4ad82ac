/* Checks of the directory itself: which files are there, can they be read, do they belong together.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "format/verify_checks.h"

#define WEIGHTS     "quant_model_weight"
#define DESCRIPTION "quant_model_description"
#define INDEX       ".safetensors.index.json"
#define MAX_JSON    ((size_t)256 << 20)

static bool ends_with(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* Calls fn for every entry that is not hidden. */
static gs_status each_file(gs_verify *v, gs_status (*fn)(gs_verify *, const char *, void *, gs_error *), void *ctx,
                           gs_error *err)
{
    DIR *dir = opendir(v->request->dir);
    if (!dir) return gs_fail_errno(err, errno, "%s: cannot list the directory", v->request->dir);
    gs_status status = GS_OK;
    for (const char *name; status == GS_OK && (name = gs_dir_next(dir, v->request->dir, &status, err));)
        if (name[0] != '.') status = fn(v, name, ctx, err);
    closedir(dir);
    return status;
}

typedef struct listing {
    int weights, indexes, strays, descriptions, tokenizers;
} listing;

static gs_status count_file(gs_verify *v, const char *name, void *ctx, gs_error *err)
{
    listing *l = ctx;
    (void)v;
    (void)err;
    const bool ours = strncmp(name, WEIGHTS, sizeof WEIGHTS - 1) == 0;
    if (ends_with(name, ".safetensors")) *(ours ? &l->weights : &l->strays) += 1;
    if (ends_with(name, INDEX)) l->indexes++;
    if (strncmp(name, DESCRIPTION, sizeof DESCRIPTION - 1) == 0 && ends_with(name, ".json")) l->descriptions++;
    if (strcmp(name, "tokenizer.model") == 0 || strcmp(name, "tokenizer.json") == 0) l->tokenizers++;
    return GS_OK;
}

static gs_status name_stray(gs_verify *v, const char *name, void *ctx, gs_error *err)
{
    (void)ctx;
    (void)err;
    const bool ours = strncmp(name, WEIGHTS, sizeof WEIGHTS - 1) == 0;
    if (ends_with(name, ".safetensors") && !ours) gs_verify_fail(v, NULL, "%s is none of the result's files", name);
    if (ends_with(name, "-of-00000.safetensors")) gs_verify_fail(v, NULL, "%s was never finished", name);
    return GS_OK;
}

GS_CHECK_DIRECTORY(strays) { return each_file(v, name_stray, NULL, err); }

/* A shard that no index names; only known once the index has been read. */
GS_CHECK_DIRECTORY(shards)
{
    listing l = {0};
    GS_TRY(each_file(v, count_file, &l, err));
    if (l.weights > v->q.checkpoint.n_files)
        gs_verify_fail(v, NULL, "%d files " WEIGHTS "*.safetensors lie in the directory, but %d belong to the result",
                       l.weights, v->q.checkpoint.n_files);
    if (l.descriptions > 1)
        gs_verify_fail(v, "The engine may read the description of another result.",
                       "%d descriptions (" DESCRIPTION "*.json) lie in the directory", l.descriptions);
    return GS_OK;
}

static gs_status parse_json(gs_verify *v, const char *name, void *ctx, gs_error *err)
{
    (void)ctx;
    if (!ends_with(name, ".json")) return GS_OK;
    char *path = gs_path_join(v->request->dir, name), *text = NULL;
    size_t n = 0;
    gs_status status = gs_file_read_all(path, MAX_JSON, &text, &n, err);
    if (status == GS_OK) {
        json_t *root = gs_json_parse(text, n, name, 64, err);
        if (!root) status = err->status;
        json_decref(root);
    }
    gs_free(text);
    gs_free(path);
    return gs_verify_absorb(v, status, err);
}

GS_CHECK_DIRECTORY(json) { return each_file(v, parse_json, NULL, err); }

GS_CHECK_DIRECTORY(tokenizer)
{
    listing l = {0};
    GS_TRY(each_file(v, count_file, &l, err));
    if (l.tokenizers == 0) gs_verify_fail(v, NULL, "neither tokenizer.model nor tokenizer.json is in the directory");
    static const char *const needed[] = {"tokenizer.model", "tokenizer_config.json"};
    for (int i = 0; i < 2; i++) {
        char *path = gs_path_join(v->request->dir, needed[i]), *text = NULL;
        size_t n = 1;
        gs_status status = GS_OK;
        if (gs_path_exists(path))
            status = gs_file_read_all(path, MAX_JSON, &text, &n, err);
        else if (i == 1)
            gs_verify_fail(v, NULL, "%s is not in the directory", needed[i]);
        if (status == GS_OK && n == 0) gs_verify_fail(v, NULL, "%s is empty", needed[i]);
        gs_free(text);
        gs_free(path);
        GS_TRY(gs_verify_absorb(v, status, err));
    }
    return GS_OK;
}

GS_CHECK_DIRECTORY(open)
{
    listing l = {0};
    GS_TRY(each_file(v, count_file, &l, err));
    char *other = gs_path_join(v->request->dir, "model.safetensors");
    const bool beside = l.weights > 0 && gs_path_exists(other);
    gs_free(other);
    if (beside) { /* the reader would take it for the weights */
        gs_verify_fail(v, NULL, "model.safetensors lies beside the result's weights; remove it to have them looked at");
        return GS_OK;
    }
    const gs_status status = gs_quantdir_open(&v->q, v->request->dir, err);
    v->opened = status == GS_OK;
    if (v->opened) v->config = gs_json_parse(v->q.config.text, v->q.config.text_bytes, "config.json", 64, err);
    return gs_verify_absorb(v, status, err);
}

GS_CHECK_DIRECTORY(index_size)
{
    (void)err;
    if (v->q.checkpoint.warning) gs_verify_fail(v, NULL, "%s", v->q.checkpoint.warning);
    return GS_OK;
}

static void lower(const char *from, char *to, size_t n)
{
    size_t i = 0;
    for (; from[i] && i + 1 < n; i++) to[i] = (char)tolower((unsigned char)from[i]);
    to[i] = '\0';
}

/* The file's name and config.json, where MindIE looks for the older layout's type. */
GS_CHECK_DIRECTORY(description_name)
{
    char type[48], wanted[96];
    (void)err;
    lower(gs_quant_type_name(v->q.type), type, sizeof type);
    const char *slash = strrchr(v->q.description_path, '/');
    const char *name = slash ? slash + 1 : v->q.description_path;
    const char *quantize = json_string_value(json_object_get(v->config, "quantize"));
    const bool typed = strcmp(name, DESCRIPTION ".json") != 0;
    snprintf(wanted, sizeof wanted, DESCRIPTION "_%s.json", type);
    if (typed && strcmp(name, wanted) != 0)
        gs_verify_fail(v, NULL, "%s holds model_quant_type %s; its name would be %s", name,
                       gs_quant_type_name(v->q.type), wanted);
    if (typed && !quantize) gs_verify_fail(v, NULL, "%s is typed, but config.json has no quantize", name);
    if (quantize && strcmp(quantize, type) != 0)
        gs_verify_fail(v, NULL, "config.json has quantize \"%.40s\", the description model_quant_type %s", quantize,
                       gs_quant_type_name(v->q.type));
    return GS_OK;
}
