/* Resolving and judging the output directory. Everything that can be refused is refused here, before any work: the
 * model's own directory and what is above or inside it, a directory in use, a mount point (it cannot be replaced
 * by rename), a parent without write permission. Places are compared by device and inode, so neither links nor
 * bind mounts hide one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/outdir_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "io/file.h"
#include "io/io_error.h"
#include "io/tree.h"

#define WORK_SUFFIX ".glmslim-work"

/* Cut the last component of an absolute path; "/" stays. */
static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == path) slash++;
    *slash = '\0';
}

char *gs_path_existing(const char *path)
{
    struct stat st;
    char *at = gs_strdup(path);
    while (stat(at, &st) != 0 && strcmp(at, "/") != 0) cut_last(at);
    return at;
}

static gs_status make_absolute(const char *path, char **out, gs_error *err)
{
    if (path[0] == '\0')
        return gs_fail(err, GS_ERR_USAGE, "the output directory is empty text: give --save_directory a path");
    char *cwd = path[0] == '/' ? NULL : realpath(".", NULL);
    if (path[0] != '/' && cwd == NULL) return gs_io_fail(err, errno, "resolve", "the current directory");
    *out = cwd != NULL ? gs_path_join(cwd, path) : gs_strdup(path);
    free(cwd);
    return GS_OK;
}

/* Append components that do not exist yet. */
static gs_status add_missing(gs_str *full, const char *rest, gs_error *err)
{
    struct stat st;
    for (size_t n; *rest != '\0'; rest += n) {
        while (*rest == '/') rest++;
        n = strcspn(rest, "/");
        if (n == 0 || (n == 1 && rest[0] == '.')) continue;
        if (n == 2 && rest[0] == '.' && rest[1] == '.')
            return gs_fail(err, GS_ERR_USAGE,
                           "the output directory leads through %s, which does not exist: write it without '..'",
                           full->data);
        if (full->data[full->len - 1] != '/') gs_str_addc(full, '/');
        gs_str_add(full, rest, n);
        /* A link to nothing is not "missing": creating what it points to would surprise. */
        if (lstat(full->data, &st) == 0 && S_ISLNK(st.st_mode))
            return gs_fail(err, GS_ERR_USAGE, "%s is a link to something that does not exist: remove the link first",
                           full->data);
    }
    return GS_OK;
}

/* path made absolute with links resolved; its last components may be missing. */
static gs_status resolve(const char *path, char **out, gs_error *err)
{
    char *absolute = NULL;
    *out = NULL;
    GS_TRY(make_absolute(path, &absolute, err));
    char *there = gs_path_existing(absolute);
    char *real = realpath(there, NULL);
    gs_status status = GS_OK;
    if (real == NULL) {
        status = gs_io_fail(err, errno, "resolve", there);
    } else {
        gs_str full;
        gs_str_init(&full);
        gs_str_adds(&full, real);
        status = add_missing(&full, absolute + strlen(there), err);
        if (status == GS_OK) *out = gs_str_take(&full);
        gs_str_release(&full);
    }
    free(real);
    gs_free(there);
    gs_free(absolute);
    return status;
}

static bool same_place(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is `inner` (absolute, resolved; its end may be missing) the directory `outer` or inside it? */
static bool is_within(const char *inner, const struct stat *outer)
{
    char *at = gs_strdup(inner);
    bool found = false;
    struct stat st;
    for (;;) {
        found = stat(at, &st) == 0 && same_place(&st, outer);
        if (found || strcmp(at, "/") == 0) break;
        cut_last(at);
    }
    gs_free(at);
    return found;
}

static gs_status check_model(const char *final, const char *model_dir, gs_error *err)
{
    struct stat model, place;
    char *real = realpath(model_dir, NULL);
    if (real == NULL || stat(real, &model) != 0) {
        const gs_status status = gs_io_fail(err, errno, "open the model directory", model_dir);
        free(real);
        return status;
    }
    gs_status status = GS_OK;
    if (is_within(final, &model))
        status = gs_fail(err, GS_ERR_USAGE,
                         "output directory %s is the model directory %s or inside it: choose another directory", final,
                         real);
    else if (stat(final, &place) == 0 && is_within(real, &place))
        status = gs_fail(err, GS_ERR_USAGE,
                         "output directory %s contains the model directory %s, which would be lost: choose another "
                         "directory",
                         final, real);
    free(real);
    return status;
}

static bool is_mount_point(const char *path)
{
    struct statx info;
    return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &info) == 0 &&
           (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
           (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* The current directory and the home directory are never what "replace it" was meant for. */
static bool is_occupied(const char *final, const char **what)
{
    struct stat place;
    char *cwd = realpath(".", NULL);
    const char *home = getenv("HOME");
    char *real_home = home != NULL && home[0] != '\0' ? realpath(home, NULL) : NULL;
    *what = NULL;
    if (stat(final, &place) == 0) {
        if (cwd != NULL && is_within(cwd, &place))
            *what = "the current directory or above it";
        else if (real_home != NULL && is_within(real_home, &place))
            *what = "the home directory or above it";
    }
    free(cwd);
    free(real_home);
    return *what != NULL;
}

static gs_status check_existing(gs_outplace *p, bool overwrite, gs_error *err)
{
    bool empty;
    const char *what;
    if (!gs_path_is_dir(p->final))
        return gs_fail(err, GS_ERR_USAGE, "output directory %s exists and is not a directory: choose another path",
                       p->final);
    GS_TRY(gs_dir_is_empty(p->final, &empty, err));
    p->exists = true;
    p->replaces = !empty;
    if (!empty && !overwrite)
        return gs_fail(err, GS_ERR_USAGE,
                       "output directory %s is not empty: use --overwrite True or choose another directory", p->final);
    if (is_occupied(p->final, &what))
        return gs_fail(err, GS_ERR_USAGE,
                       "output directory %s is %s and will not be replaced: choose another directory", p->final, what);
    if (is_mount_point(p->final))
        return gs_fail(err, GS_ERR_USAGE,
                       "output directory %s is a mount point, which cannot be replaced: choose a directory inside it",
                       p->final);
    return GS_OK;
}

static gs_status check_parent(const gs_outplace *p, gs_error *err)
{
    char *there = gs_path_existing(p->parent);
    gs_status status = GS_OK;
    if (!gs_path_is_dir(there))
        status = gs_fail(err, GS_ERR_USAGE, "output directory %s: %s is not a directory", p->final, there);
    else if (faccessat(AT_FDCWD, there, W_OK | X_OK, AT_EACCESS) != 0)
        status =
            gs_fail_errno(err, errno,
                          "output directory %s: cannot write to %s, where it and its work folder are made (change its "
                          "permissions or choose another directory)",
                          p->final, there);
    gs_free(there);
    return status;
}

static gs_status set_names(gs_outplace *p, gs_error *err)
{
    const char *name = strrchr(p->final, '/') + 1;
    if (*name == '\0')
        return gs_fail(err, GS_ERR_USAGE,
                       "the root directory cannot be the output directory: choose another directory");
    if (strlen(name) + strlen(WORK_SUFFIX) + 1 > NAME_MAX || strlen(p->final) > PATH_MAX - 512)
        return gs_fail(err, GS_ERR_USAGE, "the output directory's name is too long: choose a shorter one");
    p->parent = gs_strdup(p->final);
    cut_last(p->parent);
    gs_str hidden;
    gs_str_init(&hidden);
    gs_str_printf(&hidden, ".%s" WORK_SUFFIX, name);
    p->work = gs_path_join(p->parent, hidden.data);
    gs_str_release(&hidden);
    return GS_OK;
}

static gs_status find(gs_outplace *p, const char *path, const char *model_dir, bool overwrite, gs_error *err)
{
    GS_TRY(resolve(path, &p->final, err));
    GS_TRY(set_names(p, err));
    if (model_dir != NULL) GS_TRY(check_model(p->final, model_dir, err));
    if (gs_path_exists(p->final)) GS_TRY(check_existing(p, overwrite, err));
    return check_parent(p, err);
}

gs_status gs_outplace_find(gs_outplace *p, const char *path, const char *model_dir, bool overwrite, gs_error *err)
{
    *p = (gs_outplace){0};
    const gs_status status = find(p, path, model_dir, overwrite, err);
    if (status != GS_OK) gs_outplace_release(p);
    return status;
}

void gs_outplace_release(gs_outplace *p)
{
    gs_free(p->final);
    gs_free(p->parent);
    gs_free(p->work);
    *p = (gs_outplace){0};
}
