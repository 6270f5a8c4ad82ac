/* How we fail. A function returns gs_status and fills *err once, at the place that knows most; callers add context in
 * front with gs_wrap(). GS_TRY forwards a failure. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_STATUS_H
#define GS_BASE_STATUS_H

#include "glmslim.h"

#define GS_CHECKED           __attribute__((warn_unused_result))
#define GS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define GS_TRY(call)                                                                                                   \
    do {                                                                                                               \
        const gs_status gs_try_status_ = (call);                                                                       \
        if (gs_try_status_ != GS_OK) return gs_try_status_;                                                            \
    } while (0)

/* Fill *err (may be NULL) and return status. */
gs_status gs_fail(gs_error *err, gs_status status, const char *fmt, ...) GS_PRINTF(3, 4);
/* As gs_fail, and appends ": " and the text of errno value `code`. */
gs_status gs_fail_errno(gs_error *err, int code, const char *fmt, ...) GS_PRINTF(3, 4);
/* Put "<text>: " in front of the message already in *err; returns its status. */
gs_status gs_wrap(gs_error *err, const char *fmt, ...) GS_PRINTF(2, 3);

/* GS_ERR_INTERRUPTED if gs_interrupt() was called, GS_OK otherwise. Long loops call it once per chunk. */
gs_status gs_check_interrupt(gs_error *err) GS_CHECKED;
void gs_clear_interrupt(void);

#endif
