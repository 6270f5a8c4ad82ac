/* The choice of d, L, R and clip_ratio of a W4A4 linear: candidates are judged by the mean squared error of the linear's output
 * on kept tokens and evenly spaced output rows, both sides rounded plainly. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/elem.h"
#include "quant/w4a4_parts.h"

enum { ALPHAS = 9, CLIPS = 10, CHUNK = GS_W4A4_CHUNK };

typedef struct candidate {
    double alpha;
    float *d, *left, *right;
} candidate;

typedef struct search {
    gs_compute *c;
    const gs_w4a4_stats *s;
    const gs_w4a4_options *options;
    int64_t in, a, b, tokens, out; /* tokens and output rows looked at */
    int n;
    candidate candidate[ALPHAS];
    const float *w_max; /* [in] */
    float *w, *y;       /* [out, in], [tokens, out]: sampled weight rows and their exact outputs */
    float *x, *work;    /* [max(CHUNK, out), in]: rows on their way through a transform */
    float *yq;          /* [CHUNK, out] */
    int8_t *codes;      /* [max(CHUNK, out), in] */
    float *scale, *w_scale;
    int32_t *zero;     /* [CHUNK] zeros */
    double *row_error; /* [CHUNK] */
    gs_packed panel;   /* codes of w */
    gs_buf buf;
} search;

static float larger(float x, float y) { return x > y ? x : y; }

/* d = max(wmax^(1-alpha)/xmax^alpha, 1e-5), and such that norm·d can be written exactly. */
static void fill_diagonal(const search *t, candidate *k)
{
    const float *const norm = t->options->norm;
    for (int64_t j = 0; j < t->in; j++) {
        float d = 1.0f;
        if (k->alpha >= 0) {
            const float x = larger(larger(-t->s->min[j], t->s->max[j]), 1e-5f), w = larger(t->w_max[j], 1e-5f);
            d = larger(gs_pow(w, (float)(1.0 - k->alpha)) / gs_pow(x, (float)k->alpha), 1e-5f);
        }
        if (norm && norm[j] != 0) {
            float product = norm[j] * d;
            uint32_t written;
            gs_from_f32(t->options->floats, &product, &written, 1);
            gs_to_f32(t->options->floats, &written, &product, 1);
            const float exact = product / norm[j];
            if (exact > 0 && exact < INFINITY) d = exact;
        }
        k->d[j] = d;
    }
}

/* m = Σ_t X·Xᵀ (left) or Xᵀ·X with X = x∘d. */
static void second_moments(const search *t, const float *d, bool left, double *m)
{
    const int64_t a = t->a, b = t->b, n = left ? a : b;
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < (left ? i + 1 : b); j++)
            for (int64_t l = 0; l < (left ? b : j + 1); l++) {
                if (left) { /* rows i, j; column l */
                    m[i * a + j] += (double)d[i * b + l] * (double)d[j * b + l] * t->s->gram_left[(i * a + j) * b + l];
                } else { /* row i; columns j, l */
                    m[j * b + l] += (double)d[i * b + j] * (double)d[i * b + l] * t->s->gram_right[(i * b + j) * b + l];
                }
            }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) m[j * n + i] = m[i * n + j];
}

/* L = U·Sᵀ (or S), rounded to the dtype it is written in. */
static void basis_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const search *const t = ctx;
    const candidate *const k = &t->candidate[task / 2];
    const bool left = task % 2 == 0, eigen = t->options->eigen && t->s->gram_left;
    const int64_t n = left ? t->a : t->b;
    float *const to = left ? k->left : k->right;
    double *const spread = gs_alloc_array((size_t)(n * n), sizeof *spread);
    gs_w4a4_spread(n, spread);
    for (int64_t i = 0; i < n * n && !eigen; i++) to[i] = (float)spread[i];
    if (eigen) {
        double *const m = gs_alloc_array((size_t)(n * n), sizeof *m), *const v =
                                                                          gs_alloc_array((size_t)(n * n), sizeof *v);
        second_moments(t, k->d, left, m);
        gs_w4a4_eigen(n, m, v);
        memset(m, 0, (size_t)(n * n) * sizeof *m);
        for (int64_t e = 0; e < n; e++) /* m[j][i] = Σ_e S[j][e]·v[e][i] */
            for (int64_t j = 0; j < n; j++)
                for (int64_t i = 0; i < n; i++) m[j * n + i] += spread[j * n + e] * v[e * n + i];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) to[i * n + j] = (float)m[j * n + i];
        gs_free(m);
        gs_free(v);
    }
    gs_free(spread);
    if (t->options->floats == GS_F32) return;
    uint16_t *const narrow = gs_alloc_array((size_t)(n * n), sizeof *narrow);
    gs_from_f32(t->options->floats, to, narrow, n * n);
    gs_to_f32(t->options->floats, narrow, to, n * n);
    gs_free(narrow);
}

static gs_status pairs_init(gs_w4a4_pair *act, gs_w4a4_pair *weight, gs_compute *c, int64_t a, int64_t b,
                            const float *left, const float *right, gs_error *err)
{
    float *const l = gs_alloc_array((size_t)(a * a), sizeof *l), *const r = gs_alloc_array((size_t)(b * b), sizeof *r);
    gs_w4a4_inverse_transpose(a, left, l);
    gs_w4a4_inverse_transpose(b, right, r);
    gs_status status = gs_w4a4_pair_init(act, c, a, b, left, right, err);
    if (status == GS_OK) status = gs_w4a4_pair_init(weight, c, a, b, l, r, err);
    gs_free(l);
    gs_free(r);
    return status;
}

typedef struct error_job {
    const search *t;
    int64_t row0;
} error_job;

static void error_task(void *ctx, int64_t row, int worker)
{
    (void)worker;
    const error_job *const job = ctx;
    const int64_t out = job->t->out;
    const float *const q = job->t->yq + row * out, *const y = job->t->y + (job->row0 + row) * out;
    double sum = 0;
    for (int64_t o = 0; o < out; o++) {
        const double e = (double)q[o] - (double)y[o];
        sum += e * e;
    }
    job->t->row_error[row] = sum;
}

/* Rows i of `count` evenly spaced among the kept ones. */
static void gather_tokens(const search *t, int64_t row0, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(t->x + r * t->in, t->s->rows + (row0 + r) * t->s->kept / t->tokens * t->in,
               (size_t)t->in * sizeof(float));
}

/* error[i] = mean squared error of the output with clip ratio clips[i] and the weight codes in the panel. */
static void judge(const search *t, const gs_w4a4_pair *act, const float *d, int n, const float *clips, double *error)
{
    for (int i = 0; i < n; i++) error[i] = 0;
    for (int64_t row = 0; row < t->tokens; row += CHUNK) {
        const int64_t rows = gs_w4a4_min(CHUNK, t->tokens - row);
        gather_tokens(t, row, rows);
        gs_w4a4_enter(act, t->c, d, false, rows, t->x, t->work);
        for (int i = 0; i < n; i++) {
            gs_w4a4_quantize(t->c, rows, t->in, t->x, clips[i], t->codes, t->scale);
            gs_gemm_s8(t->c, &t->panel, rows, t->codes, t->in, t->scale, t->zero, t->w_scale, NULL, t->yq, t->out);
            error_job job = {.t = t, .row0 = row};
            gs_pool_run(t->c->pool, rows, error_task, &job);
            for (int64_t r = 0; r < rows; r++) error[i] += t->row_error[r];
        }
    }
    for (int i = 0; i < n; i++) error[i] /= (double)t->tokens * (double)t->out;
}

static void round_weight(search *t, const gs_w4a4_pair *weight, const float *d)
{
    memcpy(t->x, t->w, (size_t)(t->out * t->in) * sizeof *t->x);
    gs_w4a4_enter(weight, t->c, d, true, t->out, t->x, t->work);
    gs_w4a4_row_scale(t->c, t->out, t->in, t->x, NULL, t->w_scale, t->codes);
    gs_pack_rows(t->c, &t->panel, 0, t->out, t->codes);
}

/* Column maxima of the whole weight and the sampled rows of it. */
static gs_status read_weight(search *t, const gs_packed *w, float *w_max, gs_error *err)
{
    const int64_t in = t->in, step = gs_w4a4_min(CHUNK, w->n);
    float *const low = gs_alloc_array((size_t)in, sizeof *low);
    bool finite = true;
    for (int64_t row = 0; row < w->n && finite; row += step) {
        const int64_t rows = gs_w4a4_min(step, w->n - row);
        float least, most;
        gs_unpack_rows(t->c, w, row, rows, t->x);
        gs_minmax(t->c, rows * in, t->x, &least, &most, &finite);
        gs_column_minmax(t->c, rows, in, t->x, in, low, w_max);
        for (int64_t o = 0; o < t->out; o++) { /* sampled row o is row o·n/out of the weight */
            const int64_t at = o * w->n / t->out - row;
            if (at >= 0 && at < rows) memcpy(t->w + o * in, t->x + at * in, (size_t)in * sizeof *t->w);
        }
    }
    for (int64_t j = 0; j < in; j++) w_max[j] = larger(w_max[j], -low[j]);
    gs_free(low);
    t->w_max = w_max;
    return finite ? GS_OK : gs_fail(err, GS_ERR_NUMERIC, "the weight of a W4A4 linear has NaN or infinite values");
}

/* y = x·wᵀ of the sample. Returns its mean square. */
static gs_status exact_output(search *t, double *mean_square, gs_error *err)
{
    gs_packed exact;
    GS_TRY(gs_packed_alloc(&exact, GS_PACK_F32, t->out, t->in, "sampled rows of a W4A4 weight", err));
    gs_pack_rows(t->c, &exact, 0, t->out, t->w);
    double sum = 0;
    for (int64_t row = 0; row < t->tokens; row += CHUNK) {
        const int64_t rows = gs_w4a4_min(CHUNK, t->tokens - row);
        gather_tokens(t, row, rows);
        gs_gemm_f32(t->c, &exact, rows, t->x, t->in, NULL, t->y + row * t->out, t->out);
        for (int64_t i = row * t->out; i < (row + rows) * t->out; i++) sum += (double)t->y[i] * (double)t->y[i];
    }
    gs_packed_release(&exact);
    *mean_square = sum / ((double)t->tokens * (double)t->out);
    return GS_OK;
}

static size_t buf_bytes(const search *t)
{
    const int64_t in = t->in, wide = t->out > CHUNK ? t->out : CHUNK;
    const size_t floats = (size_t)(t->out * in + t->tokens * t->out + 2 * wide * in + CHUNK * t->out + CHUNK + t->out);
    const size_t bases = (size_t)t->n * (size_t)(in + t->a * t->a + t->b * t->b);
    return (floats + bases + CHUNK) * sizeof(float) + CHUNK * sizeof(double) + (size_t)(wide * in);
}

static gs_status search_alloc(search *t, gs_error *err)
{
    const int64_t in = t->in, wide = t->out > CHUNK ? t->out : CHUNK;
    GS_TRY(gs_buf_alloc(&t->buf, buf_bytes(t), "search of a W4A4 transform", err));
    t->row_error = t->buf.data;
    t->w = (float *)(void *)(t->row_error + CHUNK);
    t->y = t->w + t->out * in;
    t->x = t->y + t->tokens * t->out;
    t->work = t->x + wide * in;
    t->yq = t->work + wide * in;
    t->scale = t->yq + CHUNK * t->out;
    t->w_scale = t->scale + CHUNK;
    float *at = t->w_scale + t->out;
    for (int i = 0; i < t->n; i++) {
        candidate *const k = &t->candidate[i];
        *k = (candidate){.alpha = t->options->diagonal ? 0.1 * i : -1.0, .d = at, .left = at + in};
        k->right = k->left + t->a * t->a;
        at = k->right + t->b * t->b;
    }
    t->zero = (int32_t *)(void *)at;
    t->codes = (int8_t *)(t->zero + CHUNK);
    return gs_packed_alloc(&t->panel, GS_PACK_S8, t->out, in, "search of a W4A4 transform", err);
}

/* Index of the least error among finite ones, the first on ties; -1 if none is finite. */
static int least(int n, const double *error)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (error[i] < INFINITY && (best < 0 || error[i] < error[best])) best = i;
    return best;
}

static gs_status search_transform(search *t, gs_w4a4_plan *p, gs_error *err)
{
    const float one = 1.0f;
    double error[ALPHAS];
    for (int i = 0; i < t->n; i++) fill_diagonal(t, &t->candidate[i]);
    gs_pool_run(t->c->pool, 2 * t->n, basis_task, t);
    for (int i = 0; i < t->n; i++) {
        const candidate *const k = &t->candidate[i];
        gs_w4a4_pair act = {0}, weight = {0};
        GS_TRY(gs_check_interrupt(err));
        const gs_status status = pairs_init(&act, &weight, t->c, t->a, t->b, k->left, k->right, err);
        if (status == GS_OK) {
            round_weight(t, &weight, k->d);
            judge(t, &act, k->d, 1, &one, &error[i]);
        }
        gs_w4a4_pair_release(&act);
        gs_w4a4_pair_release(&weight);
        GS_TRY(status);
    }
    const int best = least(t->n, error);
    if (best < 0)
        return gs_fail(err, GS_ERR_NUMERIC,
                       "the outputs of a W4A4 linear overflow; its inputs or weights are too large");
    const candidate *const k = &t->candidate[best];
    p->alpha = k->alpha;
    p->error = error[best];
    memcpy(p->d, k->d, (size_t)t->in * sizeof *p->d);
    memcpy(p->left, k->left, (size_t)(t->a * t->a) * sizeof *p->left);
    memcpy(p->right, k->right, (size_t)(t->b * t->b) * sizeof *p->right);
    return pairs_init(&p->act, &p->weight, t->c, t->a, t->b, p->left, p->right, err);
}

static gs_status search_clip(search *t, gs_w4a4_plan *p, gs_error *err)
{
    static const float clips[CLIPS] = {1.0f, 0.975f, 0.95f, 0.925f, 0.9f, 0.875f, 0.85f, 0.8f, 0.75f, 0.7f};
    double error[CLIPS];
    GS_TRY(gs_check_interrupt(err));
    round_weight(t, &p->weight, p->d);
    judge(t, &p->act, p->d, CLIPS, clips, error);
    const int best = least(CLIPS, error);
    p->clip_ratio = clips[best < 0 ? 0 : best];
    return GS_OK;
}

static gs_status choose(search *t, gs_w4a4_plan *p, const gs_packed *w, gs_error *err)
{
    double mean_square = 0;
    float *const w_max = gs_alloc_array((size_t)t->in, sizeof *w_max);
    gs_status status = search_alloc(t, err);
    if (status == GS_OK) status = read_weight(t, w, w_max, err);
    if (status == GS_OK) status = exact_output(t, &mean_square, err);
    if (status == GS_OK) status = search_transform(t, p, err);
    if (status == GS_OK) status = search_clip(t, p, err);
    if (mean_square > 0) p->error /= mean_square;
    gs_free(w_max);
    return status;
}

/* A candidate costs one product of the sample's tokens and output rows. */
static void choose_sample(search *t, int64_t out, int64_t kept)
{
    enum { LEAST = 512 };
    const int64_t most = (int64_t)1 << 31;
    t->tokens = gs_w4a4_min(kept, GS_W4A4_SEARCH_ROWS);
    t->out = gs_w4a4_min(out, GS_W4A4_SEARCH_OUT);
    while (t->tokens * t->out * t->in > most && (t->tokens > LEAST || t->out > LEAST)) {
        int64_t *const longer = t->tokens >= t->out ? &t->tokens : &t->out;
        *longer = *longer / 2 > LEAST ? *longer / 2 : LEAST;
    }
}

size_t gs_w4a4_search_bytes(int64_t out, int64_t in, int64_t kept)
{
    search t = {.in = in, .n = ALPHAS};
    if (!gs_w4a4_split(in, &t.a, &t.b)) return SIZE_MAX;
    choose_sample(&t, out, kept);
    return buf_bytes(&t) + gs_packed_bytes(GS_PACK_S8, t.out, in) + gs_packed_bytes(GS_PACK_F32, t.out, in);
}

gs_status gs_w4a4_choose(gs_w4a4_plan *p, gs_compute *c, const gs_w4a4_stats *s, const gs_packed *w,
                         const gs_w4a4_options *options, gs_error *err)
{
    const int64_t in = s->in, a = s->a, b = s->b;
    *p = (gs_w4a4_plan){.in = in, .a = a, .b = b};
    if (s->kept < 1 || w->n < 1 || w->k != in)
        return gs_fail(err, GS_ERR_USAGE, "W4A4 needs calibration tokens; give calibration texts (--calib_file)");
    GS_TRY(gs_buf_alloc(&p->vectors, (size_t)(3 * in + a * a + b * b) * sizeof(float), "a W4A4 transform", err));
    p->d = p->vectors.data;
    p->moment = p->d + in;
    p->left = p->moment + in;
    p->right = p->left + a * a;
    p->order = (int32_t *)(void *)(p->right + b * b);
    search t = {.c = c, .s = s, .options = options, .in = in, .a = a, .b = b, .n = options->diagonal ? ALPHAS : 1};
    choose_sample(&t, w->n, s->kept);
    const gs_status status = choose(&t, p, w, err);
    gs_packed_release(&t.panel);
    gs_buf_release(&t.buf);
    if (status != GS_OK) gs_w4a4_plan_release(p);
    return status;
}

void gs_w4a4_plan_release(gs_w4a4_plan *p)
{
    gs_w4a4_pair_release(&p->act);
    gs_w4a4_pair_release(&p->weight);
    gs_packed_release(&p->panel);
    gs_buf_release(&p->vectors);
    gs_buf_release(&p->factor);
    gs_buf_release(&p->queue);
    gs_buf_release(&p->work);
    memset(p, 0, sizeof *p);
}
