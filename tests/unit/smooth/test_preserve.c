/* Smoothing keeps the function of a block: its output with scaled norms, columns and rows is the output without; and the
 * reference's split of gate|up does not. Models of the fixtures and random blocks of odd shapes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/smooth/fixture.h"

/* Scales and divisors of one block, all groups. */
typedef struct vectors {
    float *s[GS_ROLES], *div[GS_ROLES]; /* per linear: of its columns; of its rows, NULL = none */
} vectors;

static void vectors_release(vectors *v)
{
    for (int role = 0; role < GS_ROLES; role++) {
        test_free(v->s[role]);
        test_free(v->div[role]);
    }
}

static vectors smooth_block(gs_compute *c, const gs_smoother *m, const gs_block *b, const gs_outlier_stats *stats,
                            bool split_wrong)
{
    vectors v = {0};
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        const gs_smooth_group g = {.stats = &stats[role], .weight = &b->weight[role], .w_bit = 8, .w_sym = true};
        const bool norm = role == GS_QKV || role == GS_H4;
        gs_smooth_choice choice;
        if (!norm && !m->pairs) continue;
        v.s[role] = test_calloc((size_t)g.weight->k, sizeof(float));
        if (norm) {
            OK(m->scale(c, &g, v.s[role], &choice, ERR));
            assert_true(choice.scaled_channels > 0 || strcmp(m->name, "m5") == 0); /* it may find no outlier */
            continue;
        }
        const gs_smooth_pair p = config_pair(b->config, role, split_wrong);
        v.div[p.producer] = test_calloc((size_t)p.rows, sizeof(float));
        OK(m->pair(c, &g, &p, v.s[role], v.div[p.producer], &choice, ERR));
        assert_true(choice.scaled_channels > 0);
    }
    return v;
}

/* A copy of the block with the vectors applied. */
static gs_block apply(gs_compute *c, const gs_block *b, const vectors *v)
{
    gs_block to = {.config = b->config};
    const int64_t hidden = b->config->hidden;
    for (int norm = 0; norm < GS_NORMS; norm++) {
        const float *const s = v->s[norm == GS_NORM_INPUT ? GS_QKV : GS_H4];
        to.norm[norm] = gs_alloc_array((size_t)hidden, sizeof(float));
        for (int64_t i = 0; i < hidden; i++) to.norm[norm][i] = b->norm[norm][i] / s[i];
    }
    for (int role = 0; role < GS_ROLES; role++) {
        const gs_packed *const from = &b->weight[role];
        float *const w = test_malloc((size_t)(from->n * from->k) * sizeof *w);
        gs_unpack_rows(c, from, 0, from->n, w);
        if (b->bias[role]) {
            to.bias[role] = gs_alloc_array((size_t)from->n, sizeof(float));
            memcpy(to.bias[role], b->bias[role], (size_t)from->n * sizeof(float));
        }
        for (int64_t o = 0; o < from->n; o++) {
            const float div = v->div[role] ? v->div[role][o] : 1.0f;
            for (int64_t i = 0; i < from->k; i++)
                w[o * from->k + i] = w[o * from->k + i] * (v->s[role] ? v->s[role][i] : 1.0f) / div;
            if (to.bias[role]) to.bias[role][o] /= div;
        }
        OK(gs_packed_alloc(&to.weight[role], GS_PACK_F32, from->n, from->k, "test weight", ERR));
        gs_pack_rows(c, &to.weight[role], 0, from->n, w);
        test_free(w);
    }
    return to;
}

static void forward(gs_compute *c, const gs_block *b, const gs_samples *samples, float *h, const gs_taps *taps)
{
    gs_rope rope;
    gs_scratch scratch;
    const gs_chunk chunk = gs_chunk_at(samples, 0);
    assert_int_equal(chunk.rows, samples->tokens);
    OK(gs_rope_init(&rope, samples->longest, b->config->rotary, b->config->rope_base, ERR));
    OK(gs_scratch_init(&scratch, b->config, chunk.rows, true, ERR));
    OK(gs_block_forward(c, b, 0, &rope, &chunk, h, &scratch, taps, GS_UNTIL_END, ERR));
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
}

/* Largest change of what the block adds to the stream, relative to the row's largest addition. */
static double change(gs_compute *c, const gs_block *before, const gs_block *after, const gs_samples *samples,
                     const float *h)
{
    const int64_t n = samples->tokens * before->config->hidden;
    const size_t bytes = (size_t)n * sizeof(float);
    float *const x = test_malloc(bytes), *const y = test_malloc(bytes);
    memcpy(x, h, bytes);
    memcpy(y, h, bytes);
    forward(c, before, samples, x, NULL);
    forward(c, after, samples, y, NULL);
    for (int64_t i = 0; i < n; i++) {
        x[i] -= h[i];
        y[i] -= h[i];
    }
    const double worst = worst_error(y, x, samples->tokens, before->config->hidden);
    test_free(x);
    test_free(y);
    return worst;
}

static void check_block(gs_compute *c, const gs_block *b, const gs_outlier_stats *stats, const gs_samples *samples,
                        const float *h)
{
    double worst = 0;
    for (const gs_smoother *const *m = gs_smoothers; *m; m++)
        for (int wrong = 0; wrong <= (*m)->pairs; wrong++) {
            vectors v = smooth_block(c, *m, b, stats, wrong);
            gs_block after = apply(c, b, &v);
            const double error = change(c, b, &after, samples, h);
            if (!wrong && !(error <= 1e-5)) fail_msg("%s changes the block by %.3g", (*m)->name, error);
            if (wrong && !(error >= 1e-2))
                fail_msg("%s with the wrong split changes the block by no more than %.3g", (*m)->name, error);
            if (!wrong) worst = fmax(worst, error);
            gs_block_release(&after);
            vectors_release(&v);
        }
    print_message("hidden %d: worst change %.2g\n", (int)b->config->hidden, worst);
}

static void check_tiny(const char *name)
{
    tiny *const t = tiny_open(name);
    const int64_t n = t->samples.tokens * t->model.config.hidden;
    float *const h = test_malloc((size_t)n * sizeof *h);
    OK(gs_embed(&t->model.ck, t->model.tensors.embedding, t->samples.id, t->samples.tokens, h, ERR));
    for (int layer = 0; layer < t->model.config.layers; layer++) {
        check_block(&t->compute, &t->block[layer], t->stats[layer], &t->samples, h);
        forward(&t->compute, &t->block[layer], &t->samples, h, NULL);
    }
    test_free(h);
    tiny_close(t);
}

static void tiny_models(void **state)
{
    (void)state;
    check_tiny("tiny-a");
    check_tiny("tiny-c");
}

typedef struct taker {
    gs_compute *c;
    gs_outlier_stats *stats;
} taker;

static bool take_wants(void *ctx, gs_role role) { return ctx && role < GS_ROLES; }

static gs_status take_input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    taker *const t = ctx;
    for (int64_t i = 0; i < chunk->count; i++) {
        const int64_t row = chunk->start[i];
        GS_TRY(gs_outlier_stats_add(&t->stats[role], t->c, chunk->start[i + 1] - row, x + row * t->stats[role].channels,
                                    err));
    }
    return GS_OK;
}

static gs_block random_block(gs_compute *c, const gs_config *config, uint64_t *seed)
{
    gs_block b = {.config = config};
    for (int norm = 0; norm < GS_NORMS; norm++) {
        b.norm[norm] = gs_alloc_array((size_t)config->hidden, sizeof(float));
        for (int64_t i = 0; i < config->hidden; i++)
            b.norm[norm][i] = (i % 17 == 3 ? 20.0f : 1.0f) + 0.5f * noise(seed);
    }
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(config, role, &out, &in);
        float *const w = test_malloc((size_t)(out * in) * sizeof *w);
        for (int64_t i = 0; i < out * in; i++) w[i] = noise(seed) * (i / in % 9 == 4 ? 0.3f : 0.08f);
        OK(gs_packed_alloc(&b.weight[role], GS_PACK_F32, out, in, "test weight", ERR));
        gs_pack_rows(c, &b.weight[role], 0, out, w);
        test_free(w);
    }
    b.bias[GS_QKV] = gs_alloc_array((size_t)b.weight[GS_QKV].n, sizeof(float));
    for (int64_t i = 0; i < b.weight[GS_QKV].n; i++) b.bias[GS_QKV][i] = noise(seed);
    return b;
}

/* Attention wider and narrower than the stream, one group, as many groups as heads, odd MLP widths; 2·inputs == rows of QKV. */
static void random_blocks(void **state)
{
    static const struct {
        int64_t hidden, heads, groups, head_dim, ffn;
    } shapes[] = {{80, 6, 2, 16, 150}, {96, 4, 4, 8, 64}, {64, 8, 1, 16, 200}, {128, 8, 4, 16, 96}};
    gs_compute c;
    uint64_t seed = 7;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const gs_config config = {.hidden = shapes[i].hidden,
                                  .layers = 1,
                                  .heads = shapes[i].heads,
                                  .groups = shapes[i].groups,
                                  .head_dim = shapes[i].head_dim,
                                  .ffn = shapes[i].ffn,
                                  .rotary = shapes[i].head_dim / 2,
                                  .max_positions = 128,
                                  .rope_base = 1e4,
                                  .norm_eps = 1e-5f,
                                  .qkv_bias = true};
        int64_t start[] = {0, 40, 41, 90};
        const gs_samples samples = {.count = 3, .tokens = 90, .longest = 49, .start = start};
        const int64_t n = samples.tokens * config.hidden;
        float *const h = test_malloc((size_t)n * sizeof *h), *const work = test_malloc((size_t)n * sizeof *h);
        for (int64_t j = 0; j < n; j++) work[j] = h[j] = noise(&seed);
        gs_block b = random_block(&c, &config, &seed);
        gs_outlier_stats stats[GS_ROLES];
        for (int role = 0; role < GS_ROLES; role++)
            OK(gs_outlier_stats_init(&stats[role], b.weight[role].k, 90, 40, true, true, 0, ERR));
        taker t = {&c, stats};
        const gs_taps taps = {.ctx = &t, .wants = take_wants, .input = take_input};
        forward(&c, &b, &samples, work, &taps);
        check_block(&c, &b, stats, &samples, h);
        for (int role = 0; role < GS_ROLES; role++) gs_outlier_stats_release(&stats[role]);
        gs_block_release(&b);
        test_free(h);
        test_free(work);
    }
    gs_compute_close(&c);
}

/* Shapes that no rule fits are refused; nothing is written past the vectors. */
static void impossible_pairs(void **state)
{
    gs_compute c;
    gs_smooth_choice choice;
    float s[64], div[200];
    (void)state;
    OK(gs_compute_open(&c, 1, ERR));
    made m = made_fill(&c, 20, 60, 32, 3);
    made_finish(&m, 20, 0);
    const gs_smooth_group g = made_group(&m);
    for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
        if (!(*method)->pairs) continue;
        const gs_smooth_pair uneven = {
            .producer = GS_H4, .rows = 120, .heads = 7, .groups = 7, .head_dim = 8, .split_wrong = true};
        FAILS((*method)->pair(&c, &g, &uneven, s, div, &choice, ERR), GS_ERR_UNSUPPORTED, "60 channels", "7 heads");
        const gs_smooth_pair narrow = {.producer = GS_H4, .rows = 50, .heads = 6, .groups = 2, .head_dim = 10};
        FAILS((*method)->pair(&c, &g, &narrow, s, div, &choice, ERR), GS_ERR_UNSUPPORTED, "50 rows", "60 inputs");
        const gs_smooth_pair heads = {.producer = GS_QKV, .rows = 100, .heads = 5, .groups = 2, .head_dim = 12};
        FAILS((*method)->pair(&c, &g, &heads, s, div, &choice, ERR), GS_ERR_UNSUPPORTED, "5 heads", "60 inputs");
    }
    made_release(&m);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiny_models), cmocka_unit_test(random_blocks),
                                       cmocka_unit_test(impossible_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
