/* The clock, and which instruction sets may be used. SPDX-License-Identifier: Apache-2.0 */
#include "base/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

double gs_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double gs_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const char *const rung_names[GS_RUNG_COUNT] = {
    [GS_RUNG_C] = "c",
#if defined(__aarch64__)
    [GS_RUNG_NEON] = "neon",
    [GS_RUNG_NEONDOT] = "neondot",
#else
    [GS_RUNG_AVX2] = "avx2",
    [GS_RUNG_AVX512] = "avx512",
    [GS_RUNG_AVX512_VNNI] = "avx512-vnni",
    [GS_RUNG_AVX512_BF16] = "avx512-bf16",
#endif
};

#if defined(__x86_64__)
/* __builtin_cpu_supports has no name for it in older compilers. The operating system's part (saved upper halves of the
 * registers) is the same as AVX2's, which is asked too. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

gs_rung gs_cpu_best(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return GS_RUNG_C;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return GS_RUNG_AVX2;
    if (!__builtin_cpu_supports("avx512vnni")) return GS_RUNG_AVX512;
    return __builtin_cpu_supports("avx512bf16") ? GS_RUNG_AVX512_BF16 : GS_RUNG_AVX512_VNNI;
}
#elif defined(__aarch64__)
gs_rung gs_cpu_best(void)
{
    const unsigned long has = getauxval(AT_HWCAP);
    if (!(has & HWCAP_ASIMD)) return GS_RUNG_C;
    return has & HWCAP_ASIMDDP ? GS_RUNG_NEONDOT : GS_RUNG_NEON;
}
#else /* i386 too: the faster kernels are made for 64 bits only */
gs_rung gs_cpu_best(void) { return GS_RUNG_C; }
#endif

gs_status gs_cpu_select(gs_rung *out, gs_error *err)
{
    const gs_rung best = gs_cpu_best();
    const char *want = getenv("GLMSLIM_CPU");
    if (!want || !want[0]) {
        *out = best;
        return GS_OK;
    }
    for (int rung = 0; rung < GS_RUNG_COUNT; rung++) {
        if (strcmp(want, rung_names[rung]) != 0) continue;
        if (rung > (int)best)
            return gs_fail(
                err, GS_ERR_USAGE,
                "GLMSLIM_CPU=%s: this processor has no more than %s; choose that or less, or unset the variable", want,
                rung_names[best]);
        *out = (gs_rung)rung;
        return GS_OK;
    }
    char names[80] = "";
    for (int rung = 0, at = 0; rung < GS_RUNG_COUNT; rung++)
        at += snprintf(names + at, sizeof names - (size_t)at, "%s%s", rung > 0 ? ", " : "", rung_names[rung]);
    return gs_fail(err, GS_ERR_USAGE, "GLMSLIM_CPU=%.40s is not an instruction set; use one of %s", want, names);
}

const char *gs_rung_name(gs_rung rung) { return (unsigned)rung < GS_RUNG_COUNT ? rung_names[rung] : "unknown"; }
