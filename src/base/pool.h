/* A fixed set of threads. Work is split into numbered tasks, taken from one atomic counter, so results must never
 * depend on which worker runs a task: that is rule 2 of the numeric contract. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_POOL_H
#define GS_BASE_POOL_H

#include "base/status.h"

typedef struct gs_pool gs_pool;
typedef void (*gs_task_fn)(void *ctx, int64_t task, int worker);

/* threads <= 0: as many as affinity mask and cgroup cpu.max allow. The caller's thread is worker 0. */
gs_status gs_pool_create(gs_pool **out, int threads, gs_error *err) GS_CHECKED;
void gs_pool_free(gs_pool *pool);
int gs_pool_threads(const gs_pool *pool);

/* Run fn(ctx, 0..n_tasks-1) and wait. Not reentrant from inside a task. n_tasks == 0 is fine. */
void gs_pool_run(gs_pool *pool, int64_t n_tasks, gs_task_fn fn, void *ctx);

/* Per-worker scratch of at least `bytes`, 64-byte aligned, kept for the pool's life; grown outside of gs_pool_run only.
 * Call gs_pool_reserve() before, from the owner's thread. */
gs_status gs_pool_reserve(gs_pool *pool, size_t bytes, gs_error *err) GS_CHECKED;
void *gs_pool_scratch(gs_pool *pool, int worker);

/* One background thread running one job (the reader, the writer). */
typedef struct gs_thread gs_thread;
gs_status gs_thread_start(gs_thread **out, void (*fn)(void *), void *ctx, gs_error *err) GS_CHECKED;
void gs_thread_join(gs_thread *t); /* joins and frees; NULL is fine */

int gs_usable_cpus(void);

#endif
