/* Causal attention in blocks of 512 keys with a running maximum and sum, so that no row of scores is ever stored whole
 * (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022). Scores and
 * weighted sums are small packed products. A task is a run of queries times the query heads that share a key group, so packed
 * keys and values serve many rows.
 *
 * What one row computes is fixed: blocks of keys start at multiples of 512, whatever the call or the task; inside a block
 * scores are fused chains in rising component, the weighted sum is a fused chain in rising key over 192 keys at a time; keys a
 * row may not see have weight 0 and change nothing. The order is that of PyTorch 2.4's fused kernel on one thread.
 *
 * That kernel lets the length of the whole sequence into the last bits of every row. gs_attention_whole follows it there: how
 * the keys of a block are cut into chains, the scalar exponential of the keys left over from vectors of 8, and the other orders of
 * products that the matrix library takes for a last block of one, two or three queries and for a block of fewer than 12 keys.
 * Not followed: components that are no multiple of 8, or more than 192. SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/dot.h"
#include "kernels/elem.h"
#include "kernels/table.h"

enum { MOST_ROWS = 96, KEYS = 512, CHAIN = 192 /* most keys of one fused chain */, FEW_KEYS = 11 };

typedef struct attention_job {
    const gs_kernels *kernels;
    gs_pool *pool;
    int64_t q_rows, pos0, q_stride, kv_stride, out_stride, d, d_even;
    int64_t group_heads, task_heads, task_queries; /* heads of a group; of a task; queries of a task */
    int64_t head_tasks, query_tasks;               /* tasks per group: head runs, query runs */
    int64_t whole;                                 /* length of the sequence, if the result may depend on it; else 0 */
    int64_t apart;                                 /* queries from here on take the other order */
    bool few;                                      /* as do all queries in a block of FEW_KEYS or less */
    float scale;
    const float *q, *k, *v;
    float *out;
} attention_job;

/* One worker's scratch. Row r of a task is query r / heads, head r % heads. */
typedef struct work_area {
    float *q;      /* packed queries */
    float *keys;   /* packed keys, 64 at a time */
    float *values; /* packed values of one chain: panels of 16 components, [keys][16] each */
    float *scores; /* [rows, 512] */
    float *packed; /* scores of one chain as packed rows */
    float *sums;   /* [rows, d] */
    float *max, *total;
} work_area;

typedef struct attention_task {
    int64_t head, heads, query, queries, group, rows;
} attention_task;

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static size_t lay_out(work_area *w, float *base, int64_t d)
{
    const int64_t d_even = (d + 1) / 2 * 2, d_wide = ceil_div(d, GS_PANEL_COLS) * GS_PANEL_COLS;
    const int64_t sizes[] = {MOST_ROWS * d_even, KEYS * d_even, KEYS * d_wide, MOST_ROWS * KEYS,
                             MOST_ROWS * KEYS,   MOST_ROWS * d, MOST_ROWS,     MOST_ROWS};
    float **const parts[] = {&w->q, &w->keys, &w->values, &w->scores, &w->packed, &w->sums, &w->max, &w->total};
    int64_t at = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (base) *parts[i] = base + at;
        at += ceil_div(sizes[i], 16) * 16;
    }
    return (size_t)at * sizeof(float);
}

size_t gs_attention_scratch_bytes(int64_t d)
{
    work_area unused;
    return lay_out(&unused, NULL, d);
}

static attention_task find_task(const attention_job *j, int64_t task)
{
    const int64_t query_task = task % j->query_tasks, rest = task / j->query_tasks;
    const int64_t group = rest / j->head_tasks, first = rest % j->head_tasks * j->task_heads;
    attention_task t = {.group = group, .head = group * j->group_heads + first};
    t.heads = min_i64(j->task_heads, j->group_heads - first);
    t.query = (j->query_tasks - 1 - query_task) * j->task_queries; /* the long ones first */
    t.queries = min_i64(j->task_queries, j->q_rows - t.query);
    t.rows = t.heads * t.queries;
    return t;
}

static void start_rows(const attention_job *j, const attention_task *t, const work_area *w)
{
    for (int64_t r = 0; r < t->rows; r++) {
        const float *from = j->q + (t->query + r / t->heads) * j->q_stride + (t->head + r % t->heads) * j->d;
        memcpy(w->sums + r * j->d, from, (size_t)j->d * sizeof *from);
        w->max[r] = -INFINITY;
        w->total[r] = 0.0f;
    }
    j->kernels->pack_a_f32(w->q, w->sums, j->d, t->rows, j->d, j->d_even);
    memset(w->sums, 0, (size_t)(t->rows * j->d) * sizeof(float));
}

static void pack_values(const attention_job *j, int64_t keys, int64_t keys_padded, const float *v, float *to)
{
    for (int64_t col = 0; col < j->d; col += GS_PANEL_COLS) {
        const int64_t n = min_i64(GS_PANEL_COLS, j->d - col);
        for (int64_t key = 0; key < keys_padded; key++, to += GS_PANEL_COLS) {
            if (key < keys && n == GS_PANEL_COLS) {
                memcpy(to, v + key * j->kv_stride + col, GS_PANEL_COLS * sizeof *to);
                continue;
            }
            memset(to, 0, GS_PANEL_COLS * sizeof *to);
            if (key < keys) memcpy(to, v + key * j->kv_stride + col, (size_t)n * sizeof *to);
        }
    }
}

static int64_t first_apart(const attention_job *j, const attention_task *t)
{
    const int64_t rows = (j->apart - t->query) * t->heads;
    return rows < 0 ? 0 : min_i64(rows, t->rows);
}

/* Scores of the rows apart, or of all rows with few keys. */
static void score_apart(const attention_job *j, const attention_task *t, const work_area *w, int64_t key0, int64_t keys)
{
    const int64_t block = min_i64(KEYS, j->whole - key0), d = j->d;
    const float *const k = j->k + key0 * j->kv_stride + t->group * d;
    for (int64_t r = j->few && block <= FEW_KEYS ? 0 : first_apart(j, t); r < t->rows; r++) {
        const int64_t query = t->query + r / t->heads;
        const bool alone = query >= j->apart && j->q_rows - j->apart == 1;
        const float *const q = j->q + query * j->q_stride + (t->head + r % t->heads) * d;
        for (int64_t key = 0; key < keys; key++) {
            const float *const other = k + key * j->kv_stride;
            w->scores[r * KEYS + key] =
                alone ? gs_dot_of_one(q, other, d, key, block) : gs_dot_of_few(q, other, d, key, block);
        }
    }
}

/* Their weighted sums: products rounded, one key after the other. The weights become 0 for what comes after. */
static void sum_apart(const attention_job *j, const attention_task *t, const work_area *w, int64_t key0, int64_t keys)
{
    const float *const v = j->v + key0 * j->kv_stride + t->group * j->d;
    for (int64_t r = first_apart(j, t); r < t->rows; r++) {
        float *const weight = w->scores + r * KEYS, *const sum = w->sums + r * j->d;
        for (int64_t key = 0; key < keys; key++)
            for (int64_t i = 0; i < j->d; i++) sum[i] += weight[key] * v[key * j->kv_stride + i];
        memset(weight, 0, (size_t)keys * sizeof *weight);
    }
}

/* Scores -> weights; what was summed before shrinks where the maximum grew. */
static void soften(const attention_job *j, const attention_task *t, const work_area *w, int64_t key0, int64_t keys)
{
    const int64_t in_lanes = j->whole ? min_i64(KEYS, j->whole - key0) / 8 * 8 : KEYS;
    for (int64_t r = 0; r < t->rows; r++) {
        const int64_t visible = min_i64(j->pos0 + t->query + r / t->heads - key0 + 1, keys);
        const float factor =
            j->kernels->softmax_row(keys, visible, in_lanes, j->scale, w->scores + r * KEYS, &w->max[r], &w->total[r]);
        if (factor != 1.0f) j->kernels->scale_row(j->d, factor, w->sums + r * j->d);
    }
}

static void score_block(const attention_job *j, const attention_task *t, const work_area *w, const float *k,
                        int64_t keys)
{
    for (int64_t key = 0; key < keys; key += GS_GROUP_COLS) {
        const int64_t n = min_i64(GS_GROUP_COLS, keys - key);
        j->kernels->pack_keys(n, j->d, j->d_even, k + key * j->kv_stride, j->kv_stride, w->keys);
        const gs_block_f32 scores = {.rows = t->rows,
                                     .cols = ceil_div(n, GS_PANEL_COLS) * GS_PANEL_COLS,
                                     .kc = j->d_even,
                                     .a = w->q,
                                     .b = w->keys,
                                     .c = w->scores + key,
                                     .ldc = KEYS};
        j->kernels->block_f32(&scores);
    }
}

static void add_chain(const attention_job *j, const attention_task *t, const work_area *w, int64_t first, int64_t keys,
                      const float *v)
{
    const int64_t even = (keys + 1) / 2 * 2;
    j->kernels->pack_a_f32(w->packed, w->scores + first, KEYS, t->rows, keys, even);
    pack_values(j, keys, even, v, w->values);
    for (int64_t col = 0; col < j->d; col += GS_GROUP_COLS) {
        const gs_block_f32 sums = {.rows = t->rows,
                                   .cols = min_i64(GS_GROUP_COLS, j->d - col),
                                   .kc = even,
                                   .a = w->packed,
                                   .b = w->values + col * even,
                                   .c = w->sums + col,
                                   .ldc = j->d,
                                   .add = true};
        j->kernels->block_f32(&sums);
    }
}

/* Keys of one chain: 192, or half a block that is longer than one chain and shorter than two. */
static int64_t chain_length(const attention_job *j, int64_t key0)
{
    const int64_t block = j->whole ? min_i64(KEYS, j->whole - key0) : KEYS;
    return block > CHAIN && block < 2 * CHAIN ? block / 2 : CHAIN;
}

/* One block of keys for all rows of the task. */
static void visit_block(const attention_job *j, const attention_task *t, const work_area *w, int64_t key0, int64_t keys)
{
    const int64_t at = key0 * j->kv_stride + t->group * j->d, chain = chain_length(j, key0);
    score_block(j, t, w, j->k + at, keys);
    score_apart(j, t, w, key0, keys);
    soften(j, t, w, key0, ceil_div(keys, GS_PANEL_COLS) * GS_PANEL_COLS);
    sum_apart(j, t, w, key0, keys);
    for (int64_t key = 0; key < keys; key += chain)
        add_chain(j, t, w, key, min_i64(chain, keys - key), j->v + at + key * j->kv_stride);
}

static void attend_task(void *ctx, int64_t task, int worker)
{
    const attention_job *const j = ctx;
    const attention_task t = find_task(j, task);
    work_area w;
    lay_out(&w, gs_pool_scratch(j->pool, worker), j->d);
    start_rows(j, &t, &w);
    const int64_t keys = j->pos0 + t.query + t.queries; /* the last query sees them all */
    for (int64_t key0 = 0; key0 < keys; key0 += KEYS) visit_block(j, &t, &w, key0, min_i64(KEYS, keys - key0));
    for (int64_t r = 0; r < t.rows; r++) {
        float *const to = j->out + (t.query + r / t.heads) * j->out_stride + (t.head + r % t.heads) * j->d;
        memcpy(to, w.sums + r * j->d, (size_t)j->d * sizeof *to);
        j->kernels->scale_row(j->d, 1.0f / w.total[r], to);
    }
}

static void attend(gs_compute *c, attention_job *job, int64_t heads, int64_t groups)
{
    assert(job->q_rows >= 0 && job->pos0 >= 0 && heads > 0 && groups > 0 && heads % groups == 0 && job->d > 0);
    /* Nothing new, unless a caller with wide heads has forgotten gs_compute_provide_heads(). */
    if (gs_pool_reserve(c->pool, gs_attention_scratch_bytes(job->d), NULL) != GS_OK) abort();
    job->kernels = c->kernels;
    job->pool = c->pool;
    job->d_even = (job->d + 1) / 2 * 2;
    job->group_heads = heads / groups;
    job->scale = 1.0f / sqrtf((float)job->d);
    job->head_tasks = ceil_div(job->group_heads, MOST_ROWS);
    job->task_heads = ceil_div(job->group_heads, job->head_tasks);
    job->task_queries = MOST_ROWS / job->task_heads;
    job->query_tasks = ceil_div(job->q_rows, job->task_queries);
    gs_pool_run(c->pool, groups * job->head_tasks * job->query_tasks, attend_task, job);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are the shape of the thing */
void gs_attention(gs_compute *c, int64_t q_rows, int64_t pos0, const float *q, int64_t q_stride, const float *k,
                  const float *v, int64_t kv_stride, int64_t heads, int64_t groups, int64_t d, float *out,
                  int64_t out_stride)
{
    attention_job job = {.q_rows = q_rows,
                         .apart = q_rows,
                         .pos0 = pos0,
                         .q_stride = q_stride,
                         .kv_stride = kv_stride,
                         .out_stride = out_stride,
                         .d = d,
                         .q = q,
                         .k = k,
                         .v = v,
                         .out = out};
    attend(c, &job, heads, groups);
}

void gs_attention_whole(gs_compute *c, int64_t rows, const float *q, int64_t q_stride, const float *k, const float *v,
                        int64_t kv_stride, int64_t heads, int64_t groups, int64_t d, float *out, int64_t out_stride)
{
    const int64_t block = rows < 192 ? 32 : rows < 768 ? 64 : 256, last = rows % block;
    const int64_t apart = d % 8 == 0 && last >= 1 && last <= 3 ? rows - last : rows;
    attention_job job = {.q_rows = rows,
                         .apart = apart,
                         .few = d % 8 == 0,
                         .whole = rows,
                         .q_stride = q_stride,
                         .kv_stride = kv_stride,
                         .out_stride = out_stride,
                         .d = d,
                         .q = q,
                         .k = k,
                         .v = v,
                         .out = out};
    attend(c, &job, heads, groups);
}
