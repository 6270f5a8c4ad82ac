/* Attention against a plain one in double; and the same bits on every rung, for every thread count, and however the queries
 * are cut into calls. SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include <math.h>

#include "kernels/elem.h"

typedef struct setting {
    int64_t length, heads, groups, d;
} setting;

/* q, k, v side by side in rows of one buffer, as the QKV product leaves them. */
typedef struct problem {
    setting s;
    int64_t stride, width;
    float *qkv;
    const float *q, *k, *v;
} problem;

static problem problem_new(setting s)
{
    problem p = {.s = s, .stride = (s.heads + 2 * s.groups) * s.d + 3, .width = s.heads * s.d};
    p.qkv = malloc((size_t)(p.stride * s.length) * sizeof(float));
    fill_normal(p.qkv, p.stride * s.length);
    p.q = p.qkv;
    p.k = p.q + p.width;
    p.v = p.k + s.groups * s.d;
    return p;
}

/* out: [width] of query t, size: sum of weight·|v|. Peaky scores, to make the running maximum move. */
static void plain_row(const problem *p, int64_t t, int64_t head, double *out, double *size, double *weight)
{
    const int64_t d = p->s.d, group = head / (p->s.heads / p->s.groups);
    const float *const q = p->q + t * p->stride + head * d;
    double top = -INFINITY, total = 0;
    for (int64_t s = 0; s <= t; s++) {
        double dot = 0;
        for (int64_t i = 0; i < d; i++) dot += (double)q[i] * p->k[s * p->stride + group * d + i];
        weight[s] = dot / sqrt((double)d);
        top = weight[s] > top ? weight[s] : top;
    }
    for (int64_t s = 0; s <= t; s++) total += weight[s] = exp(weight[s] - top);
    for (int64_t i = 0; i < d; i++) {
        out[i] = size[i] = 0;
        for (int64_t s = 0; s <= t; s++) {
            const double v = p->v[s * p->stride + group * d + i];
            out[i] += weight[s] / total * v;
            size[i] += weight[s] / total * fabs(v);
        }
    }
}

/* All rows of short sequences, some of long ones. */
static void check_against_plain(const problem *p, const float *out)
{
    double *const weight = malloc((size_t)p->s.length * sizeof(double));
    double want[256], size[256];
    const int64_t step = p->s.length > 200 ? p->s.length / 40 : 1;
    for (int64_t t = p->s.length - 1; t >= 0; t -= step)
        for (int64_t head = 0; head < p->s.heads; head++) {
            plain_row(p, t, head, want, size, weight);
            for (int64_t i = 0; i < p->s.d; i++) {
                const double got = out[t * p->width + head * p->s.d + i];
                if (!(fabs(got - want[i]) <= 1e-5 * size[i]))
                    fail_msg("length %lld, d %lld: query %lld head %lld: %.9g, expected %.9g", (long long)p->s.length,
                             (long long)p->s.d, (long long)t, (long long)head, got, want[i]);
            }
        }
    free(weight);
}

static void run(gs_compute *c, const problem *p, int64_t t0, int64_t rows, float *out, int64_t out_stride)
{
    gs_attention(c, rows, t0, p->q + t0 * p->stride, p->stride, p->k, p->v, p->stride, p->s.heads, p->s.groups, p->s.d,
                 out, out_stride);
}

static void check_setting(setting s)
{
    problem p = problem_new(s);
    const size_t bytes = (size_t)(s.length * p.width) * sizeof(float);
    float *const want = malloc(bytes);
    /* plain C is slow on long sequences: there the best rung is the reference, plain C does the last rows */
    const int top = s.length > 200 ? all.rungs - 1 : 0;
    run(&all.c[top][0], &p, 0, s.length, want, p.width);
    check_against_plain(&p, want);
    for (int rung = 0; rung < all.rungs; rung++)
        for (int t = 0; t < THREAD_COUNTS; t++) {
            const int64_t rows = s.length > 200 && rung == 0 ? 3 : s.length, first = s.length - rows;
            guarded out = guarded_new((size_t)(rows * p.width) * sizeof(float), 4);
            run(&all.c[rung][t], &p, first, rows, out.data, p.width);
            assert_memory_equal(out.data, want + first * p.width, out.bytes);
            guarded_free(&out);
        }
    /* cut into calls at odd places, with a wider output */
    gs_compute *const c = &all.c[all.rungs - 1][1];
    const int64_t wide = p.width + 7;
    float *const cut = calloc((size_t)(s.length * wide), sizeof(float));
    for (int64_t t = 0, rows; t < s.length; t += rows) {
        rows = 1 + random_below(s.length > 200 ? 300 : 40);
        if (rows > s.length - t) rows = s.length - t;
        run(c, &p, t, rows, cut + t * wide, wide);
    }
    for (int64_t t = 0; t < s.length; t++)
        assert_memory_equal(cut + t * wide, want + t * p.width, (size_t)p.width * sizeof(float));
    free(cut);
    free(want);
    free(p.qkv);
}

static void short_sequences(void **state)
{
    (void)state;
    const int64_t lengths[] = {1, 7, 64, 129};
    const setting heads[] = {{0, 4, 2, 16},   {0, 8, 2, 32}, {0, 4, 4, 128},
                             {0, 32, 2, 128}, {0, 6, 1, 33}, {0, 3, 3, 80}};
    for (int l = 0; l < 4; l++)
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
            check_setting((setting){lengths[l], heads[h].heads, heads[h].groups, heads[h].d});
}

static void long_sequences(void **state)
{
    (void)state;
    check_setting((setting){1000, 8, 2, 32});
#ifdef GS_EMULATED /* the other two take an emulator ten minutes */
    return;
#endif
    check_setting((setting){1000, 32, 2, 128});
    check_setting((setting){4000, 4, 2, 16});
}

/* More heads in a group than a task has rows, and a head wider than the context reserved for. */
static void unusual_heads(void **state)
{
    (void)state;
    check_setting((setting){70, 100, 1, 8});
    check_setting((setting){66, 2, 1, 250});
    enum { D = 1030, T = 3 };
    float qkv[T * 3 * D], out[T * D];
    fill_normal(qkv, T * 3 * D);
    for (int rung = 0; rung < all.rungs; rung++) {
        gs_attention(&all.c[rung][1], T, 0, qkv, 3 * D, qkv + D, qkv + 2 * D, 3 * D, 1, 1, D, out, D);
        assert_memory_equal(out, qkv + 2 * D, D * sizeof(float)); /* the first query sees only the first value */
    }
}

/* Scores so far apart that all weights but one vanish, rising and falling over the blocks. */
static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    for (int falling = 0; falling < 2; falling++) {
        problem p = problem_new((setting){200, 2, 1, 16});
        for (int64_t t = 0; t < 200; t++)
            for (int64_t i = 0; i < 16; i++) {
                p.qkv[t * p.stride + i] = p.qkv[t * p.stride + 16 + i] = 50.0f;
                p.qkv[t * p.stride + 32 + i] = falling ? 200.0f - (float)t : (float)t;
            }
        float *const out = malloc(200 * 32 * sizeof(float));
        for (int rung = 0; rung < all.rungs; rung++) {
            run(&all.c[rung][1], &p, 0, 200, out, 32);
            for (int64_t t = 0; t < 200; t++)
                assert_memory_equal(out + t * 32, p.v + (falling ? 0 : t) * p.stride, 16 * sizeof(float));
        }
        free(out);
        free(p.qkv);
    }
}

/* Lengths with keys left over from vectors, halved chains, more than one block, two or three queries in the last block. */
static void whole_sequences(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 34, 67, 200, 264, 515, 770};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        problem p = problem_new((setting){lengths[l], 8, 2, 32});
        const size_t bytes = (size_t)(lengths[l] * p.width) * sizeof(float);
        float *const want = malloc(bytes), *const out = malloc(bytes);
        for (int rung = 0; rung < all.rungs; rung++)
            for (int t = 0; t < THREAD_COUNTS; t++) {
                float *const to = rung + t ? out : want;
                gs_attention_whole(&all.c[rung][t], lengths[l], p.q, p.stride, p.k, p.v, p.stride, 8, 2, 32, to,
                                   p.width);
                assert_memory_equal(to, want, bytes);
            }
        check_against_plain(&p, want);
        run(&all.c[0][0], &p, 0, lengths[l], out, p.width);
        const bool differs = memcmp(out, want, bytes) != 0;
        assert_true(lengths[l] == 1 || lengths[l] == 2 || differs);
        free(out);
        free(want);
        free(p.qkv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_sequences),
        cmocka_unit_test(long_sequences),
        cmocka_unit_test(unusual_heads),
        cmocka_unit_test(whole_sequences),
        cmocka_unit_test(large_scores_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, contexts_open, contexts_close);
}
