/* Runs the table of bad inputs: bad_inputs PROGRAM TABLE PRISTINE WORKERS [NAME-PART]. Each line is one case:
 *   name | damage ; damage ... | command | exit code | text & text ...
 * PRISTINE holds what a case starts from; it gets a directory of its own with links to those files, damages some of them
 * (bad_damage.c), runs the program there, and looks at exit code, message and what is left behind. The command word @quant stands
 * for a complete quantizing command. A line starting with # is a comment; `define NAME TEXT` makes {NAME} stand for TEXT below it.
 * What is decoded is kept until the end. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_inputs.h"

enum { MAX_NAMES = 32, MAX_ARGS = 64, MAX_SHOWN = 16384, SECONDS = 120 };

static const char *const quant_words[] = {
    "quant",        "--quiet",    "--threads",        "1",  "--model_path", "model",
    "--calib_file", "texts.json", "--save_directory", "out"};

_Noreturn void bad_stop(const char *what, const char *detail)
{
    fprintf(stderr, "bad_inputs: %s: %s (%s)\n", what, detail, strerror(errno));
    exit(99);
}

static gs_arena *kept;

char *bad_keep(gs_str *s)
{
    char *copy = gs_arena_alloc(kept, s->len + 1);
    memcpy(copy, s->data, s->len);
    gs_str_release(s);
    return copy;
}

static int complaints;

static void complain(const bad_case *c, const char *what, const char *detail, const char *shown)
{
    printf("FAIL %s: %s '%s'; the program said: %s\n", c->name, what, detail, shown);
    complaints++;
}

static char *trim(char *s)
{
    while (*s == ' ') s++;
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\n')) s[--n] = '\0';
    return s;
}

/* The text up to `mark`, which is cut off; *rest = what follows or NULL. */
static char *split(char *s, const char *mark, char **rest)
{
    char *at = strstr(s, mark);
    *rest = NULL;
    if (at != NULL) {
        *at = '\0';
        *rest = at + strlen(mark) - (mark[1] != 0); /* the blank behind a bar may be the one before the next */
    }
    return trim(s);
}

/* `define NAME TEXT` makes {NAME} stand for TEXT in the lines below. */
static struct {
    char *name, *text;
} known[MAX_NAMES];
static int n_known;

static void define(const char *words)
{
    if (n_known == MAX_NAMES) bad_stop("too many definitions", words);
    char *rest, *name = split(gs_arena_strdup(kept, words), " ", &rest);
    if (rest == NULL) bad_stop("define NAME TEXT", words);
    gs_str braced;
    gs_str_init(&braced);
    gs_str_printf(&braced, "{%s}", name);
    known[n_known].name = bad_keep(&braced);
    known[n_known++].text = trim(rest);
}

/* The line with every {NAME} replaced, kept. */
static char *expand(const char *line)
{
    gs_str out;
    gs_str_init(&out);
    while (*line != '\0') {
        int i = 0;
        while (i < n_known && strncmp(line, known[i].name, strlen(known[i].name)) != 0) i++;
        if (i < n_known) gs_str_adds(&out, known[i].text);
        if (i == n_known) gs_str_addc(&out, *line);
        line += i < n_known ? strlen(known[i].name) : 1;
    }
    return bad_keep(&out);
}

static bool parse_case(char *line, bad_case *c)
{
    static const char word[] = "define ";
    char *fields[5], *rest = line;
    if (line[0] == '#' || trim(line)[0] == '\0') return false;
    if (strncmp(line, word, sizeof word - 1) == 0) {
        define(line + sizeof word - 1);
        return false;
    }
    char *whole = gs_strdup(line);
    for (int i = 0; i < 5; i++) {
        if (rest == NULL) bad_stop("a line needs five fields", whole);
        fields[i] = split(rest, i < 4 ? " | " : "\n", &rest);
    }
    *c = (bad_case){fields[0], fields[1], fields[2], atoi(fields[3]), fields[4]};
    gs_free(whole);
    return true;
}

/* What lies where the program ran, as one sorted text: nothing may be added or removed by a refused run. */
static gs_str *listing;
static int note(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)kind, (void)at;
    gs_str_printf(listing, "%s %o %lld\n", path, (unsigned)st->st_mode,
                  (long long)(S_ISREG(st->st_mode) ? st->st_size : 0));
    return 0;
}

static void list(gs_str *to)
{
    listing = to;
    gs_str_clear(to);
    if (nftw(".", note, 16, FTW_PHYS) != 0) bad_stop("list", ".");
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static const char *pristine;
static int link_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)kind;
    if (at->level == 0) return 0;
    const char *name = path + strlen(pristine) + 1;
    if (S_ISDIR(st->st_mode) ? mkdir(name, 0755) != 0 : link(path, name) != 0) bad_stop("copy", path);
    return 0;
}

static void run_child(const char *program, const bad_case *c, int out)
{
    const char *args[MAX_ARGS + 1] = {program};
    int n = 1;
    for (char *rest = gs_strdup(c->command), *word; rest != NULL;) {
        word = split(rest, " ", &rest);
        const bool whole = strcmp(word, "@quant") == 0;
        for (size_t i = 0; whole && i < sizeof quant_words / sizeof *quant_words; i++) args[n++] = quant_words[i];
        if (!whole && word[0] != '\0') args[n++] = bad_decode(word, NULL);
        if (n > MAX_ARGS - 16) bad_stop("too many words", c->command);
    }
    const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) bad_stop("redirect", c->name);
    /* However a file lies about sizes, it may not cost much memory. A sanitizer reserves terabytes for itself. */
    const struct rlimit room = {(rlim_t)3 << 30, (rlim_t)3 << 30};
    if (getenv("GS_SANITIZED") == NULL && setrlimit(RLIMIT_AS, &room) != 0) bad_stop("limit", c->name);
    const char *patience = getenv("GS_PATIENCE"); /* more of it under an emulator */
    alarm(SECONDS * (unsigned)(patience ? atoi(patience) : 1));
    execv(program, (char *const *)args);
    bad_stop("run", program);
}

/* Exit code of the program, or minus the signal; what it said in `said`. */
static int run(const char *program, const bad_case *c, char *said, size_t room)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0) bad_stop("pipe", c->name);
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) bad_stop("fork", c->name);
    if (child == 0) run_child(program, c, ends[1]);
    close(ends[1]);
    size_t n = 0;
    for (;;) {
        char spill[4096];
        const bool full = n == room - 1;
        const ssize_t got = read(ends[0], full ? spill : said + n, full ? sizeof spill : room - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (!full) n += (size_t)got;
    }
    said[n] = '\0';
    close(ends[0]);
    if (waitpid(child, &status, 0) != child) bad_stop("wait", c->name);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void check_message(const bad_case *c, char *said)
{
    for (const char *at = said; *at != '\0'; at++)
        if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f) {
            complain(c, "a message holds", "a control character", said);
            break;
        }
    if (gs_utf8_valid(said, strlen(said)) != strlen(said)) complain(c, "a message holds", "bad UTF-8", said);
    for (char *at = said; *at != '\0'; at++)
        if (*at == '\n') *at = ' ';
    if (strncmp(c->command, "verify", 6) != 0 && strstr(said, "error: ") == NULL)
        complain(c, "nothing says", "error: ", said);
    if (strstr(said, "(null)") != NULL) complain(c, "a message holds", "(null)", said);
    for (char *rest = c->texts; rest != NULL;) {
        const char *word = bad_decode(split(rest, " & ", &rest), NULL);
        if (strstr(said, word) == NULL) complain(c, "nothing says", word, said);
    }
}

static void run_case(const char *program, bad_case *c, const char *place)
{
    static char said[MAX_SHOWN];
    gs_str before, after;
    gs_str_init(&before);
    gs_str_init(&after);
    if (mkdir(place, 0755) != 0 || chdir(place) != 0) bad_stop("make", place);
    if (nftw(pristine, link_entry, 16, FTW_PHYS) != 0) bad_stop("copy", pristine);
    bad_damage(c->damage);
    list(&before);
    const int got = run(program, c, said, sizeof said);
    list(&after);
    char text[32];
    snprintf(text, sizeof text, "%d", got);
    if (got != c->code) complain(c, "exit code", text, said);
    check_message(c, said);
    if (strcmp(before.data, after.data) != 0) complain(c, "left behind:", after.data, said);
    if (getenv("BAD_SHOW") != NULL) printf("%s | %d | %s\n", c->name, got, said);
    gs_str_release(&before);
    gs_str_release(&after);
    if (chdir("..") != 0 || nftw(place, remove_entry, 16, FTW_PHYS | FTW_DEPTH) != 0) bad_stop("remove", place);
}

/* One worker's share of the table; its exit code says whether all passed. */
static int work(char **argv, int worker, int workers, int *count)
{
    char place[32], *line = NULL;
    size_t room = 0;
    FILE *f = fopen(argv[2], "re");
    if (f == NULL) bad_stop("open", argv[2]);
    snprintf(place, sizeof place, "bad-%d", worker);
    *count = 0;
    while (getline(&line, &room, f) >= 0) {
        bad_case c;
        if (parse_case(expand(line), &c) && (argv[5] == NULL || strstr(c.name, argv[5]) != NULL) &&
            (*count)++ % workers == worker)
            run_case(argv[1], &c, place);
    }
    free(line);
    fclose(f);
    fflush(stdout);
    return complaints;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) bad_stop("usage", "PROGRAM TABLE PRISTINE WORKERS [NAME-PART]");
    pristine = argv[3];
    const int workers = atoi(argv[4]);
    kept = gs_arena_create();
    int count = 0, failed = 0, status;
    for (int i = 1; i < workers; i++) {
        const pid_t child = fork();
        if (child < 0) bad_stop("fork", "a worker");
        if (child == 0) _exit(work(argv, i, workers, &count) > 0);
    }
    failed = work(argv, 0, workers, &count) > 0;
    while (wait(&status) > 0) failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    printf("%d bad inputs, %s\n", count,
           failed ? "some were not refused as they should be" : "each refused as it should be");
    gs_arena_free(kept);
    return failed || count == 0;
}
