/* Clock, processor, and how many threads the control groups allow. SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cgroup.h"
#include "base/pool.h"
#include "base/sys.h"

static void test_clock_runs(void **state)
{
    (void)state;
    const double start = gs_seconds();
    const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&nap, NULL);
    const double passed = gs_seconds() - start;
    assert_true(passed >= 0.0199 && passed < 20.0);
}

static void test_rung_names(void **state)
{
    (void)state;
    assert_string_equal(gs_rung_name(GS_RUNG_C), "c");
#if defined(__x86_64__)
    assert_string_equal(gs_rung_name(GS_RUNG_AVX512_BF16), "avx512-bf16");
#elif defined(__aarch64__)
    assert_string_equal(gs_rung_name(GS_RUNG_NEONDOT), "neondot");
#endif
    assert_string_equal(gs_rung_name(GS_RUNG_COUNT), "unknown");
}

static void test_rung_selection(void **state)
{
    (void)state;
    const gs_rung best = gs_cpu_best();
    gs_rung got = GS_RUNG_COUNT;
    gs_error err = {0};
    unsetenv("GLMSLIM_CPU");
    assert_int_equal(gs_cpu_select(&got, &err), GS_OK);
    assert_int_equal(got, best);
    setenv("GLMSLIM_CPU", "", 1);
    assert_int_equal(gs_cpu_select(&got, &err), GS_OK);
    assert_int_equal(got, best);
    for (int rung = 0; rung < GS_RUNG_COUNT; rung++) {
        setenv("GLMSLIM_CPU", gs_rung_name((gs_rung)rung), 1);
        got = GS_RUNG_COUNT;
        const gs_status status = gs_cpu_select(&got, &err);
        if (rung <= (int)best) {
            assert_int_equal(status, GS_OK);
            assert_int_equal(got, rung);
        } else {
            assert_int_equal(status, GS_ERR_USAGE);
            assert_int_equal(got, GS_RUNG_COUNT);
            assert_non_null(strstr(err.text, gs_rung_name(best)));
        }
    }
    static const char *const wrong[] = {"AVX2", "avx", "avx2 ", "sse", "avx512-", "neon-"};
    for (size_t i = 0; i < 6; i++) {
        setenv("GLMSLIM_CPU", wrong[i], 1);
        assert_int_equal(gs_cpu_select(&got, &err), GS_ERR_USAGE);
        assert_non_null(strstr(err.text, wrong[i]));
        assert_non_null(strstr(err.text, gs_rung_name(GS_RUNG_COUNT - 1)));
    }
    unsetenv("GLMSLIM_CPU");
}

#if defined(__x86_64__)
/* The kernel lists in /proc/cpuinfo what it lets programs use. */
static void test_best_rung_agrees_with_the_kernel(void **state)
{
    (void)state;
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) skip();
    static char line[16384];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) found = strncmp(line, "flags", 5) == 0;
    fclose(f);
    if (!found) skip();
    line[strcspn(line, "\n")] = ' ';
    static const char *const needs[GS_RUNG_COUNT][5] = {
        [GS_RUNG_AVX2] = {" avx2 ", " fma ", " f16c "},
        [GS_RUNG_AVX512] = {" avx512f ", " avx512bw ", " avx512dq ", " avx512vl "},
        [GS_RUNG_AVX512_VNNI] = {" avx512_vnni "},
        [GS_RUNG_AVX512_BF16] = {" avx512_bf16 "},
    };
    int expect = GS_RUNG_C;
    for (int rung = GS_RUNG_C + 1; rung < GS_RUNG_COUNT && expect == rung - 1; rung++) {
        bool has = true;
        for (int i = 0; i < 5 && needs[rung][i]; i++) has = has && strstr(line, needs[rung][i]);
        if (has) expect = rung;
    }
    assert_int_equal(gs_cpu_best(), expect);
}
#endif

typedef struct tree {
    char root[64];
    char membership[96];
} tree;

static void write_file(const tree *t, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", t->root, name);
    for (char *slash = path + strlen(t->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void tree_init(tree *t, const char *membership)
{
    snprintf(t->root, sizeof t->root, "/tmp/glmslim-cgroup-XXXXXX");
    assert_non_null(mkdtemp(t->root));
    snprintf(t->membership, sizeof t->membership, "%s/self", t->root);
    write_file(t, "self", membership);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void tree_remove(tree *t) { assert_int_equal(nftw(t->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0); }

static int tree_answer(tree *t)
{
    const int cpus = gs_cgroup_cpus(t->root, t->membership);
    tree_remove(t);
    return cpus;
}

static uint64_t tree_memory(tree *t)
{
    const uint64_t bytes = gs_cgroup_memory(t->root, t->membership);
    tree_remove(t);
    return bytes;
}

static void test_version_2_groups(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int cpus;
    } cases[] = {{"200000 100000\n", 2},
                 {"150000 100000\n", 2},
                 {"100000 100000\n", 1},
                 {"1000 100000\n", 1},
                 {"max 100000\n", 0},
                 {"", 0},
                 {"nonsense\n", 0},
                 {"200000\n", 0},
                 {"200000 0\n", 0},
                 {"-1 100000\n", 0},
                 {"9223372036854775807 1\n", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tree t;
        tree_init(&t, "0::/a/b\n");
        write_file(&t, "a/b/cpu.max", cases[i].text);
        assert_int_equal(tree_answer(&t), cases[i].cpus);
    }
}

static void test_outer_groups_count_too(void **state)
{
    (void)state;
    tree t;
    tree_init(&t, "0::/a/b\n");
    write_file(&t, "a/b/cpu.max", "800000 100000\n");
    write_file(&t, "a/cpu.max", "300000 100000\n");
    assert_int_equal(tree_answer(&t), 3);
    tree_init(&t, "0::/not/visible/here\n");
    write_file(&t, "cpu.max", "400000 100000\n");
    assert_int_equal(tree_answer(&t), 4);
    tree_init(&t, "0::/\n");
    write_file(&t, "cpu.max", "500000 100000\n");
    assert_int_equal(tree_answer(&t), 5);
    tree_init(&t, "0::/../outside\n");
    write_file(&t, "cpu.max", "600000 100000\n");
    assert_int_equal(tree_answer(&t), 6);
}

static void test_version_1_groups(void **state)
{
    (void)state;
    tree t;
    tree_init(&t, "12:cpuset:/x\n4:cpu,cpuacct:/docker/1\n");
    write_file(&t, "cpu,cpuacct/docker/1/cpu.cfs_quota_us", "250000\n");
    write_file(&t, "cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n");
    write_file(&t, "cpuset/x/cpu.cfs_quota_us", "1\n"); /* another controller's files */
    write_file(&t, "cpuset/x/cpu.cfs_period_us", "1\n");
    assert_int_equal(tree_answer(&t), 3);
    tree_init(&t, "4:cpu:/\n");
    write_file(&t, "cpu/cpu.cfs_quota_us", "-1\n");
    write_file(&t, "cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(tree_answer(&t), 0);
}

static void test_memory_of_version_2(void **state)
{
    (void)state;
    static const struct {
        const char *max, *high;
        uint64_t bytes;
    } cases[] = {{"1073741824\n", NULL, 1073741824},
                 {"1073741824\n", "max\n", 1073741824},
                 {"1073741824\n", "900000000\n", 900000000},
                 {"max\n", "max\n", 0},
                 {"0\n", NULL, 0},
                 {"-5\n", NULL, 0},
                 {"", NULL, 0},
                 {"99999999999999999999\n", NULL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tree t;
        tree_init(&t, "0::/a/b\n");
        write_file(&t, "a/b/memory.max", cases[i].max);
        if (cases[i].high) write_file(&t, "a/b/memory.high", cases[i].high);
        assert_int_equal(tree_memory(&t), cases[i].bytes);
    }
    tree t;
    tree_init(&t, "0::/a/b\n");
    write_file(&t, "a/b/memory.max", "8000000000\n");
    write_file(&t, "a/memory.max", "3000000000\n");
    assert_int_equal(tree_memory(&t), 3000000000);
}

static void test_memory_of_version_1(void **state)
{
    (void)state;
    tree t;
    tree_init(&t, "4:cpu,cpuacct:/docker/1\n9:memory:/docker/1\n0::/\n");
    write_file(&t, "memory/docker/1/memory.limit_in_bytes", "2000000000\n");
    write_file(&t, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_file(&t, "cpu,cpuacct/docker/1/memory.limit_in_bytes", "1\n"); /* another controller's place */
    assert_int_equal(tree_memory(&t), 2000000000);
    tree_init(&t, "9:memory:/\n");
    write_file(&t, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(tree_memory(&t), 0);
    assert_int_equal(gs_cgroup_memory("/tmp", "/nonexistent/self"), 0);
}

static void test_strange_membership(void **state)
{
    (void)state;
    assert_int_equal(gs_cgroup_cpus("/tmp", "/nonexistent/self"), 0);
    static const char *const texts[] = {"", "no colons\n", "1:cpu\n", ":::\n", "\n\n", "0::\n", "1:cpuacct,cpuset:/\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tree t;
        tree_init(&t, texts[i]);
        assert_int_equal(tree_answer(&t), 0);
    }
    static char line[3 * PATH_MAX];
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "0::/", 4);
    tree t;
    tree_init(&t, line);
    assert_int_equal(tree_answer(&t), 0);
}

static void test_usable_cpus_follow_the_affinity_mask(void **state)
{
    (void)state;
    const int cpus = gs_usable_cpus();
    cpu_set_t before, one;
    if (sched_getaffinity(0, sizeof before, &before) != 0) skip();
    assert_in_range(cpus, 1, CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before)) continue;
        CPU_SET(cpu, &one);
        break;
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(gs_usable_cpus(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(gs_usable_cpus(), cpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_runs),
        cmocka_unit_test(test_rung_names),
        cmocka_unit_test(test_rung_selection),
#if defined(__x86_64__)
        cmocka_unit_test(test_best_rung_agrees_with_the_kernel),
#endif
        cmocka_unit_test(test_version_2_groups),
        cmocka_unit_test(test_outer_groups_count_too),
        cmocka_unit_test(test_version_1_groups),
        cmocka_unit_test(test_memory_of_version_2),
        cmocka_unit_test(test_memory_of_version_1),
        cmocka_unit_test(test_strange_membership),
        cmocka_unit_test(test_usable_cpus_follow_the_affinity_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
