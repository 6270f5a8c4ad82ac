/* One linear quantized in memory, to try what that costs: codes from float rows by the rule of a recipe, then the arithmetic of
 * the engines that served.h describes. Weight-only types multiply the values that the codes stand for; static types quantize every
 * token with one range; per-token types with a scale each. W4A4 is built by quant/w4a4.h and only served here.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_TRIAL_H
#define GS_EVAL_TRIAL_H

#include "quant/fakequant.h"
#include "quant/rule.h"
#include "quant/w4a4.h"

typedef struct gs_trial {
    bool transformed; /* W4A4: `w4a4` is in use, else `fake` */
    gs_fake_linear fake;
    gs_w4a4_linear w4a4;
    gs_buf codes; /* of the inputs of one call */
} gs_trial;

typedef struct gs_trial_spec {
    const gs_recipe *recipe;
    const gs_weight_rule *rule;
    gs_quant_type type; /* not FLOAT, not W4A4 */
    int64_t out, in;
    bool row_parallel;
    const float *bias;            /* borrowed, [out] or NULL */
    gs_act_params act;            /* static types */
    const gs_weight_stats *stats; /* of the whole matrix; NULL = measured here where the rule needs them */
    gs_rows_fn rows;              /* of the weight, any number of times */
    void *ctx;
} gs_trial_spec;

/* Memory: the codes as panels (weight-only: float32 panels) and a few row chunks of GS_TRIAL_BYTES. t: empty; the caller releases
 * it whatever happens. */
#define GS_TRIAL_BYTES (16u << 20)
gs_status gs_trial_build(gs_trial *t, gs_compute *c, const gs_trial_spec *spec, gs_error *err) GS_CHECKED;
/* From a finished plan. w: the float weight. */
gs_status gs_trial_build_w4a4(gs_trial *t, gs_compute *c, gs_w4a4_plan *plan, const gs_packed *w, const float *bias,
                              gs_error *err) GS_CHECKED;
void gs_trial_release(gs_trial *t); /* accepts an all-zero struct */

/* x: [rows, in], y: [rows, out]. */
gs_status gs_trial_forward(gs_trial *t, gs_compute *c, int64_t rows, const float *x, float *y,
                           gs_error *err) GS_CHECKED;

#endif
