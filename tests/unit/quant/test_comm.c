/* Communication quantization: numbers computed by hand, guards, running maxima, and no trace of tiles or threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/comm.h"

/* Partial outputs from memory: y[rank] is [rows, out]. */
typedef struct partials {
    const float *y[16];
    int64_t out;
    int calls;
} partials;

static gs_status from_memory(void *ctx, int rank, int64_t row0, int64_t rows, float *y, gs_error *err)
{
    partials *p = ctx;
    (void)err;
    p->calls++;
    memcpy(y, p->y[rank] + row0 * p->out, (size_t)(rows * p->out) * sizeof *y);
    return GS_OK;
}

static void sample(gs_comm *m, gs_compute *c, int64_t rows, partials *p, float *y)
{
    gs_error err = {0};
    gs_buf work = {0};
    assert_int_equal(gs_buf_alloc(&work, gs_comm_work_bytes(m->ranks, m->out, rows), "test", &err), GS_OK);
    if (gs_comm_sample(m, c, rows, from_memory, p, &work, y, &err) != GS_OK) fail_msg("%s", err.text);
    gs_buf_release(&work);
}

/* Two ranks, two tokens, three channels; the last one is 0 everywhere. */
static const float first[6] = {127.0f, 0.5f, 0.0f, -63.5f, 127.0f, 0.0f};
static const float second[6] = {254.0f, 2.0f, 0.0f, 3.0f, -1.0f, 0.0f};

static void by_hand_shared(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm m;
    float y[6], scale[3];
    partials p = {.y = {first, second}, .out = 3};
    fixture_compute(&c, 1);
    gs_comm_init(&m, 2, false, 3);
    sample(&m, &c, 2, &p, y);
    /* Channel 0: the larger maximum 254, step 2: 127 -> 63.5 -> 64 (half to even) = 128; -63.5 -> -31.75 -> -32 = -64;
     * 254 = 254; 3 -> 1.5 -> 2 = 4. Sums 382 and -60; g = 382: -60 / (382/127) = -19.947 -> -20. */
    const float g0 = 382.0f / 127.0f;
    assert_true(y[0] == 127.0f * g0 && y[3] == -20.0f * g0);
    /* Channel 1: maximum 127, step 1: 0.5 -> 0, 127; 2, -1. Sums 2 and 126; 2 / (126/127) = 2.016 -> 2. */
    const float g1 = 126.0f / 127.0f;
    assert_true(y[1] == 2.0f * g1 && y[4] == 127.0f * g1);
    assert_true(y[2] == 0.0f && y[5] == 0.0f);
    gs_comm_reduce_scale(&m, 0, scale);
    assert_true(scale[0] == 2.0f && scale[1] == 1.0f && scale[2] == GS_EPS);
    gs_comm_gather_scale(&m, scale);
    assert_true(scale[0] == g0 && scale[1] == g1 && scale[2] == GS_EPS);
    assert_int_equal(p.calls, 2); /* kept, not asked for twice */
    gs_comm_release(&m);
    gs_compute_close(&c);
}

static void by_hand_per_rank(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm m;
    float y[6], scale[3];
    partials p = {.y = {first, second}, .out = 3};
    fixture_compute(&c, 1);
    gs_comm_init(&m, 2, true, 3);
    sample(&m, &c, 2, &p, y);
    /* Channel 0: rank 0 in steps of 1: 127, -63.5 -> -64; rank 1 in steps of 2: 254, 4. Sums 381, -60; step of the gather 3. */
    assert_true(y[0] == 381.0f && y[3] == -60.0f);
    /* Channel 1: rank 0: 0, 127; rank 1, maximum 2: 2, -1 -> -63.5 -> -64. */
    const float s = 2.0f / 127.0f, sum = 127.0f + -64.0f * s, g = sum / 127.0f;
    assert_true(y[1] == rintf(127.0f * s / g) * g && y[4] == 127.0f * g);
    gs_comm_reduce_scale(&m, 0, scale);
    assert_true(scale[0] == 1.0f && scale[1] == 1.0f && scale[2] == GS_EPS);
    gs_comm_reduce_scale(&m, 1, scale);
    assert_true(scale[0] == 2.0f && scale[1] == s);
    gs_comm_gather_scale(&m, scale);
    assert_true(scale[0] == 3.0f && scale[1] == g);
    gs_comm_release(&m);
    gs_compute_close(&c);
}

/* Each sample is computed with its own maxima; the largest are saved. */
static void samples_do_not_mix(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm alone, both;
    float y[6], after[6], scale[3];
    float large[6];
    for (int i = 0; i < 6; i++) large[i] = 10.0f * first[i];
    partials p = {.y = {first, second}, .out = 3}, q = {.y = {large, second}, .out = 3};
    fixture_compute(&c, 2);
    gs_comm_init(&alone, 2, false, 3);
    gs_comm_init(&both, 2, false, 3);
    sample(&alone, &c, 2, &p, y);
    sample(&both, &c, 2, &q, after);
    sample(&both, &c, 2, &p, after);
    assert_memory_equal(y, after, sizeof y);
    gs_comm_reduce_scale(&both, 0, scale);
    assert_true(scale[0] == 10.0f && scale[1] == 10.0f);
    sample(&alone, &c, 0, &p, after); /* an empty sample changes nothing */
    gs_comm_reduce_scale(&alone, 0, scale);
    assert_true(scale[0] == 2.0f);
    gs_comm_release(&alone);
    gs_comm_release(&both);
    gs_compute_close(&c);
}

/* NaN and infinity reach the output, where the block's check finds them. */
static void broken_values_show(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm m;
    float y[6], a[6] = {NAN, 1.0f, NAN, 2.0f, INFINITY, NAN}, b[6] = {1.0f, 1.0f, 0.0f, 1.0f, 1.0f, 0.0f};
    partials p = {.y = {a, b}, .out = 3};
    fixture_compute(&c, 1);
    for (int per_rank = 0; per_rank < 2; per_rank++) {
        gs_comm_init(&m, 2, per_rank, 3);
        sample(&m, &c, 2, &p, y);
        assert_true(isnan(y[0]) && !isfinite(y[1]) && isnan(y[2]) && isfinite(y[3]) && !isfinite(y[4]) && isnan(y[5]));
        gs_comm_release(&m);
    }
    gs_compute_close(&c);
}

static void one_card_counts_maxima(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm m;
    float reduce[3], gather[3];
    fixture_compute(&c, 1);
    gs_comm_init(&m, 1, false, 3);
    gs_comm_add(&m, &c, 2, first);
    gs_comm_add(&m, &c, 2, second);
    gs_comm_reduce_scale(&m, 0, reduce);
    gs_comm_gather_scale(&m, gather);
    assert_true(reduce[0] == 2.0f && reduce[1] == 1.0f && reduce[2] == GS_EPS);
    assert_memory_equal(reduce, gather, sizeof reduce);
    gs_comm_release(&m);
    gs_compute_close(&c);
}

/* The definition in plain loops. */
static void plain(int ranks, bool per_rank, int64_t rows, int64_t out, const partials *p, float *y)
{
    for (int64_t o = 0; o < out; o++) {
        float peak[16] = {0}, gather = 0.0f;
        for (int r = 0; r < ranks; r++)
            for (int64_t t = 0; t < rows; t++)
                peak[per_rank ? r : 0] = fmaxf(peak[per_rank ? r : 0], fabsf(p->y[r][t * out + o]));
        for (int64_t t = 0; t < rows; t++) {
            float sum = 0.0f;
            for (int r = 0; r < ranks; r++) {
                const float s = peak[per_rank ? r : 0] / 127.0f;
                if (s > 0.0f) sum += fminf(fmaxf(rintf(p->y[r][t * out + o] / s), -127.0f), 127.0f) * s;
            }
            y[t * out + o] = sum;
            gather = fmaxf(gather, fabsf(sum));
        }
        const float s = gather / 127.0f;
        for (int64_t t = 0; t < rows && s > 0.0f; t++)
            y[t * out + o] = fminf(fmaxf(rintf(y[t * out + o] / s), -127.0f), 127.0f) * s + 0.0f; /* no -0 */
    }
}

/* More rows than are kept: the rest is asked for again, with the same result. */
static void tiles_and_threads_do_not_show(void **state)
{
    (void)state;
    enum { RANKS = 16, OUT = 1031, ROWS = 1100 };
    float *data[RANKS], *want = malloc(sizeof(float) * ROWS * OUT), *y = malloc(sizeof(float) * ROWS * OUT);
    partials p = {.out = OUT};
    assert_true(want && y);
    for (int r = 0; r < RANKS; r++)
        p.y[r] = data[r] = fixture_data(KIND_GAUSS, (int64_t)ROWS * OUT, 5 + (uint64_t)r, 1.0f, 0.0f);
    for (int per_rank = 0; per_rank < 2; per_rank++) {
        plain(RANKS, per_rank, ROWS, OUT, &p, want);
        for (int threads = 1; threads <= 3; threads += 2) {
            gs_compute c;
            gs_comm m;
            fixture_compute(&c, threads);
            gs_comm_init(&m, RANKS, per_rank, OUT);
            p.calls = 0;
            memset(y, 0xff, sizeof(float) * ROWS * OUT);
            sample(&m, &c, ROWS, &p, y);
            assert_memory_equal(y, want, sizeof(float) * ROWS * OUT);
            assert_int_equal(p.calls, RANKS * 5); /* three tiles, the last two twice: 512 rows are kept */
            gs_comm_release(&m);
            gs_compute_close(&c);
        }
    }
    for (int r = 0; r < RANKS; r++) free(data[r]);
    free(want);
    free(y);
}

static gs_status fails(void *ctx, int rank, int64_t row0, int64_t rows, float *y, gs_error *err)
{
    (void)ctx, (void)row0, (void)rows, (void)y;
    return gs_fail(err, GS_ERR_NUMERIC, "rank %d", rank);
}

static void errors_come_back(void **state)
{
    (void)state;
    gs_compute c;
    gs_comm m;
    gs_error err = {0};
    gs_buf work = {0};
    float y[6];
    fixture_compute(&c, 1);
    gs_comm_init(&m, 2, false, 3);
    assert_int_equal(gs_comm_sample(&m, &c, 2, fails, NULL, &work, y, &err), GS_ERR_MEMORY);
    assert_int_equal(gs_buf_alloc(&work, gs_comm_work_bytes(2, 3, 2), "test", &err), GS_OK);
    assert_int_equal(gs_comm_sample(&m, &c, 2, fails, NULL, &work, y, &err), GS_ERR_NUMERIC);
    gs_buf_release(&work);
    gs_comm_release(&m);
    gs_comm_release(&m);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand_shared),         cmocka_unit_test(by_hand_per_rank),
        cmocka_unit_test(samples_do_not_mix),     cmocka_unit_test(broken_values_show),
        cmocka_unit_test(one_card_counts_maxima), cmocka_unit_test(tiles_and_threads_do_not_show),
        cmocka_unit_test(errors_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
