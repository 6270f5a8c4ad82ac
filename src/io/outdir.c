/* The output directory appears complete or not at all. The work folder holds
 *   lock   the pid of the run that owns it and when that began, held with flock while it lives
 *   new    what becomes the output
 *   begun  the inode of "new": if the output has it, the run was finished but for clearing up
 *   old    for a moment, on file systems that cannot exchange two names: the output that is being replaced
 * and whatever else the run keeps there. A run that dies leaves the folder; the next one for the same place finds the lock free,
 * puts "old" back if the death fell between the two renames, and goes on with the rest or removes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/outdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/guard.h"
#include "io/io_error.h"
#include "io/outdir_path.h"
#include "io/tree.h"
#include "io/work_lock.h"

#define BEGUN_BYTES 32

uint64_t gs_outdir_free_bytes(const char *final_path)
{
    gs_outplace p;
    uint64_t bytes = 0;
    struct statvfs fs;
    /* overwrite: the question is about the disk, not about permission to use the directory */
    if (gs_outplace_find(&p, final_path, NULL, true, NULL) != GS_OK) return 0;
    char *there = gs_path_existing(p.parent);
    if (statvfs(there, &fs) == 0) bytes = (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) * (uint64_t)fs.f_frsize;
    if (bytes > 0) bytes += gs_tree_bytes(p.work);
    gs_free(there);
    gs_outplace_release(&p);
    return bytes;
}

/* Is the folder at its place still the one that was locked? Who may write into the parent can exchange it. */
static gs_status check_ours(const gs_outdir *o, gs_error *err)
{
    if (gs_work_lock_is_held(o->lock_fd, o->base_path)) return GS_OK;
    return gs_fail(
        err, GS_ERR_IO,
        "%s was exchanged or removed by another program during the run; it is left alone. Choose a directory "
        "that others cannot write into",
        o->base_path);
}

/* Did the run that has left `base` put its result in place? */
static bool is_finished(const char *base, const char *final_path)
{
    struct stat st;
    char *path = gs_path_join(base, "begun"), *text = NULL;
    size_t n;
    bool finished = false;
    if (gs_file_read_all(path, BEGUN_BYTES, &text, &n, NULL) == GS_OK && stat(final_path, &st) == 0)
        finished = strtoull(text, NULL, 10) == (unsigned long long)st.st_ino;
    gs_free(text);
    gs_free(path);
    return finished;
}

static gs_status write_begun(const gs_outdir *o, gs_error *err)
{
    char text[BEGUN_BYTES];
    struct stat st;
    if (lstat(o->work_path, &st) != 0) return gs_io_fail(err, errno, "examine", o->work_path);
    const int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)st.st_ino);
    char *path = gs_path_join(o->base_path, "begun");
    const gs_status status = gs_file_write_new(path, text, (size_t)n, 0600, err);
    gs_free(path);
    return status;
}

/* The lock is held. *recovered: the output of an earlier run, set aside by a commit that died, is back in its place. */
static gs_status recover_old(const gs_outdir *o, bool *recovered, gs_error *err)
{
    char *old = gs_path_join(o->base_path, "old");
    struct stat st;
    gs_status status = GS_OK;
    *recovered = lstat(old, &st) == 0 && S_ISDIR(st.st_mode) && lstat(o->final_path, &st) != 0;
    if (*recovered && rename(old, o->final_path) != 0) status = gs_io_fail(err, errno, "put back", o->final_path);
    gs_free(old);
    return status;
}

/* Remove the directories that begin made, innermost first, as long as nothing else was put into them. */
static void remove_parents(const gs_outdir *o)
{
    if (o->made_parent == NULL) return;
    char *at = gs_strdup(o->base_path);
    const size_t least = strlen(o->made_parent);
    for (char *slash; (slash = strrchr(at, '/')) != NULL && slash > at;) {
        *slash = '\0';
        if (strlen(at) < least || rmdir(at) != 0) break;
    }
    gs_free(at);
}

static bool goes_last(const void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, GS_WORK_LOCK) == 0 || strcmp(name, "begun") == 0;
}

/* Whoever dies here leaves something that is_leftover() knows: what tells a finished run goes last but for the lock, and as long as
 * the folder has content, it has the lock: what has none is not ours. */
static gs_status drop_base(gs_outdir *o, gs_error *err)
{
    gs_status status = check_ours(o, err);
    if (status == GS_OK) status = gs_tree_clear(o->base_path, goes_last, NULL, err);
    if (status == GS_OK) {
        char *begun = gs_path_join(o->base_path, "begun");
        const bool gone = unlink(begun) == 0 || errno == ENOENT;
        gs_free(begun);
        (void)!gs_dir_sync(o->base_path, NULL);
        if (gone) gs_work_lock_remove(o->base_path);
    }
    close(o->lock_fd);
    o->lock_fd = -1;
    o->active = false;
    return status;
}

static void release(gs_outdir *o)
{
    gs_free(o->final_path);
    gs_free(o->work_path);
    gs_free(o->base_path);
    gs_free(o->made_parent);
    *o = (gs_outdir){.lock_fd = -1};
}

static gs_status prepare(gs_outdir *o, const char *parent, bool *again, gs_error *err)
{
    struct stat st;
    *again = false;
    if (o->made_parent == NULL) GS_TRY(gs_dir_make_all(parent, &o->made_parent, err));
    GS_TRY(gs_work_lock_take(o->base_path, o->final_path, &o->lock_fd, err));
    o->active = true;
    GS_TRY(gs_work_lock_sign(o->lock_fd, o->base_path, err));
    GS_TRY(recover_old(o, again, err));
    o->found = lstat(o->work_path, &st) == 0 && S_ISDIR(st.st_mode) && !is_finished(o->base_path, o->final_path);
    return GS_OK;
}

/* Of a run whose result is in place, as a whole or in part: then at least "new" has become the output, and without it there is
 * nothing to go on with. */
static bool is_leftover(const char *base, const char *final_path)
{
    struct stat st;
    if (!gs_path_is_dir(base) || lstat(final_path, &st) != 0) return false;
    char *fresh = gs_path_join(base, "new");
    const bool gone = lstat(fresh, &st) != 0 && errno == ENOENT;
    gs_free(fresh);
    return gone || is_finished(base, final_path);
}

/* A run that was killed after its last rename has left its folder. */
static void sweep_finished(const char *final_path)
{
    gs_outplace p;
    if (gs_outplace_find(&p, final_path, NULL, true, NULL) != GS_OK) return;
    gs_outdir o = {.final_path = gs_strdup(p.final), .base_path = gs_strdup(p.work), .lock_fd = -1};
    if (is_leftover(p.work, p.final) && gs_work_lock_take(p.work, p.final, &o.lock_fd, NULL) == GS_OK)
        (void)!drop_base(&o, NULL);
    release(&o);
    gs_outplace_release(&p);
}

static gs_status find_place(gs_outplace *p, const char *final_path, const char *model_dir, bool overwrite,
                            gs_error *err)
{
    gs_status status = gs_outplace_find(p, final_path, model_dir, overwrite, err);
    if (status != GS_OK) {
        sweep_finished(final_path);
        return status;
    }
    char *there = gs_path_existing(p->parent);
    status = gs_guard_place(there, err);
    gs_free(there);
    if (status != GS_OK) gs_outplace_release(p);
    return status;
}

gs_status gs_outdir_check(const char *final_path, const char *model_dir, bool overwrite, gs_error *err)
{
    gs_outplace p;
    GS_TRY(find_place(&p, final_path, model_dir, overwrite, err));
    gs_outplace_release(&p);
    return GS_OK;
}

gs_status gs_outdir_enter(gs_outdir *o, const char *final_path, const char *model_dir, bool overwrite, gs_error *err)
{
    *o = (gs_outdir){.lock_fd = -1};
    gs_outplace p;
    GS_TRY(find_place(&p, final_path, model_dir, overwrite, err));
    o->final_path = gs_strdup(p.final);
    o->base_path = gs_strdup(p.work);
    o->work_path = gs_path_join(p.work, "new");
    o->replaces = p.replaces;
    bool again = false;
    gs_status status = prepare(o, p.parent, &again, err);
    gs_outplace_release(&p);
    if (status == GS_OK && !again) return GS_OK;
    if (o->active)
        gs_work_lock_remove_alone(o->base_path); /* what a run has left stays, and keeps its lock */
    else
        rmdir(o->base_path); /* only when it is empty: not that of a living run */
    remove_parents(o);
    gs_outdir_leave(o);
    /* A recovered output changes what the place looks like: judge it anew. It cannot be recovered twice. */
    return status == GS_OK ? gs_outdir_enter(o, final_path, model_dir, overwrite, err) : status;
}

gs_status gs_outdir_clear(gs_outdir *o, gs_error *err)
{
    GS_TRY(check_ours(o, err));
    GS_TRY(gs_tree_empty(o->base_path, GS_WORK_LOCK, err));
    if (mkdir(o->work_path, 0700) != 0) return gs_io_fail(err, errno, "create the work folder", o->work_path);
    return write_begun(o, err);
}

typedef struct kept {
    const gs_out_file *files;
    int n;
} kept;

static bool is_kept(const void *ctx, const char *name)
{
    const kept *k = ctx;
    int i = 0;
    while (i < k->n && strcmp(k->files[i].name, name) != 0) i++;
    return i < k->n;
}

gs_status gs_outdir_keep_files(const gs_outdir *o, const gs_out_file *files, int n, gs_error *err)
{
    const kept list = {files, n};
    GS_TRY(check_ours(o, err));
    return gs_tree_clear(o->work_path, is_kept, &list, err);
}

gs_status gs_outdir_begin(gs_outdir *o, const char *final_path, const char *model_dir, bool overwrite, gs_error *err)
{
    GS_TRY(gs_outdir_enter(o, final_path, model_dir, overwrite, err));
    const gs_status status = gs_outdir_clear(o, err);
    if (status != GS_OK) gs_outdir_abort(o);
    return status;
}

void gs_outdir_leave(gs_outdir *o)
{
    if (o->active) close(o->lock_fd);
    release(o);
}

gs_status gs_outdir_sync_names(const gs_outdir *o, gs_error *err)
{
    GS_TRY(gs_dir_sync(o->work_path, err));
    GS_TRY(gs_dir_sync(o->base_path, err));
    gs_status status = GS_OK;
    char *at = gs_strdup(o->base_path);
    const size_t least = o->made_parent ? strlen(o->made_parent) : SIZE_MAX;
    /* the parent of the folder, and of each directory that was made above it */
    for (char *slash; status == GS_OK && (slash = strrchr(at, '/')) != NULL;) {
        const bool last = strlen(at) <= least;
        slash[slash == at ? 1 : 0] = '\0';
        status = gs_dir_sync(at, err);
        if (last || strcmp(at, "/") == 0) break;
    }
    gs_free(at);
    return status;
}

static int exchange(const char *a, const char *b)
{
#ifdef RENAME_EXCHANGE
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0 ? 0 : errno;
#else
    (void)a, (void)b;
    return ENOSYS;
#endif
}

static gs_status replace_in_two_steps(const gs_outdir *o, gs_error *err)
{
    char *old = gs_path_join(o->base_path, "old");
    gs_status status = GS_OK;
    if (rename(o->final_path, old) != 0) {
        status = gs_io_fail(err, errno, "move away the old", o->final_path);
    } else if (rename(o->work_path, o->final_path) != 0) {
        status = gs_io_fail(err, errno, "move the output to", o->final_path);
        (void)rename(old, o->final_path); /* if this fails too, the next run puts it back */
    }
    gs_free(old);
    return status;
}

static gs_status put_in_place(const gs_outdir *o, gs_error *err)
{
    if (o->replaces && gs_path_exists(o->final_path)) {
        const int code = o->two_steps ? ENOSYS : exchange(o->work_path, o->final_path);
        if (code == 0) return GS_OK;
        if (code == ENOSYS || code == EINVAL || code == EOPNOTSUPP) return replace_in_two_steps(o, err);
        return gs_io_fail(err, code, "replace", o->final_path);
    }
    /* rename() replaces an empty directory and nothing else: what another program put there meanwhile is safe. */
    if (rename(o->work_path, o->final_path) == 0) return GS_OK;
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
        return gs_fail(err, GS_ERR_IO, "%s was filled by another program during the run: choose another directory",
                       o->final_path);
    return gs_io_fail(err, errno, "move the output to", o->final_path);
}

static gs_status sync_parent(const gs_outdir *o, gs_error *err)
{
    char *parent = gs_strdup(o->final_path);
    char *slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    const gs_status status = gs_dir_sync(parent, err);
    gs_free(parent);
    return status;
}

/* Of a directory, not of what a link in its place leads to. */
static gs_status open_up(const char *path, gs_error *err)
{
    const int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const int code = fd >= 0 && fchmod(fd, 0750) == 0 ? 0 : errno;
    if (fd >= 0) close(fd);
    return code == 0 ? GS_OK : gs_io_fail(err, code, "set the permissions of", path);
}

gs_status gs_outdir_commit(gs_outdir *o, gs_error *err)
{
    if (!o->active) return gs_fail(err, GS_ERR_IO, "the output directory was not begun");
    GS_TRY(check_ours(o, err));
    GS_TRY(open_up(o->work_path, err));
    GS_TRY(gs_tree_sync(o->work_path, err));
    GS_TRY(put_in_place(o, err));
    gs_status status = sync_parent(o, err);
    if (status != GS_OK)
        status = gs_wrap(err, "the result is whole and in its place, but may not survive a power failure");
    /* The output is in place and complete. An old one that cannot be removed now is removed by the next run. */
    (void)!drop_base(o, NULL);
    return status;
}

void gs_outdir_abort(gs_outdir *o)
{
    if (o->active) {
        (void)!drop_base(o, NULL);
        remove_parents(o);
    }
    release(o);
}
