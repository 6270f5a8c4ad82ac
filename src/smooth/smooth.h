/* Outlier suppression: function-preserving transforms of a block (anti_method m1 … m6). A smoother looks at the statistics of a
 * linear's input on the untouched model and answers with vectors, never with rewritten weights:
 *   norm → linear   s[in]:            norm.weight /= s, norm.bias /= s; the linear's column c *= s[c]
 *   linear → linear div[rows], s[in]: the producer's rows (and bias) /= div; the consumer's column c *= s[c]
 * The walk applies them where weights are read (quantizing, writing), so the stored bf16 panels of a block stay as they are.
 *
 * Groups of a GLM block: input norm → QKV, post norm → H4 (all methods); QKV's value rows → DENSE and H4's up rows → 4H (m4, m6).
 * The statistics of all groups are taken from the unmodified model; each group is independent of the others.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_SMOOTH_H
#define GS_SMOOTH_SMOOTH_H

#include "kernels/elem.h"
#include "kernels/gemm.h"
#include "model/family.h"

#define GS_SMOOTH_ROWS_MAX 2048 /* rows of all samples a search looks at, evenly spaced (all rows under compat) */

/* Statistics of one linear's input, sample by sample in file order (running shift: the order shows in the result). */
typedef struct gs_outlier_stats {
    int64_t channels, samples, tokens;
    float *max, *min; /* [channels] running over samples */
    float *shift;     /* (max+min)/2 after the last sample */
    float *thres;     /* max over samples of (x - shift so far), signed */
    float *abs_max;   /* max |x| */
    float thres_t;    /* max of thres over everything seen, by the same rule */
    float std;        /* max over samples of the unbiased std of (x - shift so far), all elements */
    float *first;     /* sample 0: [first_rows, channels]; NULL unless kept */
    int64_t first_rows;
    float *rows; /* chosen rows of all samples: [n_rows, channels]; NULL unless kept */
    int64_t n_rows;
    /* private */
    gs_buf first_buf, rows_buf;
    int64_t first_cap, total_tokens, row_limit;
} gs_outlier_stats;

/* total_tokens: tokens of all samples that will be added. keep_first / keep_rows: what the smoother needs. row_limit: at most so
 * many evenly spaced rows are kept (<= 0: all). */
gs_status gs_outlier_stats_init(gs_outlier_stats *s, int64_t channels, int64_t total_tokens, int64_t first_rows,
                                bool keep_first, bool keep_rows, int64_t row_limit, gs_error *err) GS_CHECKED;
/* x: [rows, channels], one whole sample. GS_ERR_NUMERIC on NaN or Inf (the caller adds layer and group); nothing is changed then. */
gs_status gs_outlier_stats_add(gs_outlier_stats *s, gs_compute *c, int64_t rows, const float *x,
                               gs_error *err) GS_CHECKED;
void gs_outlier_stats_release(gs_outlier_stats *s);

/* What was chosen for one group, for the summary. */
typedef struct gs_smooth_choice {
    const char *branch;               /* static text: "sqrt", "threshold", … */
    int index;                        /* of the search, -1 = none */
    double alpha, beta;               /* exponents; NaN = not used */
    double threshold;                 /* m2's t, m5's T+; NaN = not used */
    double loss_before, loss_after;   /* in the method's own measure; NaN = no search */
    int64_t scaled_channels;          /* channels with s != 1 */
    int64_t zero_channels;            /* input channels that were all zero (guarded) */
    double range_before, range_after; /* max |x| and max |x/s| */
} gs_smooth_choice;

/* One group: the consumer linear and the statistics of its input. */
typedef struct gs_smooth_group {
    const gs_outlier_stats *stats;
    const gs_packed *weight; /* consumer, original: [out, in] float panels */
    const float *bias;       /* [out] or NULL; no method needs it, since it cancels in every loss */
    int w_bit;               /* m3 only, 2 … 8; the others simulate 8 bits whatever the run quantizes to */
    bool w_sym;              /* m3 only */
    bool compat; /* --reference_compat: an input channel that was all zero gets the reference's scale (1e-5 for most
                              * methods: its norm weight grows 100,000-fold) instead of 1 */
} gs_smooth_group;

/* Rows of the producer that a linear → linear pair divides. */
typedef struct gs_smooth_pair {
    gs_role producer;                /* GS_QKV or GS_H4 */
    int64_t rows;                    /* of the producer */
    int64_t heads, groups, head_dim; /* of the model; for QKV → DENSE */
    bool split_wrong; /* --reference_compat: a producer with twice the consumer's inputs is taken for per-head
                              * [ones|scales] blocks, which is wrong for gate|up; its other rules by shape follow */
} gs_smooth_pair;

typedef struct gs_smoother {
    const char *name;  /* "m1" */
    const char *title; /* "SmoothQuant" */
    bool norm_bias;    /* norms (the final one too) are written with a bias */
    bool pairs;        /* linear → linear groups too */
    bool needs_first;  /* sample 0's rows */
    bool needs_rows;   /* rows of all samples */
    /* The most large memory a search on one group takes, beside the statistics: weight [out, in], the rows kept of sample 0 and
     * of all samples. NULL: a few rows of the weight. */
    size_t (*bytes)(int64_t out, int64_t in, int64_t first_rows, int64_t n_rows);
    /* s: [in] */
    gs_status (*scale)(gs_compute *c, const gs_smooth_group *g, float *s, gs_smooth_choice *choice, gs_error *err);
    /* s: [in of the consumer]; div: [pair->rows], 1 where nothing is divided. NULL unless pairs. */
    gs_status (*pair)(gs_compute *c, const gs_smooth_group *g, const gs_smooth_pair *p, float *s, float *div,
                      gs_smooth_choice *choice, gs_error *err);
} gs_smoother;

/* NULL for "" ; every name that recipe/ lets through is found. */
const gs_smoother *gs_smoother_find(const char *name);

/* All of them, in order, NULL at the end. */
extern const gs_smoother *const gs_smoothers[];

/* method->bytes with what every method takes, for the plan. */
size_t gs_smooth_bytes(const gs_smoother *method, int64_t out, int64_t in, int64_t first_rows, int64_t n_rows);

/* w_c = max over rows of |W[row, c]|, then max(w_c, least). w: [in]. GS_ERR_MEMORY when there is no room for a few rows. */
gs_status gs_smooth_weight_max(gs_compute *c, const gs_packed *weight, float least, float *w, gs_error *err) GS_CHECKED;

#endif
