/* The thread pool: every task once, results visible, failures clean. Meant to be run under the thread sanitizer too.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"

/* A sanitizer's own version, where there is one. */
__attribute__((weak)) int __interceptor_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* The C library's pthread_create, but the fail_at-th call from now on fails. */
static int fail_at = -1;

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *), void *ctx)
{
    if (fail_at >= 0 && fail_at-- == 0) return EAGAIN;
    if (__interceptor_pthread_create) return __interceptor_pthread_create(id, attr, fn, ctx);
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(id, attr, fn, ctx);
}

static int live_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    if (!d) return 0;
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

typedef struct tally {
    int threads;
    pthread_t owner;
    unsigned char *ran; /* [n_tasks], plain memory: a task run twice at once is a race the sanitizer sees */
    int64_t per_worker[64];
    atomic_int wrong;
} tally;

static void tick(void *ctx, int64_t task, int worker)
{
    tally *t = ctx;
    const bool is_owner = pthread_equal(pthread_self(), t->owner);
    if (worker < 0 || worker >= t->threads || is_owner != (worker == 0)) {
        atomic_fetch_add(&t->wrong, 1);
        return;
    }
    t->ran[task]++;
    t->per_worker[worker]++;
}

static void check_runs(gs_pool *pool, int64_t n_tasks)
{
    tally t = {.threads = gs_pool_threads(pool), .owner = pthread_self(), .ran = gs_alloc((size_t)n_tasks)};
    gs_pool_run(pool, n_tasks, tick, &t);
    assert_int_equal(atomic_load(&t.wrong), 0);
    int64_t total = 0;
    for (int i = 0; i < t.threads; i++) total += t.per_worker[i];
    assert_int_equal(total, n_tasks);
    for (int64_t i = 0; i < n_tasks; i++)
        if (t.ran[i] != 1) fail_msg("task %lld ran %d times", (long long)i, t.ran[i]);
    gs_free(t.ran);
}

static void test_every_task_runs_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 5, 16};
    static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 17, 1000, 30000};
    for (size_t i = 0; i < 5; i++) {
        gs_pool *pool;
        assert_int_equal(gs_pool_create(&pool, threads[i], NULL), GS_OK);
        assert_int_equal(gs_pool_threads(pool), threads[i]);
        for (size_t j = 0; j < 9; j++) check_runs(pool, counts[j]);
        gs_pool_run(pool, -1, tick, NULL);
        gs_pool_free(pool);
    }
}

/* Many short runs after each other, some after a pause in which the workers fall asleep: no wake-up gets lost. */
static void test_many_short_runs(void **state)
{
    (void)state;
    gs_pool *pool;
    assert_int_equal(gs_pool_create(&pool, 2, NULL), GS_OK);
    for (int i = 0; i < 5000; i++) {
        check_runs(pool, i % 7);
        if (i % 500 == 0) usleep(3000);
    }
    gs_pool_free(pool);
    assert_int_equal(gs_pool_create(&pool, 9, NULL), GS_OK);
    for (int i = 0; i < 1000; i++) check_runs(pool, i % 23);
    gs_pool_free(pool);
}

typedef struct meeting {
    int expected;
    atomic_int arrived;
    atomic_int unblocked; /* workers that a Ctrl-C could reach, or whose faults are blocked */
} meeting;

static void meet(void *ctx, int64_t task, int worker)
{
    (void)task;
    meeting *m = ctx;
    if (worker != 0) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        if (!sigismember(&mask, SIGINT) || !sigismember(&mask, SIGTERM) || sigismember(&mask, SIGSEGV))
            atomic_fetch_add(&m->unblocked, 1);
    }
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->expected) usleep(50);
}

/* As many tasks as threads, each waiting for all others: passes only if all threads take part at the same time. */
static void test_all_threads_take_part(void **state)
{
    (void)state;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    gs_pool *pool;
    assert_int_equal(gs_pool_create(&pool, 6, NULL), GS_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    for (int i = 0; i < 50; i++) {
        meeting m = {.expected = 6};
        gs_pool_run(pool, 6, meet, &m);
        assert_int_equal(atomic_load(&m.arrived), 6);
        assert_int_equal(atomic_load(&m.unblocked), 0);
        meeting pair = {.expected = 2};
        gs_pool_run(pool, 2, meet, &pair);
    }
    gs_pool_free(pool);
}

typedef struct sum_job {
    const double *in;
    double *out;
} sum_job;

static void add_chunk(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const sum_job *job = ctx;
    double sum = 0;
    for (int64_t i = task * 100; i < task * 100 + 100; i++) sum += job->in[i];
    job->out[task] = sum;
}

/* Plain memory written by one run is read by the next. */
static void test_results_are_visible(void **state)
{
    (void)state;
    double in[10000], chunks[100], total[1];
    for (int i = 0; i < 10000; i++) in[i] = i;
    gs_pool *pool;
    assert_int_equal(gs_pool_create(&pool, 4, NULL), GS_OK);
    for (int round = 0; round < 200; round++) {
        memset(chunks, 0, sizeof chunks);
        gs_pool_run(pool, 100, add_chunk, &(sum_job){in, chunks});
        gs_pool_run(pool, 1, add_chunk, &(sum_job){chunks, total});
        assert_true(total[0] == 9999.0 * 10000.0 / 2.0);
    }
    gs_pool_free(pool);
}

static void test_default_is_all_usable_processors(void **state)
{
    (void)state;
    for (int asked = -1; asked <= 0; asked++) {
        gs_pool *pool;
        assert_int_equal(gs_pool_create(&pool, asked, NULL), GS_OK);
        assert_int_equal(gs_pool_threads(pool), gs_usable_cpus());
        gs_pool_free(pool);
    }
    gs_pool_free(NULL);
}

static void test_scratch(void **state)
{
    (void)state;
    gs_pool *pool;
    const uint64_t before = gs_buf_now();
    assert_int_equal(gs_pool_create(&pool, 3, NULL), GS_OK);
    assert_null(gs_pool_scratch(pool, 0));
    assert_int_equal(gs_pool_reserve(pool, 1000, NULL), GS_OK);
    char *first[3];
    for (int i = 0; i < 3; i++) {
        first[i] = gs_pool_scratch(pool, i);
        assert_int_equal((uintptr_t)first[i] % 64, 0);
        memset(first[i], i, 1000);
    }
    assert_int_equal(gs_pool_reserve(pool, 500, NULL), GS_OK); /* smaller: kept */
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(gs_pool_scratch(pool, i), first[i]);
        for (int j = 0; j < 1000; j++) assert_int_equal(first[i][j], i);
    }
    assert_int_equal(gs_pool_reserve(pool, 3 << 20, NULL), GS_OK);
    for (int i = 0; i < 3; i++) memset(gs_pool_scratch(pool, i), i, 3 << 20);
    gs_error err = {0};
    gs_buf_set_limit(gs_buf_now() + 1000);
    assert_int_equal(gs_pool_reserve(pool, 5 << 20, &err), GS_ERR_MEMORY);
    assert_non_null(strstr(err.text, "scratch"));
    gs_buf_set_limit(0);
    assert_int_equal(gs_pool_reserve(pool, 5 << 20, &err), GS_OK);
    for (int i = 0; i < 3; i++) memset(gs_pool_scratch(pool, i), i, 5 << 20);
    gs_pool_free(pool);
    assert_int_equal(gs_buf_now(), before);
}

static void test_failure_to_start_leaves_nothing(void **state)
{
    (void)state;
    gs_pool *warm_up; /* lets a sanitizer start its own thread before the count */
    assert_int_equal(gs_pool_create(&warm_up, 2, NULL), GS_OK);
    gs_pool_free(warm_up);
    int threads = live_threads();
    for (int i = 0; i < 20; i++) { /* the kernel removes ended ones a bit later */
        usleep(1000);
        threads = live_threads() < threads ? live_threads() : threads;
    }
    const uint64_t bytes = gs_buf_now();
    for (int good = 0; good < 4; good++) {
        gs_error err = {0};
        gs_pool *pool = warm_up;
        fail_at = good;
        assert_int_equal(gs_pool_create(&pool, 5, &err), GS_ERR_IO);
        fail_at = -1;
        assert_null(pool);
        assert_non_null(strstr(err.text, "of 5; use fewer threads"));
        assert_non_null(strstr(err.text, "Resource temporarily unavailable"));
        assert_int_equal(gs_buf_now(), bytes);
        for (int i = 0; i < 200 && live_threads() != threads; i++)
            usleep(1000); /* the kernel removes them a bit later */
        assert_int_equal(live_threads(), threads);
    }
}

static void test_too_many_threads(void **state)
{
    (void)state;
    gs_error err = {0};
    gs_pool *pool;
    assert_int_equal(gs_pool_create(&pool, 100000, &err), GS_ERR_USAGE);
    assert_null(pool);
    assert_non_null(strstr(err.text, "100000"));
    gs_buf_set_limit(1);
    assert_int_equal(gs_pool_create(&pool, 1, &err), GS_ERR_MEMORY);
    gs_buf_set_limit(0);
}

static void run_again(void *ctx, int64_t task, int worker)
{
    (void)task, (void)worker;
    gs_pool_run(ctx, 1, run_again, ctx);
}

static void test_run_inside_a_task_is_caught(void **state)
{
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        gs_pool *pool;
        if (gs_pool_create(&pool, 1, NULL) == GS_OK) gs_pool_run(pool, 1, run_again, pool);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void set_flag(void *ctx) { *(int *)ctx = 42; }

static void test_one_background_thread(void **state)
{
    (void)state;
    int flag = 0;
    gs_thread *t;
    assert_int_equal(gs_thread_start(&t, set_flag, &flag, NULL), GS_OK);
    gs_thread_join(t);
    assert_int_equal(flag, 42);
    gs_thread_join(NULL);
    gs_error err = {0};
    fail_at = 0;
    assert_int_equal(gs_thread_start(&t, set_flag, &flag, &err), GS_ERR_IO);
    fail_at = -1;
    assert_null(t);
    assert_non_null(strstr(err.text, "background thread"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_inside_a_task_is_caught), /* first: it forks */
        cmocka_unit_test(test_every_task_runs_once),
        cmocka_unit_test(test_many_short_runs),
        cmocka_unit_test(test_all_threads_take_part),
        cmocka_unit_test(test_results_are_visible),
        cmocka_unit_test(test_default_is_all_usable_processors),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_failure_to_start_leaves_nothing),
        cmocka_unit_test(test_too_many_threads),
        cmocka_unit_test(test_one_background_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
