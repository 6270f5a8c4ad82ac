/* See guard.h. Only what the path names itself is looked at, not the directories above it: those of a shared machine belong to
 * its administrator. SPDX-License-Identifier: Apache-2.0 */
#include "io/guard.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define REMEDY "; --secure refuses such inputs"

static atomic_bool refuse, told_link, told_writable;
static void (*_Atomic tell)(const char *text);

void gs_guard_set(bool refuse_them, void (*tell_them)(const char *text))
{
    atomic_store(&refuse, refuse_them);
    atomic_store(&told_link, false);
    atomic_store(&told_writable, false);
    atomic_store(&tell, tell_them);
}

bool gs_guard_refuses(void) { return atomic_load(&refuse); }

static void say(atomic_bool *told, const char *path, const char *what)
{
    void (*const to)(const char *) = atomic_load(&tell);
    if (to == NULL || atomic_exchange(told, true)) return;
    char text[1024];
    snprintf(text, sizeof text, "%.700s %s" REMEDY, path, what);
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
    say(&told_link, path, "is a symbolic link: what it leads to can be exchanged");
    return GS_OK;
}

static gs_status check_mode(const char *path, const struct stat *st, gs_error *err)
{
    /* The sticky bit of a directory keeps others from exchanging what is not theirs. */
    const bool sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0;
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) == 0 || sticky) return GS_OK;
    const unsigned mode = (unsigned)st->st_mode & 07777u;
    if (gs_guard_refuses())
        return gs_fail(err, GS_ERR_IO,
                       "%s can be written by group or others (mode %04o), which --secure refuses: chmod go-w, or leave "
                       "out --secure",
                       path, mode);
    char what[96];
    snprintf(what, sizeof what, "can be written by group or others (mode %04o)", mode);
    say(&told_writable, path, what);
    return GS_OK;
}

gs_status gs_guard_file(const char *path, const struct stat *st, gs_error *err)
{
    GS_TRY(check_link(path, err));
    return check_mode(path, st, err);
}

gs_status gs_guard_directory(const char *path, gs_error *err)
{
    struct stat st;
    char bare[4096]; /* "model/" names what a link "model" leads to: without the slash it is the link */
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    snprintf(bare, sizeof bare, "%.*s", (int)(n < sizeof bare ? n : sizeof bare - 1), path);
    GS_TRY(check_link(bare, err));
    return stat(path, &st) == 0 ? check_mode(path, &st, err) : GS_OK;
}
