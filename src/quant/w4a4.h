/* W4A4 with an online transform, built from calibration inputs without training. A token x of a linear is served as
 *
 *     X = x∘d as [a, b] row-major,  x' = Lᵀ·X·R,  code = clamp(rint(x'/s), -8, 7),  s = clip_ratio·max|x'|/7,
 *
 * and the weight holds int4 codes of L⁻¹·W_row·R⁻ᵀ (W_row = the row over d as [a, b]). L and R turn the principal axes of the
 * inputs into evenly spread ones: eigenvectors of Σ X·Xᵀ and Σ Xᵀ·X times a Hadamard ⊗ DCT matrix. Weights are rounded in
 * the order and with the feedback of GPTQ (Frantar et al., 2022), here in the form of successive cancellation with one
 * triangular factor of the inputs' second moments.
 *
 * Order of calls for one linear:
 *   1. stats_init, then stats_add with every calibration token (chunks of any size);
 *   2. choose: d, L, R, clip_ratio; reads the kept rows and the weight;
 *   3. moments_begin, moments_add with every token again, moments_end. When stats kept all tokens (keep >= tokens), add the
 *      kept rows: nothing is computed a second time, so one pass over the tokens is enough. Rows cost tokens·in·4 bytes, which
 *      is less than the in·in·4 of the moments until tokens > in. With less room, keep GS_W4A4_SEARCH_ROWS and feed the tokens
 *      once more: the moments are those of the inputs after d, L, R and rounding, known only after step 2;
 *   4. round, for any rows in any order.
 * Results do not depend on threads, on the instruction set or on how tokens and rows are cut into calls. The inputs given
 * to all calls are those of the original linear, before d. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_W4A4_H
#define GS_QUANT_W4A4_H

#include "kernels/gemm.h"

#define GS_W4A4_SEARCH_ROWS 2048 /* most tokens that the search of d and clip_ratio looks at */
#define GS_W4A4_SEARCH_OUT  1024 /* most output rows, evenly spaced; both are halved for wide inputs, not below 512 */
#define GS_W4A4_EIGEN_MAX   512  /* with a factor wider than that, L and R are the spreading matrices alone */

/* a·b = in, a <= b, as near to each other as a difference of squares allows, which is the rule serving engines derive the
 * shapes from. False if there is none (in twice an odd number) or in < 1. */
bool gs_w4a4_split(int64_t in, int64_t *a, int64_t *b);

/* ---- 1. what the inputs look like ---- */

typedef struct gs_w4a4_stats {
    int64_t in, a, b;
    int64_t tokens, seen; /* promised, added */
    int64_t keep, kept;
    float *min, *max; /* [in] */
    float *rows;      /* [keep, in]: all tokens, or evenly spaced ones */
    double *gram_left; /* [a][a][b]: Σ x_ij·x_kj for k <= i; with d it gives Σ X·Xᵀ for any d; NULL if b is too wide */
    double *gram_right; /* [a][b][b]: Σ x_ij·x_il for l <= j */
    float *tail;        /* tokens that wait for a full block */
    gs_buf buf;
} gs_w4a4_stats;

size_t gs_w4a4_stats_bytes(int64_t in, int64_t keep); /* SIZE_MAX = cannot be held */
/* keep: rows to keep, at least 1, at most `tokens` are used. GS_ERR_UNSUPPORTED for a width that cannot be split. */
gs_status gs_w4a4_stats_init(gs_w4a4_stats *s, int64_t in, int64_t tokens, int64_t keep, gs_error *err) GS_CHECKED;
void gs_w4a4_stats_release(gs_w4a4_stats *s); /* accepts an all-zero struct, as all releases here */
/* x: [rows, in]. NaN or Inf: GS_ERR_NUMERIC. */
gs_status gs_w4a4_stats_add(gs_w4a4_stats *s, gs_compute *c, int64_t rows, const float *x, gs_error *err) GS_CHECKED;

/* ---- the transform ---- */

/* L and R as panels. */
typedef struct gs_w4a4_pair {
    int64_t a, b;
    gs_packed left, right;
} gs_w4a4_pair;
/* left: [a, a], right: [b, b], any matrices. */
gs_status gs_w4a4_pair_init(gs_w4a4_pair *p, gs_compute *c, int64_t a, int64_t b, const float *left, const float *right,
                            gs_error *err) GS_CHECKED;
void gs_w4a4_pair_release(gs_w4a4_pair *p);
/* Each row of x: [rows, a·b] becomes Lᵀ·X·R. work: [rows, a·b]. */
void gs_w4a4_pair_apply(const gs_w4a4_pair *p, gs_compute *c, int64_t rows, float *x, float *work);
/* Codes and scale of each row; a row of zeros has scale 1. */
void gs_w4a4_quantize(gs_compute *c, int64_t rows, int64_t in, const float *x, float clip_ratio, int8_t *codes,
                      float *scale);

/* ---- 2. to 4. ---- */

/* Does a linear of this input width fit? GS_ERR_UNSUPPORTED naming the linear. Engines pack eight codes into a word. */
gs_status gs_w4a4_check(const char *name, int64_t in, gs_error *err) GS_CHECKED;

typedef struct gs_w4a4_options {
    bool diagonal; /* search d; otherwise d = 1 (no norm in front to take it) */
    bool eigen;    /* false: the spreading matrices alone */
    gs_dtype
        floats; /* what L and R are written in: they are rounded to it here, and the weight takes the true inverse */
    const float
        *norm; /* [in] or NULL: what d will be multiplied into; d is then such that norm·d is a value of `floats` */
} gs_w4a4_options;

typedef struct gs_w4a4_plan {
    int64_t in, a, b;
    double alpha; /* exponent of d; -1 = no d */
    double
        error; /* mean squared error of the output with plain rounding at the chosen d, over the mean square of the output */
    float clip_ratio;
    float *d;             /* [in] */
    float *left, *right;  /* [a, a], [b, b], as written */
    gs_w4a4_pair act;     /* left, right */
    gs_w4a4_pair weight;  /* their inverse transposes */
    double damping;       /* of the mean second moment: 0.01, more if that was not enough */
    int32_t *order;       /* [in]: place -> column; the last place is rounded first */
    float *moment;        /* [in]: mean square of each transformed, quantized input, times the number of tokens */
    int64_t seen, queued; /* tokens in the moments, tokens waiting in `queue` */
    gs_packed panel;      /* room for the factor's rows of one step */
    gs_buf vectors, factor, queue, work;
} gs_w4a4_plan;

/* Bytes that choose takes for a while; kept: rows of the stats. */
size_t gs_w4a4_search_bytes(int64_t out, int64_t in, int64_t kept);
/* w: [out, in] panels (float). */
gs_status gs_w4a4_choose(gs_w4a4_plan *p, gs_compute *c, const gs_w4a4_stats *s, const gs_packed *w,
                         const gs_w4a4_options *options, gs_error *err) GS_CHECKED;
void gs_w4a4_plan_release(gs_w4a4_plan *p);

/* Bytes held from moments_begin on: in·in·4 and working room. */
size_t gs_w4a4_moments_bytes(int64_t in);
gs_status gs_w4a4_moments_begin(gs_w4a4_plan *p, gs_error *err) GS_CHECKED;
gs_status gs_w4a4_moments_add(gs_w4a4_plan *p, gs_compute *c, int64_t rows, const float *x, gs_error *err) GS_CHECKED;
gs_status gs_w4a4_moments_end(gs_w4a4_plan *p, gs_compute *c, gs_error *err) GS_CHECKED;

/* All of this in its order. Rows to keep for a linear whose inputs are cheap to make again, or are not. */
int64_t gs_w4a4_keep(int64_t tokens, int64_t in, bool cheap);
typedef struct gs_w4a4_feed {
    gs_w4a4_stats *stats;
    gs_w4a4_plan *plan; /* NULL the first time */
} gs_w4a4_feed;
gs_status gs_w4a4_feed_add(const gs_w4a4_feed *f, gs_compute *c, int64_t rows, const float *x,
                           gs_error *err) GS_CHECKED;
typedef struct gs_w4a4_source {
    int64_t tokens, keep;
    /* Every token to gs_w4a4_feed_add; called a second time if fewer than all were kept. */
    gs_status (*inputs)(void *ctx, const gs_w4a4_feed *f, gs_error *err);
    void *ctx;
} gs_w4a4_source;
/* p: empty; the caller releases it whatever happens. */
gs_status gs_w4a4_build(gs_w4a4_plan *p, gs_compute *c, const gs_packed *w, const gs_w4a4_options *options,
                        const gs_w4a4_source *from, gs_error *err) GS_CHECKED;

/* Rows row0 .. of w (the panels given to choose, or other panels of the same rows): codes [rows, in], scale [rows]. */
gs_status gs_w4a4_round(gs_w4a4_plan *p, gs_compute *c, const gs_packed *w, int64_t row0, int64_t rows, int8_t *codes,
                        float *scale, gs_error *err) GS_CHECKED;

/* ---- the linear as it is served ---- */

typedef struct gs_w4a4_linear {
    int64_t out, in;
    gs_w4a4_pair pair;
    float clip_ratio;
    gs_packed codes;   /* S8 panels */
    float *scale;      /* [out] */
    float *d;          /* [in] or NULL when folded into what comes before */
    const float *bias; /* borrowed, [out] or NULL */
    gs_buf work;
} gs_w4a4_linear;

size_t gs_w4a4_linear_bytes(int64_t out, int64_t in); /* SIZE_MAX: the width does not fit */
/* left: [a, a], right: [b, b] with the split of `in`; d: [in], copied, or NULL. */
gs_status gs_w4a4_linear_init(gs_w4a4_linear *l, gs_compute *c, int64_t out, int64_t in, const float *left,
                              const float *right, float clip_ratio, const float *d, const float *bias,
                              gs_error *err) GS_CHECKED;
void gs_w4a4_linear_release(gs_w4a4_linear *l);
/* row0 and rows as gs_pack_rows wants them. */
void gs_w4a4_linear_set_rows(gs_w4a4_linear *l, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes,
                             const float *scale);
/* x: [rows, in], y: [rows, out]. */
void gs_w4a4_linear_forward(gs_w4a4_linear *l, gs_compute *c, int64_t rows, const float *x, float *y);

#endif
