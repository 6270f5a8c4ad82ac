/* The passes of a run, as tables of steps, and how their streams begin. SPDX-License-Identifier: Apache-2.0 */
#include "job/parallel.h"

static const gs_step rank_steps[] = {
    {"read", gs_step_load}, {"outliers", gs_step_outliers}, {"rank", gs_step_observe}, {0}};
static const gs_step rank_last[] = {{"rank", gs_step_observe_head}, {0}};
const gs_pass gs_pass_rank = {"rank", gs_begin_rank, rank_steps, rank_last, false};

static const gs_step rank_first_steps[] = {{"read", gs_step_load},      {"outliers", gs_step_outliers},
                                           {"smooth", gs_step_smooth},  {"rank", gs_step_weights},
                                           {"rank", gs_step_calibrate}, {0}};
static const gs_step rank_first_last[] = {{"rank", gs_step_rank_head}, {0}};
const gs_pass gs_pass_rank_first = {"rank", gs_begin_rank_first, rank_first_steps, rank_first_last, false};

static const gs_step quantize_steps[] = {
    {"read", gs_step_load},           /* weights as stored; the reader goes on with the next block */
    {"outliers", gs_step_outliers},   /* anti_method: statistics on untouched weights, then the transforms */
    {"float", gs_step_observe},       /* float stream: KV ranges, scores */
    {"smooth", gs_step_smooth},       /* do_smooth: exponents from the first sample */
    {"weights", gs_step_weights},     /* codes and scales of the weights; float weights are written as they are */
    {"calibrate", gs_step_calibrate}, /* fake-quantized stream: activation ranges, sample by sample */
    {"derive", gs_step_derived},      /* input_scale, deq_scale, quant_bias, KV scales */
    {0},
};
static const gs_step quantize_last[] = {
    {"float", gs_step_observe_head}, {"head", gs_step_head}, {"copy", gs_step_ends}, {0}};
const gs_pass gs_pass_quantize = {"quantize", gs_begin_quantize, quantize_steps, quantize_last, false};

/* Where no step would look at hidden states. */
static const gs_step rows_steps[] = {{"rows", gs_step_rows}, {0}};
static const gs_step rows_last[] = {{"head", gs_step_head}, {"copy", gs_step_ends}, {0}};
const gs_pass gs_pass_rows = {"rows", gs_begin_rows, rows_steps, rows_last, false};

static const gs_step w4a4_steps[] = {
    {"read", gs_step_load},
    {"outliers", gs_step_outliers},
    {"float", gs_step_observe},
    {"transform", gs_step_w4a4_qkv}, /* looks at QKV's inputs in the stream, chooses d, L and R, rounds */
    {"transform", gs_step_w4a4_dense},
    {"calibrate", gs_step_w4a4_attention}, /* the stream goes through the quantized linears, up to H4's input */
    {"transform", gs_step_w4a4_h4},
    {"transform", gs_step_w4a4_4h},
    {"calibrate", gs_step_w4a4_mlp},
    {"write", gs_step_w4a4_write}, /* norms and scales, which wait for the d of what comes after them */
    {"derive", gs_step_derived},   /* KV and attention scales */
    {0},
};
const gs_pass gs_pass_w4a4 = {"w4a4", gs_begin_quantize, w4a4_steps, quantize_last, true};

/* Room for a stream, in memory or in files. */
static gs_status make_stream(gs_walk *w, int slot, const gs_samples *samples, const char *purpose, gs_error *err)
{
    static const char *const name[GS_STREAMS] = {"outlier-stream", "float-stream", "quantized-stream"};
    const gs_job *job = w->job;
    gs_stream *stream = &w->stream[slot];
    if (job->spill)
        return gs_stream_spill(stream, samples->tokens, job->config.hidden, gs_chunk_rows_max(samples), job->spill_dir,
                               name[slot], purpose, err);
    GS_TRY(gs_stream_init(stream, samples->tokens, job->config.hidden, purpose, err));
    if (job->resume.out) gs_stream_keep(stream, job->resume.out->base_path, name[slot]);
    return GS_OK;
}

/* A stream begins with the embedding, or where an earlier run has stopped. */
static gs_status embed(gs_walk *w, int slot, const gs_samples *samples, const char *purpose, gs_error *err)
{
    gs_job *job = w->job;
    gs_stream *stream = &w->stream[slot];
    const double t0 = gs_seconds();
    gs_job_progress(job, "embed", w->first);
    GS_TRY(make_stream(w, slot, samples, purpose, err));
    if (w->from && gs_stream_resume(stream, &w->from->stream[slot], err) != GS_OK) return gs_resume_refuse(job, err);
    for (int64_t row = 0; row < samples->tokens && !w->from; row += stream->window) {
        const int64_t rest = samples->tokens - row, rows = rest < stream->window ? rest : stream->window;
        GS_TRY(gs_embed(&job->checkpoint, job->tensors.embedding, samples->id + row, rows, gs_stream_room(stream, row),
                        err));
        GS_TRY(gs_stream_write(stream, row, rows, err));
    }
    gs_job_phase(job, "embed", gs_seconds() - t0);
    return GS_OK;
}

/* What both passes need: rotary table, scratch, the reader at block 0. */
static gs_status begin_common(gs_walk *w, bool whole_4h, gs_error *err)
{
    gs_job *job = w->job;
    const gs_config *c = &job->config;
    w->reference = gs_compat(job->recipe, GS_COMPAT_FLOAT_PRODUCTS);
    const int64_t longest = job->anti.longest > job->samples.longest ? job->anti.longest : job->samples.longest;
    GS_TRY(gs_rope_init(&w->rope, longest, c->rotary, c->rope_base, err));
    GS_TRY(gs_scratch_init(&w->scratch, c, gs_job_chunk_rows(job), whole_4h, err));
    return gs_prefetch_open(&w->prefetch, c, &job->checkpoint, &job->tensors, w->first, !job->one_block, err);
}

gs_status gs_begin_rank(gs_walk *w, gs_error *err)
{
    w->want_scores = true;
    w->float_samples = &w->job->scored;
    GS_TRY(embed(w, GS_STREAM_FLOAT, w->float_samples, "hidden states of the samples that rank layers", err));
    if (w->job->smoother)
        GS_TRY(embed(w, GS_STREAM_OUTLIERS, &w->job->anti, "hidden states of the outlier samples", err));
    return begin_common(w, true, err);
}

/* The buffers quantizing needs, and the fake-quantized stream. */
static gs_status begin_weights(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const gs_config *c = &job->config;
    int64_t widest = c->ffn;
    if (c->hidden > widest) widest = c->hidden;
    if (c->heads * c->head_dim > widest) widest = c->heads * c->head_dim;
    const int64_t chunk = gs_job_chunk_rows(job), rows = chunk < GS_CHUNK_ROWS ? chunk : GS_CHUNK_ROWS;
    const bool reference = gs_compat(job->recipe, GS_COMPAT_FLOAT_PRODUCTS);
    if (job->calibrated.count > 0) {
        GS_TRY(embed(w, GS_STREAM_QUANTIZED, &job->calibrated, "hidden states of the fake-quantized model", err));
        GS_TRY(gs_buf_alloc(&w->code_rows, GS_FAKE_SCRATCH(rows, widest, reference), "codes of activations", err));
    }
    GS_TRY(gs_cards_begin(w, err));
    GS_TRY(gs_buf_alloc(&w->emit_rows, GS_EMIT_BYTES + (size_t)widest * GS_PACK_ROWS * 4, "rows of weights", err));
    return gs_behind_open(&w->behind, w->writer, w->emit_rows.bytes, err);
}

gs_status gs_begin_rank_first(gs_walk *w, gs_error *err)
{
    if (w->job->smoother)
        GS_TRY(embed(w, GS_STREAM_OUTLIERS, &w->job->anti, "hidden states of the outlier samples", err));
    GS_TRY(begin_weights(w, err));
    return begin_common(w, true, err);
}

gs_status gs_begin_quantize(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    w->want_kv = job->recipe->use_kvcache_quant && !job->data_free;
    w->want_scores = gs_job_wants_scores(job);
    const bool kv = w->want_kv && !job->kv_from_anti;
    w->float_samples = kv ? &job->samples : &job->scored;
    bool whole_4h = w->want_scores || (job->smoother && job->smoother->pairs) || job->resolved.comm;
    for (int i = 0; i < job->n_linears; i++)
        whole_4h = whole_4h || (i % GS_ROLES == GS_4H && (gs_job_is_quantized(job, i) || job->choice[i].first_sample));
    GS_TRY(begin_weights(w, err));
    if (job->smoother && job->resolved.disable_level == 0)
        GS_TRY(embed(w, GS_STREAM_OUTLIERS, &job->anti, "hidden states of the outlier samples", err));
    if (kv || w->want_scores)
        GS_TRY(embed(w, GS_STREAM_FLOAT, w->float_samples, "hidden states of the float model", err));
    return begin_common(w, whole_4h, err);
}
