/* Who else could change an input? A symbolic link can be turned elsewhere, and what group or others may write, or what belongs to
 * another user (but root), is in their hands.
 * With the guard set to refuse (--secure) such inputs end the run; else the first of each kind is told to the caller's
 * function: once, because a download cache that keeps every file behind a link is an honest place. Files of another user are not
 * told of: in containers they are the rule.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_GUARD_H
#define GS_IO_GUARD_H

#include <sys/stat.h>

#include "base/status.h"

/* For the whole process, before the first file is opened. tell may be NULL and may be called from any thread. */
void gs_guard_set(bool refuse, void (*tell)(const char *text));
bool gs_guard_refuses(void);
/* Of an open file: st is fstat's. */
gs_status gs_guard_file(const char *path, const struct stat *st, gs_error *err) GS_CHECKED;
/* The model or result directory itself: whoever may write there may exchange its files. One that cannot be examined passes; opening
 * it says why. */
gs_status gs_guard_directory(const char *path, gs_error *err) GS_CHECKED;
/* A directory that a work folder is made in: who may rename things there can exchange the folder. There, unlike in a directory of
 * inputs, where adding a file is enough, the sticky bit helps. */
gs_status gs_guard_place(const char *path, gs_error *err) GS_CHECKED;
/* A file whose size and time of change are what they were when it was opened, though something of it has changed since: its name, links or
 * permissions, or its content by somebody who has set the time back. */
gs_status gs_guard_touched(const char *path, gs_error *err) GS_CHECKED;

#endif
