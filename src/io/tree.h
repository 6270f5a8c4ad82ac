/* Whole directories. Links are never followed and other file systems never entered.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_TREE_H
#define GS_IO_TREE_H

#include "base/mem.h"

/* Remove what is in the directory, except the entry `keep` of its top level (NULL = nothing is kept). */
gs_status gs_tree_empty(const char *path, const char *keep, gs_error *err) GS_CHECKED;
/* The same for entries for which keep(ctx, name) is true. */
typedef bool (*gs_keep_fn)(const void *ctx, const char *name);
gs_status gs_tree_clear(const char *path, gs_keep_fn keep, const void *ctx, gs_error *err) GS_CHECKED;
/* fsync every file and directory. */
gs_status gs_tree_sync(const char *path, gs_error *err) GS_CHECKED;
gs_status gs_dir_sync(const char *path, gs_error *err) GS_CHECKED;
/* What regular files in it take on the disk; what cannot be looked at counts as nothing. */
uint64_t gs_tree_bytes(const char *path);
gs_status gs_dir_is_empty(const char *path, bool *empty, gs_error *err) GS_CHECKED;
/* mkdir -p with mode 0750. *made (may be NULL) = the topmost directory that was created, or NULL; caller gs_free()s. */
gs_status gs_dir_make_all(const char *path, char **made, gs_error *err) GS_CHECKED;

#endif
