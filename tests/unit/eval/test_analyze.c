/* Analysis by hand: sums over inputs, ranking and budget, the two places for hidden states; then the whole pass on a tiny model, where
 * one linear can be quantized without any error and must lose nothing, in any room for states, with any threads, and whatever else is
 * measured in the same run. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "unit/format/result.h"

#include "eval/analyze.h"
#include "eval/states.h"
#include "eval/trial.h"

static gs_compute compute;

static int begin(void **state)
{
    if (gs_compute_open(&compute, 2, ERR) != GS_OK) return -1;
    return make_model(state);
}

static int end(void **state)
{
    gs_compute_close(&compute);
    return remove_model(state);
}

/* ---- inputs ---- */

/* Three rows of four channels. Values: 1, -1, 2 in channel 0; 100 in one place of channel 2; 0 elsewhere but -1 and 2 in channel 3. */
static void inputs_by_hand(void **state)
{
    (void)state;
    const float x[] = {1, 0, 100, -1, -1, 0, 0, 2, 2, 0, 0, 0};
    gs_input_sums s;
    gs_input_figures f;
    gs_input_sums_init(&s, 4);
    gs_input_sums_add(&s, &compute, 1, x);
    gs_input_sums_add(&s, &compute, 2, x + 4);
    gs_input_figures_of(&s, &f);
    assert_true(f.min == -1 && f.max == 100 && f.channels == 4);
    assert_true(f.median == 2); /* magnitudes 2, 0, 100, 2 */
    assert_true(f.outliers == 1 && f.top == 1 && f.channel[0] == 2 && f.ratio[0] == 50);
    double mean = 0, second = 0, fourth = 0;
    for (int i = 0; i < 12; i++) mean += (double)x[i] / 12;
    for (int i = 0; i < 12; i++) {
        const double d = ((double)x[i] - mean) * ((double)x[i] - mean);
        second += d / 12;
        fourth += d * d / 12;
    }
    assert_true(fabs(f.kurtosis - fourth / (second * second)) < 1e-9);
    gs_input_sums_release(&s);
}

static void inputs_without_spread(void **state)
{
    (void)state;
    float x[6] = {3, 3, 3, 3, 3, 3};
    gs_input_sums s;
    gs_input_figures f;
    gs_input_sums_init(&s, 3);
    gs_input_sums_add(&s, &compute, 2, x);
    gs_input_figures_of(&s, &f);
    assert_true(isnan(f.kurtosis) && f.outliers == 0 && f.median == 3);
    gs_input_sums_release(&s);
    gs_input_sums_init(&s, 3);
    memset(x, 0, sizeof x);
    x[1] = 5; /* the median channel is 0: any other is an outlier */
    gs_input_sums_add(&s, &compute, 2, x);
    gs_input_figures_of(&s, &f);
    assert_true(f.outliers == 1 && f.channel[0] == 1 && isinf(f.ratio[0]));
    gs_input_sums_release(&s);
}

/* Half of the values 1, half -1: kurtosis 1, whatever the threads. */
static void kurtosis_of_signs(void **state)
{
    (void)state;
    float x[100];
    gs_input_sums s;
    gs_input_figures f;
    for (int i = 0; i < 100; i++) x[i] = i % 2 == 0 ? 1.0f : -1.0f;
    gs_input_sums_init(&s, 20);
    gs_input_sums_add(&s, &compute, 5, x);
    gs_input_figures_of(&s, &f);
    assert_true(f.kurtosis == 1);
    gs_input_sums_release(&s);
}

/* ---- ranking and budget ---- */

enum { N = 5 };

/* Losses 1, 4, 4, 9 and an output layer with 20, which stays float anyway. Extra bytes 10, 100, 10, 1000. */
static void figures(gs_trial_figures f[N])
{
    const double loss[N] = {1, 4, 4, 9, 20}, kl[N] = {5, 1, 2, 3, 0};
    const uint64_t extra[N] = {10, 100, 10, 1000, 5};
    for (int i = 0; i < N; i++)
        f[i] = (gs_trial_figures){.linear = i,
                                  .measured = true,
                                  .kept = i == N - 1,
                                  .loss = loss[i],
                                  .kl = kl[i],
                                  .bytes = 50,
                                  .float_bytes = 50 + extra[i]};
}

static void order_is(const gs_trial_figures *f, const char *wanted)
{
    char got[N + 1] = "";
    for (int i = 0; i < N; i++) got[i] = (char)('0' + f[i].linear);
    assert_string_equal(got, wanted);
}

static void ranking(void **state)
{
    (void)state;
    gs_trial_figures f[N];
    figures(f);
    gs_rank(f, N, false);
    order_is(f, "43120"); /* 1 before 2: equal losses in execution order */
    gs_rank(f, N, true);
    order_is(f, "03214");
    figures(f);
    f[3].measured = false;
    gs_rank(f, N, false);
    order_is(f, "41203");
}

static const char *chosen(gs_analyze_scheme *s, const char *budget, bool by_kl)
{
    static char got[N + 1];
    gs_budget b;
    int n = 0;
    OK(gs_budget_parse(budget, &b, ERR));
    gs_rank(s->rank, N, by_kl);
    gs_choose(s, &b, by_kl);
    for (int i = 0; i < N; i++)
        if (s->rank[i].chosen) got[n++] = (char)('0' + s->rank[i].linear);
    got[n] = '\0';
    assert_int_equal(n, s->chosen);
    return got;
}

static void budgets(void **state)
{
    (void)state;
    gs_trial_figures f[N];
    gs_analyze_scheme s = {.linears = N, .bytes = 1000, .rank = f};
    figures(f);
    assert_string_equal(chosen(&s, NULL, false), "");
    assert_string_equal(chosen(&s, "1", false), "3"); /* not the output layer */
    assert_true(s.extra_bytes == 1000 && s.removed == 0.5);
    assert_string_equal(chosen(&s, "2", false), "31");
    assert_string_equal(chosen(&s, "2", true), "03");
    assert_string_equal(chosen(&s, "99", false), "3120");
    assert_true(s.removed == 1 && s.extra_bytes == 1120);
    /* Per byte: 2 (0.4), 0 (0.1), 1 (0.04), 3 (0.009). */
    assert_string_equal(chosen(&s, "1%", false), "2");
    assert_string_equal(chosen(&s, "2%", false), "20");
    assert_string_equal(chosen(&s, "11.5%", false), "20"); /* no room for 1 behind them */
    assert_string_equal(chosen(&s, "12%", false), "120");
    assert_true(s.extra_bytes == 120);
}

static void growth_skips_what_does_not_fit(void **state)
{
    (void)state;
    gs_trial_figures f[N];
    gs_analyze_scheme s = {.linears = N, .bytes = 1000, .rank = f};
    figures(f);
    f[2].float_bytes = 50 + 30;
    f[2].loss = 40; /* the densest, and too large for 2 % */
    assert_string_equal(chosen(&s, "2%", false), "0");
    figures(f);
    f[2].float_bytes = 50 + 30;
    f[0].loss = 0; /* loses nothing: not worth a byte */
    assert_string_equal(chosen(&s, "2%", false), "");
}

static void bad_budgets(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "-1", "x", "1.5", "5 %", "5%%", "%", ".5%", "5.%", "1e3", "12345678901"};
    gs_budget b;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gs_budget_parse(bad[i], &b, ERR), GS_ERR_USAGE);
    OK(gs_budget_parse("2.50%", &b, ERR));
    assert_true(b.percent && b.value == 2.5);
}

/* ---- states ---- */

static void states_anywhere(void **state)
{
    (void)state;
    enum { STREAMS = 3, TOKENS = 7, HIDDEN = 5 };
    float x[TOKENS * HIDDEN], y[TOKENS * HIDDEN];
    for (int where = 0; where < 2; where++) {
        gs_states s;
        OK(gs_states_init(&s, STREAMS, TOKENS, HIDDEN, where == 0 ? 1u << 20 : STREAMS * TOKENS * HIDDEN * 4 - 1,
                          "/tmp", ERR));
        assert_true((s.file.path != NULL) == (where == 1));
        if (s.file.path) assert_int_not_equal(access(s.file.path, F_OK), 0);
        for (int stream = 0; stream < STREAMS; stream++) {
            for (int i = 0; i < TOKENS * HIDDEN; i++) x[i] = (float)(stream * 1000 + i);
            OK(gs_states_write(&s, stream, 4, 3, x + 4 * HIDDEN, ERR));
            OK(gs_states_write(&s, stream, 0, 4, x, ERR));
        }
        for (int stream = 0; stream < STREAMS; stream++) {
            OK(gs_states_read(&s, stream, 0, TOKENS, y, ERR));
            for (int i = 0; i < TOKENS * HIDDEN; i++) assert_true(y[i] == (float)(stream * 1000 + i));
        }
        gs_states_release(&s);
    }
    gs_states none;
    assert_int_equal(gs_states_init(&none, 1, 1, 1, 0, "/nowhere/at/all", ERR), GS_ERR_IO);
    gs_states_release(&none);
}

/* ---- one linear ---- */

typedef struct matrix {
    const float *w;
    int64_t in;
} matrix;

static gs_status matrix_rows(void *ctx, int64_t row0, int64_t rows, const float **w, gs_error *err)
{
    const matrix *m = ctx;
    (void)rows;
    (void)err;
    *w = m->w + row0 * m->in;
    return GS_OK;
}

/* Weights that are whole multiples of their row's scale, inputs that are multiples of theirs: every scheme is exact. */
static void exact_linear(void **state)
{
    (void)state;
    enum { OUT = 70, IN = 64, ROWS = 3 };
    static float w[OUT * IN], x[ROWS * IN];
    float y[ROWS * OUT];
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++) w[o * IN + i] = i == 0 ? 127 : (float)((o * 7 + i * 13) % 200 - 100);
    for (int i = 0; i < ROWS * IN; i++) x[i] = i % IN == 0 ? 127 : i % IN == 1 ? -128 : (float)(i % 50);
    matrix m = {w, IN};
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    for (int type = GS_Q_W8A8; type <= GS_Q_W8A16; type++) {
        gs_trial t = {0};
        const gs_weight_rule rule = {.kind = GS_WEIGHT_NORMAL, .bits = 8, .sym = true};
        const gs_trial_spec spec = {.recipe = &recipe,
                                    .rule = &rule,
                                    .type = (gs_quant_type)type,
                                    .out = OUT,
                                    .in = IN,
                                    .act = gs_act_asym8(-128, 127, GS_F32),
                                    .rows = matrix_rows,
                                    .ctx = &m};
        if (type == GS_Q_W8A8_DYNAMIC)
            for (int i = 0; i < ROWS * IN; i++) x[i] = x[i] == -128 ? -127 : x[i];
        OK(gs_trial_build(&t, &compute, &spec, ERR));
        OK(gs_trial_forward(&t, &compute, ROWS, x, y, ERR));
        for (int r = 0; r < ROWS; r++)
            for (int o = 0; o < OUT; o++) {
                float sum = 0;
                for (int i = 0; i < IN; i++) sum += x[r * IN + i] * w[o * IN + i];
                assert_true(y[r * OUT + o] == sum);
            }
        gs_trial_release(&t);
    }
}

/* ---- the pass ---- */

static gs_analysis *analyze(const char *const *scheme, int threads, uint64_t memory, bool kl)
{
    static const char *const texts[] = {"Some words of a text.", "And some more words of another, which is longer.",
                                        NULL};
    gs_compute c;
    gs_analysis *a;
    const gs_analyze_spec spec = {.model_path = model_dir,
                                  .calib_texts = texts,
                                  .scheme = scheme,
                                  .budget = {.value = 2},
                                  .kl = kl,
                                  .work_dir = "/tmp",
                                  .states_memory = memory};
    OK(gs_compute_open(&c, threads, ERR));
    OK(gs_analyze_run(&spec, &c, &a, ERR));
    gs_compute_close(&c);
    return a;
}

static const gs_trial_figures *find(const gs_analyze_scheme *s, int linear)
{
    for (int i = 0; i < s->linears; i++)
        if (s->rank[i].linear == linear) return &s->rank[i];
    fail();
    return NULL;
}

static void whole_pass(void **state)
{
    (void)state;
    static const char *const schemes[] = {"W8A16", "W4A16", "W8A8", NULL};
    gs_analysis *a = analyze(schemes, 2, 0, true);
    assert_int_equal(a->schemes, 3);
    assert_true(a->samples == 2 && a->counted == a->tokens - 2 * a->prefix && a->prefix == 2);
    const gs_analyze_scheme *eight = &a->scheme[0], *four = &a->scheme[1];
    for (int i = 0; i < a->linears; i++) {
        const gs_trial_figures *f = find(eight, i), *g = find(four, i);
        assert_true(f->measured && f->loss > 0 && f->loss < g->loss && g->loss < 1);
        assert_true(f->kl >= 0 && f->kl < g->kl && g->kl_se > 0);
        assert_true(a->linear[i].input.max > a->linear[i].input.min && a->linear[i].input.kurtosis > 1);
        assert_true(f->kept == (i == a->linears - 1) && (f->kept || f->bytes < f->float_bytes));
    }
    for (int i = 1; i < eight->linears; i++) assert_true(eight->rank[i - 1].kl >= eight->rank[i].kl);
    assert_true(eight->chosen == 2 && eight->removed > 0 && eight->removed < 1 && eight->extra_bytes > 0);
    gs_analysis_free(a);
}

static void same_everywhere(void **state)
{
    (void)state;
    static const char *const both[] = {"W8A8", "W8A8_DYNAMIC", NULL}, *const one[] = {"W8A8", NULL};
    gs_analysis *a = analyze(both, 2, 0, true), *b = analyze(one, 1, 1, true), *c = analyze(one, 3, 0, false);
    for (int i = 0; i < a->linears; i++) {
        const gs_trial_figures *f = find(&a->scheme[0], i), *g = find(&b->scheme[0], i), *h = find(&c->scheme[0], i);
        assert_true(f->loss == g->loss && f->kl == g->kl && f->kl_se == g->kl_se && f->loss == h->loss && h->kl == 0);
        const gs_input_figures *x = &a->linear[i].input, *y = &b->linear[i].input;
        assert_true(x->min == y->min && x->max == y->max && x->kurtosis == y->kurtosis && x->outliers == y->outliers);
    }
    gs_analysis_free(a);
    gs_analysis_free(b);
    gs_analysis_free(c);
}

static gs_analysis *analyze_text(const char *const *texts, const char *path, const char *scheme)
{
    const char *const schemes[] = {scheme, NULL};
    const gs_analyze_spec spec = {
        .model_path = model_dir, .calib_texts = texts, .text_path = path, .scheme = schemes, .kl = true};
    gs_analysis *a;
    OK(gs_analyze_run(&spec, &compute, &a, ERR));
    return a;
}

/* A type without ranges loses on a text what it loses on a sample of the same tokens, whatever the samples are; one with ranges does
 * not, but where the prefix has the largest inputs. Figures of the inputs are the samples'. */
static void text_of_its_own(void **state)
{
    (void)state;
    static const char words[] = "And some more words of another, which is longer.";
    static const char *const shorter[] = {"Some words.", "A few more", NULL}, *const same[] = {words, NULL};
    char path[] = "/tmp/glmslim-text-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    OK(gs_file_write_all(path, words, sizeof words - 1, 0600, ERR));
    for (int ranges = 0; ranges < 2; ranges++) {
        const char *scheme = ranges ? "W8A8" : "W8A16";
        gs_analysis *a = analyze_text(shorter, path, scheme), *b = analyze_text(same, NULL, scheme);
        assert_true(a->samples == 2 && a->windows == 1 && b->windows == 0 && !b->text && a->counted == b->counted);
        assert_true(a->tokens < b->tokens);
        int equal = 0;
        for (int i = 0; i < a->linears; i++) {
            const gs_trial_figures *f = find(&a->scheme[0], i), *g = find(&b->scheme[0], i);
            equal += f->loss == g->loss && f->kl == g->kl;
            assert_true(a->linear[i].input.kurtosis != b->linear[i].input.kurtosis);
        }
        assert_true(ranges ? equal < a->linears / 2 : equal == a->linears);
        gs_analysis_free(a);
        gs_analysis_free(b);
    }
    unlink(path);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *scheme, *text;
        gs_status status;
    } bad[] = {{"W9A9", "there is no scheme \"W9A9\"", GS_ERR_USAGE},
               {"FLOAT", "there is no scheme \"FLOAT\"", GS_ERR_USAGE},
               {"--w_bit 16 --a_bit 16", "quantizes nothing", GS_ERR_USAGE},
               {"--anti_method m2", "--anti_method says nothing", GS_ERR_USAGE},
               {"--use_kvcache_quant True", "--use_kvcache_quant says nothing", GS_ERR_USAGE},
               {"--tp_size 2", "--tp_size says nothing", GS_ERR_USAGE},
               {"--w_bit 3 --a_bit 8", "w_bit", GS_ERR_USAGE},
               {"--is_dynamic", "expected one argument", GS_ERR_USAGE},
               {"--act_method 7", "invalid choice", GS_ERR_USAGE},
               {"--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 256", "cannot be divided",
                GS_ERR_UNSUPPORTED}};
    static const char *const texts[] = {"text", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const scheme[] = {bad[i].scheme, NULL};
        const gs_analyze_spec spec = {.model_path = model_dir, .calib_texts = texts, .scheme = scheme};
        gs_analysis *a;
        assert_int_equal(gs_analyze_run(&spec, &compute, &a, ERR), bad[i].status);
        assert_null(a);
        if (!strstr(ERR->text, bad[i].text)) fail_msg("%s: %s", bad[i].scheme, ERR->text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inputs_by_hand),
                                       cmocka_unit_test(inputs_without_spread),
                                       cmocka_unit_test(kurtosis_of_signs),
                                       cmocka_unit_test(ranking),
                                       cmocka_unit_test(budgets),
                                       cmocka_unit_test(growth_skips_what_does_not_fit),
                                       cmocka_unit_test(bad_budgets),
                                       cmocka_unit_test(states_anywhere),
                                       cmocka_unit_test(exact_linear),
                                       cmocka_unit_test(whole_pass),
                                       cmocka_unit_test(same_everywhere),
                                       cmocka_unit_test(text_of_its_own),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, begin, end);
}
