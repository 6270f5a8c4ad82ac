/* `glmslim quant`, and the program under the name quant_glm: the script's command line.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/common.h"
#include "report/report.h"

typedef struct extras {
    const char *json;
    bool quiet;
} extras;

/* --json FILE, --json=FILE, --quiet: not in the recipe, because they change nothing in the result. */
static int take_extra(void *ctx, int argc, char **argv, int at, gs_error *err)
{
    extras *e = ctx;
    if (strcmp(argv[at], "--quiet") == 0) {
        e->quiet = true;
        return 1;
    }
    if (strncmp(argv[at], "--json=", 7) == 0) {
        e->json = argv[at] + 7;
        return 1;
    }
    if (strcmp(argv[at], "--json") != 0) return 0;
    if (at + 1 >= argc || strncmp(argv[at + 1], "--", 2) == 0) {
        gs_fail(err, GS_ERR_USAGE, "argument --json: expected one argument");
        return -1;
    }
    e->json = argv[at + 1];
    return 2;
}

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

static gs_status print_report(const gs_report *report, const gs_recipe *r, const extras *e, gs_error *err)
{
    gs_str text;
    gs_str_init(&text);
    if (report->dry_run)
        gs_report_plan_text(report, &text);
    else
        gs_report_text(report, &text);
    if (!e->quiet || report->dry_run) fwrite(text.data, 1, text.len, stdout);
    gs_str_release(&text);
    if (e->json == NULL) return GS_OK;
    size_t n;
    char *json = gs_report_json(report, r, &n);
    const gs_status status = gs_cli_write_json(e->json, json, n, err);
    gs_free(json);
    return status;
}

static gs_status run(int argc, char **argv, gs_recipe *r, gs_arena *arena, gs_error *err)
{
    extras e = {NULL, false};
    bool help = false;
    GS_TRY(gs_options_parse(r, arena, argc, argv, take_extra, &e, &help, err));
    if (help) return (gs_status)gs_cmd_help(2, (char *[]){(char *)"help", (char *)"quant", NULL});
    gs_screen_quiet(e.quiet);
    GS_TRY(gs_cli_check_json(e.json, err));
    say_environment();
    gs_cli_catch_signals();
    signal(SIGPIPE, SIG_IGN); /* a closed terminal does not stop the work */
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
