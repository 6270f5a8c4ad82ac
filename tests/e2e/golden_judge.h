/* Private to the golden comparison: what its files share while a result is judged. SPDX-License-Identifier: Apache-2.0 */
#ifndef GOLDEN_JUDGE_H
#define GOLDEN_JUDGE_H

#include "golden_bounds.h"
#include "golden_rules.h"

#define TIGHT     2e-5   /* input_scale, relative */
#define PRODUCT   3e-7   /* one float32 product against another */
#define BIAS_STEP 1.0    /* rounding of quant_bias next to a half */
#define BIAS_SUM  2.4e-7 /* of its magnitude: a sum of codes beyond 2^24 */

typedef struct judge {
    golden *g;
    golden_verdict *v;
    const char *out_dir;
    bool search; /* act_method 2 or 3 */
} judge;

void judge_differ(judge *j, const char *fmt, ...) GS_PRINTF(2, 3);
void judge_saw(judge *j, golden_figure figure, double value);
/* Relative difference; equal values, two NaN included, differ by 0 and a NaN on one side by infinity. */
double judge_relative(double want, double got);
/* Element of an F32, I64, I32, I16 or I8 tensor. */
double judge_at(const golden_tensor *t, int64_t i);
/* deq_scale is float32, or the same 32 bits in the lower half of an int64. A tensor of one element holds it for all rows. */
float judge_deq(const golden_tensor *t, int64_t row);
/* Two int4 to a byte? The model's weight tells. */
bool judge_is_packed(const judge *j, const golden_tensor *t);
int judge_code(const golden_tensor *t, int64_t i, bool packed);

/* One tensor by the last part of its name, apart from those that only make sense with their layer. */
void judge_tensor(judge *j, const golden_tensor *want, const golden_tensor *got);
/* All that belongs to the layer of an input_scale: range, deq_scale, quant_bias. */
void judge_layer(judge *j, const char *layer, const golden_set *want, const golden_set *got);
/* Norm and weight behind it: their product is the model's, whatever do_smooth moved between them. */
gs_status judge_smoothing(judge *j, const golden_set *got, gs_error *err) GS_CHECKED;

#endif
