/* Served linears against plain C that reads the files for itself: every type, both layouts, and numbers worked out by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/format/result.h"

#include "eval/served_block.h"

#define ROWS 5

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static int64_t random_whole(int64_t low, int64_t high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (int64_t)(random_state % (uint64_t)(high - low + 1));
}

static float random_float(void) { return (float)random_whole(-1000, 1000) / 500.0f; }

static bool ends(const gs_tensor *t, const char *suffix)
{
    const size_t n = strlen(t->name), m = strlen(suffix);
    return n > m && strcmp(t->name + n - m, suffix) == 0;
}

static bool asymmetric, one_int4_per_byte;

static float float_value(const gs_tensor *t)
{
    if (ends(t, ".weight_scale_second")) return (float)random_whole(1, 15);
    if (ends(t, "_offset") || ends(t, ".offset"))
        return asymmetric || ends(t, ".input_offset") ? (float)random_whole(-20, 20) : 0.0f;
    if (ends(t, "scale")) return (float)random_whole(1, 100) / 4096.0f;
    return random_float();
}

static void fill_random(const gs_tensor *t, void *dst)
{
    for (int64_t i = 0; i < t->elements; i++) {
        const float v = float_value(t);
        int8_t *const i8 = dst;
        int32_t *const i32 = dst;
        int64_t *const i64 = dst;
        if (gs_dtype_is_float(t->dtype))
            gs_from_f32(t->dtype, &v, i8 + (size_t)i * gs_dtype_bytes(t->dtype), 1);
        else if (t->dtype == GS_I8)
            i8[i] = (int8_t)(one_int4_per_byte ? random_whole(-8, 7) : random_whole(-128, 127));
        else if (t->dtype == GS_I32)
            i32[i] = (int32_t)random_whole(-1000000, 1000000);
        else if (t->dtype == GS_I64 && ends(t, ".deq_scale"))
            i64[i] = (int32_t)gs_f32_bits(v);
    }
}

/* ---- the other way to the same numbers ---- */

typedef struct reader {
    const gs_checkpoint *ck;
    char prefix[200];
} reader;

static const gs_tensor *piece(const reader *r, const char *suffix)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", r->prefix, suffix);
    return gs_checkpoint_find(r->ck, name);
}

/* Tensors that were read, until forget(). */
static struct {
    const gs_tensor *t;
    uint8_t *data;
} seen[16];

static void forget(void)
{
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        gs_free(seen[i].data);
        seen[i].t = NULL;
        seen[i].data = NULL;
    }
}

static const uint8_t *content(const gs_checkpoint *ck, const gs_tensor *t)
{
    size_t i = 0;
    while (seen[i].t && seen[i].t != t) i++;
    if (!seen[i].t) {
        seen[i].t = t;
        seen[i].data = gs_alloc((size_t)t->bytes);
        OK(gs_checkpoint_read(ck, t, 0, seen[i].data, (size_t)t->bytes, ERR));
    }
    return seen[i].data;
}

static double value(const reader *r, const char *suffix, int64_t at)
{
    const gs_tensor *t = piece(r, suffix);
    if (!t) return 0;
    const size_t size = gs_dtype_bytes(t->dtype);
    const uint8_t *const raw = content(r->ck, t) + (size_t)(t->elements == 1 ? 0 : at) * size;
    float f;
    if (gs_dtype_is_float(t->dtype)) {
        gs_to_f32(t->dtype, raw, &f, 1);
        return (double)f;
    }
    if (t->dtype == GS_I8) return (int8_t)raw[0];
    int32_t i;
    memcpy(&i, raw, 4); /* little end of an int64 pattern too */
    if (t->dtype == GS_I32) return i;
    memcpy(&f, raw, 4);
    return (double)f;
}

static int code(const reader *r, int64_t o, int64_t i, int64_t out, int64_t in)
{
    const gs_tensor *t = piece(r, ".weight");
    if (t->shape[0] == out && t->shape[1] == in) return (int)value(r, ".weight", o * in + i);
    const bool along_in = t->shape[0] == out;
    const int byte = (int)value(r, ".weight", along_in ? (o * in + i) / 2 : o / 2 * in + i) & 255;
    const int half = (along_in ? i : o) % 2 ? byte >> 4 : byte & 15;
    return half >= 8 ? half - 16 : half;
}

/* Weight element as served, without the row's scale. */
static double weight(const reader *r, gs_quant_type type, int64_t o, int64_t i, int64_t out, int64_t in)
{
    if (type == GS_Q_FLOAT) return value(r, ".weight", o * in + i);
    const double q = code(r, o, i, out, in);
    const gs_tensor *second = piece(r, ".weight_scale_second"), *scale = piece(r, ".weight_scale");
    if (second) return q * value(r, ".weight_scale_second", o * second->shape[1] + i * second->shape[1] / in);
    if (type != GS_Q_W8A16 && type != GS_Q_W4A16) return q;
    const int64_t at = scale->rank == 1 ? 0 : o * scale->shape[1] + i * scale->shape[1] / in;
    return (q - value(r, ".weight_offset", at)) * value(r, ".weight_scale", at);
}

static double expected(const reader *r, gs_quant_type type, const float *x, int64_t o, int64_t out, int64_t in)
{
    double sum = 0, peak = 0;
    const double bias = value(r, ".bias", o);
    for (int64_t i = 0; i < in; i++) peak = fmax(peak, fabs((double)x[i]));
    const float step = (float)peak / 127.0f;
    for (int64_t i = 0; i < in; i++) {
        const double w = weight(r, type, o, i, out, in);
        double q = (double)x[i];
        if (type == GS_Q_W8A8 || type == GS_Q_W8A8S)
            q = fmin(127, fmax(-128, rint((double)(x[i] / (float)value(r, ".input_scale", 0) +
                                                   (float)value(r, ".input_offset", 0)))));
        if (type == GS_Q_W8A8_DYNAMIC || type == GS_Q_W4A8_DYNAMIC) q = rint((double)(x[i] / step));
        sum += w * q;
    }
    if (type == GS_Q_W8A8 || type == GS_Q_W8A8S)
        return (double)((float)(sum + value(r, ".quant_bias", o)) * (float)value(r, ".deq_scale", o));
    if (type == GS_Q_W8A8_DYNAMIC || type == GS_Q_W4A8_DYNAMIC)
        return (double)((float)sum * (step * (float)value(r, ".weight_scale", o)) + (float)bias);
    return sum + bias;
}

static bool is_exact(gs_quant_type type) { return type != GS_Q_FLOAT && type != GS_Q_W8A16 && type != GS_Q_W4A16; }

static void check_linear(gs_quantdir *q, gs_compute *c, gs_role role)
{
    const gs_quant_linear *l = &q->block[1].linear[role];
    const int64_t out = l->whole.out, in = l->whole.in;
    reader r = {.ck = &q->checkpoint};
    gs_linear_name(q->family, 1, role, "", r.prefix, sizeof r.prefix);
    gs_served_linear s = {0};
    gs_served_work work;
    OK(gs_served_load(&s, c, q, l, 0, out, ERR));
    OK(gs_served_load(&s, c, q, l, 0, out, ERR)); /* again into the same struct */
    OK(gs_served_work_init(&work, ROWS, in, out, false, ERR));
    float *x = gs_alloc_array((size_t)(ROWS * in), sizeof *x), *y = gs_alloc_array((size_t)(ROWS * out), sizeof *y);
    for (int64_t i = 0; i < (ROWS - 1) * in; i++) x[i] = random_float(); /* the last row is zeros */
    gs_served_apply(&s, c, &work, ROWS, x, y);
    for (int64_t t = 0; t < ROWS; t++) {
        for (int64_t o = 0; o < out; o += 3) {
            const double want = expected(&r, l->scheme->type, x + t * in, o, out, in), got = (double)y[t * out + o];
            if (is_exact(l->scheme->type) ? got != want && t < ROWS - 1 : fabs(got - want) > 1e-4 * (1 + fabs(want)))
                fail_msg("%s %s row %d out %d: %.9g, not %.9g", l->scheme->name, r.prefix, (int)t, (int)o, got, want);
        }
    }
    if (l->scheme->type == GS_Q_W8A8_DYNAMIC) /* a token of zeros gives the bias, not NaN */
        assert_true((double)y[(ROWS - 1) * out] == value(&r, ".bias", 0));
    forget();
    gs_free(x);
    gs_free(y);
    gs_served_work_release(&work);
    gs_served_release(&s);
}

typedef struct type_case {
    const char *what;
    int w_bit, a_bit;
    bool is_dynamic, w_asym, lowbit, co_sparse;
    int group_size;
} type_case;

static const type_case cases[] = {
    {"W8A8", 8, 8, .w_asym = false},
    {"W8A8_DYNAMIC", 8, 8, .is_dynamic = true},
    {"W8A16", 8, 16, .w_asym = false},
    {"W8A16 asymmetric", 8, 16, .w_asym = true},
    {"W4A16", 4, 16, .w_asym = false},
    {"W4A16 asymmetric by group", 4, 16, .w_asym = true, .lowbit = true, .group_size = 32},
    {"W8A16 by group", 8, 16, .lowbit = true, .group_size = 64},
    {"W4A8_DYNAMIC", 4, 8, .is_dynamic = true, .lowbit = true, .group_size = 32},
    {"W8A8S", 8, 8, .co_sparse = true},
    {"FLOAT", 16, 16, .w_asym = false},
};

static void begin_case(result *r, const type_case *t)
{
    result_begin(r);
    r->recipe.w_bit = t->w_bit;
    r->recipe.a_bit = t->a_bit;
    r->recipe.is_dynamic = t->is_dynamic;
    r->recipe.w_sym = !t->w_asym;
    r->recipe.co_sparse = t->co_sparse;
    r->recipe.is_lowbit = t->lowbit;
    r->recipe.open_outlier = !t->lowbit;
    if (t->group_size) r->recipe.group_size = t->group_size;
    asymmetric = t->w_asym;
    r->fill = fill_random;
}

static void every_type(void **state)
{
    (void)state;
    gs_compute c;
    OK(gs_compute_open(&c, 2, ERR));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int form = 0; form < 4; form++) {
            result r;
            gs_quantdir q;
            begin_case(&r, &cases[i]);
            r.recipe.mindie_format = form & 1;
            one_int4_per_byte = cases[i].w_bit == 4 && r.recipe.mindie_format;
            if (form & 2) r.recipe.save_dtype = "float32";
            result_write(&r);
            OK(gs_quantdir_open(&q, r.dir, ERR));
            OK(gs_quantdir_bind(&q, ERR));
            for (gs_role role = GS_QKV; role < GS_ROLES; role++) check_linear(&q, &c, role);
            gs_quantdir_close(&q);
            result_end(&r);
        }
    }
    gs_compute_close(&c);
}

/* ---- by hand ---- */

static void fill_by_hand(const gs_tensor *t, void *dst)
{
    float v = 0;
    if (ends(t, ".weight") && t->dtype == GS_I8) {
        ((int8_t *)dst)[0] = 3;
        ((int8_t *)dst)[1] = -2;
    }
    if (t->dtype == GS_I32) ((int32_t *)dst)[0] = 7;
    for (int64_t i = 0; i < t->elements && gs_dtype_is_float(t->dtype); i++) {
        if (ends(t, ".input_scale")) v = 0.5f;
        if (ends(t, ".input_offset")) v = 3;
        if (ends(t, ".deq_scale")) v = 0.25f;
        gs_from_f32(t->dtype, &v, (char *)dst + (size_t)i * gs_dtype_bytes(t->dtype), 1);
    }
}

static void static_by_hand(void **state)
{
    (void)state;
    gs_compute c;
    result r;
    gs_quantdir q;
    gs_served_linear s = {0};
    gs_served_work work;
    OK(gs_compute_open(&c, 1, ERR));
    result_begin(&r);
    r.fill = fill_by_hand;
    result_write(&r);
    OK(gs_quantdir_open(&q, r.dir, ERR));
    OK(gs_quantdir_bind(&q, ERR));
    OK(gs_served_load(&s, &c, &q, &q.block[0].linear[GS_DENSE], 0, 64, ERR));
    OK(gs_served_work_init(&work, 1, 64, 64, false, ERR));
    float x[64] = {1.0f, -40.0f, 5.0f}, y[64];
    gs_served_apply(&s, &c, &work, 1, x, y);
    /* codes 1/0.5 + 3 = 5, -40/0.5 + 3 = -77; (3·5 + 2·77 + 7)·0.25 */
    assert_true(y[0] == 44.0f);
    assert_true(y[1] == 0.0f);
    x[0] = 1000.0f; /* clamped to 127 */
    x[1] = 0.75f;   /* 4.5 rounds to 4 */
    gs_served_apply(&s, &c, &work, 1, x, y);
    assert_true(y[0] == (3 * 127 - 2 * 4 + 7) * 0.25f);
    gs_served_work_release(&work);
    gs_served_release(&s);
    gs_quantdir_close(&q);
    result_end(&r);
    gs_compute_close(&c);
}

static void round_trip_by_hand(void **state)
{
    (void)state;
    gs_compute c;
    OK(gs_compute_open(&c, 2, ERR));
    float x[2][6] = {{1.2f, -1.3f, 200.0f, 0.25f, 9, 9}, {0.5f, 0.0f, -200.0f, 0.75f, 9, 9}};
    const float scale[2] = {0.5f, 1.0f}, offset[2] = {0.0f, 2.0f};
    gs_served_round_trip(&c, 2, 4, 2, x[0], 6, scale, offset);
    const float want[2][6] = {{1.0f, -1.5f, 125.0f, 0.0f, 9, 9}, {0.5f, 0.0f, -130.0f, 1.0f, 9, 9}};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 6; j++) assert_true(x[i][j] == want[i][j]);
    gs_compute_close(&c);
}

/* ---- several cards ---- */

static float through_int8(float v, float scale)
{
    const double q = scale > 0 ? fmin(127, fmax(-128, rint((double)(v / scale)))) : 0;
    return (float)q * scale;
}

/* Two linears of the result as the shares of one with twice the inputs, and two of its norms as scales of the communication. */
static void shares_of_cards(void **state)
{
    (void)state;
    enum { WIDTH = 64 };
    gs_compute c;
    result r;
    gs_quantdir q;
    gs_served_work work;
    OK(gs_compute_open(&c, 2, ERR));
    begin_case(&r, &cases[0]);
    result_write(&r);
    OK(gs_quantdir_open(&q, r.dir, ERR));
    OK(gs_quantdir_bind(&q, ERR));
    OK(gs_served_work_init(&work, ROWS, 2 * WIDTH, WIDTH, true, ERR));
    gs_quant_linear *const a = &q.block[0].linear[GS_DENSE], *const b = &q.block[1].linear[GS_DENSE];
    gs_quant_part rank[2] = {a->whole, b->whole};
    const gs_tensor *reduce[2] = {q.block[0].norm[0].weight, q.block[1].norm[0].weight};
    gs_quant_linear cards = {.scheme = a->scheme, .ranks = 2, .rank = rank};
    cards.whole.out = WIDTH;
    cards.whole.in = 2 * WIDTH;
    for (int quantized = 0; quantized < 2; quantized++) {
        gs_served_linear first = {0}, second = {0}, both = {0};
        float x[ROWS * 2 * WIDTH], half[2][ROWS * WIDTH], y[2][ROWS * WIDTH], got[ROWS * WIDTH], scale[3][WIDTH];
        if (quantized) {
            cards.reduce = reduce;
            cards.gather = q.final_norm.weight;
            OK(gs_quant_read_floats(&q, reduce[0], 0, WIDTH, scale[0], ERR));
            OK(gs_quant_read_floats(&q, reduce[1], 0, WIDTH, scale[1], ERR));
            OK(gs_quant_read_floats(&q, cards.gather, 0, WIDTH, scale[2], ERR));
        }
        OK(gs_served_load(&first, &c, &q, a, 0, WIDTH, ERR));
        OK(gs_served_load(&second, &c, &q, b, 0, WIDTH, ERR));
        OK(gs_served_load(&both, &c, &q, &cards, 0, WIDTH, ERR));
        for (int i = 0; i < ROWS * 2 * WIDTH; i++) {
            x[i] = random_float();
            half[i / WIDTH % 2][i / (2 * WIDTH) * WIDTH + i % WIDTH] = x[i];
        }
        gs_served_apply(&first, &c, &work, ROWS, half[0], y[0]);
        gs_served_apply(&second, &c, &work, ROWS, half[1], y[1]);
        gs_served_apply(&both, &c, &work, ROWS, x, got);
        for (int i = 0; i < ROWS * WIDTH; i++) {
            const int o = i % WIDTH;
            float want = y[0][i] + y[1][i];
            if (quantized)
                want =
                    through_int8(through_int8(y[0][i], scale[0][o]) + through_int8(y[1][i], scale[1][o]), scale[2][o]);
            assert_true(got[i] == want);
        }
        gs_served_release(&first);
        gs_served_release(&second);
        gs_served_release(&both);
    }
    gs_served_work_release(&work);
    gs_quantdir_close(&q);
    result_end(&r);
    gs_compute_close(&c);
}

/* ---- refused values ---- */

static const char *bad_suffix;
static float bad_value;

static void fill_bad(const gs_tensor *t, void *dst)
{
    fill_random(t, dst);
    if (!ends(t, bad_suffix)) return;
    if (t->dtype == GS_I64)
        ((int64_t *)dst)[t->elements - 1] = (int64_t)1 << 40;
    else if (t->dtype == GS_I32)
        ((int32_t *)dst)[t->elements - 1] = INT32_MIN;
    else
        gs_from_f32(t->dtype, &bad_value, (char *)dst + (size_t)(t->elements - 1) * gs_dtype_bytes(t->dtype), 1);
}

static void bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *suffix;
        float value;
        bool dynamic, f32;
        gs_status kind;
        const char *word;
    } bad[] = {
        {"dense.input_scale", 0, false, false, GS_ERR_FILE, "above 0"},
        {"dense.input_scale", NAN, false, false, GS_ERR_NUMERIC, "NaN"},
        {"dense.input_offset", 0.5f, false, false, GS_ERR_FILE, "whole number"},
        {"dense.input_offset", 200, false, false, GS_ERR_FILE, "whole number"},
        {"dense.deq_scale", INFINITY, false, false, GS_ERR_NUMERIC, "Inf"},
        {"dense.deq_scale", 0, false, true, GS_ERR_NUMERIC, "bit pattern"},
        {"dense.quant_bias", 0, false, false, GS_ERR_NUMERIC, "overflow"},
        {"dense.weight_scale", NAN, true, false, GS_ERR_NUMERIC, "element 63"},
    };
    gs_compute c;
    OK(gs_compute_open(&c, 1, ERR));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        result r;
        gs_quantdir q;
        gs_served_linear s = {0};
        result_begin(&r);
        r.recipe.is_dynamic = bad[i].dynamic;
        if (bad[i].f32) r.recipe.save_dtype = "float32";
        bad_suffix = bad[i].suffix;
        bad_value = bad[i].value;
        r.fill = fill_bad;
        result_write(&r);
        OK(gs_quantdir_open(&q, r.dir, ERR));
        OK(gs_quantdir_bind(&q, ERR));
        FAILS(gs_served_load(&s, &c, &q, &q.block[1].linear[GS_DENSE], 0, 64, ERR), bad[i].kind, bad[i].word);
        gs_served_release(&s);
        gs_quantdir_close(&q);
        result_end(&r);
    }
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),      cmocka_unit_test(static_by_hand), cmocka_unit_test(round_trip_by_hand),
        cmocka_unit_test(shares_of_cards), cmocka_unit_test(bad_values),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
