/* Growing strings and UTF-8. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static void test_growing(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    assert_string_equal(s.data, "");
    for (int i = 0; i < 10000; i++) {
        gs_str_addc(&s, (char)('a' + i % 26));
        assert_int_equal(s.data[s.len], '\0');
    }
    assert_int_equal(s.len, 10000);
    for (int i = 0; i < 10000; i++) assert_int_equal(s.data[i], 'a' + i % 26);
    gs_str_clear(&s);
    assert_string_equal(s.data, "");
    gs_str_add(&s, "a\0b", 3);
    gs_str_add(&s, NULL, 0);
    gs_str_adds(&s, "c");
    assert_int_equal(s.len, 4);
    assert_memory_equal(s.data, "a\0bc", 5);
    gs_str_release(&s);
    assert_null(s.data);
    gs_str_release(&s);
}

/* Outputs that end just before, at and after the end of the first allocation. */
static void test_printf_around_the_capacity(void **state)
{
    (void)state;
    for (int width = 1; width < 100; width++) {
        gs_str s;
        gs_str_init(&s);
        gs_str_printf(&s, "<%*d>", width, 7);
        assert_int_equal(s.len, width + 2);
        assert_int_equal(strlen(s.data), s.len);
        assert_int_equal(s.data[width], '7');
        gs_str_printf(&s, "%s", "");
        gs_str_printf(&s, "%s", "tail");
        assert_string_equal(s.data + width + 1, ">tail");
        gs_str_release(&s);
    }
}

static void test_take(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_str_adds(&s, "mine");
    char *bytes = gs_str_take(&s);
    assert_string_equal(bytes, "mine");
    assert_int_equal(s.len, 0);
    gs_str_adds(&s, "next");
    assert_string_equal(bytes, "mine");
    assert_string_equal(s.data, "next");
    gs_free(bytes);
    gs_str_release(&s);
}

static void test_every_code_point_there_and_back(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        char bytes[4];
        size_t used;
        const size_t n = gs_utf8_put(cp, bytes);
        if (n != (cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u)) fail_msg("U+%X takes %zu bytes", cp, n);
        if (gs_utf8_valid(bytes, n) != n || gs_utf8_get(bytes, n, &used) != cp || used != n) fail_msg("U+%X", cp);
        for (size_t part = 1; part < n; part++) assert_int_equal(gs_utf8_valid(bytes, part), 0);
    }
    char bytes[4];
    assert_int_equal(gs_utf8_put(0xD800, bytes), 3);
    assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
    assert_int_equal(gs_utf8_put(0x110000, bytes), 3);
}

/* Every string of one, two and three bytes against the rule in words: the shortest form, no surrogates. */
static bool well_formed(const unsigned char *b, size_t n)
{
    static const unsigned char lead_from[4] = {0x00, 0xC0, 0xE0, 0xF0}, lead_to[4] = {0x7F, 0xDF, 0xEF, 0xF7};
    if (b[0] < lead_from[n - 1] || b[0] > lead_to[n - 1]) return false;
    uint32_t cp = n == 1 ? b[0] : b[0] & (0x3Fu >> (n - 1));
    for (size_t i = 1; i < n; i++) {
        if (b[i] >> 6 != 2) return false;
        cp = cp << 6 | (b[i] & 0x3F);
    }
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    return cp >= least[n - 1] && cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF);
}

static void test_validity_of_all_short_sequences(void **state)
{
    (void)state;
    unsigned char b[4];
    for (uint32_t bits = 0; bits < 1u << 24; bits++) {
        b[0] = (unsigned char)(bits >> 16), b[1] = (unsigned char)(bits >> 8), b[2] = (unsigned char)bits;
        size_t expect = 0;
        for (size_t n = 1; n <= 3 && expect == 0; n++)
            if (well_formed(b, n)) expect = n;
        if (expect == 1 || expect == 2) {
            if (b[expect] != 0xFF) continue; /* what follows is another sequence: tested by itself */
        }
        if (gs_utf8_valid((const char *)b, 3) != expect) fail_msg("%02x %02x %02x", b[0], b[1], b[2]);
    }
    for (uint32_t bits = 0; bits < 1u << 24; bits++) { /* four bytes, the last at its bounds */
        b[0] = (unsigned char)(0xF0 | (bits >> 20)), b[1] = (unsigned char)(bits >> 12),
        b[2] = (unsigned char)(bits >> 4);
        static const unsigned char last[4] = {0x7F, 0x80, 0xBF, 0xC0};
        b[3] = last[bits & 3];
        const size_t expect = well_formed(b, 4) ? 4 : 0;
        if (gs_utf8_valid((const char *)b, 4) != expect) fail_msg("%02x %02x %02x %02x", b[0], b[1], b[2], b[3]);
    }
}

static void test_valid_prefix(void **state)
{
    (void)state;
    assert_int_equal(gs_utf8_valid("", 0), 0);
    assert_int_equal(gs_utf8_valid("ab\0c", 4), 4);
    assert_int_equal(gs_utf8_valid("a中\xFF", 5), 4);
    assert_int_equal(gs_utf8_valid("a中国\xE4\xB8", 9), 7);
    size_t used;
    assert_int_equal(gs_utf8_get("\xFF", 1, &used), 0xFFFD); /* not asked for, yet never an endless loop */
    assert_int_equal(used, 1);
}

static void test_printable(void **state)
{
    (void)state;
    char buf[64];
    assert_string_equal(gs_printable("weights", 7, buf, sizeof buf), "weights");
    assert_string_equal(gs_printable("a\nb\x1b[31m\0c", 10, buf, sizeof buf), "a?b?[31m?c");
    assert_string_equal(gs_printable("中\xE4\xB8国\xFF", 9, buf, sizeof buf), "中??国?");
    assert_string_equal(gs_printable("\x7F\xC2\x9B\xE2\x80\xAE\xE2\x80\xA8\xEF\xBB\xBF", 12, buf, sizeof buf), "?????");
    assert_string_equal(gs_printable("", 0, buf, sizeof buf), "");
    assert_ptr_equal(gs_printable("x", 1, buf, sizeof buf), buf);
}

static void test_printable_in_place(void **state)
{
    (void)state;
    char text[] = "a\nb\t\x1b[31m\0c\xC2\x9B\xE2\x80\xAE 中\xFF\xE4\xB8";
    assert_false(gs_is_printable(text, sizeof text - 1));
    assert_int_equal(gs_make_printable(text, sizeof text - 1, "\n\t"), 20);
    assert_string_equal(text, "a\nb\t?[31m?c?? 中???");
    assert_false(gs_is_printable(text, 20));
    assert_int_equal(gs_make_printable(text, 20, ""), 20);
    assert_string_equal(text, "a?b??[31m?c?? 中???");
    assert_true(gs_is_printable(text, 20));
    assert_int_equal(gs_make_printable(text, 0, ""), 0);
    assert_true(gs_is_printable("", 0));
    assert_false(gs_is_printable("\xC2\x9B", 2));
    assert_false(gs_is_printable("\xE4\xB8", 2));
}

static void test_printable_cuts_between_characters(void **state)
{
    (void)state;
    const char *text = "ab中文字𝄞z";
    const size_t n = strlen(text);
    for (size_t room = 1; room <= n + 2; room++) {
        char buf[64];
        memset(buf, 'X', sizeof buf);
        gs_printable(text, n, buf, room);
        const size_t len = strlen(buf);
        assert_true(len < room);
        assert_int_equal(buf[room], 'X');
        assert_int_equal(gs_utf8_valid(buf, len), len);
        if (room > n)
            assert_string_equal(buf, text);
        else if (room >= 4)
            assert_string_equal(buf + len - 3, "…");
    }
    char buf[8];
    assert_string_equal(gs_printable("abcdefgh", 8, buf, 8), "abcd…");
    assert_string_equal(gs_printable("abcdefg", 7, buf, 8), "abcdefg");
    assert_string_equal(gs_printable("x", 1, buf, 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_printf_around_the_capacity),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_every_code_point_there_and_back),
        cmocka_unit_test(test_validity_of_all_short_sequences),
        cmocka_unit_test(test_valid_prefix),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_printable_in_place),
        cmocka_unit_test(test_printable_cuts_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
