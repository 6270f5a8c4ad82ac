/* The pass: the float model and any number of results side by side, block by block. One block of each is in memory at a time; every
 * chunk of rows goes through the float block, whose linear outputs are kept, and then through each result's. Hidden states of all
 * models are held for a segment of the samples; when a text has more tokens than that allows, the blocks are read again for the next
 * segment. Neither segments nor threads show in the numbers. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_LOCKSTEP_H
#define GS_EVAL_LOCKSTEP_H

#include "eval/layers.h"
#include "eval/served_block.h"

#define GS_EVAL_STREAM_BYTES (256u << 20) /* hidden states of all models */

/* What a model made of the predicted tokens, in their order. */
typedef struct gs_token_views {
    double *nll;         /* [tokens] */
    double *kl;          /* [tokens]; NULL for the float model */
    unsigned char *top1; /* [tokens] same first choice as the float model */
    unsigned char *top5; /* [tokens] how many of the float model's five it has among its five */
} gs_token_views;

typedef struct gs_lockstep {
    gs_compute *c;
    const gs_watch *watch;
    const gs_eval_set *set;
    uint64_t stream_bytes; /* GS_EVAL_STREAM_BYTES; tests take less */

    const gs_config *config; /* the float model */
    const gs_checkpoint *checkpoint;
    const gs_model_tensors *tensors;
    int models;
    const gs_quantdir *const *model; /* [models], bound, of the same shape */

    gs_token_views exact, *served; /* [models] */
    gs_layer_sums **layer;         /* [models][layers] */
    gs_sqnr *head;                 /* [models] of the logits */
} gs_lockstep;

/* Fills exact, served, layer and head, which the caller has allocated. */
gs_status gs_lockstep_run(gs_lockstep *l, gs_error *err) GS_CHECKED;

#endif
