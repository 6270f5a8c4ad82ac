/* First look at the inputs of a W4A4 linear: ranges, kept rows, and the products of pairs of inputs that share a row or a
 * column of the token as a matrix, from which Σ X·Xᵀ and Σ Xᵀ·X follow for any diagonal d. Sums run in float32 over 64
 * tokens counted from the first one, whatever the calls, and in double from there. SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/elem.h"
#include "quant/w4a4_parts.h"

enum { BLOCK = 64, LANES = 16 };

/* Offsets of the parts in stats.buf. `tail`: tokens of the block of 64 that is not complete. */
typedef struct layout {
    size_t left, right, tail, rows, bytes;
} layout;

static bool take(size_t *at, size_t *offset, size_t count, size_t size)
{
    size_t bytes;
    *offset = *at;
    return gs_mul_size(count, size, &bytes) && gs_add_size(*at, bytes, at) && gs_add_size(*at, 63, at) &&
           (*at &= ~(size_t)63, true);
}

static bool lay_out(int64_t in, int64_t a, int64_t b, int64_t keep, layout *l)
{
    const size_t gram = b <= GS_W4A4_EIGEN_MAX ? (size_t)in : 0;
    size_t at = 0, kept;
    return gs_mul_size((size_t)in, (size_t)keep, &kept) && take(&at, &l->left, gram * (size_t)a, sizeof(double)) &&
           take(&at, &l->right, gram * (size_t)b, sizeof(double)) && take(&at, &l->tail, gram * BLOCK, sizeof(float)) &&
           take(&at, &l->rows, kept, sizeof(float)) && (l->bytes = at, true);
}

size_t gs_w4a4_stats_bytes(int64_t in, int64_t keep)
{
    int64_t a, b;
    layout l;
    return keep >= 1 && gs_w4a4_split(in, &a, &b) && lay_out(in, a, b, keep, &l) ? l.bytes : SIZE_MAX;
}

gs_status gs_w4a4_stats_init(gs_w4a4_stats *s, int64_t in, int64_t tokens, int64_t keep, gs_error *err)
{
    layout l;
    *s = (gs_w4a4_stats){.in = in, .tokens = tokens, .keep = gs_w4a4_min(keep, tokens)};
    if (!gs_w4a4_split(in, &s->a, &s->b))
        return gs_fail(err, GS_ERR_UNSUPPORTED,
                       "W4A4: an input width of %lld cannot be split in two factors as its loader does; keep this "
                       "linear out with --disable_names",
                       (long long)in);
    if (tokens < 1 || keep < 1)
        return gs_fail(err, GS_ERR_USAGE, "W4A4 needs calibration tokens; give calibration texts (--calib_file)");
    if (!lay_out(in, s->a, s->b, s->keep, &l))
        return gs_fail(err, GS_ERR_MEMORY, "%lld calibration tokens of width %lld cannot be held in memory",
                       (long long)s->keep, (long long)in);
    GS_TRY(gs_buf_alloc(&s->buf, l.bytes, "inputs of a W4A4 linear", err));
    char *const base = s->buf.data;
    if (s->b <= GS_W4A4_EIGEN_MAX) {
        s->gram_left = (double *)(void *)(base + l.left);
        s->gram_right = (double *)(void *)(base + l.right);
    }
    s->tail = (float *)(void *)(base + l.tail);
    s->rows = (float *)(void *)(base + l.rows);
    s->min = gs_alloc_array((size_t)in, sizeof *s->min);
    s->max = gs_alloc_array((size_t)in, sizeof *s->max);
    return GS_OK;
}

void gs_w4a4_stats_release(gs_w4a4_stats *s)
{
    gs_buf_release(&s->buf);
    gs_free(s->min);
    gs_free(s->max);
    memset(s, 0, sizeof *s);
}

typedef struct gram_job {
    gs_w4a4_stats *s;
    const float *x; /* [rows <= BLOCK, in] */
    int64_t rows;
} gram_job;

/* y += f·x (or x∘f) for n values; the whole steps of LANES are what the compiler turns into vectors. */
static void add_scaled(int64_t n, float *restrict y, const float *restrict x, float f)
{
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int64_t k = 0; k < LANES; k++) y[j + k] += f * x[j + k];
    for (; j < n; j++) y[j] += f * x[j];
}

static void add_product(int64_t n, float *restrict y, const float *restrict x, const float *restrict f)
{
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int64_t k = 0; k < LANES; k++) y[j + k] += f[j + k] * x[j + k];
    for (; j < n; j++) y[j] += f[j] * x[j];
}

static void to_double(int64_t n, double *sum, const float *part)
{
    for (int64_t j = 0; j < n; j++) sum[j] += (double)part[j];
}

/* Row i of the token as [a, b]: against the rows before it, and its entries against each other. */
static void gram_task(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const gram_job *const job = ctx;
    gs_w4a4_stats *const s = job->s;
    const int64_t a = s->a, b = s->b;
    float part[GS_W4A4_EIGEN_MAX];
    for (int64_t k = 0; k <= i; k++) {
        memset(part, 0, (size_t)b * sizeof *part);
        for (int64_t t = 0; t < job->rows; t++)
            add_product(b, part, job->x + t * s->in + i * b, job->x + t * s->in + k * b);
        to_double(b, s->gram_left + (i * a + k) * b, part);
    }
    for (int64_t j = 0; j < b; j++) {
        memset(part, 0, (size_t)(j + 1) * sizeof *part);
        for (int64_t t = 0; t < job->rows; t++) {
            const float *const x = job->x + t * s->in + i * b;
            add_scaled(j + 1, part, x, x[j]);
        }
        to_double(j + 1, s->gram_right + (i * b + j) * b, part);
    }
}

static void add_grams(gs_w4a4_stats *s, gs_compute *c, const float *x, int64_t rows)
{
    gram_job job = {.s = s, .x = x, .rows = rows};
    if (rows > 0) gs_pool_run(c->pool, s->a, gram_task, &job);
}

/* Whole blocks of 64 tokens, counted from the first token; the rest waits in `tail`. */
static void feed_grams(gs_w4a4_stats *s, gs_compute *c, int64_t rows, const float *x)
{
    const size_t row_bytes = (size_t)s->in * sizeof *x;
    while (rows > 0) {
        const int64_t waiting = s->seen % BLOCK, n = gs_w4a4_min(BLOCK - waiting, rows);
        const bool direct = waiting == 0 && n == BLOCK;
        if (!direct) memcpy(s->tail + waiting * s->in, x, (size_t)n * row_bytes);
        if (waiting + n == BLOCK) add_grams(s, c, direct ? x : s->tail, BLOCK);
        s->seen += n;
        x += n * s->in;
        rows -= n;
    }
    if (s->seen == s->tokens) add_grams(s, c, s->tail, s->seen % BLOCK);
}

/* Token t is kept when floor(t·keep/tokens) is about to change: evenly spaced, `keep` of them. */
static void keep_rows(gs_w4a4_stats *s, int64_t rows, const float *x)
{
    for (int64_t r = 0; r < rows; r++) {
        const int64_t t = s->seen + r;
        if ((t + 1) * s->keep / s->tokens == t * s->keep / s->tokens) continue;
        memcpy(s->rows + s->kept++ * s->in, x + r * s->in, (size_t)s->in * sizeof *x);
    }
}

gs_status gs_w4a4_stats_add(gs_w4a4_stats *s, gs_compute *c, int64_t rows, const float *x, gs_error *err)
{
    if (rows <= 0) return GS_OK;
    assert(rows <= s->tokens - s->seen);
    float least, most;
    bool finite;
    gs_minmax(c, rows * s->in, x, &least, &most, &finite);
    if (!finite)
        return gs_fail(err, GS_ERR_NUMERIC,
                       "an input of a W4A4 linear is NaN or infinite in calibration tokens %lld to %lld; check the "
                       "weights of this layer and those before it",
                       (long long)s->seen, (long long)(s->seen + rows - 1));
    gs_column_minmax(c, rows, s->in, x, s->in, s->min, s->max); /* both start at 0: only magnitudes are asked for */
    keep_rows(s, rows, x);
    if (s->gram_left)
        feed_grams(s, c, rows, x);
    else
        s->seen += rows;
    return GS_OK;
}
