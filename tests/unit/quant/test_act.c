/* Activation parameters, derived tensors and the table of schemes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/act.h"
#include "quant/scheme.h"

static void asym_params(void **state)
{
    (void)state;
    gs_act_params p = gs_act_asym8(-1.0f, 3.0f, GS_F32);
    assert_true(p.scale == 4.0f / 255.0f && p.zero == -64.0f);
    p = gs_act_asym8(2.0f, 3.0f, GS_F32); /* widened to zero */
    assert_true(p.scale == 3.0f / 255.0f && p.zero == -128.0f);
    p = gs_act_asym8(-3.0f, -2.0f, GS_F32);
    assert_true(p.scale == 3.0f / 255.0f && p.zero == 127.0f);
    p = gs_act_asym8(0.0f, 0.0f, GS_F32);
    assert_true(p.scale == GS_EPS && p.zero == -128.0f);
    p = gs_act_asym8(-1e-9f, 1e-9f, GS_F32);
    assert_true(p.scale == GS_EPS && p.zero == -128.0f);
    p = gs_act_asym8(-0.5f * 255.0f, 0.5f * 255.0f, GS_F32); /* 127.5 rounds to even 128 */
    assert_true(p.scale == 1.0f && p.zero == 0.0f);
}

static void sym_params(void **state)
{
    (void)state;
    gs_act_params p = gs_act_sym8(-3.0f, 1.0f, GS_F32);
    assert_true(p.scale == 3.0f / 127.0f && p.zero == 0.0f);
    p = gs_act_sym8(2.0f, 4.0f, GS_F32);
    assert_true(p.scale == 4.0f / 127.0f && p.zero == 0.0f);
    p = gs_act_sym8(0.0f, 0.0f, GS_F32);
    assert_true(p.scale == GS_EPS && p.zero == 0.0f);
    assert_true(gs_act_sym8(-507.0f, 508.0f, GS_BF16).scale == 4.0f);
}

/* The offset belongs to the rounded scale. */
static void rounded_scale(void **state)
{
    (void)state;
    const gs_act_params exact = gs_act_asym8(-507.0f, 508.0f, GS_F32);
    const gs_act_params bf16 = gs_act_asym8(-507.0f, 508.0f, GS_BF16);
    assert_true(exact.scale == 1015.0f / 255.0f && bf16.scale == 3.984375f);
    assert_true(bf16.zero == rintf(507.0f / 3.984375f) - 128.0f);
    const gs_act_params f16 = gs_act_asym8(-1e-6f, 3e-5f, GS_F16); /* subnormal: coarse, the offset stays in range */
    assert_true(f16.scale == 0x1p-23f);
    assert_true(f16.zero >= -128.0f && f16.zero <= 127.0f);
    uint64_t seed = 7;
    int moved = 0;
    for (int i = 0; i < 2000; i++) {
        const float min = -(float)fixture_next(&seed) * 0x1p-18f, max = (float)fixture_next(&seed) * 0x1p-18f;
        const gs_act_params a = gs_act_asym8(min, max, GS_F32), b = gs_act_asym8(min, max, GS_BF16);
        assert_true(gs_f32_bits(b.scale) % 65536 == 0);
        assert_true(fabsf(b.scale - a.scale) <= a.scale * 0x1p-8f);
        assert_true(b.zero == fminf(rintf(-min / b.scale) - 128.0f, 127.0f));
        if (a.zero != b.zero) moved++;
    }
    assert_true(moved > 0);
}

static void derived_tensors(void **state)
{
    (void)state;
    const gs_act_params act = {.scale = 0.02f, .zero = -37.0f};
    static const float weight_scale[3] = {0.001f, 0.003f, 0.0007f}, bias[3] = {0.5f, -1.25f, 0.0f};
    static const int32_t sum[3] = {1000, -777, 1000001};
    float deq[3];
    int32_t q[3];
    gs_error err = {0};
    assert_int_equal(gs_deq_and_bias(3, weight_scale, sum, bias, act, deq, q, &err), GS_OK);
    for (int o = 0; o < 3; o++) {
        assert_true(deq[o] == act.scale * weight_scale[o]);
        const float correction = (float)sum[o] * act.zero, quotient = bias[o] / deq[o];
        assert_int_equal(q[o], (int32_t)rintf(quotient - correction));
    }
    assert_int_equal(q[2], 37000036); /* 37000037 rounded to float32 */
    assert_int_equal(gs_deq_and_bias(3, weight_scale, sum, NULL, act, deq, q, &err), GS_OK);
    assert_int_equal(q[0], 37000);
    assert_int_equal(q[1], -28749);
}

static void bias_beyond_int32(void **state)
{
    (void)state;
    const gs_act_params act = {.scale = 0.02f, .zero = 0.0f};
    static const float weight_scale[2] = {0.001f, GS_EPS}, bias[2] = {1.0f, 100.0f};
    static const int32_t sum[2] = {0, 0};
    float deq[2];
    int32_t q[2];
    gs_error err = {0};
    assert_int_equal(gs_deq_and_bias(2, weight_scale, sum, bias, act, deq, q, &err), GS_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "row 1"));
    assert_non_null(strstr(err.text, "disable_names"));
    static const float nan_bias[1] = {NAN};
    assert_int_equal(gs_deq_and_bias(1, weight_scale, sum, nan_bias, act, deq, q, &err), GS_ERR_NUMERIC);
    const gs_act_params one = {.scale = 1.0f, .zero = 0.0f};
    static const float unit[1] = {1.0f}, low[1] = {-0x1p31f}, high[1] = {0x1p31f};
    assert_int_equal(gs_deq_and_bias(1, unit, sum, low, one, deq, q, &err), GS_OK);
    assert_true(q[0] == INT32_MIN);
    assert_int_equal(gs_deq_and_bias(1, unit, sum, high, one, deq, q, &err), GS_ERR_NUMERIC);
}

static void deq_as_int64(void **state)
{
    (void)state;
    static const float deq[3] = {0.0123f, 1e-4f, -1.0f};
    int64_t bits[3];
    gs_deq_to_i64(deq, bits, 3);
    assert_true(bits[0] == 1011451376 && bits[1] == 953267991);
    assert_true(bits[2] == -1082130432); /* the sign is extended */
}

static void schemes_are_listed(void **state)
{
    (void)state;
    const gs_scheme *s = gs_scheme_get(GS_Q_W8A8);
    static const char *const order[] = {".weight",      ".bias",         ".weight_scale", ".weight_offset",
                                        ".input_scale", ".input_offset", ".quant_bias",   ".deq_scale"};
    assert_true(s->static_input && s->n_pieces == 8);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(s->pieces[i].suffix, order[i]);
        assert_int_equal(s->pieces[i].piece, i);
        assert_int_equal(s->pieces[i].typed_float, i == GS_PIECE_BIAS);
    }
    static const gs_shape_kind shapes[] = {GS_SHAPE_CODES, GS_SHAPE_OUT, GS_SHAPE_SCALE, GS_SHAPE_SCALE,
                                           GS_SHAPE_1,     GS_SHAPE_1,   GS_SHAPE_OUT,   GS_SHAPE_DEQ};
    for (int i = 0; i < 8; i++) assert_int_equal(s->pieces[i].shape, shapes[i]);
    for (int t = GS_Q_FLOAT; t <= GS_Q_W4A4_FLATQUANT_DYNAMIC; t++) {
        const gs_scheme *any = gs_scheme_get((gs_quant_type)t);
        assert_int_equal(any->type, t);
        assert_true(any->n_pieces > 0);
    }
    assert_string_equal(gs_scheme_get(GS_Q_FLOAT)->name, "FLOAT");
    assert_int_equal(gs_scheme_get(GS_Q_FLOAT)->n_pieces, 2);
}

static void piece_dtypes(void **state)
{
    (void)state;
    const gs_scheme *s = gs_scheme_get(GS_Q_W8A8);
    static const gs_dtype bf16[] = {GS_I8, GS_BF16, GS_BF16, GS_BF16, GS_BF16, GS_BF16, GS_I32, GS_F32};
    static const gs_dtype f16[] = {GS_I8, GS_F16, GS_F16, GS_F16, GS_F16, GS_F16, GS_I32, GS_I64};
    for (int p = 0; p <= GS_PIECE_DEQ_SCALE; p++) {
        assert_int_equal(gs_piece_dtype(s, (gs_piece)p, NULL, GS_BF16, false), bf16[p]);
        assert_int_equal(gs_piece_dtype(s, (gs_piece)p, NULL, GS_F16, true), f16[p]);
    }
    assert_int_equal(gs_piece_dtype(gs_scheme_get(GS_Q_FLOAT), GS_PIECE_WEIGHT, NULL, GS_BF16, false), GS_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asym_params),        cmocka_unit_test(sym_params),        cmocka_unit_test(rounded_scale),
        cmocka_unit_test(derived_tensors),    cmocka_unit_test(bias_beyond_int32), cmocka_unit_test(deq_as_int64),
        cmocka_unit_test(schemes_are_listed), cmocka_unit_test(piece_dtypes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
