/* What does it cost to quantize each linear alone? The library behind `glmslim analyze`: for every linear and every scheme the measured
 * loss, what its inputs look like, a ranking, and which linears to keep in float for a given budget.
 *
 * Definitions. Hidden states are those of the float model, on the calibration samples or on another text. The loss of a linear is the mean over tokens of
 * ‖h' - h‖² / ‖h‖², h the token's hidden state behind the linear's block, h' the same with this linear alone quantized: per token,
 * because the norm that comes next divides by the token's size. Of the output layer, h are the logits. Tokens of the prefix ([gMASK]
 * <sop>) do not count, because their huge states would hide the others; a token whose state is zero neither. KL is the mean over the
 * same tokens of KL(float ‖ with this linear alone quantized) in nats. Ranges of static types are taken from all calibration samples first, then
 * every token is quantized with the result, as engines do.
 *
 * Inputs of a linear, over all tokens of the calibration samples: least and greatest value; kurtosis, the fourth central moment over the square of the second (3
 * for a normal distribution); outlier channels, those whose largest magnitude is above GS_OUTLIER_RATIO times the median of all
 * channels' largest magnitudes.
 *
 * Memory: one block in float, one quantized linear (weight-only: in float32), the scratch of a block, and hidden states in memory up to
 * a bound, else in a file: three streams, with KL one more for every linear and scheme. W4A4 takes the second moments of its inputs, in
 * the worst case 4·in² bytes twice. The same input gives the same bytes for any number of threads and any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_ANALYZE_H
#define GS_EVAL_ANALYZE_H

#include "base/mem.h"
#include "eval/input.h"
#include "kernels/compute.h"

#define GS_ANALYZE_STATES  (256u << 20) /* hidden states in memory */
#define GS_ANALYZE_SCHEMES 16           /* most of one run */

/* Linears to keep in float: so many of the worst, or what loses most per extra byte until the result has grown by so many per cent. */
typedef struct gs_budget {
    bool percent;
    double value;
} gs_budget;

typedef struct gs_analyze_spec {
    const char *model_path; /* float checkpoint */
    const char *calib_file; /* NULL with no calib_texts: the built-in set */
    const char *const *calib_texts;
    int64_t samples;           /* the first so many; 0 = all */
    const char *text_path;     /* measure on this instead, in windows as eval cuts them; NULL = on the samples */
    const char *const *scheme; /* NULL-terminated names of types or option lines of quant; NULL = W8A8 */
    gs_budget budget;
    bool kl;
    const char *work_dir;   /* for hidden states that do not fit in memory */
    uint64_t states_memory; /* 0 = GS_ANALYZE_STATES */
    const gs_watch *watch;  /* may be NULL */
} gs_analyze_spec;

/* A linear of the model, whatever the scheme. */
typedef struct gs_analyze_linear {
    const char *name; /* as --disable_names takes it */
    int64_t out, in;
    gs_input_figures input;
} gs_analyze_linear;

/* A linear under a scheme. */
typedef struct gs_trial_figures {
    int linear;       /* of gs_analysis.linear: execution order */
    const char *type; /* "W8A8"; under W4A4, dense is W8A8_DYNAMIC */
    bool measured;    /* false: this scheme never quantizes it (the output layer under W4A4) */
    bool kept;        /* it stays float anyway: the output layer, without --disable_last_linear False */
    bool chosen;      /* by the budget */
    double loss;
    double kl, kl_se;            /* 0 without KL */
    uint64_t bytes, float_bytes; /* of its tensors in a result */
} gs_trial_figures;

typedef struct gs_analyze_scheme {
    const char *name;       /* as it was asked for */
    const char *options;    /* of quant */
    const char *type;       /* "W8A8" */
    uint64_t bytes;         /* of a result in which it quantizes all it can */
    uint64_t extra_bytes;   /* of the chosen linears in float */
    double removed;         /* their share of the summed KL, or loss without KL */
    int linears, chosen;    /* chosen: how many */
    gs_trial_figures *rank; /* [linears] worst first by KL, or loss without KL; then what is not measured */
} gs_analyze_scheme;

typedef struct gs_analysis {
    const char *path, *source; /* of the calibration samples */
    const char *text;          /* that was measured on; NULL = those samples */
    int64_t samples, tokens;   /* calibration */
    int64_t windows, counted;  /* of the text; tokens that losses are means of */
    int64_t prefix;            /* tokens before each sample and window */
    bool kl;
    gs_budget budget;
    int linears; /* layers·4 in the order they run, then the output layer */
    gs_analyze_linear *linear;
    int schemes;
    gs_analyze_scheme *scheme;
    gs_arena *arena;
} gs_analysis;

/* Everything is opened and checked before the first block is computed. */
gs_status gs_analyze_run(const gs_analyze_spec *spec, gs_compute *c, gs_analysis **out, gs_error *err) GS_CHECKED;
void gs_analysis_free(gs_analysis *a); /* NULL is fine */

/* "4" or "10%"; NULL = 0. GS_ERR_USAGE. */
gs_status gs_budget_parse(const char *word, gs_budget *out, gs_error *err) GS_CHECKED;

/* Private to eval/: worst first; equal ones in execution order. */
void gs_rank(gs_trial_figures *f, int n, bool by_kl);
/* Private to eval/: marks what the budget keeps in a ranked scheme, and fills chosen, extra_bytes and removed. */
void gs_choose(gs_analyze_scheme *s, const gs_budget *budget, bool by_kl);

#endif
