/* docs/ is what the tables print today. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "helper.h"
#include "recipe/compat.h"

static void expect_file(const char *path, const gs_str *want)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s is missing", path);
    gs_str have;
    gs_str_init(&have);
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0) gs_str_add(&have, block, n);
    fclose(f);
    if (have.len != want->len || memcmp(have.data, want->data, have.len) != 0)
        fail_msg("%s is not what the table prints; print it again with glmslim docs", path);
    gs_str_release(&have);
}

static void test_options_md(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_options_markdown(&s);
    expect_file(GS_SOURCE_DIR "/docs/options.md", &s);
    gs_str_release(&s);
}

static void test_differences_md(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_compat_markdown(&s);
    expect_file(GS_SOURCE_DIR "/docs/differences.md", &s);
    gs_str_release(&s);
}

static void test_roff(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_options_roff(&s);
    for (const char *p = s.data; *p != '\0'; p++)
        assert_false((p == s.data || p[-1] == '\n') && *p == '\''); /* a control line */
    assert_non_null(strstr(s.data, ".B \\-\\-use_kvcache_quant"));
    gs_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_options_md), cmocka_unit_test(test_differences_md),
                                       cmocka_unit_test(test_roff)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
