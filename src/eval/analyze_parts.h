/* The parts of an analysis. Private to eval/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_ANALYZE_PARTS_H
#define GS_EVAL_ANALYZE_PARTS_H

#include "calib/observer.h"
#include "eval/analyze.h"
#include "eval/states.h"
#include "eval/trial.h"
#include "model/forward.h"
#include "quant/scheme.h"

#define GS_ANALYZE_SCORED 5 /* samples that act_method 3 looks at, as quant does */

/* A scheme as it was asked for. */
typedef struct gs_scheme_plan {
    const char *name, *options;
    gs_recipe recipe;
    gs_resolved resolved;
    gs_weight_rule rule;
    gs_dtype floats; /* of scales in a result */
} gs_scheme_plan;

/* The inputs of a linear while they go by: for its figures, and the ranges that static types ask for. */
typedef struct gs_input_view {
    int64_t in;
    gs_input_sums sums;
    gs_observer *observer[GS_OBSERVE_HISTOGRAM + 1]; /* by kind; NULL = nobody asks */
    float min[GS_OBSERVE_HISTOGRAM + 1], max[GS_OBSERVE_HISTOGRAM + 1];
    bool scores;
    gs_score score;
} gs_input_view;

/* Streams of hidden states; with KL, one for every linear of the blocks and scheme follows. */
enum { GS_STATES_IN, GS_STATES_MIDDLE, GS_STATES_OUT, GS_STATES_TRIALS };

typedef struct gs_analyzer {
    const gs_analyze_spec *spec;
    gs_compute *c;
    gs_analysis *out;
    gs_config config;
    const gs_family *family;
    gs_checkpoint checkpoint;
    gs_model_tensors tensors;
    gs_samples samples;    /* calibration, then windows of the text */
    int64_t observed;      /* how many of them are looked at for ranges */
    int64_t first;         /* the first that losses are measured on: 0, or `observed` */
    unsigned char *counts; /* [tokens] does the token count? */
    int schemes;
    gs_scheme_plan *scheme;
    gs_trial_figures **figures; /* [schemes][linears], in execution order */

    gs_states states;
    int64_t stream
        [GS_STATES_TRIALS]; /* which stream is in front of the block, between attention and MLP, behind the block */
    gs_rope rope;
    gs_scratch scratch;
    gs_block block;
    int at; /* index of the block */
    gs_input_view view[GS_ROLES];
    gs_buf rows;            /* [2][chunk rows, hidden] */
    float *h, *exact;       /* in it */
    double *signal, *noise; /* [chunk rows] */

    gs_role tried; /* the linear that `trial` stands for */
    gs_trial trial;

    double done, total; /* token-blocks, for progress */
    double started;
} gs_analyzer;

/* analyze_scheme.c */
gs_status gs_scheme_plans(gs_analyzer *a, gs_error *err) GS_CHECKED;
/* Type that a linear gets; FLOAT where the scheme never quantizes it. role GS_ROLES = output layer. */
gs_quant_type gs_scheme_type(const gs_scheme_plan *s, int role);
/* bytes, float_bytes of the figures of a scheme and bytes of its result. */
gs_status gs_scheme_sizes(gs_analyzer *a, int scheme, gs_error *err) GS_CHECKED;

/* analyze_view.c */
void gs_input_view_begin(gs_input_view *v, const gs_analyzer *a, int64_t in);
void gs_input_view_release(gs_input_view *v); /* accepts an all-zero struct */
/* x: [chunk rows, in], all samples in their order. */
gs_status gs_input_view_add(gs_input_view *v, gs_analyzer *a, const gs_chunk *chunk, const float *x,
                            gs_error *err) GS_CHECKED;
gs_act_params gs_input_view_act(const gs_input_view *v, const gs_scheme_plan *s);

/* analyze_walk.c: all blocks. */
gs_status gs_analyze_blocks(gs_analyzer *a, gs_error *err) GS_CHECKED;
void gs_analyze_tell(gs_analyzer *a, const char *step, double token_blocks);
/* The chunk that begins with a sample; none holds samples of both kinds. */
gs_chunk gs_analyze_chunk(const gs_analyzer *a, int64_t sample);
/* The stream of a block's linear under a scheme, with KL. */
int64_t gs_analyze_stream(const gs_analyzer *a, int linear, int scheme);

/* analyze_w4a4.c: a->trial becomes the W4A4 linear of the block at hand. */
gs_status gs_analyze_build_w4a4(gs_analyzer *a, const gs_scheme_plan *s, gs_role role, gs_error *err) GS_CHECKED;

/* analyze_head.c: the output layer, and KL. */
gs_status gs_analyze_head(gs_analyzer *a, gs_error *err) GS_CHECKED;

#endif
