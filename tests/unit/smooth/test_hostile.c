/* The methods on awkward data: channels without input, one row, one channel, constants, no weight, no memory; the same bytes
 * for any number of threads; screening finds what trying everything finds. SPDX-License-Identifier: Apache-2.0 */
#include "unit/smooth/fixture.h"

/* Runs a method on the group, checks that all scales are positive and finite. */
static gs_smooth_choice run(const gs_smoother *m, const made *made_data, bool compat, float *s)
{
    gs_smooth_group g = made_group(made_data);
    gs_smooth_choice choice;
    g.compat = compat;
    OK(m->scale(made_data->compute, &g, s, &choice, ERR));
    for (int64_t i = 0; i < made_data->in; i++)
        if (!(s[i] > 0 && s[i] < INFINITY)) fail_msg("%s: s[%d] = %g", m->name, (int)i, (double)s[i]);
    return choice;
}

static void dead_channels(void **state)
{
    gs_compute c;
    float s[90];
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 60, 90, 70, 21);
    for (int64_t row = 0; row < 60; row++) m.x[row * 90 + 5] = m.x[row * 90 + 60] = 0;
    for (int64_t o = 0; o < 70; o++) m.w[o * 90 + 33] = 0; /* a weight column without weight is no trouble either */
    made_finish(&m, 20, 0);
    for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
        gs_smooth_choice choice = run(*method, &m, false, s);
        assert_int_equal(choice.zero_channels, 2);
        assert_true(s[5] == 1 && s[60] == 1);
        choice = run(*method, &m, true, s);
        assert_int_equal(choice.zero_channels, 2);
        const char *const name = (*method)->name;
        if (strcmp(name, "m1") == 0 || strcmp(name, "m4") == 0) assert_true(s[5] == 1e-5f && s[60] == 1e-5f);
    }
    made_release(&m);
    gs_compute_close(&c);
}

static void small_shapes(void **state)
{
    static const struct {
        int64_t rows, sample, in, out;
    } shapes[] = {{1, 1, 50, 30}, {5, 1, 50, 30}, {10, 5, 1, 1}, {1, 1, 1, 1}, {3, 2, 2, 1}, {20, 7, 600, 3}};
    gs_compute c;
    float s[600];
    (void)state;
    OK(gs_compute_open(&c, 3, ERR));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int constant = 0; constant < 2; constant++) {
            made m = made_fill(&c, shapes[i].rows, shapes[i].in, shapes[i].out, i);
            if (constant)
                for (int64_t j = 0; j < m.rows * m.in; j++) m.x[j] = 3.0f;
            made_finish(&m, shapes[i].sample, 0);
            for (const gs_smoother *const *method = gs_smoothers; *method; method++) run(*method, &m, false, s);
            made_release(&m);
        }
    gs_compute_close(&c);
}

/* Values whose squares leave float32, and whose ratios do. */
static void extreme_values(void **state)
{
    gs_compute c;
    float s[64];
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    made m = made_fill(&c, 30, 64, 40, 4);
    for (int64_t row = 0; row < 30; row++) {
        m.x[row * 64 + 1] *= 1e25f;
        m.x[row * 64 + 2] *= 1e-38f;
    }
    for (int64_t o = 0; o < 40; o++) m.w[o * 64 + 3] *= 1e-30f;
    made_finish(&m, 30, 0);
    for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
        const gs_smooth_group g = made_group(&m);
        gs_smooth_choice choice;
        const gs_status status = (*method)->scale(&c, &g, s, &choice, ERR);
        if (status == GS_ERR_NUMERIC)
            assert_non_null(strstr(test_error.text, "channel "));
        else
            run(*method, &m, false, s);
    }
    made_release(&m);
    gs_compute_close(&c);
}

static void nothing_to_search_on(void **state)
{
    gs_compute c;
    gs_smooth_choice choice;
    float s[10];
    (void)state;
    OK(gs_compute_open(&c, 1, ERR));
    made m = made_fill(&c, 4, 10, 8, 2);
    made_finish(&m, 4, 0);
    m.stats.first_rows = m.stats.n_rows = 0;
    const gs_smooth_group g = made_group(&m);
    FAILS(gs_smoother_find("m3")->scale(&c, &g, s, &choice, ERR), GS_ERR_USAGE, "m3", "token");
    FAILS(gs_smoother_find("m6")->scale(&c, &g, s, &choice, ERR), GS_ERR_USAGE, "m6", "token");
    made_release(&m);
    gs_compute_close(&c);
}

static void out_of_memory(void **state)
{
    gs_compute c;
    gs_smooth_choice choice;
    float s[200];
    (void)state;
    OK(gs_compute_open(&c, 1, ERR));
    made m = made_fill(&c, 50, 200, 100, 2);
    made_finish(&m, 50, 0);
    const gs_smooth_group g = made_group(&m);
    for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
        if (strcmp((*method)->name, "m5") == 0) continue; /* needs none */
        bool done = false;
        for (uint64_t limit = 1000; !done; limit *= 2) { /* fails at a later point each time, and frees what it had */
            const uint64_t before = gs_buf_now();
            gs_buf_set_limit(before + limit);
            const gs_status status = (*method)->scale(&c, &g, s, &choice, ERR);
            gs_buf_set_limit(0);
            assert_true(status == GS_OK || status == GS_ERR_MEMORY);
            assert_int_equal(gs_buf_now(), before);
            assert_true(limit > 1000 || status == GS_ERR_MEMORY);
            done = status == GS_OK;
        }
    }
    made_release(&m);
    gs_compute_close(&c);
}

/* What the plan is told is enough. */
static void promised_memory(void **state)
{
    static const struct {
        int64_t rows, sample, in, out;
    } shapes[] = {{60, 60, 300, 900}, {1100, 400, 1030, 70}, {30, 30, 520, 5000}, {1, 1, 3, 2}, {1500, 1500, 64, 3000}};
    gs_compute c;
    float s[1030];
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int limit = 0; limit <= 2048; limit += 2048) {
            made m = made_fill(&c, shapes[i].rows, shapes[i].in, shapes[i].out, i);
            made_finish(&m, shapes[i].sample, limit);
            for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
                const size_t bytes = gs_smooth_bytes(*method, m.out, m.in, m.stats.first_rows, m.stats.n_rows);
                gs_buf_set_limit(gs_buf_now() + bytes);
                run(*method, &m, false, s);
                gs_buf_set_limit(0);
            }
            made_release(&m);
        }
    gs_compute_close(&c);
}

static void names(void **state)
{
    (void)state;
    assert_null(gs_smoother_find(""));
    assert_null(gs_smoother_find("m7"));
    assert_null(gs_smoother_find("m"));
    assert_null(gs_smoother_find(NULL));
    for (int i = 0; i < 6; i++) {
        const char name[] = {'m', (char)('1' + i), 0};
        assert_ptr_equal(gs_smoother_find(name), gs_smoothers[i]);
        assert_string_equal(gs_smoothers[i]->name, name);
    }
    assert_null(gs_smoothers[6]);
}

typedef struct result {
    float s[300], div[600];
    gs_smooth_choice choice, pair_choice;
} result;

static result *everything(int threads, const gs_smoother *method)
{
    gs_compute c;
    result *const r = test_calloc(1, sizeof *r);
    OK(gs_compute_open(&c, threads, ERR));
    made m = made_fill(&c, 1300, 300, 200, 31); /* enough rows for screening */
    made_finish(&m, 130, 1200);
    const gs_smooth_group g = made_group(&m);
    if (method->pairs) {
        const gs_smooth_pair p = {.producer = GS_QKV, .rows = 500, .heads = 15, .groups = 5, .head_dim = 20};
        OK(method->pair(&c, &g, &p, r->s, r->div, &r->pair_choice, ERR));
    }
    OK(method->scale(&c, &g, r->s, &r->choice, ERR));
    made_release(&m);
    gs_compute_close(&c);
    return r;
}

static void same_bytes_for_any_threads(void **state)
{
    static const int threads[] = {2, 3, 7};
    (void)state;
    for (const gs_smoother *const *method = gs_smoothers; *method; method++) {
        result *const one = everything(1, *method);
        for (int i = 0; i < 3; i++) {
            result *const many = everything(threads[i], *method);
            assert_memory_equal(one->s, many->s, sizeof one->s);
            assert_memory_equal(one->div, many->div, sizeof one->div);
            assert_memory_equal(&one->choice.loss_after, &many->choice.loss_after, sizeof(double));
            assert_memory_equal(&one->pair_choice.loss_after, &many->pair_choice.loss_after, sizeof(double));
            test_free(many);
        }
        test_free(one);
    }
}

/* With a row limit m6 tries most candidates on a part of the rows; what it takes is as good as what all rows find. */
static void screening(void **state)
{
    const gs_smoother *const m6 = gs_smoother_find("m6");
    float s[120];
    gs_compute c;
    (void)state;
    OK(gs_compute_open(&c, 2, ERR));
    for (uint64_t seed = 0; seed < 4; seed++) {
        made m = made_fill(&c, 1500, 120, 90, seed);
        made_finish(&m, 300, 1500);
        m.stats.row_limit = 0;
        const gs_smooth_choice full = run(m6, &m, false, s);
        m.stats.row_limit = 1500;
        const gs_smooth_choice quick = run(m6, &m, false, s);
        if (!(quick.loss_after <= full.loss_after * 1.01))
            fail_msg("loss %.6g instead of %.6g", quick.loss_after, full.loss_after);
        assert_true(quick.loss_before == full.loss_before);
        made_release(&m);
    }
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(dead_channels),
        cmocka_unit_test(small_shapes),
        cmocka_unit_test(extreme_values),
        cmocka_unit_test(nothing_to_search_on),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(promised_memory),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(screening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
