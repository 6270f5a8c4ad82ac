/* What the tests of smooth/ share: statistics of the tiny models' groups, the reference's scales, made-up groups.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TESTS_SMOOTH_FIXTURE_H
#define GS_TESTS_SMOOTH_FIXTURE_H

#include <math.h>

#include "smooth/smooth.h"
#include "unit/model/fixture.h"

#define SMOOTH_DATA(name) GS_SOURCE_DIR "/tests/data/smooth/" name
#define MAX_LAYERS        4

static const char *const role_names[GS_ROLES] = {"qkv", "dense", "h4", "4h"};

/* A tiny model, its blocks, and the statistics of every linear's input over the outlier prompts. */
typedef struct tiny {
    gs_compute compute;
    model model;
    golden golden;
    json_t *json;
    gs_samples samples;
    gs_block block[MAX_LAYERS];
    gs_outlier_stats stats[MAX_LAYERS][GS_ROLES];
    int layer; /* while statistics are taken */
} tiny;

static inline void tiny_read_samples(tiny *t)
{
    const json_t *const tokens = json_object_get(t->json, "tokens");
    gs_samples *const s = &t->samples;
    s->count = (int64_t)json_array_size(tokens);
    assert_true(s->count > 0);
    s->start = gs_alloc_array((size_t)s->count + 1, sizeof *s->start);
    for (int64_t i = 0; i < s->count; i++) {
        const json_t *const ids = json_array_get(tokens, (size_t)i);
        const int64_t rows = (int64_t)json_array_size(ids);
        s->id = gs_realloc_array(s->id, (size_t)(s->tokens + rows), sizeof *s->id);
        for (int64_t j = 0; j < rows; j++)
            s->id[s->tokens + j] = (int32_t)json_integer_value(json_array_get(ids, (size_t)j));
        s->tokens += rows;
        s->start[i + 1] = s->tokens;
        if (rows > s->longest) s->longest = rows;
    }
}

static inline bool tiny_wants(void *ctx, gs_role role) { return ctx && role < GS_ROLES; }

static inline gs_status tiny_input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    tiny *const t = ctx;
    gs_outlier_stats *const s = &t->stats[t->layer][role];
    for (int64_t i = chunk->first; i < chunk->first + chunk->count; i++)
        GS_TRY(gs_outlier_stats_add(s, &t->compute, chunk->start[i + 1] - chunk->start[i],
                                    x + (chunk->start[i] - chunk->row0) * s->channels, err));
    return GS_OK;
}

static inline void tiny_forward(tiny *t)
{
    const gs_config *const config = &t->model.config;
    gs_rope rope;
    gs_scratch scratch;
    const gs_taps taps = {.ctx = t, .wants = tiny_wants, .input = tiny_input};
    float *const h = test_malloc((size_t)(t->samples.tokens * config->hidden) * sizeof *h);
    OK(gs_rope_init(&rope, t->samples.longest, config->rotary, config->rope_base, ERR));
    OK(gs_scratch_init(&scratch, config, gs_chunk_rows_max(&t->samples), true, ERR));
    OK(gs_embed(&t->model.ck, t->model.tensors.embedding, t->samples.id, t->samples.tokens, h, ERR));
    for (t->layer = 0; t->layer < config->layers; t->layer++) {
        for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
            int64_t out, in;
            gs_role_shape(config, role, &out, &in);
            OK(gs_outlier_stats_init(&t->stats[t->layer][role], in, t->samples.tokens, t->samples.start[1], true, true,
                                     0, ERR));
        }
        OK(gs_block_load(&t->block[t->layer], &t->compute, config, &t->model.ck, &t->model.tensors.block[t->layer],
                         ERR));
        for (int64_t first = 0; first < t->samples.count;) {
            const gs_chunk chunk = gs_chunk_at(&t->samples, first);
            OK(gs_block_forward(&t->compute, &t->block[t->layer], t->layer, &rope, &chunk,
                                h + chunk.row0 * config->hidden, &scratch, &taps, GS_UNTIL_END, ERR));
            first += chunk.count;
        }
    }
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
    test_free(h);
}

/* name: "tiny-a" or "tiny-c" */
static inline tiny *tiny_open(const char *name)
{
    char path[512];
    size_t n;
    tiny *const t = test_calloc(1, sizeof *t);
    OK(gs_compute_open(&t->compute, 2, ERR));
    snprintf(path, sizeof path, TINY("%s"), name);
    model_open(&t->model, path);
    assert_true(t->model.config.layers <= MAX_LAYERS);
    snprintf(path, sizeof path, SMOOTH_DATA("%s.safetensors"), name);
    golden_open(&t->golden, path);
    snprintf(path, sizeof path, SMOOTH_DATA("%s.json"), name);
    char *const text = file_text(path, &n);
    t->json = gs_json_parse(text, n, path, 8, ERR);
    if (!t->json) fail_msg("%s", test_error.text);
    gs_free(text);
    tiny_read_samples(t);
    tiny_forward(t);
    return t;
}

static inline void tiny_close(tiny *t)
{
    for (int i = 0; i < t->model.config.layers; i++) {
        for (int role = 0; role < GS_ROLES; role++) gs_outlier_stats_release(&t->stats[i][role]);
        gs_block_release(&t->block[i]);
    }
    gs_free(t->samples.start);
    gs_free(t->samples.id);
    json_decref(t->json);
    golden_close(&t->golden);
    model_close(&t->model);
    gs_compute_close(&t->compute);
    test_free(t);
}

static inline gs_smooth_group tiny_group(const tiny *t, int layer, gs_role role)
{
    return (gs_smooth_group){.stats = &t->stats[layer][role],
                             .weight = &t->block[layer].weight[role],
                             .bias = t->block[layer].bias[role],
                             .w_bit = 8,
                             .w_sym = true};
}

static inline gs_smooth_pair config_pair(const gs_config *config, gs_role consumer, bool split_wrong)
{
    gs_smooth_pair p = {.producer = consumer == GS_DENSE ? GS_QKV : GS_H4,
                        .heads = config->heads,
                        .groups = config->groups,
                        .head_dim = config->head_dim,
                        .split_wrong = split_wrong};
    int64_t in;
    gs_role_shape(config, p.producer, &p.rows, &in);
    return p;
}

/* Greatest |got - want| / |want|; want must not be 0 where got is not. */
static inline double worst_relative(const float *got, const float *want, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double gap = fabs((double)got[i] - (double)want[i]);
        const double relative = gap == 0 ? 0 : gap / fabs((double)want[i]);
        if (!(relative <= worst)) worst = relative;
    }
    return worst;
}

/* A group of random numbers: some loud input channels, samples of given length. */
typedef struct made {
    gs_compute *compute;
    gs_packed weight;
    gs_outlier_stats stats;
    float *x, *w;
    int64_t rows, in, out;
} made;

static inline gs_smooth_group made_group(const made *m)
{
    return (gs_smooth_group){.stats = &m->stats, .weight = &m->weight, .w_bit = 8, .w_sym = true};
}

/* Takes the statistics of m->x and packs m->w, as they are now. */
static inline void made_finish(made *m, int64_t sample, int64_t row_limit)
{
    OK(gs_packed_alloc(&m->weight, GS_PACK_F32, m->out, m->in, "test weight", ERR));
    gs_pack_rows(m->compute, &m->weight, 0, m->out, m->w);
    const int64_t first = sample < m->rows ? sample : m->rows;
    OK(gs_outlier_stats_init(&m->stats, m->in, m->rows, first, true, true, row_limit, ERR));
    for (int64_t row = 0; row < m->rows; row += sample)
        OK(gs_outlier_stats_add(&m->stats, m->compute, m->rows - row < sample ? m->rows - row : sample,
                                m->x + row * m->in, ERR));
}

static inline made made_fill(gs_compute *c, int64_t rows, int64_t in, int64_t out, uint64_t seed)
{
    made m = {.compute = c, .rows = rows, .in = in, .out = out};
    m.x = test_malloc((size_t)(rows * in) * sizeof(float));
    m.w = test_malloc((size_t)(out * in) * sizeof(float));
    for (int64_t i = 0; i < rows * in; i++) {
        const int64_t channel = i % in;
        m.x[i] = noise(&seed) * (channel % 37 == 5   ? 40.0f
                                 : channel % 11 == 2 ? 8.0f
                                                     : 1.0f) +
                 (channel % 13 == 1 ? 2.0f : 0.0f);
    }
    for (int64_t i = 0; i < out * in; i++) m.w[i] = 0.05f * noise(&seed);
    return m;
}

static inline void made_release(made *m)
{
    gs_outlier_stats_release(&m->stats);
    gs_packed_release(&m->weight);
    test_free(m->x);
    test_free(m->w);
}

#endif
