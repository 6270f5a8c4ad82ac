/* How base/ starts threads: with signals blocked, so that Ctrl-C and the like reach the main thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_THREAD_H
#define GS_BASE_THREAD_H

#include <pthread.h>

/* pthread_create's result. */
int gs_thread_create(pthread_t *id, void *(*fn)(void *), void *ctx);

#endif
