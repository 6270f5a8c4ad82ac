/* Shared by the kernel tests: random values, buffers with guards, and a loop over rungs and thread counts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TESTS_KERNELS_HELPERS_H
#define GS_TESTS_KERNELS_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/compute.h"

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

/* Roughly normal, sigma 1. */
static inline float random_normal(void)
{
    double sum = 0;
    for (int i = 0; i < 6; i++) sum += random_u32() * (1.0 / 4294967296.0);
    return (float)((sum - 3.0) * 1.41421356);
}

static inline int64_t random_below(int64_t n) { return (int64_t)(random_u32() % (uint32_t)n); }

static inline void fill_normal(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = random_normal();
}

static inline void fill_codes(int8_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (int8_t)(random_u32() >> 24);
}

/* `bytes` at an address that is `skew` past a multiple of 64, between guards of 64 bytes. */
typedef struct guarded {
    unsigned char *base;
    size_t bytes, skew;
    void *data;
} guarded;

enum { GUARD = 64, GUARD_BYTE = 0xa5 };

static inline guarded guarded_new(size_t bytes, size_t skew)
{
    guarded g = {.bytes = bytes, .skew = skew};
    const size_t total = (bytes + skew + 2 * GUARD + 63) / 64 * 64;
    g.base = aligned_alloc(64, total);
    assert_non_null(g.base);
    memset(g.base, GUARD_BYTE, total);
    g.data = g.base + GUARD + skew;
    return g;
}

static inline void guarded_check(const guarded *g)
{
    for (size_t i = 0; i < GUARD + g->skew; i++) assert_int_equal(g->base[i], GUARD_BYTE);
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(g->base[GUARD + g->skew + g->bytes + i], GUARD_BYTE);
}

static inline void guarded_free(guarded *g)
{
    guarded_check(g);
    free(g->base);
}

static const int thread_counts[] = {1, 2, 5};
enum { THREAD_COUNTS = 3 };

/* One context per rung this machine has and thread count; rungs it lacks are named once. */
typedef struct contexts {
    gs_compute c[GS_RUNG_COUNT][THREAD_COUNTS];
    int rungs;
} contexts;

static contexts all;

static inline int contexts_open(void **state)
{
    (void)state;
    all.rungs = (int)gs_cpu_best() + 1;
    for (int rung = 0; rung < GS_RUNG_COUNT; rung++) {
        if (rung >= all.rungs) {
            print_message("skipped: this processor has no %s\n", gs_rung_name((gs_rung)rung));
            continue;
        }
        for (int t = 0; t < THREAD_COUNTS; t++) {
            gs_error err;
            if (gs_compute_open_rung(&all.c[rung][t], thread_counts[t], (gs_rung)rung, &err) != GS_OK) return 1;
        }
    }
    return 0;
}

static inline int contexts_close(void **state)
{
    (void)state;
    for (int rung = 0; rung < all.rungs; rung++)
        for (int t = 0; t < THREAD_COUNTS; t++) gs_compute_close(&all.c[rung][t]);
    return 0;
}

#endif
