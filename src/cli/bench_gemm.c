/* Matrix products at the sizes of a block, next to the peak of the arithmetic they use. Other programs may be running and processors
 * change their pace, so a round is compared with the peak right before and after it, and the median round is the share. SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

enum { LARGE_M = 512, SMALL_M = GS_BENCH_FEW, SHAPES = 4 };

typedef struct product_kind {
    const char *name;
    gs_pack_kind pack;
    gs_gemm_kind kind;
} product_kind;

static const product_kind kinds[] = {
    {"f32", GS_PACK_F32, GS_GEMM_F32},
    {"f32, bf16 weights", GS_PACK_BF16, GS_GEMM_F32},
    {"int8", GS_PACK_S8, GS_GEMM_S8},
    {"bf16", GS_PACK_BF16, GS_GEMM_BF16},
};

const char *gs_bench_kind_name(gs_gemm_kind kind)
{
    static const char *const names[GS_GEMM_KINDS] = {
        [GS_GEMM_F32] = "f32", [GS_GEMM_S8] = "int8", [GS_GEMM_BF16] = "bf16"};
    return names[kind];
}

gs_bench_sizes gs_bench_sizes_of(int64_t width)
{
    const int64_t head_dim = 128, heads = width / head_dim, groups = heads % 2 == 0 ? 2 : 1;
    return (gs_bench_sizes){.hidden = width,
                            .heads = heads,
                            .groups = groups,
                            .head_dim = head_dim,
                            .qkv = (heads + 2 * groups) * head_dim,
                            .ffn = width * 107 / 32}; /* 13696 for 4096 */
}

double gs_bench_weights(const gs_bench_sizes *z)
{
    const double h = (double)z->hidden;
    return h * (double)z->qkv + h * h + 3.0 * h * (double)z->ffn;
}

gs_status gs_bench_open(gs_bench_context *x, gs_bench *b, gs_rung rung, int threads, gs_error *err)
{
    x->bench = b;
    return gs_compute_open_rung(&x->compute, threads, rung, err);
}

void gs_bench_close(gs_bench_context *x) { gs_compute_close(&x->compute); }
double gs_bench_now(const gs_bench_context *x) { return gs_compute_seconds(&x->compute, x->bench->spec.by_cpu_time); }

bool gs_bench_is_brief(const gs_bench *b, gs_rung rung) { return b->spec.quick || rung != b->spec.last; }

static gs_bench_peak *find_peak(const gs_bench *b, gs_rung rung, gs_gemm_kind kind, int threads)
{
    for (int i = 0; i < b->n_peaks; i++) {
        gs_bench_peak *p = &b->peaks[i];
        if (p->rung == rung && p->kind == kind && p->threads == threads) return p;
    }
    return NULL;
}

double gs_bench_peak_of(const gs_bench *b, gs_rung rung, gs_gemm_kind kind, int threads)
{
    const gs_bench_peak *p = find_peak(b, rung, kind, threads);
    return p ? p->per_s : 0;
}

double gs_bench_refresh_peak(gs_bench_context *x, gs_gemm_kind kind)
{
    gs_bench *b = x->bench;
    const int threads = gs_pool_threads(x->compute.pool);
    gs_bench_peak *p = find_peak(b, x->compute.rung, kind, threads);
    const double round_seconds = gs_bench_is_brief(b, x->compute.rung) ? 0.004 : 0.02;
    const double rate = gs_compute_peak_by(&x->compute, kind, 2, round_seconds, b->spec.by_cpu_time);
    if (p && rate > p->per_s) p->per_s = rate;
    return rate;
}

/* rate over the peak right before and right after it; *before becomes what is before the next round. */
static double share_of_peak(gs_bench_context *x, gs_gemm_kind kind, double rate, double *before)
{
    const double after = gs_bench_refresh_peak(x, kind), share = rate / (0.5 * (*before + after));
    *before = after;
    return share;
}

/* A row of the table of peaks: the kernel alone, between measurements of the peak. */
static gs_status measure_kernel(gs_bench_context *x, gs_gemm_kind kind, gs_error *err)
{
    gs_bench *b = x->bench;
    const int threads = gs_pool_threads(x->compute.pool);
    b->peaks = gs_realloc_array(b->peaks, (size_t)b->n_peaks + 1, sizeof *b->peaks);
    b->peaks[b->n_peaks++] = (gs_bench_peak){.rung = x->compute.rung, .kind = kind, .threads = threads};
    const bool brief = gs_bench_is_brief(b, x->compute.rung);
    double share[GS_BENCH_ROUNDS], before = gs_bench_refresh_peak(x, kind), rate;
    for (int round = 0; round < GS_BENCH_ROUNDS; round++) {
        GS_TRY(gs_compute_kernel_alone(&x->compute, kind, brief ? 0.004 : 0.04, b->spec.by_cpu_time, &rate, err));
        share[round] = share_of_peak(x, kind, rate, &before);
    }
    b->peaks[b->n_peaks - 1].kernel = gs_bench_median(share, GS_BENCH_ROUNDS);
    return GS_OK;
}

double gs_bench_median(double *x, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && x[j] < x[j - 1]; j--) {
            const double other = x[j];
            x[j] = x[j - 1];
            x[j - 1] = other;
        }
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

void gs_bench_random(float *x, int64_t n)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * (4.0f / (1 << 24)) - 2.0f;
    }
}

static void to_codes(const float *x, int8_t *codes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) codes[i] = (int8_t)(x[i] * 60);
}

/* Weights, a few rows at a time; rows: room for `step` of them. */
static void pack_random(gs_bench_product *p, gs_compute *c, int64_t step, float *rows)
{
    gs_bench_random(rows, step * p->k);
    if (p->kind == GS_PACK_BF16) gs_from_f32(GS_BF16, rows, rows, step * p->k); /* narrows in place, front to back */
    if (p->kind == GS_PACK_S8) to_codes(rows, (int8_t *)(void *)rows, step * p->k);
    for (int64_t row = 0; row < p->n; row += step)
        gs_pack_rows(c, &p->w, row, p->n - row < step ? p->n - row : step, rows);
}

gs_status gs_bench_product_init(gs_bench_product *p, gs_compute *c, gs_pack_kind kind, int64_t m, int64_t n, int64_t k,
                                gs_error *err)
{
    static const char purpose[] = "a matrix product to be measured";
    const int64_t longest = m > n ? m : n, step = n < GS_PACK_ROWS * 4 ? n : GS_PACK_ROWS * 4;
    gs_buf rows = {0};
    *p = (gs_bench_product){.kind = kind, .m = m, .n = n, .k = k};
    gs_status status = gs_packed_alloc(&p->w, kind, n, k, purpose, err);
    if (status == GS_OK) status = gs_buf_alloc(&rows, (size_t)(step * k) * sizeof(float), purpose, err);
    if (status == GS_OK) status = gs_buf_alloc(&p->a, (size_t)(m * k) * sizeof(float), purpose, err);
    if (status == GS_OK) status = gs_buf_alloc(&p->codes, (size_t)(m * k), purpose, err);
    if (status == GS_OK) status = gs_buf_alloc(&p->vectors, (size_t)(longest + m) * sizeof(float), purpose, err);
    if (status == GS_OK) status = gs_buf_alloc(&p->out, (size_t)(m * n) * sizeof(float), purpose, err);
    if (status == GS_OK) {
        pack_random(p, c, step, rows.data);
        gs_bench_random(p->a.data, m * k);
        to_codes(p->a.data, p->codes.data, m * k);
        gs_bench_random(p->vectors.data, longest);
        memset(p->out.data, 0, p->out.bytes); /* first touch is not part of a product */
    } else {
        gs_bench_product_release(p);
    }
    gs_buf_release(&rows);
    return status;
}

void gs_bench_product_release(gs_bench_product *p)
{
    gs_packed_release(&p->w);
    gs_buf_release(&p->a);
    gs_buf_release(&p->codes);
    gs_buf_release(&p->vectors);
    gs_buf_release(&p->out);
}

double gs_bench_product_run(gs_bench_product *p, gs_bench_context *x, int64_t m)
{
    const float *const vector = p->vectors.data;
    const int32_t *const zero = (const int32_t *)p->vectors.data + (p->m > p->n ? p->m : p->n);
    const double start = gs_bench_now(x);
    x->compute.bf16_inputs = p->bf16_inputs;
    if (p->kind == GS_PACK_S8)
        gs_gemm_s8(&x->compute, &p->w, m, p->codes.data, p->k, vector, zero, vector, vector, p->out.data, p->n);
    else
        gs_gemm_f32(&x->compute, &p->w, m, p->a.data, p->k, vector, p->out.data, p->n);
    return gs_bench_now(x) - start;
}

/* Where a product of this size would take too long, a part of it is measured: cut in n first, which rates depend on least. */
typedef struct size {
    int64_t m, n, k;
} size;

static size cut_size(const gs_bench *b, gs_rung rung, double peak, int64_t n, int64_t k)
{
    enum { LEAST_N = 128, LEAST_K = 512, LEAST_M = 96 };
    size z = {LARGE_M, n, k};
    const double limit = peak * (b->spec.quick ? 0.03 : gs_bench_is_brief(b, rung) ? 0.1 : 1.5) / 2;
    const double rows = limit / ((double)LARGE_M * (double)k), columns = limit / (LARGE_M * (double)LEAST_N);
    if (rows < (double)z.n)
        z.n = rows > LEAST_N ? (int64_t)rows / GS_PACK_ROWS * GS_PACK_ROWS : LEAST_N < n ? LEAST_N : n;
    if (z.n <= LEAST_N && columns < (double)z.k)
        z.k = columns > LEAST_K ? (int64_t)columns / 4 * 4 : LEAST_K < k ? LEAST_K : k;
    if (LARGE_M * (double)z.n * (double)z.k > 2 * limit) z.m = LEAST_M;
    return z;
}

typedef struct totals {
    double seconds, operations;
    double at_peak; /* operations over share: what the peak would have done meanwhile */
} totals;

static void add_row(gs_bench *b, const gs_bench_gemm *row)
{
    b->gemms = gs_realloc_array(b->gemms, (size_t)b->n_gemms + 1, sizeof *b->gemms);
    b->gemms[b->n_gemms++] = *row;
}

static void measure(gs_bench_context *x, gs_bench_product *p, const gs_bench_gemm *like, int64_t m, totals *total)
{
    const double operations = 2.0 * (double)m * (double)p->n * (double)p->k;
    const int rounds = gs_bench_is_brief(x->bench, x->compute.rung) ? 3 : 4;
    double best = 0, share[GS_BENCH_ROUNDS];
    double before = gs_bench_refresh_peak(x, like->kind);
    for (int round = 0; round < rounds; round++) {
        const double seconds = gs_bench_product_run(p, x, m);
        share[round] = share_of_peak(x, like->kind, operations / seconds, &before);
        if (round == 0 || seconds < best) best = seconds;
    }
    gs_bench_gemm row = *like;
    row.threads = gs_pool_threads(x->compute.pool);
    row.m = m;
    row.n = p->n;
    row.k = p->k;
    row.per_s = operations / best;
    row.share = gs_bench_median(share, rounds);
    add_row(x->bench, &row);
    total->seconds += best;
    total->operations += operations;
    total->at_peak += operations / row.share;
}

static gs_status run_kind(gs_bench *b, gs_bench_context *x, const product_kind *kind, gs_error *err)
{
    const gs_bench_sizes *o = &b->sizes;
    const int64_t shapes[SHAPES][2] = {
        {o->qkv, o->hidden}, {o->hidden, o->hidden}, {2 * o->ffn, o->hidden}, {o->hidden, o->ffn}};
    static const char *const names[SHAPES] = {"qkv", "dense", "h_to_4h", "4h_to_h"};
    gs_bench_gemm row = {.rung = x[0].compute.rung, .kind = kind->kind, .name = kind->name};
    totals total[2][2] = {{{0, 0, 0}}}; /* large and small count of rows; threads */
    gs_compute *const packer = &x[b->n_counts - 1].compute;
    for (int s = 0; s < SHAPES; s++) {
        gs_bench_product p;
        GS_TRY(gs_check_interrupt(err));
        if (s == 0) gs_bench_refresh_peak(&x[0], kind->kind);
        const size z = cut_size(b, row.rung, gs_bench_peak_of(b, row.rung, kind->kind, 1), shapes[s][0], shapes[s][1]);
        GS_TRY(gs_bench_product_init(&p, packer, kind->pack, z.m, z.n, z.k, err));
        p.bf16_inputs = kind->kind == GS_GEMM_BF16;
        row.shape = names[s];
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < b->n_counts; t++) measure(&x[t], &p, &row, i == 0 ? z.m : SMALL_M, &total[i][t]);
        row.m = z.m;
        gs_bench_product_release(&p);
    }
    const int64_t large = row.m;
    row.shape = "block";
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < b->n_counts; t++) {
            row.m = i == 0 ? large : SMALL_M;
            row.threads = b->counts[t];
            row.per_s = total[i][t].operations / total[i][t].seconds;
            row.share = total[i][t].operations / total[i][t].at_peak;
            add_row(b, &row);
        }
    return GS_OK;
}

gs_status gs_bench_run_gemm(gs_bench *b, gs_rung rung, gs_error *err)
{
    gs_bench_context x[2] = {{.bench = b}, {.bench = b}};
    gs_status status = GS_OK;
    for (int t = 0; t < b->n_counts && status == GS_OK; t++) status = gs_bench_open(&x[t], b, rung, b->counts[t], err);
    for (gs_gemm_kind kind = 0; kind < GS_GEMM_KINDS; kind++)
        for (int t = 0; t < b->n_counts && status == GS_OK; t++) status = measure_kernel(&x[t], kind, err);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && status == GS_OK; i++)
        status = run_kind(b, x, &kinds[i], err);
    for (int t = 0; t < b->n_counts; t++) gs_bench_close(&x[t]);
    return status;
}

/* All thread counts take turns, so that a disturbance does not fall on one of them. */
static gs_status scale(gs_bench *b, gs_bench_context *x, gs_bench_product *p, gs_error *err)
{
    const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k;
    for (int round = 0; round < (b->spec.quick ? 3 : 12); round++)
        for (int i = 0; i < b->n_scales; i++) {
            GS_TRY(gs_check_interrupt(err));
            const double peak = gs_bench_refresh_peak(&x[i], GS_GEMM_F32);
            const double rate = operations / gs_bench_product_run(p, &x[i], p->m);
            if (rate > b->scales[i].per_s) b->scales[i].per_s = rate;
            if (peak > b->scales[i].peak_per_s) b->scales[i].peak_per_s = peak;
        }
    return GS_OK;
}

gs_status gs_bench_run_scale(gs_bench *b, gs_error *err)
{
    gs_bench_context x[GS_BENCH_COUNTS] = {{0}};
    gs_bench_product p = {0};
    gs_status status = GS_OK;
    for (int n = 1; n < b->spec.threads && b->n_scales < GS_BENCH_COUNTS - 1; n *= 2)
        b->scales[b->n_scales++].threads = n;
    b->scales[b->n_scales++].threads = b->spec.threads;
    for (int i = 0; i < b->n_scales && status == GS_OK; i++)
        status = gs_bench_open(&x[i], b, b->spec.last, b->scales[i].threads, err);
    if (status == GS_OK) {
        const int64_t h = b->sizes.hidden;
        const size z = cut_size(b, b->spec.last, gs_compute_peak(&x[0].compute, GS_GEMM_F32, 1), h, h);
        status = gs_bench_product_init(&p, &x[0].compute, GS_PACK_F32, z.m, z.n, z.k, err);
    }
    if (status == GS_OK) status = scale(b, x, &p, err);
    gs_bench_product_release(&p);
    for (int i = 0; i < b->n_scales; i++) gs_bench_close(&x[i]);
    return status;
}
