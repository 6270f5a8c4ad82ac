/* Weight rules against plain loops, where no reference run goes: odd widths, thresholds that need every digit, rows of zeros and of
 * constants, ends of float32; and that neither threads nor chunks show. SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/rule_row.h"

#define MOST 4096 /* values of the matrices here */

typedef struct result {
    int8_t codes[MOST];
    float scale[MOST], offset[MOST], second[MOST], sums[MOST], forward[MOST];
    int32_t row_sum[MOST];
    gs_weight_stats stats;
} result;

typedef struct source {
    const float *w;
    int64_t in;
    int calls, fail_at; /* fail_at: the call that fails, 0 = none */
} source;

static gs_status rows_of(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    (void)rows;
    source *s = ctx;
    if (++s->calls == s->fail_at) return gs_fail(err, GS_ERR_FILE, "the disk is gone");
    *w = s->w + row0 * s->in;
    return GS_OK;
}

/* scale_bias in four parts where the rule has it. */
static void apply_in(gs_compute *c, const gs_weight_rule *rule, int64_t out, int64_t in, int64_t chunk, const float *w,
                     result *to)
{
    source s = {.w = w, .in = in};
    gs_error err = {0};
    memset(to, 0, sizeof *to);
    assert_int_equal(gs_weight_measure(c, rule, out, in, chunk, rows_of, &s, &to->stats, &err), GS_OK);
    const int64_t groups = rule->group_size ? in / rule->group_size : 1;
    const int64_t columns = rule->kind == GS_WEIGHT_GROUP ? groups : 1;
    for (int64_t r = 0; r < out; r += chunk) {
        const gs_weight_codes codes = {.codes = to->codes + r * in,
                                       .scale = to->scale + r * columns,
                                       .offset = to->offset + r * columns,
                                       .scale_second = to->second + r * groups,
                                       .scale_bias = rule->kind == GS_WEIGHT_TWO_STAGE ? to->sums + r * 4 : NULL,
                                       .scale_bias_columns = 4,
                                       .row_sum = to->row_sum + r,
                                       .forward = to->forward + r * in};
        gs_weight_apply(c, rule, &to->stats, out - r < chunk ? out - r : chunk, in, w + r * in, &codes);
    }
}

static void dequant(gs_compute *c, const gs_weight_rule *rule, int64_t out, int64_t in, result *r, float *to)
{
    const gs_weight_codes from = {.codes = r->codes, .scale = r->scale, .offset = r->offset, .scale_second = r->second};
    gs_weight_dequant(c, rule, out, in, &from, to);
}

static const gs_weight_rule every[] = {
    {.kind = GS_WEIGHT_NORMAL, .bits = 8, .sym = true},
    {.kind = GS_WEIGHT_NORMAL, .bits = 8},
    {.kind = GS_WEIGHT_NORMAL, .bits = 4, .sym = true},
    {.kind = GS_WEIGHT_NORMAL, .bits = 4, .mm_tensor = true},
    {.kind = GS_WEIGHT_LOWBIT, .bits = 8, .sym = true},
    {.kind = GS_WEIGHT_LOWBIT, .bits = 8},
    {.kind = GS_WEIGHT_LOWBIT, .bits = 8, .mm_tensor = true},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .sym = true, .fraction = 0.05},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .fraction = 0.05},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .fraction = 0.05, .mm_tensor = true},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .sym = true, .use_sigma = true, .sigma = 2.5},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .sym = true, .fraction = 0.05, .holds_outliers = true},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .fraction = 0.05, .holds_outliers = true},
    {.kind = GS_WEIGHT_GROUP, .bits = 4, .sym = true, .group_size = 32},
    {.kind = GS_WEIGHT_GROUP, .bits = 8, .group_size = 32},
    {.kind = GS_WEIGHT_GROUP, .bits = 4, .group_size = 64},
    {.kind = GS_WEIGHT_SPARSE_GLOBAL, .bits = 8, .sym = true, .fraction = 0.03},
    {.kind = GS_WEIGHT_SPARSE_GLOBAL, .bits = 8, .sym = true, .fraction = 0.03, .mm_tensor = true},
    {.kind = GS_WEIGHT_SPARSE_ROW, .bits = 8, .sym = true, .fraction = 0.03},
    {.kind = GS_WEIGHT_SPARSE_ROW, .bits = 8, .sym = true, .use_sigma = true, .sigma = 3.0, .mm_tensor = true},
    {.kind = GS_WEIGHT_TWO_STAGE, .bits = 4, .sym = true, .group_size = 32},
    {.kind = GS_WEIGHT_MERGED, .bits = 8, .sym = true, .group_size = 64},
};
#define RULES (int)(sizeof every / sizeof every[0])

/* Codes mean what the scales say: every value is within half a step of its own, unless it is an outlier that was clipped. */
static void values_are_close(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static result r;
    static float back[MOST];
    const int64_t out = 20, in = 192, n = out * in;
    float *w = fixture_data(KIND_GAUSS, n, 5, 0.03f, 0.002f);
    for (int k = 0; k < RULES; k++) {
        const gs_weight_rule *rule = &every[k];
        apply_in(&c, rule, out, in, 7, w, &r);
        dequant(&c, rule, out, in, &r, back);
        double noise = 0.0, signal = 0.0, forward = 0.0;
        int64_t sum = 0, codes = 0;
        for (int64_t i = 0; i < n; i++) {
            noise += (double)(w[i] - back[i]) * (double)(w[i] - back[i]);
            forward += (double)(w[i] - r.forward[i]) * (double)(w[i] - r.forward[i]);
            signal += (double)w[i] * (double)w[i];
            codes += r.codes[i];
            if (rule->bits == 4) assert_in_range(r.codes[i] + 8, 0, 15);
        }
        for (int64_t o = 0; o < out; o++) sum += r.row_sum[o];
        assert_true(sum == codes);
        const double least = rule->kind == GS_WEIGHT_NORMAL && rule->bits == 8  ? 5000.0
                             : rule->kind == GS_WEIGHT_LOWBIT                   ? 2000.0
                             : rule->bits == 8 && rule->kind == GS_WEIGHT_GROUP ? 10000.0
                                                                                : 15.0;
        if (signal < least * noise || signal < least * forward)
            fail_msg("rule %d: %g %g %g", k, signal, noise, forward);
        gs_sqnr sqnr = {0};
        const gs_weight_codes from = {.codes = r.codes, .scale = r.scale, .offset = r.offset, .scale_second = r.second};
        gs_weight_sqnr_add(&sqnr, &c, rule, out, in, w, &from);
        assert_true(fabs(sqnr.noise - noise) <= 1e-6 * noise && fabs(sqnr.signal - signal) <= 1e-9 * signal);
    }
    free(w);
    gs_compute_close(&c);
}

static uint64_t hash_of(const result *r, const gs_weight_rule *rule, int64_t out, int64_t in)
{
    const size_t columns = (size_t)(rule->kind == GS_WEIGHT_GROUP ? in / rule->group_size : 1), n = (size_t)out;
    uint64_t h = fixture_hash(r->codes, n * (size_t)in);
    h = h * 31 + fixture_hash(r->scale, n * columns * 4);
    h = h * 31 + fixture_hash(r->offset, n * columns * 4);
    h = h * 31 + fixture_hash(r->second, n * 4);
    h = h * 31 + fixture_hash(r->sums, n * 16);
    h = h * 31 + fixture_hash(r->forward, n * (size_t)in * 4);
    return h * 31 + fixture_hash(&r->stats, sizeof r->stats);
}

static void threads_and_chunks_do_not_show(void **state)
{
    (void)state;
    static result r;
    const int64_t out = 21, in = 192;
    static const int64_t chunk[] = {21, 1, 6, 20};
    float *w = fixture_data(KIND_HEAVY, out * in, 9, 0.3f, 0.001f);
    uint64_t first[RULES] = {0};
    for (int t = 0; t < 4; t++) {
        gs_compute c;
        fixture_compute(&c, t + 1);
        for (int k = 0; k < RULES; k++) {
            apply_in(&c, &every[k], out, in, chunk[t], w, &r);
            const uint64_t h = hash_of(&r, &every[k], out, in);
            if (t == 0) first[k] = h;
            if (h != first[k]) fail_msg("rule %d", k);
        }
        gs_compute_close(&c);
    }
    free(w);
}

/* forward may be the rows themselves. */
static void forward_in_place(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static result r;
    static float w[MOST];
    const int64_t out = 12, in = 192, n = out * in;
    float *data = fixture_data(KIND_HEAVY, n, 10, 0.3f, 0.001f);
    for (int k = 0; k < RULES; k++) {
        apply_in(&c, &every[k], out, in, out, data, &r);
        memcpy(w, data, (size_t)n * sizeof *w);
        int8_t codes[MOST];
        float scale[MOST], second[MOST];
        const gs_weight_codes to = {.codes = codes, .scale = scale, .scale_second = second, .forward = w};
        gs_weight_apply(&c, &every[k], &r.stats, out, in, w, &to);
        assert_memory_equal(codes, r.codes, (size_t)n);
        assert_memory_equal(w, r.forward, (size_t)n * sizeof *w);
    }
    free(data);
    gs_compute_close(&c);
}

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Selection by digits against sorting: wide, narrow (one top digit only), with ties, of zeros. */
static void kth_largest(void **state)
{
    (void)state;
    static float sorted[9000];
    for (int kind = 0; kind < 5; kind++) {
        const int64_t n = kind == 4 ? 9000 : 5 + 601 * kind;
        float *w = fixture_data(kind == 1 ? KIND_HEAVY : KIND_GAUSS, n, (uint64_t)kind + 3, 0.1f, 0.0f);
        for (int64_t i = 0; i < n; i++) {
            if (kind == 2) w[i] = rintf(w[i] * 50.0f);             /* ties, and zeros of both signs */
            if (kind == 4) w[i] = 1.0f + fabsf(w[i]) * 0.01f;      /* all share the top digit: too many to collect */
            if (kind == 3 && i % 3) w[i] = i % 2 ? 0.0f : -1e-44f; /* subnormal */
            sorted[i] = fabsf(w[i]);
        }
        qsort(sorted, (size_t)n, sizeof *sorted, falling);
        for (int64_t k = 1; k <= n; k += 1 + n / 61) assert_true(gs_row_kth(w, n, k) == sorted[k - 1]);
        assert_true(gs_row_kth(w, n, n) == sorted[n - 1]);
        free(w);
    }
    assert_int_equal(gs_outlier_count(0.01, 128), 1);
    assert_int_equal(gs_outlier_count(0.01, 99), 1);
    assert_int_equal(gs_outlier_count(0.05, 128), 6);
    assert_int_equal(gs_outlier_count(0.07, 100), 7);  /* 7.000000000000001 */
    assert_int_equal(gs_outlier_count(0.29, 100), 28); /* 28.999999999999996: as the script's product */
}

/* The threshold of a whole matrix against sorting: in one pass for bfloat16 values, in two otherwise. */
static void global_threshold(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 3);
    static float sorted[MOST];
    const int64_t out = 30, in = 101, n = out * in;
    for (int kind = 0; kind < 4; kind++) {
        float *w = fixture_data(KIND_HEAVY, n, (uint64_t)kind + 40, 0.5f, 0.0f);
        for (int64_t i = 0; i < n; i++) {
            if (kind == 0) w[i] = gs_bf16_to_f32(gs_f32_to_bf16(w[i]));
            if (kind == 2) w[i] = 1.0f + (float)i * 0x1p-23f; /* differ in the lower digit only */
            if (kind == 3) w[i] = i == 17 ? -0.25f : 0.0f;
            sorted[i] = fabsf(w[i]);
        }
        qsort(sorted, (size_t)n, sizeof *sorted, falling);
        source s = {.w = w, .in = in};
        gs_weight_stats stats;
        gs_error err = {0};
        const gs_weight_rule rule = {
            .kind = GS_WEIGHT_SPARSE_GLOBAL, .bits = 8, .sym = true, .fraction = 0.02, .mm_tensor = true};
        assert_int_equal(gs_weight_measure(&c, &rule, out, in, 8, rows_of, &s, &stats, &err), GS_OK);
        assert_true(stats.threshold == sorted[gs_outlier_count(0.02, n) - 1]);
        assert_true(stats.hi == stats.threshold && stats.lo == -stats.threshold && stats.peak == sorted[0]);
        assert_int_equal(s.calls, kind == 0 || kind == 3 ? 4 : 8);
        s.calls = 0;
        s.fail_at = 3;
        assert_int_equal(gs_weight_measure(&c, &rule, out, in, 8, rows_of, &s, &stats, &err), GS_ERR_FILE);
        assert_non_null(strstr(err.text, "the disk is gone"));
        free(w);
    }
    gs_compute_close(&c);
}

/* |w| / spread > sigma, decided by one comparison: exactly at the edge too. */
static void sigma_edge(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int t = 0; t < 300; t++) {
        float *w = fixture_data(KIND_GAUSS, 97, fixture_next(&seed) + 1, 0.02f, 0.0f);
        const gs_weight_rule rule = {
            .kind = GS_WEIGHT_SPARSE_ROW, .use_sigma = true, .sigma = 1.0 + (double)(t % 4), .sym = true};
        double mean = 0.0, square = 0.0;
        for (int i = 0; i < 97; i++) mean += (double)fabsf(w[i]) / 97.0;
        for (int i = 0; i < 97; i++) square += pow((double)fabsf(w[i]) - mean, 2.0);
        const float spread = sqrtf((float)(square / 96.0)), edge = gs_row_threshold(&rule, w, 97);
        assert_true(fabsf(edge / spread - (float)rule.sigma) < 1e-6f * (float)rule.sigma);
        free(w);
    }
    static const float same[8] = {2, -2, 2, 2, -2, 2, 2, 2}, none[3] = {0}, one[1] = {5};
    const gs_weight_rule rule = {.use_sigma = true, .sigma = 1.0};
    assert_true(isinf(gs_row_threshold(&rule, same, 8))); /* no spread: no outliers */
    assert_true(isinf(gs_row_threshold(&rule, none, 3)));
    assert_true(isinf(gs_row_threshold(&rule, one, 1)));
}

/* Where the reference divides 0 by 0. */
static void rows_of_nothing(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static result r;
    static float w[4 * 192], back[4 * 192];
    memset(w, 0, sizeof w);
    for (int i = 0; i < 192; i++) w[192 + i] = -0.75f; /* a constant row */
    w[2 * 192 + 5] = 3.0f;                             /* one value among zeros */
    for (int i = 0; i < 192; i++) w[3 * 192 + i] = 0.0625f + (i < 3 ? (float)i : 0.0f);
    for (int k = 0; k < RULES; k++) {
        apply_in(&c, &every[k], 4, 192, 4, w, &r);
        dequant(&c, &every[k], 4, 192, &r, back);
        const float coarse =
            every[k].mm_tensor || every[k].bits == 4 || every[k].kind == GS_WEIGHT_MERGED ? 0.3f : 0.1f;
        for (int i = 0; i < 4 * 192; i++) {
            assert_true(isfinite(r.forward[i]) && isfinite(back[i]));
            if (i < 192) assert_true(back[i] == 0.0f && r.forward[i] == 0.0f);
            if (i >= 192 && i < 384) assert_true(fabsf(back[i] + 0.75f) <= coarse);
            const bool clipped = every[k].kind == GS_WEIGHT_SPLIT && every[k].mm_tensor;
            if (i / 192 == 2 && !clipped) assert_true(fabsf(back[i] - w[i]) <= coarse);
        }
        const int scales = every[k].kind == GS_WEIGHT_GROUP ? 4 * 192 / every[k].group_size : 4;
        for (int i = 0; i < scales; i++)
            assert_true(r.scale[i] > 0.0f && isfinite(r.scale[i]) && isfinite(r.offset[i]));
        if (every[k].mm_tensor) continue;
        for (int i = scales / 4; i < scales / 2; i++) assert_true(fabsf(r.offset[i]) <= 128.0f); /* constants too */
    }
    gs_compute_close(&c);
}

/* Near the ends of float32 (a code may stand for half a step more than its value), and things that are not numbers: codes stay in range, nothing is touched outside. */
static void ends_of_float32(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static result r;
    static float w[6 * 64];
    static const float end[6] = {2.9e38f, 1e-45f, 1e-40f, NAN, INFINITY, 1e37f};
    for (int o = 0; o < 6; o++)
        for (int i = 0; i < 64; i++)
            w[o * 64 + i] = (i % 2 ? -1.0f : 1.0f) * (i % 7 == 3 ? 0.0f : end[o]) / (float)(1 + i % 3);
    for (int k = 0; k < RULES; k++) {
        apply_in(&c, &every[k], 6, 64, 6, w, &r);
        for (int i = 0; every[k].bits == 4 && i < 6 * 64; i++) assert_in_range(r.codes[i] + 8, 0, 15);
        const int columns = every[k].kind == GS_WEIGHT_GROUP ? 64 / every[k].group_size : 1;
        for (int o = 0; o < 6 && !every[k].mm_tensor && every[k].kind != GS_WEIGHT_SPARSE_GLOBAL; o++) {
            if (end[o] != end[o] || isinf(end[o])) continue;
            for (int i = 0; i < columns; i++)
                assert_true(r.scale[o * columns + i] > 0.0f && isfinite(r.scale[o * columns + i]));
            for (int i = 0; i < 64; i++)
                if (!isfinite(r.forward[o * 64 + i]))
                    fail_msg("rule %d row %d: %g from %g", k, o, (double)r.forward[o * 64 + i], (double)w[o * 64 + i]);
        }
    }
    gs_compute_close(&c);
}

/* One worked row each: outliers in their own steps, the second stage, the sums engines add. */
/* The product 127·A leaves float32 here; the outliers' scale is then the body's. */
static void huge_outliers(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static result r;
    float w[64];
    for (int i = 0; i < 64; i++) w[i] = i == 9 || i == 40 ? -3e38f : 3e37f;
    const gs_weight_rule rule = {.kind = GS_WEIGHT_SPARSE_ROW, .bits = 8, .sym = true, .fraction = 0.05};
    apply_in(&c, &rule, 1, 64, 1, w, &r); /* k = 3 */
    assert_true(r.scale[0] == 3e37f / 7.0f && r.codes[9] == -70 && r.codes[0] == 7);
    for (int i = 0; i < 64; i++) assert_true(fabsf(r.forward[i] - w[i]) <= 1e-6f * fabsf(w[i]));
    gs_compute_close(&c);
}

static void worked_rows(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static result r;
    static float w[100];
    for (int i = 0; i < 100; i++) w[i] = (float)(i % 15 - 7) * 0.5f;
    w[40] = -40.0f;
    w[41] = 200.0f;
    const gs_weight_rule sparse = {.kind = GS_WEIGHT_SPARSE_ROW, .bits = 8, .sym = true, .fraction = 0.03};
    apply_in(&c, &sparse, 1, 100, 1, w, &r); /* k = 3: the threshold is 3.5 */
    assert_true(r.scale[0] == 0.5f && r.codes[40] == -80 && r.codes[41] == 127);
    for (int i = 0; i < 40; i++) assert_int_equal(r.codes[i], i % 15 - 7);
    const gs_weight_rule clipped = {.kind = GS_WEIGHT_SPLIT, .bits = 4, .sym = true, .fraction = 0.03};
    apply_in(&c, &clipped, 1, 100, 1, w, &r);
    assert_true(r.codes[40] == -8 && r.codes[41] == 7 && r.forward[40] == -40.0f && r.forward[41] == 63.5f);
    /* The reference's steps of 0.5 would lose (200 - 3.5)²; held, the row has steps of 200/7. */
    gs_weight_rule held = clipped;
    held.holds_outliers = true;
    apply_in(&c, &held, 1, 100, 1, w, &r);
    assert_true(r.scale[0] == 200.0f / 7.0f && r.codes[41] == 7 && r.codes[40] == -1 && r.codes[0] == 0);
    assert_true(r.forward[41] == 7.0f * (200.0f / 7.0f));
    w[40] = -4.25f; /* 0.25 over the end of the body's codes, and … */
    w[41] = 4.5f;   /* … 1: less than steps of 4.5/7 lose in the other 98 */
    apply_in(&c, &held, 1, 100, 1, w, &r);
    assert_true(r.scale[0] == 0.5f && r.codes[40] == -8 && r.codes[41] == 7 && r.forward[41] == 3.5f);
    float two[64] = {0};
    two[0] = 119.0f;
    two[1] = -60.0f; /* 60/17 = 3.53 */
    two[33] = 17.0f; /* 17/7 rounds to 2; 8.5 is clamped to 7 */
    two[34] = -17.0f;
    const gs_weight_rule stages = {.kind = GS_WEIGHT_TWO_STAGE, .bits = 4, .sym = true, .group_size = 32};
    apply_in(&c, &stages, 1, 64, 1, two, &r);
    assert_true(r.scale[0] == 1.0f && r.second[0] == 17.0f && r.second[1] == 2.0f);
    assert_true(r.codes[0] == 7 && r.codes[1] == -4 && r.codes[33] == 7 && r.codes[34] == -8);
    assert_true(r.forward[1] == -68.0f);
    assert_true(r.sums[0] == 8.0f * 3.0f * 17.0f && r.sums[1] == 0.0f && r.sums[2] == -16.0f && r.sums[3] == 0.0f);
    gs_weight_rule merged = stages, compat = stages;
    merged.kind = GS_WEIGHT_MERGED;
    apply_in(&c, &merged, 1, 64, 1, two, &r);
    assert_true(r.codes[0] == 119 && r.codes[1] == -68 && r.codes[33] == 14 && r.codes[34] == -14);
    compat.forward_is_w = true;
    apply_in(&c, &compat, 1, 64, 1, two, &r);
    assert_memory_equal(r.forward, two, sizeof two);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_close), cmocka_unit_test(threads_and_chunks_do_not_show),
        cmocka_unit_test(forward_in_place), cmocka_unit_test(kth_largest),
        cmocka_unit_test(global_threshold), cmocka_unit_test(sigma_edge),
        cmocka_unit_test(rows_of_nothing),  cmocka_unit_test(ends_of_float32),
        cmocka_unit_test(worked_rows),      cmocka_unit_test(huge_outliers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
