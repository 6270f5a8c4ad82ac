/* What the two engines load, as their own loaders did when they were run on results of every kind: the whole table, one row per kind.
 * Where the reference writes a name or an encoding that an engine does not take and --target writes the right one, the row says what
 * --target gets. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "format/target.h"
#include "unit/recipe/helper.h"

enum { LAYERS = 2, LINEARS = LAYERS * GS_ROLES + 1 };

typedef struct row {
    const char *options;
    gs_quant_type type;
    const char *mindie, *vllm; /* NULL = loads, else what the refusal must say */
} row;

#define LOWBIT_GROUP "--is_lowbit True --open_outlier False "
#define TYPE_ONLY    "\"linear type not matched\""
#define NO_OLD       "does not find the description of the older layout"

static const row table[] = {
    {"--act_method 1", GS_Q_W8A8, NULL, NULL},
    {"--act_method 2", GS_Q_W8A8, NULL, NULL},
    {"--act_method 3 --disable_level L2", GS_Q_W8A8, NULL, NULL},
    {"--part_file_size 1", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m1", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m2", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m3", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m4", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m5", GS_Q_W8A8, NULL, NULL},
    {"--anti_method m6", GS_Q_W8A8, NULL, NULL},
    {"--is_lowbit True", GS_Q_W8A8, NULL, NULL},
    {"--use_kvcache_quant True", GS_Q_W8A8, NULL, NULL}, /* under the names that each of them looks for */
    {"--mindie_format", GS_Q_W8A8, NULL, NO_OLD},
    {"--mindie_format --use_kvcache_quant True", GS_Q_W8A8, NULL, NO_OLD},
    {"--mindie_format --anti_method m1", GS_Q_W8A8, NULL, NO_OLD},
    {"--disable_last_linear False", GS_Q_W8A8, TYPE_ONLY, NULL},
    {"--disable_last_linear False --is_dynamic True", GS_Q_W8A8_DYNAMIC, TYPE_ONLY, NULL},
    {"--disable_last_linear False --a_bit 16", GS_Q_W8A16, TYPE_ONLY, NULL},
    {"--is_dynamic True", GS_Q_W8A8_DYNAMIC, NULL, NULL},
    {"--is_dynamic True --mindie_format", GS_Q_W8A8_DYNAMIC, NULL, NO_OLD},
    {"--a_bit 16", GS_Q_W8A16, NULL, NULL},
    {"--a_bit 16 --w_sym False", GS_Q_W8A16, NULL, "adds the offset where it should subtract"},
    {LOWBIT_GROUP "--a_bit 16 --group_size 64", GS_Q_W8A16, NULL, "scales by group"},
    {LOWBIT_GROUP "--a_bit 16 --group_size 128", GS_Q_W8A16, NULL, "scales by group"},
    {"--w_bit 4 --a_bit 16", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {"--w_bit 4 --a_bit 16 --w_sym False", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {"--w_bit 4 --a_bit 16 --is_lowbit True", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {"--w_bit 4 --a_bit 16 --anti_method m3", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {"--w_bit 4 --a_bit 16 --mindie_format", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {LOWBIT_GROUP "--w_bit 4 --a_bit 16 --group_size 64", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {LOWBIT_GROUP "--w_bit 4 --a_bit 16 --group_size 128 --mindie_format", GS_Q_W4A16, NULL, "no W4A16 linear"},
    {LOWBIT_GROUP "--w_bit 4 --a_bit 16 --group_size 32", GS_Q_W4A16, "stops at 32", "no W4A16 linear"},
    {LOWBIT_GROUP "--a_bit 16 --group_size 32", GS_Q_W8A16, "stops at 32", "scales by group"},
    {LOWBIT_GROUP "--group_size 32 --mindie_format", GS_Q_W8A8, "stops at 32", NO_OLD},
    {LOWBIT_GROUP "--group_size 32", GS_Q_W8A8, NULL, NULL},
    {"--w_bit 4 --co_sparse True", GS_Q_W8A8S, NULL, "no sparse linear"},
    {"--w_bit 4 --is_lowbit True", GS_Q_W8A8S, NULL, "no sparse linear"},
    {"--w_bit 4 --is_lowbit True --use_kvcache_quant True", GS_Q_W8A8S, NULL, "no sparse linear"},
    {LOWBIT_GROUP "--w_bit 4 --is_dynamic True", GS_Q_W4A8_DYNAMIC, TYPE_ONLY, "for experts only"},
    {"--w_bit 16 --a_bit 16", GS_Q_FLOAT, "FLOAT becomes quantize \"float\"", NULL},
    {"--w_bit 4 --a_bit 4 --is_dynamic True", GS_Q_W4A4_FLATQUANT_DYNAMIC, "checks model_quant_type", NULL},
    /* The reference writes a key alone; with the scales vllm-ascend meets tensors it does not know. */
    {"--use_reduce_quant True", GS_Q_W8A8, NULL, "scales for quantized communication"},
    {"--tp_size 2", GS_Q_W8A8, NULL, "tensors of simulated cards"},
    {"--tp_size 2 --use_reduce_quant True", GS_Q_W8A8, NULL, "tensors of simulated cards"},
    {"--tp_size 2 --use_reduce_quant True --reduce_per_device True", GS_Q_W8A8, "asks for one reduce_scale",
     "tensors of simulated cards"},
    {"--use_reduce_quant True --reduce_per_device True", GS_Q_W8A8, NULL, "scales for quantized communication"},
    /* The reference's names load nowhere; under their own names the biases are what matters. */
    {"--do_smooth True", GS_Q_W8A8, NULL, NULL},
    {"--do_smooth True --is_dynamic True", GS_Q_W8A8_DYNAMIC, "query_key_value that is not W8A8", "drops the second"},
    {"--do_smooth True --a_bit 16", GS_Q_W8A16, "query_key_value that is not W8A8", "drops the second"},
    {"--do_smooth True --w_bit 4 --is_lowbit True", GS_Q_W8A8S, NULL, "no sparse linear"},
    {"--use_fa_quant True", GS_Q_W8A8, "no quantized attention", "stops at the type FAQuant"},
};

typedef struct fixture {
    asked a;
    gs_config config;
    gs_choice choice[LINEARS];
    gs_target_request request;
    gs_str notes;
    gs_error err;
} fixture;

static void open_fixture(fixture *f, const char *options, gs_quant_type type)
{
    memset(f, 0, sizeof *f);
    gs_str_init(&f->notes);
    ask(&f->a, options);
    if (f->a.status == GS_ERR_UNSUPPORTED)
        f->a.resolved = (gs_resolved){.type = type, .group_size = -1};
    else if (f->a.status != GS_OK)
        fail_msg("%s: %s", options, f->a.error.text);
    assert_int_equal(f->a.resolved.type, type);
    static char text[] = "{\"_name_or_path\": \"THUDM/glm-4-9b\"}";
    f->config = (gs_config){.dtype = GS_BF16,
                            .hidden = 4096,
                            .layers = LAYERS,
                            .heads = 32,
                            .groups = 2,
                            .head_dim = 128,
                            .ffn = 13696,
                            .vocab = 151552,
                            .qkv_bias = true,
                            .text = text,
                            .text_bytes = sizeof text - 1};
    for (int i = 0; i < LINEARS; i++) f->choice[i].type = type;
    for (int b = 0; b < LAYERS && f->a.resolved.a_bit == 8; b++) f->choice[b * GS_ROLES + GS_4H].type = GS_Q_FLOAT;
    if (f->a.recipe.disable_last_linear) f->choice[LINEARS - 1].type = GS_Q_FLOAT;
    f->request = (gs_target_request){&f->a.recipe, &f->a.resolved, &f->config, f->choice, LINEARS};
}

static void close_fixture(fixture *f)
{
    gs_str_release(&f->notes);
    ask_close(&f->a);
}

static void expect(fixture *f, const char *options, const gs_target *t, const char *refusal)
{
    gs_str_clear(&f->notes);
    const gs_status status = gs_target_check(t, &f->request, &f->notes, &f->err);
    if (!refusal && status != GS_OK) fail_msg("%s, %s: %s", options, t->name, f->err.text);
    if (!refusal) return;
    if (status != GS_ERR_USAGE) fail_msg("%s: %s takes it", options, t->name);
    if (!strstr(f->err.text, refusal)) fail_msg("%s, %s: %s", options, t->name, f->err.text);
    if (!strstr(f->err.text, t->loads)) fail_msg("%s, %s: does not say what loads: %s", options, t->name, f->err.text);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        fixture f;
        open_fixture(&f, table[i].options, table[i].type);
        expect(&f, table[i].options, &gs_target_mindie, table[i].mindie);
        expect(&f, table[i].options, &gs_target_vllm_ascend, table[i].vllm);
        close_fixture(&f);
    }
}

/* Types that are no scheme of ours are refused before any target is asked. */
static void test_unknown_types(void **state)
{
    (void)state;
    static const char *const options[] = {"--w_bit 2", "--w_bit 6", "--a_bit 4", "--w_bit 16"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        expect_failure(options[i], GS_ERR_USAGE, "not a quantization type");
}

/* A linear that falls back to float in front of which do_smooth has put a bias: known only after the ranking. */
static void test_shift_before_float(void **state)
{
    (void)state;
    const char *const options = "--do_smooth True";
    fixture f;
    open_fixture(&f, options, GS_Q_W8A8);
    f.choice[GS_ROLES + GS_QKV].type = GS_Q_FLOAT;
    expect(&f, options, &gs_target_mindie, "drops it");
    expect(&f, options, &gs_target_vllm_ascend, NULL); /* reads both biases */
    f.choice[GS_ROLES + GS_QKV].type = GS_Q_W8A8;
    f.choice[GS_H4].type = GS_Q_FLOAT;
    expect(&f, options, &gs_target_mindie, "drops it");
    expect(&f, options, &gs_target_vllm_ascend, "drops the second");
    f.choice[GS_H4].type = GS_Q_W8A8;
    f.choice[GS_DENSE].type = GS_Q_FLOAT; /* no norm in front of it */
    expect(&f, options, &gs_target_mindie, NULL);
    close_fixture(&f);
}

static void test_config(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
    } names[] = {{"{\"_name_or_path\": \"THUDM/GLM-4-9B-chat\"}", NULL},
                 {"{\"_name_or_path\": \"/models/chatglm3-to-glm-4\"}", "glm-4-9b"},
                 {"{\"_name_or_path\": 4}", "glm-4-9b"},
                 {"{}", "glm-4-9b"}};
    fixture f;
    open_fixture(&f, "", GS_Q_W8A8);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        f.config.text = (char *)names[i].text;
        f.config.text_bytes = strlen(names[i].text);
        expect(&f, names[i].text, &gs_target_mindie, NULL);
        const char *name = gs_target_mindie.model_name(&f.config);
        assert_true((name == NULL) == (names[i].name == NULL));
        if (name) assert_string_equal(name, names[i].name);
        assert_int_equal(strstr(f.notes.data, "_name_or_path") != NULL, name != NULL);
    }
    f.config.text = (char *)"{\"quantization_config\": {}}";
    f.config.text_bytes = strlen(f.config.text);
    expect(&f, f.config.text, &gs_target_mindie, "wins over the description");
    expect(&f, f.config.text, &gs_target_vllm_ascend, "for the description");
    f.config.text = (char *)"{}";
    f.config.text_bytes = 2;
    f.config.qkv_bias = false;
    expect(&f, "no bias", &gs_target_mindie, "query_key_value.bias");
    expect(&f, "no bias", &gs_target_vllm_ascend, NULL);
    assert_int_equal(gs_target_dtype(&f.config), GS_BF16);
    f.config.dtype = GS_F32;
    assert_int_equal(gs_target_dtype(&f.config), GS_BF16);
    expect(&f, "float32", &gs_target_vllm_ascend, NULL);
    assert_non_null(strstr(f.notes.data, "written as bfloat16"));
    f.config.dtype = GS_F16;
    assert_int_equal(gs_target_dtype(&f.config), GS_F16);
    close_fixture(&f);
}

/* Rows cut into whole groups: GLM-4-9B has 107 groups of 128 in dense_4h_to_h. */
static void test_advice(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, LOWBIT_GROUP "--w_bit 4 --a_bit 16 --group_size 128", GS_Q_W4A16);
    expect(&f, "128", &gs_target_mindie, NULL);
    assert_non_null(strstr(f.notes.data, "mlp.dense_4h_to_h has 107 groups of 128"));
    assert_non_null(strstr(f.notes.data, "at most 1 card,"));
    assert_null(strstr(f.notes.data, "self_attention.dense has"));
    f.a.resolved.group_size = 64;
    expect(&f, "64", &gs_target_mindie, NULL);
    assert_non_null(strstr(f.notes.data, "at most 2 cards,"));
    for (int b = 0; b < LAYERS; b++) f.choice[b * GS_ROLES + GS_4H].type = GS_Q_FLOAT;
    expect(&f, "64, float", &gs_target_mindie, NULL);
    assert_null(strstr(f.notes.data, "groups of"));
    assert_null(strstr(f.notes.data, "top_k"));
    assert_null(strstr(f.notes.data, "characters"));
    f.config.vocab = 999;
    f.a.recipe.save_directory = "out@home";
    expect(&f, "small", &gs_target_mindie, NULL);
    assert_non_null(strstr(f.notes.data, "vocabulary has only 999 words"));
    assert_non_null(strstr(f.notes.data, "characters outside"));
    close_fixture(&f);
}

static void test_find(void **state)
{
    (void)state;
    assert_ptr_equal(gs_target_find("mindie"), &gs_target_mindie);
    assert_ptr_equal(gs_target_find("vllm-ascend"), &gs_target_vllm_ascend);
    assert_null(gs_target_find(NULL));
    assert_null(gs_target_find("vllm"));
    /* Every type of linear has a word in every table. */
    for (int i = 0; gs_targets[i]; i++)
        for (int t = GS_Q_FLOAT; t <= GS_Q_W4A4_FLATQUANT_DYNAMIC; t++)
            assert_non_null(gs_target_cell(gs_targets[i], (gs_quant_type)t, GS_TF_SCHEME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),  cmocka_unit_test(test_unknown_types), cmocka_unit_test(test_shift_before_float),
        cmocka_unit_test(test_config), cmocka_unit_test(test_advice),        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
