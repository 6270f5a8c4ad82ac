/* Fails one system call after the other in small runs: faults PROGRAM SHIM PLACE MODEL TEXTS EVERY EVERY_ALLOCATION [OPTION...]. PLACE is
 * an empty directory to work in. Every run must end by itself, with a message and an exit code of the program, and without a
 * result, or with the very bytes of a run that nothing disturbed; and a plain run afterwards must make those, whatever the failed one
 * left. EVERY: only each EVERY-th call is failed; of allocations each EVERY_ALLOCATION-th. Prints a table and `N passed, N failed`.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"

enum { MAX_ARGS = 64, SECONDS = 300, MAX_FILE = 1 << 28, MESSAGE = 4096, PLAIN_EVERY = 64 };

/* A row of the table: what is failed. class NULL = a mode for the whole run. */
typedef struct fault {
    const char *name, *class;
    int code;
    bool onwards, allocation;
    const char *mode;
    bool must_succeed;
} fault;

static const fault faults[] = {
    {"read: EIO", "read", EIO, false, false, NULL, false},
    {"write: EIO", "write", EIO, false, false, NULL, false},
    {"write: ENOSPC from then on", "write", ENOSPC, true, false, NULL, false},
    {"fsync: EIO", "sync", EIO, false, false, NULL, false},
    {"fsync: ENOSPC from then on", "sync", ENOSPC, true, false, NULL, false},
    {"rename: EACCES", "rename", EACCES, false, false, NULL, false},
    {"open: EACCES", "open", EACCES, false, false, NULL, false},
    {"open: EMFILE from then on", "open", EMFILE, true, false, NULL, false},
    {"stat: EIO", "stat", EIO, false, false, NULL, false},
    {"list a directory: EIO", "list", EIO, false, false, NULL, false},
    {"mkdir, chmod, unlink: EROFS", "place", EROFS, false, false, NULL, false},
    {"fallocate, ftruncate: ENOSPC", "size", ENOSPC, false, false, NULL, false},
    {"flock, close: EIO", "lock", EIO, false, false, NULL, false},
    {"allocation: ENOMEM", "alloc", ENOMEM, false, true, NULL, false},
    {"allocation: ENOMEM from then on", "alloc", ENOMEM, true, true, NULL, false},
    {"mmap: ENOMEM", "map", ENOMEM, false, false, NULL, false},
    {"thread: EAGAIN", "thread", EAGAIN, false, false, NULL, false},
    {"file cut while it is read", "cut", 0, false, false, NULL, false},
    {"short reads", NULL, 0, false, false, "short-reads", true},
    {"short writes", NULL, 0, false, false, "short-writes", true},
    {"short reads and writes, EINTR", NULL, 0, false, false, "short-reads short-writes interrupted", true},
    {"EINTR", NULL, 0, false, false, "interrupted", true},
    {"O_DIRECT refused at open", NULL, 0, false, false, "no-direct", true},
    {"O_DIRECT refused at reading", NULL, 0, false, false, "direct-refuses", true},
    {"no fallocate, no exchange", NULL, 0, false, false, "no-room no-exchange", true},
    {"the clock jumps", NULL, 0, false, false, "clock", true},
};

static const char *program, *shim, *place, *source;
static char **options;
static int passed, failed;

_Noreturn static void stop(const char *what, const char *detail)
{
    fprintf(stderr, "faults: %s: %s (%s)\n", what, detail, strerror(errno));
    exit(99);
}

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (gs_path_exists(path) && nftw(path, remove_entry, 16, FTW_PHYS | FTW_DEPTH) != 0) stop("remove", path);
}

static void read_file(const char *dir, const char *name, char **data, size_t *n)
{
    gs_error err;
    char *path = gs_path_join(dir, name);
    if (gs_file_read_all(path, MAX_FILE, data, n, &err) != GS_OK) stop("read", err.text);
    gs_free(path);
}

static int entries(const char *path, const char *dir, bool (*each)(const char *, const char *))
{
    int n = 0;
    DIR *d = opendir(path);
    if (d == NULL) return -1;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (each != NULL && !each(dir, e->d_name)) {
            n = -1;
            break;
        }
        n++;
    }
    closedir(d);
    return n;
}

static bool same_file(const char *dir, const char *name)
{
    char *path = gs_path_join(dir, name), *a, *b;
    const bool there = gs_path_exists(path);
    gs_free(path);
    if (!there) return false;
    size_t n, m;
    read_file("reference", name, &a, &n);
    read_file(dir, name, &b, &m);
    const bool same = n == m && memcmp(a, b, n) == 0;
    gs_free(a);
    gs_free(b);
    return same;
}

/* The result has the reference's files, byte for byte, and no others. */
static bool is_whole(const char *dir)
{
    return entries("reference", dir, same_file) > 0 && entries("reference", NULL, NULL) == entries(dir, NULL, NULL);
}

static bool copy_file(const char *dir, const char *name)
{
    char *data, *to = gs_path_join(dir, name);
    gs_error err;
    size_t n;
    read_file(source, name, &data, &n);
    (void)unlink(to);
    if (gs_file_write_all(to, data, n, 0644, &err) != GS_OK) stop("copy", err.text);
    gs_free(data);
    gs_free(to);
    return true;
}

static void fresh_model(void)
{
    remove_tree("model");
    if (mkdir("model", 0755) != 0 || entries(source, "model", copy_file) < 1) stop("copy", source);
}

/* ---- a run ---- */

static char said[MESSAGE];

static void run_child(const char *out, const char *how, const char *mode)
{
    const char *args[MAX_ARGS + 16] = {program, "quant", "--quiet", "--model_path", "model", "--save_directory", out};
    int n = 7;
    for (int i = 0; options[i] != NULL && i < MAX_ARGS; i++) args[n++] = options[i];
    const int log = open("log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) stop("redirect", "log");
    if (how != NULL) setenv("GS_FAULT", how, 1);
    if (mode != NULL) setenv("GS_FAULT_MODE", mode, 1);
    if (shim != NULL) {
        const char *before = getenv("GS_PRELOAD_FIRST"); /* a sanitizer's library insists on being the first */
        char both[4096];
        snprintf(both, sizeof both, "%s%s%s", before != NULL ? before : "", before != NULL ? ":" : "", shim);
        setenv("LD_PRELOAD", both, 1);
    }
    alarm(SECONDS);
    execv(program, (char *const *)args);
    stop("run", program);
}

/* Exit code, or minus the signal. */
static int run(const char *out, const char *how, const char *mode, bool disturbed)
{
    const char *const kept = shim;
    int status;
    if (!disturbed) shim = NULL;
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) stop("fork", program);
    if (child == 0) run_child(out, how, mode);
    shim = kept;
    if (waitpid(child, &status, 0) != child) stop("wait", program);
    gs_error err;
    char *text;
    size_t n;
    if (gs_file_read_all("log", MAX_FILE, &text, &n, &err) != GS_OK) stop("log", err.text);
    snprintf(said, sizeof said, "%s", text);
    gs_free(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool left_something(void)
{
    DIR *d = opendir(".");
    bool left = false;
    if (d == NULL) stop("list", place);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        left |= strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "model") != 0 &&
                strcmp(e->d_name, "reference") != 0 && strcmp(e->d_name, "log") != 0;
    closedir(d);
    return left;
}

/* NULL = as it must be. */
static const char *judge(const fault *f, int code)
{
    if (code < 0) return "ended by a signal";
    if (code == 0 && !is_whole("out")) return "says it is done, but the result is not the same";
    if (code == 0) return NULL;
    if (f->must_succeed) return "failed where it should go on";
    if (code < 2 || code > 8) return "not an exit code of the program";
    /* Behind the rename: the result is there. The last fsync says so; memory may also end in printing the report. */
    const bool late = strstr(said, "whole and in its place") != NULL || code == GS_ERR_MEMORY;
    if (gs_path_exists("out") && !(late && is_whole("out"))) return "failed, but there is a result";
    if (strstr(said, "error: ") == NULL) return "failed without a message";
    return NULL;
}

static void complain(const fault *f, long n, int code, const char *what)
{
    printf("FAIL %s, call %ld: exit %d: %s: %s\n", f->name, n, code, what, said);
}

static bool one(const fault *f, long n)
{
    char how[64];
    if (f->class != NULL && strcmp(f->class, "cut") == 0)
        snprintf(how, sizeof how, "cut %ld", n);
    else
        snprintf(how, sizeof how, "%s %ld%c %d", f->class != NULL ? f->class : "", n, f->onwards ? '+' : ' ', f->code);
    const bool cut = f->class != NULL && strcmp(f->class, "cut") == 0;
    int code = run("out", f->class != NULL ? how : NULL, f->mode, true);
    const char *wrong = judge(f, code);
    if (wrong != NULL) complain(f, n, code, wrong);
    if (cut) fresh_model();
    /* Where nothing was left, a plain run cannot differ from the first one; now and then it is made all the same. */
    if (code != 0 && wrong == NULL && (left_something() || n % PLAIN_EVERY == 1)) {
        remove_tree("out");
        code = run("out", NULL, NULL, false);
        if (code != 0 || !is_whole("out")) complain(f, n, code, wrong = "the plain run afterwards is not right");
    }
    remove_tree("out");
    if (code == 0 && wrong == NULL &&
        left_something()) { /* the result is in its place, the folder beside it is not gone */
        code = run("out", NULL, NULL, false);
        if (code != 0 || !is_whole("out")) complain(f, n, code, wrong = "the plain run afterwards is not right");
        remove_tree("out");
    }
    if (wrong == NULL && left_something()) complain(f, n, code, wrong = "something is left behind");
    if (left_something()) remove_tree(".out.glmslim-work");
    return wrong == NULL;
}

static long count_calls(const char *class)
{
    char *text, line[32];
    size_t n;
    long calls = 0;
    read_file(".", "reference-counts", &text, &n);
    snprintf(line, sizeof line, "%s ", strcmp(class, "cut") == 0 ? "read" : class);
    const char *at = strstr(text, line);
    if (at == NULL || sscanf(at + strlen(line), "%ld", &calls) != 1) stop("count", class);
    gs_free(text);
    return calls;
}

static void row(const fault *f, long calls, long every)
{
    int good = 0, bad = 0;
    const long first = every > calls ? (calls + 1) / 2 : 1; /* one call: in the middle of the run */
    for (long n = first; n > 0 && n <= calls; n += every) *(one(f, n) ? &good : &bad) += 1;
    printf("%-34s %7ld %7d %7d %7d\n", f->name, f->class != NULL ? calls : 0L, good + bad, good, bad);
    fflush(stdout);
    passed += good;
    failed += bad;
}

int main(int argc, char **argv)
{
    if (argc < 7) stop("usage", "PROGRAM SHIM PLACE MODEL EVERY EVERY_ALLOCATION [OPTION...]");
    program = argv[1], shim = argv[2], place = argv[3], source = argv[4];
    const long every = atol(argv[5]), every_allocation = atol(argv[6]);
    const char *only = getenv("FAULTS_ONLY");
    options = argv + 7;
    if (chdir(place) != 0) stop("enter", place);
    fresh_model();
    if (run("reference", NULL, NULL, false) != 0) stop("the undisturbed run", said);
    char *counts = gs_path_join(place, "reference-counts");
    setenv("GS_FAULT_COUNTS", counts, 1);
    if (run("out", NULL, NULL, true) != 0 || !is_whole("out")) stop("the counting run", said);
    unsetenv("GS_FAULT_COUNTS");
    remove_tree("out");
    printf("%-34s %7s %7s %7s %7s\n", "fault", "calls", "runs", "passed", "failed");
    long calls[sizeof faults / sizeof faults[0]];
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        calls[i] = faults[i].class != NULL ? count_calls(faults[i].class) : 1;
    if (unlink(counts) != 0) stop("remove", counts);
    gs_free(counts);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (only != NULL && strstr(faults[i].name, only) == NULL) continue;
        row(&faults[i], calls[i], faults[i].allocation ? every_allocation : every);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
