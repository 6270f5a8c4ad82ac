/* A recipe as a command line: what was given and what differs from the defaults, in words a shell reads back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recipe/options.h"

static void says(const gs_recipe *r, const char *wanted)
{
    gs_str s;
    gs_str_init(&s);
    gs_recipe_command(r, &s);
    assert_string_equal(s.data, wanted);
    gs_str_release(&s);
}

static void test_values(void **state)
{
    (void)state;
    gs_recipe r;
    gs_recipe_defaults(&r);
    says(&r, "quant_glm");
    r.model_path = "glm-4-9b";
    r.save_directory = "it's here";
    r.part_file_size = 4;
    r.w_bit = 4;
    r.fraction = 0.05;
    r.w_sym = false;
    r.mindie_format = true;
    r.disable_names = (const char *const[]){"a.b", "", "$x\ny", NULL};
    says(&r, "quant_glm \\\n    --model_path glm-4-9b \\\n    --save_directory 'it'\\''s here' \\\n    "
             "--part_file_size 4 \\\n"
             "    --w_bit 4 \\\n    --disable_names a.b '' '$x\ny' \\\n    --fraction 0.05 \\\n    --w_sym False \\\n"
             "    --mindie_format");
}

/* What was written is shown, even where it is the default; an empty text keeps its place. */
static void test_given(void **state)
{
    (void)state;
    gs_recipe r;
    gs_error err;
    bool help;
    gs_recipe_defaults(&r);
    gs_arena *arena = gs_arena_create();
    char *argv[] = {"quant_glm", "--act-method=1", "--anti_method", "",     "--w_sym",
                    "True",      "--overwrite",    "--dry_run",     "False"};
    assert_int_equal(gs_options_parse(&r, NULL, arena, 9, argv, &help, &err), GS_OK);
    says(&r, "quant_glm \\\n    --act_method 1 \\\n    --anti_method '' \\\n    --w_sym True \\\n    --overwrite");
    gs_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_given)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
