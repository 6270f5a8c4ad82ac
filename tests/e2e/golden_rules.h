/* When is a result the reference's result? The rules and their bounds. SPDX-License-Identifier: Apache-2.0 */
#ifndef GOLDEN_RULES_H
#define GOLDEN_RULES_H

#include "base/str.h"
#include "golden_case.h"

/* The worst difference of each kind of tensor, whether or not it was allowed. */
typedef enum golden_figure {
    FIGURE_CODE,         /* largest difference of a code */
    FIGURE_CODE_SHARE,   /* share of codes that differ */
    FIGURE_WEIGHT_SCALE, /* relative */
    FIGURE_WEIGHT_OFFSET,
    FIGURE_FLOAT,       /* relative; tensors that are not quantized */
    FIGURE_INPUT_SCALE, /* relative */
    FIGURE_INPUT_OFFSET,
    FIGURE_KV_SCALE, /* relative */
    FIGURE_KV_OFFSET,
    FIGURE_DEQ,       /* deq_scale / input_scale, relative */
    FIGURE_BIAS_SELF, /* quant_bias against the file's own tensors */
    FIGURE_BIAS,      /* quant_bias against the golden, where the range agrees */
    FIGURE_SMOOTH,    /* share of weights whose product with the norm has moved */
    FIGURE_COUNT
} golden_figure;

typedef struct golden_verdict {
    gs_str text; /* one line per difference */
    int differences;
    double worst[FIGURE_COUNT]; /* negative = no such tensor */
    int layers, tight;          /* layers with an input_scale; of these, how many agree tightly */
} golden_verdict;

void golden_verdict_init(golden_verdict *v);
void golden_verdict_release(golden_verdict *v);
/* Compare the directory with the case. Fails only when the golden itself cannot be read. */
gs_status golden_judge(golden *g, const char *out_dir, golden_verdict *v, gs_error *err) GS_CHECKED;
/* "code 0, weight_scale 0, input_scale 1.2e-06 (9 of 9 layers below 2e-05), ..." */
void golden_verdict_figures(const golden_verdict *v, gs_str *out);

#endif
