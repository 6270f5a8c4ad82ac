/* Walking directories by descriptor (openat, unlinkat), so that nobody can swap a component for a link on the way.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/io_error.h"

/* An output directory is flat or nearly so. */
#define MAX_DEPTH 64

static bool is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static gs_status empty_at(int fd, const char *path, dev_t device, gs_keep_fn keep, const void *ctx, int depth,
                          gs_error *err);

static gs_status remove_entry(int parent, const char *path, const char *name, dev_t device, int depth, gs_error *err)
{
    struct stat st;
    char *full = gs_path_join(path, name);
    gs_status status = GS_OK;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) status = gs_io_fail(err, errno, "examine", full);
    } else if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(parent, name, 0) != 0 && errno != ENOENT) status = gs_io_fail(err, errno, "remove", full);
    } else if (st.st_dev != device || depth >= MAX_DEPTH) {
        status = gs_fail(err, GS_ERR_IO, "%s is %s: remove it by hand", full,
                         st.st_dev != device ? "on another file system" : "nested too deeply");
    } else {
        const int opened = fchmodat(parent, name, 0700, 0); /* a directory without write permission cannot be emptied */
        (void)opened;                                       /* without it, the next call says what is wrong */
        const int fd = TEMP_FAILURE_RETRY(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (fd < 0)
            status = gs_io_fail(err, errno, "open", full);
        else
            status = empty_at(fd, full, device, NULL, NULL, depth + 1, err);
        if (status == GS_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0)
            status = gs_io_fail(err, errno, "remove", full);
    }
    gs_free(full);
    return status;
}

/* Takes over fd. */
static gs_status empty_at(int fd, const char *path, dev_t device, gs_keep_fn keep, const void *ctx, int depth,
                          gs_error *err)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        const int code = errno;
        close(fd);
        return gs_io_fail(err, code, "list", path);
    }
    gs_status status = GS_OK;
    errno = 0;
    for (const struct dirent *e; status == GS_OK && (e = readdir(dir)) != NULL; errno = 0) {
        if (is_dot(e->d_name) || (keep != NULL && keep(ctx, e->d_name))) continue;
        status = remove_entry(fd, path, e->d_name, device, depth, err);
    }
    if (status == GS_OK && errno != 0) status = gs_io_fail(err, errno, "list", path);
    closedir(dir);
    return status;
}

gs_status gs_tree_clear(const char *path, gs_keep_fn keep, const void *ctx, gs_error *err)
{
    struct stat st;
    const int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd < 0) return gs_io_fail(err, errno, "open", path);
    if (fstat(fd, &st) != 0) {
        const int code = errno;
        close(fd);
        return gs_io_fail(err, code, "examine", path);
    }
    return empty_at(fd, path, st.st_dev, keep, ctx, 0, err);
}

static bool is_name(const void *ctx, const char *name) { return strcmp(name, ctx) == 0; }

gs_status gs_tree_empty(const char *path, const char *keep, gs_error *err)
{
    return gs_tree_clear(path, keep ? is_name : NULL, keep, err);
}

static gs_status sync_path(const char *path, int flags, gs_error *err)
{
    const int fd = TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags));
    if (fd < 0) return gs_io_fail(err, errno, "open", path);
    const int code = TEMP_FAILURE_RETRY(fsync(fd)) == 0 ? 0 : errno;
    close(fd);
    /* Some file systems cannot sync a directory and say EINVAL; they have nothing to sync then. */
    return code == 0 || (code == EINVAL && flags != 0) ? GS_OK : gs_io_fail(err, code, "write", path);
}

gs_status gs_dir_sync(const char *path, gs_error *err) { return sync_path(path, O_DIRECTORY, err); }

static gs_status sync_tree(const char *path, int depth, gs_error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL) return gs_io_fail(err, errno, "list", path);
    gs_status status = GS_OK;
    for (const char *name; status == GS_OK && (name = gs_dir_next(dir, path, &status, err)) != NULL;) {
        struct stat st;
        char *full = gs_path_join(path, name);
        if (lstat(full, &st) != 0)
            status = gs_io_fail(err, errno, "examine", full);
        else if (S_ISREG(st.st_mode))
            status = sync_path(full, 0, err);
        else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            status = sync_tree(full, depth + 1, err);
        gs_free(full);
    }
    closedir(dir);
    GS_TRY(status);
    return gs_dir_sync(path, err);
}

gs_status gs_tree_sync(const char *path, gs_error *err) { return sync_tree(path, 0, err); }

static uint64_t bytes_of(const char *path, int depth)
{
    uint64_t sum = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (is_dot(e->d_name)) continue;
        char *full = gs_path_join(path, e->d_name);
        if (lstat(full, &st) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_blocks * 512;
        else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            sum += bytes_of(full, depth + 1);
        gs_free(full);
    }
    closedir(dir);
    return sum;
}

uint64_t gs_tree_bytes(const char *path) { return bytes_of(path, 0); }

gs_status gs_dir_is_empty(const char *path, bool *empty, gs_error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL) return gs_io_fail(err, errno, "list", path);
    gs_status status;
    *empty = gs_dir_next(dir, path, &status, err) == NULL;
    closedir(dir);
    return status;
}

gs_status gs_dir_make_all(const char *path, char **made, gs_error *err)
{
    char *partial = gs_strdup(path);
    gs_status status = GS_OK;
    if (made != NULL) *made = NULL;
    for (char *at = partial; status == GS_OK && *at != '\0';) {
        while (*at == '/') at++;
        while (*at != '\0' && *at != '/') at++;
        const char kept = *at;
        *at = '\0';
        if (mkdir(partial, 0750) == 0) {
            if (made != NULL && *made == NULL) *made = gs_strdup(partial);
        } else if (errno != EEXIST &&
                   !gs_path_is_dir(partial)) { /* EACCES, EROFS: the directory may be there all the same */
            status = gs_io_fail(err, errno, "create the directory", partial);
        } else if (!gs_path_is_dir(partial)) {
            status = gs_fail(err, GS_ERR_IO, "%s is in the way: it is not a directory", partial);
        }
        *at = kept;
    }
    gs_free(partial);
    return status;
}
