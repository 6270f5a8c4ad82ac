/* Rows from the checkpoint's bytes to packed codes in one go: the bits of the single steps, for every kind of rule, element type and
 * packing. SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "quant/rule.h"

enum { ROWS = 38, IN = 192, MOST = ROWS * IN };

typedef struct result {
    int8_t codes[MOST], packed[MOST];
    float scale[MOST], offset[MOST], second[MOST], sums[ROWS];
    int32_t row_sum[ROWS];
    gs_sqnr sqnr;
} result;

static const gs_weight_rule every[] = {
    {.kind = GS_WEIGHT_NORMAL, .bits = 8, .sym = true},
    {.kind = GS_WEIGHT_NORMAL, .bits = 4},
    {.kind = GS_WEIGHT_NORMAL, .bits = 4, .sym = true, .mm_tensor = true},
    {.kind = GS_WEIGHT_LOWBIT, .bits = 8},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .sym = true, .fraction = 0.05},
    {.kind = GS_WEIGHT_SPLIT, .bits = 4, .fraction = 0.05, .holds_outliers = true},
    {.kind = GS_WEIGHT_GROUP, .bits = 4, .group_size = 64},
    {.kind = GS_WEIGHT_SPARSE_GLOBAL, .bits = 8, .sym = true, .fraction = 0.03},
    {.kind = GS_WEIGHT_SPARSE_ROW, .bits = 8, .sym = true, .use_sigma = true, .sigma = 3.0},
    {.kind = GS_WEIGHT_TWO_STAGE, .bits = 4, .sym = true, .group_size = 32},
    {.kind = GS_WEIGHT_MERGED, .bits = 8, .sym = true, .group_size = 64},
};
enum { EVERY = sizeof every / sizeof *every };

static gs_weight_codes codes_of(const gs_weight_rule *rule, result *r, int8_t *codes)
{
    return (gs_weight_codes){.codes = codes,
                             .scale = r->scale,
                             .offset = r->offset,
                             .scale_second = r->second,
                             .scale_bias = rule->kind == GS_WEIGHT_TWO_STAGE ? r->sums : NULL,
                             .scale_bias_columns = 1,
                             .row_sum = r->row_sum};
}

static gs_status rows_of(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    (void)rows, (void)err;
    *w = (const float *)ctx + row0 * IN;
    return GS_OK;
}

static void check(gs_compute *c, const gs_weight_rule *rule, gs_dtype dtype, const void *stored, gs_nibbles how)
{
    static float w[MOST];
    static result single, whole;
    gs_error err = {0};
    gs_weight_stats stats;
    int64_t bad;
    memset(&single, 0, sizeof single);
    memset(&whole, 0, sizeof whole);
    gs_to_f32(dtype, stored, w, MOST);
    assert_int_equal(gs_weight_measure(c, rule, ROWS, IN, 7, rows_of, w, &stats, &err), GS_OK);
    const gs_weight_codes steps = codes_of(rule, &single, single.codes);
    gs_weight_apply(c, rule, &stats, ROWS, IN, w, &steps);
    gs_weight_sqnr_add(&single.sqnr, c, rule, ROWS, IN, w, &steps);
    if (how == GS_NIBBLES_NONE)
        memcpy(single.packed, single.codes, sizeof single.packed);
    else
        gs_nibbles_pack(c, how, ROWS, IN, single.codes, single.packed);
    memset(single.codes, 0, sizeof single.codes);
    const gs_weight_codes once = codes_of(rule, &whole, whole.packed);
    const gs_stored_rows from = {ROWS, IN, dtype, stored, how};
    assert_int_equal(gs_weight_apply_stored(c, rule, &stats, &from, &once, &whole.sqnr, &bad, &err), GS_OK);
    assert_int_equal(bad, -1);
    assert_memory_equal(&single, &whole, sizeof single);
    assert_true(whole.sqnr.signal > 0 && whole.sqnr.noise > 0);
}

/* Stored values at an odd address. */
static const void *store(gs_dtype dtype, char room[MOST * 4 + 1])
{
    static float w[MOST];
    for (int i = 0; i < MOST; i++)
        w[i] = (float)((i * 7919 + i / IN * 31) % 2003 - 1001) * (i % 97 == 0 ? 0.01f : 0.0007f);
    for (int i = 0; i < IN; i++) w[5 * IN + i] = 0.0f;
    gs_from_f32(dtype, w, room + 1, MOST);
    return room + 1;
}

static void once_as_in_steps(void **state)
{
    (void)state;
    static char room[MOST * 4 + 1];
    static const gs_dtype dtypes[] = {GS_BF16, GS_F16, GS_F32};
    for (int threads = 1; threads <= 3; threads += 2) {
        gs_compute c;
        gs_error err = {0};
        assert_int_equal(gs_compute_open(&c, threads, &err), GS_OK);
        for (int i = 0; i < EVERY; i++) {
            for (int d = 0; d < 3; d++) {
                check(&c, &every[i], dtypes[d], store(dtypes[d], room), GS_NIBBLES_NONE);
                if (every[i].bits == 8) continue;
                check(&c, &every[i], dtypes[d], store(dtypes[d], room), GS_NIBBLES_IN);
                check(&c, &every[i], dtypes[d], store(dtypes[d], room), GS_NIBBLES_OUT);
            }
        }
        gs_compute_close(&c);
    }
}

static void the_first_bad_value(void **state)
{
    (void)state;
    static char room[MOST * 4 + 1];
    static result r;
    gs_compute c;
    gs_error err = {0};
    assert_int_equal(gs_compute_open(&c, 3, &err), GS_OK);
    uint16_t *w = (uint16_t *)(void *)room;
    gs_from_f32(GS_BF16, (const float[1]){1.0f}, w, 1);
    for (int i = 1; i < MOST; i++) w[i] = w[0];
    w[37 * IN + 3] = 0x7FC0;
    w[20 * IN + 191] = 0xFF80;
    w[20 * IN + 190] = 0x7F80;
    const gs_weight_codes to = codes_of(&every[0], &r, r.codes);
    const gs_stored_rows from = {ROWS, IN, GS_BF16, room, GS_NIBBLES_NONE};
    int64_t bad = 0;
    assert_int_equal(gs_weight_apply_stored(&c, &every[0], NULL, &from, &to, &r.sqnr, &bad, &err), GS_OK);
    assert_int_equal(bad, 20 * IN + 190);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(once_as_in_steps), cmocka_unit_test(the_first_bad_value)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
