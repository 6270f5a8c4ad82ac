/* Inspect as text: one line for a tensor that all blocks have, unless every tensor is asked for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/inspect.h"
#include "report/report.h"

/* Tensors that differ only in the number of their block. */
typedef struct group {
    char *pattern; /* the number replaced by '*' */
    const char *type;
    const gs_tensor *first;
    int64_t order; /* place of the first tensor */
    int64_t count;
    uint64_t bytes;
} group;

/* "a.layers.12.b" -> "a.layers.*.b": the first part that is a number. */
static char *pattern_of(const char *name)
{
    for (const char *part = name; part != NULL; part = strchr(part, '.')) {
        if (*part == '.') part++;
        const size_t digits = strspn(part, "0123456789");
        if (digits == 0 || part[digits] != '.') continue;
        gs_str s;
        gs_str_init(&s);
        gs_str_add(&s, name, (size_t)(part - name));
        gs_str_addc(&s, '*');
        gs_str_adds(&s, part + digits);
        char *pattern = gs_strdup(s.data);
        gs_str_release(&s);
        return pattern;
    }
    return gs_strdup(name);
}

static int compare_text(const char *a, const char *b)
{
    if (a == NULL || b == NULL) return (a != NULL) - (b != NULL);
    return strcmp(a, b);
}

static int compare_kind(const void *x, const void *y)
{
    const group *a = x, *b = y;
    int d = strcmp(a->pattern, b->pattern);
    if (d == 0) d = compare_text(a->type, b->type);
    if (d == 0) d = (int)a->first->dtype - (int)b->first->dtype;
    if (d == 0) d = a->first->rank - b->first->rank;
    for (int i = 0; d == 0 && i < a->first->rank; i++)
        d = (a->first->shape[i] > b->first->shape[i]) - (a->first->shape[i] < b->first->shape[i]);
    return d != 0 ? d : (a->order > b->order) - (a->order < b->order);
}

static int compare_order(const void *x, const void *y)
{
    const group *a = x, *b = y;
    return (a->order > b->order) - (a->order < b->order);
}

static bool same_kind(const group *a, const group *b)
{
    group c = *b;
    c.order = a->order;
    return compare_kind(a, &c) == 0;
}

static void shape_text(const gs_tensor *t, gs_str *out)
{
    gs_str_addc(out, '[');
    for (int i = 0; i < t->rank; i++) gs_str_printf(out, "%s%" PRId64, i > 0 ? ", " : "", t->shape[i]);
    gs_str_addc(out, ']');
}

static void add_group(const group *g, int width, bool types, gs_str *out)
{
    char size[32], name[GS_MAX_TENSOR_NAME + 8];
    gs_str shape;
    gs_str_init(&shape);
    shape_text(g->first, &shape);
    gs_bytes_text(g->bytes, size);
    gs_printable(g->pattern, strlen(g->pattern), name, sizeof name);
    gs_str_printf(out, "  %-*s %5" PRId64 "  %-7s %-20s %10s", width, name, g->count, gs_dtype_name(g->first->dtype),
                  shape.data, size);
    if (types) {
        char type[80];
        const char *text = g->type != NULL ? g->type : "(not in the description)";
        gs_str_printf(out, "  %s", gs_printable(text, strlen(text), type, sizeof type));
    }
    gs_str_addc(out, '\n');
    gs_str_release(&shape);
}

static void add_tensors(const gs_inspect *v, bool all, gs_str *out)
{
    const int64_t n = v->table->count;
    group *g = gs_alloc_array((size_t)n + 1, sizeof *g);
    for (int64_t i = 0; i < n; i++) {
        const gs_tensor *t = &v->table->tensors[i];
        g[i] = (group){all ? gs_strdup(t->name) : pattern_of(t->name), gs_inspect_type(v, t), t, i, 1, t->bytes};
    }
    int64_t kept = n > 0 ? 1 : 0;
    qsort(g, (size_t)n, sizeof *g, compare_kind);
    for (int64_t i = 1; i < n; i++) {
        if (same_kind(&g[kept - 1], &g[i])) {
            g[kept - 1].count++;
            g[kept - 1].bytes += g[i].bytes;
            gs_free(g[i].pattern);
        } else {
            g[kept++] = g[i];
        }
    }
    qsort(g, (size_t)kept, sizeof *g, compare_order);
    size_t width = 6;
    for (int64_t i = 0; i < kept; i++) {
        const size_t w = strlen(g[i].pattern);
        if (w > width) width = w < 100 ? w : 100;
    }
    gs_str_printf(out, "\n  %-*s %5s  %-7s %-20s %10s%s\n", (int)width, "tensor", "count", "dtype", "shape", "bytes",
                  v->description != NULL ? "  type" : "");
    for (int64_t i = 0; i < kept; i++) {
        add_group(&g[i], (int)width, v->description != NULL, out);
        gs_free(g[i].pattern);
    }
    gs_free(g);
}

static void add_config(const gs_inspect *v, gs_str *out)
{
    if (!v->has_config) return;
    const gs_config *c = &v->config;
    gs_str_printf(out, "model         %s%s%s\n", c->model_type, v->title != NULL ? ": " : "",
                  v->title != NULL ? v->title : "");
    gs_str_printf(out,
                  "shape         hidden %" PRId64 ", %" PRId64 " layers, %" PRId64 " heads of %" PRId64 ", %" PRId64
                  " key/value heads, FFN %" PRId64 ", vocabulary %" PRId64 "\n",
                  c->hidden, c->layers, c->heads, c->head_dim, c->groups, c->ffn, c->vocab);
    gs_str_printf(out, "details       torch_dtype %s, RoPE base %g, norm epsilon %g, %" PRId64 " positions%s\n",
                  c->torch_dtype, c->rope_base, (double)c->norm_eps, c->max_positions,
                  c->tied_head ? ", head tied to the embedding" : "");
}

/* Keys of the description that are not tensors. */
static void add_description(const gs_inspect *v, gs_str *out)
{
    if (v->description == NULL) return;
    gs_str_printf(out, "quantization  %s", v->description_name);
    const char *key;
    json_t *value;
    json_object_foreach(v->description, key, value)
    {
        if (gs_checkpoint_find(&v->checkpoint, key) != NULL || strchr(key, '.') != NULL) continue;
        char shown[120];
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text != NULL) gs_str_printf(out, ", %s %s", key, gs_printable(text, strlen(text), shown, sizeof shown));
        free(text);
    }
    gs_str_addc(out, '\n');
}

/* Tensors and bytes by dtype or by type of the description. */
static void add_totals(const gs_inspect *v, gs_str *out)
{
    int64_t count[GS_DTYPE_COUNT] = {0};
    uint64_t bytes[GS_DTYPE_COUNT] = {0}, total = 0;
    for (int64_t i = 0; i < v->table->count; i++) {
        const gs_tensor *t = &v->table->tensors[i];
        count[t->dtype]++;
        bytes[t->dtype] += t->bytes;
        total += t->bytes;
    }
    char size[32];
    gs_bytes_text(total, size);
    gs_str_printf(out, "tensors       %" PRId64 ", %s:", v->table->count, size);
    bool first = true;
    for (int d = 0; d < GS_DTYPE_COUNT; d++) {
        if (count[d] == 0) continue;
        gs_bytes_text(bytes[d], size);
        gs_str_printf(out, "%s %" PRId64 " %s (%s)", first ? "" : ",", count[d], gs_dtype_name((gs_dtype)d), size);
        first = false;
    }
    gs_str_addc(out, '\n');
}

void gs_inspect_text(const gs_inspect *v, bool all, gs_str *out)
{
    char shown[512], size[32];
    uint64_t bytes = 0;
    gs_str_printf(out, "%s: %s\n", gs_printable(v->path, strlen(v->path), shown, sizeof shown),
                  strcmp(v->kind, "file") == 0        ? "safetensors file"
                  : strcmp(v->kind, "quantized") == 0 ? "quantized model"
                                                      : "float checkpoint");
    add_config(v, out);
    add_description(v, out);
    for (int i = 0; i < v->n_files; i++) bytes += v->files[i].size;
    gs_bytes_text(bytes, size);
    gs_str_printf(out, "files         %d, %s\n", v->n_files, size);
    add_totals(v, out);
    add_tensors(v, all, out);
}
