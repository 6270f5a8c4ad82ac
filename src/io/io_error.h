/* Private to io/: one wording for what the operating system refuses, with what a person can do about it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_IO_ERROR_H
#define GS_IO_IO_ERROR_H

#include "base/status.h"

/* "cannot <verb> <path> (<remedy>): <text of errno value code>"; GS_ERR_IO. */
gs_status gs_io_fail(gs_error *err, int code, const char *verb, const char *path);

#endif
