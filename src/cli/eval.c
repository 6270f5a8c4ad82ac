/* `glmslim eval`: perplexity of a float checkpoint, and how far results are from it. SPDX-License-Identifier: Apache-2.0 */
#include "cli/eval.h"

#include <stdio.h>
#include <string.h>

#include "report/report.h"

typedef struct eval_args {
    gs_cli_common common;
    const char *model_path, *text, *choices, *report;
    const char *const *quant_path;
    int64_t context, stride;
    bool layers;
} eval_args;

static const gs_option rows[] = {
    {"model_path", GS_OPT_STRING, offsetof(eval_args, model_path), NULL, NULL, "the float checkpoint", "", true},
    {"quant_path", GS_OPT_STRINGS, offsetof(eval_args, quant_path), NULL, NULL,
     "directories that quantization has written", "One or more; may be repeated.", true},
    {"text", GS_OPT_STRING, offsetof(eval_args, text), NULL, NULL, "a text file to predict, token by token", "", true},
    {"choices", GS_OPT_STRING, offsetof(eval_args, choices), NULL, NULL, "questions with choices, as JSON lines",
     "One object per line: question, choices (a list) and answer (index from 0, the choice itself, or a letter from "
     "A).",
     true},
    {"context", GS_OPT_INT64, offsetof(eval_args, context), "0", NULL,
     "tokens of a window; 0 = 510, or what the model takes", "The prefix [gMASK]<sop> comes on top.", true},
    {"stride", GS_OPT_INT64, offsetof(eval_args, stride), "0", NULL, "tokens from window to window; 0 = no overlap", "",
     true},
    {"report", GS_OPT_STRING, offsetof(eval_args, report), NULL, NULL,
     "write a page for a browser: all figures, and charts by block and position", "", true},
    {"layers", GS_OPT_FLAG, offsetof(eval_args, layers), NULL, NULL, "print every linear of every result", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_eval = {
    "--model_path DIR [--quant_path DIR ...] --text FILE [options]",
    "Run the float model and quantized directories side by side, block by block, in the arithmetic of the engines, "
    "and\n"
    "print perplexity, divergence from the float model, agreement of the most likely tokens, and the layers that lose\n"
    "most. Without --quant_path only the float model is measured. Definitions are in docs/eval.md.",
    rows, (int)(sizeof rows / sizeof rows[0]), 0};

static gs_status check_args(const eval_args *a, gs_error *err)
{
    if (!a->model_path) return gs_fail(err, GS_ERR_USAGE, "eval needs --model_path DIR, the float checkpoint");
    if (!a->text && !a->choices) return gs_fail(err, GS_ERR_USAGE, "eval needs --text FILE, --choices FILE, or both");
    if (a->context < 0) return gs_fail(err, GS_ERR_USAGE, "context = %lld is smaller than 0.", (long long)a->context);
    if (a->stride < 0) return gs_fail(err, GS_ERR_USAGE, "stride = %lld is smaller than 0.", (long long)a->stride);
    if (a->common.threads < 0) return gs_fail(err, GS_ERR_USAGE, "threads = %d is smaller than 0.", a->common.threads);
    return gs_cli_check_file("--report", a->report, err);
}

/* A result without a record of how it was made, or with a damaged one, is shown without. */
static gs_status write_page(const eval_args *a, const gs_eval *e, gs_error *err)
{
    gs_str page;
    gs_error why;
    gs_report_file *files = gs_alloc_array((size_t)e->quants + 1, sizeof *files);
    for (int i = 0; i < e->quants; i++)
        if (gs_report_file_read(&files[i], e->quant[i].path, &why) != GS_OK) gs_screen_warning(why.text);
    gs_str_init(&page);
    gs_report_eval_html(e, files, a->text, &page);
    const gs_status status = gs_cli_write_page(a->report, &page, err);
    gs_str_release(&page);
    for (int i = 0; i < e->quants; i++) gs_report_file_release(&files[i]);
    gs_free(files);
    return status;
}

static gs_status print(const eval_args *a, const gs_eval *e, gs_error *err)
{
    gs_str text;
    gs_str_init(&text);
    gs_screen_clear();
    gs_eval_text(e, a->text, a->choices, a->layers, &text);
    fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    if (a->common.json) {
        size_t n;
        char *json = gs_eval_json(e, &n);
        const gs_status status = gs_cli_write_json(a->common.json, json, n, err);
        gs_free(json);
        GS_TRY(status);
    }
    return a->report ? write_page(a, e, err) : GS_OK;
}

static gs_status run(const eval_args *a, gs_error *err)
{
    gs_compute compute = {0};
    gs_eval *e = NULL;
    gs_eval_spec spec = {.model_path = a->model_path,
                         .quant_path = a->quant_path,
                         .text_path = a->text,
                         .choices_path = a->choices,
                         .context = a->context,
                         .stride = a->stride,
                         .watch = &gs_screen_watch};
    while (a->quant_path && a->quant_path[spec.quants]) spec.quants++;
    const double start = gs_seconds();
    GS_TRY(check_args(a, err));
    gs_status status = gs_compute_open(&compute, a->common.threads, err);
    if (status == GS_OK) status = gs_eval_run(&spec, &compute, &e, err);
    if (status == GS_OK) status = print(a, e, err);
    if (status == GS_OK) gs_screen_spent(start);
    gs_eval_free(e);
    gs_compute_close(&compute);
    return status;
}

int gs_cmd_eval(int argc, char **argv)
{
    eval_args a = {.common.arena = gs_arena_create()};
    int n, code;
    gs_error err;
    if (gs_cli_parse(&gs_spec_eval, argc, argv, &a, NULL, &n, &code)) {
        gs_cli_catch_signals();
        code = gs_cli_finish(run(&a, &err), &err);
    }
    gs_arena_free(a.common.arena);
    return code;
}
