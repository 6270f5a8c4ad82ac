/* `glmslim diff A B`: what differs between two directories. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/common.h"
#include "format/diff.h"
#include "io/json.h"

typedef struct diff_args {
    gs_cli_common common;
    bool all;
} diff_args;

static const gs_option rows[] = {
    {"all", GS_OPT_FLAG, offsetof(diff_args, all), NULL, NULL, "equal tensors too, and more than 50 lines", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_diff = {"A B [options]",
                                  "Compare two directories, checkpoints or results, tensor by tensor and description "
                                  "by description. Values are compared\n"
                                  "as numbers, whatever the element types; deq_scale in either encoding; packed codes "
                                  "one by one. Exit code 1 if anything\n"
                                  "differs.",
                                  rows, (int)(sizeof rows / sizeof rows[0]), 2};

#define MAX_LINES 50

static const char *const kind_word[] = {"equal", "same values", "differs", "other shape", "only in A", "only in B"};

static void add_name(gs_str *out, const char *name)
{
    char shown[600];
    gs_str_adds(out, gs_printable(name, strlen(name), shown, sizeof shown));
}

static void add_tensor(const gs_tensor_diff *t, gs_str *out)
{
    gs_str_printf(out, "%-12s ", kind_word[t->kind]);
    add_name(out, t->name);
    if (t->dtype_a != t->dtype_b && t->kind <= GS_DIFF_SHAPE)
        gs_str_printf(out, "  %s and %s", gs_dtype_name(t->dtype_a), gs_dtype_name(t->dtype_b));
    if (t->kind == GS_DIFF_VALUES)
        gs_str_printf(out, "  %lld of %lld %s, at most by %.6g, first at %lld", (long long)t->changed,
                      (long long)t->elements, t->codes ? "codes" : "values", t->largest, (long long)t->first);
    gs_str_addc(out, '\n');
}

static void add_key(const gs_key_diff *k, gs_str *out)
{
    gs_str_adds(out, "description  ");
    add_name(out, k->key);
    gs_str_printf(out, "  %s", k->a ? "" : "(none)");
    if (k->a) add_name(out, k->a);
    gs_str_printf(out, " -> %s", k->b ? "" : "(none)");
    if (k->b) add_name(out, k->b);
    gs_str_addc(out, '\n');
}

static void print_text(const gs_diff *d, const diff_args *a)
{
    gs_str out;
    int64_t left = a->all ? INT64_MAX : MAX_LINES, hidden = 0;
    gs_str_init(&out);
    for (int64_t i = 0; i < d->n_tensors; i++) {
        if (d->tensors[i].kind == GS_DIFF_EQUAL && !a->all) continue;
        if (left-- > 0)
            add_tensor(&d->tensors[i], &out);
        else
            hidden++;
    }
    for (int64_t i = 0; i < d->n_keys; i++) {
        if (left-- > 0)
            add_key(&d->keys[i], &out);
        else
            hidden++;
    }
    if (hidden > 0) gs_str_printf(&out, "… and %lld more lines (--all shows them)\n", (long long)hidden);
    for (int k = 0; k < GS_DIFF_KINDS; k++)
        if (d->count[k] > 0 || k == GS_DIFF_EQUAL)
            gs_str_printf(&out, "%s%lld %s", k > 0 ? ", " : "", (long long)d->count[k], kind_word[k]);
    gs_str_printf(&out, " (tensors); %lld keys of the description differ\n", (long long)d->n_keys);
    fwrite(out.data, 1, out.len, stdout);
    gs_str_release(&out);
}

static void put_tensor(gs_json_out *j, const gs_tensor_diff *t)
{
    gs_json_out_begin(j, '{');
    gs_cli_put_printable(j, "name", t->name);
    gs_cli_put_printable(j, "result", kind_word[t->kind]);
    if (t->kind == GS_DIFF_VALUES) {
        gs_json_put_int(j, "elements", t->elements);
        gs_json_put_int(j, "changed", t->changed);
        gs_json_put_int(j, "first", t->first);
        gs_json_put_double(j, "largest", t->largest);
    }
    gs_json_out_end(j);
}

static char *to_json(const gs_diff *d, const char *const *dir, size_t *n)
{
    gs_json_out *j = gs_json_out_create(1);
    gs_json_out_begin(j, '{');
    gs_cli_put_printable(j, "a", dir[0]);
    gs_cli_put_printable(j, "b", dir[1]);
    gs_json_put_bool(j, "equal", !d->differs);
    gs_json_out_key(j, "tensors");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < d->n_tensors; i++)
        if (d->tensors[i].kind != GS_DIFF_EQUAL) put_tensor(j, &d->tensors[i]);
    gs_json_out_end(j);
    gs_json_out_key(j, "description");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < d->n_keys; i++) {
        gs_json_out_begin(j, '{');
        gs_cli_put_printable(j, "key", d->keys[i].key);
        gs_cli_put_printable(j, "a", d->keys[i].a);
        gs_cli_put_printable(j, "b", d->keys[i].b);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_put_int(j, "equal_tensors", d->count[GS_DIFF_EQUAL]);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}

static gs_status run(const diff_args *a, const char *const *dir, bool *differs, gs_error *err)
{
    gs_diff d;
    gs_cli_catch_signals();
    GS_TRY(gs_diff_run(dir[0], dir[1], &d, err));
    *differs = d.differs;
    print_text(&d, a);
    gs_status status = GS_OK;
    if (a->common.json) {
        size_t n;
        char *json = to_json(&d, dir, &n);
        status = gs_cli_write_json(a->common.json, json, n, err);
        gs_free(json);
    }
    gs_diff_release(&d);
    return status;
}

int gs_cmd_diff(int argc, char **argv)
{
    diff_args a = {.all = false};
    const char *words[2];
    int n, code;
    bool differs = false;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_diff, argc, argv, &a, words, &n, &code)) return code;
    if (n < 2) return gs_cli_finish(gs_fail(&err, GS_ERR_USAGE, "diff needs two directories: glmslim diff A B"), &err);
    code = gs_cli_finish(run(&a, words, &differs, &err), &err);
    return code != 0 ? code : differs ? 1 : 0;
}
