/* Errors: texts, context in front, lengths, the interrupt flag. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "base/str.h"

static void test_fail_fills_the_error(void **state)
{
    (void)state;
    gs_error err = {0};
    assert_int_equal(gs_fail(&err, GS_ERR_FILE, "%s: byte %d", "a.json", 7), GS_ERR_FILE);
    assert_int_equal(err.status, GS_ERR_FILE);
    assert_string_equal(err.text, "a.json: byte 7");
    assert_int_equal(gs_fail(NULL, GS_ERR_USAGE, "nobody listens"), GS_ERR_USAGE);
}

static void test_text_is_never_empty(void **state)
{
    (void)state;
    gs_error err = {0};
    (void)gs_fail(&err, GS_ERR_IO, "%s", "");
    assert_true(strlen(err.text) > 0);
}

static void test_arguments_may_be_the_old_text(void **state)
{
    (void)state;
    gs_error err = {0};
    (void)gs_fail(&err, GS_ERR_FILE, "inner");
    (void)gs_fail(&err, GS_ERR_NUMERIC, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
}

static void test_errno_text_is_appended(void **state)
{
    (void)state;
    gs_error err = {0};
    assert_int_equal(gs_fail_errno(&err, ENOENT, "cannot open %s", "x"), GS_ERR_IO);
    assert_string_equal(err.text, "cannot open x: No such file or directory");
    assert_int_equal(err.code, ENOENT);
    (void)gs_wrap(&err, "while reading");
    assert_int_equal(err.code, ENOENT);
    (void)gs_fail(&err, GS_ERR_IO, "something else");
    assert_int_equal(err.code, 0);
    static char name[8000];
    memset(name, 'n', sizeof name - 1);
    (void)gs_fail_errno(&err, ENOSPC, "cannot write %s", name);
    const char *reason = "…: No space left on device";
    assert_string_equal(err.text + strlen(err.text) - strlen(reason), reason);
    (void)gs_fail_errno(&err, 123456, "odd number");
    assert_non_null(strstr(err.text, "123456"));
}

static void test_wrap_puts_context_in_front(void **state)
{
    (void)state;
    gs_error err = {0};
    (void)gs_fail(&err, GS_ERR_MEMORY, "no room");
    assert_int_equal(gs_wrap(&err, "block %d", 3), GS_ERR_MEMORY);
    assert_string_equal(err.text, "block 3: no room");
    (void)gs_fail(NULL, GS_ERR_NUMERIC, "NaN");
    assert_int_equal(gs_wrap(NULL, "block"), GS_ERR_NUMERIC);
}

/* Texts of every length around the limit, of 3-byte characters: cut only between characters, marked, cause kept. */
static void test_long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    static char text[3000];
    for (size_t ascii = 0; ascii < 3; ascii++) {
        memset(text, 'a', ascii);
        size_t n = ascii;
        while (n + 3 < sizeof text) {
            memcpy(text + n, "\xE4\xB8\xAD", 3);
            n += 3;
        }
        text[n] = '\0';
        gs_error err = {0};
        (void)gs_fail(&err, GS_ERR_FILE, "%s", text);
        const size_t len = strlen(err.text);
        assert_in_range(len, sizeof err.text - 6, sizeof err.text - 1);
        assert_int_equal(gs_utf8_valid(err.text, len), len);
        assert_string_equal(err.text + len - 3, "…");
        (void)gs_wrap(&err, "%s", text);
        assert_int_equal(gs_utf8_valid(err.text, strlen(err.text)), strlen(err.text));
        (void)gs_fail(&err, GS_ERR_FILE, "the cause");
        (void)gs_wrap(&err, "%s", text);
        assert_non_null(strstr(err.text, "…: the cause"));
    }
}

/* What a message quotes may come from a file name or a command line that means to command the terminal. */
static void test_texts_are_printable(void **state)
{
    (void)state;
    gs_error err;
    gs_fail(&err, GS_ERR_USAGE, "word \x1b[2J\x7f, \xc2\x9b C1, \xff\xfe bad, \xc3\xa9 good, \xe2\x80 cut\nline\xc2");
    assert_string_equal(err.text, "word ?[2J?, ? C1, ?? bad, \xc3\xa9 good, ?? cut?line?");
    gs_wrap(&err, "path\twith\ttabs");
    assert_string_equal(err.text, "path?with?tabs: word ?[2J?, ? C1, ?? bad, \xc3\xa9 good, ?? cut?line?");
}

static void test_longest_text_is_whole(void **state)
{
    (void)state;
    static char text[sizeof((gs_error *)0)->text];
    memset(text, 'x', sizeof text - 1);
    gs_error err = {0};
    (void)gs_fail(&err, GS_ERR_FILE, "%s", text);
    assert_string_equal(err.text, text);
}

static gs_status try_twice(gs_status first, int *calls)
{
    GS_TRY((++*calls, first));
    GS_TRY((++*calls, GS_OK));
    return GS_OK;
}

static void test_try_forwards_failures(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(try_twice(GS_OK, &calls), GS_OK);
    assert_int_equal(calls, 2);
    assert_int_equal(try_twice(GS_ERR_IO, &calls), GS_ERR_IO);
    assert_int_equal(calls, 3);
}

static void on_signal(int number)
{
    (void)number;
    gs_interrupt();
}

static void test_interrupt_from_a_signal(void **state)
{
    (void)state;
    gs_error err = {0};
    gs_clear_interrupt();
    assert_int_equal(gs_check_interrupt(&err), GS_OK);
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(gs_check_interrupt(&err), GS_ERR_INTERRUPTED);
    assert_non_null(strstr(err.text, "interrupted"));
    assert_int_equal(gs_check_interrupt(NULL), GS_ERR_INTERRUPTED);
    gs_clear_interrupt();
    assert_int_equal(gs_check_interrupt(&err), GS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_fills_the_error),
        cmocka_unit_test(test_text_is_never_empty),
        cmocka_unit_test(test_arguments_may_be_the_old_text),
        cmocka_unit_test(test_errno_text_is_appended),
        cmocka_unit_test(test_wrap_puts_context_in_front),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_texts_are_printable),
        cmocka_unit_test(test_longest_text_is_whole),
        cmocka_unit_test(test_try_forwards_failures),
        cmocka_unit_test(test_interrupt_from_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
