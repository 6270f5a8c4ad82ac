/* The command line, one word per line of the input: parsing, and judging the recipe. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"
#include "recipe/legal.h"
#include "recipe/options.h"

enum { MAX_WORDS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_error err;
    gs_recipe recipe;
    gs_str line, notes;
    gs_str_init(&line);
    gs_str_init(&notes);
    gs_str_add(&line, (const char *)data, n);
    char *argv[MAX_WORDS + 2] = {(char *)"quant_glm"};
    int argc = 1;
    for (char *at = line.data, *end; argc <= MAX_WORDS && at < line.data + line.len; at = end + 1) {
        argv[argc++] = at;
        end = memchr(at, '\n', (size_t)(line.data + line.len - at));
        if (end == NULL) break;
        *end = '\0';
    }
    gs_arena *arena = gs_arena_create();
    gs_recipe_defaults(&recipe);
    bool help = false;
    gs_run_options run = {0};
    gs_status status = gs_options_parse(&recipe, &run, arena, argc, argv, &help, &err);
    gs_fuzz_outcome(status, &err);
    if (status == GS_OK && !help) {
        gs_resolved resolved;
        char *pad = NULL;
        status = gs_recipe_resolve(&recipe, &resolved, &notes, &err);
        gs_fuzz_outcome(status, &err);
        GS_FUZZ_CHECK(gs_utf8_valid(notes.data, notes.len) == notes.len);
        if (status == GS_OK) {
            GS_FUZZ_CHECK(gs_quant_type_name(resolved.type) != NULL);
            gs_fuzz_outcome(gs_recipe_pad_token(&recipe, &pad, &err), &err);
        }
        gs_free(pad);
    }
    gs_arena_free(arena);
    gs_str_release(&notes);
    gs_str_release(&line);
    return 0;
}
