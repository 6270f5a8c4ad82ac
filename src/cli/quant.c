/* `glmslim quant`, and the program under the name quant_glm: the script's command line.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/common.h"
#include "io/guard.h"
#include "report/report.h"

/* As the script reads RANK: a bad value is a warning and 0. The result never depends on it. */
static void say_environment(void)
{
    static const char *const idle[] = {"ASCEND_RT_VISIBLE_DEVICES", "PYTORCH_NPU_ALLOC_CONF"};
    char line[256], shown[80];
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        if (getenv(idle[i]) == NULL) continue;
        snprintf(line, sizeof line, "note: the environment variable %s has no effect on a run on the CPU", idle[i]);
        gs_screen_note(line);
    }
    const char *rank = getenv("RANK");
    if (rank == NULL) return;
    char *end;
    errno = 0;
    const long v = strtol(rank, &end, 10);
    while (*end == ' ') end++;
    if (end != rank && *end == '\0' && errno == 0) {
        (void)v;
        return;
    }
    snprintf(line, sizeof line, "the environment variable RANK is \"%s\", not an integer; treated as 0",
             gs_printable(rank, strlen(rank), shown, sizeof shown));
    gs_screen_warning(line);
}

static gs_status write_json(const gs_report *report, const gs_recipe *r, const char *path, gs_error *err)
{
    size_t n;
    if (path == NULL) return GS_OK;
    char *json = gs_report_json(report, r, &n);
    const gs_status status = gs_cli_write_json(path, json, n, err);
    gs_free(json);
    return status;
}

static gs_status write_page(const gs_report *report, const gs_recipe *r, const char *path, gs_error *err)
{
    if (path == NULL) return GS_OK;
    gs_str page;
    gs_str_init(&page);
    gs_report_html(report, r, &page);
    const gs_status status = gs_cli_write_page(path, &page, err);
    gs_str_release(&page);
    return status;
}

static gs_status print_report(const gs_report *report, const gs_recipe *r, const gs_run_options *e, gs_error *err)
{
    gs_str text;
    gs_str_init(&text);
    if (report->dry_run)
        gs_report_plan_text(report, &text);
    else
        gs_report_text(report, &text);
    if (!e->quiet || report->dry_run) fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    GS_TRY(write_json(report, r, e->json, err));
    return write_page(report, r, e->report, err);
}

static gs_status check_extras(const gs_recipe *r, const gs_run_options *e, gs_error *err)
{
    GS_TRY(gs_cli_check_json(e->json, err));
    if (e->report != NULL && r->dry_run)
        return gs_fail(err, GS_ERR_USAGE, "--report shows what a run found, and --dry_run does not run: leave one out");
    return gs_cli_check_file("--report", e->report, err);
}

static gs_status run(int argc, char **argv, gs_recipe *r, gs_arena *arena, gs_error *err)
{
    gs_run_options e = {0};
    bool help = false;
    GS_TRY(gs_options_parse(r, &e, arena, argc, argv, &help, err));
    if (help) return (gs_status)gs_cmd_help(2, (char *[]){(char *)"help", (char *)"quant", NULL});
    gs_screen_quiet(e.quiet);
    gs_guard_set(e.secure, gs_screen_warning);
    GS_TRY(check_extras(r, &e, err));
    say_environment();
    gs_cli_catch_signals();
    signal(SIGPIPE, SIG_IGN); /* whoever reads the messages may go; the work goes on */
    gs_report *report = NULL;
    GS_TRY(gs_quantize(r, &gs_screen_watch, &report, err));
    gs_screen_clear();
    const gs_status status = print_report(report, r, &e, err);
    gs_report_free(report);
    return status;
}

int gs_cmd_quant(int argc, char **argv)
{
    gs_recipe recipe;
    gs_error err;
    gs_arena *arena = gs_arena_create();
    gs_recipe_defaults(&recipe);
    const gs_status status = run(argc, argv, &recipe, arena, &err);
    gs_arena_free(arena);
    return gs_cli_finish(status, &err);
}
