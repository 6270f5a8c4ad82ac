/* The legality table: all 3 * 3 * 2^5 combinations of bits and modes. The rules restate what the reference was seen to do with each
 * combination, in the order of its checks, and what is built where it fails or writes a type without a name; the first that fits
 * counts. Nothing here is shared with the program. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "helper.h"

#define W_SYM    "w_sym should be True when a_bit = 8, please check it"
#define LOWBIT_A "a_bit must be among choice [8, 16], please check it."
#define DYN_W    "w_bit must be 4 or 8 when running dynamic quantization."
#define DYN_A    "a_bit must be 4 or 8 when running dynamic quantization."
#define W4A8     "W4A8_DYNAMIC should be used with per-group quantization and dynamic quantization"
#define UNNAMED  "is not a quantization type"

typedef struct rule {
    int w, a;           /* 0: any */
    const char *modes;  /* co_sparse, is_lowbit, is_dynamic, open_outlier, w_sym: 0, 1 or . for any */
    const char *result; /* the type, or what the refusal says */
    const char *how;    /* "normal", "sparse", "lowbit", "group"; NULL: refused */
    const char *compat; /* what the refusal says under --reference_compat; NULL: no difference */
} rule;

static const rule rules[] = {
    {0, 8, "....0", W_SYM, NULL, NULL},
    {4, 4, ".1...", LOWBIT_A, NULL, NULL},
    {0, 0, "100..", "W8A8S", "sparse", NULL},        /* whatever bits were asked for; w_sym counts only with a_bit 8 */
    {0, 0, "101..", "W8A8_DYNAMIC", "sparse", NULL}, /* the reference dies while saving */
    {16, 0, "..1..", DYN_W, NULL, NULL},
    {0, 16, "..1..", DYN_A, NULL, NULL},
    {4, 8, ".0...", W4A8, NULL, NULL},
    {4, 8, ".111.", "W8A8_DYNAMIC", "lowbit", W4A8}, /* sparse codes */
    {4, 8, ".110.", "W4A8_DYNAMIC", "group", NULL},
    {4, 8, ".101.", "W8A8S", "lowbit", NULL},
    {4, 8, ".100.", "W8A8S", "group", NULL}, /* the reference dies while saving */
    {4, 4, "..0..", "W4A4 should be used with dynamic quantization", NULL, NULL},
    {4, 4, "..1.0", "W4A4 should be used with w_sym=True", NULL, NULL},
    {4, 4, "..1.1", "W4A4_FLATQUANT_DYNAMIC", "normal", NULL},
    {8, 8, ".00..", "W8A8", "normal", NULL},
    {8, 8, ".10..", "W8A8", "lowbit", NULL},
    {8, 8, ".01..", "W8A8_DYNAMIC", "normal", NULL},
    {8, 8, ".11..", "W8A8_DYNAMIC", "lowbit", NULL},
    {8, 16, ".0...", "W8A16", "normal", NULL},
    {8, 16, ".1.1.", "W8A16", "lowbit", NULL},
    {8, 16, ".1.0.", "W8A16", "group", NULL},
    {4, 16, ".0...", "W4A16", "normal", NULL},
    {4, 16, ".1.1.", "W4A16", "lowbit", NULL},
    {4, 16, ".1.0.", "W4A16", "group", NULL},
    {16, 16, ".....", "FLOAT", "normal", NULL}, /* the group size of a float run has no effect: see below */
    {0, 0, ".....", UNNAMED, NULL,
     NULL}, /* w8a4, w16a4, w16a8: the reference writes codes without scales, type UNKNOWN */
};

static bool fits(const rule *r, int w, int a, const char *modes)
{
    if ((r->w != 0 && r->w != w) || (r->a != 0 && r->a != a)) return false;
    for (int i = 0; i < 5; i++)
        if (r->modes[i] != '.' && r->modes[i] != modes[i]) return false;
    return true;
}

static const char *how_of(const gs_resolved *s)
{
    if (s->co_sparse) return "sparse";
    if (s->type == GS_Q_FLOAT) return "normal";
    if (s->per_group) return "group";
    return s->lowbit_class ? "lowbit" : "normal";
}

static void hold(const rule *r, const char *line)
{
    asked a;
    ask(&a, line);
    const bool compat = r->compat != NULL && strstr(line, "--reference_compat") != NULL;
    if (r->how == NULL || compat) {
        const char *says = compat ? r->compat : r->result;
        if (a.status != GS_ERR_USAGE) fail_msg("%s: not refused", line);
        if (strstr(a.error.text, says) == NULL) fail_msg("%s: \"%s\" lacks \"%s\"", line, a.error.text, says);
    } else {
        if (a.status != GS_OK) fail_msg("%s: %s", line, a.error.text);
        if (strcmp(gs_quant_type_name(a.resolved.type), r->result) != 0)
            fail_msg("%s: %s, expected %s", line, gs_quant_type_name(a.resolved.type), r->result);
        if (strcmp(how_of(&a.resolved), r->how) != 0)
            fail_msg("%s: %s, expected %s", line, how_of(&a.resolved), r->how);
        if (strcmp(r->how, "group") == 0) assert_int_equal(a.resolved.group_size, 64);
    }
    ask_close(&a);
}

/* All combinations, with these options in addition. */
static int hold_all(const char *more, int used[])
{
    static const int bits[] = {4, 8, 16};
    int count = 0;
    for (int i = 0; i < 9 * 32; i++) {
        const int w = bits[i / 32 / 3], a = bits[i / 32 % 3];
        char modes[6] = "", line[512];
        for (int m = 0; m < 5; m++) modes[m] = (i >> (4 - m) & 1) != 0 ? '1' : '0';
        const char *words[5];
        for (int m = 0; m < 5; m++) words[m] = modes[m] == '1' ? "True" : "False";
        snprintf(line, sizeof line,
                 "--w_bit %d --a_bit %d --co_sparse %s --is_lowbit %s --is_dynamic %s --open_outlier %s --w_sym %s %s",
                 w, a, words[0], words[1], words[2], words[3], words[4], more);
        int r = 0;
        while (!fits(&rules[r], w, a, modes)) r++;
        used[r]++;
        hold(&rules[r], line);
        count++;
    }
    return count;
}

static void by_default(void **state)
{
    (void)state;
    int used[sizeof rules / sizeof rules[0]] = {0};
    assert_int_equal(hold_all("", used), 288);
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
        if (used[r] == 0) fail_msg("rule %d decides nothing", (int)r);
}

/* What the reference accepts and then cannot save would be no result to compare with: such rows stay as they are. */
static void in_compat(void **state)
{
    (void)state;
    int used[sizeof rules / sizeof rules[0]] = {0};
    assert_int_equal(hold_all("--reference_compat --save_dtype float32", used), 288);
}

/* The same table with other options: a legal combination must not fall over them. */
static void with_others(void **state)
{
    (void)state;
    int used[sizeof rules / sizeof rules[0]] = {0};
    assert_int_equal(hold_all("--mindie_format --use_kvcache_quant True --anti_method m1", used), 288);
    assert_int_equal(hold_all("--act_method 2 --disable_level L2 --part_file_size 1", used), 288);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default),
        cmocka_unit_test(in_compat),
        cmocka_unit_test(with_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
