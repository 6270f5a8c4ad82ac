/* The methods, one per file. Private to smooth/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_METHODS_H
#define GS_SMOOTH_METHODS_H

#include "smooth/group.h"

extern const gs_smoother gs_smoother_m1, gs_smoother_m2, gs_smoother_m3, gs_smoother_m4, gs_smoother_m5, gs_smoother_m6;

#endif
