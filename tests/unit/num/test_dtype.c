/* Element types. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "num/dtype.h"

static void test_names_and_sizes(void **state)
{
    (void)state;
    static const struct {
        gs_dtype type;
        const char *name;
        size_t bytes;
    } expect[] = {{GS_U64, "U64", 8}, {GS_I64, "I64", 8}, {GS_F64, "F64", 8},         {GS_F32, "F32", 4},
                  {GS_U32, "U32", 4}, {GS_I32, "I32", 4}, {GS_BF16, "BF16", 2},       {GS_F16, "F16", 2},
                  {GS_U16, "U16", 2}, {GS_I16, "I16", 2}, {GS_F8_E4M3, "F8_E4M3", 1}, {GS_F8_E5M2, "F8_E5M2", 1},
                  {GS_I8, "I8", 1},   {GS_U8, "U8", 1},   {GS_BOOL, "BOOL", 1}};
    assert_int_equal(sizeof expect / sizeof expect[0], GS_DTYPE_COUNT);
    for (size_t i = 0; i < GS_DTYPE_COUNT; i++) {
        gs_dtype found = GS_DTYPE_COUNT;
        assert_string_equal(gs_dtype_name(expect[i].type), expect[i].name);
        assert_int_equal(gs_dtype_bytes(expect[i].type), expect[i].bytes);
        assert_true(gs_dtype_find(expect[i].name, strlen(expect[i].name), &found));
        assert_int_equal(found, expect[i].type);
    }
    for (int t = 1; t < GS_DTYPE_COUNT; t++) /* files are sorted by descending size */
        assert_true(gs_dtype_bytes((gs_dtype)t) <= gs_dtype_bytes((gs_dtype)(t - 1)));
}

static void test_unknown_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "F", "f32", "F33", "F32 ", "BF", "BF160", "F8", "I4", "\0\0\0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        gs_dtype found = GS_I8;
        assert_false(gs_dtype_find(wrong[i], strlen(wrong[i]), &found));
        assert_int_equal(found, GS_I8);
    }
    gs_dtype found;
    assert_false(gs_dtype_find("F32\0", 4, &found));
    assert_true(gs_dtype_find("F321", 3, &found)); /* n counts, not a NUL */
}

static void test_weights_are_float(void **state)
{
    (void)state;
    for (int t = 0; t < GS_DTYPE_COUNT; t++)
        assert_int_equal(gs_dtype_is_float((gs_dtype)t), t == GS_F32 || t == GS_BF16 || t == GS_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_sizes),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_weights_are_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
