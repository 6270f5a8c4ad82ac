/* SHA-256 of bytes, of files and of a whole directory, and the list that `sha256sum -c` reads. The only place that knows
 * libcrypto. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_SHA256_H
#define GS_IO_SHA256_H

#include "base/pool.h"
#include "base/str.h"
#include "io/checkpoint.h"

#define GS_CHECKSUMS_FILE "glmslim_manifest.sha256" /* in a result directory */
#define GS_SHA256_TEXT    65                        /* 64 lower-case hexadecimal digits and the NUL */

gs_status gs_sha256_bytes(const void *data, size_t n, char out[GS_SHA256_TEXT], gs_error *err) GS_CHECKED;
gs_status gs_sha256_file(const char *path, char out[GS_SHA256_TEXT], uint64_t *bytes, gs_error *err) GS_CHECKED;

/* Which checkpoint file is this, without reading all of it: over its header, as stored, and up to GS_SAMPLE_BYTES from the
 * start of each tensor, in the order of the file. Training moves every value of a tensor a little, so two checkpoints of one
 * shape differ here; it is no protection against someone who wants them not to. */
#define GS_SAMPLE_BYTES 4096
gs_status gs_sha256_sample(const gs_checkpoint *ck, int file, char out[GS_SHA256_TEXT], gs_error *err) GS_CHECKED;

typedef struct gs_checksum {
    char *name;
    uint64_t bytes;
    char sha256[GS_SHA256_TEXT];
} gs_checksum;

typedef struct gs_checksums {
    gs_checksum *file; /* by name, in the order of bytes */
    int n, cap;
} gs_checksums;

/* Every regular file of dir, each read once in large blocks; files are spread over the pool's threads. */
gs_status gs_checksums_read(gs_checksums *c, gs_pool *pool, const char *dir, gs_error *err) GS_CHECKED;
/* One more, whose content is at hand. */
gs_status gs_checksums_add(gs_checksums *c, const char *name, const void *data, size_t n, gs_error *err) GS_CHECKED;
const gs_checksum *gs_checksums_find(const gs_checksums *c, const char *name); /* NULL = absent */
/* The lines sha256sum writes, with its escapes for line breaks and backslashes in names. */
void gs_checksums_text(const gs_checksums *c, gs_str *out);
/* Back from those lines, NUL behind them; bytes are 0, the order is by name. A line that is none, a name with a slash or a name twice is
 * GS_ERR_FILE with `path` and the line's number. */
gs_status gs_checksums_parse(gs_checksums *c, const char *text, size_t n, const char *path, gs_error *err) GS_CHECKED;
void gs_checksums_release(gs_checksums *c);

#endif
