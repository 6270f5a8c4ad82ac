/* What the control groups grant that a process is in, for gs_usable_cpus() and gs_memory_limit(), and their test. root: where they
 * are mounted; membership: a file in the format of /proc/self/cgroup. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_CGROUP_H
#define GS_BASE_CGROUP_H

#include <stdint.h>

#define GS_CGROUP_ROOT       "/sys/fs/cgroup"
#define GS_CGROUP_MEMBERSHIP "/proc/self/cgroup"

int gs_cgroup_cpus(const char *root, const char *membership);        /* rounded up; 0 = no limit */
uint64_t gs_cgroup_memory(const char *root, const char *membership); /* bytes; 0 = no limit */

#endif
