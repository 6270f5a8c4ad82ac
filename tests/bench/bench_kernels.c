/* Speed of the kernels at the sizes of a GLM-4-9B layer, next to the measured peak. Not a test: build and run by hand
 * (target bench_kernels; arguments: threads, rounds, gemm | elem | attention | all, clock | cpu, M). Each figure is the best
 * round, because other programs may be running; "cpu" counts processor time. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/elem.h"
#include "kernels/gemm.h"
#include "kernels/table.h"

static gs_compute c;
static int rounds = 5;
static double peak[GS_GEMM_KINDS];

static bool by_cpu_time; /* on a shared machine: processor seconds of all threads instead of the clock */

static double now(void)
{
    struct timespec t;
    if (!by_cpu_time) return gs_seconds();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / gs_pool_threads(c.pool);
}

/* By processor time one thread stands for all. */
static double peak_now(int kind)
{
    enum { STEPS = 500000 };
    if (!by_cpu_time) return gs_compute_peak(&c, (gs_gemm_kind)kind, 5);
    double best = 0;
    for (int i = 0; i < 5; i++) {
        const double start = now();
        const double done = kind == GS_GEMM_F32 ? c.kernels->peak_f32(STEPS) : c.kernels->peak_s8(STEPS);
        const double rate = done / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static void refresh_peaks(void)
{
    for (int kind = 0; kind < GS_GEMM_KINDS; kind++) {
        const double rate = peak_now(kind);
        if (rate > peak[kind]) peak[kind] = rate;
    }
}

static float *random_floats(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)((double)(state >> 8) / (1 << 24) * 4 - 2);
    }
    return x;
}

static double gemm_rate(gs_pack_kind kind, int64_t m, int64_t n, int64_t k)
{
    gs_packed p;
    if (gs_packed_alloc(&p, kind, n, k, "bench", NULL) != GS_OK) exit(1);
    const int64_t chunk = n < 1024 ? n : 1024;
    float *rows = random_floats(chunk * k), *a = random_floats(m * k), *bias = random_floats(n),
          *out = random_floats(m * n);
    int8_t *codes = malloc((size_t)(m * k));
    int32_t *zero = calloc((size_t)m, sizeof *zero);
    for (int64_t i = 0; i < m * k; i++) codes[i] = (int8_t)(a[i] * 60);
    if (kind == GS_PACK_S8)
        for (int64_t i = 0; i < chunk * k; i++) ((int8_t *)rows)[i] = (int8_t)(rows[i] * 60);
    if (kind == GS_PACK_BF16) gs_from_f32(GS_BF16, rows, rows, chunk * k);
    for (int64_t row = 0; row < n; row += chunk) gs_pack_rows(&c, &p, row, n - row < chunk ? n - row : chunk, rows);
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        const double start = now();
        if (kind == GS_PACK_S8)
            gs_gemm_s8(&c, &p, m, codes, k, bias, zero, bias, bias, out, n);
        else
            gs_gemm_f32(&c, &p, m, a, k, bias, out, n);
        const double seconds = now() - start;
        best = seconds < best ? seconds : best;
    }
    free(rows);
    free(a);
    free(bias);
    free(out);
    free(codes);
    free(zero);
    gs_packed_release(&p);
    return 2.0 * (double)m * (double)n * (double)k / best;
}

/* only_m: 0 = all */
static void bench_gemm(int64_t only_m)
{
    static const int64_t shapes[][2] = {{4608, 4096}, {4096, 4096}, {27392, 4096}, {4096, 13696}};
    static const int64_t ms[] = {1, 32, 83, 128, 512};
    static const char *const names[] = {"f32", "bf16", "s8"};
    for (int mi = 4; mi >= 0; mi--)
        for (int kind = 0; kind < 3; kind++) {
            const int work = kind == GS_PACK_S8 ? GS_GEMM_S8 : GS_GEMM_F32;
            double time = 0, total = 0;
            if (only_m && ms[mi] != only_m) continue;
            refresh_peaks();
            printf("M %4d %-4s", (int)ms[mi], names[kind]);
            for (int s = 0; s < 4; s++) {
                const double rate = gemm_rate((gs_pack_kind)kind, ms[mi], shapes[s][0], shapes[s][1]);
                const double ops = 2.0 * (double)(ms[mi] * shapes[s][0] * shapes[s][1]);
                total += ops;
                time += ops / rate;
                printf("  %4dx%-5d %6.1f", (int)shapes[s][0], (int)shapes[s][1], rate * 1e-9);
            }
            refresh_peaks();
            printf("   layer %6.1f G/s = %.1f %% of %.1f\n", total / time * 1e-9, 100 * total / time / peak[work],
                   peak[work] * 1e-9);
        }
}

enum { T = 512, H = 4096, F = 13696 };
static float *big, *big2;
static float low[F], high[F];

static void do_rmsnorm(void) { gs_rmsnorm(&c, T, H, big, big2, NULL, 1e-5f, big2 + H); }
static void do_swiglu(void) { gs_swiglu(&c, T, F, big, big2); }
static void do_add(void) { gs_add(&c, (int64_t)T * H, big, big2); }
static void do_minmax(void)
{
    bool finite;
    gs_minmax(&c, (int64_t)T * H, big, low, high, &finite);
}
static void do_column(void) { gs_column_minmax(&c, T, H, big, H, low, high); }
static void do_quantize(void) { gs_quantize_s8(&c, (int64_t)T * H, big, 0.03f, 3, (int8_t *)big2); }
static void do_histogram(void)
{
    static int64_t counts[2048];
    gs_histogram(&c, (int64_t)T * H, big, -2, 2, 2048, counts);
}
static void do_sums(void)
{
    double s, ss;
    gs_sum_squares(&c, T, H, big, low, &s, &ss);
}
static gs_rope rope;
static void do_rope(void) { gs_rope_apply(&c, &rope, T, big, 4608, 34, 128, 0); }

static void bench_elem(void)
{
    static const struct {
        const char *name;
        void (*fn)(void);
        double n;
    } table[] = {
        {"rmsnorm", do_rmsnorm, (double)T * H},
        {"swiglu", do_swiglu, (double)T * F},
        {"add", do_add, (double)T * H},
        {"minmax", do_minmax, (double)T * H},
        {"column_minmax", do_column, (double)T * H},
        {"quantize_s8", do_quantize, (double)T * H},
        {"histogram", do_histogram, (double)T * H},
        {"sum_squares", do_sums, (double)T * H},
        {"rope", do_rope, (double)T * 34 * 64},
    };
    big = random_floats((int64_t)T * 2 * F);
    big2 = random_floats((int64_t)T * 2 * F);
    if (gs_rope_init(&rope, T, 64, 1e4, NULL) != GS_OK) exit(1);
    refresh_peaks();
    const double layer = 2.0 * T * (4608.0 * H + (double)H * H + 3.0 * F * H) / peak[GS_GEMM_F32]; /* seconds at peak */
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double best = 1e9;
        for (int r = 0; r < rounds * 4; r++) {
            const double start = now();
            table[i].fn();
            const double seconds = now() - start;
            best = seconds < best ? seconds : best;
        }
        printf("%-14s %8.3f ms  %6.3f ns per value  %.3f %% of a layer's products\n", table[i].name, best * 1e3,
               best / table[i].n * 1e9, 100 * best / layer);
    }
    gs_rope_release(&rope);
}

static void bench_attention(void)
{
    static const int lengths[] = {83, 512, 2048};
    refresh_peaks();
    for (int l = 0; l < 3; l++) {
        const int64_t n = lengths[l], width = 4608;
        float *qkv = random_floats(n * width), *out = random_floats(n * 4096);
        double best = 1e9;
        for (int r = 0; r < rounds; r++) {
            const double start = now();
            gs_attention(&c, n, 0, qkv, width, qkv + 4096, qkv + 4352, width, 32, 2, 128, out, 4096);
            const double seconds = now() - start;
            best = seconds < best ? seconds : best;
        }
        const double rate = 4.0 * 4096 * (double)n * (double)(n + 1) / 2 / best;
        printf("attention %4d: %8.2f ms, %6.1f GFLOP/s of the causal half = %.0f %% of peak\n", (int)n, best * 1e3,
               rate * 1e-9, 100 * rate / peak[GS_GEMM_F32]);
        free(qkv);
        free(out);
    }
}

int main(int argc, char **argv)
{
    const char *const what = argc > 3 ? argv[3] : "all";
    const bool everything = strcmp(what, "all") == 0;
    gs_error err;
    if (argc > 2) rounds = atoi(argv[2]);
    by_cpu_time = argc > 4 && strcmp(argv[4], "cpu") == 0;
    const double start = gs_seconds();
    if (gs_compute_open(&c, argc > 1 ? atoi(argv[1]) : 0, &err) != GS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("rung %s, %d threads, opened in %.2f ms\n", gs_rung_name(c.rung), gs_pool_threads(c.pool),
           (gs_seconds() - start) * 1e3);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (everything || strcmp(what, "elem") == 0) bench_elem();
    if (everything || strcmp(what, "attention") == 0) bench_attention();
    if (everything || strcmp(what, "gemm") == 0) bench_gemm(argc > 5 ? atoi(argv[5]) : 0);
    gs_compute_close(&c);
    return 0;
}
