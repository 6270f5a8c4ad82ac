/* See direct.h. Blocks are pages, or 4096 bytes where those are smaller: no disk in use asks for more. A file system that refuses
 * (EINVAL) or stops in the middle of a block costs nothing but the detour through the cache.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_error.h"

#ifndef O_DIRECT
#define O_DIRECT 0
#endif

/* One call can be interrupted within a moment. */
#define MAX_CALL ((size_t)64 << 20)

size_t gs_direct_unit(void)
{
    const long page = sysconf(_SC_PAGESIZE);
    return page > 4096 ? (size_t)page : 4096;
}

size_t gs_direct_room(size_t n) { return n + 2 * gs_direct_unit(); }

static bool same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int gs_direct_open(int fd, const char *path, int flags)
{
    if (O_DIRECT == 0) return -1;
    const int direct = TEMP_FAILURE_RETRY(open(path, flags | O_DIRECT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (direct >= 0 && same_file(direct, fd)) return direct;
    if (direct >= 0) close(direct); /* another file has taken the name */
    return -1;
}

static bool begin_file(gs_direct_reader *r, const gs_file *f)
{
    if (r->file == f) return r->fd >= 0;
    if (r->file && r->fd >= 0) close(r->fd);
    r->file = f;
    r->fd = gs_direct_open(f->fd, f->path, O_RDONLY);
    r->kept_bytes = 0;
    return r->fd >= 0;
}

void gs_direct_close(gs_direct_reader *r)
{
    if (r->file && r->fd >= 0) close(r->fd);
    gs_free(r->kept);
    *r = (gs_direct_reader){0};
}

gs_status gs_direct_own(gs_file *f, gs_direct_reader *r, const char *path, uint64_t bytes, bool create, gs_error *err)
{
    struct stat st;
    *r = (gs_direct_reader){0};
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT | O_EXCL : 0), 0600);
    *f = (gs_file){.fd = fd, .size = bytes, .path = gs_strdup(path)};
    gs_status status = fd >= 0 ? GS_OK : gs_io_fail(err, errno, create ? "create" : "open", path);
    if (status == GS_OK && create) status = gs_file_reserve(fd, bytes, path, err);
    if (status == GS_OK && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes))
        status = gs_fail(err, GS_ERR_FILE, "%s should be a file of %llu bytes", path, (unsigned long long)bytes);
    if (status != GS_OK) {
        gs_file_close(f);
        return status;
    }
    r->file = f;
    r->fd = gs_direct_open(fd, path, O_RDWR);
    return GS_OK;
}

/* Whole blocks from byte `from` of the file on, behind the `have` bytes that are in room already; how many bytes are there then:
 * less than `span` at the end of the file, or where plain reads must go on. */
static gs_status read_blocks(gs_direct_reader *r, uint64_t from, char *room, size_t span, size_t *have, gs_error *err)
{
    while (*have < span) {
        const size_t rest = span - *have;
        const ssize_t got = pread(r->fd, room + *have, rest < MAX_CALL ? rest : MAX_CALL, (off_t)(from + *have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno != EINVAL) return gs_io_fail(err, errno, "read", r->file->path);
        if (got < 0) {
            close(r->fd);
            r->fd = -1;
        }
        if (got <= 0) break;
        *have += (size_t)got;
        r->bytes_read += (uint64_t)got;
        if ((size_t)got % gs_direct_unit() != 0) break;
    }
    return GS_OK;
}

/* The block in which the next read is likely to begin. room: have bytes from byte `from` on, of which `need` were wanted. */
static void keep_block(gs_direct_reader *r, uint64_t from, const char *room, size_t have, size_t need)
{
    const size_t unit = gs_direct_unit(), start = need / unit * unit;
    size_t bytes = have - start;
    if (bytes > unit) bytes = unit;
    const bool whole = bytes == unit || from + start + bytes == r->file->size;
    r->kept_bytes = need % unit != 0 && whole ? bytes : 0;
    r->kept_at = from + start;
    if (!r->kept) r->kept = gs_alloc(unit);
    memcpy(r->kept, room + start, r->kept_bytes);
}

static gs_status read_plain(gs_direct_reader *r, const gs_file *f, uint64_t offset, void *dst, size_t n, gs_error *err)
{
    GS_TRY(gs_file_pread(f, offset, dst, n, err));
    if (n >= GS_DIRECT_LEAST) gs_file_forget(f, offset, n);
    r->bytes_read += n;
    return GS_OK;
}

gs_status gs_direct_read(gs_direct_reader *r, const gs_file *f, uint64_t offset, size_t n, void *room,
                         const void **data, gs_error *err)
{
    const size_t unit = gs_direct_unit(), lead = (size_t)(offset % unit), need = lead + n;
    const bool inside = offset <= f->size && n <= f->size - offset;
    if (!inside || n < GS_DIRECT_LEAST || (uintptr_t)room % unit != 0 || !begin_file(r, f)) {
        *data = room;
        return read_plain(r, f, offset, room, n, err);
    }
    const uint64_t from = offset - lead;
    const size_t span = (need + unit - 1) / unit * unit;
    size_t have = r->kept_at == from ? r->kept_bytes : 0;
    if (have > 0) memcpy(room, r->kept, have);
    if (have == 0 || have == unit) GS_TRY(read_blocks(r, from, room, span, &have, err));
    if (have < need) {
        GS_TRY(read_plain(r, f, from + have, (char *)room + have, need - have, err));
        have = need;
    }
    keep_block(r, from, room, have, need);
    *data = (char *)room + lead;
    return GS_OK;
}

/* Written pages leave the cache once they are on the disk. What the disk refuses is said here: fsync would not repeat it. */
static gs_status forget_written(int fd, uint64_t offset, size_t n, const char *path, gs_error *err)
{
#ifdef SYNC_FILE_RANGE_WRITE
    const unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(fd, (off_t)offset, (off_t)n, how) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
        return gs_io_fail(err, errno, "write", path);
#endif
    (void)posix_fadvise(fd, (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
    return GS_OK;
}

static gs_status write_plain(int fd, uint64_t offset, const void *src, size_t n, const char *path, gs_error *err)
{
    GS_TRY(gs_pwrite_all(fd, offset, src, n, path, err));
    return n >= GS_DIRECT_LEAST ? forget_written(fd, offset, n, path, err) : GS_OK;
}

/* Whole blocks; *done < n where plain writes must go on. */
static gs_status write_blocks(int direct, uint64_t offset, const char *src, size_t n, size_t *done, const char *path,
                              gs_error *err)
{
    *done = 0;
    while (*done < n) {
        const size_t rest = n - *done;
        const ssize_t put = pwrite(direct, src + *done, rest < MAX_CALL ? rest : MAX_CALL, (off_t)(offset + *done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno != EINVAL) return gs_io_fail(err, errno, "write", path);
        if (put <= 0) break;
        *done += (size_t)put;
        if ((size_t)put % gs_direct_unit() != 0) break;
    }
    return GS_OK;
}

gs_status gs_direct_write(int fd, int direct, uint64_t offset, const void *src, size_t n, const char *path,
                          gs_error *err)
{
    const size_t unit = gs_direct_unit(), past = (size_t)(offset % unit), lead = past ? unit - past : 0;
    if (direct < 0 || n < GS_DIRECT_LEAST || n < lead + unit || (uintptr_t)src % unit != past)
        return write_plain(fd, offset, src, n, path, err);
    const char *from = src;
    size_t done;
    GS_TRY(gs_pwrite_all(fd, offset, from, lead, path, err));
    GS_TRY(write_blocks(direct, offset + lead, from + lead, (n - lead) / unit * unit, &done, path, err));
    return write_plain(fd, offset + lead + done, from + lead + done, n - lead - done, path, err);
}
