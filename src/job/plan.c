/* The plan: layout of the output, peak memory, work and time, disk space. SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "calib/stream.h"
#include "job/behind.h"
#include "job/parallel.h"
#include "smooth/do_smooth.h"

#define BASE_BYTES   (13u << 19) /* program, libraries, thread stacks, small tables */
#define HASHER_BYTES (2u << 20)  /* what libcrypto takes when it is used */

int64_t gs_job_chunk_rows(const gs_job *job)
{
    const int64_t rows = gs_chunk_rows_max(&job->samples);
    const int64_t anti = job->smoother ? gs_chunk_rows_max(&job->anti) : 0;
    return anti > rows ? anti : rows;
}

static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static int64_t widest_input(const gs_config *c)
{
    const int64_t attention = c->heads * c->head_dim;
    int64_t widest = c->hidden > c->ffn ? c->hidden : c->ffn;
    return attention > widest ? attention : widest;
}

/* The calibration's panels of the block with the most of them. */
static uint64_t code_bytes(const gs_job *job)
{
    uint64_t most = 0;
    for (int b = 0; b < job->config.layers; b++) {
        uint64_t sum = 0;
        for (int role = 0; role < GS_ROLES; role++) {
            sum += gs_cards_linear_bytes(job, b, (gs_role)role);
        }
        most = max_u64(most, sum);
    }
    return most;
}

static bool any_quantized(const gs_job *job, int role, bool head)
{
    for (int i = 0; i < job->n_linears - (head ? 0 : 1); i++)
        if (gs_job_is_quantized(job, i) && (role < 0 || i % GS_ROLES == role)) return true;
    return false;
}

static uint64_t blocks_bytes(const gs_job *job)
{
    uint64_t most = 0, load = 0;
    for (int b = 0; b < job->config.layers; b++)
        most = max_u64(most, gs_block_bytes(&job->config, &job->tensors.block[b]));
    for (int b = 0; b < job->config.layers; b++) load = max_u64(load, gs_load_bytes(&job->tensors.block[b]));
    return load + most * (job->config.layers > 1 && !job->one_block ? 2 : 1); /* at work, and being read */
}

/* --reference_compat keeps the block's weights, and their codes, as float32 panels too. */
static uint64_t reference_bytes(const gs_job *job)
{
    uint64_t most = 0;
    for (int b = 0; b < job->config.layers && gs_compat(job->recipe, GS_COMPAT_FLOAT_PRODUCTS); b++) {
        uint64_t sum = 0;
        for (int role = 0; role < GS_ROLES; role++) {
            int64_t out, in;
            gs_role_shape(&job->config, (gs_role)role, &out, &in);
            const bool twice =
                gs_job_is_quantized(job, gs_job_linear(b, (gs_role)role)) || gs_cards_cut(job, (gs_role)role);
            sum += gs_reference_bytes(out, in) * (twice ? 2 : 1);
        }
        most = max_u64(most, sum);
    }
    return most;
}

/* Of a stream of so many tokens, from these samples. */
static uint64_t stream_bytes(const gs_job *job, const gs_samples *s, int64_t tokens)
{
    if (tokens == 0) return 0;
    return job->spill ? gs_stream_window_bytes(gs_chunk_rows_max(s), job->config.hidden)
                      : gs_stream_bytes(tokens, job->config.hidden);
}

/* The outlier stream and what the smoother keeps of it. */
static uint64_t outlier_bytes(const gs_job *job, bool emits)
{
    if (!job->smoother || (emits && job->resolved.disable_level > 0)) return 0;
    const gs_samples *s = &job->anti;
    int64_t kept = job->smoother->needs_first ? s->start[1] : 0;
    if (job->smoother->needs_rows)
        kept += s->tokens < GS_SMOOTH_ROWS_MAX || job->recipe->reference_compat ? s->tokens : GS_SMOOTH_ROWS_MAX;
    uint64_t sum = stream_bytes(job, s, s->tokens);
    uint64_t search = 0;
    for (int role = 0; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&job->config, (gs_role)role, &out, &in);
        const bool searched = role == GS_QKV || role == GS_H4 || job->smoother->pairs;
        if (searched) sum += (uint64_t)(kept * in) * 4;
        /* The searches work on tiles of the kept rows and on one simulated weight. */
        if (kept > 0) search = max_u64(search, (uint64_t)(out * in) * 2 + (uint64_t)(kept * in) * 4);
        if ((searched && job->smoother->needs_rows) || (job->recipe->reference_compat && job->smoother->needs_first))
            search = max_u64(search, gs_smooth_bytes(job->smoother, out, in, s->start[1], kept));
    }
    return sum + search + gs_buf_touched(GS_EMIT_BYTES, 1); /* and some rows of a weight */
}

/* do_smooth: the first sample as it enters a block, on its way and centred; the trials on it. */
static uint64_t do_smooth_bytes(const gs_job *job)
{
    if (!job->resolved.do_smooth || job->calibrated.count == 0) return 0;
    static const gs_role searched[] = {GS_QKV, GS_H4};
    const int64_t rows = job->samples.start[1], hidden = job->config.hidden;
    uint64_t trial = 0;
    for (size_t i = 0; i < sizeof searched / sizeof *searched; i++) {
        int64_t out, in;
        gs_role_shape(&job->config, searched[i], &out, &in);
        const uint64_t smoothed = job->smoother ? gs_packed_bytes(GS_PACK_F32, out, in) : 0; /* the weight so far */
        trial = max_u64(trial, gs_do_smooth_bytes(rows, out, in) + smoothed);
    }
    return (uint64_t)(2 * rows * hidden) * sizeof(float) + trial;
}

/* Head and embedding, read ahead when the blocks are gone. */
static uint64_t ends_bytes(const gs_job *job)
{
    const bool quantized = gs_job_is_quantized(job, job->n_linears - 1);
    const bool observed = quantized && gs_scheme_get(job->resolved.type)->static_input;
    return gs_job_ahead_bytes(job, false) + (quantized ? gs_job_table_bytes(job, true) : 0) +
           (observed ? gs_stream_bytes(job->samples.longest, job->config.hidden) : 0);
}

/* Large buffers of one pass; float_tokens / quant_tokens: rows of the streams it holds. */
static uint64_t pass_bytes(const gs_job *job, int64_t float_tokens, int64_t quant_tokens, bool emits, bool whole_4h)
{
    const gs_config *c = &job->config;
    const int64_t chunk = gs_job_chunk_rows(job);
    const int64_t tile = chunk < GS_CHUNK_ROWS ? chunk : GS_CHUNK_ROWS;
    uint64_t sum = stream_bytes(job, &job->samples, float_tokens) + stream_bytes(job, &job->samples, quant_tokens);
    sum += gs_scratch_bytes(c, chunk, whole_4h) + gs_job_scratch_bytes(job);
    sum += (uint64_t)(job->samples.longest * c->rotary * 4) + gs_compute_scratch_bytes(1, 0);
    sum += reference_bytes(job) + outlier_bytes(job, emits);
    if (!emits) return sum + blocks_bytes(job);
    sum += do_smooth_bytes(job);
    sum += max_u64(blocks_bytes(job), ends_bytes(job)) + gs_job_table_bytes(job, false);
    /* Room for row chunks is touched only as far as the largest tensor goes; a slot holds them in the type they are written in. */
    uint64_t rows = (uint64_t)job->tensors.embedding->elements * 4;
    for (int role = 0; role < GS_ROLES; role++)
        rows = max_u64(rows, (uint64_t)job->tensors.block[0].weight[role]->elements * 4);
    if (rows > GS_EMIT_BYTES) rows = GS_EMIT_BYTES;
    const uint64_t slot = rows / 4 * gs_dtype_bytes(job->resolved.npu_dtypes ? job->config.dtype : GS_F32);
    sum += gs_buf_touched(GS_EMIT_BYTES, rows) + GS_BEHIND_SLOTS * gs_buf_touched(GS_EMIT_BYTES, slot) +
           GS_FAKE_SCRATCH(tile, widest_input(c), gs_compat(job->recipe, GS_COMPAT_FLOAT_PRODUCTS)) + code_bytes(job) +
           gs_cards_work_bytes(job);
    return sum;
}

/* Of the float stream in the main walk. */
static int64_t float_tokens_of(const gs_job *job)
{
    const bool kv = job->recipe->use_kvcache_quant && !job->kv_from_anti && !job->data_free;
    return kv ? job->samples.tokens : gs_job_wants_scores(job) ? job->scored.tokens : 0;
}

static uint64_t peak_bytes(const gs_job *job)
{
    const bool scores = gs_job_wants_scores(job);
    const int64_t float_tokens = float_tokens_of(job);
    const bool whole_4h =
        scores || any_quantized(job, GS_4H, false) || (job->smoother && job->smoother->pairs) || job->resolved.comm;
    uint64_t peak = gs_job_needs_blocks(job)
                        ? pass_bytes(job, float_tokens, job->calibrated.tokens, true, whole_4h) + gs_job_w4a4_bytes(job)
                        : gs_job_rows_bytes(job);
    if (job->resolved.disable_level > 0 || gs_job_scores_ahead(job))
        peak = max_u64(peak, pass_bytes(job, job->scored.tokens, 0, false, true));
    return peak + BASE_BYTES + (job->resolved.extras ? HASHER_BYTES : 0) + (uint64_t)job->samples.tokens * 4;
}

static bool still_ranks(const gs_job *job)
{
    return job->level_pending || (job->fa_pending && gs_job_scores_ahead(job));
}

/* Of hidden states in the pass that has most. */
static uint64_t streams_bytes(const gs_job *job)
{
    const int64_t anti = job->smoother ? job->anti.tokens : 0, ranked = still_ranks(job) ? job->scored.tokens : 0;
    const int64_t walked = float_tokens_of(job) + job->calibrated.tokens;
    return gs_stream_bytes(anti + (ranked > walked ? ranked : walked), job->config.hidden);
}

static uint64_t spilled_bytes(const gs_job *job) { return job->spill ? streams_bytes(job) : 0; }

/* Of the work folder, beside the output: streams in two generations, if a record will be made. */
static uint64_t kept_bytes(const gs_job *job)
{
    return job->spill || job->estimated_seconds > job->recipe->checkpoint_interval ? 2 * streams_bytes(job) : 0;
}

/* A plan is right within a few per cent; a limit is to be kept. */
static uint64_t with_margin(uint64_t peak) { return peak + peak / 32 + 1000000; }

/* Not even the last way fits. By the groups of this process a plan alone is not refused: it may be for another machine. */
static gs_status refuse_memory(const gs_job *job, bool by_group, uint64_t limit, gs_error *err)
{
    const char *how = gs_job_needs_blocks(job) ? "even with hidden states in a file and one block in memory at a time"
                                               : "with weights going through in chunks of rows";
    const char *less = gs_job_needs_blocks(job) ? "use fewer threads or shorter texts" : "use fewer threads";
    const long long need = (long long)(with_margin(job->planned_peak) / 1000000 + 1);
    if (by_group && job->recipe->dry_run)
        gs_job_message(job, GS_WARNING, "the control group of this process allows %lldM of memory; %s this needs %lldM",
                       (long long)(limit / 1000000), how, need);
    else if (by_group)
        return gs_fail(err, GS_ERR_MEMORY,
                       "the control group of this process allows %lldM of memory: %s this needs %lldM; raise the limit "
                       "of the container or job, or %s",
                       (long long)(limit / 1000000), how, need, less);
    else
        return gs_fail(err, GS_ERR_MEMORY, "--max_memory %s is not enough: %s this needs %lldM; raise the limit, or %s",
                       job->recipe->max_memory, how, need, less);
    return GS_OK;
}

/* The first of these that fits the limit, which is the recipe's or that of the control groups. */
static gs_status fit_memory(gs_job *job, gs_error *err)
{
    static const struct {
        bool spill, one_block;
    } way[] = {{false, false}, {true, false}, {true, true}};
    const uint64_t asked = job->resolved.max_memory, granted = gs_memory_limit();
    const bool by_group = granted > 0 && (asked == 0 || granted < asked);
    const uint64_t limit = by_group ? granted : asked;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        job->spill = way[i].spill;
        job->one_block = way[i].one_block;
        job->planned_peak = peak_bytes(job);
        if (limit > 0 && with_margin(job->planned_peak) > limit) continue;
        if (by_group && i > 0)
            gs_job_message(job, GS_INFO, "the control group of this process allows %lldM of memory: %s",
                           (long long)(limit / 1000000),
                           job->one_block ? "hidden states go to a file, no block is read ahead"
                                          : "hidden states go to a file");
        return GS_OK;
    }
    return refuse_memory(job, by_group, limit, err);
}

/* Operations of the products of one block up to `until`, for one token; int8: only those of quantized linears. */
static double block_operations(const gs_job *job, int block, int until, bool calibrates, double *s8)
{
    double f32 = 0;
    for (int role = 0; role < GS_ROLES && until != GS_UNTIL_NOTHING; role++) {
        static const int last_run[] = {GS_QKV, GS_QKV, GS_DENSE, GS_H4, GS_4H}; /* by gs_until */
        if (role > last_run[until]) break;
        int64_t out, in;
        gs_role_shape(&job->config, (gs_role)role, &out, &in);
        const double operations = 2.0 * (double)out * (double)in;
        if (calibrates && gs_job_is_quantized(job, gs_job_linear(block, (gs_role)role)))
            *s8 += operations;
        else
            f32 += operations;
    }
    return f32;
}

/* Work in token-blocks for the progress line, and seconds from the machine's measured peak. */
static void plan_work(gs_job *job)
{
    double f32 = gs_job_w4a4_operations(job), s8 = 0;
    const bool transformed = job->transform[0].ready; /* by the ranking walk */
    const int64_t float_tokens = float_tokens_of(job);
    for (int b = 0; b < job->config.layers; b++) {
        const int float_until = float_tokens ? gs_job_float_until(job, b) : GS_UNTIL_NOTHING;
        const int calibrate_until = gs_job_calibrate_until(job, b);
        double ignored = 0, block_s8 = 0;
        f32 += (double)float_tokens * block_operations(job, b, float_until, false, &ignored);
        f32 += (double)job->calibrated.tokens * block_operations(job, b, calibrate_until, true, &block_s8);
        s8 += (double)job->calibrated.tokens * block_s8;
        if (float_until != GS_UNTIL_NOTHING) job->work_total += float_tokens;
        if (job->smoother && !transformed) {
            f32 += (double)job->anti.tokens * block_operations(job, b, GS_UNTIL_END, false, &ignored);
            job->work_total += job->anti.tokens;
        }
        if (calibrate_until != GS_UNTIL_NOTHING) job->work_total += job->calibrated.tokens;
    }
    if (still_ranks(job)) job->work_total += job->scored.tokens * job->config.layers;
    gs_report *r = job->report;
    const double bytes = (double)job->checkpoint.bytes + (double)job->manifest.layout.total_bytes;
    job->estimated_seconds = bytes / 1e9;
    r->n_gemm = 0;
    if (f32 + s8 == 0) return;
    r->gemm[0] = (gs_gemm_result){.kind = "f32", .peak_per_s = gs_compute_peak(&job->compute, GS_GEMM_F32, 2)};
    r->gemm[1] = (gs_gemm_result){.kind = "s8", .peak_per_s = gs_compute_peak(&job->compute, GS_GEMM_S8, 2)};
    r->n_gemm = 2;
    if (job->compute.bf16_inputs)
        r->gemm[r->n_gemm++] =
            (gs_gemm_result){.kind = "bf16", .peak_per_s = gs_compute_peak(&job->compute, GS_GEMM_BF16, 2)};
    const double float_peak = r->gemm[r->n_gemm == 3 ? 2 : 0].peak_per_s;
    job->estimated_seconds += f32 / (0.8 * float_peak) + s8 / (0.8 * r->gemm[1].peak_per_s);
}

static gs_status check_space(const gs_job *job, gs_error *err)
{
    const uint64_t have = gs_outdir_free_bytes(job->recipe->save_directory);
    uint64_t need = job->copied_bytes;
    for (int i = 0; i < job->manifest.layout.n_files; i++) need += job->manifest.layout.files[i].bytes;
    need += kept_bytes(job);
    if (have == 0 || have >= need) return GS_OK;
    return gs_fail(err, GS_ERR_IO,
                   "%s: the output needs %.2f GB, the file system has %.2f GB free; free some space or choose another "
                   "--save_directory",
                   job->recipe->save_directory, (double)need / 1e9, (double)have / 1e9);
}

gs_status gs_job_plan(gs_job *job, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    const bool wrapped = job->resolved.do_smooth && gs_compat(r, GS_COMPAT_SMOOTH_NAMES);
    const gs_manifest_spec spec = {
        .config = &job->config,
        .family = job->family,
        .tensors = &job->tensors,
        .choice = job->choice,
        .rule = &job->rule,
        .fa = job->fa,
        .recipe = r,
        .resolved = &job->resolved,
        .type = job->resolved.type,
        .kv = r->use_kvcache_quant && !wrapped && !job->data_free,
        .target = job->target,
        .keep_dtypes = job->resolved.npu_dtypes,
        .norm_bias = job->resolved.do_smooth || (job->smoother && job->smoother->norm_bias),
        .norm_bias_f32 = !job->resolved.do_smooth,
        .norm_module = r->mindie_format,
        .h4_bias = job->resolved.do_smooth && !job->data_free,
        .wrapped_names = wrapped,
    };
    gs_manifest_release(&job->manifest);
    gs_manifest_build(&job->manifest, &spec);
    char prefix[96];
    gs_format_weights_prefix(job->resolved.type, prefix, sizeof prefix);
    const uint64_t limit = (uint64_t)r->part_file_size << 30;
    GS_TRY(gs_layout_plan(&job->manifest.layout, prefix, limit, err));
    GS_TRY(fit_memory(job, err));
    job->work_total = job->work_done;
    plan_work(job);
    job->report->spilled_bytes = spilled_bytes(job);
    gs_report_plan(job);
    return check_space(job, err);
}
