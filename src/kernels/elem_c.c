/* The elementwise kernels, compiled for baseline vectors. SPDX-License-Identifier: Apache-2.0 */
#define GS_LANES 4
#define GS_FILL  gs_elem_fill_c
#include "kernels/elem_body.h"
