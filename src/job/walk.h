/* The walk: all blocks, once, in order, one in memory; hidden states of all samples move forward and never back. A pass is a
 * const table of steps; passes.c lists them. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_WALK_H
#define GS_JOB_WALK_H

#include "calib/attention.h"
#include "calib/stream.h"
#include "job/ahead.h"
#include "job/behind.h"
#include "job/job.h"
#include "job/keep.h"
#include "job/prefetch.h"
#include "quant/parallel.h"
#include "quant/w4a4.h"
#include "recipe/compat.h"

#define GS_EMIT_BYTES (32u << 20) /* float32 bytes of one row chunk while weights are quantized and written */

/* A row-parallel linear of the block at hand on several cards: parallel.c. */
typedef struct gs_cards {
    gs_parallel fake;  /* ranks as they are quantized; ranks == 0: not in use */
    gs_parallel plain; /* ranks in float, where sums by rank matter: quantized communication, --reference_compat */
    gs_comm comm;
    float *scale;     /* [out] of the undivided weight, and */
    int32_t *row_sum; /* [out] sums of its codes: what engines load follows from these */
} gs_cards;

/* A W4A4 linear of the block at hand, ready to multiply, and what is still to be written of it. */
typedef struct gs_w4a4_ready {
    bool active;
    gs_w4a4_linear linear;
    float *left, *right; /* as written */
} gs_w4a4_ready;

typedef struct gs_walk {
    gs_job *job;
    const struct gs_pass *pass;
    const gs_record *from; /* where an earlier run has stopped; NULL = at the beginning */
    int first;             /* block that this run begins with */
    int block;             /* current */

    /* what the float pass looks for */
    bool want_kv, want_scores;
    const gs_samples *float_samples;

    gs_stream stream[GS_STREAMS]; /* A: untouched weights; F: float; Q: fake-quantized; empty when not needed */
    gs_keep keep;
    gs_rope rope;
    gs_scratch scratch;
    gs_prefetch prefetch;
    gs_block *weights;                   /* the current block, inside prefetch */
    gs_chunk chunk;                      /* the chunk at hand, for the taps */
    gs_transform *transform;             /* of the current block */
    gs_outlier_stats outliers[GS_ROLES]; /* by consumer */

    gs_fake_linear fake[GS_ROLES];
    gs_cards cards[GS_ROLES];
    gs_parallel_work cards_work;
    gs_buf card_rows;                    /* float32 rows of a weight while a card's part is cut out */
    gs_w4a4_ready w4a4[GS_ROLES];        /* W4A4 recipes */
    bool reference;                      /* --reference_compat: products in the reference's float32 arithmetic */
    gs_reference_linear exact[GS_ROLES]; /* then: the block's float weights */
    gs_kv_range kv;
    gs_fa_range fa;
    gs_buf code_rows; /* int8 codes of one row tile of activations */
    gs_buf emit_rows; /* float32 rows of one weight chunk; not in the pass over rows */

    gs_writer *writer; /* NULL in the pre-walk */
    gs_behind behind;
    gs_ahead ahead; /* tensors that are not loaded as blocks */
} gs_walk;

/* As the smoothed model has it; NULL = none. */
static inline const float *gs_walk_bias(const gs_walk *w, gs_role role)
{
    return w->transform->bias[role] ? w->transform->bias[role] : w->weights->bias[role];
}

typedef struct gs_step {
    const char *name; /* also the phase in the report */
    gs_status (*run)(gs_walk *w, gs_error *err);
} gs_step;

typedef struct gs_pass {
    const char *name;
    gs_status (*begin)(gs_walk *w, gs_error *err); /* streams from the embedding */
    const gs_step *steps;                          /* per block; ends with a NULL name */
    const gs_step *last;                           /* after the blocks: final norm and head */
    bool sweeps_twice; /* a block changes stream Q more than once; gs_keep_final() says when it is for the last time */
} gs_pass;

extern const gs_pass
    gs_pass_rank; /* float scores of every linear, first five samples: disable_level, act_method 3 before fa_amp */
extern const gs_pass
    gs_pass_rank_first;                /* what the first sample ranks, fake-quantized: low-bit disable_level, fa_amp */
extern const gs_pass gs_pass_quantize; /* the job */
extern const gs_pass gs_pass_rows;     /* the job where no hidden states are asked for: no block in memory */
extern const gs_pass gs_pass_w4a4;     /* the job of a W4A4 recipe */

gs_status gs_walk_run(gs_job *job, const gs_pass *pass, gs_writer *writer, gs_error *err) GS_CHECKED;

/* steps, one file each */
gs_status gs_step_load(gs_walk *w, gs_error *err);     /* load.c */
gs_status gs_step_outliers(gs_walk *w, gs_error *err); /* outliers.c: statistics, smoothing */
gs_status gs_step_observe(gs_walk *w, gs_error *err);  /* observe.c: float stream */
/* observe.c: the key/value ranges of the current block begin anew and are taken at the tap of `taps` where keys are as they are
 * cached. */
void gs_walk_watch_kv(gs_walk *w, gs_taps *taps);
gs_status gs_walk_load_exact(gs_walk *w,
                             gs_error *err) GS_CHECKED; /* load.c: reference panels of the weights as they are now */
/* y = x·Wᵀ + bias with the float weight of the current block, smoothed if it is. */
gs_status gs_walk_float_linear(gs_walk *w, gs_role role, int64_t rows, const float *x, float *y,
                               gs_error *err) GS_CHECKED;
/* The smoothed weight as it is now: the stored panels, or *copy (float32, the caller's to release) where it is transformed. */
gs_status gs_walk_current_weight(gs_walk *w, gs_role role, gs_packed *copy, const gs_packed **out,
                                 gs_error *err) GS_CHECKED;
/* calibrate.c: attention after RoPE, for its ranges. */
gs_status gs_walk_heads_tap(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err);
void gs_walk_reset_heads(gs_walk *w);
gs_status gs_step_smooth(gs_walk *w, gs_error *err);    /* smooth.c: do_smooth */
gs_status gs_step_rank_head(gs_walk *w, gs_error *err); /* observe.c */
gs_status gs_step_observe_head(gs_walk *w, gs_error *err);
gs_status gs_step_weights(gs_walk *w, gs_error *err);   /* emit.c: quantize and write weights */
gs_status gs_step_calibrate(gs_walk *w, gs_error *err); /* calibrate.c: fake-quantized stream */
/* The fake-quantized model's linears, for the taps of smooth.c too: is its input looked at, what is seen there, its output. */
bool gs_walk_observes(const gs_walk *w, gs_role role, const gs_chunk *chunk);
gs_status gs_walk_observe(gs_walk *w, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err) GS_CHECKED;
gs_status gs_walk_fake_linear(gs_walk *w, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows,
                              const float *x, float *y, gs_error *err) GS_CHECKED;
/* w4a4.c: QKV, dense, attention, H4, 4H and the rest of the block on the stream, then what could not be written before */
gs_status gs_step_w4a4_qkv(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_dense(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_attention(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_h4(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_4h(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_mlp(gs_walk *w, gs_error *err);
gs_status gs_step_w4a4_write(gs_walk *w, gs_error *err);
void gs_w4a4_ready_release(gs_w4a4_ready *r);
gs_status gs_step_derived(gs_walk *w, gs_error *err); /* emit.c: scales, biases, KV */
gs_status gs_step_rows(gs_walk *w, gs_error *err);    /* rows.c: a block's output without the block */
gs_status gs_step_head(gs_walk *w, gs_error *err);    /* head.c */
gs_status gs_step_ends(gs_walk *w, gs_error *err);    /* head.c: embedding and final norm */
gs_status gs_begin_rank(gs_walk *w, gs_error *err);
gs_status gs_begin_rank_first(gs_walk *w, gs_error *err);
gs_status gs_begin_quantize(gs_walk *w, gs_error *err);
gs_status gs_begin_rows(gs_walk *w, gs_error *err); /* rows.c */

/* emit.c, for head.c too: one linear's parameters after its last sample. row_sum: [out], sums of the codes. */
typedef struct gs_derived {
    int64_t out;
    const float *weight_scale;
    const int32_t *row_sum;
    const float *bias; /* NULL = none */
    gs_act_params act;
} gs_derived;
gs_status gs_emit_derived(gs_walk *w, const gs_linear_out *to, const gs_derived *d, gs_error *err) GS_CHECKED;
/* Rows per chunk: about GS_EMIT_BYTES of float32, a multiple of GS_PACK_ROWS so that panels can be filled chunk by chunk. */
int64_t gs_emit_chunk_rows(int64_t in);
/* The fake-quantized linear of a role, or of one card's part of it, with nothing observed yet. */
gs_status gs_emit_make_fake(gs_walk *w, gs_role role, gs_fake_linear *f, int64_t out, int64_t in, const float *bias,
                            gs_error *err) GS_CHECKED;
/* One linear of the block but for what follows from input ranges; leaves w->fake[role] ready if a stream needs it. */
gs_status gs_emit_linear(gs_walk *w, gs_role role, gs_error *err) GS_CHECKED;
/* Weight and bias in floating point. row_factor: [out], what the rows are multiplied by; NULL = 1. */
gs_status gs_emit_float_linear(gs_walk *w, gs_role role, const float *row_factor, gs_error *err) GS_CHECKED;
/* w->fake[role] or w->cards[role] without writing anything: do_smooth's look ahead. */
gs_status gs_emit_trial(gs_walk *w, gs_role role, gs_error *err) GS_CHECKED;
/* A norm with what belongs to it; bias NULL = zeros, where one is written at all. */
gs_status gs_emit_norm(gs_walk *w, const gs_norm_out *to, const float *weight, const float *bias,
                       gs_error *err) GS_CHECKED;
/* n float32 values as the tensor's own float type. */
gs_status gs_emit_floats(gs_walk *w, int64_t index, const float *src, int64_t n, gs_error *err) GS_CHECKED;
/* Zeros, whatever the type; nothing for index < 0. */
gs_status gs_emit_zeros(gs_walk *w, int64_t index, gs_error *err) GS_CHECKED;

#endif
