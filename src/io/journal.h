/* The journal of a run: what is finished, in a file of its work folder. A frame is appended when everything it speaks of is on the
 * disk, and is itself on the disk before anything goes on; so only the last one can be torn, and that one is ignored. Its head, which
 * tells its length, is on the disk before the rest is written: whatever is lost, a torn frame is told from damage. Frames are
 * numbered by a chain of checksums: one that is missing, doubled or changed in the middle is an error, never a shorter journal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_JOURNAL_H
#define GS_IO_JOURNAL_H

#include "base/str.h"
#include "io/file.h"

#define GS_JOURNAL_NAME  "journal"
#define GS_JOURNAL_BYTES ((size_t)1 << 30) /* of a whole journal; a larger one is none of ours */
enum { GS_JOURNAL_HEAD = 24 };             /* bytes of a frame's head */

typedef struct gs_frame {
    uint32_t kind;
    const unsigned char *data; /* in the bytes that were parsed, wherever they begin */
    size_t bytes;
} gs_frame;

typedef struct gs_frames {
    gs_frame *frame;
    int n;
    size_t whole;   /* bytes of the whole frames; what follows is torn */
    uint64_t chain; /* checksum of the last of them */
} gs_frames;

/* journal_parse.c: bytes to frames; nothing else is looked at. GS_ERR_FILE (text without a path): damaged;
 * GS_ERR_UNSUPPORTED: frames of another version. */
gs_status gs_journal_parse(const void *data, size_t n, gs_frames *out, gs_error *err) GS_CHECKED;
void gs_frames_release(gs_frames *f);
/* The bytes of one frame behind those whose chain is given, appended to out; returns the new chain. */
uint64_t gs_journal_frame(gs_str *out, uint64_t chain, uint32_t kind, const void *data, size_t n);

typedef struct gs_journal {
    int fd;
    char *path; /* NULL = closed */
    uint64_t end, chain;
} gs_journal;

bool gs_journal_exists(const char *dir);
/* *data: the bytes of `dir`'s journal, for gs_frames to point into; the caller frees both. The path is in the error. */
gs_status gs_journal_read(const char *dir, char **data, gs_frames *out, gs_error *err) GS_CHECKED;
/* An empty one; there must be none. */
gs_status gs_journal_create(gs_journal *j, const char *dir, gs_error *err) GS_CHECKED;
/* The one that was read: it goes on behind its whole frames. */
gs_status gs_journal_continue(gs_journal *j, const char *dir, const gs_frames *f, gs_error *err) GS_CHECKED;
/* On the disk when it returns. */
gs_status gs_journal_append(gs_journal *j, uint32_t kind, const void *data, size_t n, gs_error *err) GS_CHECKED;
void gs_journal_close(gs_journal *j); /* accepts an all-zero struct */

#endif
