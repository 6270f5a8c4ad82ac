/* Files: exact reads and writes, and what is said when they are impossible.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/guard.h"

static char *dir, *path;

static int setup(void **state)
{
    (void)state;
    dir = make_scratch();
    path = gs_path_join(dir, "file");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gs_free(path);
    remove_scratch(dir);
    return 0;
}

static void test_read(void **state)
{
    (void)state;
    char part[5] = "";
    gs_file f;
    write_text(path, "0123456789");
    OK(gs_file_open(&f, path, &test_err));
    assert_int_equal(f.size, 10);
    OK(gs_file_pread(&f, 3, part, 4, &test_err));
    assert_string_equal(part, "3456");
    OK(gs_file_pread(&f, 10, part, 0, &test_err));
    FAILS(gs_file_pread(&f, 7, part, 4, &test_err), GS_ERR_FILE, "only 10 bytes");
    FAILS(gs_file_pread(&f, UINT64_MAX, part, 4, &test_err), GS_ERR_FILE, "only 10 bytes");
    gs_file_forget(&f, 0, 10);
    gs_file_close(&f);
    gs_file_close(&f);
    gs_file zero = {0};
    gs_file_close(&zero);
}

static void test_cut_while_reading(void **state)
{
    (void)state;
    char part[10];
    gs_file f;
    write_text(path, "0123456789");
    OK(gs_file_open(&f, path, &test_err));
    assert_int_equal(truncate(path, 4), 0);
    FAILS(gs_file_pread(&f, 0, part, 10, &test_err), GS_ERR_FILE, "was cut while it was being read");
    gs_file_close(&f);
}

/* Written in place, with the old time put back, or only renamed. */
static void test_changed_while_open(void **state)
{
    (void)state;
    gs_file f;
    struct stat st;
    char *other = gs_path_join(dir, "other");
    write_text(path, "0123456789");
    OK(gs_file_open(&f, path, &test_err));
    OK(gs_file_unchanged(&f, &test_err));
    const gs_stamp before = gs_path_stamp(path), none = gs_path_stamp(other);
    assert_true(gs_stamp_equal(&before, &f.stamp));
    assert_false(gs_stamp_equal(&before, &none));
    assert_int_equal(stat(path, &st), 0);
    usleep(20000); /* longer than a tick of the file system's clock */
    write_text(path, "9876543210");
    FAILS(gs_file_unchanged(&f, &test_err), GS_ERR_FILE, "was changed after it was opened");
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    gs_guard_set(true, NULL);
    FAILS(gs_file_unchanged(&f, &test_err), GS_ERR_FILE, "--secure refuses");
    gs_guard_set(false, NULL);
    gs_file_close(&f);
    OK(gs_file_open(&f, path, &test_err));
    usleep(20000);
    assert_int_equal(rename(path, other), 0);
    OK(gs_file_unchanged(&f, &test_err)); /* a backup's hard links are no reason to throw work away */
    gs_file_close(&f);
    gs_free(other);
}

static void test_open_refuses(void **state)
{
    (void)state;
    gs_file f;
    FAILS(gs_file_open(&f, path, &test_err), GS_ERR_IO, path);
    FAILS(gs_file_open(&f, dir, &test_err), GS_ERR_IO, "a directory");
    FAILS(gs_file_open(&f, "/dev/null", &test_err), GS_ERR_IO, "not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    FAILS(gs_file_open(&f, path, &test_err), GS_ERR_IO, "not a regular file"); /* and does not wait for a writer */
    gs_file_close(&f);
}

static void test_read_all(void **state)
{
    (void)state;
    char *data;
    size_t n;
    write_text(path, "hello");
    OK(gs_file_read_all(path, 5, &data, &n, &test_err));
    assert_int_equal(n, 5);
    assert_string_equal(data, "hello");
    gs_free(data);
    FAILS(gs_file_read_all(path, 4, &data, &n, &test_err), GS_ERR_FILE, "at most 4");
    write_text(path, "");
    OK(gs_file_read_all(path, 4, &data, &n, &test_err));
    assert_int_equal(n, 0);
    assert_string_equal(data, "");
    gs_free(data);
}

static void test_write_all(void **state)
{
    (void)state;
    size_t n;
    const mode_t old = umask(0077);
    OK(gs_file_write_all(path, "abc", 3, 0644, &test_err));
    umask(old);
    assert_int_equal(mode_of(path), 0644);
    OK(gs_file_write_all(path, "de", 2, 0400, &test_err));
    assert_int_equal(mode_of(path), 0400);
    OK(gs_file_write_all(path, "xyz", 3, 0600, &test_err)); /* a read-only old file is no obstacle */
    char *data = read_bytes(path, &n);
    assert_string_equal(data, "xyz");
    gs_free(data);
    char *link = gs_path_join(dir, "link");
    assert_int_equal(symlink("file", link), 0);
    OK(gs_file_write_all(link, "via", 3, 0600, &test_err));
    data = read_bytes(path, &n);
    assert_string_equal(data, "via");
    gs_free(data);
    gs_free(link);
    OK(gs_file_write_all("/dev/null", "abc", 3, 0600, &test_err));
    FAILS(gs_file_write_all(dir, "abc", 3, 0600, &test_err), GS_ERR_IO, "is a directory");
    char *nowhere = gs_path_join(dir, "no/where");
    FAILS(gs_file_write_all(nowhere, "abc", 3, 0600, &test_err), GS_ERR_IO, "no/where");
    gs_free(nowhere);
}

static void test_write_new(void **state)
{
    (void)state;
    size_t n;
    char *other = gs_path_join(dir, "other");
    OK(gs_file_write_new(path, "abc", 3, 0400, &test_err));
    assert_int_equal(mode_of(path), 0400);
    FAILS(gs_file_write_new(path, "de", 2, 0600, &test_err), GS_ERR_IO, "File exists");
    assert_int_equal(symlink("file", other), 0);
    FAILS(gs_file_write_new(other, "de", 2, 0600, &test_err), GS_ERR_IO, "cannot create");
    char *data = read_bytes(path, &n);
    assert_string_equal(data, "abc");
    gs_free(data);
    gs_free(other);
}

/* A write that cannot be completed says so, and leaves neither half a file nor the temporary one. */
static void test_write_over_limit(void **state)
{
    (void)state;
    char *data = gs_alloc(100000);
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    write_text(path, "old");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const gs_status status = gs_file_write_all(path, data, 100000, 0600, &test_err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, GS_ERR_IO);
    assert_non_null(strstr(test_err.text, "ulimit -f"));
    size_t n;
    char *kept = read_bytes(path, &n);
    assert_string_equal(kept, "old");
    gs_free(kept);
    gs_free(data);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else is in it */
    assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *joined = gs_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        gs_free(joined);
    }
    assert_true(gs_path_is_dir(dir) && gs_path_exists(dir));
    assert_false(gs_path_is_dir(path) || gs_path_exists(path));
    write_text(path, "x");
    assert_true(gs_path_exists(path) && !gs_path_is_dir(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_while_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_while_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_new, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_over_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
