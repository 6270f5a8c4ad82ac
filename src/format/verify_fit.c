/* The weights of a result against those of its checkpoint, in one pass of sums over rows and columns. Without smoothing floats are
 * copies and codes lie within half a step of their weight, unless the method clips or merges. Smoothing multiplies columns by what the
 * norm in front was divided by, and with some methods rows of one linear and columns of the next by factors nobody wrote down; those
 * are fitted, and what no factor explains is the error. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "format/verify_checks.h"
#include "quant/w4a4.h"
#include "quant/weight.h"

/* What a type's codes keep of a weight at least: below what its methods give, above what a wrong tensor (-3 dB) gives. Only a
 * small row that shares its scale with others can be worse, down to no code at all. */
typedef struct bound {
    gs_quant_type type;
    double linear_db, row_db; /* signal over noise */
    double steps;     /* root mean square in steps from which rows and columns are judged; 0 = columns are not */
    double far;       /* how far from 1 the gain of a column may be */
    double column_db; /* signal over noise of the whole from which columns are judged */
    bool nearest;     /* codes are the nearest ones, but for clipping */
} bound;

static const bound bounds[] = {
    {GS_Q_FLOAT, 35, 25, 1e-9, 0.05, 0, false},
    {GS_Q_W8A8, 8, 8, 2, 0.3, 0, true},
    {GS_Q_W8A8_DYNAMIC, 1, -1, 16, 0.3, 20, false}, /* codes may be those of W8A8S, which give 3 to 15 dB */
    {GS_Q_W8A16, 8, 8, 2, 0.3, 0, true},
    {GS_Q_W4A16, 1, -1, 0, 0, 0, true},
    {GS_Q_W8A8S, 1, -1, 0, 0, 0, false},
    {GS_Q_W4A8_DYNAMIC, 1, -1, 0, 0, 0, false},
    {GS_Q_W4A4_FLATQUANT_DYNAMIC, 1, -1, 1, 0.5, 0, false},
};

#define FITTED_DB    1.0 /* with a factor of its own even a wrong row reaches 0 */
#define FITTED_STEPS 1.0 /* and so does a right one that is hardly more than zeros */

static const bound *bound_of(gs_quant_type type)
{
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (bounds[i].type == type) return &bounds[i];
    return &bounds[0];
}

/* How a linear of this place can have been smoothed. */
typedef enum smoothing { PLAIN, ROWS, COLUMNS } smoothing;

/* w: the checkpoint's weight with the columns' known factor; q: what the result makes of it. */
typedef struct sums {
    double ww, wq, qq, plain; /* plain: of the squared q - w */
    double step2;             /* square of the row's step, the largest if there are several */
    int64_t beyond;           /* codes further than half a step from w */
    int64_t differ;           /* floats that are no copy */
} sums;

typedef struct gs_fit {
    gs_w4a4_pair back; /* W4A4: from the weight as it is stored to the weight */
    gs_buf work;
    sums all;
    double noise;
    sums *column;                                            /* [in]; ww, wq, qq */
    int64_t first_beyond, first_differ, bad_rows, first_bad; /* rows */
} gs_fit;

void gs_verify_fit_free(gs_fit *f)
{
    if (!f) return;
    gs_w4a4_pair_release(&f->back);
    gs_buf_release(&f->work);
    gs_free(f->column);
    gs_free(f);
}

static smoothing smoothing_of(const gs_verify *v, const gs_rows *x)
{
    if (!v->smoothed || !x->linear || x->linear->block == v->q.config.layers) return PLAIN;
    return x->linear->role == GS_QKV || x->linear->role == GS_H4 ? ROWS : COLUMNS;
}

typedef struct fit_job {
    const gs_rows *x;
    const float *factor; /* [in] of the columns, or NULL */
    const float *q;      /* [rows, in] */
    float *w;            /* the same, the factor put in on the way */
    bool rows_scaled;    /* each row of q is a multiple of w, which columns leave out */
    sums *row;           /* [rows] */
    sums *column;        /* [in] */
    float slack;         /* of a scale of 1 */
    float extreme;       /* codes from here on are clipped */
} fit_job;

static float step_of(const gs_rows *x, int64_t r, int64_t i)
{
    const gs_weight_layout *l = &x->part->layout;
    if (!x->codes) return 0;
    if (!x->q.scale) return fabsf(x->q.deq[r] / x->q.input_scale);
    float step = x->q.scale[r * l->scale_columns + i * l->scale_columns / x->in];
    if (x->q.second) step *= x->q.second[r * l->second_columns + i * l->second_columns / x->in];
    return fabsf(step);
}

static void sum_row(void *ctx, int64_t r, int worker)
{
    const fit_job *j = ctx;
    const gs_rows *x = j->x;
    float *w = j->w + r * x->in;
    const float *q = j->q + r * x->in;
    sums s = {0};
    (void)worker;
    for (int64_t i = 0; i < x->in; i++) {
        if (j->factor) w[i] *= j->factor[i];
        const double d = (double)q[i] - (double)w[i];
        s.ww += (double)w[i] * (double)w[i];
        s.wq += (double)w[i] * (double)q[i];
        s.qq += (double)q[i] * (double)q[i];
        s.plain += d * d;
        if (!x->codes) {
            s.differ += q[i] != w[i];
            continue;
        }
        const float code = (float)x->codes[r * x->in + i], step = step_of(x, r, i);
        const float reach = step * (0.51f + j->slack * (fabsf(code) + 1)) + fabsf(q[i]) * j->slack;
        if (fabs(d) > (double)reach && code > -j->extreme - 1 && code < j->extreme) s.beyond++;
        if ((double)step * (double)step > s.step2) s.step2 = (double)step * (double)step;
    }
    j->row[r] = s;
}

#define COLUMNS_PER_TASK 64

static void sum_columns(void *ctx, int64_t task, int worker)
{
    const fit_job *j = ctx;
    const int64_t in = j->x->in, from = task * COLUMNS_PER_TASK;
    const int64_t to = from + COLUMNS_PER_TASK < in ? from + COLUMNS_PER_TASK : in;
    (void)worker;
    for (int64_t r = 0; r < j->x->rows; r++) {
        const sums *row = &j->row[r];
        const double scale = j->rows_scaled && row->wq > 0 ? row->ww / row->wq : 1;
        for (int64_t i = from; i < to; i++) {
            const double w = (double)j->w[r * in + i], q = scale * (double)j->q[r * in + i];
            j->column[i].ww += w * w;
            j->column[i].wq += w * q;
            j->column[i].qq += q * q;
        }
    }
}

static double decibel(double signal, double noise)
{
    const gs_sqnr s = {signal, noise > 0 ? noise : 0};
    return gs_sqnr_db(&s);
}

/* What of q no multiple of w explains. */
static double left_over(const sums *s) { return s->ww > 0 ? s->qq - s->wq * s->wq / s->ww : s->qq; }

static void note_first(int64_t *first, int64_t count_before, int64_t now, int64_t row)
{
    if (count_before == 0 && now > 0) *first = row;
}

static void add_row(gs_fit *f, const sums *s, const gs_rows *x, int64_t row, smoothing how)
{
    const bound *b = bound_of(x->scheme->type);
    const double noise = how == PLAIN ? s->plain : left_over(s);
    const double signal = how == PLAIN ? s->ww : s->qq;
    const double scale = how == ROWS && s->wq > 0 ? s->ww / s->wq : 1;
    const double steps = how == ROWS && b->steps < FITTED_STEPS ? FITTED_STEPS : b->steps;
    const bool judged = how != COLUMNS && s->ww > 0 && signal >= steps * steps * s->step2 * (double)x->in;
    const double least = how != PLAIN && b->row_db < FITTED_DB ? FITTED_DB : b->row_db;
    if (judged && decibel(signal, noise) < least && f->bad_rows++ == 0) f->first_bad = row;
    note_first(&f->first_beyond, f->all.beyond, s->beyond, row);
    note_first(&f->first_differ, f->all.differ, s->differ, row);
    f->noise += noise;
    f->all.ww += s->ww;
    f->all.wq += s->wq;
    f->all.qq += s->qq;
    f->all.step2 += s->step2 * scale * scale;
    f->all.beyond += s->beyond;
    f->all.differ += s->differ;
}

/* Rounds w to the type the file has it in, as a copy would. */
static void round_to(gs_dtype dtype, float *w, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (dtype == GS_BF16) w[i] = gs_bf16_to_f32(gs_f32_to_bf16(w[i]));
        if (dtype == GS_F16) w[i] = gs_f16_to_f32(gs_f32_to_f16(w[i]));
    }
}

static void add_chunk(gs_verify *v, const gs_rows *x, smoothing how)
{
    gs_compute *c = v->request->compute;
    const gs_tensor *scale = x->part->piece[x->q.scale ? GS_PIECE_WEIGHT_SCALE : GS_PIECE_INPUT_SCALE];
    const bool four = x->scheme->type == GS_Q_W4A16 || x->scheme->type == GS_Q_W4A8_DYNAMIC;
    fit_job job = {.x = x,
                   .q = x->weight,
                   .w = x->model,
                   .column = v->fit->column,
                   .extreme = four ? 7 : 127,
                   .rows_scaled = how == ROWS};
    if (x->codes) {
        gs_quant_dequant(c, x->part, &x->q, x->codes, x->scratch);
        if (v->fit->work.data) gs_w4a4_pair_apply(&v->fit->back, c, x->rows, x->scratch, v->fit->work.data);
        job.q = x->scratch;
        job.slack = scale ? gs_verify_slack(scale->dtype, 1) : 0;
    } else if (how == PLAIN) {
        round_to(x->part->piece[GS_PIECE_WEIGHT]->dtype, x->model, x->rows * x->in);
    }
    if (how == ROWS)
        job.factor = v->ratio + ((int64_t)x->linear->block * GS_NORMS + (x->linear->role == GS_H4)) * x->in;
    job.row = gs_alloc_array((size_t)x->rows, sizeof *job.row);
    gs_pool_run(c->pool, x->rows, sum_row, &job);
    gs_pool_run(c->pool, (x->in + COLUMNS_PER_TASK - 1) / COLUMNS_PER_TASK, sum_columns, &job);
    for (int64_t r = 0; r < x->rows; r++) add_row(v->fit, &job.row[r], x, x->row0 + r, how);
    gs_free(job.row);
}

#define FEW 1000 /* one code in so many is damage; more is the method */

/* Columns must have kept their size relative to the others, or a norm and its linear do not belong together. */
static void judge_columns(gs_verify *v, const gs_rows *x, const bound *b, smoothing how)
{
    const gs_fit *f = v->fit;
    const double gain = how == PLAIN && f->all.ww > 0 ? f->all.wq / f->all.ww : 1;
    for (int64_t i = 0; i < x->in && b->steps > 0; i++) {
        const sums *c = &f->column[i];
        if (!(c->ww > 0) || c->ww < b->steps * b->steps * f->all.step2) continue;
        const double g = c->wq / c->ww / gain;
        if (!(fabs(g - 1) <= b->far))
            gs_verify_fail_about(v, x->prefix, "column %lld of '%s.weight' is %.3g times what checkpoint and norm say",
                                 (long long)i, x->prefix, g);
    }
}

static void judge(gs_verify *v, const gs_rows *x, smoothing how)
{
    const gs_fit *f = v->fit;
    const bound *b = bound_of(x->scheme->type);
    double noise = f->noise;
    for (int64_t i = 0; how == COLUMNS && i < x->in; i++) noise = (i == 0 ? 0 : noise) + left_over(&f->column[i]);
    const double db = decibel(how == PLAIN ? f->all.ww : f->all.qq, noise);
    const double values = (double)x->out * (double)x->in;
    if (f->all.ww > 0 && db < b->linear_db)
        gs_verify_fail_about(v, x->prefix,
                             "'%s.weight' is not the checkpoint's: signal over noise is %.1f dB, %s "
                             "gives more than %g",
                             x->prefix, db, x->scheme->name, b->linear_db);
    else if (f->bad_rows > 0)
        gs_verify_fail_about(v, x->prefix, "row %lld of '%s.weight' is not the checkpoint's (%lld such rows)",
                             (long long)f->first_bad, x->prefix, (long long)f->bad_rows);
    else if (how == PLAIN && !x->codes && f->all.differ > 0)
        gs_verify_fail_about(v, x->prefix,
                             "'%s.weight' differs from the checkpoint's in %lld values, the first in row "
                             "%lld",
                             x->prefix, (long long)f->all.differ, (long long)f->first_differ);
    else if (how == PLAIN && b->nearest && f->all.beyond > 0 && (double)f->all.beyond * FEW <= values)
        gs_verify_fail_about(v, x->prefix,
                             "%lld codes of '%s.weight' are not those of the checkpoint's values, the "
                             "first in row %lld",
                             (long long)f->all.beyond, x->prefix, (long long)f->first_beyond);
    else if (how != COLUMNS && db >= b->column_db)
        judge_columns(v, x, b, how);
}

static void transpose(int64_t n, const float *from, float *to)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) to[j * n + i] = from[i * n + j];
}

/* The stored row is inverse(L)·W·inverse(R)ᵀ as [a, b]; L·(that)·Rᵀ is W again. */
static gs_status begin_back(gs_verify *v, const gs_rows *x, gs_error *err)
{
    const int64_t a = x->part->piece[GS_PIECE_LEFT_TRANS]->shape[0], b = x->part->piece[GS_PIECE_RIGHT_TRANS]->shape[0];
    float *left = gs_alloc_array((size_t)(a * a), sizeof *left),
          *right = gs_alloc_array((size_t)(b * b), sizeof *right);
    transpose(a, x->q.left, left);
    transpose(b, x->q.right, right);
    gs_status status = gs_w4a4_pair_init(&v->fit->back, v->request->compute, a, b, left, right, err);
    if (status == GS_OK)
        status = gs_buf_alloc(&v->fit->work, (size_t)(x->rows * x->in) * sizeof(float), "transformed rows", err);
    gs_free(left);
    gs_free(right);
    return status;
}

static gs_status begin_fit(gs_verify *v, const gs_rows *x, gs_error *err)
{
    gs_verify_fit_free(v->fit);
    v->fit = gs_alloc(sizeof *v->fit);
    v->fit->column = gs_alloc_array((size_t)x->in, sizeof *v->fit->column);
    return x->q.left ? begin_back(v, x, err) : GS_OK;
}

GS_CHECK_ROWS(model_weights)
{
    if (!x->model || (!x->codes && !x->weight)) return GS_OK;
    const smoothing how = smoothing_of(v, x);
    if (x->row0 == 0) GS_TRY(begin_fit(v, x, err));
    add_chunk(v, x, how);
    if (x->row0 + x->rows == x->out) judge(v, x, how);
    return GS_OK;
}
