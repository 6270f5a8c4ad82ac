/* The elementwise kernels, compiled for AVX-512. SPDX-License-Identifier: Apache-2.0 */
#if defined(__AVX512F__)
#define GS_LANES 16
#define GS_FILL  gs_elem_fill_avx512
#include "kernels/elem_body.h"
#endif
