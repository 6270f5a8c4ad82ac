/* glmslim_report.json of a result, read back to be shown. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_REPORT_READ_H
#define GS_REPORT_READ_H

#include "base/mem.h"

#define GS_REPORT_FILE "glmslim_report.json"

/* report: what the file holds, the rest is 0 or NaN; never give it to gs_report_free(). recipe: without paths. */
typedef struct gs_report_file {
    bool found;
    char *dir;
    gs_report report;
    gs_recipe recipe;
    gs_arena *arena; /* everything above */
} gs_report_file;

/* A directory without the file is fine: found is false. Nothing in the file is trusted; wrong types are GS_ERR_FILE. */
gs_status gs_report_file_read(gs_report_file *f, const char *dir, gs_error *err) GS_CHECKED;
void gs_report_file_release(gs_report_file *f); /* accepts an all-zero struct */

#endif
