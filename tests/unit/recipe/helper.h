/* A command line as one C string, parsed and resolved. Words are split at blanks; "\x1f" inside a word stands for a blank.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_RECIPE_HELPER_H
#define TEST_RECIPE_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe/legal.h"
#include "recipe/options.h"

typedef struct asked {
    gs_recipe recipe;
    gs_resolved resolved;
    gs_status status;
    gs_error error;
    gs_str notes;
    bool help;
    gs_arena *arena;
    char *text;
    char *argv[128];
    int argc;
} asked;

static inline void ask_close(asked *a)
{
    gs_arena_free(a->arena);
    gs_str_release(&a->notes);
    free(a->text);
}

static inline void ask_parse(asked *a, const char *line)
{
    memset(a, 0, sizeof *a);
    a->arena = gs_arena_create();
    gs_str_init(&a->notes);
    a->text = strdup(line);
    a->argv[a->argc++] = (char *)"quant_glm";
    char *rest = a->text;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        if (*word == '\0') continue;
        for (char *p = word; *p != '\0'; p++)
            if (*p == '\x1f') *p = ' ';
        assert_true(a->argc < 127);
        a->argv[a->argc++] = word;
    }
    gs_recipe_defaults(&a->recipe);
    a->status = gs_options_parse(&a->recipe, NULL, a->arena, a->argc, a->argv, &a->help, &a->error);
}

/* With the two paths that every run needs. */
static inline void ask(asked *a, const char *line)
{
    char full[4096];
    snprintf(full, sizeof full, "--model_path m --save_directory o %s", line);
    ask_parse(a, full);
    if (a->status == GS_OK) a->status = gs_recipe_resolve(&a->recipe, &a->resolved, &a->notes, &a->error);
}

static inline void expect_failure(const char *line, gs_status status, const char *wording)
{
    asked a;
    ask(&a, line);
    if (a.status != status)
        fail_msg("%s: status %d, not %d: %s", line, a.status, status, a.status != GS_OK ? a.error.text : "accepted");
    assert_int_equal(a.error.status, status);
    if (strstr(a.error.text, wording) == NULL) fail_msg("%s: \"%s\" lacks \"%s\"", line, a.error.text, wording);
    ask_close(&a);
}

static inline void expect_legal(const char *line)
{
    asked a;
    ask(&a, line);
    if (a.status != GS_OK) fail_msg("%s: %s", line, a.error.text);
    ask_close(&a);
}

#endif
