/* Calibration texts: every accepted form, every refused one, and the ids of samples.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/file.h"
#include "text/samples.h"

static char path[] = "/tmp/gs_texts_XXXXXX";

static int make_path(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const char *content, size_t n)
{
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void expect_texts_n(const char *content, size_t n, gs_text_keys keys, const char *const *expected)
{
    gs_texts t;
    gs_error err = {0};
    put(content, n);
    if (gs_texts_read(&t, path, keys, &err) != GS_OK) fail_msg("%s", err.text);
    int64_t count = 0;
    for (; expected[count]; count++) {
        assert_true(count < t.count);
        assert_string_equal(t.text[count], expected[count]);
        assert_int_equal(t.bytes[count], strlen(expected[count]));
    }
    assert_int_equal(t.count, count);
    assert_string_equal(t.source, path);
    gs_texts_release(&t);
}

#define EXPECT_TEXTS(content, keys, ...)                                                                               \
    expect_texts_n(content, sizeof(content) - 1, keys, (const char *const[]){__VA_ARGS__, NULL})

static void expect_bad_n(const char *content, size_t n, gs_text_keys keys, const char *part)
{
    gs_texts t;
    gs_error err = {0};
    put(content, n);
    assert_int_equal(gs_texts_read(&t, path, keys, &err), GS_ERR_FILE);
    if (!strstr(err.text, part)) fail_msg("\"%s\" lacks \"%s\"", err.text, part);
    if (!strstr(err.text, path)) fail_msg("\"%s\" does not name the file", err.text);
    if (strstr(err.text, "SECRET")) fail_msg("\"%s\" quotes the text", err.text);
    assert_int_equal(t.count, 0);
    assert_null(t.text);
    assert_int_equal(gs_texts_read(&t, path, keys, NULL), GS_ERR_FILE);
}

#define EXPECT_BAD(content, keys, part) expect_bad_n(content, sizeof(content) - 1, keys, part)

static void test_array(void **state)
{
    (void)state;
    EXPECT_TEXTS("[{\"prompt\": \"a\"}, {\"ans\": 1, \"prompt\": \"b\\n\\u4f60\"}]", GS_KEYS_ALL, "a", "b\n你");
    EXPECT_TEXTS("[{\"prompt\": \"a\"}]", GS_KEYS_PROMPT_ONLY, "a");
    EXPECT_TEXTS("\n [\"x\", {\"text\": \"y\"}, \"\"]\n", GS_KEYS_ALL, "x", "y", "");
    EXPECT_TEXTS("[{\"prompt\": \"\"}]", GS_KEYS_PROMPT_ONLY, "");
    EXPECT_TEXTS("\xEF\xBB\xBF[\"bom\"]", GS_KEYS_ALL, "bom");
    EXPECT_TEXTS("[{\"prompt\": \"big\", \"id\": 123456789012345678901234567890, \"x\": [[{}]]}]", GS_KEYS_ALL, "big");
    expect_texts_n("[]", 2, GS_KEYS_ALL, (const char *const[]){NULL});
    expect_texts_n(" [ ]\n", 5, GS_KEYS_PROMPT_ONLY, (const char *const[]){NULL});
}

static void test_key_order(void **state)
{
    (void)state;
    EXPECT_TEXTS("[{\"text\": \"t\", \"inputs_pretokenized\": \"i\", \"prompt\": \"p\"},"
                 "{\"text\": \"t\", \"inputs_pretokenized\": \"i\"}, {\"text\": \"t\"}]",
                 GS_KEYS_ALL, "p", "i", "t");
}

static void test_lines(void **state)
{
    (void)state;
    EXPECT_TEXTS("{\"prompt\": \"a\"}\n\n  \r\n{\"text\": \"b\"}\r\n\"c\"\n", GS_KEYS_ALL, "a", "b", "c");
    EXPECT_TEXTS("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}", GS_KEYS_PROMPT_ONLY, "a", "b");
    EXPECT_TEXTS("{\"prompt\": \"alone\"}", GS_KEYS_ALL, "alone");
    EXPECT_TEXTS("\"a\"\n\"b\\u0041\"\n", GS_KEYS_ALL, "a", "bA");
    EXPECT_TEXTS("\"a\"\n{\"prompt\": \"b\"}\n", GS_KEYS_ALL, "a", "b");
}

static void test_plain(void **state)
{
    (void)state;
    EXPECT_TEXTS("first line\n\n \t \xE3\x80\x80\n  second \r\n你好", GS_KEYS_ALL, "first line", "  second ", "你好");
    EXPECT_TEXTS("\"Quoted,\" she said.\n\"No \\ud800.\"\n", GS_KEYS_ALL, "\"Quoted,\" she said.", "\"No \\ud800.\"");
    EXPECT_TEXTS("\xEF\xBB\xBFtext {\"a\"}\n[x", GS_KEYS_ALL, "text {\"a\"}", "[x");
    EXPECT_TEXTS("123", GS_KEYS_PROMPT_ONLY, "123");
}

static void test_nul(void **state)
{
    (void)state;
    gs_texts t;
    gs_error err = {0};
    put("[\"a\\u0000b\"]", 12);
    if (gs_texts_read(&t, path, GS_KEYS_ALL, &err) != GS_OK) fail_msg("%s", err.text);
    assert_int_equal(t.bytes[0], 3);
    assert_memory_equal(t.text[0], "a\0b", 4);
    gs_texts_release(&t);
    put("a\0b\nc", 5);
    if (gs_texts_read(&t, path, GS_KEYS_ALL, &err) != GS_OK) fail_msg("%s", err.text);
    assert_int_equal(t.count, 2);
    assert_memory_equal(t.text[0], "a\0b", 4);
    gs_texts_release(&t);
}

static void test_surrogates(void **state)
{
    (void)state;
    EXPECT_TEXTS("[\"\\ud83d\\ude00\", \"\\uD83D\", \"\\ude00x\", \"\\ud83d\\ud83d\\ude00\", \"\\\\ud83d\", "
                 "\"\\ud83d\\n\", \"\\ud83dz\"]",
                 GS_KEYS_ALL, "😀", "\xEF\xBF\xBD", "\xEF\xBF\xBDx", "\xEF\xBF\xBD😀", "\\ud83d", "\xEF\xBF\xBD\n",
                 "\xEF\xBF\xBDz");
    EXPECT_TEXTS("{\"prompt\": \"\\udc00\"}\n\"\\ud83d\\u0041\"", GS_KEYS_ALL, "\xEF\xBF\xBD", "\xEF\xBF\xBD\x41");
    EXPECT_BAD("[\"\\ud83", GS_KEYS_ALL, "not valid JSON");
    EXPECT_BAD("[\"\\ud83d\\u", GS_KEYS_ALL, "not valid JSON");
    EXPECT_BAD("[\"\\", GS_KEYS_ALL, "not valid JSON");
}

static void test_bad_samples(void **state)
{
    (void)state;
    EXPECT_BAD("[{\"prompt\": \"SECRET\"},\n\n {\"a\": \"SECRET\", \"b\": 2}]", GS_KEYS_ALL,
               ", line 3: sample 1 has no key 'prompt' (keys found: a, b)");
    EXPECT_BAD("[{\"text\": \"SECRET\"}]", GS_KEYS_PROMPT_ONLY,
               ", line 1: sample 0 has no key 'prompt' (keys found: text) (KeyError: 'prompt')");
    EXPECT_BAD("[{}]", GS_KEYS_ALL, "(keys found: none)");
    EXPECT_BAD("[{\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0}]", GS_KEYS_ALL, "7, 8, …)");
    EXPECT_BAD("[{\"a\\u001b[0m\":0}]", GS_KEYS_ALL, "(keys found: a?[0m)");
    EXPECT_BAD("{\"prompt\": \"x\"}\n\n{\"b\": 1}", GS_KEYS_ALL,
               ", line 3: sample 1 has no key 'prompt' (keys found: b)");
    EXPECT_BAD("[{\"prompt\": 12}]", GS_KEYS_PROMPT_ONLY,
               "sample 0: 'prompt' is a number, not a string (text input must be of type `str`)");
    EXPECT_BAD("[{\"prompt\": null, \"text\": \"SECRET\"}]", GS_KEYS_ALL,
               "'prompt' is null, not a string (text input must be of type `str`)");
    EXPECT_BAD("[{\"prompt\": [\"SECRET\"]}]", GS_KEYS_ALL, "'prompt' is a list");
    EXPECT_BAD("[\"a\",\n12]", GS_KEYS_ALL, ", line 2: sample 1 is a number; it must be an object");
    EXPECT_BAD("[[\"a\"]]", GS_KEYS_ALL, "sample 0 is a list");
    EXPECT_BAD("[true]", GS_KEYS_ALL, "sample 0 is a boolean");
    EXPECT_BAD("[\"SECRET\"]", GS_KEYS_PROMPT_ONLY, "string indices must be integers, not 'str'");
    EXPECT_BAD("{\"prompt\": \"x\"}\n[1]", GS_KEYS_ALL, ", line 2: sample 1 is a list");
}

static void test_one_object(void **state)
{
    (void)state;
    EXPECT_BAD("{\"prompt\": \"SECRET\"}", GS_KEYS_PROMPT_ONLY, "string indices must be integers, not 'str'");
    EXPECT_BAD("{\n \"prompt\": \"SECRET\"\n}\n", GS_KEYS_ALL, "string indices must be integers, not 'str'");
    EXPECT_BAD("{\n \"prompt\": \"SECRET\"\n}\n", GS_KEYS_PROMPT_ONLY, "string indices must be integers, not 'str'");
    EXPECT_BAD("{\"data\": [{\"prompt\": \"SECRET\"}]}", GS_KEYS_ALL, "string indices must be integers, not 'str'");
    EXPECT_BAD("{\"data\": [{\"prompt\": \"SECRET\"}]}", GS_KEYS_ALL, "(keys found: data)");
    EXPECT_BAD("{}", GS_KEYS_ALL, "(keys found: none)");
}

static void test_bad_json(void **state)
{
    (void)state;
    EXPECT_BAD("[{\"prompt\": \"unterminated\"", GS_KEYS_ALL, ": line 1, column 26: not valid JSON");
    EXPECT_BAD("[\n{\"prompt\": \"a\"}\n{\"prompt\": \"SECRET\"}]", GS_KEYS_ALL, ": line 3, column ");
    EXPECT_BAD("[\"SECRET\n\"]", GS_KEYS_ALL, "not valid JSON");
    EXPECT_BAD("{\"prompt\": \"a\"}\n\n{\"prompt\": SECRET}\n", GS_KEYS_ALL, ": line 3, column ");
    EXPECT_BAD("{\"prompt\": \"a\"}\nSECRET in prose\n", GS_KEYS_ALL, ": line 2, column ");
    EXPECT_BAD("{\"prompt\": \"a\"} {\"prompt\": \"SECRET\"}\n", GS_KEYS_ALL, ": line 1, column ");
    EXPECT_BAD("[MASK] is no text\n", GS_KEYS_ALL, "not valid JSON");
    EXPECT_BAD("{SECRET}\n", GS_KEYS_ALL, "not valid JSON");
    EXPECT_BAD("[\"a\"]\n[\"SECRET\"]", GS_KEYS_ALL, ": line 2, column ");
    EXPECT_BAD("[{\"prompt\": \"a\", \"prompt\": \"SECRET\"}]", GS_KEYS_ALL, "duplicate");
    EXPECT_BAD("[\"a\0b\"]", GS_KEYS_ALL, "line 1, column 4");
    char deep[2000];
    memset(deep, '[', sizeof deep);
    expect_bad_n(deep, sizeof deep, GS_KEYS_ALL, "nested too deeply");
}

static void test_bad_bytes(void **state)
{
    (void)state;
    EXPECT_BAD("", GS_KEYS_ALL, "is empty (0 bytes)");
    EXPECT_BAD("\n \t\r\n", GS_KEYS_ALL, "nothing but white space");
    EXPECT_BAD("\xEF\xBB\xBF", GS_KEYS_ALL, "nothing but white space");
    EXPECT_BAD("\xE3\x80\x80\n", GS_KEYS_ALL, "nothing but white space");
    EXPECT_BAD("SECRET\xFF", GS_KEYS_ALL, "not valid UTF-8 at byte 6");
    EXPECT_BAD("[\"\xC0\x80\"]", GS_KEYS_ALL, "not valid UTF-8 at byte 2");
    EXPECT_BAD("\xEF\xBB\xBF[\"\xED\xA0\x80\"]", GS_KEYS_ALL, "not valid UTF-8 at byte 5");
    EXPECT_BAD("\xFF\xFEh\0i\0", GS_KEYS_ALL, "not valid UTF-8 at byte 0");
}

static void test_missing(void **state)
{
    (void)state;
    gs_texts t;
    gs_error err = {0};
    assert_int_equal(gs_texts_read(&t, "/nonexistent/calib.json", GS_KEYS_ALL, &err), GS_ERR_IO);
    assert_non_null(strstr(err.text, "The path /nonexistent/calib.json doesn't exist or not a file."));
    assert_int_equal(gs_texts_read(&t, "/tmp", GS_KEYS_ALL, &err), GS_ERR_IO);
    assert_non_null(strstr(err.text, "The path /tmp doesn't exist or not a file."));
    assert_int_equal(gs_texts_read(&t, "/dev/zero", GS_KEYS_ALL, &err), GS_ERR_IO);
}

/* Any damage gives texts or an error, never more; run under the sanitizers. */
static void test_damaged(void **state)
{
    (void)state;
    char *text;
    size_t n;
    gs_error err = {0};
    assert_int_equal(gs_file_read_all(GS_SOURCE_DIR "/demo/anti.json", 1 << 20, &text, &n, &err), GS_OK);
    uint64_t seed = 5;
    for (int round = 0; round < 400; round++) {
        char copy[8192];
        memcpy(copy, text, n < sizeof copy ? n : sizeof copy);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const size_t size = n < sizeof copy ? n : sizeof copy, at = (size_t)(seed >> 33) % size;
        static const char bytes[] = "\\\"{}[]u,:\n";
        copy[at] = round % 2 ? bytes[(seed >> 20) % 10] : copy[at];
        put(copy, round % 2 ? size : at + 1);
        gs_texts t;
        const gs_status status = gs_texts_read(&t, path, GS_KEYS_ALL, &err);
        assert_true(status == GS_OK || status == GS_ERR_FILE);
        if (status == GS_OK) gs_texts_release(&t);
    }
    gs_free(text);
}

static void test_builtin(void **state)
{
    (void)state;
    gs_texts t, file;
    gs_error err = {0};
    for (int anti = 0; anti < 2; anti++) {
        assert_int_equal(gs_texts_builtin(&t, anti, &err), GS_OK);
        assert_int_equal(gs_texts_read(&file, anti ? GS_SOURCE_DIR "/demo/anti.json" : GS_SOURCE_DIR "/demo/calib.json",
                                       GS_KEYS_ALL, &err),
                         GS_OK);
        assert_true(t.count > 0);
        assert_int_equal(t.count, file.count);
        for (int64_t i = 0; i < t.count; i++) assert_string_equal(t.text[i], file.text[i]);
        assert_string_equal(t.source, "built-in");
        gs_texts_release(&t);
        gs_texts_release(&file);
    }
}

static void test_append(void **state)
{
    (void)state;
    gs_texts t = {0};
    gs_error err = {0};
    assert_int_equal(gs_texts_append(&t, (const char *const[]){"a", "b", NULL}, &err), GS_OK);
    assert_int_equal(gs_texts_append(&t, (const char *const[]){"c", NULL}, &err), GS_OK);
    assert_int_equal(t.count, 3);
    assert_string_equal(t.text[2], "c");
    assert_int_equal(gs_texts_append(&t, (const char *const[]){"d", "", NULL}, &err), GS_ERR_USAGE);
    assert_non_null(strstr(err.text, "calib_texts[1] is empty"));
    assert_int_equal(gs_texts_append(&t, (const char *const[]){"\xFF", NULL}, &err), GS_ERR_USAGE);
    assert_non_null(strstr(err.text, "calib_texts[0] is not valid UTF-8 at byte 0"));
    assert_int_equal(t.count, 3);
    gs_texts_release(&t);
    gs_texts_release(&t);
}

static void test_samples(void **state)
{
    (void)state;
    gs_tokenizer *tok;
    gs_texts t = {0};
    gs_samples s;
    gs_error err = {0};
    assert_int_equal(gs_tokenizer_open(&tok, GS_SOURCE_DIR "/tests/golden/models/tiny-a", "<unk>", &err), GS_OK);

    assert_int_equal(gs_samples_encode(&s, tok, &t, 704, &err), GS_OK); /* no text at all */
    assert_int_equal(s.count + s.tokens + s.longest, 0);
    gs_samples_release(&s);

    put("[\"\", \"Hello\", \"a<unk>\"]", 23);
    assert_int_equal(gs_texts_read(&t, path, GS_KEYS_ALL, &err), GS_OK);
    assert_int_equal(gs_samples_encode(&s, tok, &t, 671, &err), GS_OK);
    const int32_t expected[] = {658, 660, 658, 660, 39, 68, 322, 78, 658, 660, 64, 670};
    const int64_t starts[] = {0, 2, 8, 12};
    assert_int_equal(s.count, 3);
    assert_int_equal(s.tokens, 12);
    assert_int_equal(s.longest, 6);
    assert_memory_equal(s.id, expected, sizeof expected);
    assert_memory_equal(s.start, starts, sizeof starts);
    gs_samples_release(&s);

    assert_int_equal(gs_samples_encode(&s, tok, &t, 670, &err), GS_ERR_FILE);
    if (!strstr(err.text, "sample 2: token 3 has id 670, but the model has 670")) fail_msg("%s", err.text);
    assert_null(s.id);
    gs_texts_release(&t);
    gs_tokenizer_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),       cmocka_unit_test(test_key_order),  cmocka_unit_test(test_lines),
        cmocka_unit_test(test_plain),       cmocka_unit_test(test_nul),        cmocka_unit_test(test_surrogates),
        cmocka_unit_test(test_bad_samples), cmocka_unit_test(test_one_object), cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_bad_bytes),   cmocka_unit_test(test_missing),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_builtin),     cmocka_unit_test(test_append),     cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
