/* Inspect as JSON. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/inspect.h"

static void put_config(gs_json_out *j, const gs_config *c)
{
    gs_json_out_key(j, "config");
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "model_type", c->model_type);
    gs_json_put_text(j, "torch_dtype", c->torch_dtype);
    gs_json_put_int(j, "hidden", c->hidden);
    gs_json_put_int(j, "layers", c->layers);
    gs_json_put_int(j, "heads", c->heads);
    gs_json_put_int(j, "groups", c->groups);
    gs_json_put_int(j, "head_dim", c->head_dim);
    gs_json_put_int(j, "ffn", c->ffn);
    gs_json_put_int(j, "vocab", c->vocab);
    gs_json_put_int(j, "max_positions", c->max_positions);
    gs_json_out_key(j, "rope_base");
    gs_json_out_double(j, c->rope_base);
    gs_json_out_key(j, "norm_eps");
    gs_json_out_float(j, c->norm_eps);
    gs_json_out_end(j);
}

static void put_tensor(gs_json_out *j, const gs_inspect *v, const gs_tensor *t)
{
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "name", t->name);
    gs_json_put_text(j, "dtype", gs_dtype_name(t->dtype));
    gs_json_out_key(j, "shape");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < t->rank; i++) gs_json_out_int(j, t->shape[i]);
    gs_json_out_end(j);
    gs_json_put_int(j, "bytes", (int64_t)t->bytes);
    gs_json_put_int(j, "offset", (int64_t)t->offset);
    gs_json_put_int(j, "file", t->file);
    if (v->description != NULL) gs_json_put_text(j, "type", gs_inspect_type(v, t));
    gs_json_out_end(j);
}

static void put_description(gs_json_out *j, const gs_inspect *v)
{
    const char *key;
    json_t *value;
    gs_json_out_key(j, "quantization");
    gs_json_out_begin(j, '{');
    json_object_foreach(v->description, key, value)
    {
        if (gs_checkpoint_find(&v->checkpoint, key) != NULL) continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
        if (text == NULL) continue;
        gs_json_out_key(j, key);
        gs_json_out_raw(j, text);
        free(text);
    }
    gs_json_out_end(j);
}

char *gs_inspect_json(const gs_inspect *v, size_t *n)
{
    gs_json_out *j = gs_json_out_create(1);
    gs_json_out_begin(j, '{');
    gs_json_put_text(j, "path", v->path);
    gs_json_put_text(j, "kind", v->kind);
    if (v->has_config) put_config(j, &v->config);
    if (v->description != NULL) put_description(j, v);
    gs_json_out_key(j, "files");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < v->n_files; i++) {
        gs_json_out_begin(j, '{');
        gs_json_put_text(j, "path", v->files[i].path);
        gs_json_put_int(j, "bytes", (int64_t)v->files[i].size);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "tensors");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < v->table->count; i++) put_tensor(j, v, &v->table->tensors[i]);
    gs_json_out_end(j);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}
