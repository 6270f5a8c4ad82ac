/* Private to quant/: one row of each kind of rule, and the loops they share. Loops run over blocks with a constant trip count, so
 * that compilers make vector code of them at -O2. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_RULE_ROW_H
#define GS_QUANT_RULE_ROW_H

#include <math.h>

#include "quant/rule.h"

#define GS_ROW_BLOCK   16
#define GS_ROW_ROUNDER 12582912.0f /* 1.5·2^23: adding and subtracting it rounds half to even below 2^22 */

/* One row; optional members as in gs_weight_codes. */
typedef struct gs_row {
    const gs_compute *c;
    int64_t in;
    const float *w;
    int8_t *codes;
    float *scale, *offset, *second, *forward;
} gs_row;

void gs_row_channel(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row); /* NORMAL, LOWBIT */
void gs_row_group(const gs_weight_rule *rule, const gs_row *row);
void gs_row_outliers(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row); /* SPLIT, SPARSE_* */
void gs_row_stages(const gs_weight_rule *rule, const gs_row *row); /* TWO_STAGE, MERGED */
/* Sums of 8·second·scale·code over `columns` equal parts of the row; columns == in: each product, without the 8. */
void gs_row_scale_bias(const gs_weight_rule *rule, const gs_row *row, int64_t columns, float *to);

/* The part of `to` that belongs to row r. */
gs_weight_codes gs_weight_codes_row(const gs_weight_rule *rule, const gs_weight_codes *to, int64_t in, int64_t r);
/* gs_weight_apply for one row: w and the members of `to` are the row's. */
void gs_weight_apply_row(const gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats, int64_t in,
                         const float *w, const gs_weight_codes *to);
gs_sqnr gs_weight_sqnr_row(const gs_compute *c, const gs_weight_rule *rule, int64_t in, const float *w,
                           const gs_weight_codes *from);
/* Rows per task: rows of any width make tasks of about the same size. */
static inline int64_t gs_row_task_rows(int64_t in) { return in < 65536 ? 65536 / in : 1; }

/* |w| above this is an outlier of the row, by the rule's fraction or sigma. */
float gs_row_threshold(const gs_weight_rule *rule, const float *w, int64_t in);
/* The k-th largest magnitude of n values, 1 <= k <= n. */
float gs_row_kth(const float *w, int64_t n, int64_t k);
/* k of a fraction of n values, at least 1. */
int64_t gs_outlier_count(double fraction, int64_t n);
/* Range of the values with |w| <= threshold, 0 included where others are left out; *peak: largest |w| of all. */
void gs_row_body(const float *w, int64_t n, float threshold, float *lo, float *hi, float *peak);

/* Scale and offset of a range in steps of 2^bits - 1; a range of one value is widened to 0. */
typedef struct gs_grid {
    float scale, offset, low, high; /* codes lie in [low, high] */
} gs_grid;
gs_grid gs_grid_sym(float peak, int bits, float least);
gs_grid gs_grid_asym(float lo, float hi, int bits, float least);

void gs_row_range(const float *w, int64_t n, float *lo, float *hi);
float gs_row_peak(const float *w, int64_t n);
int32_t gs_row_code_sum(const int8_t *codes, int64_t n);
/* codes = clamp(rint(w / scale + offset)); forward (may be NULL) = (code - offset)·scale. */
void gs_row_encode(const gs_compute *c, const float *w, int64_t n, gs_grid grid, int8_t *codes, float *forward);

static inline float gs_row_rint(float v) { return (v + GS_ROW_ROUNDER) - GS_ROW_ROUNDER; }
static inline float gs_row_clamp(float q, float low, float high)
{
    q = q > low ? q : low; /* NaN becomes low */
    return q < high ? q : high;
}
/* A scale that cannot divide becomes the least one. */
static inline float gs_scale_guard(float scale) { return scale > 0.0f ? scale : GS_EPS; }

#endif
