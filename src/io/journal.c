/* See journal.h. SPDX-License-Identifier: Apache-2.0 */
#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "io/io_error.h"

bool gs_journal_exists(const char *dir)
{
    struct stat st;
    char *path = gs_path_join(dir, GS_JOURNAL_NAME);
    const bool there = lstat(path, &st) == 0;
    gs_free(path);
    return there;
}

gs_status gs_journal_read(const char *dir, char **data, gs_frames *out, gs_error *err)
{
    size_t n;
    *out = (gs_frames){0};
    char *path = gs_path_join(dir, GS_JOURNAL_NAME);
    gs_status status = gs_file_read_all(path, GS_JOURNAL_BYTES, data, &n, err);
    if (status == GS_OK) {
        status = gs_journal_parse(*data, n, out, err);
        if (status != GS_OK) gs_wrap(err, "%s", path);
    }
    gs_free(path);
    return status;
}

static gs_status open_it(gs_journal *j, const char *dir, int flags, gs_error *err)
{
    *j = (gs_journal){.fd = -1, .path = gs_path_join(dir, GS_JOURNAL_NAME)};
    j->fd = TEMP_FAILURE_RETRY(open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
    if (j->fd >= 0) return GS_OK;
    const gs_status status = gs_io_fail(err, errno, "open", j->path);
    gs_journal_close(j);
    return status;
}

gs_status gs_journal_create(gs_journal *j, const char *dir, gs_error *err)
{
    return open_it(j, dir, O_CREAT | O_EXCL, err);
}

/* What is torn goes, or a shorter frame would leave some of it behind. */
gs_status gs_journal_continue(gs_journal *j, const char *dir, const gs_frames *f, gs_error *err)
{
    GS_TRY(open_it(j, dir, 0, err));
    j->end = f->whole;
    j->chain = f->chain;
    if (TEMP_FAILURE_RETRY(ftruncate(j->fd, (off_t)j->end)) == 0 && TEMP_FAILURE_RETRY(fsync(j->fd)) == 0) return GS_OK;
    const gs_status status = gs_io_fail(err, errno, "write", j->path);
    gs_journal_close(j);
    return status;
}

/* Bytes behind the end, and on the disk. */
static gs_status put(const gs_journal *j, size_t behind, const char *data, size_t n, gs_error *err)
{
    GS_TRY(gs_pwrite_all(j->fd, j->end + behind, data, n, j->path, err));
    return gs_fd_sync(j->fd, j->path, err);
}

gs_status gs_journal_append(gs_journal *j, uint32_t kind, const void *data, size_t n, gs_error *err)
{
    gs_str bytes;
    if (n > GS_JOURNAL_BYTES || j->end + n > GS_JOURNAL_BYTES)
        return gs_fail(err, GS_ERR_IO, "%s would become larger than %zu bytes", j->path, GS_JOURNAL_BYTES);
    gs_str_init(&bytes);
    const uint64_t chain = gs_journal_frame(&bytes, j->chain, kind, data, n);
    /* The head first: should the rest be torn, it says how much of the file that is. */
    gs_status status = put(j, 0, bytes.data, GS_JOURNAL_HEAD, err);
    if (status == GS_OK)
        status = put(j, GS_JOURNAL_HEAD, bytes.data + GS_JOURNAL_HEAD, bytes.len - GS_JOURNAL_HEAD, err);
    if (status == GS_OK) {
        j->end += bytes.len;
        j->chain = chain;
    }
    gs_str_release(&bytes);
    return status;
}

void gs_journal_close(gs_journal *j)
{
    if (j->path && j->fd >= 0) close(j->fd);
    gs_free(j->path);
    *j = (gs_journal){.fd = -1};
}
