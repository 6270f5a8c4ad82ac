/* Whose a work folder is: two runs at once, leftovers of dead ones, folders that are none, file systems without locks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outdir_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "io/tree.h"
#include "io/work_lock.h"

static bool without_flock;
int flock(int fd, int operation)
{
    if (!without_flock) return (int)syscall(SYS_flock, fd, operation);
    errno = ENOLCK;
    return -1;
}

static void test_two_runs(void **state)
{
    (void)state;
    gs_outdir first, second;
    char pid[64];
    begin(&first, false);
    snprintf(pid, sizeof pid, "another run (process %ld, since 20", (long)getpid());
    FAILS(gs_outdir_begin(&second, out, model, false, &test_err), GS_ERR_IO, pid);
    assert_true(gs_path_is_dir(first.work_path));
    put(first.work_path, "a", "x", 0600);
    OK(gs_outdir_commit(&first, &test_err));
    gs_outdir_abort(&first);
    OK(gs_outdir_begin(&second, out, model, true, &test_err));
    gs_outdir_abort(&second);
    assert_true(has(out, "a"));
    assert_int_equal(entries(dir), 2);
}

/* A run that is killed leaves its folder; the next one clears it away. */
static void test_dead_run(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        gs_outdir o;
        if (gs_outdir_begin(&o, out, model, false, NULL) != GS_OK) _exit(1);
        char *path = gs_path_join(o.work_path, "half");
        if (gs_file_write_all(path, "x", 1, 0400, NULL) != GS_OK) _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(has(dir, ".out.glmslim-work"));
    gs_outdir o;
    begin(&o, false);
    assert_false(has(o.work_path, "half"));
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    assert_int_equal(entries(out), 0);
    assert_int_equal(entries(dir), 2);
}

static void test_work_folder_in_the_way(void **state)
{
    (void)state;
    gs_outdir o;
    put(dir, ".out.glmslim-work", "x", 0600);
    FAILS(gs_outdir_begin(&o, out, model, false, &test_err), GS_ERR_IO, "in the way");
    assert_int_equal(entries(dir), 2);
    char *base = gs_path_join(dir, ".out.glmslim-work");
    assert_int_equal(unlink(base), 0);
    assert_int_equal(mkdir(base, 0700), 0);
    put(base, "journal", "x", 0600);
    assert_int_equal(chmod(base, 0770), 0); /* others could change what a run goes on from */
    FAILS(gs_outdir_begin(&o, out, model, false, &test_err), GS_ERR_IO, "not this user's alone");
    assert_int_equal(entries(dir), 2);
    gs_free(base);
}

/* A directory of the caller's under the name of a work folder: neither begun with nor swept away. */
static void test_not_a_work_folder(void **state)
{
    (void)state;
    gs_outdir o;
    char *base = gs_path_join(dir, ".out.glmslim-work");
    assert_int_equal(mkdir(base, 0700), 0);
    put(base, "thesis", "x", 0600);
    FAILS(gs_outdir_begin(&o, out, model, false, &test_err), GS_ERR_IO, "no run has left it");
    assert_int_equal(mkdir(out, 0755), 0);
    put(out, "a", "x", 0600);
    FAILS(gs_outdir_check(out, model, false, &test_err), GS_ERR_USAGE, "not empty");
    assert_true(has(base, "thesis") && entries(base) == 1);
    gs_free(base);
}

/* Who may write into the parent puts another directory in the folder's place, with a lock of its own. */
static void test_exchanged(void **state)
{
    (void)state;
    gs_outdir o;
    begin(&o, false);
    char *base = gs_strdup(o.base_path), *away = gs_path_join(dir, "away"), *new = gs_path_join(base, "new");
    assert_int_equal(rename(base, away), 0);
    assert_int_equal(mkdir(base, 0700), 0);
    assert_int_equal(mkdir(new, 0700), 0);
    put(base, "lock", "", 0600);
    put(new, "thesis", "x", 0600);
    FAILS(gs_outdir_keep_files(&o, NULL, 0, &test_err), GS_ERR_IO, "was exchanged");
    FAILS(gs_outdir_clear(&o, &test_err), GS_ERR_IO, "was exchanged");
    FAILS(gs_outdir_commit(&o, &test_err), GS_ERR_IO, "was exchanged");
    assert_int_equal(mode_of(new), 0700);
    gs_outdir_abort(&o);
    assert_true(has(new, "thesis"));
    assert_false(has(dir, "out"));
    gs_free(base);
    gs_free(away);
    gs_free(new);
}

/* Where flock does not work there is a second kind of lock, and a lock file that a dead process has left is not in the way, even if
 * this process has its number. */
static void test_without_flock(void **state)
{
    (void)state;
    gs_outdir o, second;
    char text[32], *base = gs_path_join(dir, ".out.glmslim-work");
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    assert_int_equal(mkdir(base, 0700), 0);
    put(base, "lock", text, 0600);
    without_flock = true;
    begin(&o, false);
    FAILS(gs_outdir_begin(&second, out, model, false, &test_err), GS_ERR_IO, "another run (process");
    gs_outdir_abort(&o);
    without_flock = false;
    assert_int_equal(entries(dir), 1);
    gs_free(base);
}

/* With no lock at all the file's content decides. */
static void test_alive(void **state)
{
    (void)state;
    char text[64], *path = gs_path_join(dir, "lock");
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_false(gs_work_lock_is_alive(fd)); /* empty */
    OK(gs_work_lock_sign(fd, dir, &test_err));
    assert_true(gs_work_lock_is_alive(fd)); /* this run */
    const struct {
        long pid;
        const char *rest;
        bool alive;
    } row[] = {{getpid(), "2020-02-02 00:00:00 UTC\n1\n", false}, /* another process had this number */
               {getpid(), "2020-02-02 00:00:00 UTC\n", false},
               {getppid(), "2020-02-02 00:00:00 UTC\n1\n", false},
               {getppid(), "2020-02-02 00:00:00 UTC\n", true}, /* nothing tells that it is another one */
               {-1, "\n", false},
               {0, "", false}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        snprintf(text, sizeof text, "%ld\n%s", row[i].pid, row[i].rest);
        assert_int_equal(ftruncate(fd, 0), 0);
        OK(gs_pwrite_all(fd, 0, text, strlen(text), path, &test_err));
        assert_int_equal(gs_work_lock_is_alive(fd), row[i].alive);
    }
    close(fd);
    gs_free(path);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_two_runs),
        CASE(test_dead_run),
        CASE(test_work_folder_in_the_way),
        CASE(test_not_a_work_folder),
        CASE(test_exchanged),
        CASE(test_without_flock),
        CASE(test_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
