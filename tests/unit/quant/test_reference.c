/* Every quantized linear of the reference's min-max runs on the tiny models, made again from the checkpoint and the
 * recorded range: codes, scales, offset, deq_scale and quant_bias bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "io/checkpoint.h"
#include "quant/act.h"
#include "quant/weight.h"

typedef struct row {
    char model[16], name[160];
    int out, in, bias;
    unsigned min, max, scale, offset;
    unsigned long long codes, weight_scale, deq, quant_bias;
} row;

static bool row_read(FILE *f, row *r)
{
    return fscanf(f, "%15s %159s %d %d %d %x %x %x %x %llx %llx %llx %llx", r->model, r->name, &r->out, &r->in,
                  &r->bias, &r->min, &r->max, &r->scale, &r->offset, &r->codes, &r->weight_scale, &r->deq,
                  &r->quant_bias) == 13;
}

static float *read_tensor(const gs_checkpoint *ck, const char *prefix, const char *tail, int64_t n)
{
    char name[256];
    gs_error err = {0};
    (void)snprintf(name, sizeof name, "%s%s", prefix, tail);
    const gs_tensor *t = gs_checkpoint_find(ck, name);
    if (!t || t->elements != n) fail_msg("%s is not as expected", name);
    float *x = malloc((size_t)n * sizeof *x);
    if (gs_checkpoint_read_f32(ck, t, x, &err) != GS_OK) fail_msg("%s", err.text);
    return x;
}

static void check_row(const row *r, gs_compute *c)
{
    char dir[512];
    gs_error err = {0};
    gs_checkpoint ck;
    (void)snprintf(dir, sizeof dir, "%s/tests/golden/models/%s", GS_SOURCE_DIR, r->model);
    if (gs_checkpoint_open(&ck, dir, &err) != GS_OK) fail_msg("%s", err.text);
    const size_t out = (size_t)r->out, n = out * (size_t)r->in;
    float *w = read_tensor(&ck, r->name, ".weight", (int64_t)n);
    float *bias = r->bias ? read_tensor(&ck, r->name, ".bias", r->out) : NULL;
    float *scale = malloc(out * sizeof *scale), *deq = malloc(out * sizeof *deq);
    int8_t *codes = malloc(n);
    int32_t *sum = calloc(out, sizeof *sum), *quant_bias = malloc(out * sizeof *quant_bias);
    int64_t *bits = malloc(out * sizeof *bits);
    gs_weight_w8_sym(c, r->out, r->in, w, scale, codes);
    for (size_t i = 0; i < n; i++) sum[i / (size_t)r->in] += codes[i];
    const gs_act_params act = gs_act_asym8(gs_f32_from_bits(r->min), gs_f32_from_bits(r->max), GS_F32);
    if (gs_deq_and_bias(r->out, scale, sum, bias, act, deq, quant_bias, &err) != GS_OK) fail_msg("%s", err.text);
    gs_deq_to_i64(deq, bits, r->out);
    assert_int_equal(gs_f32_bits(act.scale), r->scale);
    assert_true(act.zero == gs_f32_from_bits(r->offset));
    assert_true(fixture_hash(codes, n) == r->codes);
    assert_true(fixture_hash(scale, out * sizeof *scale) == r->weight_scale);
    assert_true(fixture_hash(bits, out * sizeof *bits) == r->deq);
    assert_true(fixture_hash(quant_bias, out * sizeof *quant_bias) == r->quant_bias);
    free(w);
    free(bias);
    free(scale);
    free(deq);
    free(codes);
    free(sum);
    free(quant_bias);
    free(bits);
    gs_checkpoint_close(&ck);
}

static void equals_reference(void **state)
{
    (void)state;
    gs_compute c;
    fixture_compute(&c, 2);
    FILE *f = fixture_open("quant/w8a8.txt");
    row r;
    int linears = 0;
    while (row_read(f, &r)) {
        check_row(&r, &c);
        linears++;
    }
    assert_true(linears >= 10);
    (void)fclose(f);
    gs_compute_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
