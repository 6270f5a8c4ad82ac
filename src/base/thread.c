/* One thread for one job. SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

#include "base/mem.h"
#include "base/pool.h"

struct gs_thread {
    pthread_t id;
    void (*fn)(void *);
    void *ctx;
};

int gs_thread_create(pthread_t *id, void *(*fn)(void *), void *ctx)
{
    /* Faults stay unblocked: they belong to the thread that causes them. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int code = pthread_create(id, NULL, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void *thread_main(void *arg)
{
    gs_thread *const t = arg;
    t->fn(t->ctx);
    return NULL;
}

gs_status gs_thread_start(gs_thread **out, void (*fn)(void *), void *ctx, gs_error *err)
{
    *out = NULL;
    gs_thread *t = gs_alloc(sizeof *t);
    t->fn = fn;
    t->ctx = ctx;
    const int code = gs_thread_create(&t->id, thread_main, t);
    if (code != 0) {
        gs_free(t);
        return gs_fail_errno(err, code, "cannot start a background thread; raise the process limit");
    }
    *out = t;
    return GS_OK;
}

void gs_thread_join(gs_thread *t)
{
    if (!t) return;
    pthread_join(t->id, NULL);
    gs_free(t);
}
