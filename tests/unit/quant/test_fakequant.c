/* The fake-quantized linear against plain loops: parameters per sample, rows cut anywhere, chunks of any size.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/fakequant.h"

#define OUT     19
#define IN      37
#define SAMPLES 5
static const int64_t start[SAMPLES + 1] = {0, 4, 5, 5, 12, 20}; /* sample 2 is empty */
#define ROWS 20

typedef struct linear {
    float w[OUT * IN], bias[OUT];
    float x[ROWS * IN];
} linear;

static void linear_make(linear *l)
{
    float *w = fixture_data(KIND_GAUSS, OUT * IN, 11, 0.1f, 0.0f),
          *x = fixture_data(KIND_GAUSS, ROWS * IN, 12, 1.0f, 0.3f);
    float *b = fixture_data(KIND_UNIFORM, OUT, 13, 2.0f, 0.0f);
    memcpy(l->w, w, sizeof l->w);
    memcpy(l->x, x, sizeof l->x);
    memcpy(l->bias, b, sizeof l->bias);
    for (int64_t i = 5 * IN; i < 12 * IN; i++) l->x[i] *= 3.0f; /* sample 3 widens the range */
    free(w);
    free(x);
    free(b);
}

static void fake_make(gs_fake_linear *f, gs_compute *c, const linear *l, gs_observer_kind kind, gs_dtype round_scale,
                      const float *bias)
{
    gs_error err = {0};
    int8_t codes[OUT * IN];
    if (gs_fake_init(f, OUT, IN, kind, false, round_scale, bias, &err) != GS_OK) fail_msg("%s", err.text);
    gs_weight_w8_sym(c, OUT, IN, l->w, f->scale, codes);
    gs_pack_rows(c, &f->codes, 0, OUT, codes);
}

static gs_chunk chunk_of(int64_t first, int64_t count)
{
    return (gs_chunk){.first = first,
                      .count = count,
                      .row0 = start[first],
                      .rows = start[first + count] - start[first],
                      .start = start};
}

/* y of every row in one go, by the definition. */
static void expected_output(const linear *l, const gs_act_params act[SAMPLES], const float *bias, float *y)
{
    for (int s = 0; s < SAMPLES; s++) {
        for (int64_t r = start[s]; r < start[s + 1]; r++) {
            for (int o = 0; o < OUT; o++) {
                float peak = 0.0f;
                for (int i = 0; i < IN; i++) peak = fmaxf(peak, fabsf(l->w[o * IN + i]));
                const float scale = peak / 127.0f;
                int64_t sum = 0;
                for (int i = 0; i < IN; i++) {
                    const float q = rintf(l->x[r * IN + i] / act[s].scale + act[s].zero);
                    const int64_t code = (int64_t)fminf(fmaxf(q, -128.0f), 127.0f) - (int64_t)act[s].zero;
                    sum += code * (int64_t)rintf(l->w[o * IN + i] / scale);
                }
                const float v = (float)sum * (act[s].scale * scale);
                y[r * OUT + o] = bias ? v + bias[o] : v;
            }
        }
    }
}

static void expected_params(const linear *l, gs_compute *c, gs_observer_kind kind, gs_dtype round_scale,
                            gs_act_params *act)
{
    gs_observer *o = gs_observer_create(kind, false);
    for (int s = 0; s < SAMPLES; s++) {
        const int64_t n = (start[s + 1] - start[s]) * IN;
        if (s > 0) act[s] = act[s - 1];
        if (n == 0) continue;
        float a, b;
        gs_error err = {0};
        assert_int_equal(gs_observer_add(o, c, n, l->x + start[s] * IN, &a, &b, &err), GS_OK);
        act[s] = gs_act_asym8(a, b, round_scale);
    }
    gs_observer_free(o);
}

static void run(gs_compute *c, gs_observer_kind kind, gs_dtype round_scale, bool with_bias)
{
    static linear l;
    linear_make(&l);
    const float *bias = with_bias ? l.bias : NULL;
    gs_act_params act[SAMPLES];
    float expected[ROWS * OUT], y[ROWS * OUT];
    int8_t codes[ROWS * IN];
    expected_params(&l, c, kind, round_scale, act);
    expected_output(&l, act, bias, expected);
    static const int64_t cuts[] = {ROWS, 1, 3, 7};
    for (int64_t per_chunk = 1; per_chunk <= SAMPLES; per_chunk += 2) {
        gs_fake_linear f;
        fake_make(&f, c, &l, kind, round_scale, bias);
        for (int64_t s = 0; s < SAMPLES; s += per_chunk) {
            const gs_chunk chunk = chunk_of(s, per_chunk < SAMPLES - s ? per_chunk : SAMPLES - s);
            gs_error err = {0};
            const float *x = l.x + chunk.row0 * IN;
            assert_int_equal(gs_fake_observe(&f, c, &chunk, x, &err), GS_OK);
            for (int k = 0; k < 4; k++) {
                memset(y, 0xff, sizeof y);
                for (int64_t r = 0; r < chunk.rows; r += cuts[k]) {
                    const int64_t rows = cuts[k] < chunk.rows - r ? cuts[k] : chunk.rows - r;
                    assert_int_equal(gs_fake_forward(&f, c, &chunk, r, rows, x + r * IN, codes, y + r * OUT, &err),
                                     GS_OK);
                }
                assert_memory_equal(y, expected + chunk.row0 * OUT, (size_t)(chunk.rows * OUT) * sizeof *y);
            }
        }
        assert_true(f.act.scale == act[SAMPLES - 1].scale && f.act.zero == act[SAMPLES - 1].zero);
        assert_true(f.xmin < 0.0f && f.xmax > 0.0f && f.active);
        gs_fake_release(&f);
    }
}

static void equals_definition(void **state)
{
    (void)state;
    static const int threads[] = {1, 4};
    for (int t = 0; t < 2; t++) {
        gs_compute c;
        fixture_compute(&c, threads[t]);
        run(&c, GS_OBSERVE_MINMAX, GS_F32, true);
        run(&c, GS_OBSERVE_MINMAX, GS_BF16, false);
        run(&c, GS_OBSERVE_HISTOGRAM, GS_F32, false);
        run(&c, GS_OBSERVE_HISTOGRAM, GS_BF16, true);
        gs_compute_close(&c);
    }
}

/* Each token on its own scale, largest magnitude over 127; a token of zeros; any cut; nothing to observe first. */
static void tokens_of_their_own(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 3);
    static linear l;
    linear_make(&l);
    memset(l.x + 6 * IN, 0, IN * sizeof *l.x);
    float expected[ROWS * OUT], y[ROWS * OUT];
    for (int64_t r = 0; r < ROWS; r++) { /* as a static linear whose only sample is this row */
        gs_act_params act[SAMPLES] = {{0}};
        float peak = 0.0f;
        for (int i = 0; i < IN; i++) peak = fmaxf(peak, fabsf(l.x[r * IN + i]));
        for (int s = 0; s < SAMPLES; s++) act[s].scale = fmaxf(peak / 127.0f, GS_EPS);
        float all[ROWS * OUT];
        expected_output(&l, act, l.bias, all);
        memcpy(expected + r * OUT, all + r * OUT, OUT * sizeof *all);
    }
    gs_fake_linear f;
    gs_error err = {0};
    int8_t weight[OUT * IN], codes[ROWS * IN];
    assert_int_equal(gs_fake_init_per_token(&f, OUT, IN, l.bias, &err), GS_OK);
    gs_weight_w8_sym(&c, OUT, IN, l.w, f.scale, weight);
    gs_fake_set_rows(&f, &c, 0, OUT, weight, NULL);
    const gs_chunk chunk = chunk_of(0, SAMPLES);
    assert_int_equal(gs_fake_observe(&f, &c, &chunk, l.x, &err), GS_OK);
    for (int64_t cut = 1; cut <= ROWS; cut += 6)
        for (int64_t r = 0; r < ROWS; r += cut) {
            const int64_t n = cut < ROWS - r ? cut : ROWS - r;
            assert_int_equal(gs_fake_forward(&f, &c, &chunk, r, n, l.x + r * IN, codes, y + r * OUT, &err), GS_OK);
            assert_memory_equal(y + r * OUT, expected + r * OUT, (size_t)(n * OUT) * sizeof *y);
        }
    assert_int_equal(gs_fake_forward(&f, &c, &chunk, 15, 6, l.x, codes, y, &err), GS_ERR_UNSUPPORTED);
    gs_fake_release(&f);
    assert_int_equal(gs_fake_init_per_token(&f, 1, 65537, NULL, &err), GS_ERR_UNSUPPORTED);
    gs_fake_release(&f);
    gs_compute_close(&c);
}

/* One range for every row: what a static linear gives whose samples all have it. Any chunk will do. */
static void range_known_before(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 3);
    static linear l;
    linear_make(&l);
    float expected[ROWS * OUT], y[ROWS * OUT];
    gs_act_params act[SAMPLES];
    for (int s = 0; s < SAMPLES; s++) act[s] = gs_act_asym8(-2.0f, 3.0f, GS_BF16);
    expected_output(&l, act, l.bias, expected);
    gs_fake_linear f;
    gs_error err = {0};
    int8_t weight[OUT * IN], codes[ROWS * IN];
    assert_int_equal(gs_fake_init_fixed(&f, OUT, IN, act[0], l.bias, &err), GS_OK);
    gs_weight_w8_sym(&c, OUT, IN, l.w, f.scale, weight);
    gs_fake_set_rows(&f, &c, 0, OUT, weight, NULL);
    const gs_chunk any = {.rows = ROWS};
    for (int64_t r = 0; r < ROWS; r += 7) {
        const int64_t n = 7 < ROWS - r ? 7 : ROWS - r;
        assert_int_equal(gs_fake_forward(&f, &c, &any, r, n, l.x + r * IN, codes, y + r * OUT, &err), GS_OK);
    }
    assert_memory_equal(y, expected, sizeof y);
    gs_fake_release(&f);
    gs_compute_close(&c);
}

/* By group the reference multiplies what is left of the inputs: 0.5 beside a largest value of 1 becomes 0.49954676 (3, 7 and 6 steps),
 * nothing loses more than a last step, zeros stay. */
static void inputs_cut_down(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static const float w[4 * 4] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    static const float x[3 * 4] = {1.0f, 0.5f, -0.5f, 0.0f, 0, 0, 0, 0, -3.0f, 1e-6f, 2.0f, 0.7f};
    float y[3 * 4];
    int8_t codes[GS_FAKE_SCRATCH(3, 4, true)] __attribute__((aligned(64)));
    gs_fake_linear f;
    gs_error err = {0};
    assert_int_equal(gs_fake_init_weight_only(&f, 4, 4, NULL, &err), GS_OK);
    assert_int_equal(gs_fake_use_reference(&f, &err), GS_OK);
    gs_fake_set_rows(&f, &c, 0, 4, NULL, w);
    const gs_chunk any = {.rows = 3};
    assert_int_equal(gs_fake_forward(&f, &c, &any, 0, 3, x, codes, y, &err), GS_OK);
    assert_memory_equal(y, x, sizeof y);
    f.cut_inputs = true;
    assert_int_equal(gs_fake_forward(&f, &c, &any, 0, 3, x, codes, y, &err), GS_OK);
    assert_float_equal(y[1], 0.49954676f, 1e-6f);
    for (int i = 0; i < 12; i++) {
        const float step = (i < 4 ? 1.0f : 3.0f) * 1.001f / 1575.0f;
        assert_true(y[i] <= x[i] && x[i] - y[i] <= step * 1.001f);
        assert_true(x[i] != 0.0f || y[i] == 0.0f);
    }
    gs_fake_release(&f);
    gs_compute_close(&c);
}

/* The codes' offset is 0, and the step that of the largest magnitude. */
static void no_offset(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static linear l;
    linear_make(&l);
    gs_fake_linear f;
    gs_error err = {0};
    fake_make(&f, &c, &l, GS_OBSERVE_MINMAX, GS_F32, l.bias);
    f.symmetric = true;
    const gs_chunk chunk = chunk_of(0, SAMPLES);
    assert_int_equal(gs_fake_observe(&f, &c, &chunk, l.x, &err), GS_OK);
    assert_true(f.act.zero == 0.0f && f.act.scale == fmaxf(-f.xmin, f.xmax) / 127.0f);
    float expected[ROWS * OUT], y[ROWS * OUT];
    int8_t codes[ROWS * IN];
    expected_output(&l, f.sample, l.bias, expected);
    assert_int_equal(gs_fake_forward(&f, &c, &chunk, 0, ROWS, l.x, codes, y, &err), GS_OK);
    assert_memory_equal(y, expected, sizeof y);
    gs_fake_release(&f);
    gs_compute_close(&c);
}

static void refuses_bad_input(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 1);
    static linear l;
    linear_make(&l);
    gs_fake_linear f;
    gs_error err = {0};
    fake_make(&f, &c, &l, GS_OBSERVE_MINMAX, GS_F32, NULL);
    l.x[19 * IN + 3] = NAN;
    const gs_chunk chunk = chunk_of(3, 2);
    assert_int_equal(gs_fake_observe(&f, &c, &chunk, l.x + 5 * IN, &err), GS_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "sample 4"));
    float y[OUT];
    int8_t codes[IN];
    assert_int_equal(gs_fake_forward(&f, &c, &chunk, 15, 1, l.x, codes, y, &err), GS_ERR_UNSUPPORTED);
    gs_fake_release(&f);
    gs_fake_release(&f);
    assert_int_equal(gs_fake_init(&f, 1, 65537, GS_OBSERVE_MINMAX, false, GS_F32, NULL, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "65537"));
    gs_fake_release(&f);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_definition),  cmocka_unit_test(tokens_of_their_own),
                                       cmocka_unit_test(range_known_before), cmocka_unit_test(refuses_bad_input),
                                       cmocka_unit_test(inputs_cut_down),    cmocka_unit_test(no_offset)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
