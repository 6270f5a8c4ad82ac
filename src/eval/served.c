/* Owns the served linears: one row of the table per arithmetic. SPDX-License-Identifier: Apache-2.0 */
#include "eval/served.h"

#include <limits.h>
#include <string.h>

#define IN_MAX 65536 /* above, the integer sums of gs_gemm_s8 could leave int32 */

struct gs_served_kind {
    gs_quant_type type;
    /* Weights of rows row0 .. of p->from into p; values are there already. */
    gs_status (*load)(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err);
    void (*apply)(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y);
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Rows per step: about GS_SERVED_BYTES of float32, a multiple of GS_PACK_ROWS. */
static int64_t step_rows(int64_t in)
{
    const int64_t rows = (int64_t)GS_SERVED_BYTES / (in * (int64_t)sizeof(float)) / GS_PACK_ROWS * GS_PACK_ROWS;
    return rows < GS_PACK_ROWS ? GS_PACK_ROWS : rows;
}

static gs_status need_panel(gs_packed *p, gs_pack_kind kind, int64_t n, int64_t k, gs_error *err)
{
    if (p->buf.data && p->kind == kind && p->n == n && p->k == k) return GS_OK;
    gs_packed_release(p);
    return gs_packed_alloc(p, kind, n, k, "weights of a quantized linear", err);
}

static const char *name_of(const gs_served_part *p) { return p->from->piece[GS_PIECE_WEIGHT]->name; }

/* ---- float ---- */

static gs_status load_float(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err)
{
    return gs_weight_load_rows(&p->panel, c, &q->checkpoint, p->from->piece[GS_PIECE_WEIGHT], p->values.row0, p->out,
                               err);
}

static void apply_float(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y)
{
    (void)w;
    gs_gemm_f32(c, &p->panel, rows, x, p->in, p->values.bias, y, p->out);
}

/* ---- int8 codes on both sides ---- */

/* Every code times the whole factor of its group. */
static gs_status join_stages(const gs_served_part *p, int64_t row0, int64_t rows, int8_t *codes, gs_error *err)
{
    const int64_t groups = p->from->layout.second_columns, width = p->in / groups;
    for (int64_t i = 0; i < rows * groups; i++) {
        const float factor = p->values.second[row0 * groups + i];
        for (int64_t j = i * width; j < (i + 1) * width; j++) {
            const float joined = (float)codes[j] * factor;
            if (!(joined >= -128.0f && joined <= 127.0f) || gs_rint(joined) != joined)
                return gs_fail(err, GS_ERR_UNSUPPORTED,
                               "%s: code %d times weight_scale_second %g is not an int8 value; only such two-stage "
                               "weights are evaluated",
                               name_of(p), codes[j], (double)factor);
            codes[j] = (int8_t)joined;
        }
    }
    return GS_OK;
}

typedef void (*rows_sink)(gs_served_part *p, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes);

static gs_status read_codes(gs_served_part *p, gs_compute *c, const gs_quantdir *q, rows_sink sink, gs_error *err)
{
    const int64_t step = step_rows(p->in);
    int8_t *const codes = gs_alloc((size_t)(min_i64(step, p->out) * p->in));
    gs_status status = GS_OK;
    for (int64_t row = 0; row < p->out && status == GS_OK; row += step) {
        const int64_t rows = min_i64(step, p->out - row);
        status = gs_quant_read_codes(q, c, p->from, p->values.row0 + row, rows, codes, err);
        if (status == GS_OK && p->values.second) status = join_stages(p, row, rows, codes, err);
        if (status == GS_OK) sink(p, c, row, rows, codes);
        if (status == GS_OK) status = gs_check_interrupt(err);
    }
    gs_free(codes);
    return status;
}

static void pack_codes(gs_served_part *p, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes)
{
    gs_pack_rows(c, &p->panel, row0, rows, codes);
}

static gs_status load_codes(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err)
{
    if (p->in > IN_MAX)
        return gs_fail(err, GS_ERR_UNSUPPORTED, "%s: int8 products with more than %d inputs leave int32", name_of(p),
                       IN_MAX);
    GS_TRY(need_panel(&p->panel, GS_PACK_S8, p->out, p->in, err));
    return read_codes(p, c, q, pack_codes, err);
}

/* The integer sum stays in int32 whatever the input. */
static gs_status load_static(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err)
{
    GS_TRY(load_codes(p, c, q, err));
    const int64_t room = INT_MAX - 128 * 128 * p->in;
    for (int64_t i = 0; i < p->out; i++)
        if (p->values.quant_bias[i] > room || p->values.quant_bias[i] < -room)
            return gs_fail(err, GS_ERR_NUMERIC,
                           "%s: quant_bias[%lld] is %d; with %lld inputs the int32 sum can overflow", name_of(p),
                           (long long)(p->values.row0 + i), p->values.quant_bias[i], (long long)p->in);
    return GS_OK;
}

static void apply_static(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y)
{
    gs_quantize_s8(c, rows * p->in, x, p->values.input_scale, p->values.input_offset, w->codes);
    gs_gemm_s8_from(c, &p->panel, rows, w->codes, p->in, p->values.quant_bias, p->values.deq, y, p->out);
}

typedef struct token_job {
    int64_t in;
    const float *x;
    int8_t *codes;
    float *scale;
} token_job;

static void quantize_token(void *ctx, int64_t row, int worker)
{
    const token_job *job = ctx;
    const float *x = job->x + row * job->in;
    int8_t *codes = job->codes + row * job->in;
    float peak = 0.0f;
    (void)worker;
    for (int64_t i = 0; i < job->in; i++) {
        const float a = x[i] < 0.0f ? -x[i] : x[i];
        peak = a > peak ? a : peak;
    }
    const float scale = peak > 0.0f ? peak / 127.0f : 1.0f;
    job->scale[row] = scale;
    for (int64_t i = 0; i < job->in; i++) codes[i] = gs_clamp_s8(gs_rint(x[i] / scale), -128.0f, 127.0f);
}

static void apply_dynamic(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y)
{
    token_job job = {.in = p->in, .x = x, .codes = w->codes, .scale = w->scale};
    gs_pool_run(c->pool, rows, quantize_token, &job);
    gs_gemm_s8(c, &p->panel, rows, w->codes, p->in, w->scale, w->zero, p->values.scale, p->values.bias, y, p->out);
}

/* ---- codes of the weight alone: kept as codes, widened some rows at a time ---- */

static void keep_codes(gs_served_part *p, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes)
{
    (void)c;
    memcpy((int8_t *)p->codes.data + row0 * p->in, codes, (size_t)(rows * p->in));
}

static gs_status load_weight_only(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err)
{
    const size_t bytes = (size_t)(p->out * p->in);
    if (p->codes.bytes < bytes) {
        gs_buf_release(&p->codes);
        GS_TRY(gs_buf_alloc(&p->codes, bytes, "codes of a quantized linear", err));
    }
    GS_TRY(need_panel(&p->panel, GS_PACK_F32, min_i64(step_rows(p->in), p->out), p->in, err));
    return read_codes(p, c, q, keep_codes, err);
}

static void apply_weight_only(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x,
                              float *y)
{
    const int64_t columns = p->from->layout.scale_columns;
    for (int64_t row = 0; row < p->out; row += p->panel.n) {
        const int64_t n = min_i64(p->panel.n, p->out - row);
        gs_quant_values some = p->values;
        some.rows = n;
        some.scale += row * columns;
        some.offset += row * columns;
        gs_quant_dequant(c, p->from, &some, (int8_t *)p->codes.data + row * p->in, w->weight);
        gs_packed view = p->panel;
        view.n = n;
        gs_pack_rows(c, &view, 0, n, w->weight);
        gs_gemm_f32(c, &view, rows, x, p->in, p->values.bias ? p->values.bias + row : NULL, y + row, p->out);
    }
}

/* ---- W4A4 ---- */

static void set_transformed(gs_served_part *p, gs_compute *c, int64_t row0, int64_t rows, const int8_t *codes)
{
    gs_w4a4_linear_set_rows(&p->transformed, c, row0, rows, codes, p->values.scale + row0);
}

static gs_status load_transformed(gs_served_part *p, gs_compute *c, const gs_quantdir *q, gs_error *err)
{
    const gs_quant_values *v = &p->values;
    gs_w4a4_linear_release(&p->transformed);
    GS_TRY(
        gs_w4a4_linear_init(&p->transformed, c, p->out, p->in, v->left, v->right, v->clip_ratio, NULL, v->bias, err));
    return read_codes(p, c, q, set_transformed, err);
}

static void apply_transformed(gs_served_part *p, gs_compute *c, gs_served_work *w, int64_t rows, const float *x,
                              float *y)
{
    (void)w;
    gs_w4a4_linear_forward(&p->transformed, c, rows, x, y);
}

static const gs_served_kind kinds[] = {
    {GS_Q_FLOAT, load_float, apply_float},
    {GS_Q_W8A8, load_static, apply_static},
    {GS_Q_W8A8S, load_static, apply_static},
    {GS_Q_W8A8_DYNAMIC, load_codes, apply_dynamic},
    {GS_Q_W4A8_DYNAMIC, load_codes, apply_dynamic},
    {GS_Q_W8A16, load_weight_only, apply_weight_only},
    {GS_Q_W4A16, load_weight_only, apply_weight_only},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, load_transformed, apply_transformed},
};

static const gs_served_kind *kind_of(gs_quant_type type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == type) return &kinds[i];
    return NULL;
}

/* ---- whole linears ---- */

static void release_part(gs_served_part *p)
{
    gs_packed_release(&p->panel);
    gs_buf_release(&p->codes);
    gs_quant_values_release(&p->values);
    gs_w4a4_linear_release(&p->transformed);
    *p = (gs_served_part){0};
}

void gs_served_release(gs_served_linear *s)
{
    for (int i = 0; i < s->parts; i++) release_part(&s->part[i]);
    gs_free(s->part);
    gs_free(s->reduce);
    gs_free(s->gather);
    *s = (gs_served_linear){0};
}

static gs_status load_part(gs_served_part *p, gs_compute *c, const gs_quantdir *q, const gs_quant_part *from,
                           const gs_served_kind *kind, int64_t row0, int64_t rows, gs_error *err)
{
    if (p->kind && p->kind != kind) release_part(p); /* another block may have another type */
    p->kind = kind;
    p->from = from;
    p->out = rows;
    p->in = from->in;
    gs_quant_values_release(&p->values);
    GS_TRY(gs_quant_values_read(&p->values, q, from, row0, rows, err));
    return kind->load(p, c, q, err);
}

static gs_status load_communication(gs_served_linear *s, const gs_quantdir *q, const gs_quant_linear *l, int64_t row0,
                                    gs_error *err)
{
    gs_free(s->reduce);
    gs_free(s->gather);
    s->reduce = s->gather = NULL;
    if (l->complete || !l->gather) return GS_OK;
    s->gather = gs_alloc_array((size_t)s->out, sizeof *s->gather);
    s->reduce = gs_alloc_array((size_t)(s->out * s->parts), sizeof *s->reduce);
    GS_TRY(gs_quant_read_floats(q, l->gather, row0, s->out, s->gather, err));
    for (int i = 0; i < s->parts; i++)
        GS_TRY(gs_quant_read_floats(q, l->reduce[i], row0, s->out, s->reduce + i * s->out, err));
    return GS_OK;
}

gs_status gs_served_load(gs_served_linear *s, gs_compute *c, const gs_quantdir *q, const gs_quant_linear *l,
                         int64_t row0, int64_t rows, gs_error *err)
{
    const int parts = l->complete ? 1 : l->ranks;
    const gs_served_kind *kind = kind_of(l->scheme->type);
    if (!kind)
        return gs_fail(err, GS_ERR_UNSUPPORTED, "%s: linears of type %s cannot be evaluated", q->description_path,
                       l->scheme->name);
    if (s->parts != parts) gs_served_release(s);
    if (!s->part) s->part = gs_alloc_array((size_t)parts, sizeof *s->part);
    s->parts = parts;
    s->out = rows;
    s->in = l->whole.in;
    for (int i = 0; i < parts; i++)
        GS_TRY(load_part(&s->part[i], c, q, l->complete ? &l->whole : &l->rank[i], kind, row0, rows, err));
    return load_communication(s, q, l, row0, err);
}

size_t gs_served_bytes(const gs_quant_linear *l)
{
    const gs_quant_part *p = &l->whole;
    const gs_tensor *t = l->complete ? p->piece[GS_PIECE_WEIGHT] : l->rank[0].piece[GS_PIECE_WEIGHT];
    if (l->scheme->type == GS_Q_FLOAT)
        return gs_packed_bytes(t->dtype == GS_BF16 ? GS_PACK_BF16 : GS_PACK_F32, p->out, p->in);
    const bool weight_only = l->scheme->type == GS_Q_W8A16 || l->scheme->type == GS_Q_W4A16;
    const size_t scales = (size_t)(p->out * (p->layout.scale_columns + p->layout.second_columns + 4)) * sizeof(float);
    return gs_packed_bytes(GS_PACK_S8, p->out, p->in) + scales + (weight_only ? GS_SERVED_BYTES : 0);
}

/* ---- several cards ---- */

typedef struct round_job {
    int64_t n, each, stride;
    float *x;
    const float *scale, *offset;
} round_job;

static void round_row(void *ctx, int64_t row, int worker)
{
    const round_job *job = ctx;
    float *x = job->x + row * job->stride;
    (void)worker;
    for (int64_t i = 0; i < job->n; i++) {
        const float s = job->scale[i / job->each], z = job->offset ? job->offset[i / job->each] : 0.0f;
        x[i] = s > 0.0f ? ((float)gs_clamp_s8(gs_rint(x[i] / s + z), -128.0f, 127.0f) - z) * s : 0.0f;
    }
}

void gs_served_round_trip(gs_compute *c, int64_t rows, int64_t n, int64_t each, float *x, int64_t stride,
                          const float *scale, const float *offset)
{
    round_job job = {.n = n, .each = each, .stride = stride, .x = x, .scale = scale, .offset = offset};
    gs_pool_run(c->pool, rows, round_row, &job);
}

static void apply_shares(gs_served_linear *s, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y)
{
    int64_t column = 0;
    for (int i = 0; i < s->parts; column += s->part[i].in, i++) {
        gs_served_part *p = &s->part[i];
        float *const to = i == 0 ? y : w->share;
        for (int64_t row = 0; row < rows; row++)
            memcpy(w->slice + row * p->in, x + row * s->in + column, (size_t)p->in * sizeof *x);
        p->kind->apply(p, c, w, rows, w->slice, to);
        if (s->reduce) gs_served_round_trip(c, rows, s->out, 1, to, s->out, s->reduce + i * s->out, NULL);
        if (i > 0) gs_add(c, rows * s->out, y, to);
    }
    if (s->gather) gs_served_round_trip(c, rows, s->out, 1, y, s->out, s->gather, NULL);
}

void gs_served_apply(gs_served_linear *s, gs_compute *c, gs_served_work *w, int64_t rows, const float *x, float *y)
{
    if (s->parts > 1 || s->reduce)
        apply_shares(s, c, w, rows, x, y);
    else
        s->part[0].kind->apply(&s->part[0], c, w, rows, x, y);
}

/* ---- scratch ---- */

static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

gs_status gs_served_work_init(gs_served_work *w, int64_t rows, int64_t in, int64_t out, bool cards, gs_error *err)
{
    const size_t codes = padded((size_t)(rows * in)), row = padded((size_t)rows * sizeof(float));
    const size_t weight = padded((size_t)(step_rows(in) * in) * sizeof(float));
    const size_t least = padded(GS_SERVED_BYTES), slice = cards ? padded((size_t)(rows * in) * sizeof(float)) : 0;
    const size_t share = cards ? padded((size_t)(rows * out) * sizeof(float)) : 0;
    *w = (gs_served_work){.rows = rows, .in = in, .out = out};
    GS_TRY(gs_buf_alloc(&w->buf, codes + 2 * row + (weight > least ? weight : least) + slice + share,
                        "scratch of quantized linears", err));
    char *at = w->buf.data;
    w->codes = (int8_t *)at;
    w->scale = (float *)(void *)(at += codes);
    w->zero = (int32_t *)(void *)(at += row);
    w->weight = (float *)(void *)(at += row);
    at += weight > least ? weight : least;
    if (!cards) return GS_OK;
    w->slice = (float *)(void *)at;
    w->share = (float *)(void *)(at + slice);
    return GS_OK;
}

void gs_served_work_release(gs_served_work *w)
{
    gs_buf_release(&w->buf);
    *w = (gs_served_work){0};
}
