/* What the tests of calib/ and quant/ share: the data generator that the fixtures of tests/data were made with (whole
 * numbers of a 64-bit linear congruential generator, then single float32 operations), a fixture reader and a hash.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEST_CALIB_FIXTURE_H
#define GS_TEST_CALIB_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/compute.h"

#define UNIT_HALF 8388608 /* 2^23 */

enum { KIND_UNIFORM, KIND_GAUSS, KIND_HEAVY, KIND_ONE_SIDED, KIND_CONSTANT, KIND_SPIKES, KIND_SMOOTH, KIND_TAILS };

static inline int64_t fixture_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(*state >> 40);
}

static inline float fixture_grid(int64_t i, int64_t n) { return (float)(2 * i + 1 - n) / (float)n; }

static inline float fixture_value(int kind, int64_t i, int64_t n, uint64_t *state, float scale)
{
    if (kind == KIND_CONSTANT) return scale;
    if (kind == KIND_GAUSS || kind == KIND_SPIKES) {
        int64_t sum = -4 * (int64_t)UNIT_HALF;
        for (int k = 0; k < 4; k++) sum += fixture_next(state);
        const float v = (float)sum * 0x1p-23f * scale;
        return kind == KIND_SPIKES && i % 977 == 0 ? v * 200.0f : v;
    }
    if (kind == KIND_SMOOTH || kind == KIND_TAILS) {
        const float t = fixture_grid(i, n);
        if (kind == KIND_TAILS) return t / (1.002f - t * t) * scale;
        const float t3 = t * t * t;
        return t3 * t3 * t3 * scale;
    }
    float t = (float)(fixture_next(state) - UNIT_HALF) * 0x1p-23f;
    if (kind == KIND_HEAVY) {
        const float t3 = t * t * t;
        t = t3 * t3 * t3;
    }
    if (kind == KIND_ONE_SIDED) t = fabsf(t);
    return t * scale;
}

/* [n] values, caller frees. */
static inline float *fixture_data(int kind, int64_t n, uint64_t seed, float scale, float offset)
{
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    uint64_t state = seed;
    for (int64_t i = 0; i < n; i++) x[i] = fixture_value(kind, i, n, &state, scale) + offset;
    return x;
}

/* Opens tests/data/<name> and skips the comment lines at its start. */
static inline FILE *fixture_open(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/tests/data/%s", GS_SOURCE_DIR, name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("cannot open %s", path);
    int c = getc(f);
    while (c == '#') {
        while (c != '\n' && c != EOF) c = getc(f);
        c = getc(f);
    }
    ungetc(c, f);
    return f;
}

/* "kind n seed scale offset" */
static inline float *fixture_read_sample(FILE *f, int64_t *n)
{
    int kind;
    long long count;
    unsigned long long seed;
    unsigned scale, offset;
    assert_int_equal(fscanf(f, "%d %lld %llu %x %x", &kind, &count, &seed, &scale, &offset), 5);
    *n = count;
    return fixture_data(kind, count, seed, gs_f32_from_bits(scale), gs_f32_from_bits(offset));
}

static inline uint64_t fixture_hash(const void *data, size_t bytes)
{
    const unsigned char *b = data;
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ b[i]) * 1099511628211u;
    return hash;
}

static inline void fixture_compute(gs_compute *c, int threads)
{
    gs_error err = {0};
    if (gs_compute_open(c, threads, &err) != GS_OK) fail_msg("%s", err.text);
}

#endif
