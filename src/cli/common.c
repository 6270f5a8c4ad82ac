/* Arguments, help, JSON files, standard input, signals: what every command needs and none owns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/guard.h"

static void print(const gs_str *s) { fwrite(s->data, 1, s->len, stdout); }

void gs_cli_help_text(const gs_command *c, gs_str *out)
{
    if (c->spec == NULL) {
        gs_options_help(out, strcmp(gs_cli_program, "glmslim") == 0 ? "glmslim quant" : gs_cli_program);
        return;
    }
    gs_str_printf(out, "usage: glmslim %s %s\n\n%s\n", c->name, c->spec->usage, c->spec->about);
    if (c->spec->count > 0) {
        gs_str_addc(out, '\n');
        gs_options_help_rows(out, c->spec->rows, c->spec->count);
    }
}

static const gs_command *command_of(const gs_cli_spec *spec)
{
    for (int i = 0; i < gs_command_count; i++)
        if (gs_commands[i].spec == spec) return &gs_commands[i];
    return NULL;
}

bool gs_cli_parse(const gs_cli_spec *spec, int argc, char **argv, void *args, const char **words, int *n_words,
                  int *exit_code)
{
    gs_error err;
    const gs_cli_common *common = args;
    gs_option_parse request = {.rows = spec->rows,
                               .count = spec->count,
                               .object = args,
                               .arena = common->arena,
                               .words = words,
                               .max_words = spec->max_words};
    *exit_code = gs_cli_finish(gs_options_parse_rows(&request, argc, argv, &err), &err);
    if (*exit_code != 0) return false;
    if (request.help) {
        gs_str text;
        gs_str_init(&text);
        gs_cli_help_text(command_of(spec), &text);
        print(&text);
        gs_str_release(&text);
        return false;
    }
    *n_words = request.n_words;
    gs_screen_quiet(common->quiet);
    gs_guard_set(common->secure, gs_screen_warning);
    *exit_code = gs_cli_finish(gs_cli_check_json(common->json, &err), &err);
    return *exit_code == 0;
}

int gs_cli_finish(gs_status status, const gs_error *err)
{
    gs_screen_clear();
    if (status != GS_OK) gs_screen_error(err->text);
    return (int)status;
}

/* "a/b.json" -> "a", "b.json" -> ".", "/b" -> "/". Caller gs_free()s. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return gs_strdup(".");
    return gs_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Standard output, when a file called "-" has it for itself: what a command prints besides goes nowhere. */
static FILE *taken;

static gs_status take_output(const char *option, gs_error *err)
{
    if (taken)
        return gs_fail(err, GS_ERR_USAGE, "%s -: one file has standard output already: give the other a name", option);
    const int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int nowhere = fd < 0 ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    const bool moved = nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0;
    const int code = errno;
    if (nowhere >= 0) close(nowhere);
    taken = moved ? fdopen(fd, "w") : NULL;
    return taken ? GS_OK : gs_fail_errno(err, code, "%s -: cannot write to standard output", option);
}

/* The place where the file will be made: a link to a file stays, and what it leads to is replaced. */
static gs_status check_place(const char *option, const char *path, gs_error *err)
{
    char *real = realpath(path, NULL), *dir = directory_of(real ? real : path);
    gs_status status = GS_OK;
    if (access(dir, W_OK | X_OK) != 0)
        status =
            gs_fail_errno(err, errno, "%s %s: cannot write into the directory \"%s\"; create it or choose another file",
                          option, path, dir);
    gs_free(dir);
    free(real);
    return status;
}

gs_status gs_cli_check_file(const char *option, const char *path, gs_error *err)
{
    struct stat st;
    if (path == NULL) return GS_OK;
    if (strcmp(path, "-") == 0) return take_output(option, err);
    const bool there = stat(path, &st) == 0;
    if (path[0] == '\0' || (there && (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode))))
        return gs_fail(err, GS_ERR_USAGE, "%s needs the name of a file, \"%s\" is none", option, path);
    if (!there || S_ISREG(st.st_mode)) return check_place(option, path, err);
    if (access(path, W_OK) == 0) return GS_OK; /* a device or a pipe is written in place */
    return gs_fail_errno(err, errno, "%s %s: cannot write to it; choose another file", option, path);
}

gs_status gs_cli_check_json(const char *path, gs_error *err) { return gs_cli_check_file("--json", path, err); }

void gs_cli_put_printable(gs_json_out *j, const char *key, const char *text)
{
    char shown[1100];
    gs_json_out_key(j, key);
    if (text)
        gs_json_out_string(j, gs_printable(text, strlen(text), shown, sizeof shown));
    else
        gs_json_out_null(j);
}

static gs_status write_result(const char *path, const gs_str *text, gs_error *err)
{
    if (strcmp(path, "-") != 0) return gs_file_write_all(path, text->data, text->len, 0644, err);
    if (!taken) return gs_fail(err, GS_ERR_IO, "standard output was not asked for"); /* gs_cli_check_file() was */
    if (fwrite(text->data, 1, text->len, taken) == text->len && fflush(taken) == 0) return GS_OK;
    if (errno == EPIPE) return GS_OK; /* the reader had enough */
    return gs_fail_errno(err, errno, "cannot write to standard output");
}

gs_status gs_cli_write_json(const char *path, const char *text, size_t n, gs_error *err)
{
    gs_str line;
    gs_str_init(&line);
    gs_str_add(&line, text, n);
    gs_str_addc(&line, '\n');
    const gs_status status = write_result(path, &line, err);
    gs_str_release(&line);
    return status;
}

gs_status gs_cli_write_page(const char *path, const gs_str *page, gs_error *err)
{
    return write_result(path, page, err);
}

gs_status gs_cli_read_stdin(gs_str *out, size_t max, gs_error *err)
{
    char block[65536];
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return gs_fail_errno(err, errno, "cannot read standard input");
        if (n == 0) return GS_OK;
        if (out->len + (size_t)n > max)
            return gs_fail(err, GS_ERR_FILE, "standard input is longer than %zu bytes; split it", max);
        gs_str_add(out, block, (size_t)n);
    }
}

static void on_signal(int number)
{
    static volatile sig_atomic_t seen;
    if (seen++ == 0) {
        gs_interrupt();
        return;
    }
    signal(number, SIG_DFL); /* the second time: at once */
    raise(number);
}

/* A terminal that closes says so twice, by its shell and by the kernel; both times it is the same wish. */
static void on_hangup(int number)
{
    (void)number;
    gs_interrupt();
}

void gs_cli_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) != 0 || before.sa_handler == SIG_IGN) return; /* nohup */
    action.sa_handler = on_hangup;
    sigaction(SIGHUP, &action, NULL);
}

int gs_cli_close_output(int code)
{
    errno = 0;
    const bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed) return code;
    if (errno == EPIPE) return code; /* the reader had enough */
    if (code != 0) return code;
    gs_error err;
    return gs_cli_finish(gs_fail_errno(&err, errno != 0 ? errno : EIO, "cannot write to standard output"), &err);
}
