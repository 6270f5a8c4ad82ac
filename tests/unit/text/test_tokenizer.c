/* The whole tokenizer: ids of the reference's own tokenizer, special tokens as configurations name them, and what the
 * real GLM-4-9B vocabulary must give when there is one. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "io/file.h"
#include "text/tokenizer.h"

#define TINY GS_SOURCE_DIR "/tests/golden/models/tiny-a"
#define DEMO GS_SOURCE_DIR "/demo/glm4-mini"

static gs_tokenizer *open_ok(const char *dir, const char *pad_token)
{
    gs_tokenizer *t;
    gs_error err = {0};
    if (gs_tokenizer_open(&t, dir, pad_token, &err) != GS_OK) fail_msg("%s", err.text);
    return t;
}

static void expect_ids(const gs_tokenizer *t, const char *text, size_t n, bool prefix, const int32_t *expected,
                       int64_t count)
{
    gs_ids ids = {0};
    gs_error err = {0};
    if (gs_tokenizer_encode(t, text, n, prefix, &ids, &err) != GS_OK) fail_msg("%s", err.text);
    if (ids.count != count || memcmp(ids.id, expected, (size_t)count * sizeof *expected) != 0) {
        printf("got:");
        for (int64_t i = 0; i < ids.count; i++) printf(" %d", ids.id[i]);
        fail_msg("other ids for \"%.*s\"", (int)n, text);
    }
    gs_ids_release(&ids);
}

#define EXPECT_IDS(t, text, ...)                                                                                       \
    expect_ids(t, text, sizeof(text) - 1, false, (const int32_t[]){__VA_ARGS__},                                       \
               (int64_t)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)))

static void expect_golden(const gs_tokenizer *t, const json_t *text, const json_t *list)
{
    int32_t expected[512];
    size_t i;
    json_t *id;
    json_array_foreach(list, i, id) expected[i] = (int32_t)json_integer_value(id);
    expect_ids(t, json_string_value(text), json_string_length(text), true, expected, (int64_t)json_array_size(list));
}

static void expect_round_trip(const gs_tokenizer *t, const char *text, size_t n)
{
    gs_ids ids = {0};
    gs_str back;
    gs_str_init(&back);
    assert_int_equal(gs_tokenizer_encode(t, text, n, true, &ids, NULL), GS_OK);
    gs_tokenizer_decode(t, ids.id + 2, ids.count - 2, true, &back);
    assert_int_equal(back.len, n);
    assert_memory_equal(back.data, text, n);
    gs_str_release(&back);
    gs_ids_release(&ids);
}

/* Texts and ids recorded from the reference's tokenizer, with and without its pad token. */
static void test_golden(void **state)
{
    (void)state;
    json_error_t why;
    json_t *const all = json_load_file(GS_SOURCE_DIR "/tests/data/text/tokenizer_golden.json", JSON_ALLOW_NUL, &why);
    assert_non_null(all);
    assert_int_equal(json_array_size(all), 103);
    gs_tokenizer *const with = open_ok(TINY, "<unk>"), *const without = open_ok(TINY, NULL);
    size_t i;
    json_t *item;
    json_array_foreach(all, i, item)
    {
        const json_t *const text = json_object_get(item, "text"), *const plain = json_object_get(
                                                                      item, "ids_without_unk_pad_token");
        expect_golden(with, text, json_object_get(item, "ids"));
        expect_golden(without, text, plain ? plain : json_object_get(item, "ids"));
        expect_round_trip(with, json_string_value(text), json_string_length(text));
    }
    assert_int_equal(gs_tokenizer_ids(with), 671);
    assert_int_equal(gs_tokenizer_ids(without), 670);
    gs_tokenizer_close(with);
    gs_tokenizer_close(without);
    json_decref(all);
}

static void test_demo(void **state)
{
    (void)state;
    gs_tokenizer *const t = open_ok(DEMO, "<unk>");
    assert_int_equal(gs_tokenizer_ids(t), 4081);
    EXPECT_IDS(t, "[gMASK]<sop><|user|><unk>", 4068, 4070, 4073, 4080);
    char *text;
    size_t n;
    gs_error err = {0};
    assert_int_equal(gs_file_read_all(DEMO "/../eval.txt", 1 << 20, &text, &n, &err), GS_OK);
    expect_round_trip(t, text, n);
    gs_free(text);
    gs_tokenizer_close(t);
}

static void test_decode(void **state)
{
    (void)state;
    gs_tokenizer *const t = open_ok(TINY, "<unk>");
    gs_str out;
    gs_str_init(&out);
    const int32_t ids[] = {658, 660, 64, 703, 670, -1};
    gs_tokenizer_decode(t, ids, 6, false, &out);
    assert_string_equal(out.data, "a\xEF\xBF\xBD\xEF\xBF\xBD");
    gs_str_clear(&out);
    gs_tokenizer_decode(t, ids, 6, true, &out);
    assert_string_equal(out.data, "[gMASK]<sop>a\xEF\xBF\xBD<unk>\xEF\xBF\xBD");
    gs_str_release(&out);
    gs_tokenizer_close(t);
}

static void test_bad_text(void **state)
{
    (void)state;
    gs_tokenizer *const t = open_ok(TINY, NULL);
    gs_ids ids = {0};
    gs_error err = {0};
    static const char *const bad[] = {"ab\xFFz", "ab\xC3", "ab\xED\xA0\x80", "ab\xC0\xAF", "ab\xF4\x90\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(gs_tokenizer_encode(t, bad[i], strlen(bad[i]), true, &ids, &err), GS_ERR_FILE);
        assert_non_null(strstr(err.text, "not valid UTF-8 at byte 2"));
        assert_int_equal(ids.count, 0);
    }
    const size_t n = (4 << 20) + 1;
    char *const word = test_malloc(n);
    memset(word, 'a', n);
    assert_int_equal(gs_tokenizer_encode(t, word, n, true, &ids, &err), GS_ERR_FILE);
    assert_non_null(strstr(err.text, "a single word of 4194305 bytes at byte 0"));
    test_free(word);
    gs_ids_release(&ids);
    gs_tokenizer_close(t);
}

/* --- directories made here --- */

static char dir[] = "/tmp/gs_tokenizer_XXXXXX";
static char model[64], config[64], fast[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(model, sizeof model, "%s/tokenizer.model", dir);
    snprintf(config, sizeof config, "%s/tokenizer_config.json", dir);
    snprintf(fast, sizeof fast, "%s/tokenizer.json", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(model);
    unlink(config);
    unlink(fast);
    return rmdir(dir);
}

static void put(const char *path, const char *content, size_t n)
{
    gs_error err = {0};
    if (gs_file_write_all(path, content, n, 0600, &err) != GS_OK) fail_msg("%s", err.text);
}

static void put_model(void)
{
    char *text;
    size_t n;
    gs_error err = {0};
    assert_int_equal(gs_file_read_all(TINY "/tokenizer.model", 1 << 20, &text, &n, &err), GS_OK);
    put(model, text, n);
    gs_free(text);
}

static gs_tokenizer *open_with(const char *json, const char *pad_token)
{
    put_model();
    put(config, json, strlen(json));
    return open_ok(dir, pad_token);
}

static void expect_bad_config(const char *json, gs_status status, const char *part)
{
    gs_tokenizer *t;
    gs_error err = {0};
    put_model();
    put(config, json, strlen(json));
    assert_int_equal(gs_tokenizer_open(&t, dir, "<unk>", &err), status);
    assert_null(t);
    if (!strstr(err.text, part) || !strstr(err.text, "tokenizer_config.json"))
        fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

/* A derivative that lists one token: the others have ids but are ordinary text. */
static void test_short_list(void **state)
{
    (void)state;
    gs_tokenizer *const t =
        open_with("{\"added_tokens_decoder\": {\"656\": {\"content\": \"<|endoftext|>\"}}}", "<unk>");
    EXPECT_IDS(t, "<|endoftext|>", 656);
    gs_ids ids = {0};
    assert_int_equal(gs_tokenizer_encode(t, "[MASK]", 6, true, &ids, NULL), GS_OK);
    assert_true(ids.count > 3);
    assert_int_equal(ids.id[0], 658); /* the prefix works all the same */
    assert_int_equal(ids.id[1], 660);
    for (int64_t i = 2; i < ids.count; i++) assert_true(ids.id[i] < 656);
    gs_ids_release(&ids);
    EXPECT_IDS(t, "<unk>", 670);
    gs_tokenizer_close(t);
}

static void test_named_tokens(void **state)
{
    (void)state;
    gs_tokenizer *const t =
        open_with("{\"eos_token\": {\"content\": \"<|user|>\"}, \"bos_token\": null, \"pad_token\": \"unused\","
                  "\"mask_token\": \"new\", \"additional_special_tokens\": [\"[MASK]\", \"more\"]}",
                  "<unk>");
    EXPECT_IDS(t, "<|user|>", 663);
    EXPECT_IDS(t, "[MASK]", 657);
    EXPECT_IDS(t, "<unk>new", 670, 671);
    EXPECT_IDS(t, "more", 672);
    gs_ids ids = {0};
    assert_int_equal(gs_tokenizer_encode(t, "unused", 6, false, &ids, NULL), GS_OK); /* replaced by <unk> */
    assert_true(ids.count > 1);
    gs_ids_release(&ids);
    gs_tokenizer_close(t);
}

/* The pad token counts the tokens there are, and is nothing new if it is one of them. */
static void test_pad_token(void **state)
{
    (void)state;
    gs_tokenizer *t = open_with(
        "{\"added_tokens_decoder\": {\"670\": {\"content\": \"<image>\"}, \"671\": {\"content\": \"<video>\"}}}",
        "<unk>");
    EXPECT_IDS(t, "<image><video><unk>", 670, 671, 672);
    gs_tokenizer_close(t);
    t = open_with("{}", "<|user|>");
    EXPECT_IDS(t, "<|user|>", 663);
    assert_int_equal(gs_tokenizer_ids(t), 670);
    gs_tokenizer_close(t);
    gs_error err = {0};
    assert_int_equal(gs_tokenizer_open(&t, TINY, "\x9F\x98", &err), GS_ERR_USAGE);
    t = open_ok(TINY, "");
    assert_int_equal(gs_tokenizer_ids(t), 670);
    gs_tokenizer_close(t);
}

/* Leftmost, then longest. */
static void test_overlap(void **state)
{
    (void)state;
    gs_tokenizer *const t =
        open_with("{\"added_tokens_decoder\": {\"670\": {\"content\": \"ab\"}, \"671\": {\"content\": \"abcd\"},"
                  "\"672\": {\"content\": \"bcdef\"}, \"673\": {\"content\": \"ab\\u0000\"}}}",
                  NULL);
    EXPECT_IDS(t, "abcd", 671);
    EXPECT_IDS(t, "abcabcdef", 670, 66, 671, 68, 69);
    EXPECT_IDS(t, "bcdef", 672);
    EXPECT_IDS(t, "ab\0ab", 673, 670);
    gs_tokenizer_close(t);
}

/* Added tokens win over the built-in names. */
static void test_other_ids(void **state)
{
    (void)state;
    gs_tokenizer *const t = open_with(
        "{\"added_tokens_decoder\": {\"658\": {\"content\": \"<x>\"}, \"700\": {\"content\": \"[gMASK]\"}}}", NULL);
    gs_ids ids = {0};
    assert_int_equal(gs_tokenizer_encode(t, "", 0, true, &ids, NULL), GS_OK);
    assert_int_equal(ids.id[0], 700);
    assert_int_equal(ids.id[1], 660);
    EXPECT_IDS(t, "[gMASK]<x>", 700, 658);
    assert_int_equal(gs_tokenizer_ids(t), 701);
    gs_ids_release(&ids);
    gs_tokenizer_close(t);
}

static void test_no_config(void **state)
{
    (void)state;
    put_model();
    unlink(config);
    gs_tokenizer *const t = open_ok(dir, NULL);
    EXPECT_IDS(t, "[MASK]<|end_of_video|>", 657, 669);
    gs_tokenizer_close(t);
}

static void test_bad_config(void **state)
{
    (void)state;
    expect_bad_config("[]", GS_ERR_FILE, "not a JSON object");
    expect_bad_config("{", GS_ERR_FILE, "line 1");
    expect_bad_config("", GS_ERR_FILE, "");
    expect_bad_config("{\"added_tokens_decoder\": []}", GS_ERR_FILE, "not an object");
    expect_bad_config("{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", GS_ERR_FILE, "not an id");
    expect_bad_config("{\"added_tokens_decoder\": {\"-1\": {\"content\": \"a\"}}}", GS_ERR_FILE, "not an id");
    expect_bad_config("{\"added_tokens_decoder\": {\"0670\": {\"content\": \"a\"}}}", GS_ERR_FILE, "not an id");
    expect_bad_config("{\"added_tokens_decoder\": {\"99999999\": {\"content\": \"a\"}}}", GS_ERR_FILE, "not an id");
    expect_bad_config("{\"added_tokens_decoder\": {\"4294967966\": {\"content\": \"a\"}}}", GS_ERR_FILE, "not an id");
    expect_bad_config("{\"added_tokens_decoder\": {\"655\": {\"content\": \"a\"}}}", GS_ERR_FILE,
                      "do not belong together");
    expect_bad_config("{\"added_tokens_decoder\": {\"670\": {\"content\": \"\"}}}", GS_ERR_FILE, "added token 670");
    expect_bad_config("{\"added_tokens_decoder\": {\"670\": {}}}", GS_ERR_FILE, "added token 670");
    expect_bad_config("{\"added_tokens_decoder\": {\"670\": {\"content\": \"a\"}, \"671\": {\"content\": \"a\"}}}",
                      GS_ERR_FILE, "same content");
    expect_bad_config("{\"added_tokens_decoder\": {\"658\": {\"content\": \"a\"}}}", GS_ERR_FILE, "[gMASK]");
    expect_bad_config("{\"added_tokens_decoder\": {\"670\": {\"content\": \"a\", \"lstrip\": true}}}",
                      GS_ERR_UNSUPPORTED, "lstrip");
    expect_bad_config("{\"additional_special_tokens\": [1]}", GS_ERR_FILE, "additional_special_tokens[0]");
}

static void test_bad_model(void **state)
{
    (void)state;
    gs_tokenizer *t;
    gs_error err = {0};
    unlink(model);
    assert_int_equal(gs_tokenizer_open(&t, dir, NULL, &err), GS_ERR_IO);
    assert_non_null(strstr(err.text, "tokenizer.model"));
    put(fast, "{}", 2);
    assert_int_equal(gs_tokenizer_open(&t, dir, NULL, &err), GS_ERR_UNSUPPORTED);
    unlink(fast);
    put(model, "\n\x0E\n\x05<unk>", 9);
    assert_int_equal(gs_tokenizer_open(&t, dir, NULL, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "ChatGLM2"));
    assert_non_null(strstr(err.text, "SentencePiece"));
    put(model, "IQ== 0\nIg== 2\n", 14);
    assert_int_equal(gs_tokenizer_open(&t, dir, NULL, &err), GS_ERR_FILE);
    assert_non_null(strstr(err.text, "line 2"));
    unlink(model);
    assert_int_equal(mkdir(model, 0700), 0);
    assert_int_equal(gs_tokenizer_open(&t, dir, NULL, &err), GS_ERR_IO);
    assert_int_equal(rmdir(model), 0);
}

/* Facts about GLM-4-9B that need its own vocabulary, which cannot be shipped here. */
static void test_real_vocabulary(void **state)
{
    (void)state;
    const char *const real = getenv("GLM4_TOKENIZER_DIR");
    if (!real || !*real) {
        printf("             GLM4_TOKENIZER_DIR is not set: no GLM-4-9B vocabulary to test with\n");
        skip();
    }
    gs_tokenizer *const t = open_ok(real, "<unk>");
    expect_ids(t, "你好", 6, true, (const int32_t[]){151331, 151333, 109377}, 3);
    EXPECT_IDS(t, "[gMASK]<sop><|user|>\n你好<|assistant|>", 151331, 151333, 151336, 198, 109377, 151337);
    EXPECT_IDS(t, " ", 220);
    EXPECT_IDS(t, "33", 100702);
    EXPECT_IDS(t, "333", 121577);
    EXPECT_IDS(t, "<|endoftext|><|observation|><|end_of_video|><unk>", 151329, 151338, 151342, 151343);
    gs_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_demo),       cmocka_unit_test(test_decode),
        cmocka_unit_test(test_bad_text),        cmocka_unit_test(test_short_list), cmocka_unit_test(test_named_tokens),
        cmocka_unit_test(test_pad_token),       cmocka_unit_test(test_overlap),    cmocka_unit_test(test_other_ids),
        cmocka_unit_test(test_no_config),       cmocka_unit_test(test_bad_config), cmocka_unit_test(test_bad_model),
        cmocka_unit_test(test_real_vocabulary),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
