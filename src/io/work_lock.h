/* Private to io/: whose work folder is it? Its file "lock" is locked while a run lives, and tells the run's process and start. A folder
 * with content has it from before the first other name to after the last.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_WORK_LOCK_H
#define GS_IO_WORK_LOCK_H

#include "base/status.h"

#define GS_WORK_LOCK "lock" /* the file's name */

/* Make the folder if there is none, and lock it. Refused: that of a living run, and a directory that is not a work folder.
 * final_path: for messages. */
gs_status gs_work_lock_take(const char *base, const char *final_path, int *fd, gs_error *err) GS_CHECKED;
/* This process and its start into the lock. */
gs_status gs_work_lock_sign(int fd, const char *base, gs_error *err) GS_CHECKED;
/* Does the run that the lock tells of live? Asked where nothing can be locked. */
bool gs_work_lock_is_alive(int fd);
/* Is the lock that is held the one in this folder? */
bool gs_work_lock_is_held(int fd, const char *base);
/* The lock, and the folder if it is empty then. */
void gs_work_lock_remove(const char *base);
/* The same if nothing else is in the folder. */
void gs_work_lock_remove_alone(const char *base);

#endif
