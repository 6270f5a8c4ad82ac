/* Files, distrustfully. Inputs must be regular files (symlinks are followed, then checked; see guard.h); every read is bounded;
 * short reads, EINTR and truncation while reading become errors that name the path.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_FILE_H
#define GS_IO_FILE_H

#include <dirent.h>

#include "base/mem.h"

/* One state of a file. Without the inode, whose number some network file systems make up anew. All zero = there is no file. */
typedef struct gs_stamp {
    uint64_t bytes;
    int64_t seconds, nanoseconds;         /* of the last change of the content */
    int64_t changed, changed_nanoseconds; /* of anything: name, links, mode too; nobody can set it back */
} gs_stamp;

typedef struct gs_file {
    int fd;
    uint64_t size;
    char *path;     /* owned */
    gs_stamp stamp; /* when it was opened */
} gs_file;

gs_status gs_file_open(gs_file *f, const char *path, gs_error *err) GS_CHECKED; /* read only */
void gs_file_close(gs_file *f); /* accepts {.fd = -1} and all-zero with path == NULL */
/* Exactly n bytes at offset, or an error. */
gs_status gs_file_pread(const gs_file *f, uint64_t offset, void *dst, size_t n, gs_error *err) GS_CHECKED;
/* GS_ERR_FILE if the open file's size or time of change is not what it was when it was opened. Where only the time of the last change of
 * anything is, as behind a backup that makes hard links, or where the other was set back, the guard decides. */
gs_status gs_file_unchanged(const gs_file *f, gs_error *err) GS_CHECKED;
/* Of what the path leads to. */
gs_stamp gs_path_stamp(const char *path);
/* By size and time of change of the content. */
bool gs_stamp_equal(const gs_stamp *a, const gs_stamp *b);
/* The kernel may drop these pages: keeps a long run from filling the page cache. */
void gs_file_forget(const gs_file *f, uint64_t offset, uint64_t n);

/* Whole small file, at most max bytes, NUL-terminated (the NUL is not counted in *n). Caller gs_free()s *data. */
gs_status gs_file_read_all(const char *path, size_t max, char **data, size_t *n, gs_error *err) GS_CHECKED;
gs_status gs_pwrite_all(int fd, uint64_t offset, const void *src, size_t n, const char *path, gs_error *err) GS_CHECKED;
/* The file gets this size; where the file system can, a full disk shows now. */
gs_status gs_file_reserve(int fd, uint64_t bytes, const char *path, gs_error *err) GS_CHECKED;
/* What has been written to an open file is on the disk. */
gs_status gs_fd_sync(int fd, const char *path, gs_error *err) GS_CHECKED;
gs_status gs_file_sync(const gs_file *f, gs_error *err) GS_CHECKED;
gs_status gs_path_remove(const char *path, gs_error *err) GS_CHECKED; /* a file; it may be gone already */
/* Create or replace, exact mode whatever the umask, fsync. */
gs_status gs_file_write_all(const char *path, const void *src, size_t n, unsigned mode, gs_error *err) GS_CHECKED;

/* The same where nothing may be yet: neither a file nor a link that somebody has put there is followed or replaced. */
gs_status gs_file_write_new(const char *path, const void *src, size_t n, unsigned mode, gs_error *err) GS_CHECKED;

/* The next entry of a directory that is not "." or ".."; NULL at the end and after a failure, which readdir() alone does not tell apart. */
const char *gs_dir_next(DIR *dir, const char *path, gs_status *status, gs_error *err);
/* Is a regular file at the path, links followed? What cannot be examined is a failure, not an absence. */
gs_status gs_path_is_file(const char *path, bool *is_file, gs_error *err) GS_CHECKED;
bool gs_path_is_dir(const char *path);
bool gs_path_exists(const char *path);
char *gs_path_join(const char *dir, const char *name); /* caller gs_free()s */

#endif
