/* Transforms of a block: rows, biases and products of the smoothed weight, and the function that must not change.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "job/transform.h"

enum { HIDDEN = 24, OUT = 70, ROWS = 5 };

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state / 2147483648.0f;
}

typedef struct fixture {
    gs_compute c;
    gs_config config;
    gs_block b;
    float weight[OUT * HIDDEN], bias[OUT], norm[HIDDEN], x[ROWS * HIDDEN];
} fixture;

static void begin(fixture *f, bool with_bias)
{
    gs_error err = {0};
    uint32_t seed = 7;
    memset(f, 0, sizeof *f);
    assert_int_equal(gs_compute_open(&f->c, 2, &err), GS_OK);
    f->config.hidden = HIDDEN;
    f->b.config = &f->config;
    for (int i = 0; i < OUT * HIDDEN; i++) f->weight[i] = noise(&seed);
    for (int i = 0; i < OUT; i++) f->bias[i] = noise(&seed);
    for (int i = 0; i < HIDDEN; i++) f->norm[i] = 1 + noise(&seed) / 4;
    for (int i = 0; i < ROWS * HIDDEN; i++) f->x[i] = noise(&seed);
    f->b.norm[GS_NORM_INPUT] = f->norm;
    if (with_bias) f->b.bias[GS_QKV] = f->bias;
    assert_int_equal(gs_packed_alloc(&f->b.weight[GS_QKV], GS_PACK_F32, OUT, HIDDEN, "test", &err), GS_OK);
    gs_pack_rows(&f->c, &f->b.weight[GS_QKV], 0, OUT, f->weight);
}

static void end(fixture *f, gs_transform *t)
{
    gs_transform_release(t);
    gs_packed_release(&f->b.weight[GS_QKV]);
    gs_compute_close(&f->c);
}

/* What the norm gives for a row that was normalized to x: w·x + b. */
static void normed(const fixture *f, const gs_block *view, float *y)
{
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < HIDDEN; i++) {
            const float bias = view->norm_bias[GS_NORM_INPUT] ? view->norm_bias[GS_NORM_INPUT][i] : 0;
            y[t * HIDDEN + i] = view->norm[GS_NORM_INPUT][i] * f->x[t * HIDDEN + i] + bias;
        }
}

static void product(const fixture *f, const gs_block *view, const gs_transform *t, float *y)
{
    float x[ROWS * HIDDEN];
    gs_error err = {0};
    normed(f, view, x);
    assert_int_equal(gs_transform_linear(t, (gs_compute *)(uintptr_t)&f->c, &f->b, GS_QKV, ROWS, x, y, &err), GS_OK);
}

static void nothing_changes_without_a_transform(void **state)
{
    (void)state;
    fixture f;
    begin(&f, true);
    gs_transform t = {0};
    float rows[OUT * HIDDEN];
    gs_transform_rows(&t, &f.c, &f.b, GS_QKV, 0, OUT, rows);
    assert_memory_equal(rows, f.weight, sizeof rows);
    const gs_block view = gs_transform_view(&t, &f.b);
    assert_memory_equal(&view, &f.b, sizeof view);
    end(&f, &t);
}

static void norm_group_keeps_the_function(void **state)
{
    (void)state;
    fixture f;
    begin(&f, true);
    gs_transform none = {0}, t = {0};
    float s[HIDDEN], before[ROWS * OUT], after[ROWS * OUT];
    product(&f, &f.b, &none, before);
    for (int i = 0; i < HIDDEN; i++) s[i] = i % 5 == 0 ? 30.0f : 0.7f;
    gs_transform_norm(&t, &f.b, GS_NORM_INPUT, GS_QKV, s);
    const gs_block view = gs_transform_view(&t, &f.b);
    for (int i = 0; i < HIDDEN; i++) assert_true(view.norm[GS_NORM_INPUT][i] == f.norm[i] / s[i]);
    product(&f, &view, &t, after);
    for (int i = 0; i < ROWS * OUT; i++) assert_true(fabsf(after[i] - before[i]) < 2e-6f);
    end(&f, &t);
}

static void shift_moves_into_the_bias(void **state)
{
    (void)state;
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        fixture f;
        begin(&f, with_bias);
        gs_transform none = {0}, t = {0};
        float shift[HIDDEN], scale[HIDDEN], add[OUT] = {0}, before[ROWS * OUT], after[ROWS * OUT];
        product(&f, &f.b, &none, before);
        for (int i = 0; i < HIDDEN; i++) {
            shift[i] = 0.1f * (float)(i - 7);
            scale[i] = i % 3 ? 1.5f : 0.25f;
        }
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < HIDDEN; i++) add[o] += f.weight[o * HIDDEN + i] * shift[i];
        gs_transform_shift(&t, &f.b, GS_NORM_INPUT, GS_QKV, shift, add);
        gs_transform_norm(&t, &f.b, GS_NORM_INPUT, GS_QKV, scale);
        const gs_block view = gs_transform_view(&t, &f.b);
        assert_non_null(view.bias[GS_QKV]);
        product(&f, &view, &t, after);
        for (int i = 0; i < ROWS * OUT; i++) assert_true(fabsf(after[i] - before[i]) < 5e-6f);
        end(&f, &t);
    }
}

static void pair_divides_rows_and_bias(void **state)
{
    (void)state;
    fixture f;
    begin(&f, true);
    gs_error err = {0};
    assert_int_equal(gs_packed_alloc(&f.b.weight[GS_DENSE], GS_PACK_F32, 3, OUT, "test", &err), GS_OK);
    gs_transform none = {0}, t = {0};
    float s[OUT], div[OUT], rows[OUT * HIDDEN], before[ROWS * OUT], after[ROWS * OUT];
    product(&f, &f.b, &none, before);
    for (int i = 0; i < OUT; i++) s[i] = div[i] = i < 40 ? 1.0f : 2.0f + (float)i;
    gs_transform_pair(&t, &f.b, GS_QKV, GS_DENSE, s, div);
    gs_transform_rows(&t, &f.c, &f.b, GS_QKV, 0, OUT, rows);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < HIDDEN; i++) assert_true(rows[o * HIDDEN + i] == f.weight[o * HIDDEN + i] / div[o]);
    const gs_block view = gs_transform_view(&t, &f.b);
    product(&f, &view, &t, after);
    for (int i = 0; i < ROWS * OUT; i++) assert_true(fabsf(after[i] * div[i % OUT] - before[i]) < 2e-6f);
    for (int i = 0; i < OUT; i++) assert_true(t.column[GS_DENSE][i] == s[i]);
    gs_packed_release(&f.b.weight[GS_DENSE]);
    end(&f, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_without_a_transform),
        cmocka_unit_test(norm_group_keeps_the_function),
        cmocka_unit_test(shift_moves_into_the_bias),
        cmocka_unit_test(pair_divides_rows_and_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
