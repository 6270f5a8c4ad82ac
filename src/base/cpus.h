/* The part of gs_usable_cpus() that reads files, for its test. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_CPUS_H
#define GS_BASE_CPUS_H

/* Processors granted by the control groups a process is in, rounded up; 0 = no limit. root: where they are mounted;
 * membership: a file in the format of /proc/self/cgroup. */
int gs_cgroup_cpus(const char *root, const char *membership);

#endif
