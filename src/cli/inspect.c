/* `glmslim inspect`: what is in a safetensors file, a checkpoint or a quantized directory. Only headers and JSON are read.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/inspect.h"

#include <stdio.h>
#include <string.h>

#include "format/quantdir.h"
#include "model/family.h"

#define MAX_DESCRIPTION ((size_t)256 << 20)

typedef struct inspect_args {
    gs_cli_common common;
    bool all;
} inspect_args;

static const gs_option rows[] = {
    {"all", GS_OPT_FLAG, offsetof(inspect_args, all), NULL, NULL, "every tensor on its own line", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_inspect = {
    "FILE|DIR [options]",
    "Show configuration, files, tensors, types and sizes of a safetensors file, a float checkpoint or a quantized\n"
    "directory. Tensors of the same kind in all blocks share a line. Only headers are read.",
    rows, (int)(sizeof rows / sizeof rows[0]), 1};

static gs_status read_description(gs_inspect *v, gs_error *err)
{
    char *name, *text;
    size_t n;
    GS_TRY(gs_quantdir_find_description(v->path, &name, err));
    if (name == NULL) return GS_OK;
    char *path = gs_path_join(v->path, name);
    gs_status status = gs_file_read_all(path, MAX_DESCRIPTION, &text, &n, err);
    if (status == GS_OK) {
        v->description = gs_json_parse(text, n, path, 64, err);
        if (v->description == NULL)
            status = err->status;
        else if (!json_is_object(v->description))
            status = gs_fail(err, GS_ERR_FILE, "%s: must be a JSON object", path);
        gs_free(text);
    }
    v->description_name = name;
    gs_free(path);
    return status;
}

/* A directory without a readable config.json is still worth showing. */
static void read_config(gs_inspect *v)
{
    char *path = gs_path_join(v->path, "config.json");
    if (gs_path_exists(path)) {
        gs_error err;
        gs_config config = {0};
        if (gs_config_read(&config, v->path, &err) == GS_OK) {
            v->config = config;
            v->has_config = true;
            const gs_family *family;
            if (gs_family_find(&v->config, &family, &err) == GS_OK) v->title = family->title;
        } else {
            gs_config_release(&config);
            gs_screen_warning(err.text);
        }
    }
    gs_free(path);
}

static gs_status open_directory(gs_inspect *v, gs_error *err)
{
    GS_TRY(read_description(v, err));
    GS_TRY(gs_checkpoint_open(&v->checkpoint, v->path, err));
    v->opened = true;
    if (v->checkpoint.warning != NULL) gs_screen_warning(v->checkpoint.warning);
    read_config(v);
    v->table = &v->checkpoint.table;
    v->files = v->checkpoint.files;
    v->n_files = v->checkpoint.n_files;
    v->kind = v->description != NULL ? "quantized" : "checkpoint";
    return GS_OK;
}

static gs_status open_file(gs_inspect *v, gs_error *err)
{
    GS_TRY(gs_file_open(&v->file, v->path, err));
    GS_TRY(gs_safetensors_read_header(&v->file, &v->own_table, err));
    v->table = &v->own_table;
    v->files = &v->file;
    v->n_files = 1;
    v->kind = "file";
    return GS_OK;
}

const char *gs_inspect_type(const gs_inspect *v, const gs_tensor *t)
{
    if (v->description == NULL) return NULL;
    return json_string_value(json_object_get(v->description, t->name));
}

static void release(gs_inspect *v)
{
    if (v->description != NULL) json_decref(v->description);
    gs_free(v->description_name);
    if (v->has_config) gs_config_release(&v->config);
    if (v->opened) gs_checkpoint_close(&v->checkpoint);
    gs_tensor_table_release(&v->own_table);
    gs_file_close(&v->file);
}

static gs_status run(const inspect_args *a, const char *path, gs_error *err)
{
    gs_inspect v = {.path = path, .file = {.fd = -1}};
    gs_status status = gs_path_is_dir(path) ? open_directory(&v, err) : open_file(&v, err);
    if (status == GS_OK) {
        gs_str text;
        gs_str_init(&text);
        gs_inspect_text(&v, a->all, &text);
        fwrite(text.data, 1, text.len, stdout);
        gs_str_release(&text);
        if (a->common.json != NULL) {
            size_t n;
            char *json = gs_inspect_json(&v, &n);
            status = gs_cli_write_json(a->common.json, json, n, err);
            gs_free(json);
        }
    }
    release(&v);
    return status;
}

int gs_cmd_inspect(int argc, char **argv)
{
    inspect_args a = {.all = false};
    const char *words[1];
    int n, code;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_inspect, argc, argv, &a, words, &n, &code)) return code;
    if (n < 1)
        return gs_cli_finish(
            gs_fail(&err, GS_ERR_USAGE, "inspect needs a safetensors file or a directory: glmslim inspect FILE|DIR"),
            &err);
    return gs_cli_finish(run(&a, words[0], &err), &err);
}
