/* Large transfers past the page cache, so that a run neither fills it nor pays for it: O_DIRECT where the file system allows it,
 * elsewhere (tmpfs, some network file systems) plain calls that take their pages out of the cache again. Places need not lie on
 * block boundaries. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_DIRECT_H
#define GS_IO_DIRECT_H

#include "io/file.h"

#define GS_DIRECT_LEAST ((size_t)1 << 20) /* smaller transfers are not worth it: they go through the page cache */

/* Blocks of the transfers: what file offsets and addresses must be multiples of. */
size_t gs_direct_unit(void);
/* Room for reading n bytes from any offset: they are read with the blocks around them. */
size_t gs_direct_room(size_t n);

/* Reads one file after another. The block that a read ends in is kept, since the next read often begins in it: consecutive reads
 * ask for no byte twice. For one thread. All zero = closed. */
typedef struct gs_direct_reader {
    const gs_file *file; /* NULL = none yet */
    int fd;              /* the same file opened with O_DIRECT; -1 = not possible */
    char *kept;          /* one block */
    uint64_t kept_at;
    size_t kept_bytes;   /* 0 = nothing is kept */
    uint64_t bytes_read; /* what the kernel was asked for, of all files */
} gs_direct_reader;

/* Exactly n bytes at offset, or an error, as gs_file_pread. room: gs_direct_room(n) bytes, on a block boundary if possible (a
 * gs_buf from 1 MiB on is). *data points into it. */
gs_status gs_direct_read(gs_direct_reader *r, const gs_file *f, uint64_t offset, size_t n, void *room,
                         const void **data, gs_error *err) GS_CHECKED;
void gs_direct_close(gs_direct_reader *r);

/* A file of our own, `bytes` long, and a reader for it, whose fd takes writes too. create: there is none of that name yet, and its space
 * is reserved where the file system can; else it is there, of that size, or it is GS_ERR_FILE. */
gs_status gs_direct_own(gs_file *f, gs_direct_reader *r, const char *path, uint64_t bytes, bool create,
                        gs_error *err) GS_CHECKED;

/* The file of fd once more, for transfers past the cache; -1 = not possible. flags: O_RDONLY, O_WRONLY or O_RDWR. */
int gs_direct_open(int fd, const char *path, int flags);
/* All n bytes or an error, as gs_pwrite_all. direct: of gs_direct_open, or -1. Whole blocks go past the cache if src lies as far
 * behind a block boundary as offset does. */
gs_status gs_direct_write(int fd, int direct, uint64_t offset, const void *src, size_t n, const char *path,
                          gs_error *err) GS_CHECKED;

#endif
