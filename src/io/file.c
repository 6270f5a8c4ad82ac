/* Files, distrustfully: bounded reads and complete writes on plain descriptors. No mmap, because a file that is
 * cut while mapped ends in SIGBUS, and a person wants a sentence instead.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "io/guard.h"
#include "io/io_error.h"

/* Linux transfers at most 0x7ffff000 bytes per call; staying well below keeps one call interruptible. */
#define MAX_CALL ((size_t)64 << 20)

static const char *remedy(int code)
{
    switch (code) {
    case ENOENT:
        return "check the path for typing errors";
    case EACCES:
    case EPERM:
        return "check owner and permissions, or choose another place";
    case EROFS:
        return "the file system is read-only: choose another place";
    case ENOSPC:
    case EDQUOT:
        return "the disk is full: free space there or choose another place";
    case EFBIG:
        return "larger than the file system or 'ulimit -f' allows: raise the limit or use --part_file_size";
    case EMFILE:
    case ENFILE:
        return "too many open files: raise 'ulimit -n'";
    case ENAMETOOLONG:
        return "choose a shorter path";
    case ENXIO:
        return "it is a socket or a device without a driver: give the path of a regular file";
    case ELOOP:
        return "symbolic links lead in a circle";
    case EIO:
        return "the disk or network share reports a fault: check it, then try again";
    default:
        return "check the path and its file system";
    }
}

gs_status gs_io_fail(gs_error *err, int code, const char *verb, const char *path)
{
    return gs_fail_errno(err, code, "cannot %s %s (%s)", verb, path, remedy(code));
}

static gs_stamp stamp_of(const struct stat *st)
{
    return (gs_stamp){.bytes = (uint64_t)st->st_size,
                      .seconds = (int64_t)st->st_mtim.tv_sec,
                      .nanoseconds = (int64_t)st->st_mtim.tv_nsec,
                      .changed = (int64_t)st->st_ctim.tv_sec,
                      .changed_nanoseconds = (int64_t)st->st_ctim.tv_nsec};
}

gs_stamp gs_path_stamp(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? stamp_of(&st) : (gs_stamp){0};
}

bool gs_stamp_equal(const gs_stamp *a, const gs_stamp *b)
{
    return a->bytes == b->bytes && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

gs_status gs_file_open(gs_file *f, const char *path, gs_error *err)
{
    *f = (gs_file){.fd = -1};
    /* O_NONBLOCK: opening a FIFO must not wait for a writer; it has no effect on regular files. */
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (gs_guard_refuses() ? O_NOFOLLOW : 0);
    const int fd = TEMP_FAILURE_RETRY(open(path, flags));
    if (fd < 0) {
        const int code = errno;
        if (code == ELOOP && gs_guard_refuses()) GS_TRY(gs_guard_directory(path, err));
        return gs_io_fail(err, code, "open", path);
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        const int code = errno;
        close(fd);
        return gs_io_fail(err, code, "examine", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return gs_fail(err, GS_ERR_IO, "%s is %s, not a regular file: give the path of a file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
    }
    const gs_status status = gs_guard_file(path, &st, err);
    if (status == GS_OK)
        *f = (gs_file){.fd = fd, .size = (uint64_t)st.st_size, .path = gs_strdup(path), .stamp = stamp_of(&st)};
    else
        close(fd);
    return status;
}

void gs_file_close(gs_file *f)
{
    if (f->path != NULL && f->fd >= 0) close(f->fd);
    gs_free(f->path);
    *f = (gs_file){.fd = -1};
}

gs_status gs_file_pread(const gs_file *f, uint64_t offset, void *dst, size_t n, gs_error *err)
{
    if (offset > f->size || n > f->size - offset)
        return gs_fail(err, GS_ERR_FILE, "%s: %zu bytes wanted at byte %llu, but the file has only %llu bytes", f->path,
                       n, (unsigned long long)offset, (unsigned long long)f->size);
    char *to = dst;
    while (n > 0) {
        const ssize_t got = pread(f->fd, to, n < MAX_CALL ? n : MAX_CALL, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return gs_io_fail(err, errno, "read", f->path);
        if (got == 0)
            return gs_fail(
                err, GS_ERR_FILE,
                "%s was cut while it was being read: it ends at byte %llu and had %llu bytes when it was opened; "
                "wait until its copy or download has ended, then run again",
                f->path, (unsigned long long)offset, (unsigned long long)f->size);
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return GS_OK;
}

gs_status gs_file_unchanged(const gs_file *f, gs_error *err)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0) return gs_io_fail(err, errno, "examine", f->path);
    const gs_stamp now = stamp_of(&st);
    if (!gs_stamp_equal(&f->stamp, &now))
        return gs_fail(err, GS_ERR_FILE,
                       "%s was changed after it was opened: what has been read may be of two files. Run again when "
                       "nothing changes there any more",
                       f->path);
    const bool touched = f->stamp.changed != now.changed || f->stamp.changed_nanoseconds != now.changed_nanoseconds;
    return touched ? gs_guard_touched(f->path, err) : GS_OK;
}

void gs_file_forget(const gs_file *f, uint64_t offset, uint64_t n)
{
    /* Advice only: nothing depends on whether the kernel follows it. A length of 0 would mean "to the end". */
    if (n > 0) (void)posix_fadvise(f->fd, (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
}

gs_status gs_file_read_all(const char *path, size_t max, char **data, size_t *n, gs_error *err)
{
    *data = NULL;
    *n = 0;
    gs_file f;
    GS_TRY(gs_file_open(&f, path, err));
    gs_status status;
    if (f.size > max) {
        status = gs_fail(err, GS_ERR_FILE, "%s has %llu bytes; a file of this kind may have at most %zu", path,
                         (unsigned long long)f.size, max);
    } else {
        const size_t size = (size_t)f.size;
        char *text = gs_alloc(size + 1);
        status = gs_file_pread(&f, 0, text, size, err);
        if (status == GS_OK) {
            text[size] = '\0';
            *data = text;
            *n = size;
        } else {
            gs_free(text);
        }
    }
    gs_file_close(&f);
    return status;
}

gs_status gs_pwrite_all(int fd, uint64_t offset, const void *src, size_t n, const char *path, gs_error *err)
{
    const char *from = src;
    while (n > 0) {
        const ssize_t put = pwrite(fd, from, n < MAX_CALL ? n : MAX_CALL, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return gs_io_fail(err, put < 0 ? errno : ENOSPC, "write", path);
        from += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    return GS_OK;
}

/* The plain system call, not posix_fallocate: glibc emulates that by touching every block where the file system
 * cannot reserve. */
gs_status gs_file_reserve(int fd, uint64_t bytes, const char *path, gs_error *err)
{
    int code;
#ifdef __linux__
    do code = fallocate(fd, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
    while (code == EINTR);
#else
    code = EOPNOTSUPP;
#endif
    if (code == EOPNOTSUPP || code == ENOSYS || code == EINVAL) code = ftruncate(fd, (off_t)bytes) == 0 ? 0 : errno;
    return code == 0 ? GS_OK : gs_io_fail(err, code, "reserve space for", path);
}

gs_status gs_fd_sync(int fd, const char *path, gs_error *err)
{
    return TEMP_FAILURE_RETRY(fdatasync(fd)) == 0 ? GS_OK : gs_io_fail(err, errno, "write", path);
}

gs_status gs_file_sync(const gs_file *f, gs_error *err) { return gs_fd_sync(f->fd, f->path, err); }

gs_status gs_path_remove(const char *path, gs_error *err)
{
    return unlink(path) == 0 || errno == ENOENT ? GS_OK : gs_io_fail(err, errno, "remove", path);
}

/* Devices and pipes (/dev/stdout, /dev/null) are written in place: they have no offsets, modes or names to replace. */
static gs_status write_stream(const char *path, const char *src, size_t n, gs_error *err)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return gs_io_fail(err, errno, "open", path);
    gs_status status = GS_OK;
    while (n > 0 && status == GS_OK) {
        const ssize_t put = write(fd, src, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            status = gs_io_fail(err, errno, "write", path);
        } else {
            src += put;
            n -= (size_t)put;
        }
    }
    if (close(fd) != 0 && status == GS_OK) status = gs_io_fail(err, errno, "write", path);
    return status;
}

static gs_status fill_new_file(int fd, const char *path, const void *src, size_t n, unsigned mode, gs_error *err)
{
    GS_TRY(gs_pwrite_all(fd, 0, src, n, path, err));
    if (fchmod(fd, (mode_t)mode) != 0) return gs_io_fail(err, errno, "set the permissions of", path);
    if (TEMP_FAILURE_RETRY(fsync(fd)) != 0) return gs_io_fail(err, errno, "write", path);
    return GS_OK;
}

/* A new file beside the old one, then rename: a reader never sees half, and an old file of mode 0400 is no obstacle. */
static gs_status write_replacing(const char *path, const void *src, size_t n, unsigned mode, gs_error *err)
{
    gs_str temp;
    gs_str_init(&temp);
    gs_str_printf(&temp, "%s.XXXXXX", path);
    const int fd = mkostemp(temp.data, O_CLOEXEC);
    if (fd < 0) {
        const gs_status status = gs_io_fail(err, errno, "create", path);
        gs_str_release(&temp);
        return status;
    }
    gs_status status = fill_new_file(fd, path, src, n, mode, err);
    if (close(fd) != 0 && status == GS_OK) status = gs_io_fail(err, errno, "write", path);
    if (status == GS_OK && rename(temp.data, path) != 0) status = gs_io_fail(err, errno, "replace", path);
    if (status != GS_OK) unlink(temp.data);
    gs_str_release(&temp);
    return status;
}

gs_status gs_file_write_all(const char *path, const void *src, size_t n, unsigned mode, gs_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) return write_replacing(path, src, n, mode, err);
    if (S_ISDIR(st.st_mode)) return gs_fail(err, GS_ERR_IO, "%s is a directory: give the path of a file", path);
    if (!S_ISREG(st.st_mode)) return write_stream(path, src, n, err);
    char *real = realpath(path, NULL); /* a link stays a link: its target is replaced */
    if (real == NULL) return gs_io_fail(err, errno, "resolve", path);
    const gs_status status = write_replacing(real, src, n, mode, err);
    free(real);
    return status;
}

gs_status gs_file_write_new(const char *path, const void *src, size_t n, unsigned mode, gs_error *err)
{
    const int fd = TEMP_FAILURE_RETRY(open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd < 0) return gs_io_fail(err, errno, "create", path);
    gs_status status = fill_new_file(fd, path, src, n, mode, err);
    if (close(fd) != 0 && status == GS_OK) status = gs_io_fail(err, errno, "write", path);
    if (status != GS_OK) unlink(path);
    return status;
}

const char *gs_dir_next(DIR *dir, const char *path, gs_status *status, gs_error *err)
{
    const struct dirent *e;
    do {
        errno = 0;
        e = readdir(dir);
    } while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    *status = e == NULL && errno != 0 ? gs_io_fail(err, errno, "list", path) : GS_OK;
    return e != NULL ? e->d_name : NULL;
}

gs_status gs_path_is_file(const char *path, bool *is_file, gs_error *err)
{
    struct stat st;
    *is_file = false;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? GS_OK : gs_io_fail(err, errno, "examine", path);
    *is_file = S_ISREG(st.st_mode);
    return GS_OK;
}

bool gs_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool gs_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

char *gs_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir), m = strlen(name);
    char *path = gs_alloc(n + m + 2);
    memcpy(path, dir, n);
    const bool slash = n > 0 && dir[n - 1] != '/';
    if (slash) path[n] = '/';
    memcpy(path + n + (slash ? 1 : 0), name, m + 1);
    return path;
}
