/* Sizes in words. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "recipe/size.h"

static void what_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        uint64_t bytes;
    } cases[] = {
        {NULL, 0},
        {"1", 1},
        {"900000000", 900000000},
        {"64K", 64000},
        {"64KB", 64000},
        {"64Ki", 65536},
        {"1G", 1000000000},
        {"1.5G", 1500000000},
        {"1.5GiB", 1610612736},
        {"0.25M", 250000},
        {"2 TB", 2000000000000},
        {"12B", 12},
        {"1.9999999999999K", 1999},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gs_error err = {0};
        uint64_t bytes = 77;
        if (gs_size_parse("max_memory", cases[i].word, &bytes, &err) != GS_OK)
            fail_msg("%s: %s", cases[i].word, err.text);
        if (bytes != cases[i].bytes) fail_msg("%s: %llu", cases[i].word, (unsigned long long)bytes);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {"",
                                        "G",
                                        "-1",
                                        "+1",
                                        "1g",
                                        "1 G B",
                                        "1GG",
                                        "1.",
                                        ".5G",
                                        "1..5G",
                                        "1,5",
                                        "0",
                                        "0.0G",
                                        "0.0001",
                                        "1e9",
                                        "1Gb",
                                        "nan",
                                        "1\xff",
                                        "18446744073709551616",
                                        "99999999999T"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        gs_error err = {0};
        uint64_t bytes;
        if (gs_size_parse("max_memory", words[i], &bytes, &err) != GS_ERR_USAGE) fail_msg("'%s' is taken", words[i]);
        assert_non_null(strstr(err.text, "argument --max_memory: invalid size value: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_read), cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
