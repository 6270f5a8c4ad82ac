/* The thread pool. Workers sleep on a condition variable after spinning for a short while, because runs follow each
 * other closely. A worker that wakes up too late for a run is not waited for: the owner closes the run when no task is
 * left and waits only for workers that entered it. SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/thread.h"

enum { MAX_THREADS = 1024, SPINS = 2000 };

typedef struct worker {
    gs_pool *pool;
    pthread_t id;
    gs_buf scratch;
    int index;
} worker;

struct gs_pool {
    worker *workers; /* [threads]; workers[0] is the caller */
    int threads;
    int started; /* workers that have a thread, plus one */
    int spins;   /* 0 when there are more threads than processors */

    pthread_mutex_t lock;
    pthread_cond_t work, done;
    atomic_uint run; /* number of the current run; written under lock, read without it while spinning */
    atomic_int busy; /* workers inside the run; written under lock */
    bool open;       /* the run still takes workers; under lock, as all below */
    bool stop;
    gs_task_fn fn;
    void *ctx;
    int64_t n_tasks;

    _Alignas(64) _Atomic int64_t next; /* the next task, on a cache line of its own */
};

static _Thread_local bool inside_task;

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void do_tasks(gs_pool *pool, gs_task_fn fn, void *ctx, int64_t n_tasks, int index)
{
    inside_task = true;
    for (;;) {
        const int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= n_tasks) break;
        fn(ctx, task, index);
    }
    inside_task = false;
}

static void *worker_main(void *arg)
{
    worker *const self = arg;
    gs_pool *const pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < pool->spins && atomic_load_explicit(&pool->run, memory_order_relaxed) == seen; i++)
            cpu_pause();
        pthread_mutex_lock(&pool->lock);
        while (!pool->stop && (!pool->open || atomic_load(&pool->run) == seen))
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stop) break;
        seen = atomic_load(&pool->run);
        const gs_task_fn fn = pool->fn;
        void *const ctx = pool->ctx;
        const int64_t n_tasks = pool->n_tasks;
        atomic_fetch_add(&pool->busy, 1);
        pthread_mutex_unlock(&pool->lock);

        do_tasks(pool, fn, ctx, n_tasks, self->index);

        pthread_mutex_lock(&pool->lock);
        if (atomic_fetch_sub(&pool->busy, 1) == 1) pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

gs_status gs_pool_create(gs_pool **out, int threads, gs_error *err)
{
    *out = NULL;
    const int cpus = gs_usable_cpus();
    if (threads <= 0) threads = cpus < MAX_THREADS ? cpus : MAX_THREADS;
    if (threads > MAX_THREADS)
        return gs_fail(err, GS_ERR_USAGE, "%d threads are too many; use at most %d, or 0 for all processors", threads,
                       (int)MAX_THREADS);
    gs_buf memory; /* not gs_alloc: the struct's alignment is 64 */
    GS_TRY(gs_buf_alloc(&memory, sizeof(gs_pool), "the thread pool", err));
    gs_pool *pool = memory.data;
    pool->threads = threads;
    pool->workers = gs_alloc_array((size_t)threads, sizeof(worker));
    pool->spins = threads <= cpus ? SPINS : 0;
    pool->started = 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        const int code = gs_thread_create(&pool->workers[i].id, worker_main, &pool->workers[i]);
        if (code != 0) {
            gs_pool_free(pool);
            return gs_fail_errno(err, code,
                                 "cannot start thread %d of %d; use fewer threads or raise the process limit", i + 1,
                                 threads);
        }
        pool->started = i + 1;
    }
    *out = pool;
    return GS_OK;
}

void gs_pool_free(gs_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    atomic_fetch_add(&pool->run, 1); /* ends the spinning */
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->started; i++) pthread_join(pool->workers[i].id, NULL);
    for (int i = 0; i < pool->threads; i++) gs_buf_release(&pool->workers[i].scratch);
    gs_free(pool->workers);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    gs_buf memory = {.data = pool, .bytes = sizeof(gs_pool)};
    gs_buf_release(&memory);
}

int gs_pool_threads(const gs_pool *pool) { return pool->threads; }

/* Let workers in; wake no more of them than there are tasks to give away. */
static void open_run(gs_pool *pool, int64_t n_tasks, gs_task_fn fn, void *ctx)
{
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->ctx = ctx;
    pool->n_tasks = n_tasks;
    pool->open = true;
    atomic_fetch_add(&pool->run, 1);
    if (n_tasks >= pool->threads)
        pthread_cond_broadcast(&pool->work);
    else
        for (int64_t i = 1; i < n_tasks; i++) pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void close_run(gs_pool *pool)
{
    for (int i = 0; i < pool->spins && atomic_load_explicit(&pool->busy, memory_order_relaxed) != 0; i++) cpu_pause();
    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    while (atomic_load(&pool->busy) != 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void gs_pool_run(gs_pool *pool, int64_t n_tasks, gs_task_fn fn, void *ctx)
{
    assert(!inside_task && "gs_pool_run called from inside a task");
    if (n_tasks <= 0) return;
    const bool alone = pool->threads == 1 || n_tasks == 1;
    if (alone)
        atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    else
        open_run(pool, n_tasks, fn, ctx);
    do_tasks(pool, fn, ctx, n_tasks, 0);
    if (!alone) close_run(pool);
}

gs_status gs_pool_reserve(gs_pool *pool, size_t bytes, gs_error *err)
{
    assert(!inside_task && "gs_pool_reserve called from inside a task");
    for (int i = 0; i < pool->threads; i++) {
        gs_buf *const scratch = &pool->workers[i].scratch;
        if (scratch->data && scratch->bytes >= bytes) continue;
        gs_buf_release(scratch); /* first: both at once would double the peak */
        GS_TRY(gs_buf_alloc(scratch, bytes, "scratch of a thread", err));
    }
    return GS_OK;
}

void *gs_pool_scratch(gs_pool *pool, int index)
{
    assert(index >= 0 && index < pool->threads);
    return pool->workers[index].scratch.data;
}
