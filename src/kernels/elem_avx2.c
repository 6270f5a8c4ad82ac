/* The elementwise kernels, compiled for AVX2. SPDX-License-Identifier: Apache-2.0 */
#if defined(__AVX2__)
#define GS_LANES 8
#define GS_FILL  gs_elem_fill_avx2
#include "kernels/elem_body.h"
#endif
