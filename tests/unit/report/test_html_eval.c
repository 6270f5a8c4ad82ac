/* The page of an evaluation: every figure where it belongs, for none, one or many results, whatever they are called.
 * SPDX-License-Identifier: Apache-2.0 */
#include "e2e/page_rules.h"
#include "fixture.h"

#define LAYERS 3
#define TOKENS 400
#define MODELS 6

static page checked;

typedef struct made_eval {
    gs_eval e;
    gs_eval_model quant[MODELS];
    gs_eval_linear linear[MODELS][LAYERS * 4 + 1];
    gs_eval_block block[MODELS][LAYERS];
    double kl[MODELS][TOKENS];
    int64_t position[TOKENS];
    char names[LAYERS * 4 + 1][96], paths[MODELS][32];
} made_eval;

static const char *const linears[] = {"self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h",
                                      "mlp.dense_4h_to_h"};

static made_eval *make_eval(int quants)
{
    made_eval *m = calloc(1, sizeof *m);
    m->e = (gs_eval){.tokens = TOKENS, .windows = 4, .context = 100, .stride = 100, .prefix = 2, .layers = LAYERS};
    m->e.quants = quants;
    m->e.quant = m->quant;
    m->e.token_position = m->position;
    m->e.exact = (gs_eval_model){.path = "models/mini/", .type = "FLOAT", .perplexity = 12.5, .perplexity_se = 0.25};
    for (int t = 0; t < TOKENS; t++) m->position[t] = t % 100;
    for (int l = 0; l <= LAYERS * 4; l++)
        snprintf(m->names[l], sizeof m->names[l], "transformer.layers.%d.%s", l / 4, linears[l % 4]);
    snprintf(m->names[LAYERS * 4], sizeof m->names[0], "transformer.output_layer");
    for (int i = 0; i < quants; i++) {
        gs_eval_model *q = &m->quant[i];
        snprintf(m->paths[i], sizeof m->paths[i], "out/model%d", i);
        *q = (gs_eval_model){
            .path = m->paths[i], .type = "W8A8", .kv = i == 0, .perplexity = 12.625, .perplexity_se = 0.3};
        q->ratio = 1.01;
        q->ratio_se = 0.002;
        q->noise = i == 1;
        q->kl_mean = 0.00125 * (i + 1);
        q->kl_se = 0.0001;
        q->kl_median = 0.0005;
        q->kl_p99 = 0.03;
        q->kl_max = 0.5;
        q->top1_agreement = 0.96875;
        q->top5_same = 0.75;
        q->linears = LAYERS * 4 + 1;
        q->linear = m->linear[i];
        q->block = m->block[i];
        q->token_kl = m->kl[i];
        for (int l = 0; l <= LAYERS * 4; l++)
            m->linear[i][l] =
                (gs_eval_linear){.name = m->names[l], .type = "W8A8", .block = l / 4, .sqnr_db = 40.5 - l - i};
        m->linear[i][0].sqnr_db = INFINITY;
        for (int b = 0; b < LAYERS; b++) m->block[i][b] = (gs_eval_block){0.999 - 0.001 * b, 0.9};
        for (int t = 0; t < TOKENS; t++) m->kl[i][t] = 0.001 * (t % 100);
    }
    return m;
}

static void render(const made_eval *m, const gs_report_file *files, gs_str *out)
{
    gs_str_init(out);
    gs_report_eval_html(&m->e, files, "eval.txt", out);
    if (!page_check(&checked, out->data, out->len)) fail_msg("%s", checked.problem);
    if (strstr(out->data, "nan") != NULL) fail_msg("nan near %.80s", strstr(out->data, "nan") - 40);
}

static void test_figures(void **state)
{
    (void)state;
    made_eval *m = make_eval(2);
    gs_str s;
    render(m, NULL, &s);
    static const char *const parts[] = {"<h1>mini and 2 results</h1>",
                                        "Evaluated on eval.txt",
                                        "400 tokens in 4 windows of 100, behind a prefix of 2",
                                        "12.500 ± 0.250",
                                        "model0<span class=\"type\">W8A8 C8</span>",
                                        "+1.00 % ± 0.20 %",
                                        "0.00125 ± 0.00010",
                                        "0.00250 ± 0.00010",
                                        "<td class=\"n\">0.03000</td>",
                                        "<td class=\"n\">0.5000</td>",
                                        "<td class=\"n\">96.88</td>",
                                        "for: model1.",
                                        "lowest 29.5 dB in block 2", /* qkv of block 2 is linear 8 */
                                        "block 1: 33.5 dB, W8A8, model0",
                                        "largest 0.003 at block 2",
                                        "0.997000, least 0.9000",
                                        "KL by position",
                                        "<td class=\"n\">0–2</td>", /* 48 bins at most: three positions each */
                                        "<td class=\"n\">exact</td>",
                                        "transformer.output_layer"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) has(s.data, parts[i]);
    if (strstr(s.data, "id=\"questions\"") != NULL || strstr(s.data, "id=\"made\"") != NULL) fail_msg("empty sections");
    assert_int_equal(checked.n_svg, 4 + 1 + 1 + 3 * 2); /* charts, and keys of three sections */
    gs_str_release(&s);
    free(m);
}

static void test_few_and_many(void **state)
{
    (void)state;
    for (int quants = 0; quants <= MODELS; quants++) {
        made_eval *m = make_eval(quants);
        gs_str s;
        render(m, NULL, &s);
        for (int i = 0; i < quants; i++) has(s.data, strrchr(m->paths[i], '/') + 1);
        assert_int_equal(checked.n_sections, quants == 0 ? 1 : 4);
        if (quants > 4) has(s.data, "The first 4 results; all are in the table below.");
        gs_str_release(&s);
        /* Questions alone. */
        m->e.tokens = 0;
        m->e.questions = 50;
        m->e.exact.choices = (gs_eval_accuracy){.accuracy = 0.5, .low = 0.25, .high = 0.75};
        for (int i = 0; i < quants; i++) m->quant[i].choices.agreement = 0.875;
        render(m, NULL, &s);
        has(s.data, "50 questions");
        has(s.data, "0.5000 (0.2500 to 0.7500)");
        if (quants > 0) has(s.data, "0.8750");
        if (strstr(s.data, "id=\"quality\"") != NULL) fail_msg("quality without a text");
        gs_str_release(&s);
        free(m);
    }
}

/* Directories of one name are called by their paths. */
static void test_names(void **state)
{
    (void)state;
    made_eval *m = make_eval(2);
    m->quant[0].path = "a/out/";
    m->quant[1].path = "b/out";
    gs_str s;
    render(m, NULL, &s);
    has(s.data, "<td>a/out/<span");
    has(s.data, "<td>b/out<span");
    gs_str_release(&s);
    m->quant[1].path = "b/other/";
    render(m, NULL, &s);
    has(s.data, "<td>out<span");
    has(s.data, "<td>other<span");
    gs_str_release(&s);
    free(m);
}

/* What each result says about itself stands below, with ids of its own. */
static void test_made(void **state)
{
    (void)state;
    made_eval *m = make_eval(3);
    made *r = make(2);
    gs_report_file files[3] = {{0}};
    for (int i = 0; i < 3; i += 2) {
        files[i] =
            (gs_report_file){.found = true, .dir = i ? (char *)"<second>" : (char *)"out/first", .report = r->report};
        gs_recipe_defaults(&files[i].recipe);
        files[i].recipe.act_method = 2;
    }
    gs_input_file input = {"calib_file", NULL, 77, "abcdef"};
    files[0].report.inputs = &input;
    files[0].report.n_inputs = 1;
    gs_str s;
    render(m, files, &s);
    static const char *const parts[] = {"How the results were made",
                                        "<h3>out/first</h3>",
                                        "<h3>&lt;second&gt;</h3>",
                                        "--act_method 2",
                                        "a file of 77 bytes, SHA-256 abcdef",
                                        "the built-in texts",
                                        "id=\"r0-in0-t\"",
                                        "id=\"r2-in0-t\"",
                                        "<h4>Weights</h4>",
                                        "<h5>Spread of scales</h5>"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) has(s.data, parts[i]);
    gs_str_release(&s);
    free(r);
    free(m);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char evil[] = "<b>&\"'</title><script>\x01\xff";
    made_eval *m = make_eval(2);
    m->e.exact.path = evil;
    for (int i = 0; i < 2; i++) {
        m->quant[i].path = m->quant[i].type = evil;
        m->quant[i].noise = true;
        for (int l = 0; l <= LAYERS * 4; l++) m->linear[i][l].name = m->linear[i][l].type = evil;
    }
    gs_str s;
    render(m, NULL, &s);
    gs_str_release(&s);
    /* Figures that no evaluation has. */
    static const double odd[] = {0, -1, 1e300, 5e-324, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (int l = 0; l <= LAYERS * 4; l++) m->linear[0][l].sqnr_db = odd[(i + (size_t)l) % 6];
        for (int b = 0; b < LAYERS; b++) m->block[0][b].cosine = odd[(i + (size_t)b) % 6];
        for (int t = 0; t < TOKENS; t++) m->kl[0][t] = odd[(i + (size_t)t) % 6] > 1e299 ? 1 : odd[(i + (size_t)t) % 6];
        m->quant[0].kl_mean = odd[i];
        render(m, NULL, &s);
        gs_str_release(&s);
    }
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures), cmocka_unit_test(test_few_and_many), cmocka_unit_test(test_made),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
