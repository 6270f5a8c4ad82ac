/* A block with made-up weights against a plain double-precision restatement, at positions of several thousand, where
 * a wrong base, pairing or angle shows; how far `until` goes; and that the scratch is exactly as large as needed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/model/fixture.h"

typedef struct made {
    gs_config config;
    gs_block block;
    float *weight[GS_ROLES]; /* the same values as the panels, row-major */
} made;

static void made_init(made *m, gs_compute *c, double rope_ratio)
{
    uint64_t seed = 7;
    *m = (made){.config = {.hidden = 48,
                           .layers = 1,
                           .heads = 4,
                           .groups = 2,
                           .head_dim = 32,
                           .rotary = 16,
                           .ffn = 80,
                           .vocab = 10,
                           .rope_base = 10000.0 * rope_ratio,
                           .norm_eps = 1e-5f,
                           .qkv_bias = true}};
    m->block.config = &m->config;
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&m->config, role, &out, &in);
        float *const w = m->weight[role] = gs_alloc_array((size_t)(out * in), sizeof *w);
        for (int64_t i = 0; i < out * in; i++) w[i] = noise(&seed) * 2.0f / sqrtf((float)in);
        OK(gs_packed_alloc(&m->block.weight[role], GS_PACK_F32, out, in, "test", ERR));
        gs_pack_rows(c, &m->block.weight[role], 0, out, w);
        if (role != GS_QKV) continue;
        m->block.bias[role] = gs_alloc_array((size_t)out, sizeof(float));
        for (int64_t i = 0; i < out; i++) m->block.bias[role][i] = noise(&seed);
    }
    for (int i = 0; i < GS_NORMS; i++) {
        m->block.norm[i] = gs_alloc_array((size_t)m->config.hidden, sizeof(float));
        for (int64_t j = 0; j < m->config.hidden; j++) m->block.norm[i][j] = 1.0f + 0.3f * noise(&seed);
    }
    m->block.norm_bias[GS_NORM_POST] = gs_alloc_array((size_t)m->config.hidden, sizeof(float));
    for (int64_t j = 0; j < m->config.hidden; j++) m->block.norm_bias[GS_NORM_POST][j] = 0.1f * noise(&seed);
}

static void made_release(made *m)
{
    gs_block_release(&m->block);
    for (int i = 0; i < GS_ROLES; i++) gs_free(m->weight[i]);
}

static float *made_stream(int64_t rows, int64_t hidden)
{
    uint64_t seed = 99;
    float *const h = test_malloc((size_t)(rows * hidden) * sizeof *h);
    for (int64_t i = 0; i < rows * hidden; i++) h[i] = noise(&seed) * 3.0f;
    return h;
}

/* ---- the restatement, one row at a time, in double ---- */

static void plain_norm(const made *m, gs_norm which, const double *h, double *x)
{
    const int64_t n = m->config.hidden;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += h[j] * h[j];
    const double scale = 1.0 / sqrt(sum / (double)n + (double)m->config.norm_eps);
    const float *const bias = m->block.norm_bias[which];
    for (int64_t j = 0; j < n; j++)
        x[j] = (double)m->block.norm[which][j] * h[j] * scale + (bias ? (double)bias[j] : 0.0);
}

static void plain_linear(const made *m, gs_role role, const double *x, double *y)
{
    int64_t out, in;
    gs_role_shape(&m->config, role, &out, &in);
    for (int64_t i = 0; i < out; i++) {
        double sum = 0;
        for (int64_t j = 0; j < in; j++) sum += (double)m->weight[role][i * in + j] * x[j];
        y[i] = sum + (m->block.bias[role] ? (double)m->block.bias[role][i] : 0.0);
    }
}

/* Angles as the original computes them: exponent, power, reciprocal and product each rounded to float32. */
static void plain_rope(const made *m, int64_t position, double *head)
{
    const int64_t r = m->config.rotary;
    for (int64_t i = 0; i < r / 2; i++) {
        const float exponent = (float)(2 * i) / (float)r;
        const float power = (float)pow((double)(float)m->config.rope_base, (double)exponent);
        const float theta = 1.0f / power;
        const float angle = (float)position * theta;
        const double c = cos((double)angle), s = sin((double)angle), a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = a * c - b * s;
        head[2 * i + 1] = b * c + a * s;
    }
}

/* qkv: [t+1 rows and more, width], rotated. context: [heads·d] of query row t. */
static void plain_attention(const made *m, const double *qkv, int64_t t, double *p, double *context)
{
    const int64_t heads = m->config.heads, groups = m->config.groups, d = m->config.head_dim;
    const int64_t width = (heads + 2 * groups) * d;
    for (int64_t head = 0; head < heads; head++) {
        const int64_t group = head / (heads / groups);
        const double *const q = qkv + t * width + head * d;
        double top = -1e300, sum = 0;
        for (int64_t s = 0; s <= t; s++) {
            const double *const k = qkv + s * width + (heads + group) * d;
            double dot = 0;
            for (int64_t j = 0; j < d; j++) dot += q[j] * k[j];
            p[s] = dot / sqrt((double)d);
            if (p[s] > top) top = p[s];
        }
        for (int64_t s = 0; s <= t; s++) sum += p[s] = exp(p[s] - top);
        for (int64_t j = 0; j < d; j++) {
            double mix = 0;
            for (int64_t s = 0; s <= t; s++) mix += p[s] * qkv[s * width + (heads + groups + group) * d + j];
            context[head * d + j] = mix / sum;
        }
    }
}

/* Result of row t, given the rotated qkv of all rows up to t. */
static void plain_row(const made *m, const double *qkv, int64_t t, const float *h, double *p, float *result)
{
    double context[128], y[48], x[48], sum[48], z[160], gated[80];
    const int64_t hidden = m->config.hidden, ffn = m->config.ffn;
    plain_attention(m, qkv, t, p, context);
    plain_linear(m, GS_DENSE, context, y);
    for (int64_t j = 0; j < hidden; j++) sum[j] = (double)h[t * hidden + j] + y[j];
    plain_norm(m, GS_NORM_POST, sum, x);
    plain_linear(m, GS_H4, x, z);
    for (int64_t j = 0; j < ffn; j++) gated[j] = z[j] / (1.0 + exp(-z[j])) * z[ffn + j];
    plain_linear(m, GS_4H, gated, y);
    for (int64_t j = 0; j < hidden; j++) result[j] = (float)(sum[j] + y[j]);
}

static double *plain_qkv(const made *m, const float *h, int64_t rows)
{
    const int64_t hidden = m->config.hidden, d = m->config.head_dim, width = gs_config_qkv_width(&m->config);
    double *const qkv = test_malloc((size_t)(rows * width) * sizeof *qkv);
    double x[48], wide[48];
    for (int64_t t = 0; t < rows; t++) {
        for (int64_t j = 0; j < hidden; j++) wide[j] = (double)h[t * hidden + j];
        plain_norm(m, GS_NORM_INPUT, wide, x);
        plain_linear(m, GS_QKV, x, qkv + t * width);
        for (int64_t head = 0; head < m->config.heads + m->config.groups; head++)
            plain_rope(m, t, qkv + t * width + head * d);
    }
    return qkv;
}

static void forward(gs_compute *c, const made *m, const int64_t *start, int64_t samples, float *h, bool whole,
                    const gs_taps *taps, gs_until until)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < samples; i++)
        if (start[i + 1] - start[i] > longest) longest = start[i + 1] - start[i];
    const gs_chunk chunk = {.first = 0, .count = samples, .row0 = 0, .rows = start[samples], .start = start};
    gs_rope rope;
    OK(gs_rope_init(&rope, longest, m->config.rotary, m->config.rope_base, ERR));
    /* The heap, not a gs_buf, so that the address sanitizer sees a write past the exact size. */
    const size_t bytes = gs_scratch_bytes(&m->config, chunk.rows, whole);
    gs_scratch scratch = {.buf = {aligned_alloc(64, bytes), bytes}, .rows = chunk.rows, .whole_4h = whole};
    assert_int_equal(bytes % 64, 0);
    OK(gs_block_forward(c, &m->block, 3, &rope, &chunk, h, &scratch, taps, until, ERR));
    free(scratch.buf.data);
    gs_rope_release(&rope);
}

static gs_status keep_heads(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    const int64_t width = 256; /* (4 + 2·2) · 32 */
    (void)err;
    memcpy(ctx, qkv + 5 * width, (size_t)((chunk->rows - 5) * width) * sizeof(float));
    return GS_OK;
}

/* What the heads tap saw of the second sample: rotated from position 0 on. */
static void check_heads(const float *got, const double *want, int64_t rows, int64_t width)
{
    float *const x = test_malloc((size_t)(rows * width) * sizeof *x);
    for (int64_t i = 0; i < rows * width; i++) x[i] = (float)want[i];
    const double error = worst_error(got, x, rows, width);
    if (!(error < 2e-6)) fail_msg("rotated queries, keys, values: error %.3g", error);
    test_free(x);
}

/* Two samples, the second of `rows` rows: positions must restart. A few hundred of its rows are compared. */
static void check_long(double rope_ratio, int64_t rows)
{
    gs_compute c;
    made m;
    const int64_t start[3] = {0, 5, 5 + rows};
    OK(gs_compute_open(&c, 2, ERR));
    made_init(&m, &c, rope_ratio);
    const int64_t hidden = m.config.hidden;
    float *const before = made_stream(5 + rows, hidden), *const h = made_stream(5 + rows, hidden);
    const int64_t width = gs_config_qkv_width(&m.config);
    float *const heads = test_malloc((size_t)(rows * width) * sizeof *heads);
    const gs_taps taps = {.ctx = heads, .heads = keep_heads};
    forward(&c, &m, start, 2, h, false, &taps, GS_UNTIL_END);

    const float *const sample = before + 5 * hidden;
    double *const qkv = plain_qkv(&m, sample, rows), *const p = test_malloc((size_t)rows * sizeof *p);
    check_heads(heads, qkv, rows, width);
    double worst = 0;
    for (int64_t t = 0; t < rows; t += t < rows - 40 ? 61 : 1) {
        float want[48];
        plain_row(&m, qkv, t, sample, p, want);
        const double error = worst_error(h + (5 + t) * hidden, want, 1, hidden);
        if (!(error < 2e-6)) fail_msg("row %lld: error %.3g", (long long)t, error);
        if (error > worst) worst = error;
    }
    print_message("rope ratio %g, %lld rows: worst error %.2g\n", rope_ratio, (long long)rows, worst);
    test_free(heads);
    test_free(p);
    test_free(qkv);
    test_free(h);
    test_free(before);
    made_release(&m);
    gs_compute_close(&c);
}

static void long_sample_base_10000(void **state)
{
    (void)state;
    check_long(1, 4000);
}

static void long_sample_base_5000000(void **state)
{
    (void)state;
    check_long(500, 4000);
}

static void rope_table_at_far_positions(void **state)
{
    static const double ratios[] = {1, 500, 10000};
    (void)state;
    for (int k = 0; k < 3; k++) {
        gs_rope rope;
        const int64_t positions = 9000, r = 64;
        const double base = 10000.0 * ratios[k];
        OK(gs_rope_init(&rope, positions, r, base, ERR));
        assert_int_equal(rope.half, 32);
        for (int64_t p = 0; p < positions; p += p < 8990 ? 89 : 1) {
            for (int64_t i = 0; i < r / 2; i++) {
                const float power = (float)pow((double)(float)base, (double)((float)(2 * i) / (float)r));
                const float angle = (float)p * (1.0f / power);
                const double c = cos((double)angle), s = sin((double)angle);
                /* The power may differ by one unit in the last place: 1.2e-7 of the angle. */
                const double allowed = 1.3e-7 + 1.3e-7 * (double)angle;
                assert_true(fabs((double)rope.cos[p * 32 + i] - c) <= allowed);
                assert_true(fabs((double)rope.sin[p * 32 + i] - s) <= allowed);
            }
        }
        gs_rope_release(&rope);
    }
}

/* ---- taps ---- */

typedef struct log {
    const made *m;
    gs_compute *c;
    bool want_4h;
    int64_t inputs[GS_ROLES], calls[GS_ROLES], rows[GS_ROLES];
    int qkv, heads;
    float *input[GS_ROLES];
} log_t;

static bool log_wants(void *ctx, gs_role role) { return role != GS_4H || ((const log_t *)ctx)->want_4h; }

static gs_status log_input(void *ctx, gs_role role, const gs_chunk *chunk, const float *x, gs_error *err)
{
    log_t *const l = ctx;
    int64_t out, in;
    (void)err;
    gs_role_shape(&l->m->config, role, &out, &in);
    assert_int_equal(l->calls[role], 0);
    l->inputs[role]++;
    l->input[role] = gs_realloc_array(l->input[role], (size_t)(chunk->rows * in), sizeof(float));
    memcpy(l->input[role], x, (size_t)(chunk->rows * in) * sizeof(float));
    return GS_OK;
}

static gs_status log_qkv(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    (void)err;
    assert_non_null(qkv);
    assert_true(chunk->rows > 0);
    ((log_t *)ctx)->qkv++;
    return GS_OK;
}

static gs_status log_heads(void *ctx, const gs_chunk *chunk, const float *qkv, gs_error *err)
{
    (void)err;
    assert_non_null(qkv);
    assert_true(chunk->rows > 0);
    assert_int_equal(((log_t *)ctx)->qkv, 1);
    ((log_t *)ctx)->heads++;
    return GS_OK;
}

static gs_status log_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows, const float *x,
                            float *y, gs_error *err)
{
    log_t *const l = ctx;
    const gs_packed *const p = &l->m->block.weight[role];
    (void)err;
    assert_int_equal(row0, l->rows[role]);
    assert_true(rows > 0 && rows <= GS_CHUNK_ROWS && row0 + rows <= chunk->rows);
    if (l->input[role]) assert_memory_equal(x, l->input[role] + row0 * p->k, (size_t)(rows * p->k) * sizeof *x);
    l->rows[role] += rows;
    l->calls[role]++;
    gs_gemm_f32(l->c, p, rows, x, p->k, l->m->block.bias[role], y, p->n);
    return GS_OK;
}

static void log_free(log_t *l)
{
    for (int i = 0; i < GS_ROLES; i++) gs_free(l->input[i]);
}

/* 1100 rows of one sample: three tiles. With taps or without, tiled MLP or whole: the same bits. */
static void taps_do_not_change_the_result(void **state)
{
    static const int64_t sizes[] = {1, 2, 511, 512, 513, 1100};
    (void)state;
    gs_compute c;
    made m;
    OK(gs_compute_open(&c, 2, ERR));
    made_init(&m, &c, 1);
    const int64_t hidden = m.config.hidden;
    for (int i = 0; i < 6; i++) {
        const int64_t rows = sizes[i], start[2] = {0, rows}, tiles = (rows + 511) / 512;
        const size_t bytes = (size_t)(rows * hidden) * sizeof(float);
        float *const plain = made_stream(rows, hidden);
        forward(&c, &m, start, 1, plain, false, NULL, GS_UNTIL_END);
        for (int whole = 0; whole < 2; whole++) {
            float *const h = made_stream(rows, hidden);
            log_t l = {.m = &m, .c = &c, .want_4h = whole};
            const gs_taps taps = {&l, log_wants, log_input, log_qkv, log_heads, log_linear, false, NULL};
            forward(&c, &m, start, 1, h, whole, &taps, GS_UNTIL_END);
            assert_memory_equal(h, plain, bytes);
            assert_int_equal(l.qkv, 1);
            assert_int_equal(l.heads, 1);
            for (int r = 0; r < GS_ROLES; r++) {
                assert_int_equal(l.inputs[r], r == GS_4H ? whole : 1);
                assert_int_equal(l.calls[r], tiles);
                assert_int_equal(l.rows[r], rows);
            }
            log_free(&l);
            test_free(h);
        }
        test_free(plain);
    }
    made_release(&m);
    gs_compute_close(&c);
}

static void until_stops_where_it_says(void **state)
{
    static const struct {
        gs_until until;
        int inputs, calls, qkv, heads;
        bool changed;
    } want[] = {{GS_UNTIL_QKV_OUTPUT, 1, 1, 1, 0, false},
                {GS_UNTIL_DENSE_INPUT, 2, 1, 1, 1, false},
                {GS_UNTIL_H4_INPUT, 3, 2, 1, 1, true},
                {GS_UNTIL_4H_INPUT, 4, 3, 1, 1, true},
                {GS_UNTIL_END, 4, 4, 1, 1, true}};
    const int64_t start[] = {0, 3, 40}, rows = 40;
    (void)state;
    gs_compute c;
    made m;
    OK(gs_compute_open(&c, 2, ERR));
    made_init(&m, &c, 1);
    float *const before = made_stream(rows, m.config.hidden);
    for (int i = 0; i < 5; i++) {
        float *const h = made_stream(rows, m.config.hidden);
        log_t l = {.m = &m, .c = &c, .want_4h = true};
        const gs_taps taps = {&l, log_wants, log_input, log_qkv, log_heads, log_linear, false, NULL};
        forward(&c, &m, start, 2, h, true, &taps, want[i].until);
        for (int r = 0; r < GS_ROLES; r++) {
            assert_int_equal(l.inputs[r], r < want[i].inputs);
            assert_int_equal(l.calls[r], r < want[i].calls);
        }
        assert_int_equal(l.qkv, want[i].qkv);
        assert_int_equal(l.heads, want[i].heads);
        assert_int_equal(memcmp(h, before, (size_t)(rows * m.config.hidden) * sizeof *h) != 0, want[i].changed);
        log_free(&l);
        test_free(h);
    }
    test_free(before);
    made_release(&m);
    gs_compute_close(&c);
}

/* Both halves, with the stream left between them, are the block; the second half starts where the first one stopped. */
static void halves_are_the_whole(void **state)
{
    const int64_t start[] = {0, 3, 40}, rows = 40;
    const gs_chunk chunk = {.count = 2, .rows = rows, .start = start};
    (void)state;
    gs_compute c;
    made m;
    gs_scratch scratch;
    OK(gs_compute_open(&c, 2, ERR));
    made_init(&m, &c, 1);
    OK(gs_scratch_init(&scratch, &m.config, rows, true, ERR));
    const size_t bytes = (size_t)(rows * m.config.hidden) * sizeof(float);
    float *const whole = made_stream(rows, m.config.hidden), *const h = made_stream(rows, m.config.hidden);
    forward(&c, &m, start, 2, whole, true, NULL, GS_UNTIL_END);
    forward(&c, &m, start, 2, h, true, NULL, GS_UNTIL_H4_INPUT);
    assert_memory_not_equal(h, whole, bytes);
    log_t l = {.m = &m, .c = &c, .want_4h = true};
    const gs_taps taps = {.ctx = &l,
                          .wants = log_wants,
                          .input = log_input,
                          .qkv_output = log_qkv,
                          .heads = log_heads,
                          .linear = log_linear};
    float *const before = made_stream(rows, m.config.hidden);
    memcpy(before, h, bytes);
    OK(gs_block_forward_mlp(&c, &m.block, 0, &chunk, h, &scratch, &taps, GS_UNTIL_4H_INPUT, ERR));
    assert_memory_equal(h, before, bytes); /* not even looked past the input of 4H */
    assert_true(l.inputs[GS_H4] == 1 && l.inputs[GS_4H] == 1 && l.calls[GS_4H] == 0 && l.qkv == 0 && l.heads == 0);
    OK(gs_block_forward_mlp(&c, &m.block, 0, &chunk, h, &scratch, NULL, GS_UNTIL_END, ERR));
    assert_memory_equal(h, whole, bytes);
    scratch.rows = rows - 1;
    FAILS(gs_block_forward_mlp(&c, &m.block, 3, &chunk, h, &scratch, NULL, GS_UNTIL_END, ERR), GS_ERR_MEMORY,
          "block 3");
    log_free(&l);
    test_free(whole);
    test_free(h);
    test_free(before);
    gs_scratch_release(&scratch);
    made_release(&m);
    gs_compute_close(&c);
}

static gs_status refuse_linear(void *ctx, gs_role role, const gs_chunk *chunk, int64_t row0, int64_t rows,
                               const float *x, float *y, gs_error *err)
{
    (void)chunk, (void)row0, (void)rows, (void)x, (void)y;
    return role == *(const gs_role *)ctx ? gs_fail(err, GS_ERR_IO, "linear %d says no", (int)role) : GS_OK;
}

static void failures(void **state)
{
    const int64_t start[] = {0, 3, 10};
    const gs_chunk chunk = {.first = 0, .count = 2, .rows = 10, .start = start};
    (void)state;
    gs_compute c;
    made m;
    gs_rope rope;
    gs_scratch scratch;
    OK(gs_compute_open(&c, 1, ERR));
    made_init(&m, &c, 1);
    OK(gs_rope_init(&rope, 10, m.config.rotary, m.config.rope_base, ERR));
    OK(gs_scratch_init(&scratch, &m.config, 10, false, ERR));
    assert_int_equal(scratch.buf.bytes >= gs_scratch_bytes(&m.config, 10, false), 1);
    float *h = made_stream(10, m.config.hidden);
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        const gs_taps taps = {.ctx = &role, .linear = refuse_linear};
        memset(scratch.buf.data, 0, scratch.buf.bytes);
        FAILS(gs_block_forward(&c, &m.block, 3, &rope, &chunk, h, &scratch, &taps, GS_UNTIL_END, ERR), GS_ERR_IO,
              "says no");
    }
    h[5 * m.config.hidden + 7] = INFINITY;
    FAILS(gs_block_forward(&c, &m.block, 3, &rope, &chunk, h, &scratch, NULL, GS_UNTIL_END, ERR), GS_ERR_NUMERIC,
          "block 3", "sample 1");
    test_free(h);
    h = made_stream(10, m.config.hidden);
    scratch.rows = 9;
    FAILS(gs_block_forward(&c, &m.block, 3, &rope, &chunk, h, &scratch, NULL, GS_UNTIL_END, ERR), GS_ERR_MEMORY,
          "block 3");
    test_free(h);
    gs_scratch_release(&scratch);
    gs_scratch_release(&scratch);
    gs_rope_release(&rope);
    made_release(&m);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_table_at_far_positions),
        cmocka_unit_test(long_sample_base_10000),
        cmocka_unit_test(long_sample_base_5000000),
        cmocka_unit_test(taps_do_not_change_the_result),
        cmocka_unit_test(until_stops_where_it_says),
        cmocka_unit_test(halves_are_the_whole),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
