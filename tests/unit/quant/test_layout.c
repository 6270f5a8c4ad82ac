/* From recipes to rules, from rules to the tensors written, and int4 packing. SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/scheme.h"

#define LOWBIT  1
#define DYNAMIC 2
#define SPARSE  4
#define ASYM    8
#define NODATA  16
#define COMPAT  32
#define MM      64
#define SIGMA   128

typedef struct row {
    gs_quant_type type;
    int w, a, group, flags;
    gs_weight_kind kind;
    int bits;
    bool sym;
} row;

static void fill(const row *r, gs_recipe *recipe, gs_resolved *resolved)
{
    *recipe = (gs_recipe){.fraction = 0.02, .sigma_factor = 3.5, .w_sym = !(r->flags & ASYM)};
    recipe->mm_tensor = r->flags & MM;
    recipe->use_sigma = r->flags & SIGMA;
    recipe->reference_compat = r->flags & COMPAT;
    *resolved = (gs_resolved){.type = r->type, .w_bit = r->w, .a_bit = r->a, .group_size = r->group ? r->group : -1};
    resolved->co_sparse = r->flags & SPARSE;
    resolved->lowbit_class = r->flags & LOWBIT;
    resolved->per_group = r->group > 0;
}

static void rules_of_recipes(void **state)
{
    (void)state;
    static const row rows[] = {
        {GS_Q_FLOAT, 16, 16, 0, MM, GS_WEIGHT_NONE, 16, true},
        {GS_Q_W4A4_FLATQUANT_DYNAMIC, 4, 4, 0, DYNAMIC, GS_WEIGHT_NORMAL, 8, true},
        {GS_Q_W8A8, 8, 8, 0, 0, GS_WEIGHT_NORMAL, 8, true},
        {GS_Q_W8A8, 8, 8, 0, LOWBIT, GS_WEIGHT_LOWBIT, 8, true},
        {GS_Q_W8A8_DYNAMIC, 8, 8, 0, DYNAMIC, GS_WEIGHT_NORMAL, 8, true},
        {GS_Q_W8A16, 8, 16, 0, ASYM, GS_WEIGHT_NORMAL, 8, false},
        {GS_Q_W8A16, 8, 16, 0, ASYM | LOWBIT, GS_WEIGHT_LOWBIT, 8, false},
        {GS_Q_W8A16, 8, 16, 64, LOWBIT, GS_WEIGHT_GROUP, 8, true},
        {GS_Q_W4A16, 4, 16, 0, MM, GS_WEIGHT_NORMAL, 4, true},
        {GS_Q_W4A16, 4, 16, 0, LOWBIT, GS_WEIGHT_SPLIT, 4, true},
        {GS_Q_W4A16, 4, 16, 128, LOWBIT | ASYM | MM, GS_WEIGHT_GROUP, 4, false},
        {GS_Q_W8A8S, 4, 8, 0, SPARSE | ASYM | SIGMA, GS_WEIGHT_SPARSE_GLOBAL, 8, true},
        {GS_Q_W8A8S, 4, 8, 0, LOWBIT | SIGMA, GS_WEIGHT_SPARSE_ROW, 8, true},
        {GS_Q_W8A8S, 4, 8, 0, LOWBIT | SIGMA | COMPAT, GS_WEIGHT_SPARSE_ROW, 8, true},
        {GS_Q_W8A8S, 4, 8, 0, LOWBIT | SIGMA | COMPAT | NODATA, GS_WEIGHT_SPARSE_ROW, 8, true},
        {GS_Q_W8A8S, 4, 8, 64, LOWBIT, GS_WEIGHT_MERGED, 8, true},
        {GS_Q_W8A8_DYNAMIC, 4, 8, 0, SPARSE | DYNAMIC, GS_WEIGHT_SPARSE_GLOBAL, 8, true},
        {GS_Q_W8A8_DYNAMIC, 4, 8, 0, LOWBIT | DYNAMIC, GS_WEIGHT_SPARSE_ROW, 8, true},
        {GS_Q_W4A8_DYNAMIC, 4, 8, 64, LOWBIT | DYNAMIC, GS_WEIGHT_TWO_STAGE, 4, true},
        {GS_Q_W4A8_DYNAMIC, 4, 8, 64, LOWBIT | DYNAMIC | COMPAT, GS_WEIGHT_TWO_STAGE, 4, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        gs_recipe recipe;
        gs_resolved resolved;
        gs_weight_rule rule;
        fill(r, &recipe, &resolved);
        gs_weight_rule_from(&recipe, &resolved, r->flags & NODATA, &rule);
        assert_int_equal(rule.kind, r->kind);
        assert_int_equal(rule.bits, r->bits);
        assert_int_equal(rule.sym, r->sym);
        assert_int_equal(rule.group_size, r->group);
        assert_true(rule.fraction == 0.02);
        assert_int_equal(rule.mm_tensor, (r->flags & MM) && !r->group && r->kind != GS_WEIGHT_NONE);
        assert_int_equal(rule.use_sigma, (r->flags & SIGMA) && !(r->flags & SPARSE));
        assert_true(rule.sigma == ((r->flags & COMPAT) && !(r->flags & NODATA) ? 3.0 : 3.5));
        assert_int_equal(rule.forward_is_w, r->kind == GS_WEIGHT_TWO_STAGE && (r->flags & COMPAT));
        assert_int_equal(gs_weight_needs_stats(&rule), r->kind == GS_WEIGHT_SPARSE_GLOBAL || rule.mm_tensor);
    }
}

/* Each tensor as "suffix dtype shape", in order. */
static void describe(const row *r, bool one_per_byte, bool row_parallel, char *text, size_t cap)
{
    gs_recipe recipe;
    gs_resolved resolved;
    gs_weight_rule rule;
    fill(r, &recipe, &resolved);
    gs_weight_rule_from(&recipe, &resolved, false, &rule);
    const gs_weight_layout l = gs_weight_layout_from(&rule, &recipe, one_per_byte, row_parallel, 256);
    const gs_scheme *s = gs_scheme_get(r->type);
    text[0] = '\0';
    for (int i = 0; i < s->n_pieces; i++) {
        int64_t shape[2];
        const int rank = gs_piece_shape(&s->pieces[i], &l, 96, 256, shape);
        if (rank == 0) continue;
        const size_t at = strlen(text);
        (void)snprintf(text + at, cap - at, rank == 1 ? "%s %s %lld;" : "%s %s %lldx%lld;", s->pieces[i].suffix,
                       gs_dtype_name(gs_piece_dtype(s, s->pieces[i].piece, &l, GS_BF16, true)), (long long)shape[0],
                       (long long)shape[1]);
    }
}

static const struct {
    row r;
    bool one_per_byte, row_parallel;
    const char *tensors;
} written[] = {
    {{.type = GS_Q_W8A16, .w = 8, .a = 16},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.weight_scale BF16 96x1;.weight_offset BF16 96x1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16},
     0,
     0,
     ".weight I8 96x128;.bias BF16 96;.weight_scale BF16 96x1;.weight_offset BF16 96x1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16},
     1,
     0,
     ".weight I8 96x256;.bias BF16 96;.weight_scale BF16 96x1;.weight_offset BF16 96x1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16, .flags = MM},
     0,
     0,
     ".weight I8 96x128;.bias BF16 96;.weight_scale BF16 96x1;.weight_offset BF16 96x1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16, .flags = MM | COMPAT},
     0,
     0,
     ".weight I8 96x128;.bias BF16 96;.weight_scale BF16 1;.weight_offset BF16 1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16, .flags = LOWBIT},
     0,
     0,
     ".weight I8 96x128;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16, .group = 64, .flags = LOWBIT},
     0,
     0,
     ".weight I8 48x256;.bias BF16 96;.weight_scale F32 96x4;.weight_offset F32 96x4;"},
    {{.type = GS_Q_W4A16, .w = 4, .a = 16, .group = 256, .flags = LOWBIT},
     0,
     0,
     ".weight I8 96x128;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;"},
    {{.type = GS_Q_W8A16, .w = 8, .a = 16, .group = 64, .flags = LOWBIT},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.weight_scale F32 96x4;.weight_offset F32 96x4;"},
    {{.type = GS_Q_W8A8S, .w = 4, .a = 8, .flags = SPARSE},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.input_scale BF16 1;.input_offset BF16 1;.quant_bias I32 96;.deq_scale I64 "
     "96;"},
    {{.type = GS_Q_W8A8S, .w = 4, .a = 8, .flags = SPARSE | MM | COMPAT},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.input_scale BF16 1;.input_offset BF16 1;.quant_bias I32 96;.deq_scale I64 "
     "1;"},
    {{.type = GS_Q_W8A8S, .w = 4, .a = 8, .group = 64, .flags = LOWBIT},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.input_scale BF16 1;.input_offset BF16 1;.quant_bias I32 96;.deq_scale I64 "
     "96;"},
    {{.type = GS_Q_W4A8_DYNAMIC, .w = 4, .a = 8, .group = 64, .flags = LOWBIT},
     0,
     0,
     ".weight I8 48x256;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;.weight_scale_second F32 "
     "96x4;.weight_offset_second I64 96x4;.scale_bias F32 96x1;"},
    {{.type = GS_Q_W4A8_DYNAMIC, .w = 4, .a = 8, .group = 64, .flags = LOWBIT},
     0,
     1,
     ".weight I8 48x256;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;.weight_scale_second F32 "
     "96x4;.weight_offset_second I64 96x4;.scale_bias F32 96x16;"},
    {{.type = GS_Q_W4A8_DYNAMIC, .w = 4, .a = 8, .group = 64, .flags = LOWBIT | COMPAT},
     0,
     1,
     ".weight I8 48x256;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;.weight_scale_second F32 "
     "96x4;.weight_offset_second I64 96x4;.scale_bias F32 96x256;"},
    {{.type = GS_Q_W4A8_DYNAMIC, .w = 4, .a = 8, .group = 64, .flags = LOWBIT},
     1,
     1,
     ".weight I8 96x256;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;.weight_scale_second F32 "
     "96x4;.weight_offset_second I64 96x4;"},
    {{.type = GS_Q_W4A4_FLATQUANT_DYNAMIC, .w = 4, .a = 4, .flags = DYNAMIC},
     0,
     0,
     ".weight I8 96x256;.bias BF16 96;.weight_scale F32 96x1;.weight_offset F32 96x1;.clip_ratio F32 1;.left_trans "
     "BF16 16x16;.right_trans BF16 16x16;"},
};

static void tensors_of_schemes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        char text[512];
        describe(&written[i].r, written[i].one_per_byte, written[i].row_parallel, text, sizeof text);
        assert_string_equal(text, written[i].tensors);
    }
}

static void sizes_that_do_not_fit(void **state)
{
    (void)state;
    gs_error err = {0};
    gs_weight_rule rule = {.kind = GS_WEIGHT_GROUP, .bits = 4, .sym = true, .group_size = 256};
    const gs_recipe recipe = {0};
    gs_weight_layout l = gs_weight_layout_from(&rule, &recipe, false, false, 13696);
    assert_int_equal(gs_weight_check(&rule, &l, "mlp.down", 4096, 13696, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "mlp.down"));
    assert_non_null(strstr(err.text, "13696"));
    assert_non_null(strstr(err.text, "32, 64, 128;"));
    assert_int_equal(gs_weight_check(&rule, &l, "x", 4096, 100, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "none"));
    rule.group_size = 128;
    assert_int_equal(gs_weight_check(&rule, &l, "x", 4096, 13696, &err), GS_OK);
    assert_int_equal(gs_weight_check(&rule, &l, "x", 4095, 13696, &err), GS_ERR_UNSUPPORTED); /* pairs of rows */
    assert_non_null(strstr(err.text, "4095"));
    rule.group_size = 0;
    rule.kind = GS_WEIGHT_NORMAL;
    l = gs_weight_layout_from(&rule, &recipe, false, false, 33);
    assert_int_equal(gs_weight_check(&rule, &l, "x", 8, 33, &err), GS_ERR_UNSUPPORTED); /* pairs in a row */
    assert_non_null(strstr(err.text, "n dimension should be even"));
    l = gs_weight_layout_from(&rule, &recipe, true, false, 33);
    assert_int_equal(gs_weight_check(&rule, &l, "x", 8, 33, &err), GS_OK);
    assert_int_equal(gs_weight_check(&rule, &l, "x", 0, 32, &err), GS_ERR_UNSUPPORTED);
    rule = (gs_weight_rule){.kind = GS_WEIGHT_TWO_STAGE, .bits = 4, .group_size = 4};
    l = gs_weight_layout_from(&rule, &recipe, false, true, 40);
    assert_int_equal(gs_weight_check(&rule, &l, "x", 8, 40, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "16 equal parts"));
    rule.kind = GS_WEIGHT_NONE;
    assert_int_equal(gs_weight_check(&rule, &l, "x", 0, 0, &err), GS_OK);
}

static void packing(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    static const int8_t codes[8] = {1, -2, 3, -4, 5, 6, -7, 7}, in[4] = {-31, -61, 101, 121},
                        out[4] = {81, 110, -109, 124};
    int8_t packed[4], back[8];
    gs_nibbles_pack(&c, GS_NIBBLES_IN, 2, 4, codes, packed);
    assert_memory_equal(packed, in, 4);
    gs_nibbles_unpack(&c, GS_NIBBLES_IN, 2, 4, packed, back);
    assert_memory_equal(back, codes, 8);
    gs_nibbles_pack(&c, GS_NIBBLES_OUT, 2, 4, codes, packed);
    assert_memory_equal(packed, out, 4);
    gs_nibbles_unpack(&c, GS_NIBBLES_OUT, 2, 4, packed, back);
    assert_memory_equal(back, codes, 8);
    static const int64_t widths[] = {2, 6, 34, 1000, 70002};
    for (int k = 0; k < 5; k++) {
        const int64_t rows = k == 4 ? 4 : 38, n = rows * widths[k];
        int8_t *all = malloc((size_t)n), *half = malloc((size_t)n / 2), *again = malloc((size_t)n);
        uint64_t seed = (uint64_t)k;
        for (int64_t i = 0; i < n; i++) all[i] = (int8_t)(fixture_next(&seed) % 16 - 8);
        for (gs_nibbles how = GS_NIBBLES_IN; how <= GS_NIBBLES_OUT; how++) {
            gs_nibbles_pack(&c, how, rows, widths[k], all, half);
            gs_nibbles_unpack(&c, how, rows, widths[k], half, again);
            assert_memory_equal(all, again, (size_t)n);
        }
        free(all);
        free(half);
        free(again);
    }
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules_of_recipes), cmocka_unit_test(tensors_of_schemes),
                                       cmocka_unit_test(sizes_that_do_not_fit), cmocka_unit_test(packing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
