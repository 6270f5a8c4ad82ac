/* Owns the trial linear: chunks of rows through the rule into panels. SPDX-License-Identifier: Apache-2.0 */
#include "eval/trial.h"

typedef enum input_kind { INPUT_FLOAT, INPUT_STATIC, INPUT_PER_TOKEN } input_kind;

static const input_kind input_of[] = {
    [GS_Q_FLOAT] = INPUT_FLOAT,
    [GS_Q_W8A8] = INPUT_STATIC,
    [GS_Q_W8A8_DYNAMIC] = INPUT_PER_TOKEN,
    [GS_Q_W8A16] = INPUT_FLOAT,
    [GS_Q_W4A16] = INPUT_FLOAT,
    [GS_Q_W8A8S] = INPUT_STATIC,
    [GS_Q_W4A8_DYNAMIC] = INPUT_PER_TOKEN,
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t step_rows(int64_t out, int64_t in)
{
    const int64_t rows = (int64_t)GS_TRIAL_BYTES / (in * (int64_t)sizeof(float)) / GS_PACK_ROWS * GS_PACK_ROWS;
    return min_i64(rows < GS_PACK_ROWS ? GS_PACK_ROWS : rows, out);
}

static gs_status init_fake(gs_fake_linear *f, const gs_trial_spec *s, gs_error *err)
{
    switch (input_of[s->type]) {
    case INPUT_FLOAT:
        return gs_fake_init_weight_only(f, s->out, s->in, s->bias, err);
    case INPUT_STATIC:
        return gs_fake_init_fixed(f, s->out, s->in, s->act, s->bias, err);
    case INPUT_PER_TOKEN:
        break;
    }
    return gs_fake_init_per_token(f, s->out, s->in, s->bias, err);
}

/* Two stages in one: code·factor of its group, which rule_stage.c keeps within int8. */
static void join_stages(int8_t *codes, const float *second, int64_t groups, int64_t width)
{
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = g * width; i < (g + 1) * width; i++) codes[i] = (int8_t)((float)codes[i] * second[g]);
}

/* One chunk of rows at work. */
typedef struct chunk_work {
    const gs_trial_spec *spec;
    gs_weight_layout layout;
    gs_weight_codes to;
    gs_buf codes, values; /* values: only where the product is of floats */
} chunk_work;

static gs_status begin(chunk_work *k, int64_t step, gs_error *err)
{
    const gs_trial_spec *s = k->spec;
    k->layout = gs_weight_layout_from(s->rule, s->recipe, false, s->row_parallel, s->in);
    GS_TRY(gs_buf_alloc(&k->codes, (size_t)(step * s->in), "codes of a weight", err));
    if (input_of[s->type] == INPUT_FLOAT)
        GS_TRY(gs_buf_alloc(&k->values, (size_t)(step * s->in) * sizeof(float), "rows of a dequantized weight", err));
    k->to.codes = k->codes.data;
    k->to.scale = gs_alloc_array((size_t)(step * k->layout.scale_columns), sizeof(float));
    k->to.offset = gs_alloc_array((size_t)(step * k->layout.scale_columns), sizeof(float));
    if (k->layout.second_columns > 0)
        k->to.scale_second = gs_alloc_array((size_t)(step * k->layout.second_columns), sizeof(float));
    return GS_OK;
}

static void end(chunk_work *k)
{
    gs_buf_release(&k->codes);
    gs_buf_release(&k->values);
    gs_free(k->to.scale);
    gs_free(k->to.offset);
    gs_free(k->to.scale_second);
}

static void take_rows(chunk_work *k, gs_fake_linear *f, gs_compute *c, const gs_weight_stats *stats, int64_t row0,
                      int64_t rows, const float *w)
{
    const gs_trial_spec *s = k->spec;
    gs_weight_apply(c, s->rule, stats, rows, s->in, w, &k->to);
    if (k->values.data) {
        gs_weight_dequant(c, s->rule, rows, s->in, &k->to, k->values.data);
    } else {
        for (int64_t r = 0; r < rows; r++) f->scale[row0 + r] = k->to.scale[r];
        if (k->to.scale_second)
            join_stages(k->to.codes, k->to.scale_second, rows * k->layout.second_columns,
                        s->in / k->layout.second_columns);
    }
    gs_fake_set_rows(f, c, row0, rows, k->to.codes, k->values.data);
}

static gs_status take_all(chunk_work *k, gs_fake_linear *f, gs_compute *c, int64_t step, gs_error *err)
{
    const gs_trial_spec *s = k->spec;
    gs_weight_stats own = {0};
    if (!s->stats && gs_weight_needs_stats(s->rule))
        GS_TRY(gs_weight_measure(c, s->rule, s->out, s->in, step, s->rows, s->ctx, &own, err));
    for (int64_t row = 0; row < s->out; row += step) {
        const int64_t rows = min_i64(step, s->out - row);
        const float *w;
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(s->rows(s->ctx, row, rows, &w, err));
        take_rows(k, f, c, s->stats ? s->stats : &own, row, rows, w);
    }
    return GS_OK;
}

gs_status gs_trial_build(gs_trial *t, gs_compute *c, const gs_trial_spec *spec, gs_error *err)
{
    chunk_work k = {.spec = spec};
    const int64_t step = step_rows(spec->out, spec->in);
    t->transformed = false;
    gs_status status = init_fake(&t->fake, spec, err);
    if (status == GS_OK) status = begin(&k, step, err);
    if (status == GS_OK) status = take_all(&k, &t->fake, c, step, err);
    end(&k);
    return status;
}

gs_status gs_trial_build_w4a4(gs_trial *t, gs_compute *c, gs_w4a4_plan *plan, const gs_packed *w, const float *bias,
                              gs_error *err)
{
    const int64_t out = w->n, in = w->k, step = step_rows(out, in);
    t->transformed = true;
    GS_TRY(gs_w4a4_linear_init(&t->w4a4, c, out, in, plan->left, plan->right, plan->clip_ratio, plan->d, bias, err));
    gs_buf codes = {0};
    GS_TRY(gs_buf_alloc(&codes, (size_t)(step * in), "codes of a weight", err));
    float *scale = gs_alloc_array((size_t)step, sizeof *scale);
    gs_status status = GS_OK;
    for (int64_t row = 0; row < out && status == GS_OK; row += step) {
        const int64_t rows = min_i64(step, out - row);
        status = gs_check_interrupt(err);
        if (status == GS_OK) status = gs_w4a4_round(plan, c, w, row, rows, codes.data, scale, err);
        if (status == GS_OK) gs_w4a4_linear_set_rows(&t->w4a4, c, row, rows, codes.data, scale);
    }
    gs_free(scale);
    gs_buf_release(&codes);
    return status;
}

void gs_trial_release(gs_trial *t)
{
    gs_fake_release(&t->fake);
    gs_w4a4_linear_release(&t->w4a4);
    gs_buf_release(&t->codes);
    *t = (gs_trial){0};
}

gs_status gs_trial_forward(gs_trial *t, gs_compute *c, int64_t rows, const float *x, float *y, gs_error *err)
{
    if (t->transformed) {
        gs_w4a4_linear_forward(&t->w4a4, c, rows, x, y);
        return GS_OK;
    }
    const size_t bytes = t->fake.weight_only ? 0 : GS_FAKE_SCRATCH(rows, t->fake.in, false);
    const gs_chunk any = {.rows = rows};
    if (bytes > t->codes.bytes) {
        gs_buf_release(&t->codes);
        GS_TRY(gs_buf_alloc(&t->codes, bytes, "codes of activations", err));
    }
    return gs_fake_forward(&t->fake, c, &any, 0, rows, x, t->codes.data, y, err);
}
