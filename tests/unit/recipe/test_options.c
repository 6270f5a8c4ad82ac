/* The parser against argparse's rules, and the table against itself. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "helper.h"
#include "recipe/value.h"

static void parse_ok(asked *a, const char *line)
{
    ask_parse(a, line);
    if (a->status != GS_OK) fail_msg("%s: %s", line, a->error.text);
}

static void parse_fails(const char *line, const char *message)
{
    asked a;
    ask_parse(&a, line);
    assert_int_equal(a.status, GS_ERR_USAGE);
    if (strcmp(a.error.text, message) != 0) fail_msg("%s: \"%s\" is not \"%s\"", line, a.error.text, message);
    ask_close(&a);
}

static void test_table(void **state)
{
    (void)state;
    int theirs = 0;
    gs_recipe r;
    for (int i = 0; i < gs_option_count; i++) {
        const gs_option *o = &gs_options[i];
        if (!o->ours) {
            assert_int_equal(theirs, i); /* the script's parameters come first */
            theirs++;
        }
        assert_ptr_equal(gs_option_find(o->name), o);
        assert_non_null(o->help);
        assert_non_null(o->doc);
        if (o->default_text != NULL) assert_int_equal(gs_option_set(&r, o, o->default_text, NULL), GS_OK);
        for (int j = 0; j < i; j++) assert_int_not_equal(gs_options[j].field, o->field);
    }
    assert_int_equal(theirs, 36);
}

static void test_defaults(void **state)
{
    (void)state;
    gs_recipe r;
    gs_recipe_defaults(&r);
    assert_null(r.model_path);
    assert_null(r.calib_file);
    assert_null(r.disable_names);
    assert_null(r.tokenizer_args);
    assert_int_equal(r.part_file_size, 0);
    assert_int_equal(r.w_bit, 8);
    assert_int_equal(r.a_bit, 8);
    assert_string_equal(r.device_type, "cpu");
    assert_true(r.fraction == 0.01 && r.sigma_factor == 3.0);
    assert_int_equal(r.act_method, 1);
    assert_string_equal(r.anti_method, "");
    assert_string_equal(r.disable_level, "L0");
    assert_int_equal(r.tp_size, 1);
    assert_int_equal(r.group_size, 64);
    assert_true(r.w_sym && r.open_outlier && r.disable_last_linear);
    assert_false(r.co_sparse || r.do_smooth || r.use_sigma || r.use_reduce_quant || r.is_lowbit || r.mm_tensor ||
                 r.use_kvcache_quant || r.use_fa_quant || r.is_dynamic || r.trust_remote_code || r.mindie_format);
    assert_string_equal(r.input_ids_name, "input_ids");
    assert_string_equal(r.save_dtype, "checkpoint");
    assert_int_equal(r.threads, 0);
    assert_true(r.given == 0);
}

static void test_forms(void **state)
{
    (void)state;
    asked a;
    parse_ok(&a, "--model-path=a=b --save_directory o --w_bit=4 --fa_amp -1 --fraction -.5 --use-kvcache-quant True "
                 "--mindie_format "
                 "--part_file_size 3 --act_method=2 --sigma_factor 1e1 --a_bit 1_6 --anti_file -");
    assert_string_equal(a.recipe.model_path, "a=b");
    assert_string_equal(a.recipe.anti_file, "-");
    assert_int_equal(a.recipe.w_bit, 4);
    assert_int_equal(a.recipe.a_bit, 16);
    assert_int_equal(a.recipe.fa_amp, -1);
    assert_true(a.recipe.fraction == -0.5);
    assert_true(a.recipe.sigma_factor == 10.0);
    assert_true(a.recipe.use_kvcache_quant && a.recipe.mindie_format);
    assert_int_equal(a.recipe.part_file_size, 3);
    assert_int_equal(a.recipe.act_method, 2);
    assert_true(gs_option_given(&a.recipe, "part_file_size"));
    assert_false(gs_option_given(&a.recipe, "group_size"));
    assert_false(gs_option_given(&a.recipe, "no such option"));
    ask_close(&a);

    parse_ok(&a, "--w_bit 4 --w_bit 16"); /* the last wins */
    assert_int_equal(a.recipe.w_bit, 16);
    ask_close(&a);
    parse_ok(
        &a,
        "--w_b 4 --part 2 --save_d o --dry --trust True --open False"); /* prefixes; save_d: the script's own name wins */
    assert_int_equal(a.recipe.w_bit, 4);
    assert_int_equal(a.recipe.part_file_size, 2);
    assert_string_equal(a.recipe.save_directory, "o");
    assert_true(a.recipe.dry_run && a.recipe.trust_remote_code);
    assert_false(a.recipe.open_outlier);
    ask_close(&a);
}

static void test_lists(void **state)
{
    (void)state;
    asked a;
    parse_ok(&a, "--disable_names a b -7 c --w_bit 4 --calib_texts one\x1ftwo -\x1fthree");
    assert_string_equal(a.recipe.disable_names[0], "a");
    assert_string_equal(a.recipe.disable_names[2], "-7");
    assert_string_equal(a.recipe.disable_names[3], "c");
    assert_null(a.recipe.disable_names[4]);
    assert_int_equal(a.recipe.w_bit, 4);
    assert_string_equal(a.recipe.calib_texts[0], "one two");
    assert_string_equal(a.recipe.calib_texts[1], "- three"); /* a blank inside: a value, as in argparse */
    assert_null(a.recipe.calib_texts[2]);
    ask_close(&a);
    parse_ok(&a, "--disable_names=x --w_bit 4");
    assert_string_equal(a.recipe.disable_names[0], "x");
    assert_null(a.recipe.disable_names[1]);
    ask_close(&a);
    parse_fails("--disable_names", "argument --disable_names: expected at least one argument");
    parse_fails("--disable_names --w_bit 8", "argument --disable_names: expected at least one argument");
    parse_fails("--disable_names=x y", "unrecognized arguments: y");
}

static void test_flags(void **state)
{
    (void)state;
    asked a;
    parse_ok(&a, "--reference_compat --overwrite False --dry-run=True --no_extras True --strict_device");
    assert_true(a.recipe.reference_compat && a.recipe.dry_run && a.recipe.no_extras && a.recipe.strict_device);
    assert_false(a.recipe.overwrite);
    ask_close(&a);
    parse_fails("--mindie_format True", "unrecognized arguments: True");
    parse_fails("--mindie_format=True", "argument --mindie_format: ignored explicit argument 'True'");
    parse_fails("--overwrite=yes", "argument --overwrite: invalid cmd_bool value: 'yes'");
}

static void test_errors(void **state)
{
    (void)state;
    parse_fails("--w_bit", "argument --w_bit: expected one argument");
    parse_fails("--w_bit --a_bit 8", "argument --w_bit: expected one argument");
    parse_fails("--w_bit 8.0", "argument --w_bit: invalid int value: '8.0'");
    parse_fails("--w_bit=", "argument --w_bit: invalid int value: ''");
    parse_fails("--w_bit 8_", "argument --w_bit: invalid int value: '8_'");
    parse_fails("--w_bit 0x8", "argument --w_bit: invalid int value: '0x8'");
    parse_fails("--w_bit 99999999999", "argument --w_bit: 99999999999 is out of range");
    parse_fails("--part_file_size 99999999999999999999",
                "argument --part_file_size: 99999999999999999999 is out of range");
    parse_fails("--fraction x", "argument --fraction: invalid float value: 'x'");
    parse_fails("--fraction 0x1p3", "argument --fraction: invalid float value: '0x1p3'");
    parse_fails("--co_sparse it's", "argument --co_sparse: invalid cmd_bool value: \"it's\"");
    parse_fails("--co_sparse a\tb", "argument --co_sparse: invalid cmd_bool value: 'a\\tb'");
    parse_fails("--co_sparse \xff", "argument --co_sparse: invalid cmd_bool value: '\\xff'");
    parse_fails("--save_dtype half",
                "argument --save_dtype: invalid choice: 'half' (choose from 'checkpoint', 'float32')");
    parse_fails("--w 8", "ambiguous option: --w could match --w_bit, --w_sym, --w4a4_all");
    parse_fails(
        "--use=True",
        "ambiguous option: --use could match --use_sigma, --use_reduce_quant, --use_kvcache_quant, --use_fa_quant");
    parse_fails("--foo 1 bar", "unrecognized arguments: --foo 1 bar");
    parse_fails("-x", "unrecognized arguments: -x");
    parse_fails("--w_bits 8", "unrecognized arguments: --w_bits 8 (did you mean --w_bit?)");
    parse_fails("--disable-naems=x", "unrecognized arguments: --disable-naems=x (did you mean --disable_names?)");
}

static void test_help(void **state)
{
    (void)state;
    static const char *const lines[] = {"-h", "--help", "--hel", "--w_bit 8 --help --w_bit nine"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        asked a;
        parse_ok(&a, lines[i]);
        assert_true(a.help);
        ask_close(&a);
    }
    gs_str s;
    gs_str_init(&s);
    gs_options_help(&s, "quant_glm");
    for (int i = 0; i < gs_option_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "  --%s ", gs_options[i].name);
        assert_non_null(strstr(s.data, name));
    }
    const char *line = s.data;
    while (*line != '\0') {
        const size_t n = strcspn(line, "\n");
        assert_true(n <= 100);
        line += n + (line[n] == '\n');
    }
    gs_str_release(&s);
}

static gs_status parse_run(gs_recipe *r, gs_run_options *run, gs_arena *arena, const char *const *words, gs_error *err)
{
    bool help;
    int n = 0;
    while (words[n] != NULL) n++;
    gs_recipe_defaults(r);
    *run = (gs_run_options){0};
    return gs_options_parse(r, run, arena, n, (char **)(uintptr_t)words, &help, err);
}

static void test_run_options(void **state)
{
    (void)state;
    static const char *const good[] = {
        "quant_glm", "--disable_names", "a", "--json", "f", "--calib_texts", "b", "--report=my page.html", "--qui",
        "True",      "--secure=True",   NULL};
    static const char *const bad[] = {"quant_glm", "--json", "--w_bit", "4", NULL};
    static const char *const dashes[] = {"quant_glm", "--json", "--x y", NULL};
    gs_arena *arena = gs_arena_create();
    gs_recipe r;
    gs_run_options run;
    gs_error err;
    assert_int_equal(parse_run(&r, &run, arena, good, &err), GS_OK);
    assert_string_equal(run.json, "f");
    assert_string_equal(run.report, "my page.html");
    assert_true(run.quiet && run.secure);
    assert_null(r.disable_names[1]);
    assert_null(r.calib_texts[1]);
    assert_int_equal(parse_run(&r, &run, arena, bad, &err), GS_ERR_USAGE);
    assert_string_equal(err.text, "argument --json: expected one argument");
    assert_int_equal(parse_run(&r, &run, arena, dashes, &err), GS_OK); /* a blank inside: a value, as in argparse */
    gs_arena_free(arena);
}

/* "--" is no value: as Python 3.11 has it. */
static void test_dashes(void **state)
{
    (void)state;
    parse_fails("--w_bit -- 8", "argument --w_bit: expected one argument");
    parse_fails("--disable_names a -- b", "unrecognized arguments: -- b");
    parse_fails("--disable_names -- --w_bit y", "argument --disable_names: expected at least one argument");
    parse_fails("-- --w_bit 8", "unrecognized arguments: -- --w_bit 8");
    parse_fails("--", "unrecognized arguments: --");
}

static void test_empty_word(void **state)
{
    (void)state;
    static const char *const alone[] = {"quant_glm", "", NULL};
    static const char *const first[] = {"quant_glm", "", "x", NULL};
    gs_arena *arena = gs_arena_create();
    gs_recipe r;
    gs_run_options run;
    gs_error err;
    assert_int_equal(parse_run(&r, &run, arena, alone, &err), GS_ERR_USAGE);
    assert_string_equal(err.text, "unrecognized arguments: ");
    assert_int_equal(parse_run(&r, &run, arena, first, &err), GS_ERR_USAGE);
    assert_string_equal(err.text, "unrecognized arguments:  x");
    gs_arena_free(arena);
}

/* A list of lines of options, as analyze --scheme. */
static void test_lines(void **state)
{
    (void)state;
    struct {
        const char *const *lines;
        int n;
    } a = {NULL, 0};
    const gs_option rows[] = {
        {"lines", GS_OPT_LINES, 0, NULL, NULL, "", "", true},
        {"n", GS_OPT_INT, (size_t)((char *)&a.n - (char *)&a), NULL, NULL, "", "", true},
    };
    static const char *const words[] = {"x", "--lines", "W8A8", "--is_dynamic=True", "--w_bit 4", "--n", "3", NULL};
    gs_arena *arena = gs_arena_create();
    gs_error err;
    gs_option_parse request = {.rows = rows, .count = 2, .object = &a, .arena = arena};
    assert_int_equal(gs_options_parse_rows(&request, 7, (char **)(uintptr_t)words, &err), GS_OK);
    assert_string_equal(a.lines[1], "--is_dynamic=True");
    assert_string_equal(a.lines[2], "--w_bit 4");
    assert_null(a.lines[3]);
    assert_int_equal(a.n, 3);
    gs_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),      cmocka_unit_test(test_defaults),    cmocka_unit_test(test_forms),
        cmocka_unit_test(test_lists),      cmocka_unit_test(test_flags),       cmocka_unit_test(test_errors),
        cmocka_unit_test(test_help),       cmocka_unit_test(test_run_options), cmocka_unit_test(test_dashes),
        cmocka_unit_test(test_empty_word), cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
