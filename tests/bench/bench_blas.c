/* Our float32 products against OpenBLAS's, in turns in one run, at the sizes of a GLM-4-9B block. OpenBLAS is loaded when this runs, so
 * nothing depends on it. Usage: bench_blas [ROUNDS [ROWS [WIDTH [cpu]]]]; cpu: one thread, by processor time; exit code 77 without OpenBLAS.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench.h"

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112, SHAPES = 4, MOST_ROUNDS = 99 };

typedef struct blas {
    void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                  const float *b, int ldb, float beta, float *c, int ldc);
    void (*set_threads)(int n);
    char *(*core)(void);
} blas;

static bool symbol(void *library, const char *name, void *function)
{
    void *const found = dlsym(library, name);
    memcpy(function, &found, sizeof found); /* ISO C has no cast from an object pointer to a function pointer */
    return found != NULL;
}

static bool blas_open(blas *b)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    void *library = NULL;
    for (int i = 0; i < 2 && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library && symbol(library, "cblas_sgemm", &b->sgemm) &&
           symbol(library, "openblas_set_num_threads", &b->set_threads) &&
           symbol(library, "openblas_get_corename", &b->core);
}

/* Best seconds; medians over the rounds of our share of the peak around it, and of their time over ours in the same round. */
typedef struct pair {
    double ours, theirs, share, ratio;
} pair;

/* Largest difference of the two results, relative to the largest value. */
static double distance(const float *x, const float *y, int64_t n)
{
    double most = 0, top = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (double)y[i];
        most = d > most ? d : -d > most ? -d : most;
        top = x[i] > top ? x[i] : top;
    }
    return most / top;
}

/* W is what the panels hold, row by row; the bias is added by us only, so theirs begins with it. */
static pair measure(const blas *theirs, gs_bench_context *x, gs_bench_product *p, const float *w, float *out,
                    int rounds)
{
    pair best = {1e9, 1e9, 0, 0};
    const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
    const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k;
    double share[MOST_ROUNDS], ratio[MOST_ROUNDS];
    theirs->set_threads(gs_pool_threads(x->compute.pool));
    for (int round = 0; round < rounds; round++) {
        for (int64_t i = 0; i < p->m; i++) memcpy(out + i * p->n, p->vectors.data, (size_t)p->n * sizeof *out);
        const double before = gs_bench_refresh_peak(x, GS_GEMM_F32);
        const double ours = gs_bench_product_run(p, x, p->m);
        const double after = gs_bench_refresh_peak(x, GS_GEMM_F32);
        const double start = gs_bench_now(x);
        theirs->sgemm(ROW_MAJOR, AS_IS, TRANSPOSED, m, n, k, 1.0f, p->a.data, k, w, k, 1.0f, out, n);
        const double seconds = gs_bench_now(x) - start;
        share[round] = operations / ours / (0.5 * (before + after));
        ratio[round] = seconds / ours;
        if (ours < best.ours) best.ours = ours;
        if (seconds < best.theirs) best.theirs = seconds;
    }
    best.share = gs_bench_median(share, rounds);
    best.ratio = gs_bench_median(ratio, rounds);
    const double d = distance(p->out.data, out, p->m * p->n);
    if (!(d < 1e-4)) {
        fprintf(stderr, "bench_blas: results differ by %g\n", d);
        exit(1);
    }
    return best;
}

static void print(const char *name, int threads, pair t, double operations)
{
    printf("  %-8s %7d  %8.1f %4.0f %%  %15.1f  %6.3f %6.3f\n", name, threads, operations / t.ours * 1e-9,
           100 * t.share, operations / t.theirs * 1e-9, t.ratio, t.theirs / t.ours);
    fflush(stdout);
}

static gs_status compare(gs_bench *b, const blas *theirs, gs_bench_context *x, int64_t m, int rounds, gs_error *err)
{
    const gs_bench_sizes *z = &b->sizes;
    const struct {
        const char *name;
        int64_t n, k;
    } shapes[SHAPES] = {{"qkv", z->qkv, z->hidden},
                        {"dense", z->hidden, z->hidden},
                        {"h_to_4h", 2 * z->ffn, z->hidden},
                        {"4h_to_h", z->hidden, z->ffn}};
    pair total[2] = {{0}};
    double operations = 0;
    for (int s = 0; s < SHAPES; s++) {
        gs_bench_product p;
        gs_buf w = {0}, out = {0};
        GS_TRY(gs_bench_product_init(&p, &x[0].compute, GS_PACK_F32, m, shapes[s].n, shapes[s].k, err));
        GS_TRY(gs_buf_alloc(&w, (size_t)(p.n * p.k) * sizeof(float), "plain weights", err));
        GS_TRY(gs_buf_alloc(&out, (size_t)(p.m * p.n) * sizeof(float), "a result", err));
        gs_unpack_rows(&x[0].compute, &p.w, 0, p.n, w.data);
        const double here = 2.0 * (double)p.m * (double)p.n * (double)p.k;
        operations += here;
        for (int t = 0; t < b->n_counts; t++) {
            const pair best = measure(theirs, &x[t], &p, w.data, out.data, rounds);
            total[t].ours += best.ours;
            total[t].theirs += best.theirs;
            total[t].share += here / best.share;
            total[t].ratio += here * best.ratio;
            print(shapes[s].name, b->counts[t], best, here);
        }
        gs_bench_product_release(&p);
        gs_buf_release(&w);
        gs_buf_release(&out);
    }
    for (int t = 0; t < b->n_counts; t++) {
        total[t].share = operations / total[t].share;
        total[t].ratio /= operations;
        print("block", b->counts[t], total[t], operations);
    }
    return GS_OK;
}

int main(int argc, char **argv)
{
    const int asked = argc > 1 ? atoi(argv[1]) : 5, rounds = asked < 1 ? 1 : asked > MOST_ROUNDS ? MOST_ROUNDS : asked;
    const int64_t m = argc > 2 ? atoll(argv[2]) : 512, width = argc > 3 ? atoll(argv[3]) : 4096;
    gs_bench b = {.counts = {1}, .n_counts = 1, .spec.threads = gs_usable_cpus()};
    gs_bench_context x[2] = {{0}};
    gs_error err = {0};
    blas theirs;
    if (!blas_open(&theirs)) {
        printf("bench_blas: skipped, OpenBLAS is not installed (Debian: libopenblas0)\n");
        return 77;
    }
    b.sizes = gs_bench_sizes_of(width);
    b.spec.by_cpu_time = argc > 4 && strcmp(argv[4], "cpu") == 0;
    if (b.spec.threads > 1 && !b.spec.by_cpu_time) b.counts[b.n_counts++] = b.spec.threads;
    gs_status status = gs_cpu_select(&b.spec.last, &err);
    for (int t = 0; t < b.n_counts && status == GS_OK; t++)
        status = gs_bench_open(&x[t], &b, b.spec.last, b.counts[t], &err);
    printf("float32, %lld rows, %d rounds; ours on %s, OpenBLAS's %s\n  %-8s %7s  %15s  %15s  %13s\n", (long long)m,
           rounds, gs_rung_name(b.spec.last), theirs.core(), "shape", "threads", "glmslim Gop/s", "OpenBLAS Gop/s",
           "ratio  best");
    if (status == GS_OK) status = compare(&b, &theirs, x, m, rounds, &err);
    if (status != GS_OK) fprintf(stderr, "bench_blas: %s\n", err.text);
    for (int t = 0; t < b.n_counts; t++) gs_bench_close(&x[t]);
    gs_free(b.peaks);
    return (int)status;
}
