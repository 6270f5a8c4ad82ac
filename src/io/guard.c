/* See guard.h. Only what the path names itself is looked at, not the directories above it: those of a shared machine belong to
 * its administrator. SPDX-License-Identifier: Apache-2.0 */
#include "io/guard.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REMEDY "; --secure refuses that"

static atomic_bool refuse, told_link, told_writable, told_place, told_touched;
static void (*_Atomic tell)(const char *text);

void gs_guard_set(bool refuse_them, void (*tell_them)(const char *text))
{
    atomic_store(&refuse, refuse_them);
    atomic_store(&told_link, false);
    atomic_store(&told_writable, false);
    atomic_store(&told_place, false);
    atomic_store(&told_touched, false);
    atomic_store(&tell, tell_them);
}

bool gs_guard_refuses(void) { return atomic_load(&refuse); }

static void say(atomic_bool *told, const char *path, const char *what)
{
    void (*const to)(const char *) = atomic_load(&tell);
    if (to == NULL || atomic_exchange(told, true)) return;
    char text[1024];
    snprintf(text, sizeof text, "%.700s%s" REMEDY, path, what);
    to(text);
}

static gs_status check_link(const char *path, gs_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode)) return GS_OK;
    if (gs_guard_refuses())
        return gs_fail(err, GS_ERR_IO,
                       "%s is a symbolic link, which --secure refuses: put a copy in its place, or leave out --secure",
                       path);
    say(&told_link, path, " is a symbolic link: what it leads to can be exchanged");
    return GS_OK;
}

/* Its owner may do everything with it, whatever the mode. */
static gs_status check_owner(const char *path, const struct stat *st, gs_error *err)
{
    if (!gs_guard_refuses() || st->st_uid == geteuid() || st->st_uid == 0) return GS_OK;
    return gs_fail(err, GS_ERR_IO,
                   "%s belongs to another user (number %lu), which --secure refuses: take a copy of your own, or leave "
                   "out --secure",
                   path, (unsigned long)st->st_uid);
}

/* kind: what it is, said behind its name. */
static gs_status check_mode(const char *path, const struct stat *st, const char *kind, atomic_bool *told, gs_error *err)
{
    const unsigned mode = (unsigned)st->st_mode & 07777u;
    if ((mode & (S_IWGRP | S_IWOTH)) == 0) return GS_OK;
    if (gs_guard_refuses())
        return gs_fail(
            err, GS_ERR_IO,
            "%s%s can be written by group or others (mode %04o), which --secure refuses: chmod go-w, or leave "
            "out --secure",
            path, kind, mode);
    char what[160];
    snprintf(what, sizeof what, "%s can be written by group or others (mode %04o)", kind, mode);
    say(told, path, what);
    return GS_OK;
}

static gs_status check_input(const char *path, const struct stat *st, gs_error *err)
{
    GS_TRY(check_owner(path, st, err));
    return check_mode(path, st, "", &told_writable, err);
}

gs_status gs_guard_file(const char *path, const struct stat *st, gs_error *err)
{
    GS_TRY(check_link(path, err));
    return check_input(path, st, err);
}

/* "model/" and "model/." name what a link "model" leads to: without them it is the link. */
static size_t bare_length(const char *path)
{
    size_t n = strlen(path);
    for (;;) {
        if (n > 1 && path[n - 1] == '/')
            n--;
        else if (n > 2 && path[n - 1] == '.' && path[n - 2] == '/')
            n -= 2;
        else
            return n;
    }
}

gs_status gs_guard_directory(const char *path, gs_error *err)
{
    struct stat st;
    char bare[4096];
    const size_t n = bare_length(path);
    snprintf(bare, sizeof bare, "%.*s", (int)(n < sizeof bare ? n : sizeof bare - 1), path);
    GS_TRY(check_link(bare, err));
    return stat(path, &st) == 0 ? check_input(path, &st, err) : GS_OK;
}

gs_status gs_guard_place(const char *path, gs_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) return GS_OK;
    GS_TRY(check_owner(path, &st, err));
    if ((st.st_mode & S_ISVTX) != 0) return GS_OK;
    return check_mode(path, &st, ", where the result is made,", &told_place, err);
}

gs_status gs_guard_touched(const char *path, gs_error *err)
{
    if (gs_guard_refuses())
        return gs_fail(err, GS_ERR_FILE,
                       "%s was renamed, linked or given other permissions after it was opened, or its time was set "
                       "back, which --secure refuses: run again when nothing changes there any more",
                       path);
    say(&told_touched, path,
        " was renamed, linked or given other permissions during the run, or exchanged by somebody who set its time "
        "back");
    return GS_OK;
}
