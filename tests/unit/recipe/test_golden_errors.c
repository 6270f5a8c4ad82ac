/* Every failing golden case that the recipe alone decides: the options of the case and the reference's own message. The runs add
 * --save_dtype float32 --reference_compat, as the comparison with the goldens does; a second table holds what is refused where the
 * reference fails by accident, and what is not built yet.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "helper.h"

#define COMPAT "--save_dtype float32 --reference_compat "

typedef struct golden {
    const char *name, *options, *message;
} golden;

static const golden own_messages[] = {
    {"err-act0", "--act_method 0", "argument --act_method: invalid choice: 0 (choose from 1, 2, 3)"},
    {"err-act3-lowbit", "--act_method 3 --is_lowbit True", "act_method can not be 3 when running lowbit."},
    {"err-act4", "--act_method 4", "argument --act_method: invalid choice: 4 (choose from 1, 2, 3)"},
    {"err-anti-case", "--anti_method M2",
     "Configuration param `anti_method` must be in choices ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']"},
    {"err-anti-m7", "--anti_method m7",
     "Configuration param `anti_method` must be in choices ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']"},
    {"err-asym-a8", "--w_sym False", "w_sym should be True when a_bit = 8, please check it"},
    {"err-bool-int", "--co_sparse 1", "argument --co_sparse: invalid cmd_bool value: '1'"},
    {"err-bool", "--is_dynamic true", "argument --is_dynamic: invalid cmd_bool value: 'true'"},
    {"err-device", "--device_type gpu", "argument --device_type: invalid choice: 'gpu' (choose from 'cpu', 'npu')"},
    {"err-dynamic-a16", "--a_bit 16 --is_dynamic True", "a_bit must be 4 or 8 when running dynamic quantization."},
    {"err-dynamic-w6", "--w_bit 6 --is_dynamic True", "w_bit must be 4 or 8 when running dynamic quantization."},
    {"err-fa-amp", "--use_fa_quant True --fa_amp -1", "fa_amp = -1 is smaller than 0."},
    {"err-fa-kv", "--use_fa_quant True --use_kvcache_quant True",
     "KV-cache and FA cannot be quantized at the same time!"},
    {"err-fraction-high", "--fraction 0.2", "fraction = 0.2 is larger than 0.1."},
    {"err-fraction-low", "--fraction 0.001", "fraction = 0.001 is smaller than 0.01."},
    {"err-group16", "--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 16",
     "group_size must be among choice [32, 64, 128, 256], please check it."},
    {"err-int", "--w_bit eight", "argument --w_bit: invalid int value: 'eight'"},
    {"err-level-L01", "--disable_level L01", "Please check the `disable_level` configuration."},
    {"err-level-x", "--disable_level 2", "Please check the `disable_level` configuration."},
    {"err-lowbit-w4a4", "--w_bit 4 --a_bit 4 --is_lowbit True", "a_bit must be among choice [8, 16], please check it."},
    {"err-m3-w16", "--w_bit 16 --a_bit 16 --anti_method m3",
     "w_bit must be 4 or 8 (anti_method='m3'), but got 16, please check it"},
    {"err-m3-w6", "--w_bit 6 --anti_method m3", "w_bit must be 4 or 8 (anti_method='m3'), but got 6, please check it"},
    {"err-part0", "--part_file_size 0", "value = 0 is smaller than 1."},
    {"err-sigma-high", "--sigma_factor 4.5", "sigma factor = 4.5 is larger than 4.0."},
    {"err-sigma-low", "--sigma_factor 2.0", "sigma factor = 2.0 is smaller than 3.0."},
    {"err-tokargs-list", "--tokenizer_args [1]", "Parsed JSON must be a dictionary"},
    {"err-tokargs-short", "--tokenizer_args 1",
     "Validation failed for argument 'tokenizer_args': String length must be between 2 and 4096"},
    {"err-unknown-flag", "--foo 1", "unrecognized arguments: --foo 1"},
    {"err-w4a4-static", "--w_bit 4 --a_bit 4", "W4A4 should be used with dynamic quantization"},
    {"err-w4a8-plain", "--w_bit 4 --a_bit 8",
     "W4A8_DYNAMIC should be used with per-group quantization and dynamic quantization"},
    {"err-tp3", "--tp_size 3", "tp_size should be in f[2, 4, 8, 16], but got 3."},
};

static void test_own_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof own_messages / sizeof own_messages[0]; i++) {
        char line[512];
        snprintf(line, sizeof line, COMPAT "%s", own_messages[i].options);
        expect_failure(line, GS_ERR_USAGE, own_messages[i].message);
    }
}

/* The same without compat, except for the range of sigma_factor, which differs by design. */
static void test_own_messages_by_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof own_messages / sizeof own_messages[0]; i++) {
        if (strstr(own_messages[i].name, "sigma") == NULL)
            expect_failure(own_messages[i].options, GS_ERR_USAGE, own_messages[i].message);
    }
}

/* Accepted by the reference without a type. */
static void test_unknown_types(void **state)
{
    (void)state;
    static const char *const lines[] = {"--w_bit 0",
                                        "--w_bit 2",
                                        "--w_bit 6",
                                        "--w_bit 16",
                                        "--a_bit 4",
                                        "--w_bit 16 --a_bit 4",
                                        "--a_bit 6 --is_dynamic True"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_failure(lines[i], GS_ERR_USAGE, "is not a quantization type");
}

/* Golden cases that run today resolve. */
static void test_success_cases(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "--act_method 1",
        "--act_method 2",
        "--act_method 3",
        "--disable_level L0",
        "--disable_level L5",
        "--disable_level L100",
        "--act_method 2 --use_kvcache_quant True",
        "--disable_last_linear False",
        "--part_file_size 1 --mindie_format",
        "--disable_names transformer.encoder.layers.0.mlp.dense_4h_to_h",
        "--tokenizer_args {\"padding_side\":\"left\"}",
        ("--mm_tensor False --model_name glm4 --input_ids_name ids --group_size 16 --fa_amp 3 --sigma_factor 4.0 "
         "--fraction 0.1"),
        "--tokenizer_args not\x1fjson",
        "--trust_remote_code True",
        "--device_type npu",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char line[512];
        snprintf(line, sizeof line, COMPAT "%s", lines[i]);
        expect_legal(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_messages),
        cmocka_unit_test(test_own_messages_by_default),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_success_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
