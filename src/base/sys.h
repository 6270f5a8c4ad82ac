/* The clock and the processor. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_SYS_H
#define GS_BASE_SYS_H

#include "base/status.h"

double gs_seconds(void);     /* monotonic */
double gs_cpu_seconds(void); /* processor time of all threads of the process */

/* Instruction-set rungs of the architecture, each including those below it in the list. */
typedef enum gs_rung {
    GS_RUNG_C,
#if defined(__aarch64__)
    GS_RUNG_NEON,
    GS_RUNG_NEONDOT, /* dot products of bytes */
#else
    GS_RUNG_AVX2,   /* AVX2 + FMA + F16C */
    GS_RUNG_AVX512, /* F, BW, DQ, VL */
    GS_RUNG_AVX512_VNNI,
    GS_RUNG_AVX512_BF16,
#endif
    GS_RUNG_COUNT
} gs_rung;

gs_rung gs_cpu_best(void); /* what this machine has */
/* What to use: GLMSLIM_CPU=NAME forces a rung; GS_ERR_USAGE if unknown or absent here. */
gs_status gs_cpu_select(gs_rung *out, gs_error *err) GS_CHECKED;
const char *gs_rung_name(gs_rung rung);

#endif
