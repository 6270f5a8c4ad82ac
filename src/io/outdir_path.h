/* Private to io/: which place is meant by --save_directory, and may it be used? Nothing here changes the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_OUTDIR_PATH_H
#define GS_IO_OUTDIR_PATH_H

#include "base/mem.h"

typedef struct gs_outplace {
    char *final;   /* absolute, links resolved */
    char *parent;  /* its directory; may not exist yet */
    char *work;    /* parent/.<name>.glmslim-work */
    bool exists;   /* final is there */
    bool replaces; /* and not empty */
} gs_outplace;

gs_status gs_outplace_find(gs_outplace *p, const char *path, const char *model_dir, bool overwrite,
                           gs_error *err) GS_CHECKED;
void gs_outplace_release(gs_outplace *p);
/* What exists of an absolute path: itself or the nearest above it. Caller gs_free()s. */
char *gs_path_existing(const char *path);

#endif
