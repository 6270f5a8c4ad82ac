/* `glmslim verify`: a result directory against the rules of the files, of the engines, and against its checkpoint.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/common.h"
#include "format/verify.h"
#include "io/json.h"

typedef struct verify_args {
    gs_cli_common common;
    const char *model_path, *target;
    bool all;
} verify_args;

static const char *const targets[] = {"mindie", "vllm-ascend", NULL};

static const gs_option rows[] = {
    {"model_path", GS_OPT_STRING, offsetof(verify_args, model_path), NULL, NULL,
     "the float checkpoint the result was made from; its weights are compared", "", true},
    {"target", GS_OPT_STRING, offsetof(verify_args, target), NULL, targets,
     "engine that is to load the result: mindie or vllm-ascend", "", true},
    {"all", GS_OPT_FLAG, offsetof(verify_args, all), NULL, NULL, "every check on its own line", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_verify = {
    "DIR [options]",
    "Check a quantized directory: names against the description, types, shapes, encodings, values, and what is "
    "derived\n"
    "from what; with --target what that engine's loader demands; with --model_path the weights against the "
    "checkpoint.\n"
    "Each fault is told with what would happen if the directory were shipped. Exit code 4 if there is one.",
    rows, (int)(sizeof rows / sizeof rows[0]), 1};

static const char *const state_word[] = {"not made", "passed", "warning", "fault"};

/* Why a check was not made, as far as the command line decides it. */
static const char *reason(const gs_verify_check *c, const gs_verify_request *q)
{
    if (c->needs & GS_NEED_MODEL && !q->model_path) return "needs --model_path";
    if (c->needs & (GS_NEED_TARGET | GS_NEED_MINDIE | GS_NEED_VLLM) && !q->target) return "needs --target";
    if (c->needs & (GS_NEED_MINDIE | GS_NEED_VLLM)) return "is for another target";
    return "nothing to look at";
}

static void add_counts(const gs_verify_result *r, const gs_verify_request *q, gs_str *out)
{
    int made = 0, model = 0, target = 0, rest = 0;
    for (int i = 0; i < gs_verify_check_count; i++) {
        const char *why = reason(&gs_verify_checks[i], q);
        if (r->state[i] != GS_CHECK_NOT_MADE)
            made++;
        else if (strstr(why, "--model_path"))
            model++;
        else if (strstr(why, "target"))
            target++;
        else
            rest++;
    }
    gs_str_printf(out, "%lld tensors, %.1f MB read, %d checks made", (long long)r->n_tensors, (double)r->bytes / 1e6,
                  made);
    if (target > 0)
        gs_str_printf(out, ", %d not made that %s", target, q->target ? "are for another target" : "need --target");
    if (model > 0) gs_str_printf(out, ", %d that need --model_path", model);
    if (rest > 0) gs_str_printf(out, ", %d that had nothing to look at", rest);
    gs_str_printf(out, "\n%s: %lld fault%s, %lld warning%s\n", q->dir, (long long)r->errors, r->errors == 1 ? "" : "s",
                  (long long)r->warnings, r->warnings == 1 ? "" : "s");
}

/* Names come from files: nothing in them may steer the terminal. */
static void add_text(gs_str *out, const char *text)
{
    char shown[1100];
    gs_str_adds(out, gs_printable(text, strlen(text), shown, sizeof shown));
}

static void add_finding(const gs_finding *f, gs_str *out)
{
    gs_str_printf(out, "%-8s %s: ", f->warning ? "warning" : "FAULT", f->check->id);
    add_text(out, f->text);
    if (f->more > 0) gs_str_printf(out, " (and %lld more)", (long long)f->more);
    gs_str_addc(out, '\n');
}

/* Once, behind the last finding of a row that would do the same. */
static void add_effect(const gs_finding *f, gs_str *out)
{
    gs_str_adds(out, "         if shipped: ");
    add_text(out, f->effect);
    gs_str_addc(out, '\n');
}

static void add_findings(const gs_verify_result *r, gs_str *out)
{
    const gs_finding *last = NULL;
    for (int i = 0; i < r->n_findings; i++) {
        const gs_finding *f = &r->findings[i];
        if (last && strcmp(last->effect, f->effect) != 0) add_effect(last, out);
        add_finding(f, out);
        last = f;
    }
    if (last) add_effect(last, out);
}

static void print_text(const gs_verify_result *r, const gs_verify_request *q, const verify_args *a)
{
    gs_str out;
    gs_str_init(&out);
    for (int i = 0; i < gs_verify_check_count && a->all; i++)
        gs_str_printf(&out, "%-9s %-22s %s%s%s\n", state_word[r->state[i]], gs_verify_checks[i].id,
                      gs_verify_checks[i].title, r->state[i] == GS_CHECK_NOT_MADE ? ": " : "",
                      r->state[i] == GS_CHECK_NOT_MADE ? reason(&gs_verify_checks[i], q) : "");
    add_findings(r, &out);
    add_counts(r, q, &out);
    fwrite(out.data, 1, out.len, stdout);
    gs_str_release(&out);
}

static char *to_json(const gs_verify_result *r, const gs_verify_request *q, size_t *n)
{
    gs_json_out *j = gs_json_out_create(1);
    gs_json_out_begin(j, '{');
    gs_cli_put_printable(j, "directory", q->dir);
    gs_cli_put_printable(j, "target", q->target ? q->target->name : NULL);
    gs_cli_put_printable(j, "model_path", q->model_path);
    gs_json_put_int(j, "faults", r->errors);
    gs_json_put_int(j, "warnings", r->warnings);
    gs_json_put_int(j, "tensors", r->n_tensors);
    gs_json_put_int(j, "bytes_read", (int64_t)r->bytes);
    gs_json_out_key(j, "findings");
    gs_json_out_begin(j, '[');
    for (int i = 0; i < r->n_findings; i++) {
        gs_json_out_begin(j, '{');
        gs_cli_put_printable(j, "check", r->findings[i].check->id);
        gs_cli_put_printable(j, "kind", r->findings[i].warning ? "warning" : "fault");
        gs_cli_put_printable(j, "text", r->findings[i].text);
        gs_cli_put_printable(j, "effect", r->findings[i].effect);
        gs_json_put_int(j, "more", r->findings[i].more);
        gs_json_out_end(j);
    }
    gs_json_out_end(j);
    gs_json_out_key(j, "checks");
    gs_json_out_begin(j, '{');
    for (int i = 0; i < gs_verify_check_count; i++)
        gs_cli_put_printable(j, gs_verify_checks[i].id, state_word[r->state[i]]);
    gs_json_out_end(j);
    gs_json_out_end(j);
    return gs_json_out_finish(j, n);
}

static gs_status report(const gs_verify_result *r, const gs_verify_request *q, const verify_args *a, gs_error *err)
{
    gs_screen_clear();
    print_text(r, q, a);
    if (!a->common.json) return GS_OK;
    size_t n;
    char *json = to_json(r, q, &n);
    const gs_status status = gs_cli_write_json(a->common.json, json, n, err);
    gs_free(json);
    return status;
}

static gs_status run(const verify_args *a, const char *dir, int64_t *faults, gs_error *err)
{
    gs_compute compute = {0};
    gs_verify_result result;
    const gs_verify_request request = {.dir = dir,
                                       .model_path = a->model_path,
                                       .target = gs_target_find(a->target),
                                       .compute = &compute,
                                       .watch = &gs_screen_watch};
    gs_cli_catch_signals();
    gs_status status = gs_compute_open(&compute, a->common.threads, err);
    if (status == GS_OK) status = gs_verify_run(&request, &result, err);
    gs_compute_close(&compute);
    if (status != GS_OK) return status;
    *faults = result.errors;
    status = report(&result, &request, a, err);
    gs_verify_result_release(&result);
    return status;
}

int gs_cmd_verify(int argc, char **argv)
{
    verify_args a = {.all = false};
    const char *words[1];
    int n, code;
    int64_t faults = 0;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_verify, argc, argv, &a, words, &n, &code)) return code;
    if (n < 1)
        return gs_cli_finish(gs_fail(&err, GS_ERR_USAGE, "verify needs a quantized directory: glmslim verify DIR"),
                             &err);
    code = gs_cli_finish(run(&a, words[0], &faults, &err), &err);
    return code != 0 ? code : faults > 0 ? GS_ERR_FILE : 0;
}
