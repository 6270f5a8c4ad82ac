/* `glmslim analyze`: what each linear loses when it alone is quantized, and which to keep in float.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/analyze.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "recipe/size.h"

typedef struct analyze_args {
    gs_cli_common common;
    const char *model_path, *calib_file, *text, *budget, *work_dir, *states_memory;
    const char *const *calib_texts, *const *scheme;
    int64_t samples;
    bool kl, all;
} analyze_args;

#define FIELD(member) offsetof(analyze_args, member)

static const gs_option rows[] = {
    {"model_path", GS_OPT_STRING, FIELD(model_path), NULL, NULL, "the float checkpoint", "", true},
    {"calib_file", GS_OPT_STRING, FIELD(calib_file), NULL, NULL,
     "texts to measure on: JSON array, JSON lines or plain text",
     "They give the ranges of activations and the loss. Read as quant reads them; without them a built-in set.", true},
    {"calib_texts", GS_OPT_STRINGS, FIELD(calib_texts), NULL, NULL,
     "texts on the command line, after those of the file", "", true},
    {"samples", GS_OPT_INT64, FIELD(samples), "0", NULL, "only the first so many texts; 0 = all", "", true},
    {"text", GS_OPT_STRING, FIELD(text), NULL, NULL, "a text file to measure the loss on, instead of those texts",
     "In windows of 510 tokens, as eval cuts them. Ranges and figures of the inputs stay those of the texts above.",
     true},
    {"scheme", GS_OPT_LINES, FIELD(scheme), "W8A8", NULL, "types, or options of quant, each in one word",
     "A type stands for its first line in docs/recipes.md. A word that begins with -- is a line of quant's options "
     "that "
     "say how a linear is quantized, as \"--w_bit 4 --a_bit 16\". May be repeated.",
     true},
    {"budget", GS_OPT_STRING, FIELD(budget), "0", NULL, "linears to keep in float: a number, or a growth as 5%",
     "A number keeps so many of the worst. With % what loses most per extra byte is kept, until the result has grown "
     "by so much.",
     true},
    {"kl", GS_OPT_FLAG, FIELD(kl), NULL, NULL, "rank by KL divergence at the output, which takes much longer",
     "Every trial goes on through all blocks behind it.", true},
    {"all", GS_OPT_FLAG, FIELD(all), NULL, NULL, "print every linear, not only the worst", "", true},
    {"states_memory", GS_OPT_STRING, FIELD(states_memory), "256Mi", NULL,
     "hidden states in memory; what is more goes to a file", "The result does not depend on it.", true},
    {"work_dir", GS_OPT_STRING, FIELD(work_dir), NULL, NULL, "where that file lies", "$TMPDIR, or /var/tmp.", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_analyze = {"--model_path DIR --calib_file FILE [--scheme NAME ...] [options]",
                                     "Quantize every linear alone, in memory, and measure what that does to the output "
                                     "of its block; look at the range,\n"
                                     "the kurtosis and the outlier channels of its inputs; rank the linears, and print "
                                     "a --disable_names list for quant.\n"
                                     "Definitions are in docs/analyze.md.",
                                     rows, (int)(sizeof rows / sizeof rows[0]), 0};

static gs_status check_args(const analyze_args *a, gs_analyze_spec *spec, gs_error *err)
{
    if (!a->model_path) return gs_fail(err, GS_ERR_USAGE, "analyze needs --model_path DIR, the float checkpoint");
    if (a->samples < 0) return gs_fail(err, GS_ERR_USAGE, "samples = %lld is smaller than 0.", (long long)a->samples);
    if (a->common.threads < 0) return gs_fail(err, GS_ERR_USAGE, "threads = %d is smaller than 0.", a->common.threads);
    if (a->work_dir && !gs_path_is_dir(a->work_dir))
        return gs_fail(err, GS_ERR_USAGE, "--work_dir %s is not a directory", a->work_dir);
    GS_TRY(gs_budget_parse(a->budget, &spec->budget, err));
    return gs_size_parse("states_memory", a->states_memory, &spec->states_memory, err);
}

static const char *default_work_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && dir[0] != '\0' ? dir : "/var/tmp";
}

static gs_status print(const analyze_args *args, const gs_analysis *a, gs_error *err)
{
    gs_str text;
    gs_str_init(&text);
    gs_screen_clear();
    gs_analyze_text(a, args->all, &text);
    fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    if (!args->common.json) return GS_OK;
    size_t n;
    char *json = gs_analyze_json(a, &n);
    const gs_status status = gs_cli_write_json(args->common.json, json, n, err);
    gs_free(json);
    return status;
}

static gs_status run(const analyze_args *a, gs_error *err)
{
    gs_compute compute = {0};
    gs_analysis *found = NULL;
    gs_analyze_spec spec = {.model_path = a->model_path,
                            .calib_file = a->calib_file,
                            .calib_texts = a->calib_texts,
                            .samples = a->samples,
                            .text_path = a->text,
                            .scheme = a->scheme,
                            .kl = a->kl,
                            .work_dir = a->work_dir ? a->work_dir : default_work_dir(),
                            .watch = &gs_screen_watch};
    const double start = gs_seconds();
    GS_TRY(check_args(a, &spec, err));
    gs_status status = gs_compute_open(&compute, a->common.threads, err);
    if (status == GS_OK) status = gs_analyze_run(&spec, &compute, &found, err);
    if (status == GS_OK) status = print(a, found, err);
    if (status == GS_OK) gs_screen_spent(start);
    gs_analysis_free(found);
    gs_compute_close(&compute);
    return status;
}

int gs_cmd_analyze(int argc, char **argv)
{
    analyze_args a = {.common.arena = gs_arena_create()};
    int n, code;
    gs_error err;
    if (gs_cli_parse(&gs_spec_analyze, argc, argv, &a, NULL, &n, &code)) {
        gs_cli_catch_signals();
        code = gs_cli_finish(run(&a, &err), &err);
    }
    gs_arena_free(a.common.arena);
    return code;
}
