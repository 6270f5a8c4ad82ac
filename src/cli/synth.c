/* `glmslim synth`: a synthetic checkpoint of any shape.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/common.h"
#include "io/json.h"
#include "model/synth.h"

typedef struct synth_args {
    gs_cli_common common;
    gs_synth_spec spec;
    int64_t seed;
} synth_args;

static const char *const dtypes[] = {"bfloat16", "float16", "float32", NULL};

#define SPEC(member) offsetof(synth_args, spec.member)

static const gs_option rows[] = {
    {"dir", GS_OPT_STRING, SPEC(dir), NULL, NULL, "directory to write; must be absent or empty", "", true},
    {"hidden", GS_OPT_INT64, SPEC(hidden), "4096", NULL, "width of the residual stream", "", true},
    {"layers", GS_OPT_INT64, SPEC(layers), "4", NULL, "blocks", "", true},
    {"heads", GS_OPT_INT64, SPEC(heads), "32", NULL, "query heads", "", true},
    {"groups", GS_OPT_INT64, SPEC(groups), "2", NULL, "key/value heads", "", true},
    {"head_dim", GS_OPT_INT64, SPEC(head_dim), "128", NULL, "components of a head", "", true},
    {"ffn", GS_OPT_INT64, SPEC(ffn), "13696", NULL, "width of the feed-forward layer", "", true},
    {"vocab", GS_OPT_INT64, SPEC(vocab), "4096", NULL, "rows of the embedding", "", true},
    {"rope_ratio", GS_OPT_DOUBLE, SPEC(rope_ratio), "0.0", NULL, "rope_ratio of config.json; 0 leaves the key out", "",
     true},
    {"seed", GS_OPT_INT64, offsetof(synth_args, seed), "1", NULL, "of the random weights", "", true},
    {"outlier_channels", GS_OPT_INT, SPEC(outlier_channels), "4", NULL, "outlier channels per norm", "", true},
    {"shard_bytes", GS_OPT_INT64, SPEC(shard_bytes), "0", NULL, "size limit of a shard; 0 = 2 GB", "", true},
    {"torch_dtype", GS_OPT_STRING, SPEC(torch_dtype), "bfloat16", dtypes, "type of the weights", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_synth = {"--dir DIR [options]",
                                   "Write a synthetic checkpoint in the layout of GLM-4-9B, with outlier channels and "
                                   "a small byte-level tokenizer, to try\n"
                                   "size and speed. Without options: the width of GLM-4-9B, 4 layers, a vocabulary of "
                                   "4096. The same options and seed give\n"
                                   "the same bytes.",
                                   rows, (int)(sizeof rows / sizeof rows[0]), 0};

static gs_status write_json(const char *path, const synth_args *a, gs_error *err)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const gs_option *o = &rows[i];
        const char *field = (const char *)a + o->field;
        if (o->field < sizeof(gs_cli_common)) continue;
        gs_json_out_key(j, o->name);
        if (o->kind == GS_OPT_INT64)
            gs_json_out_int(j, *(const int64_t *)field);
        else if (o->kind == GS_OPT_INT)
            gs_json_out_int(j, *(const int *)field);
        else if (o->kind == GS_OPT_DOUBLE)
            gs_json_out_double(j, *(const double *)field);
        else if (*(const char *const *)field != NULL &&
                 gs_utf8_valid(*(const char *const *)field, strlen(*(const char *const *)field)) ==
                     strlen(*(const char *const *)field))
            gs_json_out_string(j, *(const char *const *)field);
        else
            gs_json_out_null(j);
    }
    gs_json_out_end(j);
    size_t n;
    char *text = gs_json_out_finish(j, &n);
    const gs_status status = gs_cli_write_json(path, text, n, err);
    gs_free(text);
    return status;
}

static gs_status run(synth_args *a, gs_error *err)
{
    if (a->spec.dir == NULL || a->spec.dir[0] == '\0')
        return gs_fail(err, GS_ERR_USAGE, "--dir is required: the directory to write");
    if (a->seed < 0) return gs_fail(err, GS_ERR_USAGE, "seed = %lld is smaller than 0.", (long long)a->seed);
    a->spec.seed = (uint64_t)a->seed;
    gs_cli_catch_signals();
    GS_TRY(gs_synth_write(&a->spec, err));
    char note[512], shown[256];
    snprintf(note, sizeof note, "wrote %s", gs_printable(a->spec.dir, strlen(a->spec.dir), shown, sizeof shown));
    gs_screen_note(note);
    return a->common.json != NULL ? write_json(a->common.json, a, err) : GS_OK;
}

int gs_cmd_synth(int argc, char **argv)
{
    synth_args a = {.spec = {0}};
    int n, code;
    gs_error err;
    gs_synth_defaults(&a.spec);
    a.spec.torch_dtype = "bfloat16";
    a.seed = (int64_t)(a.spec.seed & INT64_MAX);
    if (!gs_cli_parse(&gs_spec_synth, argc, argv, &a, NULL, &n, &code)) return code;
    return gs_cli_finish(run(&a, &err), &err);
}
