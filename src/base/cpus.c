/* How many threads make sense, and how much memory: the affinity mask, capped by what the control groups grant.
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/mem.h"
#include "base/pool.h"

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
    const int granted = gs_cgroup_cpus(GS_CGROUP_ROOT, GS_CGROUP_MEMBERSHIP);
    return granted > 0 && granted < cpus ? granted : cpus;
}

uint64_t gs_memory_limit(void) { return gs_cgroup_memory(GS_CGROUP_ROOT, GS_CGROUP_MEMBERSHIP); }
