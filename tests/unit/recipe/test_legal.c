/* What a legal recipe resolves to, notes, boundaries, recipes made by programs. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "helper.h"
#include "recipe/compat.h"

static void expect_note(const char *line, const char *note, bool there)
{
    asked a;
    ask(&a, line);
    if (a.status != GS_OK) fail_msg("%s: %s", line, a.error.text);
    if ((strstr(a.notes.data, note) != NULL) != there) fail_msg("%s: notes are \"%s\"", line, a.notes.data);
    ask_close(&a);
}

static void test_resolved(void **state)
{
    (void)state;
    asked a;
    ask(&a, "--use_kvcache_quant True --disable_level L12 --group_size 16");
    assert_int_equal(a.status, GS_OK);
    assert_int_equal(a.resolved.type, GS_Q_W8A8);
    assert_int_equal(a.resolved.w_bit, 8);
    assert_int_equal(a.resolved.disable_level, 12);
    assert_int_equal(a.resolved.group_size, -1);
    assert_false(a.resolved.per_group || a.resolved.co_sparse || a.resolved.lowbit_class);
    assert_true(a.resolved.npu_dtypes && a.resolved.extras);
    assert_string_equal(gs_quant_type_name(a.resolved.type), "W8A8");
    ask_close(&a);
    ask(&a, "--save_dtype float32 --disable_level L99999999999999999999 --reference_compat");
    assert_int_equal(a.status, GS_OK);
    assert_int_equal(a.resolved.disable_level, 2147483647);
    assert_false(a.resolved.npu_dtypes || a.resolved.extras);
    ask_close(&a);
    for (int t = GS_Q_FLOAT; t <= GS_Q_W4A4_FLATQUANT_DYNAMIC; t++)
        assert_non_null(gs_quant_type_name((gs_quant_type)t));
}

/* By group there is no do_smooth, and it is said. */
static void test_no_smoothing_by_group(void **state)
{
    (void)state;
    static const char *const by_group[] = {"--w_bit 4 --a_bit 16", "--w_bit 8 --a_bit 16 --reference_compat",
                                           "--w_bit 4 --is_dynamic True", "--w_bit 4"};
    for (size_t i = 0; i < sizeof by_group / sizeof *by_group; i++) {
        char line[256];
        asked a;
        snprintf(line, sizeof line, "%s --is_lowbit True --open_outlier False --do_smooth True", by_group[i]);
        expect_note(line, "do_smooth has no effect", true);
        ask(&a, line);
        assert_true(a.resolved.per_group && !a.resolved.do_smooth);
        ask_close(&a);
        snprintf(line, sizeof line, "%s --is_lowbit True --do_smooth True", by_group[i]);
        ask(&a, line);
        assert_true(a.status != GS_OK || a.resolved.do_smooth != a.resolved.per_group);
        ask_close(&a);
    }
}

static void test_order(void **state)
{
    (void)state;
    /* Two mistakes: the one the reference finds first is named. */
    expect_failure("--w_sym False --fraction 1", GS_ERR_USAGE, "w_sym should be True");
    expect_failure("--fraction 1 --use_fa_quant True --use_kvcache_quant True", GS_ERR_USAGE,
                   "fraction = 1.0 is larger than 0.1.");
    expect_failure("--disable_level x --anti_method q", GS_ERR_USAGE, "anti_method");
    expect_failure("--disable_level x --part_file_size 0", GS_ERR_USAGE, "disable_level");
    /* Legality comes before "not implemented". */
    expect_failure("--do_smooth True --part_file_size -3", GS_ERR_USAGE, "value = -3 is smaller than 1.");
    expect_failure("--device_type npu --strict_device --is_dynamic True --tp_size 0", GS_ERR_USAGE,
                   "tp_size should be");
}

static void expect_type(const char *line, gs_quant_type type, bool sparse_dynamic)
{
    asked a;
    ask(&a, line);
    if (a.status != GS_OK) fail_msg("%s: %s", line, a.error.text);
    assert_int_equal(a.resolved.type, type);
    assert_int_equal(a.resolved.sparse_dynamic, sparse_dynamic);
    ask_close(&a);
}

static void test_sparse_dynamic(void **state)
{
    (void)state;
    static const char lowbit[] = "--w_bit 4 --a_bit 8 --is_lowbit True --is_dynamic True";
    char line[256];
    expect_type(lowbit, GS_Q_W8A8_DYNAMIC, true);
    expect_type("--co_sparse True --is_dynamic True", GS_Q_W8A8_DYNAMIC, true);
    expect_type("--co_sparse True --is_dynamic True --reference_compat", GS_Q_W8A8_DYNAMIC, true);
    expect_type("--is_dynamic True", GS_Q_W8A8_DYNAMIC, false);
    expect_type("--is_dynamic True --is_lowbit True", GS_Q_W8A8_DYNAMIC, false);
    snprintf(line, sizeof line, "%s --open_outlier False", lowbit);
    expect_type(line, GS_Q_W4A8_DYNAMIC, false);
    snprintf(line, sizeof line, "%s --reference_compat", lowbit);
    expect_failure(line, GS_ERR_USAGE, "W4A8_DYNAMIC should be used with per-group quantization");
    expect_failure("--w_bit 4 --is_dynamic True", GS_ERR_USAGE, "W4A8_DYNAMIC should be used with");
    expect_failure("--w_bit 4", GS_ERR_USAGE, "W4A8_DYNAMIC should be used with");
}

static void expect_cards(const char *line, int ranks, bool comm, bool per_rank)
{
    asked a;
    ask(&a, line);
    if (a.status != GS_OK) fail_msg("%s: %s", line, a.error.text);
    assert_int_equal(a.resolved.ranks, ranks);
    assert_int_equal(a.resolved.comm, comm);
    assert_int_equal(a.resolved.comm_per_rank, per_rank);
    ask_close(&a);
}

static void test_cards(void **state)
{
    (void)state;
    expect_cards("", 1, false, false);
    expect_cards("--tp_size 16", 16, false, false);
    expect_cards("--tp_size 2 --use_reduce_quant True", 2, true, false);
    expect_cards("--tp_size 4 --use_reduce_quant True --reduce_per_device True", 4, true, true);
    expect_cards("--use_reduce_quant True", 1, true, false);
    /* The script writes a key alone for one card. */
    expect_cards("--use_reduce_quant True --reference_compat", 1, false, false);
    expect_cards("--tp_size 8 --use_reduce_quant True --reference_compat", 8, true, false);
    expect_note("--tp_size 2 --reduce_per_device True", "reduce_per_device has no effect", true);
    expect_note("--tp_size 2 --use_reduce_quant True --reduce_per_device True", "reduce_per_device", false);
    static const char *const sizes[] = {"-2", "0", "3", "5", "6", "32"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--tp_size=%s", sizes[i]);
        expect_failure(line, GS_ERR_USAGE, "tp_size should be in f[2, 4, 8, 16], but got ");
    }
    expect_failure("--w_bit 4 --a_bit 4 --is_dynamic True --tp_size 2", GS_ERR_UNSUPPORTED, "W4A4_FLATQUANT_DYNAMIC");
}

static void test_required(void **state)
{
    (void)state;
    asked a;
    ask_parse(&a, "--save_directory o");
    assert_int_equal(gs_recipe_resolve(&a.recipe, &a.resolved, NULL, &a.error), GS_ERR_USAGE);
    assert_non_null(strstr(a.error.text, "--model_path is required"));
    ask_close(&a);
    ask_parse(&a, "--model_path m --save_directory=");
    assert_int_equal(gs_recipe_resolve(&a.recipe, &a.resolved, NULL, &a.error), GS_ERR_USAGE);
    assert_non_null(strstr(a.error.text, "--save_directory is required"));
    ask_close(&a);
}

static void test_boundaries(void **state)
{
    (void)state;
    static const char *const legal[] = {"--fraction 0.01",
                                        "--fraction 0.1",
                                        "--part_file_size 1",
                                        "--disable_level L0",
                                        "--threads 5",
                                        "--sigma_factor 17",
                                        "--sigma_factor 1 --use_sigma True",
                                        "--sigma_factor 4 --use_sigma True",
                                        "--fa_amp -5"};
    for (size_t i = 0; i < sizeof legal / sizeof legal[0]; i++) expect_legal(legal[i]);
    expect_failure("--fraction 0.0099", GS_ERR_USAGE, "fraction = 0.0099 is smaller than 0.01.");
    expect_failure("--fraction nan", GS_ERR_USAGE, "fraction = nan is smaller than 0.01.");
    expect_failure("--sigma_factor 0.5 --use_sigma True", GS_ERR_USAGE, "sigma factor = 0.5 is smaller than 1.0.");
    expect_failure("--sigma_factor 4.1 --use_sigma True", GS_ERR_USAGE, "sigma factor = 4.1 is larger than 4.0.");
    expect_failure("--sigma_factor 2.9 --reference_compat", GS_ERR_USAGE, "sigma factor = 2.9 is smaller than 3.0.");
    expect_failure("--part_file_size 9999999999999", GS_ERR_USAGE, "larger than any file");
    expect_failure("--threads -1", GS_ERR_USAGE, "threads = -1 is smaller than 0.");
    expect_failure("--disable_level L", GS_ERR_USAGE, "disable_level");
    expect_failure("--disable_level l1", GS_ERR_USAGE, "disable_level");
    expect_failure("--disable_level L1x", GS_ERR_USAGE, "disable_level");
    expect_failure("--disable_level=", GS_ERR_USAGE, "disable_level");
    expect_failure("--anti_method m12", GS_ERR_USAGE, "anti_method");
    expect_failure("--a_bit 4 --anti_method m3", GS_ERR_USAGE,
                   "a_bit must be 8 or 16(anti_method='m3'), but got 4, please check it.");
    expect_failure("--w_bit 4 --a_bit 4 --is_dynamic True --w_sym False", GS_ERR_USAGE,
                   "W4A4 should be used with w_sym=True");
    expect_failure("--w_bit 4 --a_bit 4 --is_dynamic True --disable_last_linear False", GS_ERR_USAGE,
                   "W4A4 should be used with disable_last_linear=True");
#define W4A4 "--w_bit 4 --a_bit 4 --is_dynamic True "
    expect_failure(W4A4 "--do_smooth True", GS_ERR_UNSUPPORTED, "do_smooth with W4A4");
    expect_failure(W4A4 "--use_reduce_quant True", GS_ERR_UNSUPPORTED, "leave out tp_size and use_reduce_quant");
    expect_legal(W4A4 "--w4a4_all True --anti_method m4 --use_kvcache_quant True --disable_level L3 --mindie_format");
    expect_failure("--input_ids_name=", GS_ERR_USAGE,
                   "Validation failed for argument 'input_ids_name': String length must be between 1 and 256");
    char line[400] = "--attention_mask_name ";
    memset(line + strlen(line), 'x', 257);
    expect_failure(line, GS_ERR_USAGE, "Validation failed for argument 'attention_mask_name'");
    line[strlen(line) - 1] = '\0';
    expect_legal(line);
}

static void test_device(void **state)
{
    (void)state;
    expect_note("--device_type npu", "no Ascend runtime on this machine; computing on the CPU", true);
    expect_note("--device_type cpu --strict_device", "Ascend", false);
    expect_failure("--device_type npu --strict_device", GS_ERR_UNSUPPORTED, "no Ascend runtime");
}

static void test_notes(void **state)
{
    (void)state;
    expect_note("", "has no effect", false);
    expect_note("", "note: mm_tensor: one scale per row", true);
    expect_note("--trust_remote_code True", "note: trust_remote_code: no code of the checkpoint is executed", true);
    expect_note("--group_size 128", "note: group_size has no effect", true);
    expect_note("--fa_amp 2", "note: fa_amp has no effect", true);
    expect_note(W4A4 "--act_method 2", "note: act_method has no effect: W4A4", true);
    expect_note("--w4a4_all True", "note: w4a4_all has no effect", true);
    expect_note("--model_name glm", "note: model_name has no effect", true);
    expect_note("--tokenizer_args {\"padding_side\":\"left\",\"legacy\":1}", "tokenizer_args: \"legacy\" has no effect",
                true);
    asked a;
    ask(&a, "--co_sparse True"); /* with the warnings of the reference */
    assert_int_equal(a.status, GS_OK);
    assert_non_null(strstr(a.notes.data,
                           "Running in sparse requires `w_bit` of 4, your config `w_bit` will replaced to 4 instead."));
    assert_null(strstr(a.notes.data, "`a_bit`"));
    ask_close(&a);
}

static char *pad_of(const char *line, gs_status *status)
{
    asked a;
    ask_parse(&a, line);
    char *pad = (char *)"unset";
    *status = gs_recipe_pad_token(&a.recipe, &pad, &a.error);
    ask_close(&a);
    return pad;
}

static void test_tokenizer_args(void **state)
{
    (void)state;
    gs_status status;
    char *pad = pad_of("", &status);
    assert_int_equal(status, GS_OK);
    assert_string_equal(pad, "<unk>");
    gs_free(pad);
    assert_null(pad_of("--tokenizer_args {\"padding_side\":\"right\"}", &status));
    assert_null(pad_of("--tokenizer_args {\"pad_token\":null}", &status));
    pad = pad_of("--tokenizer_args {\"pad_token\":\"<pad>\"}", &status);
    assert_string_equal(pad, "<pad>");
    gs_free(pad);
    pad = pad_of("--reference_compat --tokenizer_args {bad", &status);
    assert_string_equal(pad, "<unk>");
    gs_free(pad);
    expect_failure("--tokenizer_args {bad", GS_ERR_USAGE, "not JSON");
    expect_failure("--tokenizer_args {\"padding_side\":\"up\"}", GS_ERR_USAGE, "padding_side must be");
    expect_failure("--tokenizer_args {\"pad_token\":3}", GS_ERR_USAGE, "pad_token must be");
    expect_failure("--tokenizer_args \"xx\" --reference_compat", GS_ERR_USAGE, "Parsed JSON must be a dictionary");
    static char deep[4096] = "--tokenizer_args ";
    memset(deep + strlen(deep), '[', 2000);
    expect_failure(deep, GS_ERR_USAGE, "not JSON");
}

/* The API without a command line. */
static void test_program(void **state)
{
    (void)state;
    gs_recipe r;
    gs_resolved s;
    gs_error err;
    gs_recipe_defaults(&r);
    r.model_path = "m";
    r.save_directory = "o";
    assert_int_equal(gs_recipe_resolve(&r, &s, NULL, &err), GS_OK);
    r.act_method = 4;
    assert_int_equal(gs_recipe_resolve(&r, &s, NULL, &err), GS_ERR_USAGE);
    assert_string_equal(err.text, "act_method = 4 is larger than 3.");
    r.act_method = 2;
    r.device_type = NULL;
    assert_int_equal(gs_recipe_resolve(&r, &s, NULL, &err), GS_ERR_USAGE);
    r.device_type = "cpu";
    r.anti_method = NULL;
    assert_int_equal(gs_recipe_resolve(&r, &s, NULL, NULL), GS_OK);
    r.disable_level = NULL;
    assert_int_equal(gs_recipe_resolve(&r, &s, NULL, NULL), GS_ERR_USAGE);
}

static void test_compat_rows(void **state)
{
    (void)state;
    gs_recipe r;
    gs_recipe_defaults(&r);
    assert_false(gs_compat(&r, GS_COMPAT_HISTOGRAM_TRUNCATES));
    r.reference_compat = true;
    for (int i = 0; i < GS_COMPAT_COUNT; i++) {
        assert_non_null(gs_compat_rows[i].name);
        assert_non_null(gs_compat_rows[i].reference);
        assert_non_null(gs_compat_rows[i].ours);
        assert_non_null(gs_option_find(gs_compat_rows[i].spec));
        assert_true(gs_compat(&r, (gs_compat_id)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolved),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_no_smoothing_by_group),
        cmocka_unit_test(test_cards),
        cmocka_unit_test(test_sparse_dynamic),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_tokenizer_args),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_compat_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
