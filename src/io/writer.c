/* Writing planned files. Space is reserved before the first byte, so that a full disk is known in seconds and not
 * after hours; how much of each tensor has arrived is counted, so that a finished file has no unwritten part.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/io_error.h"

struct gs_writer {
    const gs_layout *layout;
    char **paths;
    int *fds;
    int *direct;               /* the same files past the page cache; -1 = not possible */
    _Atomic uint64_t *written; /* bytes that arrived, per tensor */
};

static gs_status check_space(const char *dir, const gs_layout *l, gs_error *err)
{
    struct statvfs fs;
    uint64_t needed = 0;
    for (int i = 0; i < l->n_files; i++) needed += l->files[i].bytes;
    if (statvfs(dir, &fs) != 0) return gs_io_fail(err, errno, "examine the file system of", dir);
    if (fs.f_blocks == 0) return GS_OK; /* a file system that does not count blocks */
    const uint64_t blocks = geteuid() == 0 ? fs.f_bfree : fs.f_bavail;
    const uint64_t room = blocks * (uint64_t)fs.f_frsize;
    if (needed <= room) return GS_OK;
    return gs_fail(err, GS_ERR_IO,
                   "%s: the output needs %.3f GB but the disk has only %.3f GB free: free space there or choose "
                   "another directory",
                   dir, (double)needed / 1e9, (double)room / 1e9);
}

/* One that was finished has lost its write permission. */
static gs_status open_again(gs_writer *w, const char *path, int i, gs_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0) return gs_io_fail(err, errno, "open again", path);
    if (S_ISREG(st.st_mode) && chmod(path, 0600) != 0) return gs_io_fail(err, errno, "set the permissions of", path);
    const int fd = w->fds[i] = TEMP_FAILURE_RETRY(open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd < 0) return gs_io_fail(err, errno, "open again", path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == w->layout->files[i].bytes) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s should be a file of %llu bytes", path,
                   (unsigned long long)w->layout->files[i].bytes);
}

static gs_status start_file(gs_writer *w, const char *dir, int i, bool again, gs_error *err)
{
    const gs_out_file *f = &w->layout->files[i];
    const char *path = w->paths[i] = gs_path_join(dir, f->name);
    if (again) {
        GS_TRY(open_again(w, path, i, err));
    } else {
        w->fds[i] = TEMP_FAILURE_RETRY(open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (w->fds[i] < 0) return gs_io_fail(err, errno, "create", path);
    }
    const int fd = w->fds[i];
    if (fchmod(fd, 0600) != 0) return gs_io_fail(err, errno, "set the permissions of", path);
    w->direct[i] = gs_direct_open(fd, path, O_WRONLY);
    if (!again) GS_TRY(gs_file_reserve(fd, f->bytes, path, err));
    size_t n;
    char *header = gs_layout_header(w->layout, i, &n);
    const gs_status status = gs_pwrite_all(fd, 0, header, n, path, err);
    gs_free(header);
    return status;
}

static gs_status open_files(gs_writer **out, const char *dir, const gs_layout *layout, bool again, gs_error *err)
{
    gs_writer *w = gs_alloc(sizeof *w);
    w->layout = layout;
    w->paths = gs_alloc_array((size_t)layout->n_files, sizeof *w->paths);
    w->fds = gs_alloc_array((size_t)layout->n_files, sizeof *w->fds);
    w->direct = gs_alloc_array((size_t)layout->n_files, sizeof *w->direct);
    w->written = gs_alloc_array((size_t)layout->count + 1, sizeof *w->written);
    for (int i = 0; i < layout->n_files; i++) w->fds[i] = w->direct[i] = -1;
    gs_status status = GS_OK;
    for (int i = 0; i < layout->n_files && status == GS_OK; i++) status = start_file(w, dir, i, again, err);
    if (status != GS_OK) {
        gs_writer_free(w);
        return status;
    }
    *out = w;
    return GS_OK;
}

gs_status gs_writer_open(gs_writer **out, const char *dir, const gs_layout *layout, gs_error *err)
{
    *out = NULL;
    GS_TRY(check_space(dir, layout, err));
    return open_files(out, dir, layout, false, err);
}

gs_status gs_writer_reopen(gs_writer **out, const char *dir, const gs_layout *layout, gs_error *err)
{
    *out = NULL;
    return open_files(out, dir, layout, true, err);
}

size_t gs_writer_lead(const gs_writer *w, int64_t index, uint64_t offset)
{
    if (index < 0 || index >= w->layout->count) return 0; /* gs_writer_put will say it */
    return (size_t)((w->layout->tensors[index].offset + offset) % gs_direct_unit());
}

gs_status gs_writer_put(gs_writer *w, int64_t index, uint64_t offset, const void *src, size_t n, gs_error *err)
{
    if (index < 0 || index >= w->layout->count)
        return gs_fail(err, GS_ERR_FILE, "output tensor number %lld was never planned", (long long)index);
    const gs_tensor *t = &w->layout->tensors[index];
    if (offset > t->bytes || n > t->bytes - offset)
        return gs_fail(err, GS_ERR_FILE, "output tensor '%s' has %llu bytes; %zu at byte %llu do not fit", t->name,
                       (unsigned long long)t->bytes, n, (unsigned long long)offset);
    if (w->fds[t->file] < 0)
        return gs_fail(err, GS_ERR_FILE, "output tensor '%s': its file is finished already", t->name);
    const int fd = w->fds[t->file], direct = w->direct[t->file];
    if (gs_direct_write(fd, direct, t->offset + offset, src, n, w->paths[t->file], err) != GS_OK)
        return gs_wrap(err, "output tensor '%s'", t->name);
    atomic_fetch_add_explicit(&w->written[index], n, memory_order_relaxed);
    return GS_OK;
}

bool gs_writer_set_written(gs_writer *w, int64_t index, uint64_t bytes)
{
    if (index < 0 || index >= w->layout->count || bytes > w->layout->tensors[index].bytes) return false;
    atomic_store_explicit(&w->written[index], bytes, memory_order_relaxed);
    return true;
}

uint64_t gs_writer_written(const gs_writer *w, int64_t index)
{
    return atomic_load_explicit(&w->written[index], memory_order_relaxed);
}

gs_status gs_writer_sync(gs_writer *w, gs_error *err)
{
    for (int i = 0; i < w->layout->n_files; i++)
        if (w->fds[i] >= 0) GS_TRY(gs_fd_sync(w->fds[i], w->paths[i], err));
    return GS_OK;
}

static gs_status finish_file(gs_writer *w, int i, gs_error *err)
{
    const char *path = w->paths[i];
    const int fd = w->fds[i];
    if (w->direct[i] >= 0) close(w->direct[i]); /* its writes have reached the disk, or were reported */
    w->direct[i] = -1;
    if (fchmod(fd, 0400) != 0) return gs_io_fail(err, errno, "set the permissions of", path);
    if (TEMP_FAILURE_RETRY(fsync(fd)) != 0) return gs_io_fail(err, errno, "write", path);
    w->fds[i] = -1;
    if (close(fd) != 0) return gs_io_fail(err, errno, "write", path);
    return GS_OK;
}

gs_status gs_writer_finish(gs_writer *w, gs_error *err)
{
    const gs_layout *l = w->layout;
    for (int64_t i = 0; i < l->count; i++) {
        const uint64_t written = atomic_load_explicit(&w->written[i], memory_order_relaxed);
        if (written == l->tensors[i].bytes) continue;
        return gs_fail(
            err, GS_ERR_FILE,
            "output tensor '%s' %s: %llu bytes written, %llu planned; this is a defect of the program, please "
            "report it",
            l->tensors[i].name, written < l->tensors[i].bytes ? "is incomplete" : "was written more than once",
            (unsigned long long)written, (unsigned long long)l->tensors[i].bytes);
    }
    for (int i = 0; i < l->n_files; i++) GS_TRY(finish_file(w, i, err));
    return GS_OK;
}

void gs_writer_free(gs_writer *w)
{
    if (w == NULL) return;
    for (int i = 0; i < w->layout->n_files; i++) {
        if (w->fds[i] >= 0) close(w->fds[i]);
        if (w->direct[i] >= 0) close(w->direct[i]);
        gs_free(w->paths[i]);
    }
    gs_free(w->paths);
    gs_free(w->fds);
    gs_free(w->direct);
    gs_free((void *)w->written);
    gs_free(w);
}
