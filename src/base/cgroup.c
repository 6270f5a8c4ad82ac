/* Limits of control groups, version 2 (cpu.max, memory.max, memory.high) and version 1 (cpu.cfs_quota_us, memory.limit_in_bytes), each
 * at every level up to the mount. Files that are missing or say nothing sensible are no limit. SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NO_LIMIT ((uint64_t)1 << 62) /* from here on version 1 means: none */

/* Up to two numbers at the front of a file; how many there are. "max" is none. */
static int read_numbers(const char *dir, const char *name, long long value[2])
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    const int got = fscanf(f, "%lld %lld", &value[0], &value[1]);
    fclose(f);
    return got < 0 ? 0 : got;
}

static uint64_t least(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

static uint64_t cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    const uint64_t cpus = (uint64_t)(quota / period) + (quota % period != 0);
    return cpus < INT_MAX ? cpus : 0;
}

static uint64_t cpu_v2(const char *dir)
{
    long long v[2];
    return read_numbers(dir, "cpu.max", v) == 2 ? cpus_of(v[0], v[1]) : 0;
}

static uint64_t cpu_v1(const char *dir)
{
    long long quota[2], period[2];
    const bool found =
        read_numbers(dir, "cpu.cfs_quota_us", quota) > 0 && read_numbers(dir, "cpu.cfs_period_us", period) > 0;
    return found ? cpus_of(quota[0], period[0]) : 0;
}

static uint64_t bytes_of(const char *dir, const char *name)
{
    long long v[2];
    if (read_numbers(dir, name, v) == 0 || v[0] <= 0) return 0;
    return (uint64_t)v[0] < NO_LIMIT ? (uint64_t)v[0] : 0;
}

/* Beyond `high` a group is slowed down until nothing gets done. */
static uint64_t memory_v2(const char *dir) { return least(bytes_of(dir, "memory.max"), bytes_of(dir, "memory.high")); }
static uint64_t memory_v1(const char *dir) { return bytes_of(dir, "memory.limit_in_bytes"); }

typedef struct controller {
    const char *name;
    const char *mounts[3]; /* of version 1, below the root */
    uint64_t (*v2)(const char *dir);
    uint64_t (*v1)(const char *dir);
} controller;

static const controller cpu = {"cpu", {"cpu", "cpu,cpuacct", "cpuacct,cpu"}, cpu_v2, cpu_v1};
static const controller memory = {"memory", {"memory"}, memory_v2, memory_v1};

/* The least grant of mount+group and the groups around it. A group that is not visible here (the usual case inside a
 * container) is passed over on the way up. */
static uint64_t least_grant(const char *mount, const char *group, uint64_t (*read)(const char *dir))
{
    char dir[PATH_MAX];
    const int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof dir || strstr(group, "/..")) snprintf(dir, sizeof dir, "%s", mount);
    uint64_t grant = 0;
    for (;;) {
        grant = least(grant, read(dir));
        char *slash = strrchr(dir, '/');
        if (!slash || strlen(dir) <= strlen(mount)) return grant;
        *slash = '\0';
    }
}

/* Is `name` one of the comma-separated names in list[0..n)? */
static bool has_name(const char *list, size_t n, const char *name)
{
    for (size_t at = 0; at <= n;) {
        const char *comma = memchr(list + at, ',', n - at);
        const size_t len = comma ? (size_t)(comma - list) - at : n - at;
        if (len == strlen(name) && memcmp(list + at, name, len) == 0) return true;
        at += len + 1;
    }
    return false;
}

/* One line of the membership file, number:controllers:path. No controllers: version 2, alone or beside version 1. */
static uint64_t grant_of_line(const char *root, char *line, const controller *c)
{
    char mount[PATH_MAX];
    line[strcspn(line, "\n")] = '\0';
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return 0;
    controllers++;
    const size_t n = (size_t)(group - controllers);
    group = strcmp(group + 1, "/") == 0 ? "" : group + 1;
    if (n == 0) {
        snprintf(mount, sizeof mount, "%s/unified", root);
        return least(least_grant(root, group, c->v2), least_grant(mount, group, c->v2));
    }
    uint64_t grant = 0;
    for (int i = 0; i < 3 && c->mounts[i] && has_name(controllers, n, c->name); i++) {
        snprintf(mount, sizeof mount, "%s/%s", root, c->mounts[i]);
        grant = least(grant, least_grant(mount, group, c->v1));
    }
    return grant;
}

static uint64_t grant_of(const char *root, const char *membership, const controller *c)
{
    FILE *f = fopen(membership, "re");
    if (!f) return 0;
    char line[PATH_MAX + 256];
    uint64_t grant = 0;
    while (fgets(line, sizeof line, f)) grant = least(grant, grant_of_line(root, line, c));
    fclose(f);
    return grant;
}

int gs_cgroup_cpus(const char *root, const char *membership) { return (int)grant_of(root, membership, &cpu); }
uint64_t gs_cgroup_memory(const char *root, const char *membership) { return grant_of(root, membership, &memory); }
