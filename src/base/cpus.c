/* How many threads make sense: the affinity mask, capped by the processor time the control groups grant (version 2's
 * cpu.max, version 1's cpu.cfs_quota_us, each at every level up to the mount). SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"

/* Quota and period of one group in microseconds; false = no limit or no such file. */
static bool read_v2(const char *dir, long long *quota, long long *period)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const int got = fscanf(f, "%lld %lld", quota, period); /* "max 100000" matches nothing */
    fclose(f);
    return got == 2;
}

static bool read_number(const char *dir, const char *name, long long *value)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const int got = fscanf(f, "%lld", value);
    fclose(f);
    return got == 1;
}

static bool read_v1(const char *dir, long long *quota, long long *period)
{
    return read_number(dir, "cpu.cfs_quota_us", quota) && read_number(dir, "cpu.cfs_period_us", period);
}

/* The least grant of mount+group and the groups around it. A group that is not visible here (the usual case inside a
 * container) is passed over on the way up. */
static int least_grant(const char *mount, const char *group, bool v2)
{
    char dir[PATH_MAX];
    const int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof dir || strstr(group, "/..")) snprintf(dir, sizeof dir, "%s", mount);
    int least = 0;
    for (;;) {
        long long quota = 0, period = 0;
        const bool found = v2 ? read_v2(dir, &quota, &period) : read_v1(dir, &quota, &period);
        if (found && quota > 0 && period > 0) {
            const long long cpus = quota / period + (quota % period != 0);
            if (cpus < INT_MAX && (least == 0 || cpus < least)) least = (int)cpus;
        }
        char *slash = strrchr(dir, '/');
        if (!slash || strlen(dir) <= strlen(mount)) break;
        *slash = '\0';
    }
    return least;
}

/* Is "cpu" one of the comma-separated names in list[0..n)? */
static bool has_cpu(const char *list, size_t n)
{
    for (size_t at = 0; at <= n;) {
        const char *comma = memchr(list + at, ',', n - at);
        const size_t len = comma ? (size_t)(comma - list) - at : n - at;
        if (len == 3 && memcmp(list + at, "cpu", 3) == 0) return true;
        at += len + 1;
    }
    return false;
}

int gs_cgroup_cpus(const char *root, const char *membership)
{
    FILE *f = fopen(membership, "re");
    if (!f) return 0;
    static const char *const v1_mounts[] = {"cpu", "cpu,cpuacct", "cpuacct,cpu"};
    char line[PATH_MAX + 256], mount[PATH_MAX];
    int least = 0;
    while (fgets(line, sizeof line, f)) { /* number:controllers:path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        controllers++;
        const size_t n = (size_t)(group - controllers);
        group++;
        if (n != 0 && !has_cpu(controllers, n)) continue;
        for (size_t i = 0; i < (n == 0 ? 2u : 3u); i++) {
            if (n == 0) /* version 2, alone or beside version 1 */
                snprintf(mount, sizeof mount, "%s%s", root, i == 0 ? "" : "/unified");
            else
                snprintf(mount, sizeof mount, "%s/%s", root, v1_mounts[i]);
            const int cpus = least_grant(mount, strcmp(group, "/") == 0 ? "" : group, n == 0);
            if (cpus && (least == 0 || cpus < least)) least = cpus;
        }
    }
    fclose(f);
    return least;
}

static int affinity_cpus(void)
{
    for (int most = 1024; most <= 1 << 20; most *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        if (!set) break;
        const size_t bytes = CPU_ALLOC_SIZE((size_t)most);
        const int code = sched_getaffinity(0, bytes, set);
        const int n = code == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (n > 0) return n;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

int gs_usable_cpus(void)
{
    const int cpus = affinity_cpus();
    const int granted = gs_cgroup_cpus("/sys/fs/cgroup", "/proc/self/cgroup");
    return granted > 0 && granted < cpus ? granted : cpus;
}
