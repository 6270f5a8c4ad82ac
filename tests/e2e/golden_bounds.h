/* How far a tensor may lie from the reference's. SPDX-License-Identifier: Apache-2.0 */
#ifndef GOLDEN_BOUNDS_H
#define GOLDEN_BOUNDS_H

#include "golden_case.h"

typedef struct golden_bounds {
    int code_step;       /* largest difference of a code ... */
    double code_share;   /* ... in at most this share of them */
    double weight_scale; /* relative */
    double weight_offset;
    double float_relative, float_absolute, float_of_largest; /* one of the three must hold */
    double deq;                                              /* deq_scale / input_scale, relative */
    bool flipped;                                            /* the search may have ended elsewhere: ranges may too */
} golden_bounds;

/* The bounds of a tensor, or of a layer's tensors when given a layer's name. */
const golden_bounds *golden_bounds_of(const golden *g, const char *tensor);

#endif
