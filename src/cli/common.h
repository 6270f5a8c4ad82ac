/* What the commands share: arguments, messages, results. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_COMMON_H
#define GS_CLI_COMMON_H

#include "cli/cli.h"
#include "io/json.h"

/* First member of every command's own struct of arguments. */
typedef struct gs_cli_common {
    const char *json;
    int threads;
    bool quiet, secure;
    gs_arena *arena; /* for lists; set by commands whose table has some */
} gs_cli_common;

/* The rows of gs_cli_common, last in every table; the struct must be the first member. */
#define GS_CLI_COMMON_ROWS                                                                                             \
    {"json", GS_OPT_STRING, offsetof(gs_cli_common, json),                                                             \
     NULL,   NULL,          "write the result to a file as JSON; - = standard output",                                 \
     "",     true},                                                                                                    \
        {"secure", GS_OPT_FLAG, offsetof(gs_cli_common, secure),                                                       \
         NULL,     NULL,        "refuse inputs that others could exchange or change",                                  \
         "",       true},                                                                                              \
        {"threads", GS_OPT_INT, offsetof(gs_cli_common, threads), "0", NULL, "threads; 0 = all this process may use",  \
         "",        true},                                                                                             \
    {                                                                                                                  \
        "quiet", GS_OPT_FLAG, offsetof(gs_cli_common, quiet), NULL, NULL, "only the result, warnings and errors", "",  \
            true                                                                                                       \
    }

/* Parse argv by spec into *args (whose defaults are set by the caller, common part by this). Prints help, or an error. Returns
 * true to go on; otherwise *exit_code is what the command returns. words: room for spec->max_words; *n_words found. */
bool gs_cli_parse(const gs_cli_spec *spec, int argc, char **argv, void *args, const char **words, int *n_words,
                  int *exit_code);
void gs_cli_help_text(const gs_command *c, gs_str *out);

/* Program name for messages and help: "glmslim", or "quant_glm" when called by that name. */
extern const char *gs_cli_program;

/* Print the error if there is one; the exit code. */
int gs_cli_finish(gs_status status, const gs_error *err);
/* A key with a text that may come from a file, made printable; null for NULL. */
void gs_cli_put_printable(gs_json_out *j, const char *key, const char *text);
/* Write to path through a temporary file beside it; never leaves half a file. A device or pipe is written in place, "-" is
 * standard output; gs_cli_check_file() must have seen the path. */
gs_status gs_cli_write_json(const char *path, const char *text, size_t n, gs_error *err) GS_CHECKED;
/* A page of --report, the same way. */
gs_status gs_cli_write_page(const char *path, const gs_str *page, gs_error *err) GS_CHECKED;
/* Before long work: the file, or the directory it will be in, can be written. path NULL = fine. "-": from here on what is
 * printed goes nowhere, so that standard output holds the file and nothing else. */
gs_status gs_cli_check_json(const char *path, gs_error *err) GS_CHECKED;
gs_status gs_cli_check_file(const char *option, const char *path, gs_error *err) GS_CHECKED;
/* Everything from standard input, at most max bytes. Caller gs_str_release()s. */
gs_status gs_cli_read_stdin(gs_str *out, size_t max, gs_error *err) GS_CHECKED;
/* SIGINT and SIGTERM ask for a clean stop, a second one stops at once. SIGHUP asks too, unless it is ignored (nohup). */
void gs_cli_catch_signals(void);
/* Flush standard output; an exit code, `code` unless writing failed. */
int gs_cli_close_output(int code);

/* screen.c: what goes to standard error. */
void gs_screen_quiet(bool quiet);
void gs_screen_error(const char *text);
void gs_screen_warning(const char *text);
void gs_screen_note(const char *text);         /* not with --quiet */
void gs_screen_spent(double start);            /* a note: seconds since then, and the most memory that was in use */
void gs_screen_progress(const gs_progress *p); /* not with --quiet */
void gs_screen_clear(void);                    /* remove the progress line */
/* Text of the progress line in at most `width` columns. */
void gs_progress_text(const gs_progress *p, int width, gs_str *out);
extern const gs_watch gs_screen_watch;

#endif
