/* Small memory, large buffers and their count, arena. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static bool is_zero(const void *p, size_t n)
{
    const char *c = p;
    return n == 0 || (c[0] == 0 && memcmp(c, c + 1, n - 1) == 0);
}

static void test_small_memory_is_zero(void **state)
{
    (void)state;
    for (size_t n = 0; n < 5000; n += 61) {
        char *p = gs_alloc(n);
        assert_non_null(p);
        assert_true(is_zero(p, n));
        memset(p, 1, n);
        gs_free(p);
    }
    int *numbers = gs_alloc_array(10, sizeof *numbers);
    assert_true(is_zero(numbers, 40));
    numbers[9] = 9;
    numbers = gs_realloc_array(numbers, 1000, sizeof *numbers);
    assert_int_equal(numbers[9], 9);
    gs_free(numbers);
    gs_free(gs_alloc_array(0, 8));
    gs_free(gs_alloc_array(8, 0));
    gs_free(gs_realloc_array(NULL, 0, 8));
    gs_free(NULL);
}

static void test_string_copies(void **state)
{
    (void)state;
    char *a = gs_strdup("abc"), *b = gs_strndup("abcdef", 3), *c = gs_strndup("ab", 100), *d = gs_strndup("", 0);
    const char open_end[2] = {'x', 'y'}; /* no NUL */
    char *e = gs_strndup(open_end, 2);
    assert_string_equal(a, "abc");
    assert_string_equal(b, "abc");
    assert_string_equal(c, "ab");
    assert_string_equal(d, "");
    assert_string_equal(e, "xy");
    gs_free(a), gs_free(b), gs_free(c), gs_free(d), gs_free(e);
}

static void want_overflowing_array(void) { gs_free(gs_alloc_array(SIZE_MAX / 2, 3)); }
static void want_overflowing_growth(void) { gs_free(gs_realloc_array(NULL, SIZE_MAX / 4, 5)); }
static void want_overflowing_arena(void)
{
    gs_arena *a = gs_arena_create();
    memset(gs_arena_alloc(a, SIZE_MAX - 3), 1, 1);
}

/* The child ends with our message and exit code, not by a wild write. */
static void assert_ends(void (*fn)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(ends[1]);
    char text[4096] = "";
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), GS_ERR_MEMORY);
    assert_non_null(strstr(text, "out of memory"));
}

static void test_impossible_small_sizes_end_the_program(void **state)
{
    (void)state;
    assert_ends(want_overflowing_array);
    assert_ends(want_overflowing_growth);
    assert_ends(want_overflowing_arena);
}

static void test_checked_sizes(void **state)
{
    (void)state;
    size_t out = 77;
    assert_false(gs_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(gs_add_size(SIZE_MAX, 1, &out));
    assert_int_equal(out, 77);
    assert_true(gs_mul_size(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
    assert_true(gs_add_size(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_true(gs_mul_size(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
}

/* Sizes around both thresholds (1 MiB: a mapping; 4 MiB: huge pages). */
static void test_buffers_are_aligned_zero_and_counted(void **state)
{
    (void)state;
    static const size_t mib = 1 << 20;
    const size_t sizes[] = {0,   1,       63,          64,      65,          4097,           mib - 1,
                            mib, mib + 1, 4 * mib - 1, 4 * mib, 4 * mib + 1, 9 * mib + 12345};
    const uint64_t before = gs_buf_now();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int round = 0; round < 2; round++) { /* the second may get used memory */
            gs_buf buf;
            assert_int_equal(gs_buf_alloc(&buf, sizes[i], "a test", NULL), GS_OK);
            assert_non_null(buf.data);
            assert_int_equal(buf.bytes, sizes[i]);
            assert_int_equal((uintptr_t)buf.data % 64, 0);
            if (sizes[i] >= 4 * mib) assert_int_equal((uintptr_t)buf.data % (2 * mib), 0);
            assert_true(is_zero(buf.data, sizes[i]));
            memset(buf.data, 0xAB, sizes[i]);
            assert_int_equal(gs_buf_now(), before + sizes[i]);
            assert_true(gs_buf_peak() >= gs_buf_now());
            gs_buf_release(&buf);
            assert_null(buf.data);
            assert_int_equal(buf.bytes, 0);
            gs_buf_release(&buf); /* again: nothing happens */
            assert_int_equal(gs_buf_now(), before);
        }
    }
    assert_true(gs_buf_peak() >= before + 9 * mib + 12345);
}

static void test_refused_buffers_say_size_and_purpose(void **state)
{
    (void)state;
    const size_t impossible[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2, (size_t)1 << 60};
    for (size_t i = 0; i < 4; i++) {
        gs_error err = {0};
        gs_buf buf = {.data = &err, .bytes = 5};
        const uint64_t before = gs_buf_now();
        assert_int_equal(gs_buf_alloc(&buf, impossible[i], "hidden states", &err), GS_ERR_MEMORY);
        assert_null(buf.data);
        assert_int_equal(buf.bytes, 0);
        assert_int_equal(gs_buf_now(), before);
        char size[32];
        snprintf(size, sizeof size, "%zu bytes", impossible[i]);
        assert_non_null(strstr(err.text, size));
        assert_non_null(strstr(err.text, "hidden states"));
        assert_non_null(strstr(err.text, "; use fewer"));
    }
}

static void test_limit_holds_for_all_buffers_together(void **state)
{
    (void)state;
    gs_buf a, b;
    gs_error err = {0};
    gs_buf_set_limit(gs_buf_now() + 1000);
    assert_int_equal(gs_buf_alloc(&a, 600, "a", &err), GS_OK);
    assert_int_equal(gs_buf_alloc(&b, 401, "b", &err), GS_ERR_MEMORY);
    assert_int_equal(gs_buf_alloc(&b, 400, "b", &err), GS_OK);
    gs_buf_release(&a);
    gs_buf_release(&b);
    assert_int_equal(gs_buf_alloc(&a, SIZE_MAX, "a", &err), GS_ERR_MEMORY);
    gs_buf_set_limit(0);
    assert_int_equal(gs_buf_alloc(&a, 5000, "a", &err), GS_OK);
    gs_buf_release(&a);
}

static void test_resident_set_follows_buffers(void **state)
{
    (void)state;
    const size_t bytes = (size_t)48 << 20;
    gs_buf buf;
    const uint64_t before = gs_rss_now();
    assert_true(before > 0);
    assert_int_equal(gs_buf_alloc(&buf, bytes, "a test", NULL), GS_OK);
    memset(buf.data, 1, bytes);
    const uint64_t during = gs_rss_now();
    assert_true(during >= before + bytes / 10 * 9);
    gs_buf_release(&buf);
    assert_true(gs_rss_now() <= during - bytes / 10 * 9);
    assert_true(gs_rss_peak() >= before + bytes / 10 * 9);
}

static void test_touched_part_of_buffers(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    assert_int_equal(gs_buf_touched(3 * mib, 5000), 5000); /* small pages */
    assert_int_equal(gs_buf_touched(32 * mib, 1), 2 * mib);
    assert_int_equal(gs_buf_touched(32 * mib, 2 * mib), 2 * mib);
    assert_int_equal(gs_buf_touched(32 * mib, 2 * mib + 1), 4 * mib);
    assert_int_equal(gs_buf_touched(5 * mib, 4 * mib + 1), 5 * mib);
    assert_int_equal(gs_buf_touched(5 * mib, 9 * mib), 5 * mib);
    assert_int_equal(gs_buf_touched(32 * mib, 0), 0);
}

static void test_arena(void **state)
{
    (void)state;
    gs_arena *a = gs_arena_create();
    enum { COUNT = 3000 };
    char *pieces[COUNT];
    for (size_t i = 0; i < COUNT; i++) { /* small ones and, now and then, one larger than a block */
        const size_t bytes = i % 100 == 99 ? 200000 : i % 257;
        pieces[i] = gs_arena_alloc(a, bytes);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        assert_true(is_zero(pieces[i], bytes));
        memset(pieces[i], (int)(i % 251) + 1, bytes);
    }
    for (size_t i = 0; i < COUNT; i++) { /* nobody wrote into anybody else */
        const size_t bytes = i % 100 == 99 ? 200000 : i % 257;
        for (size_t j = 0; j < bytes; j++) assert_int_equal((unsigned char)pieces[i][j], i % 251 + 1);
    }
    assert_ptr_not_equal(gs_arena_alloc(a, 0), gs_arena_alloc(a, 0));
    assert_string_equal(gs_arena_strdup(a, "text"), "text");
    assert_string_equal(gs_arena_strdup(a, ""), "");
    assert_string_equal(gs_arena_printf(a, "%s.%d", "layers", 39), "layers.39");
    assert_string_equal(gs_arena_printf(a, "%s", ""), "");
    assert_int_equal(strlen(gs_arena_printf(a, "%0100000d", 0)), 100000);
    gs_arena_free(a);
    gs_arena_free(NULL);
    gs_arena_free(gs_arena_create());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_memory_is_zero),
        cmocka_unit_test(test_string_copies),
        cmocka_unit_test(test_impossible_small_sizes_end_the_program),
        cmocka_unit_test(test_checked_sizes),
        cmocka_unit_test(test_buffers_are_aligned_zero_and_counted),
        cmocka_unit_test(test_refused_buffers_say_size_and_purpose),
        cmocka_unit_test(test_limit_holds_for_all_buffers_together),
        cmocka_unit_test(test_resident_set_follows_buffers),
        cmocka_unit_test(test_touched_part_of_buffers),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
