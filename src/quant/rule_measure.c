/* Owns statistics of whole matrices, read in chunks of rows: the range, and the k-th largest magnitude by counting. Counts are whole
 * numbers and ranges have no order, so neither threads nor chunks show.
 *
 * A magnitude is two digits of 16 bits. The first pass counts the upper ones, which are all there is of a bfloat16 value; only if
 * some value has lower bits does a second pass count those of the values that share the upper digit found.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/rule_row.h"

#define BINS        65536
#define TASK_VALUES 65536

typedef struct worker_sum {
    uint32_t *count; /* [BINS], or NULL */
    uint32_t low_bits, largest;
    float lo, hi, peak;
} worker_sum;

typedef struct measure {
    gs_compute *c;
    const gs_weight_rule *rule;
    int64_t out, in, chunk_rows;
    gs_rows_fn rows;
    void *ctx;
    int workers;
    worker_sum *worker;
    uint64_t *count; /* [BINS] */
    /* the chunk at hand */
    const float *w;
    int64_t chunk, rows_per_task;
    int pass;
    uint32_t upper; /* pass 1: the upper digit that counts */
} measure;

static void count_values(const measure *m, worker_sum *s, const float *w, int64_t n)
{
    if (m->pass == 0) {
        uint32_t low = 0, largest = s->largest;
        for (int64_t i = 0; i < n; i++) {
            const uint32_t u = gs_f32_bits(w[i]) & 0x7FFFFFFFu;
            s->count[u >> 16]++;
            low |= u;
            largest = u > largest ? u : largest;
        }
        s->low_bits |= low & 0xFFFFu;
        s->largest = largest;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = gs_f32_bits(w[i]) & 0x7FFFFFFFu;
        if (u >> 16 == m->upper) s->count[u & 0xFFFFu]++;
    }
}

static void range_of_row(const measure *m, worker_sum *s, const float *w)
{
    float lo, hi, peak;
    if (m->rule->kind == GS_WEIGHT_NORMAL || m->rule->kind == GS_WEIGHT_LOWBIT) {
        gs_row_range(w, m->in, &lo, &hi);
        peak = 0.0f;
    } else {
        gs_row_body(w, m->in, gs_row_threshold(m->rule, w, m->in), &lo, &hi, &peak);
    }
    s->lo = lo < s->lo ? lo : s->lo;
    s->hi = hi > s->hi ? hi : s->hi;
    s->peak = peak > s->peak ? peak : s->peak;
}

static void measure_task(void *ctx, int64_t task, int worker)
{
    const measure *m = ctx;
    const int64_t first = task * m->rows_per_task;
    for (int64_t r = first; r < m->chunk && r < first + m->rows_per_task; r++) {
        worker_sum *s = &m->worker[worker];
        if (s->count)
            count_values(m, s, m->w + r * m->in, m->in);
        else
            range_of_row(m, s, m->w + r * m->in);
    }
}

/* A worker's 32 bit counts last for one chunk. */
static void gather_counts(measure *m)
{
    for (int k = 0; m->count && k < m->workers; k++) {
        uint32_t *count = m->worker[k].count;
        for (int64_t i = 0; i < BINS; i++) m->count[i] += count[i];
        memset(count, 0, BINS * sizeof *count);
    }
}

static gs_status read_all(measure *m, gs_error *err)
{
    m->rows_per_task = m->in < TASK_VALUES ? TASK_VALUES / m->in : 1;
    for (int64_t row = 0; row < m->out; row += m->chunk) {
        GS_TRY(gs_check_interrupt(err));
        m->chunk = m->out - row < m->chunk_rows ? m->out - row : m->chunk_rows;
        GS_TRY(m->rows(m->ctx, row, m->chunk, &m->w, err));
        gs_pool_run(m->c->pool, (m->chunk + m->rows_per_task - 1) / m->rows_per_task, measure_task, m);
        gather_counts(m);
    }
    return GS_OK;
}

/* The digit of the k-th largest, counted from the top; *k becomes its rank among those that share it. */
static uint32_t find_digit(const uint64_t *count, int64_t *k)
{
    uint32_t digit = BINS - 1;
    while (digit > 0 && (uint64_t)*k > count[digit]) *k -= (int64_t)count[digit--];
    return digit;
}

static gs_status find_threshold(measure *m, float *threshold, gs_error *err)
{
    int64_t k = gs_outlier_count(m->rule->fraction, m->out * m->in);
    GS_TRY(read_all(m, err));
    m->upper = find_digit(m->count, &k);
    uint32_t low_bits = 0, lower = 0;
    for (int i = 0; i < m->workers; i++) low_bits |= m->worker[i].low_bits;
    if (low_bits != 0) {
        m->pass = 1;
        memset(m->count, 0, BINS * sizeof *m->count);
        GS_TRY(read_all(m, err));
        lower = find_digit(m->count, &k);
    }
    *threshold = gs_f32_from_bits(m->upper << 16 | lower);
    return GS_OK;
}

static void start_workers(measure *m, bool counting)
{
    m->workers = gs_pool_threads(m->c->pool);
    m->worker = gs_alloc_array((size_t)m->workers, sizeof *m->worker);
    if (counting) m->count = gs_alloc_array(BINS, sizeof *m->count);
    for (int i = 0; i < m->workers; i++) {
        m->worker[i].lo = INFINITY;
        m->worker[i].hi = -INFINITY;
        if (counting) m->worker[i].count = gs_alloc_array(BINS, sizeof *m->worker[i].count);
    }
}

bool gs_weight_needs_stats(const gs_weight_rule *rule)
{
    return rule->kind == GS_WEIGHT_SPARSE_GLOBAL || rule->mm_tensor;
}

static void take_range(const measure *m, gs_weight_stats *stats)
{
    *stats = (gs_weight_stats){.lo = m->worker[0].lo, .hi = m->worker[0].hi};
    for (int i = 0; i < m->workers; i++) {
        const worker_sum *s = &m->worker[i];
        stats->lo = s->lo < stats->lo ? s->lo : stats->lo;
        stats->hi = s->hi > stats->hi ? s->hi : stats->hi;
        stats->peak = s->peak > stats->peak ? s->peak : stats->peak;
    }
}

/* The k-th largest is itself of the body, so it is the body's peak. */
static void take_threshold(const measure *m, float threshold, gs_weight_stats *stats)
{
    uint32_t largest = 0;
    for (int i = 0; i < m->workers; i++) largest = m->worker[i].largest > largest ? m->worker[i].largest : largest;
    *stats = (gs_weight_stats){threshold, -threshold, threshold, gs_f32_from_bits(largest)};
}

gs_status gs_weight_measure(gs_compute *c, const gs_weight_rule *rule, int64_t out, int64_t in, int64_t chunk_rows,
                            gs_rows_fn rows, void *ctx, gs_weight_stats *stats, gs_error *err)
{
    *stats = (gs_weight_stats){0};
    if (!gs_weight_needs_stats(rule) || out < 1 || in < 1) return GS_OK;
    measure m = {.c = c, .rule = rule, .out = out, .in = in, .chunk_rows = chunk_rows, .rows = rows, .ctx = ctx};
    const bool global = rule->kind == GS_WEIGHT_SPARSE_GLOBAL;
    float threshold = 0.0f;
    start_workers(&m, global);
    const gs_status status = global ? find_threshold(&m, &threshold, err) : read_all(&m, err);
    if (global)
        take_threshold(&m, threshold, stats);
    else
        take_range(&m, stats);
    for (int i = 0; i < m.workers; i++) gs_free(m.worker[i].count);
    gs_free(m.worker);
    gs_free(m.count);
    return status;
}
