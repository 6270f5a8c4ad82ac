/* The output directory: which places are refused, complete or not at all, what dead runs leave behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "outdir_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "io/tree.h"

static void test_new(void **state)
{
    (void)state;
    gs_outdir o;
    OK(gs_outdir_check(out, model, false, &test_err));
    assert_int_equal(entries(dir), 1); /* checking makes nothing */
    begin(&o, false);
    assert_true(has(dir, ".out.glmslim-work"));
    assert_false(has(dir, "out"));
    put(o.work_path, "config.json", "{}", 0600);
    put(o.work_path, "w.safetensors", "x", 0400);
    OK(gs_outdir_commit(&o, &test_err));
    assert_string_equal(o.final_path, out);
    gs_outdir_abort(&o);
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), 2); /* model and out, no work folder */
    assert_int_equal(entries(out), 2);
    assert_int_equal(mode_of(out), 0750);
    char *path = gs_path_join(out, "w.safetensors");
    assert_int_equal(mode_of(path), 0400);
    gs_free(path);
    gs_outdir zero = {0};
    gs_outdir_abort(&zero);
}

static void test_abort(void **state)
{
    (void)state;
    gs_outdir o;
    begin(&o, false);
    put(o.work_path, "w.safetensors", "x", 0400);
    char *sub = gs_path_join(o.work_path, "sub");
    assert_int_equal(mkdir(sub, 0700), 0);
    put(sub, "file", "x", 0400);
    assert_int_equal(chmod(sub, 0500), 0);
    gs_free(sub);
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), 1);
}

static void test_parents(void **state)
{
    (void)state;
    gs_outdir o;
    char *deep = gs_path_join(dir, "a//b/./c");
    OK(gs_outdir_check(deep, model, false, &test_err));
    assert_int_equal(entries(dir), 1);
    OK(gs_outdir_begin(&o, deep, model, false, &test_err));
    char *parent = gs_path_join(dir, "a");
    assert_int_equal(mode_of(parent) & 0027, 0); /* 0750 at most */
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), 1); /* the parents that were made are gone again */
    OK(gs_outdir_begin(&o, deep, model, false, &test_err));
    put(parent, "other", "x", 0600);
    gs_outdir_abort(&o);
    assert_true(has(parent, "other")); /* unless somebody uses them */
    OK(gs_outdir_begin(&o, deep, model, false, &test_err));
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    char *made = gs_path_join(dir, "a/b/c");
    assert_int_equal(mode_of(made), 0750);
    gs_free(made);
    gs_free(parent);
    gs_free(deep);
}

static void test_empty_directory(void **state)
{
    (void)state;
    gs_outdir o;
    assert_int_equal(mkdir(out, 0755), 0);
    begin(&o, false);
    assert_false(o.replaces);
    put(o.work_path, "a", "x", 0600);
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    assert_true(has(out, "a"));
    assert_int_equal(entries(dir), 2);
}

/* An older output with read-only files and a read-only folder is replaced and removed. */
static void overwrite(bool two_steps)
{
    gs_outdir o;
    char *sub = gs_path_join(out, "sub");
    assert_int_equal(mkdir(out, 0755), 0);
    assert_int_equal(mkdir(sub, 0755), 0);
    put(out, "old.safetensors", "x", 0400);
    put(sub, "old.safetensors", "x", 0400);
    char *link = gs_path_join(out, "link");
    assert_int_equal(symlink("/etc", link), 0);
    gs_free(link);
    assert_int_equal(chmod(sub, 0500), 0);
    FAILS(gs_outdir_check(out, model, false, &test_err), GS_ERR_USAGE,
          "use --overwrite True or choose another directory");
    FAILS(gs_outdir_begin(&o, out, model, false, &test_err), GS_ERR_USAGE, "not empty");
    begin(&o, true);
    o.two_steps = two_steps;
    assert_true(o.replaces);
    put(o.work_path, "new.json", "{}", 0600);
    assert_true(has(out, "old.safetensors")); /* untouched until the end */
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    assert_int_equal(entries(out), 1);
    assert_true(has(out, "new.json"));
    assert_int_equal(mode_of(out), 0750);
    assert_int_equal(entries(dir), 2);
    assert_true(gs_path_is_dir("/etc"));
    gs_free(sub);
}

static void test_overwrite(void **state)
{
    (void)state;
    overwrite(false);
}

static void test_overwrite_two_steps(void **state)
{
    (void)state;
    overwrite(true);
}

static void test_overwrite_aborted(void **state)
{
    (void)state;
    gs_outdir o;
    assert_int_equal(mkdir(out, 0755), 0);
    put(out, "old", "x", 0400);
    begin(&o, true);
    put(o.work_path, "new", "x", 0600);
    gs_outdir_abort(&o);
    assert_true(has(out, "old") && entries(out) == 1);
    assert_int_equal(entries(dir), 2);
}

/* What another program puts there during the run is not lost. */
static void test_filled_meanwhile(void **state)
{
    (void)state;
    gs_outdir o;
    begin(&o, false);
    assert_int_equal(mkdir(out, 0755), 0);
    put(out, "precious", "x", 0600);
    FAILS(gs_outdir_commit(&o, &test_err), GS_ERR_IO, "filled by another program");
    gs_outdir_abort(&o);
    assert_true(has(out, "precious"));
    assert_int_equal(entries(dir), 2);
}

static void refuses(const char *path, bool overwrite_it, gs_status status, const char *part)
{
    gs_outdir o;
    const int before = entries(dir);
    FAILS(gs_outdir_check(path, model, overwrite_it, &test_err), status, part);
    FAILS(gs_outdir_begin(&o, path, model, overwrite_it, &test_err), status, part);
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), before);
}

static void test_model_directory(void **state)
{
    (void)state;
    char *inside = gs_path_join(model, "x/y"), *link = gs_path_join(dir, "link"), *through = gs_path_join(link, "z");
    char *dots = gs_path_join(model, "../model");
    put(model, "config.json", "{}", 0600);
    assert_int_equal(symlink(model, link), 0);
    for (int overwrite_it = 0; overwrite_it < 2; overwrite_it++) {
        refuses(model, overwrite_it, GS_ERR_USAGE, "is the model directory");
        refuses(dots, overwrite_it, GS_ERR_USAGE, "is the model directory");
        refuses(link, overwrite_it, GS_ERR_USAGE, "is the model directory");
        refuses(through, overwrite_it, GS_ERR_USAGE, "is the model directory");
        refuses(inside, overwrite_it, GS_ERR_USAGE, "or inside it");
        refuses(dir, overwrite_it, GS_ERR_USAGE, "contains the model directory");
    }
    char *sibling = gs_path_join(dir, "model-w8a8"); /* a name that begins alike is another place */
    OK(gs_outdir_check(sibling, model, false, &test_err));
    FAILS(gs_outdir_check(sibling, inside, false, &test_err), GS_ERR_IO, "model directory");
    gs_free(sibling);
    gs_free(inside);
    gs_free(link);
    gs_free(through);
    gs_free(dots);
}

static void test_refused_places(void **state)
{
    (void)state;
    char *path = gs_path_join(dir, "file"), *below = gs_path_join(dir, "file/x"),
         *dangling = gs_path_join(dir, "dangling");
    put(dir, "file", "x", 0600);
    assert_int_equal(symlink("nothing", dangling), 0);
    refuses(path, true, GS_ERR_USAGE, "is not a directory");
    refuses(below, true, GS_ERR_USAGE, "is not a directory");
    refuses(dangling, true, GS_ERR_USAGE, "link to something that does not exist");
    refuses("", true, GS_ERR_USAGE, "empty text");
    FAILS(gs_outdir_check("/", NULL, true, &test_err), GS_ERR_USAGE, "root directory");
    gs_free(below);
    below = gs_path_join(dir, "no/../x");
    refuses(below, true, GS_ERR_USAGE, "without '..'");
    char *home = getenv("HOME") != NULL ? gs_strdup(getenv("HOME")) : NULL;
    assert_int_equal(mkdir(out, 0700), 0);
    put(out, "letter", "x", 0600);
    assert_int_equal(setenv("HOME", out, 1), 0);
    refuses(out, true, GS_ERR_USAGE, "home directory");
    if (home != NULL)
        assert_int_equal(setenv("HOME", home, 1), 0);
    else
        assert_int_equal(unsetenv("HOME"), 0);
    char cwd[4096];
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(out), 0);
    refuses(".", true, GS_ERR_USAGE, "current directory");
    refuses(out, true, GS_ERR_USAGE, "current directory");
    OK(gs_outdir_check("sub dir/\xe4\xbd\xa0", model, false, &test_err)); /* relative, blanks, any characters */
    assert_int_equal(chdir(cwd), 0);
    char name[300];
    memset(name, 'n', sizeof name);
    name[250] = '\0';
    gs_free(path);
    path = gs_path_join(dir, name);
    refuses(path, true, GS_ERR_USAGE, "too long");
    gs_free(home);
    gs_free(path);
    gs_free(below);
    gs_free(dangling);
}

static void test_mount_point(void **state)
{
    (void)state;
    assert_int_equal(mkdir(out, 0755), 0);
    if (geteuid() != 0 || mount(out, out, NULL, MS_BIND, NULL) != 0) {
        print_message("skipped: a bind mount needs root\n");
        skip();
    }
    gs_error err = {0};
    const gs_status status = gs_outdir_check(out, model, false, &err);
    assert_int_equal(umount(out), 0);
    assert_int_equal(status, GS_ERR_USAGE);
    assert_non_null(strstr(err.text, "mount point"));
}

/* In a child process, because root may write everywhere: it gives up its rights first. */
static void test_no_permission(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        assert_int_equal(chmod(dir, 0500), 0);
        FAILS(gs_outdir_check(out, model, false, &test_err), GS_ERR_IO, "cannot write to");
        assert_int_equal(chmod(dir, 0700), 0);
        return;
    }
    assert_int_equal(chmod(dir, 0755), 0);
    const pid_t child = fork();
    if (child == 0) {
        gs_error err = {0};
        gs_outdir o;
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(3);
        if (gs_outdir_check(out, model, false, &err) != GS_ERR_IO || strstr(err.text, "cannot write to") == NULL)
            _exit(1);
        if (gs_outdir_begin(&o, out, model, false, &err) != GS_ERR_IO) _exit(2);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The folder as it is when a run dies between the two renames: the old output set aside, the new one not in place. */
static void make_death(void)
{
    char *base = gs_path_join(dir, ".out.glmslim-work"), *old = gs_path_join(base, "old"),
         *new = gs_path_join(base, "new");
    assert_int_equal(mkdir(base, 0700), 0);
    put(base, "lock", "", 0600);
    assert_int_equal(mkdir(old, 0750), 0);
    put(old, "kept", "x", 0400);
    assert_int_equal(mkdir(new, 0750), 0);
    put(new, "half", "x", 0400);
    gs_free(base);
    gs_free(old);
    gs_free(new);
}

/* The old output is put back, and is then judged like any other; what was to replace it waits for --overwrite. */
static void test_dead_between_renames(void **state)
{
    (void)state;
    gs_outdir o;
    make_death();
    FAILS(gs_outdir_begin(&o, out, model, false, &test_err), GS_ERR_USAGE, "not empty");
    assert_true(has(out, "kept") && entries(out) == 1);
    assert_true(has(dir, ".out.glmslim-work") && has(dir, ".out.glmslim-work/lock"));
    assert_int_equal(entries(dir), 3);
    OK(gs_outdir_enter(&o, out, model, true, &test_err));
    assert_true(o.found);
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), 2);
}

/* Killed behind the last rename: the folder is cleared away by whoever comes next, refused or not. */
static void finished_but_for_clearing(bool replaces)
{
    gs_outdir o;
    if (replaces) assert_int_equal(mkdir(out, 0755), 0);
    if (replaces) put(out, "old", "x", 0600);
    const pid_t child = fork();
    if (child == 0) {
        if (gs_outdir_begin(&o, out, model, true, NULL) != GS_OK) _exit(1);
        put(o.work_path, "complete", "x", 0400);
        put(o.base_path, "journal", "x", 0400);
        if (!replaces && rename(o.work_path, out) != 0) _exit(1);
        if (replaces && renameat2(AT_FDCWD, o.work_path, AT_FDCWD, out, RENAME_EXCHANGE) != 0) _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(entries(dir), 3);
    OK(gs_outdir_enter(&o, out, model, true, &test_err));
    assert_false(o.found); /* not to be taken for something unfinished */
    gs_outdir_leave(&o);
    FAILS(gs_outdir_check(out, model, false, &test_err), GS_ERR_USAGE, "not empty");
    assert_int_equal(entries(dir), 2);
    assert_true(has(out, "complete") && entries(out) == 1);
}

static void test_finished(void **state)
{
    (void)state;
    finished_but_for_clearing(false);
}

static void test_finished_replacing(void **state)
{
    (void)state;
    finished_but_for_clearing(true);
}

/* Killed while it cleared its folder away: what is left without "new" goes, what has "new" or has no lock stays. */
static void test_dead_while_clearing(void **state)
{
    (void)state;
    static const char *const left[][3] = {{NULL},
                                          {"lock"},
                                          {"lock", "stream.0"},
                                          {"lock", "stream.0", "journal"},
                                          {"lock", "new"},
                                          {"stream.0", "journal"}};
    char *base = gs_path_join(dir, ".out.glmslim-work");
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        const bool stays = i >= 4;
        assert_int_equal(mkdir(out, 0750), 0);
        put(out, "complete", "x", 0400);
        assert_int_equal(mkdir(base, 0700), 0);
        for (int j = 0; j < 3 && left[i][j]; j++) {
            char *path = gs_path_join(base, left[i][j]);
            if (strcmp(left[i][j], "new") == 0)
                assert_int_equal(mkdir(path, 0700), 0);
            else
                put(base, left[i][j], "x", 0600);
            gs_free(path);
        }
        FAILS(gs_outdir_check(out, model, false, &test_err), GS_ERR_USAGE, "not empty");
        assert_int_equal(gs_path_exists(base), stays);
        assert_true(has(out, "complete") && entries(out) == 1);
        OK(gs_tree_empty(out, NULL, &test_err));
        assert_int_equal(rmdir(out), 0);
        if (stays) OK(gs_tree_empty(base, NULL, &test_err));
        if (stays) assert_int_equal(rmdir(base), 0);
    }
    gs_free(base);
}

/* An unfinished run's folder stays as it is, until it is taken up or cleared. */
static void test_left(void **state)
{
    (void)state;
    gs_outdir o;
    begin(&o, false);
    put(o.work_path, "a.safetensors", "x", 0600);
    put(o.work_path, "config.json.Xy12Za", "x", 0600);
    put(o.base_path, "journal", "x", 0600);
    OK(gs_outdir_sync_names(&o, &test_err));
    gs_outdir_leave(&o);
    OK(gs_outdir_enter(&o, out, model, false, &test_err));
    assert_true(o.found);
    assert_true(has(o.base_path, "journal"));
    char name[] = "a.safetensors";
    const gs_out_file file = {.name = name};
    OK(gs_outdir_keep_files(&o, &file, 1, &test_err));
    assert_true(has(o.work_path, "a.safetensors") && entries(o.work_path) == 1);
    OK(gs_outdir_clear(&o, &test_err));
    assert_int_equal(entries(o.work_path), 0);
    assert_false(has(o.base_path, "journal"));
    gs_outdir_abort(&o);
    assert_int_equal(entries(dir), 1);
}

static void test_dead_between_renames_overwrite(void **state)
{
    (void)state;
    gs_outdir o;
    make_death();
    begin(&o, true);
    assert_true(o.replaces && has(out, "kept"));
    assert_false(has(o.work_path, "half"));
    put(o.work_path, "complete", "x", 0400);
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    assert_true(has(out, "complete") && entries(out) == 1);
    assert_int_equal(entries(dir), 2);
}

static void test_link_to_directory(void **state)
{
    (void)state;
    gs_outdir o;
    char *link = gs_path_join(dir, "link");
    assert_int_equal(mkdir(out, 0755), 0);
    assert_int_equal(symlink("out", link), 0);
    OK(gs_outdir_begin(&o, link, model, false, &test_err));
    put(o.work_path, "a", "x", 0600);
    OK(gs_outdir_commit(&o, &test_err));
    gs_outdir_abort(&o);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode)); /* the link is still one, its target is the output */
    assert_true(has(out, "a"));
    gs_free(link);
}

static void test_free_bytes(void **state)
{
    (void)state;
    struct statvfs fs;
    char *deep = gs_path_join(dir, "not/yet/there");
    assert_int_equal(statvfs(dir, &fs), 0);
    const uint64_t bytes = gs_outdir_free_bytes(deep), about = (uint64_t)fs.f_bfree * fs.f_frsize;
    assert_true(bytes > 0 && bytes < about + ((uint64_t)8 << 30));
    assert_int_equal(gs_outdir_free_bytes(""), 0);
    gs_free(deep);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_new),
        CASE(test_abort),
        CASE(test_parents),
        CASE(test_empty_directory),
        CASE(test_overwrite),
        CASE(test_overwrite_two_steps),
        CASE(test_overwrite_aborted),
        CASE(test_filled_meanwhile),
        CASE(test_model_directory),
        CASE(test_refused_places),
        CASE(test_mount_point),
        CASE(test_no_permission),
        CASE(test_dead_between_renames),
        CASE(test_finished),
        CASE(test_finished_replacing),
        CASE(test_dead_while_clearing),
        CASE(test_left),
        CASE(test_dead_between_renames_overwrite),
        CASE(test_link_to_directory),
        CASE(test_free_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
