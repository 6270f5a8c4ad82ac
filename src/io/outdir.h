/* The output directory appears complete or not at all. Work happens in a hidden folder beside it,
 * ".<name>.glmslim-work", on the same file system, locked while a run owns it; commit syncs and renames.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_OUTDIR_H
#define GS_IO_OUTDIR_H

#include "io/writer.h"

typedef struct gs_outdir {
    char *final_path; /* absolute, links resolved */
    char *work_path;  /* write here; a folder inside the work folder, which becomes the output */
    int lock_fd;
    bool replaces; /* an existing directory with content is exchanged at commit */
    bool active;
    bool found;        /* an earlier run has left work_path, and it is not the output that was replaced */
    bool two_steps;    /* do not exchange but move away and in, as on file systems that cannot exchange (for tests) */
    char *base_path;   /* the work folder itself: lock, new, and for a moment the old output */
    char *made_parent; /* topmost parent directory that begin had to create, or NULL */
} gs_outdir;

/* Checks only, nothing is created (the folder of a run that was killed after its last rename is cleared away): parent exists and is writable (missing parents will be created), target absent, an
 * empty directory, or overwrite; not inside, equal to or above model_dir (after resolving links). */
gs_status gs_outdir_check(const char *final_path, const char *model_dir, bool overwrite, gs_error *err) GS_CHECKED;
/* Free bytes on the file system the output will be on, and those that an earlier run has taken there for it; 0 = unknown. */
uint64_t gs_outdir_free_bytes(const char *final_path);
/* Create and lock the work folder; one held by a living run is refused, naming its pid. What a dead run has left stays there. */
gs_status gs_outdir_enter(gs_outdir *o, const char *final_path, const char *model_dir, bool overwrite,
                          gs_error *err) GS_CHECKED;
/* Start over: everything in the work folder goes, and work_path is made anew. */
gs_status gs_outdir_clear(gs_outdir *o, gs_error *err) GS_CHECKED;
/* What is in work_path goes, but for the first n names. */
gs_status gs_outdir_keep_files(const gs_outdir *o, const gs_out_file *files, int n, gs_error *err) GS_CHECKED;
/* Both. */
gs_status gs_outdir_begin(gs_outdir *o, const char *final_path, const char *model_dir, bool overwrite,
                          gs_error *err) GS_CHECKED;
/* Names in the work folder, in work_path, and those of the folder itself and of parents that were made, are on the disk. */
gs_status gs_outdir_sync_names(const gs_outdir *o, gs_error *err) GS_CHECKED;
/* Unlock, and leave everything as it is for the next run. */
void gs_outdir_leave(gs_outdir *o);
/* fsync, mode 0750, rename into place (an existing directory is exchanged by rename and the old one deleted after).
 * On failure the old directory is as it was and gs_outdir_abort() is still due. */
gs_status gs_outdir_commit(gs_outdir *o, gs_error *err) GS_CHECKED;
/* Remove the work folder and parents that begin made; after commit it only frees the paths. Fine on an all-zero
 * struct. */
void gs_outdir_abort(gs_outdir *o);

#endif
