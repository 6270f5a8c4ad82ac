/* Sums over the vocabulary in pieces against two passes over whole rows with the C library's functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/logits.h"

enum { TOKENS = 7, VOCAB = 1003, MODELS = 2 };

static float logits[1 + MODELS][TOKENS][VOCAB];
static int32_t target[TOKENS];
static uint64_t random_state = 88172645463325252u;

static double uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) * 0x1p-53;
}

/* Model 1 is near the float model, model 2 far from it; token 3 is alike everywhere, token 4 has one peak, token 5 is below 0. */
static void fill(void)
{
    for (int t = 0; t < TOKENS; t++) {
        target[t] = (int32_t)(uniform() * VOCAB);
        for (int i = 0; i < VOCAB; i++) {
            const double z = t == 3 ? 1.5 : 12 * uniform() - (t == 5 ? 60 : 6) + (t == 4 && i == 800 ? 40 : 0);
            logits[0][t][i] = (float)z;
            logits[1][t][i] = (float)(t == 3 ? z : z + 0.05 * (uniform() - 0.5));
            logits[2][t][i] = (float)(t == 3 ? z : 12 * uniform() - 6);
        }
    }
    target[6] = VOCAB - 1;
}

static double log_sum(const float *z)
{
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < VOCAB; i++) max = fmax(max, (double)z[i]);
    for (int i = 0; i < VOCAB; i++) sum += exp((double)z[i] - max);
    return max + log(sum);
}

static double true_kl(const float *p, const float *q)
{
    const double a = log_sum(p), b = log_sum(q);
    double sum = 0;
    for (int i = 0; i < VOCAB; i++) {
        const double lp = (double)p[i] - a, lq = (double)q[i] - b;
        sum += exp(lp) * (lp - lq);
    }
    return sum;
}

/* The whole vocabulary, `step` ids at a time, into sums[1 + MODELS][TOKENS]. */
static void run(int threads, int64_t step, gs_token_sums (*sums)[TOKENS])
{
    gs_compute c;
    gs_error err;
    static float piece[1 + MODELS][TOKENS * VOCAB];
    assert_int_equal(gs_compute_open(&c, threads, &err), GS_OK);
    for (int m = 0; m <= MODELS; m++)
        for (int t = 0; t < TOKENS; t++) gs_token_sums_init(&sums[m][t]);
    for (int64_t id0 = 0; id0 < VOCAB; id0 += step) {
        const int64_t n = VOCAB - id0 < step ? VOCAB - id0 : step;
        for (int m = 0; m <= MODELS; m++)
            for (int t = 0; t < TOKENS; t++) memcpy(piece[m] + t * n, logits[m][t] + id0, (size_t)n * sizeof(float));
        const float *served[MODELS] = {piece[1], piece[2]};
        gs_token_sums *served_sums[MODELS] = {sums[1], sums[2]};
        const gs_logits l = {TOKENS, id0, n, target, piece[0], served, MODELS, sums[0], served_sums};
        gs_logits_add(&c, &l);
    }
    gs_compute_close(&c);
}

static void against_two_passes(void **state)
{
    (void)state;
    static const int64_t steps[] = {VOCAB, 64, 300, 1, 2000};
    fill();
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        gs_token_sums sums[1 + MODELS][TOKENS], again[1 + MODELS][TOKENS];
        run(1, steps[k], sums);
        run(3, steps[k], again);
        assert_memory_equal(sums, again, sizeof sums);
        for (int t = 0; t < TOKENS; t++) {
            for (int m = 0; m <= MODELS; m++) {
                const float *z = logits[m][t];
                const double nll = log_sum(z) - (double)z[target[t]];
                assert_true(fabs(gs_token_nll(&sums[m][t]) - nll) < 1e-12 * (1 + fabs(nll)));
                if (m == 0) continue;
                const double kl = true_kl(logits[0][t], z);
                assert_true(fabs(gs_token_kl(&sums[0][t], &sums[m][t]) - kl) < 1e-12 * (1 + kl));
            }
            assert_true(t != 3 || gs_token_kl(&sums[0][t], &sums[2][t]) == 0);
        }
    }
}

static void five_most_likely(void **state)
{
    (void)state;
    gs_token_sums sums[1 + MODELS][TOKENS];
    fill();
    run(2, 100, sums);
    for (int m = 0; m <= MODELS; m++) {
        for (int t = 0; t < TOKENS; t++) {
            float z[VOCAB];
            memcpy(z, logits[m][t], sizeof z);
            for (int i = 0; i < GS_EVAL_TOP; i++) {
                int best = 0;
                for (int j = 1; j < VOCAB; j++)
                    if (z[j] > z[best]) best = j;
                assert_int_equal(sums[m][t].top_id[i], best);
                assert_true(sums[m][t].top[i] == z[best]);
                z[best] = -INFINITY;
            }
        }
    }
    assert_int_equal(sums[0][3].top_id[4], 4); /* equal ones: the first five */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_two_passes), cmocka_unit_test(five_most_likely)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
