/* The bounds, measured by running the reference with other orders of summation (permuted products, plain softmax):
 *   exact     weights as they are: division and rounding have one right result
 *   smoothed  weights rescaled from float statistics: worst seen 3.7e-6, and codes next to a rounding boundary
 *   searched  do_smooth chooses its exponents on activations that are fake-quantized already, from the second group on: near ties
 *             end at the neighbouring grid point (weight_scale 0.05 to 0.14 away, codes 10 steps), but the product of norm and
 *             weight must stay what it was (golden_smooth.c)
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_bounds.h"

#include <string.h>

static const golden_bounds exact = {.weight_scale = 2.4e-7, .deq = 4.8e-7}; /* two float32 steps */
static const golden_bounds smoothed = {
    .code_step = 1,
    .code_share = 2e-3,
    .weight_scale = 2e-5,
    .weight_offset = 1,
    .float_relative = 2e-5,
    .float_absolute = 1e-6,
    .deq = 2.024e-5,
};
static const golden_bounds searched = {
    .code_step = 1,
    .code_share = 2e-3,
    .weight_scale = 2e-5,
    .weight_offset = 1,
    .float_relative = 1e-4,
    .float_absolute = 1e-6,
    .float_of_largest = 2e-5,
    .deq = 2.024e-5,
};
static const golden_bounds flipped = {
    .code_step = 40,
    .code_share = 1,
    .weight_scale = 0.25,
    .weight_offset = 40,
    .float_relative = 0.25,
    .float_absolute = 1,
    .deq = 0.25,
    .flipped = true,
};

/* A norm inside a block, or a linear right behind one, other than the very first: all that the search may move. */
static bool may_flip(const char *tensor)
{
    static const char *const parts[] = {".input_layernorm", ".query_key_value", ".post_attention_layernorm",
                                        ".mlp.dense_h_to_4h"};
    if (strstr(tensor, ".layers.") == NULL) return false;
    for (int i = 0; i < 4; i++) {
        const bool first = i < 2 && strstr(tensor, ".layers.0.") != NULL;
        if (strstr(tensor, parts[i]) != NULL) return !first;
    }
    return false;
}

const golden_bounds *golden_bounds_of(const golden *g, const char *tensor)
{
    switch (g->rules) {
    case GOLDEN_SMOOTHED:
        return &smoothed;
    case GOLDEN_SEARCHED:
        return may_flip(tensor) ? &flipped : &searched;
    case GOLDEN_EXACT:
    case GOLDEN_FORM:
        break;
    }
    return &exact;
}
