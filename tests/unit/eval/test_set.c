/* Windows predict every token once, whatever the stride; questions are read in every form, and broken lines are named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/format/result.h"

#include "eval/set.h"

#define DEMO GS_SOURCE_DIR "/demo/glm4-mini"

static gs_tokenizer *tokenizer;
static char path[64];

static int begin(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/glmslim-text-XXXXXX");
    const int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return gs_tokenizer_open(&tokenizer, DEMO, NULL, ERR) == GS_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    gs_tokenizer_close(tokenizer);
    unlink(path);
    return 0;
}

static void put(const char *text) { OK(gs_file_write_all(path, text, strlen(text), 0600, ERR)); }

static const char text[] =
    "The kernel is the part of the system that starts first. 如果文件不存在，否则将文件保存为文件夹。 "
    "To insert a table, choose a format and a number of rows.\n";

static void every_token_once(int64_t context, int64_t stride)
{
    gs_ids whole = {0}, prefix = {0};
    gs_eval_set s = {0};
    OK(gs_tokenizer_encode(tokenizer, text, sizeof text - 1, false, &whole, ERR));
    OK(gs_tokenizer_encode(tokenizer, "", 0, true, &prefix, ERR));
    OK(gs_eval_set_text(&s, tokenizer, path, context, stride, ERR));
    assert_int_equal(prefix.count, 2);
    assert_int_equal(s.text_tokens, whole.count);
    assert_int_equal(s.place[s.samples.count], whole.count);
    assert_int_equal(s.windows, s.samples.count);
    for (int64_t i = 0; i < s.samples.count; i++) {
        const int32_t *ids = s.samples.id + s.samples.start[i];
        const int64_t n = s.samples.start[i + 1] - s.samples.start[i];
        assert_true(n <= context + 2 && s.first[i] >= 2 && s.first[i] < n);
        assert_int_equal(ids[0], prefix.id[0]);
        assert_int_equal(ids[1], prefix.id[1]);
        for (int64_t j = 2; j < n; j++) assert_int_equal(ids[j], whole.id[i * stride + j - 2]);
        /* the k-th predicted token of all is the k-th of the text */
        for (int64_t j = s.first[i]; j < n; j++) assert_int_equal(ids[j], whole.id[s.place[i] + j - s.first[i]]);
        assert_true(i == 0 ? s.first[i] == 2 : n - s.first[i] <= stride);
    }
    gs_eval_set_release(&s);
    gs_ids_release(&whole);
    gs_ids_release(&prefix);
}

static void windows(void **state)
{
    (void)state;
    put(text);
    for (int64_t context = 1; context < 60; context += context < 12 ? 1 : 7)
        for (int64_t stride = 1; stride <= context; stride += stride < 5 ? 1 : 6) every_token_once(context, stride);
    gs_eval_set s = {0};
    put("");
    FAILS(gs_eval_set_text(&s, tokenizer, path, 10, 10, ERR), GS_ERR_FILE, "empty");
    gs_eval_set_release(&s);
    put("ok \xff");
    FAILS(gs_eval_set_text(&s, tokenizer, path, 10, 10, ERR), GS_ERR_FILE, path);
    gs_eval_set_release(&s);
}

static void questions(void **state)
{
    (void)state;
    gs_eval_set s = {0};
    put("{\"question\": \"What is it?\", \"choices\": [\"a cat\", \"a dog\", \" a bird\"], \"answer\": 2}\n"
        "\n  \n"
        "{\"question\": \"文件\", \"choices\": [\"系统\", \"猫\"], \"answer\": \"A\", \"id\": 7}\n"
        "{\"question\": \"Is it?\", \"answer\": true}\n"
        "{\"question\": \"\", \"choices\": [\"x\", \"y\"], \"answer\": \"y\"}");
    OK(gs_eval_set_choices(&s, tokenizer, path, 100, ERR));
    assert_int_equal(s.questions, 4);
    assert_int_equal(s.windows, 0);
    const int32_t right[] = {2, 0, 1, 1};
    const int64_t first[] = {0, 3, 5, 7, 9};
    for (int i = 0; i < 4; i++) assert_int_equal(s.answer[i], right[i]);
    for (int i = 0; i < 5; i++) assert_int_equal(s.question[i], first[i]);
    /* the same question's ids before each choice, the choice's behind them, with a blank where one is missing */
    static const char *const wanted[] = {" a cat", " a dog", " a bird", "系统", "猫", " no", " yes", "x", "y"};
    for (int64_t i = 0; i < 9; i++) {
        gs_str got;
        gs_str_init(&got);
        const int32_t *ids = s.samples.id + s.samples.start[i];
        gs_tokenizer_decode(tokenizer, ids + s.first[i], s.samples.start[i + 1] - s.samples.start[i] - s.first[i], true,
                            &got);
        assert_string_equal(got.data, wanted[i]);
        gs_str_release(&got);
        if (i == 1 || i == 2) assert_memory_equal(ids, s.samples.id, (size_t)s.first[0] * sizeof *ids);
    }
    assert_int_equal(s.bytes[0], 5);
    gs_eval_set_release(&s);
}

static void broken_questions(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 2}", "line 1: \"answer\""},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": -1}", "\"answer\""},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": \"C\"}", "\"answer\""},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"]}", "\"answer\""},
        {"{\"question\": \"q\", \"choices\": [\"a\"], \"answer\": 0}", "at least two"},
        {"{\"question\": \"q\", \"choices\": [\"a\", 1], \"answer\": 0}", "strings only"},
        {"{\"question\": \"q\", \"choices\": {}, \"answer\": 0}", "at least two"},
        {"{\"question\": 1, \"choices\": [\"a\", \"b\"], \"answer\": 0}", "\"question\""},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "empty choice"},
        {"{\"question\": \"q\", \"choices\": [\"yes\", \"no\"], \"answer\": true}", "\"answer\""},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n{", "line 2"},
        {"[1]", "\"question\""},
        {"\n\n", "no question"},
        {"{\"question\": \"one two three four five six seven eight nine ten eleven twelve thirteen fourteen\", "
         "\"choices\": [\"a\", \"b\"], \"answer\": 0}",
         "the model takes 12"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gs_eval_set s = {0};
        put(bad[i][0]);
        FAILS(gs_eval_set_choices(&s, tokenizer, path, 12, ERR), GS_ERR_FILE, bad[i][1]);
        gs_eval_set_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(questions),
        cmocka_unit_test(broken_questions),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
