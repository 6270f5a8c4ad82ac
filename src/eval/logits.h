/* From the last hidden states to what is known about each predicted token, without ever holding its logits: the output layer is
 * taken some rows of the vocabulary at a time, and per token a running maximum and sums are carried on (the online softmax of
 * Milakov and Gimelshein, 2018), for the float model and every result together. Double sums in the order of the vocabulary; the same
 * bits for any number of threads. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_LOGITS_H
#define GS_EVAL_LOGITS_H

#include "kernels/gemm.h"

#define GS_EVAL_TOP 5

/* One model's view of one token. */
typedef struct gs_token_sums {
    float max, target;      /* largest logit so far; that of the token */
    double sum;             /* Σ exp(z - max) */
    double cross;           /* results only: Σ exp(z_float - max_float)·(z_float - z) */
    double signal, noise;   /* results only: Σ z_float², Σ (z - z_float)² */
    float top[GS_EVAL_TOP]; /* largest logits, falling; equal ones in the order of the vocabulary */
    int32_t top_id[GS_EVAL_TOP];
} gs_token_sums;

void gs_token_sums_init(gs_token_sums *t);

/* Logits of vocabulary rows id0 .. id0 + n for `tokens` tokens. */
typedef struct gs_logits {
    int64_t tokens, id0, n;
    const int32_t *target;      /* [tokens] ids that follow */
    const float *exact;         /* [tokens, n] */
    const float *const *served; /* [models] [tokens, n] */
    int models;
    gs_token_sums *exact_sums;         /* [tokens] */
    gs_token_sums *const *served_sums; /* [models] [tokens] */
} gs_logits;
void gs_logits_add(gs_compute *c, const gs_logits *l);

double gs_token_nll(const gs_token_sums *t);                                 /* -ln p(target), after the last call */
double gs_token_kl(const gs_token_sums *exact, const gs_token_sums *served); /* KL(float ‖ result), not below 0 */

#endif
