/* What a recipe does to the weight of a linear, as data: a rule per run, statistics per matrix where a rule needs them, and one
 * call that turns rows into codes and scales. Rows stream: the float32 matrix is never whole in memory, and rows of a matrix may
 * come in chunks of any size. The same bits for any chunk size, thread count and machine.
 *
 * How to use it:
 *     gs_weight_rule_from(recipe, &resolved, data_free, &rule);              once per run
 *     gs_weight_layout_from(&rule, recipe, one_per_byte, row_parallel, in);  per linear; shapes: gs_piece_shape() of scheme.h
 *     gs_weight_check(&rule, &layout, name, out, in, err);                   per linear, before any work
 *     if (gs_weight_needs_stats(&rule)) gs_weight_measure(…, &stats, err);   reads the rows once, sometimes twice
 *     gs_weight_apply(compute, &rule, &stats, rows, in, w, &codes);          per chunk; then gs_nibbles_pack() if packed
 *
 * What is written under which name: codes → .weight, scale and offset → .weight_scale and .weight_offset (or only deq_scale),
 * scale_second → .weight_scale_second (.weight_offset_second is all zeros), scale_bias → .scale_bias. quant_bias is computed from
 * row_sum, and deq_scale from scale, of every rule whose scale has one column.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_RULE_H
#define GS_QUANT_RULE_H

#include "kernels/compute.h"
#include "quant/pack4.h"
#include "quant/weight.h"
#include "recipe/legal.h"

typedef enum gs_weight_kind {
    GS_WEIGHT_NONE,   /* FLOAT */
    GS_WEIGHT_NORMAL, /* one scale per row; the range includes 0; 4 or 8 bits */
    GS_WEIGHT_LOWBIT, /* the low-bit class with 8 bits: as NORMAL, but the range is the row's own */
    GS_WEIGHT_SPLIT, /* the low-bit class with 4 bits and 16 bit activations: the scale leaves outliers out of account and the
                              * codes clip them, unless holds_outliers */
    GS_WEIGHT_GROUP,         /* one scale per group of a row; 4 or 8 bits */
    GS_WEIGHT_SPARSE_GLOBAL, /* 4 bits and int8 outliers: those above the matrix's k-th largest magnitude */
    GS_WEIGHT_SPARSE_ROW,    /* the same with the outliers of each row */
    GS_WEIGHT_TWO_STAGE,     /* int8 by row, then int4 by group with a whole factor */
    GS_WEIGHT_MERGED,        /* TWO_STAGE multiplied out: int8 codes with one scale per row */
    GS_WEIGHT_KINDS
} gs_weight_kind;

typedef struct gs_weight_rule {
    gs_weight_kind kind;
    int bits;       /* of a code as written: 4 codes lie in [-8, 7] and may be packed; sparse and MERGED codes have 8 */
    bool sym;       /* offsets are all 0 */
    int group_size; /* 0 = one scale per row */
    double fraction; /* share of outliers, of the row or (SPARSE_GLOBAL) of the matrix */
    bool use_sigma;  /* outliers of a row are those with |w| / σ(|w|) > sigma instead */
    double sigma;
    bool
        holds_outliers; /* SPLIT, by row, not with mm_tensor: where clipping the outliers costs more than coarser steps, the scale
                                 * holds them. False: as the reference */
    bool mm_tensor;    /* one scale for the whole matrix; apply writes it once per row */
    bool forward_is_w; /* TWO_STAGE under reference_compat: the reference calibrates with the unquantized weight */
} gs_weight_rule;

/* Of a W4A4 recipe the rule is that of its W8A8_DYNAMIC linears; W4A4 codes are made by w4a4.h.
 * data_free: there is no calibration data (then the reference honours sigma_factor too). */
void gs_weight_rule_from(const gs_recipe *recipe, const gs_resolved *resolved, bool data_free, gs_weight_rule *rule);

/* The form a linear's weight is written in. */
typedef struct gs_weight_layout {
    gs_nibbles nibbles;         /* GS_NIBBLES_NONE: one code per byte */
    int64_t scale_columns;      /* columns of scale and offset: 1 or in / group_size */
    int64_t second_columns;     /* columns of scale_second: in / group_size, or 0: there is none */
    int64_t scale_bias_columns; /* of scale_bias: 1, 16, in (reference_compat), or 0: it is not written */
    bool one_scale;  /* reference_compat with mm_tensor: weight_scale, weight_offset and deq_scale have shape [1], the
                                 * value of any row */
    bool scales_f32; /* weight scales are F32 whatever the floats of the output are */
} gs_weight_layout;

/* one_per_byte: 4 bit codes are not packed and there is no scale_bias (mindie_format). row_parallel: engines cut this linear along
 * its input (dense, dense_4h_to_h); decides how scale_bias is summed. */
gs_weight_layout gs_weight_layout_from(const gs_weight_rule *rule, const gs_recipe *recipe, bool one_per_byte,
                                       bool row_parallel, int64_t in);
/* The same for one of `ranks` cards that share a row-parallel linear; in: of the whole linear. */
gs_weight_layout gs_weight_layout_rank(const gs_weight_rule *rule, const gs_recipe *recipe, bool one_per_byte,
                                       int ranks, int64_t in);
/* Does the rule fit a linear of this size? GS_ERR_UNSUPPORTED naming the linear, the sizes and what would fit. */
gs_status gs_weight_check(const gs_weight_rule *rule, const gs_weight_layout *layout, const char *name, int64_t out,
                          int64_t in, gs_error *err) GS_CHECKED;

/* Statistics of a whole matrix. All zero where gs_weight_needs_stats() is false. */
typedef struct gs_weight_stats {
    float threshold; /* SPARSE_GLOBAL: outliers have |w| above it */
    float lo, hi;    /* mm_tensor: range of all values but outliers */
    float peak;      /* mm_tensor: largest |w| of all */
} gs_weight_stats;

bool gs_weight_needs_stats(const gs_weight_rule *rule);
/* Rows row0 .. row0 + rows of the matrix as float32 [rows, in], valid until the next call. */
typedef gs_status (*gs_rows_fn)(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err);
/* Reads all rows through the callback, chunk_rows at a time (> 0), in order; a second time where the threshold needs more digits
 * than bfloat16 values have. Fails only when the callback does. */
gs_status gs_weight_measure(gs_compute *c, const gs_weight_rule *rule, int64_t out, int64_t in, int64_t chunk_rows,
                            gs_rows_fn rows, void *ctx, gs_weight_stats *stats, gs_error *err) GS_CHECKED;

/* Where the results of `rows` rows go; NULL members are not computed, except codes and scale, which must be there. */
typedef struct gs_weight_codes {
    int8_t *codes; /* [rows, in], one per byte */
    float *scale;  /* [rows, scale_columns] */
    float *offset; /* [rows, scale_columns]: whole numbers, 0 if sym. Outside int8 for some asymmetric groups */
    float *
        scale_second; /* [rows, second_columns], whole numbers; TWO_STAGE needs it. MERGED: the step of each group, not written */
    float *scale_bias; /* [rows, scale_bias_columns]; TWO_STAGE */
    int64_t scale_bias_columns;
    int32_t *row_sum; /* [rows]: sum of the codes */
    float *
        forward; /* [rows, in]: the weight of the reference's calibration forward. May be w itself. Differs from the dequantized
                       * codes where saved codes are clipped (SPLIT) and by an ulp at sparse outliers */
} gs_weight_codes;

/* stats may be NULL where gs_weight_needs_stats() is false. Rows, or groups, of zeros get scale GS_EPS and codes that mean 0; a
 * constant asymmetric group gets the range from it to 0; a row with nothing but outliers and zeros gets their range: the reference
 * computes 0/0 there. Parallel. */
void gs_weight_apply(gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats, int64_t rows, int64_t in,
                     const float *w, const gs_weight_codes *to);

/* Rows as a checkpoint stores them. */
typedef struct gs_stored_rows {
    int64_t rows, in;
    gs_dtype dtype;     /* a float type */
    const void *data;   /* [rows, in], any address */
    gs_nibbles nibbles; /* how the codes are written; packed in pairs of rows: `rows` is even */
} gs_stored_rows;
/* gs_weight_apply, gs_weight_sqnr_add and gs_nibbles_pack in one go. Codes go to to->codes, packed where `from` says so. *bad: index of
 * the first value that is NaN or Inf, and then nothing else counts; -1 = none. Fails only for want of memory. Parallel. */
gs_status gs_weight_apply_stored(gs_compute *c, const gs_weight_rule *rule, const gs_weight_stats *stats,
                                 const gs_stored_rows *from, const gs_weight_codes *to, gs_sqnr *sqnr, int64_t *bad,
                                 gs_error *err) GS_CHECKED;

/* What an engine makes of the codes: scale·second·(code - offset). out: [rows, in]. offset and scale_second of `from` may be NULL
 * (0 and 1; MERGED codes have their step in them already and take none). Parallel. */
void gs_weight_dequant(gs_compute *c, const gs_weight_rule *rule, int64_t rows, int64_t in, const gs_weight_codes *from,
                       float *out);
/* Signal and noise of w against those, added in row order. */
void gs_weight_sqnr_add(gs_sqnr *s, gs_compute *c, const gs_weight_rule *rule, int64_t rows, int64_t in, const float *w,
                        const gs_weight_codes *from);

#endif
