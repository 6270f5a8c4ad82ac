/* The row-parallel linear: slices, each rank's own range and scales, the sum in rank order, the exchange.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/parallel.h"

#define RANKS   4
#define OUT     19
#define WIDTH   37
#define IN      (RANKS * WIDTH)
#define SAMPLES 4
static const int64_t start[SAMPLES + 1] = {0, 4, 5, 5, 12}; /* sample 2 is empty */
#define ROWS 12

typedef struct linear {
    float *w, *bias, *x;
    gs_parallel p;
    gs_parallel_work work;
} linear;

static gs_chunk chunk_of(int64_t at, int64_t count)
{
    return (gs_chunk){
        .first = at, .count = count, .row0 = start[at], .rows = start[at + count] - start[at], .start = start};
}

static void rank_weight(const linear *l, int rank, float *w)
{
    for (int o = 0; o < OUT; o++) memcpy(w + o * WIDTH, l->w + o * IN + rank * WIDTH, WIDTH * sizeof *w);
}

/* weight_only: the ranks multiply floats. */
static void make(linear *l, gs_compute *c, bool weight_only)
{
    gs_error err = {0};
    l->w = fixture_data(KIND_GAUSS, OUT * IN, 21, 0.1f, 0.0f);
    l->bias = fixture_data(KIND_UNIFORM, OUT, 22, 2.0f, 0.0f);
    l->x = fixture_data(KIND_GAUSS, ROWS * IN, 23, 1.0f, 0.3f);
    gs_parallel_init(&l->p, RANKS, OUT, IN);
    for (int r = 0; r < RANKS; r++) {
        gs_fake_linear *f = &l->p.rank[r];
        float w[OUT * WIDTH];
        int8_t codes[OUT * WIDTH];
        const float *bias = r == 0 ? l->bias : NULL;
        rank_weight(l, r, w);
        const gs_status status = weight_only
                                     ? gs_fake_init_weight_only(f, OUT, WIDTH, bias, &err)
                                     : gs_fake_init(f, OUT, WIDTH, GS_OBSERVE_MINMAX, false, GS_F32, bias, &err);
        if (status != GS_OK) fail_msg("%s", err.text);
        gs_weight_w8_sym(c, OUT, WIDTH, w, f->scale, codes);
        gs_fake_set_rows(f, c, 0, OUT, codes, w);
    }
    assert_int_equal(gs_parallel_work_init(&l->work, RANKS, OUT, IN, ROWS, true, &err), GS_OK);
}

static void release(linear *l)
{
    free(l->w);
    free(l->bias);
    free(l->x);
    gs_parallel_release(&l->p);
    gs_parallel_work_release(&l->work);
}

/* One rank of one sample by the definition: its own range, weight scales and codes. */
static void plain_rank(const linear *l, int rank, int64_t row, int64_t rows, gs_act_params act, float *y)
{
    for (int64_t t = row; t < row + rows; t++) {
        for (int o = 0; o < OUT; o++) {
            float peak = 0.0f;
            const float *w = l->w + o * IN + rank * WIDTH, *x = l->x + t * IN + rank * WIDTH;
            for (int i = 0; i < WIDTH; i++) peak = fmaxf(peak, fabsf(w[i]));
            const float scale = peak / 127.0f;
            int64_t sum = 0;
            for (int i = 0; i < WIDTH; i++) {
                const float q = fminf(fmaxf(rintf(x[i] / act.scale + act.zero), -128.0f), 127.0f);
                sum += ((int64_t)q - (int64_t)act.zero) * (int64_t)rintf(w[i] / scale);
            }
            const float v = (float)sum * (act.scale * scale);
            y[(t - row) * OUT + o] = rank == 0 ? v + l->bias[o] : v;
        }
    }
}

/* The mean over samples of each rank's least and greatest value. */
static gs_act_params plain_range(const linear *l, gs_compute *c, int rank, int64_t last)
{
    float low, high;
    gs_error err = {0};
    gs_observer *o = gs_observer_create(GS_OBSERVE_MINMAX, false);
    for (int64_t s = 0; s <= last; s++) {
        const int64_t rows = start[s + 1] - start[s];
        float part[ROWS * WIDTH];
        for (int64_t t = 0; t < rows; t++)
            memcpy(part + t * WIDTH, l->x + (start[s] + t) * IN + rank * WIDTH, WIDTH * sizeof *part);
        if (rows > 0) assert_int_equal(gs_observer_add(o, c, rows * WIDTH, part, &low, &high, &err), GS_OK);
    }
    gs_observer_free(o);
    return gs_act_asym8(low, high, GS_F32);
}

static void sum_in_rank_order(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        gs_compute c;
        linear l;
        gs_error err = {0};
        float want[ROWS * OUT], part[ROWS * OUT], y[ROWS * OUT];
        int8_t codes[ROWS * IN];
        fixture_compute(&c, threads);
        make(&l, &c, false);
        for (int64_t s = 0; s < SAMPLES; s++) {
            const int64_t row = start[s], rows = start[s + 1] - row;
            for (int r = 0; r < RANKS && rows > 0; r++) {
                plain_rank(&l, r, row, rows, plain_range(&l, &c, r, s), part);
                for (int64_t i = 0; i < rows * OUT; i++)
                    want[row * OUT + i] = r == 0 ? part[i] : want[row * OUT + i] + part[i];
            }
        }
        for (int64_t s = 0; s < SAMPLES; s += 2) {
            const gs_chunk chunk = chunk_of(s, 2);
            const float *x = l.x + chunk.row0 * IN;
            assert_int_equal(gs_parallel_observe(&l.p, &c, &chunk, x, &l.work, &err), GS_OK);
            for (int64_t r = 0; r < chunk.rows; r += 3) {
                const int64_t rows = chunk.rows - r < 3 ? chunk.rows - r : 3;
                assert_int_equal(gs_parallel_forward(&l.p, &c, &chunk, r, rows, x + r * IN, codes, &l.work,
                                                     y + (chunk.row0 + r) * OUT, &err),
                                 GS_OK);
            }
        }
        assert_memory_equal(y, want, sizeof y);
        release(&l);
        gs_compute_close(&c);
    }
}

/* The range of the undivided input is that of a linear that is not cut. */
static void whole_input(void **state)
{
    (void)state;
    gs_compute c;
    linear l;
    gs_error err = {0};
    float low, high;
    fixture_compute(&c, 1);
    make(&l, &c, false);
    l.p.whole = gs_observer_create(GS_OBSERVE_HISTOGRAM, false);
    gs_observer *o = gs_observer_create(GS_OBSERVE_HISTOGRAM, false);
    const gs_chunk all = chunk_of(0, SAMPLES);
    assert_int_equal(gs_parallel_observe(&l.p, &c, &all, l.x, &l.work, &err), GS_OK);
    for (int64_t s = 0; s < SAMPLES; s++)
        if (start[s + 1] > start[s])
            assert_int_equal(
                gs_observer_add(o, &c, (start[s + 1] - start[s]) * IN, l.x + start[s] * IN, &low, &high, &err), GS_OK);
    assert_true(l.p.xmin == low && l.p.xmax == high && low < high);
    l.x[11 * IN + 5] = INFINITY;
    assert_int_equal(gs_parallel_observe(&l.p, &c, &all, l.x, &l.work, &err), GS_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "card 0"));
    gs_observer_free(o);
    release(&l);
    gs_compute_close(&c);
}

typedef struct parts {
    float y[RANKS][ROWS * OUT];
} parts;

static gs_status give_part(void *ctx, int rank, int64_t row0, int64_t rows, float *y, gs_error *err)
{
    (void)err;
    memcpy(y, ((parts *)ctx)->y[rank] + row0 * OUT, (size_t)(rows * OUT) * sizeof *y);
    return GS_OK;
}

/* Every sample is exchanged by itself, whatever chunks they come in; float ranks take part like quantized ones. */
static void exchange_by_sample(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        const bool weight_only = kind & 1, per_rank = kind & 2;
        gs_compute c;
        linear l;
        gs_error err = {0};
        gs_comm m, n;
        int8_t codes[ROWS * IN];
        float want[ROWS * OUT];
        fixture_compute(&c, 2);
        make(&l, &c, weight_only);
        gs_comm_init(&m, RANKS, per_rank, OUT);
        gs_comm_init(&n, RANKS, per_rank, OUT);
        const gs_chunk all = chunk_of(0, SAMPLES);
        assert_int_equal(gs_parallel_observe(&l.p, &c, &all, l.x, &l.work, &err), GS_OK);
        assert_int_equal(gs_parallel_exchange(&l.p, &m, &c, &all, l.x, codes, &l.work, &err), GS_OK);
        for (int64_t s = 0; s < SAMPLES; s++) {
            parts part;
            const int64_t rows = start[s + 1] - start[s];
            for (int r = 0; r < RANKS; r++) {
                float slice[ROWS * WIDTH];
                gs_parallel_slice(&c, RANKS, r, rows, IN, l.x + start[s] * IN, slice);
                assert_int_equal(gs_fake_forward(&l.p.rank[r], &c, &all, start[s], rows, slice, codes, part.y[r], &err),
                                 GS_OK);
            }
            assert_int_equal(gs_comm_sample(&n, &c, rows, give_part, &part, &l.work.sums, want + start[s] * OUT, &err),
                             GS_OK);
        }
        assert_memory_equal(l.work.output.data, want, sizeof want);
        assert_memory_equal(m.peak, n.peak, (size_t)((m.n_scales + 1) * OUT) * sizeof *m.peak);
        gs_comm_release(&m);
        gs_comm_release(&n);
        release(&l);
        gs_compute_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sum_in_rank_order), cmocka_unit_test(whole_input),
                                       cmocka_unit_test(exchange_by_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
