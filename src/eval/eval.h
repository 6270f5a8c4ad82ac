/* Is a result still good? The library behind `glmslim eval`: a float model and results on a text, on questions, or both, and all
 * figures with their definitions. The same input gives the same bits for any number of threads and any machine.
 *
 * Definitions. nll: mean of -ln p over the predicted tokens of the text; perplexity = exp(nll). Standard errors are those of a mean of
 * independent tokens (sample standard deviation over √n), carried through exp; a ratio's is that of the paired differences. KL is
 * KL(float ‖ result) per token in nats. Percentiles are by nearest rank. SQNR is 10·log10 Σ y² / Σ (ŷ - y)², y the output of the float
 * linear on the float model's own hidden states, ŷ that of the result's linear on its own (layers.h). SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_EVAL_H
#define GS_EVAL_EVAL_H

#include "base/mem.h"
#include "kernels/compute.h"

#define GS_EVAL_CONTEXT 510 /* tokens of a window behind the prefix */

typedef struct gs_eval_spec {
    const char *model_path;        /* float checkpoint; its tokenizer is used */
    const char *const *quant_path; /* [quants] result directories */
    int quants;
    const char *text_path;    /* NULL = none */
    const char *choices_path; /* JSON lines (set.h), NULL = none */
    int64_t context, stride;  /* 0 = GS_EVAL_CONTEXT, or what the model takes; stride 0 = context */
    const gs_watch *watch;    /* may be NULL */
    uint64_t stream_bytes;    /* room for hidden states; 0 = 256 MiB */
} gs_eval_spec;

/* A linear of a result. */
typedef struct gs_eval_linear {
    const char *name, *type; /* "transformer.encoder.layers.0.mlp.dense_h_to_4h", "W8A8" */
    int block, role;         /* block -1 = output layer */
    double signal, noise;    /* Σ y², Σ (ŷ - y)² */
    double sqnr_db;          /* +Inf when noise is 0 */
} gs_eval_linear;

typedef struct gs_eval_block {
    double cosine, cosine_min; /* of the hidden states behind the block: mean and least over tokens */
} gs_eval_block;

/* A model on the questions: the choice with the largest log-likelihood, whole or per byte of its text. */
typedef struct gs_eval_accuracy {
    int64_t correct, correct_per_byte;
    double accuracy, low, high; /* with the Wilson interval, 95 % */
    double accuracy_per_byte, low_per_byte, high_per_byte;
    double agreement; /* results: share of questions answered as the float model does */
} gs_eval_accuracy;

/* The float model, or a result; what compares with the float model is zero there. */
typedef struct gs_eval_model {
    const char *path, *type; /* type: model_quant_type; "FLOAT" for the float model */
    bool kv, fa;             /* int8 cache, int8 attention */
    double nll, nll_se, perplexity, perplexity_se;
    double *token_nll; /* [tokens] */
    gs_eval_accuracy choices;

    double ratio, ratio_se; /* perplexity over the float model's */
    bool noise;             /* |ratio - 1| is not above ratio_se */
    double kl_mean, kl_se, kl_median, kl_p99, kl_max;
    double top1_agreement; /* share of tokens with the same most likely token */
    double top5_same;      /* share of tokens with the same set of five most likely */
    double top5_overlap;   /* mean share of the float model's five among the result's five */
    double *token_kl;      /* [tokens] */
    int64_t linears;
    gs_eval_linear *linear; /* [linears]: layers·4 in the order they run, then the output layer */
    gs_eval_block *block;   /* [layers] */
    double sqnr_min;        /* of the quantized linears, and which; +Inf and -1 if none is quantized */
    int64_t sqnr_min_at;
} gs_eval_model;

typedef struct gs_eval {
    int64_t tokens, windows, context, stride; /* of the text; 0 without one */
    int64_t prefix;                           /* tokens before each window's text */
    int64_t questions;
    int64_t vocab, layers;
    int64_t *token_position; /* [tokens] position in its window, prefix not counted: for KL by position */
    gs_eval_model exact;     /* the float model */
    int quants;
    gs_eval_model *quant; /* [quants] */
    gs_arena *arena;
} gs_eval;

/* Everything is opened and checked before the first block is computed. */
gs_status gs_eval_run(const gs_eval_spec *spec, gs_compute *c, gs_eval **out, gs_error *err) GS_CHECKED;
void gs_eval_free(gs_eval *e); /* NULL is fine */

#endif
