/* The pre-tokenizer: character classes and scanner, held to PCRE2 running the pattern itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "text/presplit.h"
#include "text/unicode.h"

/* Cut text and show the pieces with bars between them. */
static void expect_cut(const char *text, const char *cut)
{
    gs_str got;
    gs_str_init(&got);
    const size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        const size_t end = gs_presplit_next(text, n, at);
        assert_true(end > at && end <= n);
        if (at > 0) gs_str_addc(&got, '|');
        gs_str_add(&got, text + at, end - at);
        at = end;
    }
    assert_string_equal(got.data, cut);
    gs_str_release(&got);
}

static void test_words(void **state)
{
    (void)state;
    expect_cut("Hello world", "Hello| world");
    expect_cut("a  b", "a| | b");
    expect_cut("a\tb", "a|\tb");
    expect_cut("(word)", "(word|)");
    expect_cut("12345678", "123|456|78");
    expect_cut("a1b", "a|1|b");
    expect_cut("你好，世界", "你好|，世界");
    expect_cut("x\xE3\x80\x80y", "x|\xE3\x80\x80y"); /* the ideographic space goes with the word */
}

static void test_contractions(void **state)
{
    (void)state;
    expect_cut("it's we'LL I'd", "it|'s| we|'LL| I|'d");
    expect_cut("'sx", "'s|x");
    expect_cut("'\xC5\xBFx", "'\xC5\xBF|x"); /* U+017F folds to s */
    expect_cut("'r", "'r");
    expect_cut("'rex", "'re|x");
    expect_cut("'lx", "'lx");
    expect_cut("'", "'");
    expect_cut("x'", "x|'");
    expect_cut("''s", "''|s"); /* the run of others takes both quotes before a contraction can begin */
}

static void test_spaces(void **state)
{
    (void)state;
    expect_cut("a   ", "a|   ");
    expect_cut("a   b", "a|  | b");
    expect_cut("a \n b", "a| \n| b");
    expect_cut("\n\n  \n x", "\n\n  \n| x");
    expect_cut("!\r\n\r\n!", "!\r\n\r\n|!");
    expect_cut(" !", " !");
    expect_cut("\t!", "\t|!");
    expect_cut("  !", " | !");
    expect_cut("\r\nx", "\r\n|x");
    expect_cut(" 1", " |1");
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        gs_char_class kind;
    } cases[] = {
        {0, GS_CHAR_OTHER},
        {'@', GS_CHAR_OTHER},
        {'A', GS_CHAR_LETTER},
        {'Z', GS_CHAR_LETTER},
        {'[', GS_CHAR_OTHER},
        {'`', GS_CHAR_OTHER},
        {'a', GS_CHAR_LETTER},
        {'z', GS_CHAR_LETTER},
        {'{', GS_CHAR_OTHER},
        {0x1C, GS_CHAR_OTHER},
        {0x85, GS_CHAR_SPACE},
        {0x2028, GS_CHAR_SPACE},
        {0x200B, GS_CHAR_OTHER},
        {0x180E, GS_CHAR_OTHER},
        {0xFEFF, GS_CHAR_OTHER},
        {0xBD, GS_CHAR_NUMBER},
        {0x2160, GS_CHAR_NUMBER},
        {0x3007, GS_CHAR_NUMBER},
        {0x300, GS_CHAR_OTHER},
        {0x4E00, GS_CHAR_LETTER},
        {0x1C5, GS_CHAR_LETTER},
        {0x2B0, GS_CHAR_LETTER},
        {0xE000, GS_CHAR_OTHER},
        {0x10FFFF, GS_CHAR_OTHER},
        {0x2EBF0, GS_CHAR_LETTER} /* Unicode 15.1 */,
        {0x105C0, GS_CHAR_LETTER} /* 16.0, Todhri */,
        {0x11DE0, GS_CHAR_OTHER} /* 17.0 */,
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (gs_char_class_get(cases[i].code) != cases[i].kind) fail_msg("U+%04X", cases[i].code);
    }
    assert_string_equal(gs_unicode_version, "16.0.0");
}

/* The fast paths and the table agree, and the table is sorted. */
static void test_table(void **state)
{
    (void)state;
    size_t at = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        while (at < gs_char_range_count && gs_char_ranges[at].last < c) at++;
        const gs_char_class kind =
            at < gs_char_range_count && c >= gs_char_ranges[at].first ? gs_char_ranges[at].kind : GS_CHAR_OTHER;
        if (gs_char_class_get(c) != kind) fail_msg("U+%04X", c);
    }
    for (size_t i = 1; i < gs_char_range_count; i++) assert_true(gs_char_ranges[i - 1].last < gs_char_ranges[i].first);
}

/* A megabyte of anything is cut in linear time. */
static void test_long(void **state)
{
    (void)state;
    static const char *const units[] = {" ", "a", "1", "!", "\n", "'", " \n", "' "};
    enum { BYTES = 1 << 20 };
    char *const text = test_malloc(BYTES);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t i = 0; i < BYTES; i++) text[i] = units[u][i % strlen(units[u])];
        size_t at = 0;
        while (at < BYTES) at = gs_presplit_next(text, BYTES, at);
        assert_int_equal(at, BYTES);
    }
    test_free(text);
}

#ifdef GS_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static pcre2_code *compile(const char *pattern)
{
    int error;
    PCRE2_SIZE where;
    pcre2_code *const code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &where, NULL);
    assert_non_null(code);
    return code;
}

static size_t match_end(pcre2_code *code, pcre2_match_data *data, const char *text, size_t n, size_t at)
{
    if (pcre2_match(code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, data, NULL) < 1) return 0;
    const PCRE2_SIZE *const found = pcre2_get_ovector_pointer(data);
    return found[0] == at ? found[1] : 0;
}

/* Every code point: the classes differ only where the library's older Unicode has no character yet, and at U+180E,
 * which it still counts as white space. */
static void test_classes_pcre2(void **state)
{
    (void)state;
    static const char *const patterns[] = {"\\p{Cn}", "\\p{L}", "\\p{N}", "\\s"};
    pcre2_code *code[4];
    for (int i = 0; i < 4; i++) code[i] = compile(patterns[i]);
    pcre2_match_data *const data = pcre2_match_data_create(1, NULL);
    int newer = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if ((c >= 0xD800 && c <= 0xDFFF) || c == 0x180E) continue;
        char text[4];
        const size_t n = gs_utf8_put(c, text);
        int kind = GS_CHAR_OTHER;
        for (int k = 1; k < 4; k++) {
            if (match_end(code[k], data, text, n, 0)) kind = k;
        }
        if (kind == (int)gs_char_class_get(c)) continue;
        if (!match_end(code[0], data, text, n, 0)) fail_msg("U+%04X: %d, PCRE2 %d", c, (int)gs_char_class_get(c), kind);
        newer++;
    }
    char version[64];
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    printf("             PCRE2's Unicode %s does not know %d of our letters and numbers\n", version, newer);
    pcre2_match_data_free(data);
    for (int i = 0; i < 4; i++) pcre2_code_free(code[i]);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Alphabets of characters that every Unicode version since 14 agrees on, without U+180E. */
static const char *const alphabets[] = {
    "a'sStTmMdDrReEvVlL \xC5\xBF",
    "ab \t\n\r1!'\xC2\xA0",
    " \n\r\t\v\f\xC2\x85\xE2\x80\xA8\xE3\x80\x80x.",
    "0129\xD9\xA1\xC2\xBD\xE2\x85\xA0z -",
    "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE3\x80\x82\xED\x95\x9C\xE3\x81\x82 a1\n",
    "\xCC\x81\x65\xE2\x80\x8D\xF0\x9F\x98\x80\xF0\x9F\x91\xA8\xEF\xB8\x8F !a\r",
    "\xC7\x85\xCA\xB0\xC2\xAA\xE0\xA4\xB9\xE0\xA4\xBF\xEF\xBB\xBF\xEF\xBF\xBF'll \x01\x7F",
};

static size_t random_text(const char *alphabet, uint64_t *seed, char *out)
{
    const size_t bytes = strlen(alphabet), letters = 1 + next_random(seed) % 24;
    size_t n = 0;
    for (size_t i = 0; i < letters; i++) {
        size_t at = next_random(seed) % bytes, used;
        while (((unsigned char)alphabet[at] & 0xC0) == 0x80) at--;
        gs_utf8_get(alphabet + at, bytes - at, &used);
        memcpy(out + n, alphabet + at, used);
        n += used;
    }
    return n;
}

static void test_scanner_pcre2(void **state)
{
    (void)state;
    pcre2_code *const code =
        compile("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+");
    pcre2_match_data *const data = pcre2_match_data_create(1, NULL);
    uint64_t seed = 1;
    for (int round = 0; round < 100000; round++) {
        char text[128];
        const size_t n = random_text(alphabets[(size_t)round % (sizeof alphabets / sizeof *alphabets)], &seed, text);
        for (size_t at = 0; at < n;) {
            const size_t end = gs_presplit_next(text, n, at), expected = match_end(code, data, text, n, at);
            if (end != expected)
                fail_msg("round %d, \"%.*s\" at %zu: %zu, PCRE2 %zu", round, (int)n, text, at, end, expected);
            at = end;
        }
    }
    pcre2_match_data_free(data);
    pcre2_code_free(code);
}
#else
static void test_classes_pcre2(void **state)
{
    (void)state;
    printf("             built without PCRE2\n");
    skip();
}
static void test_scanner_pcre2(void **state) { test_classes_pcre2(state); }
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),         cmocka_unit_test(test_contractions),  cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_classes),       cmocka_unit_test(test_table),         cmocka_unit_test(test_long),
        cmocka_unit_test(test_classes_pcre2), cmocka_unit_test(test_scanner_pcre2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
