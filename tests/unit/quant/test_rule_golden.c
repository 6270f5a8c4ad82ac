/* Every quantized linear of the reference's runs with each rule on a tiny model, made again from the checkpoint in chunks of rows:
 * packed codes, scales, offsets, second stage, scale_bias, deq_scale and quant_bias bit for bit, with their shapes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "io/checkpoint.h"
#include "quant/act.h"
#include "quant/scheme.h"

#define CHUNK 50 /* even, and no divisor of any height */

typedef struct golden {
    char name[160];
    long long shape[2], scale_shape[2];
    unsigned long long weight, scale, offset, second, scale_bias;
    unsigned input_scale, input_offset;
    unsigned long long deq, quant_bias;
} golden;

typedef struct setting {
    char name[64];
    gs_recipe recipe;
    gs_resolved resolved;
    gs_weight_rule rule;
} setting;

static gs_quant_type type_named(const char *name)
{
    for (int t = GS_Q_FLOAT; t <= GS_Q_W4A4_FLATQUANT_DYNAMIC; t++)
        if (strcmp(gs_quant_type_name((gs_quant_type)t), name) == 0) return (gs_quant_type)t;
    fail_msg("no type %s", name);
    return GS_Q_FLOAT;
}

static bool setting_read(const char *line, setting *s)
{
    char type[32];
    int co, lowbit, group, sym, mm, mindie, nodata;
    if (strncmp(line, "rule ", 5) != 0) return false;
    *s = (setting){0};
    if (sscanf(line, "rule %63s %31s %d %d %d %d %d %lf %lf %d %d %d %d", s->name, type, &s->resolved.w_bit,
               &s->resolved.a_bit, &co, &lowbit, &group, &s->recipe.fraction, &s->recipe.sigma_factor, &sym, &mm,
               &mindie, &nodata) != 13)
        return false;
    s->resolved.type = type_named(type);
    s->resolved.co_sparse = co;
    s->resolved.lowbit_class = lowbit;
    s->resolved.per_group = group > 0;
    s->resolved.group_size = group > 0 ? group : -1;
    s->recipe.use_sigma = s->recipe.sigma_factor > 0.0;
    s->recipe.w_sym = sym;
    s->recipe.mm_tensor = mm;
    s->recipe.mindie_format = mindie;
    s->recipe.reference_compat = true;
    gs_weight_rule_from(&s->recipe, &s->resolved, nodata, &s->rule);
    return true;
}

static bool golden_read(const char *line, golden *g)
{
    return sscanf(line, "%159s %lld %lld %lld %lld %llx %llx %llx %llx %llx %x %x %llx %llx", g->name, &g->shape[0],
                  &g->shape[1], &g->scale_shape[0], &g->scale_shape[1], &g->weight, &g->scale, &g->offset, &g->second,
                  &g->scale_bias, &g->input_scale, &g->input_offset, &g->deq, &g->quant_bias) == 14;
}

typedef struct linear {
    int64_t out, in;
    float *w, *bias;
} linear;

static float *read_tensor(const gs_checkpoint *ck, const char *prefix, const char *tail, linear *l)
{
    char name[256];
    gs_error err = {0};
    (void)snprintf(name, sizeof name, "transformer.%s%s", prefix, tail);
    const gs_tensor *t = gs_checkpoint_find(ck, name);
    if (!t) return NULL;
    if (l) {
        l->out = t->shape[0];
        l->in = t->shape[1];
    }
    float *x = malloc((size_t)t->elements * sizeof *x);
    if (gs_checkpoint_read_f32(ck, t, x, &err) != GS_OK) fail_msg("%s", err.text);
    return x;
}

static gs_status rows_of(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    (void)rows;
    (void)err;
    const linear *l = ctx;
    *w = l->w + row0 * l->in;
    return GS_OK;
}

typedef struct made {
    int8_t *codes, *packed;
    float *scale, *offset, *second, *scale_bias, *forward;
    int32_t *sum;
} made;

static void *zeros(int64_t n) { return calloc((size_t)n, 4); }

static made make(gs_compute *c, const setting *s, const gs_weight_layout *layout, linear *l)
{
    const int64_t n = l->out * l->in;
    made m = {zeros(n), zeros(n), zeros(n), zeros(n), zeros(n), zeros(n), zeros(n), zeros(l->out)};
    gs_weight_stats stats;
    gs_error err = {0};
    assert_int_equal(gs_weight_measure(c, &s->rule, l->out, l->in, CHUNK, rows_of, l, &stats, &err), GS_OK);
    for (int64_t r = 0; r < l->out; r += CHUNK) {
        const int64_t rows = l->out - r < CHUNK ? l->out - r : CHUNK, columns = layout->scale_columns;
        const gs_weight_codes to = {
            .codes = m.codes + r * l->in,
            .scale = m.scale + r * columns,
            .offset = m.offset + r * columns,
            .scale_second = m.second + r * layout->second_columns,
            .scale_bias = layout->scale_bias_columns ? m.scale_bias + r * layout->scale_bias_columns : NULL,
            .scale_bias_columns = layout->scale_bias_columns,
            .row_sum = m.sum + r,
            .forward = m.forward + r * l->in};
        gs_weight_apply(c, &s->rule, &stats, rows, l->in, l->w + r * l->in, &to);
        const int64_t packed_row = layout->nibbles == GS_NIBBLES_NONE ? l->in : l->in / 2;
        if (layout->nibbles == GS_NIBBLES_NONE)
            memcpy(m.packed + r * l->in, to.codes, (size_t)(rows * l->in));
        else
            gs_nibbles_pack(c, layout->nibbles, rows, l->in, to.codes, m.packed + r * packed_row);
    }
    return m;
}

static void release(made *m)
{
    void *all[] = {m->codes, m->packed, m->scale, m->offset, m->second, m->scale_bias, m->forward, m->sum};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void check_shape(const setting *s, const gs_weight_layout *layout, const linear *l, gs_piece piece,
                        const long long expected[2])
{
    const gs_scheme *scheme = gs_scheme_get(s->resolved.type);
    for (int i = 0; i < scheme->n_pieces; i++) {
        if (scheme->pieces[i].piece != piece) continue;
        int64_t shape[2] = {0, 0};
        const int rank = gs_piece_shape(&scheme->pieces[i], layout, l->out, l->in, shape);
        assert_int_equal(rank, expected[1] ? 2 : 1);
        assert_true(shape[0] == expected[0] && (rank == 1 || shape[1] == expected[1]));
        return;
    }
    if (expected[0] != 0) fail_msg("%s: piece %d is not written", s->name, (int)piece);
}

static void check_hash(const setting *s, const golden *g, const char *what, const void *data, int64_t bytes,
                       unsigned long long expected)
{
    if (expected && fixture_hash(data, (size_t)bytes) != expected) fail_msg("%s: %s%s differs", s->name, g->name, what);
}

static void check_static(const setting *s, const golden *g, const gs_weight_layout *layout, const linear *l, made *m)
{
    const gs_act_params act = {gs_f32_from_bits(g->input_scale), gs_f32_from_bits(g->input_offset)};
    float *deq = zeros(l->out);
    int32_t *quant_bias = zeros(l->out);
    int64_t *bits = calloc((size_t)l->out, sizeof *bits);
    gs_error err = {0};
    if (gs_deq_and_bias(l->out, m->scale, m->sum, l->bias, act, deq, quant_bias, &err) != GS_OK)
        fail_msg("%s", err.text);
    gs_deq_to_i64(deq, bits, l->out);
    check_hash(s, g, ".deq_scale", bits, (layout->one_scale ? 1 : l->out) * 8, g->deq);
    check_hash(s, g, ".quant_bias", quant_bias, l->out * 4, g->quant_bias);
    free(deq);
    free(quant_bias);
    free(bits);
}

static void check_linear(gs_compute *c, const gs_checkpoint *ck, const setting *s, const golden *g)
{
    linear l;
    l.w = read_tensor(ck, g->name, ".weight", &l);
    l.bias = read_tensor(ck, g->name, ".bias", NULL);
    gs_error err = {0};
    const gs_weight_layout layout = gs_weight_layout_from(&s->rule, &s->recipe, s->recipe.mindie_format, false, l.in);
    assert_int_equal(gs_weight_check(&s->rule, &layout, g->name, l.out, l.in, &err), GS_OK);
    check_shape(s, &layout, &l, GS_PIECE_WEIGHT, g->shape);
    check_shape(s, &layout, &l, GS_PIECE_WEIGHT_SCALE, g->scale_shape);
    made m = make(c, s, &layout, &l);
    const int64_t scales = layout.one_scale ? 1 : l.out * layout.scale_columns;
    check_hash(s, g, ".weight", m.packed, g->shape[0] * g->shape[1], g->weight);
    check_hash(s, g, ".weight_scale", m.scale, scales * 4, g->scale);
    check_hash(s, g, ".weight_offset", m.offset, scales * 4, g->offset);
    check_hash(s, g, ".weight_scale_second", m.second, l.out * layout.second_columns * 4, g->second);
    check_hash(s, g, ".scale_bias", m.scale_bias, l.out * layout.scale_bias_columns * 4, g->scale_bias);
    assert_int_equal(g->second != 0, layout.second_columns != 0);
    assert_int_equal(g->scale_bias != 0, layout.scale_bias_columns != 0);
    if (g->input_scale) check_static(s, g, &layout, &l, &m);
    release(&m);
    free(l.w);
    free(l.bias);
}

static void equals_reference(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    gs_error err = {0};
    gs_checkpoint ck;
    if (gs_checkpoint_open(&ck, GS_SOURCE_DIR "/tests/golden/models/tiny-a", &err) != GS_OK) fail_msg("%s", err.text);
    FILE *f = fixture_open("quant/rules.txt");
    char line[1024];
    setting s = {0};
    golden g;
    int rules = 0, linears = 0;
    while (fgets(line, sizeof line, f)) {
        if (setting_read(line, &s)) {
            rules++;
        } else {
            assert_true(golden_read(line, &g));
            check_linear(&c, &ck, &s, &g);
            linears++;
        }
    }
    assert_int_equal(rules, 52);
    assert_true(linears >= 9 * rules);
    (void)fclose(f);
    gs_checkpoint_close(&ck);
    gs_compute_close(&c);
}

/* Int8 codes of groups with one scale per row: vectors of another implementation. */
static void merged_vectors(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    gs_error err = {0};
    gs_checkpoint ck;
    if (gs_checkpoint_open(&ck, GS_SOURCE_DIR "/tests/golden/models/tiny-a", &err) != GS_OK) fail_msg("%s", err.text);
    FILE *f = fixture_open("quant/merged.txt");
    char name[160];
    int group, vectors = 0;
    unsigned long long codes, scale, step;
    while (fscanf(f, "transformer.%159s %d %llx %llx %llx ", name, &group, &codes, &scale, &step) == 5) {
        linear l;
        l.w = read_tensor(&ck, name, ".weight", &l);
        const int64_t groups = l.in / group;
        const setting s = {.rule = {.kind = GS_WEIGHT_MERGED, .bits = 8, .sym = true, .group_size = group}};
        const gs_weight_layout layout = {.scale_columns = 1, .second_columns = groups};
        made m = make(&c, &s, &layout, &l);
        int16_t *steps = calloc((size_t)(l.out * groups), sizeof *steps);
        for (int64_t i = 0; i < l.out * groups; i++) steps[i] = (int16_t)m.second[i];
        assert_true(fixture_hash(m.codes, (size_t)(l.out * l.in)) == codes);
        assert_true(fixture_hash(m.scale, (size_t)l.out * 4) == scale);
        assert_true(fixture_hash(steps, (size_t)(l.out * groups) * 2) == step);
        for (int64_t i = 0; i < l.out * l.in; i++) assert_true(m.forward[i] == (float)m.codes[i] * m.scale[i / l.in]);
        free(steps);
        release(&m);
        free(l.w);
        vectors++;
    }
    assert_int_equal(vectors, 4);
    (void)fclose(f);
    gs_checkpoint_close(&ck);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_reference), cmocka_unit_test(merged_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
