/* Standard error: errors, warnings, notes, and the progress line. On a terminal one line is redrawn in place, never wider than the
 * window; elsewhere a plain line every two seconds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys.h"
#include "cli/common.h"
#include "report/report.h"

#define REDRAW_SECONDS 0.1
#define PLAIN_SECONDS  2.0

const char *gs_cli_program = "glmslim";

static struct {
    bool quiet;
    bool shown;   /* a progress line is on the screen */
    double last;  /* when it was drawn */
    int terminal; /* -1 = not asked yet */
} screen = {.terminal = -1};

void gs_screen_quiet(bool quiet) { screen.quiet = quiet; }

static bool is_terminal(void)
{
    if (screen.terminal < 0) {
        const char *term = getenv("TERM");
        screen.terminal = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    }
    return screen.terminal == 1;
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

/* One write, so that a line never appears in pieces. */
static void put(const char *text, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(STDERR_FILENO, text, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return; /* nobody is reading; the work goes on */
        text += done;
        n -= (size_t)done;
    }
}

void gs_screen_clear(void)
{
    if (screen.shown) put("\r\033[K", 4);
    screen.shown = false;
}

/* Texts may quote file content: nothing in them may steer the terminal, or look like a line of ours. */
static void say(const char *prefix, const char *text)
{
    gs_str line;
    gs_str_init(&line);
    gs_str_adds(&line, prefix);
    gs_str_adds(&line, text);
    line.len = gs_make_printable(line.data, line.len, "");
    gs_str_addc(&line, '\n');
    gs_screen_clear();
    fflush(stdout);
    put(line.data, line.len);
    gs_str_release(&line);
}

void gs_screen_error(const char *text)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s: error: ", gs_cli_program);
    say(prefix, text);
}

void gs_screen_warning(const char *text) { say("warning: ", text); }

void gs_screen_note(const char *text)
{
    if (!screen.quiet) say("", text);
}

void gs_screen_spent(double start)
{
    char note[96];
    snprintf(note, sizeof note, "%.1f s, %.0f MB at most", gs_seconds() - start, (double)gs_rss_peak() / 1e6);
    gs_screen_note(note);
}

static void short_time(double s, char out[32])
{
    const long long t = (long long)(s + 0.5);
    if (t < 3600)
        snprintf(out, 32, "%lld:%02lld", t / 60, t % 60);
    else
        snprintf(out, 32, "%lld:%02lld:%02lld", t / 3600, t / 60 % 60, t % 60);
}

/* Add a part if it fits into the width. */
static void add_part(gs_str *out, int width, const char *part)
{
    const size_t gap = out->len > 0 ? 2 : 0;
    if (out->len + gap + strlen(part) > (size_t)width) return;
    gs_str_adds(out, gap > 0 ? "  " : "");
    gs_str_adds(out, part);
}

void gs_progress_text(const gs_progress *p, int width, gs_str *out)
{
    char part[96], text[32];
    gs_str_clear(out);
    if (p->n_blocks > 0) {
        snprintf(part, sizeof part, "block %d/%d", p->block + 1, p->n_blocks);
        add_part(out, width, part);
    }
    snprintf(part, sizeof part, "%-9.40s", p->step != NULL ? p->step : "");
    add_part(out, width, part);
    if (p->tokens_total > 0) {
        double share = (double)p->tokens_done / (double)p->tokens_total;
        if (share > 1) share = 1;
        snprintf(part, sizeof part, "%3d%%", (int)(100 * share));
        add_part(out, width, part);
    }
    if (p->eta_s >= 0) {
        short_time(p->eta_s, text);
        snprintf(part, sizeof part, "ETA %s", text);
        add_part(out, width, part);
    }
    if (p->tokens_per_s > 0) {
        snprintf(part, sizeof part, "%.0f tokens/s", p->tokens_per_s);
        add_part(out, width, part);
    }
    if (p->memory_bytes > 0) {
        gs_bytes_text(p->memory_bytes, part);
        add_part(out, width, part);
    }
}

void gs_screen_progress(const gs_progress *p)
{
    if (screen.quiet) return;
    const double now = gs_seconds();
    if (screen.last > 0 && now - screen.last < (is_terminal() ? REDRAW_SECONDS : PLAIN_SECONDS)) return;
    if (!is_terminal() && screen.last == 0) { /* the first plain line comes after two seconds, too */
        screen.last = now;
        return;
    }
    screen.last = now;
    gs_str text, line;
    gs_str_init(&text);
    gs_str_init(&line);
    gs_progress_text(p, is_terminal() ? columns() - 1 : 120, &text);
    gs_str_printf(&line, is_terminal() ? "\r%s\033[K" : "%s\n", text.data);
    put(line.data, line.len);
    screen.shown = is_terminal();
    gs_str_release(&text);
    gs_str_release(&line);
}

static void on_progress(void *ctx, const gs_progress *p)
{
    (void)ctx;
    gs_screen_progress(p);
}

static void on_message(void *ctx, gs_level level, const char *text)
{
    (void)ctx;
    if (level == GS_WARNING)
        gs_screen_warning(text);
    else if (!screen.quiet)
        say("note: ", text);
}

const gs_watch gs_screen_watch = {NULL, on_progress, on_message};
