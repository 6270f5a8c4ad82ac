/* The outlier step of a block: the float stream of the anti samples through the untouched weights, statistics of the groups'
 * inputs, and what the smoother makes of them. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "job/walk.h"
#include "recipe/compat.h"

/* consumer → producer of the groups of a block; the norm groups first. */
static const struct group {
    gs_role consumer;
    bool pair;
    gs_norm norm;     /* producer of a norm group */
    gs_role producer; /* of a pair */
} groups[] = {{GS_QKV, false, GS_NORM_INPUT, 0},
              {GS_H4, false, GS_NORM_POST, 0},
              {GS_DENSE, true, 0, GS_QKV},
              {GS_4H, true, 0, GS_H4}};
enum { N_GROUPS = sizeof groups / sizeof *groups };

static int used_groups(const gs_job *job) { return job->smoother->pairs ? N_GROUPS : 2; }

static bool wants(void *ctx, gs_role role)
{
    const gs_walk *w = ctx;
    return w->outliers[role].channels > 0;
}

static gs_status input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_walk *w = ctx;
    gs_outlier_stats *s = &w->outliers[role];
    for (int64_t i = chunk->first; i < chunk->first + chunk->count; i++) {
        const int64_t row = chunk->start[i] - chunk->row0, rows = chunk->start[i + 1] - chunk->start[i];
        const gs_status status = gs_outlier_stats_add(s, &w->job->compute, rows, x + row * s->channels, err);
        if (status == GS_OK) continue;
        char name[256];
        gs_linear_name(w->job->family, w->block, role, "", name, sizeof name);
        return gs_wrap(err, "--anti_method %s: input of %s, outlier sample %lld", w->job->smoother->name, name,
                       (long long)i);
    }
    return GS_OK;
}

static gs_status linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                        float *y, gs_error *err)
{
    (void)chunk;
    (void)row0;
    return gs_walk_float_linear(ctx, role, rows, x, y, err); /* nothing is transformed yet */
}

static void release_stats(gs_walk *w)
{
    for (int role = 0; role < GS_ROLES; role++) gs_outlier_stats_release(&w->outliers[role]);
}

static gs_status init_stats(gs_walk *w, gs_error *err)
{
    const gs_job *job = w->job;
    const gs_samples *s = &job->anti;
    const int64_t limit = gs_compat(job->recipe, GS_COMPAT_M4_M6_SPLIT) ? 0 : GS_SMOOTH_ROWS_MAX;
    for (int g = 0; g < used_groups(job); g++) {
        const gs_role role = groups[g].consumer;
        GS_TRY(gs_outlier_stats_init(&w->outliers[role], w->weights->weight[role].k, s->tokens, s->start[1],
                                     job->smoother->needs_first, job->smoother->needs_rows, limit, err));
    }
    return GS_OK;
}

static gs_status run_stream(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    const bool last = w->block + 1 == job->config.layers;
    const gs_until until = !last ? GS_UNTIL_END : job->smoother->pairs ? GS_UNTIL_4H_INPUT : GS_UNTIL_H4_INPUT;
    gs_taps taps = {.ctx = w, .wants = wants, .input = input, .linear = linear, .reference = w->reference};
    if (job->kv_from_anti) gs_walk_watch_kv(w, &taps);
    for (int64_t s = 0; s < job->anti.count; s += w->chunk.count) {
        GS_TRY(gs_check_interrupt(err));
        w->chunk = gs_chunk_at(&job->anti, s);
        float *h;
        GS_TRY(gs_stream_read(&w->stream[GS_STREAM_OUTLIERS], w->chunk.row0, w->chunk.rows, &h, err));
        GS_TRY(gs_block_forward(&job->compute, w->weights, w->block, &w->rope, &w->chunk, h, &w->scratch, &taps, until,
                                err));
        GS_TRY(gs_walk_write_stream(w, GS_STREAM_OUTLIERS, err));
        job->work_done += w->chunk.rows;
        gs_job_progress(job, "outliers", w->block);
    }
    return GS_OK;
}

static void warn_zero(const gs_walk *w, gs_role role, const gs_smooth_choice *choice)
{
    if (choice->zero_channels == 0) return;
    char name[256];
    gs_linear_name(w->job->family, w->block, role, "", name, sizeof name);
    gs_job_message(w->job, GS_WARNING, "%s: %lld of its input channels are zero in all outlier samples", name,
                   (long long)choice->zero_channels);
}

/* s, div: scratch as wide as the widest linear. */
static gs_status transform_group(gs_walk *w, const struct group *g, float *s, float *div, gs_error *err)
{
    gs_job *job = w->job;
    gs_compute *c = &job->compute;
    const gs_block *b = w->weights;
    gs_transform *t = w->transform;
    const gs_role role = g->consumer;
    const gs_smooth_group group = {&w->outliers[role], &b->weight[role],   b->bias[role],
                                   job->recipe->w_bit, job->recipe->w_sym, job->recipe->reference_compat};
    if (g->pair) {
        const gs_smooth_pair pair = {g->producer,          b->weight[g->producer].n,
                                     job->config.heads,    job->config.groups,
                                     job->config.head_dim, gs_compat(job->recipe, GS_COMPAT_M4_M6_SPLIT)};
        GS_TRY(job->smoother->pair(c, &group, &pair, s, div, &t->choice[role], err));
        gs_transform_pair(t, b, g->producer, role, s, div);
    } else {
        GS_TRY(job->smoother->scale(c, &group, s, &t->choice[role], err));
        gs_transform_norm(t, b, g->norm, role, s);
    }
    t->chosen[role] = true;
    warn_zero(w, role, &t->choice[role]);
    return GS_OK;
}

static gs_status transform_block(gs_walk *w, gs_error *err)
{
    const gs_block *b = w->weights;
    int64_t in = 0, out = 0;
    for (int role = 0; role < GS_ROLES; role++) {
        if (b->weight[role].k > in) in = b->weight[role].k;
        if (b->weight[role].n > out) out = b->weight[role].n;
    }
    float *s = gs_alloc_array((size_t)(in + out), sizeof *s);
    gs_status status = GS_OK;
    for (int g = 0; g < used_groups(w->job) && status == GS_OK; g++) {
        char name[256];
        status = transform_group(w, &groups[g], s, s + in, err);
        if (status == GS_OK) continue;
        gs_linear_name(w->job->family, w->block, groups[g].consumer, "", name, sizeof name);
        gs_wrap(err, "--anti_method %s, group of %s", w->job->smoother->name, name);
    }
    for (int norm = 0; norm < GS_NORMS && w->job->smoother->norm_bias; norm++)
        w->transform->norm_bias[norm] = gs_alloc_array((size_t)b->config->hidden, sizeof(float));
    gs_free(s);
    w->transform->ready = true;
    return status;
}

/* Ranges of the value half belong to the smoothed model, whose value rows are divided. */
static void divide_kv(gs_walk *w)
{
    const float *row = w->transform->row[GS_QKV];
    const int64_t q_width = w->job->config.heads * w->job->config.head_dim;
    for (int64_t i = 0; i < 2 * w->kv.width && row; i++) {
        w->kv.min[i] /= row[q_width + i];
        w->kv.max[i] /= row[q_width + i];
    }
}

gs_status gs_step_outliers(gs_walk *w, gs_error *err)
{
    gs_job *job = w->job;
    if (!job->smoother || w->transform->ready) return GS_OK;
    gs_status status = init_stats(w, err);
    if (status == GS_OK) status = run_stream(w, err);
    if (status == GS_OK) status = transform_block(w, err);
    release_stats(w);
    if (status != GS_OK) return status;
    if (w->job->kv_from_anti) divide_kv(w);
    return w->reference ? gs_walk_load_exact(w, err) : GS_OK; /* from here on the smoothed weights */
}
