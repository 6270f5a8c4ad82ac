/* Everything in a block that is not a matrix product, as bytes per second and as a share of the products' time in a pass of 30,000
 * tokens. Data of 512 rows is too much for a second-level cache. SPDX-License-Identifier: Apache-2.0 */
#include "calib/observer.h"
#include "cli/bench.h"

enum { ROWS = 512, SLOW_ROWS = 64, SAMPLE_ROWS = 83, LONGEST = 2048 };

/* Operands; each case uses of them what it needs. */
typedef struct elem_set {
    gs_compute *c;
    gs_bench_sizes z;
    int64_t rows;
    gs_buf x, y, attention;
    gs_rope rope;
    gs_packed bf16, s8;
    gs_observer *observer;
    gs_error error;
} elem_set;

/* One call; returns the bytes read and written. */
typedef double (*elem_run)(elem_set *s);

static double do_rmsnorm(elem_set *s)
{
    const float *weight = s->y.data;
    gs_rmsnorm(s->c, s->rows, s->z.hidden, s->x.data, weight, NULL, 1e-5f, (float *)s->y.data + s->z.hidden);
    return 8.0 * (double)(s->rows * s->z.hidden);
}

static double do_rope(elem_set *s)
{
    gs_rope_apply(s->c, &s->rope, s->rows, s->x.data, s->z.qkv, s->z.heads + s->z.groups, s->z.head_dim, 0);
    return 8.0 * (double)(s->rows * (s->z.heads + s->z.groups) * 2 * s->rope.half);
}

static double do_swiglu(elem_set *s)
{
    gs_swiglu(s->c, s->rows, s->z.ffn, s->x.data, s->y.data);
    return 12.0 * (double)(s->rows * s->z.ffn);
}

static double do_add(elem_set *s)
{
    gs_add(s->c, s->rows * s->z.hidden, s->y.data, s->x.data);
    return 12.0 * (double)(s->rows * s->z.hidden);
}

static double do_minmax(elem_set *s)
{
    float low, high;
    bool finite;
    gs_minmax(s->c, s->rows * s->z.hidden, s->x.data, &low, &high, &finite);
    return 4.0 * (double)(s->rows * s->z.hidden);
}

static double do_column_minmax(elem_set *s)
{
    float *range = s->y.data;
    const int64_t columns = 2 * s->z.groups * s->z.head_dim;
    gs_column_minmax(s->c, s->rows, columns, s->x.data, s->z.qkv, range, range + columns);
    return 4.0 * (double)(s->rows * columns);
}

static double do_histogram(elem_set *s)
{
    enum { BINS = 2048 };
    static int64_t counts[BINS];
    gs_histogram(s->c, s->rows * s->z.hidden, s->x.data, -2, 2, BINS, counts);
    return 4.0 * (double)(s->rows * s->z.hidden);
}

/* Range, counts and search, as act_method 2 does after each sample; each is a little wider than the last, as while counts settle. */
static double do_observer(elem_set *s)
{
    float low, high;
    const int64_t n = SAMPLE_ROWS * s->z.hidden;
    if (s->error.status == GS_OK && gs_observer_add(s->observer, s->c, n, s->x.data, &low, &high, &s->error) != GS_OK)
        return 0;
    return 8.0 * (double)n;
}

static double do_quantize(elem_set *s)
{
    gs_quantize_s8(s->c, s->rows * s->z.hidden, s->x.data, 0.03f, 3, s->y.data);
    return 5.0 * (double)(s->rows * s->z.hidden);
}

static double do_sum_squares(elem_set *s)
{
    double *sums = s->y.data;
    gs_sum_squares(s->c, s->rows, s->z.hidden, s->x.data, NULL, sums, sums + s->z.hidden);
    return 4.0 * (double)(s->rows * s->z.hidden);
}

static double do_pack_bf16(elem_set *s)
{
    gs_pack_rows(s->c, &s->bf16, 0, s->bf16.n, s->x.data);
    return 4.0 * (double)(s->bf16.n * s->bf16.k);
}

static double do_pack_s8(elem_set *s)
{
    gs_pack_rows(s->c, &s->s8, 0, s->s8.n, s->x.data);
    return 2.0 * (double)(s->s8.n * s->s8.k);
}

static double do_unpack(elem_set *s)
{
    gs_unpack_rows(s->c, &s->bf16, 0, s->bf16.n, s->y.data);
    return 6.0 * (double)(s->bf16.n * s->bf16.k);
}

/* How often in a block's pass of one stream: per row of hidden width, per row as it is, per sample, per weight. */
typedef enum elem_unit { PER_ROW, PER_SAMPLE, PER_WEIGHT } elem_unit;

static const struct elem_case {
    const char *name;
    elem_run run;
    elem_unit unit;
    double times; /* calls per row, sample or weight; a linear of the wide layer counts as ffn/hidden narrow ones */
} cases[] = {
    {"RMSNorm", do_rmsnorm, PER_ROW, 2},
    {"RoPE", do_rope, PER_ROW, 1},
    {"SiLU x up", do_swiglu, PER_ROW, 1},
    {"residual", do_add, PER_ROW, 2},
    {"min/max", do_minmax, PER_ROW, 3},
    {"min/max by column", do_column_minmax, PER_ROW, 1},
    {"histogram", do_histogram, PER_ROW, 3},
    {"histogram observer", do_observer, PER_SAMPLE, 3},
    {"fake quantization", do_quantize, PER_ROW, 3},
    {"sum of squares", do_sum_squares, PER_ROW, 4},
    {"packing bf16", do_pack_bf16, PER_WEIGHT, 1},
    {"packing int8", do_pack_s8, PER_WEIGHT, 1},
    {"unpacking bf16", do_unpack, PER_WEIGHT, 1},
};

static double times_in_block(const elem_set *s, const struct elem_case *e)
{
    const double rows = e->unit == PER_SAMPLE ? SAMPLE_ROWS : (double)s->rows;
    if (e->unit == PER_WEIGHT) return e->times * gs_bench_weights(&s->z) / (double)(s->bf16.n * s->bf16.k);
    return e->times * GS_BENCH_TOKENS / rows;
}

/* Seconds of the products of one pass of 30,000 tokens at f32 peak. */
static double products(const gs_bench_context *x, const elem_set *s)
{
    const double peak = gs_bench_peak_of(x->bench, x->compute.rung, GS_GEMM_F32, gs_pool_threads(x->compute.pool));
    return 2.0 * GS_BENCH_TOKENS * gs_bench_weights(&s->z) / peak;
}

static void add_row(gs_bench_context *x, const gs_bench_elem *like)
{
    gs_bench *b = x->bench;
    b->elems = gs_realloc_array(b->elems, (size_t)b->n_elems + 1, sizeof *b->elems);
    gs_bench_elem *row = &b->elems[b->n_elems++];
    *row = *like;
    row->rung = x->compute.rung;
    row->threads = gs_pool_threads(x->compute.pool);
}

static void run_case(gs_bench_context *x, elem_set *s, const struct elem_case *e)
{
    const double budget = gs_bench_is_brief(x->bench, x->compute.rung) ? 0.005 : 0.1;
    double best = 0, bytes = 0, spent = 0;
    for (int round = 0; round < 2 || (round < 100 && spent < budget); round++) {
        const double start = gs_bench_now(x);
        bytes = e->run(s);
        const double seconds = gs_bench_now(x) - start;
        spent += seconds;
        if (round == 0 || (seconds > 0 && seconds < best)) best = seconds;
    }
    const gs_bench_elem row = {
        .name = e->name, .seconds = best, .bytes = bytes, .of_products = best * times_in_block(s, e) / products(x, s)};
    add_row(x, &row);
}

static void run_attention(gs_bench_context *x, elem_set *s, const char *name, int64_t n)
{
    const gs_bench_sizes *z = &s->z;
    const int64_t width = z->heads * z->head_dim;
    float *const qkv = s->attention.data, *const out = qkv + n * z->qkv;
    double best = 0;
    gs_bench_refresh_peak(x, GS_GEMM_F32);
    for (int round = 0; round < (gs_bench_is_brief(x->bench, x->compute.rung) ? 2 : 4); round++) {
        const double start = gs_bench_now(x);
        gs_attention(s->c, n, 0, qkv, z->qkv, qkv + width, qkv + width + z->groups * z->head_dim, z->qkv, z->heads,
                     z->groups, z->head_dim, out, width);
        const double seconds = gs_bench_now(x) - start;
        if (round == 0 || seconds < best) best = seconds;
    }
    const double operations = 4.0 * (double)width * (double)n * (double)(n + 1) / 2; /* of the visible half */
    const gs_bench_elem row = {.name = name,
                               .seconds = best,
                               .bytes = 4.0 * (double)(n * (z->qkv + width)),
                               .per_s = operations / best,
                               .of_products = best * GS_BENCH_TOKENS / (double)n / products(x, s)};
    add_row(x, &row);
}

static gs_status run_cases(gs_bench_context *x, elem_set *s, gs_error *err)
{
    s->c = &x->compute;
    gs_bench_refresh_peak(x, GS_GEMM_F32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        GS_TRY(gs_check_interrupt(err));
        gs_bench_random(s->x.data, s->rows * 2 * s->z.ffn); /* packing may have left anything but numbers */
        run_case(x, s, &cases[i]);
    }
    if (s->error.status != GS_OK) {
        *err = s->error;
        return s->error.status;
    }
    static const struct {
        const char *name;
        int64_t length;
    } attentions[] = {{"attention, 83 tokens", 83}, {"attention, 512 tokens", 512}, {"attention, 2048 tokens", 2048}};
    for (int i = 0; i < (gs_bench_is_brief(x->bench, x->compute.rung) ? 1 : 3); i++) {
        GS_TRY(gs_check_interrupt(err));
        run_attention(x, s, attentions[i].name, attentions[i].length);
    }
    return GS_OK;
}

static gs_status set_init(elem_set *s, const gs_bench *b, gs_rung rung, gs_error *err)
{
    static const char purpose[] = "kernels to be measured";
    const gs_bench_sizes *z = &b->sizes;
    *s = (elem_set){.z = *z, .rows = rung == GS_RUNG_C ? SLOW_ROWS : ROWS};
    const int64_t weights = z->hidden * z->hidden, wide = (int64_t)ROWS * 2 * z->ffn;
    const int64_t n = wide > weights ? wide : weights;
    GS_TRY(gs_buf_alloc(&s->x, (size_t)n * sizeof(float), purpose, err));
    GS_TRY(gs_buf_alloc(&s->y, (size_t)n * sizeof(float), purpose, err));
    GS_TRY(gs_buf_alloc(&s->attention, (size_t)(LONGEST * (z->qkv + z->hidden)) * sizeof(float), purpose, err));
    GS_TRY(gs_rope_init(&s->rope, s->rows, z->head_dim / 2, 1e4, err));
    GS_TRY(gs_packed_alloc(&s->bf16, GS_PACK_BF16, z->hidden, z->hidden, purpose, err));
    GS_TRY(gs_packed_alloc(&s->s8, GS_PACK_S8, z->hidden, z->hidden, purpose, err));
    s->observer = gs_observer_create(GS_OBSERVE_HISTOGRAM, false);
    gs_bench_random(s->x.data, n);
    gs_bench_random(s->y.data, n);
    gs_bench_random(s->attention.data, LONGEST * (z->qkv + z->hidden));
    return GS_OK;
}

static void set_release(elem_set *s)
{
    gs_buf_release(&s->x);
    gs_buf_release(&s->y);
    gs_buf_release(&s->attention);
    gs_rope_release(&s->rope);
    gs_packed_release(&s->bf16);
    gs_packed_release(&s->s8);
    if (s->observer) gs_observer_free(s->observer);
}

gs_status gs_bench_run_elem(gs_bench *b, gs_rung rung, gs_error *err)
{
    elem_set set;
    gs_status status = set_init(&set, b, rung, err);
    for (int t = 0; t < b->n_counts && status == GS_OK; t++) {
        gs_bench_context x = {0};
        status = gs_bench_open(&x, b, rung, b->counts[t], err);
        if (status == GS_OK) status = run_cases(&x, &set, err);
        gs_bench_close(&x);
    }
    set_release(&set);
    return status;
}
