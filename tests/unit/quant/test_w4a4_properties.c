/* What holds of every W4A4 construction: the transform preserves the function, results do not depend on threads, rungs or how
 * the work is cut, the error falls with each part, and bad input is an error or harmless. SPDX-License-Identifier: Apache-2.0 */
#include "unit/quant/w4a4_fixture.h"

static uint64_t fingerprint(const run_result *r, const linear_case *l)
{
    const gs_w4a4_plan *p = &r->plan;
    assert_int_equal(r->status, GS_OK);
    return fixture_hash(r->codes, (size_t)(l->out * l->in)) ^ 3 * fixture_hash(r->scale, (size_t)l->out * 4) ^
           5 * fixture_hash(p->d, (size_t)l->in * 4) ^ 7 * fixture_hash(p->left, (size_t)(p->a * p->a) * 4) ^
           11 * fixture_hash(p->right, (size_t)(p->b * p->b) * 4) ^ 13 * fixture_hash(&p->clip_ratio, 4) ^
           17 * fixture_hash(p->moment, (size_t)l->in * 4);
}

static void same_bits(void **state)
{
    (void)state;
    /* more than one queue of tokens, one search sample, one block of columns; nothing a multiple of anything */
    linear_case l = case_make(1301, 348, 83, 1);
    run_options o = run_default;
    run_result *first = run(&l, &o);
    const uint64_t wanted = fingerprint(first, &l);
    run_free(first);
    for (int threads = 1; threads <= 5; threads += 2)
        for (gs_rung rung = GS_RUNG_C; rung <= gs_cpu_best(); rung++) {
            o.threads = threads;
            o.rung = rung;
            run_result *r = run(&l, &o);
            assert_true(fingerprint(r, &l) == wanted);
            run_free(r);
            if (threads > 1) break;
        }
    o = run_default;
    for (o.cut = 1; o.cut < 1301; o.cut = o.cut * 9 + 4) {
        run_result *r = run(&l, &o);
        assert_true(fingerprint(r, &l) == wanted);
        run_free(r);
    }
    case_free(&l);
}

/* Fewer kept rows change what the search sees, but the moments are those of all tokens. */
static void second_pass(void **state)
{
    (void)state;
    linear_case l = case_make(900, 96, 64, 5);
    run_options o = run_default;
    run_result *all = run(&l, &o);
    const uint64_t wanted = fingerprint(all, &l);
    o.keep = 600;
    o.cut = 77;
    run_result *few = run(&l, &o);
    assert_int_equal(few->plan.seen, 900);
    /* the same choice then gives the same bits either way */
    assert_true(few->plan.alpha == all->plan.alpha && few->plan.clip_ratio == all->plan.clip_ratio);
    assert_true(fingerprint(few, &l) == wanted);
    run_free(all);
    run_free(few);
    case_free(&l);
}

/* x'·W' = x·W without rounding, and every part of the construction pays. */
static void function_and_worth(void **state)
{
    (void)state;
    linear_case l = case_make(700, 384, 96, 8);
    static const gs_dtype written[] = {GS_F32, GS_BF16, GS_F16};
    double error[3], power;
    for (int k = 0; k < 3; k++) {
        run_options o = run_default;
        o.construct.floats = written[k];
        run_result *r = run(&l, &o);
        const gs_w4a4_plan *p = &r->plan;
        assert_int_equal(r->status, GS_OK);
        float *xt = malloc(384 * 700 * sizeof *xt), *wt = malloc(384 * 96 * sizeof *wt),
              *work = malloc(384 * 700 * sizeof *work);
        memcpy(xt, l.x, 384 * 700 * sizeof *xt);
        memcpy(wt, l.w, 384 * 96 * sizeof *wt);
        gs_w4a4_enter(&p->act, &r->c, p->d, false, 700, xt, work);
        gs_w4a4_enter(&p->weight, &r->c, p->d, true, 96, wt, work);
        float *y = malloc(700 * 96 * sizeof *y);
        for (int64_t t = 0; t < 700; t++)
            for (int64_t row = 0; row < 96; row++) {
                double sum = 0;
                for (int64_t j = 0; j < 384; j++) sum += (double)xt[t * 384 + j] * (double)wt[row * 384 + j];
                y[t * 96 + row] = (float)sum;
            }
        assert_true(output_error(&l, l.x, 700, y, &power) < 1e-10 * power);
        error[k] = run_error(r, &l);
        for (int64_t i = 0; i < p->a * p->a; i++) {
            float narrow;
            uint32_t bits;
            gs_from_f32(written[k], p->left + i, &bits, 1);
            gs_to_f32(written[k], &bits, &narrow, 1);
            assert_true(narrow == p->left[i]);
        }
        free(xt);
        free(wt);
        free(work);
        free(y);
        run_free(r);
    }
    assert_true(error[0] < 0.02 * power && error[1] < error[0] * 1.05 && error[2] < error[0] * 1.05);
    run_options o = run_default;
    o.construct.eigen = false;
    run_result *plain = run(&l, &o);
    o.construct.diagonal = false;
    run_result *bare = run(&l, &o);
    const double plain_error = run_error(plain, &l), bare_error = run_error(bare, &l);
    printf("relative output error: %.4g, no eigenvectors %.4g, nor d %.4g; in bf16 %.4g\n", error[0] / power,
           plain_error / power, bare_error / power, error[1] / power);
    assert_true(error[0] < plain_error && plain_error < bare_error);
    run_free(plain);
    run_free(bare);
    case_free(&l);
}

/* norm·d is a bfloat16 value for every channel whose norm is not 0. */
static void diagonal_fits_norm(void **state)
{
    (void)state;
    linear_case l = case_make(200, 64, 40, 11);
    float *norm = fixture_data(KIND_GAUSS, 64, 3, 0.7f, 1.0f);
    norm[5] = 0.0f;
    norm[6] = 1e-30f;
    run_options o = run_default;
    o.construct.floats = GS_BF16;
    o.construct.norm = norm;
    run_result *r = run(&l, &o);
    assert_int_equal(r->status, GS_OK);
    for (int j = 0; j < 64; j++) {
        assert_true(r->plan.d[j] > 0 && isfinite(r->plan.d[j]));
        const float product = norm[j] * r->plan.d[j], written = gs_bf16_to_f32(gs_f32_to_bf16(product));
        assert_true(fabsf(product - written) <= 2e-7f * fabsf(written));
    }
    run_free(r);
    free(norm);
    case_free(&l);
}

static gs_status status_of(const linear_case *l, char *text)
{
    run_result *r = run(l, &run_default);
    const gs_status status = r->status;
    if (status == GS_OK) {
        for (int64_t i = 0; i < l->in * l->out; i++) assert_true(r->codes[i] >= -8 && r->codes[i] <= 7);
        for (int64_t i = 0; i < l->out; i++) assert_true(r->scale[i] > 0 && isfinite(r->scale[i]));
        for (int64_t j = 0; j < l->in; j++) assert_true(r->plan.d[j] > 0 && isfinite(r->plan.d[j]));
    }
    if (text) (void)snprintf(text, sizeof r->err.text, "%s", r->err.text);
    run_free(r);
    return status;
}

static void not_finite(void **state)
{
    (void)state;
    char text[sizeof((gs_error *)0)->text];
    linear_case l = case_make(70, 64, 20, 21);
    const float x = l.x[4000], w = l.w[1000];
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 3; k++) {
        l.x[4000] = bad[k];
        assert_int_equal(status_of(&l, text), GS_ERR_NUMERIC);
        assert_non_null(strstr(text, "tokens 0 to 69"));
        l.x[4000] = x;
        l.w[1000] = bad[k];
        assert_int_equal(status_of(&l, text), GS_ERR_NUMERIC);
        assert_non_null(strstr(text, "weight"));
        l.w[1000] = w;
    }
    assert_int_equal(status_of(&l, NULL), GS_OK);
    for (int i = 0; i < 70 * 64; i++) l.x[i] *= 1e37f; /* finite, but its squares and outputs are not */
    assert_int_equal(status_of(&l, text), GS_ERR_NUMERIC);
    assert_true(strlen(text) > 20);
    case_free(&l);
}

static void degenerate(void **state)
{
    (void)state;
    linear_case l = case_make(70, 64, 20, 31);
    for (int t = 0; t < 70; t++) l.x[t * 64 + 7] = l.x[t * 64 + 8] = 0.0f; /* silent channels */
    for (int o = 0; o < 20; o++) l.w[o * 64 + 8] = l.w[o * 64 + 9] = 0.0f; /* unused ones */
    memset(l.w + 3 * 64, 0, 64 * sizeof(float));                           /* a row of zeros */
    memset(l.x + 5 * 64, 0, 64 * sizeof(float));                           /* a token of zeros */
    run_result *r = run(&l, &run_default);
    assert_int_equal(r->status, GS_OK);
    float *y = run_forward(r, &l, l.x, 70);
    for (int t = 0; t < 70; t++) assert_true(y[t * 20 + 3] == 0.0f);
    for (int o = 0; o < 20; o++) assert_true(y[5 * 20 + o] == 0.0f);
    double power;
    const double error = output_error(&l, l.x, 70, y, &power);
    assert_true(error < 0.05 * power);
    free(y);
    run_free(r);
    memset(l.x, 0, 70 * 64 * sizeof(float)); /* nothing but zeros */
    assert_int_equal(status_of(&l, NULL), GS_OK);
    for (int i = 0; i < 70 * 64; i++) l.x[i] = 1e-42f * (float)(i % 9); /* subnormal */
    assert_int_equal(status_of(&l, NULL), GS_OK);
    l.tokens = 1;
    l.out = 1;
    assert_int_equal(status_of(&l, NULL), GS_OK);
    case_free(&l);
    static const int64_t widths[] = {1, 3,  4,       7,
                                     8, 37, 8 * 137, 3 * 521}; /* the last two: factors too wide for eigenvectors */
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        linear_case odd = case_make(40, widths[i], 9, 41);
        assert_int_equal(status_of(&odd, NULL), GS_OK);
        case_free(&odd);
    }
}

static void refused(void **state)
{
    (void)state;
    gs_w4a4_stats s;
    gs_w4a4_linear linear;
    gs_compute c;
    gs_error err = {0};
    const float one = 1.0f;
    fixture_compute(&c, 1);
    assert_int_equal(gs_w4a4_stats_init(&s, 4098, 10, 10, &err), GS_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "4098"));
    assert_int_equal(gs_w4a4_stats_init(&s, 64, 0, 10, &err), GS_ERR_USAGE);
    assert_int_equal(gs_w4a4_stats_init(&s, 1 << 30, INT64_MAX / 2, INT64_MAX / 2, &err), GS_ERR_MEMORY);
    assert_int_equal(gs_w4a4_linear_init(&linear, &c, 4, 6, &one, &one, 1.0f, NULL, NULL, &err), GS_ERR_UNSUPPORTED);
    assert_true(gs_w4a4_stats_bytes(4098, 5) == SIZE_MAX && gs_w4a4_stats_bytes(64, 100) >= 64 * 100 * 4);
    gs_w4a4_stats_release(&s);
    gs_w4a4_linear_release(&linear);
    /* no room: an error at every place that asks for it, and nothing left behind */
    linear_case l = case_make(300, 128, 64, 51);
    const uint64_t before = gs_buf_now();
    int failures = 0;
    for (uint64_t room = 0; room < (uint64_t)24 << 20; room += (uint64_t)1 << 18) {
        gs_packed w;
        gs_w4a4_plan p = {0};
        int8_t *codes = malloc(128 * 64);
        float scale[64];
        assert_int_equal(gs_packed_alloc(&w, GS_PACK_F32, 64, 128, "test", &err), GS_OK);
        gs_pack_rows(&c, &w, 0, 64, l.w);
        gs_buf_set_limit(gs_buf_now() + room + 1);
        gs_status status = gs_w4a4_stats_init(&s, 128, 300, 300, &err);
        if (status == GS_OK) status = gs_w4a4_stats_add(&s, &c, 300, l.x, &err);
        if (status == GS_OK) status = gs_w4a4_choose(&p, &c, &s, &w, &run_default.construct, &err);
        if (status == GS_OK) status = gs_w4a4_moments_begin(&p, &err);
        if (status == GS_OK) status = gs_w4a4_moments_add(&p, &c, 300, l.x, &err);
        if (status == GS_OK) status = gs_w4a4_moments_end(&p, &c, &err);
        if (status == GS_OK) status = gs_w4a4_round(&p, &c, &w, 0, 64, codes, scale, &err);
        gs_buf_set_limit(0);
        assert_true(status == GS_OK || status == GS_ERR_MEMORY);
        failures += status != GS_OK;
        gs_w4a4_plan_release(&p);
        gs_w4a4_stats_release(&s);
        gs_packed_release(&w);
        free(codes);
        assert_true(gs_buf_now() == before);
    }
    assert_true(failures > 2 && failures < 90);
    case_free(&l);
    gs_compute_close(&c);
}

/* The sizes a plan of memory is made from: enough, and not much too much. */
static void sizes_are_true(void **state)
{
    (void)state;
    static const struct {
        int64_t tokens, in, out;
    } cases[] = {{700, 256, 300}, {300, 1024, 64}, {2100, 64, 1100}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        linear_case l = case_make(cases[i].tokens, cases[i].in, cases[i].out, 52);
        const size_t stats = gs_w4a4_stats_bytes(l.in, l.tokens), search = gs_w4a4_search_bytes(l.out, l.in, l.tokens);
        const size_t moments = gs_w4a4_moments_bytes(l.in), most = stats + (search > moments ? search : moments);
        for (int enough = 0; enough < 2; enough++) {
            const size_t rest =
                gs_packed_bytes(GS_PACK_F32, l.out, l.in) + gs_compute_scratch_bytes(run_default.threads, 0);
            gs_buf_set_limit(gs_buf_now() + rest + (enough ? most + most / 20 + 65536 : most / 10 * 8));
            run_options o = run_default;
            o.keep = l.tokens;
            run_result *r = run(&l, &o);
            if (r->status != (enough ? GS_OK : GS_ERR_MEMORY))
                fail_msg("case %d, enough %d: %s", (int)i, enough, r->err.text);
            gs_buf_set_limit(0);
            if (enough) {
                const uint64_t before = gs_buf_now();
                gs_w4a4_linear linear;
                assert_int_equal(gs_w4a4_linear_init(&linear, &r->c, l.out, l.in, r->plan.left, r->plan.right, 1.0f,
                                                     r->plan.d, NULL, &r->err),
                                 GS_OK);
                const size_t held = (size_t)(gs_buf_now() - before), said = gs_w4a4_linear_bytes(l.out, l.in);
                assert_true(held <= said && said <= held + held / 10);
                gs_w4a4_linear_release(&linear);
            }
            run_free(r);
        }
        case_free(&l);
    }
    assert_true(gs_w4a4_search_bytes(64, 4098, 5) == SIZE_MAX && gs_w4a4_linear_bytes(64, 4098) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(second_pass),
        cmocka_unit_test(function_and_worth),
        cmocka_unit_test(diagonal_fits_norm),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(degenerate),
        cmocka_unit_test(refused),
        cmocka_unit_test(sizes_are_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
