/* The page: well-formed whatever the names, every section when there is something for it, axes that hold their values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/html.h"

#include "e2e/page_rules.h"
#include "fixture.h"
#include "recipe/options.h"

static page checked;

/* The page of a report, after the rules have passed. Caller releases. */
static void render(const gs_report *r, const gs_recipe *recipe, gs_str *out)
{
    gs_str_init(out);
    gs_report_html(r, recipe, out);
    if (!page_check(&checked, out->data, out->len)) fail_msg("%s", checked.problem);
}

static void has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) fail_msg("\"%s\" is in the page", part);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part)) n++;
    return n;
}

static void test_rules_can_fail(void **state)
{
    (void)state;
    static const char *const bad[] = {"<html><b></html>",
                                      "<html>&nbsp;</html>",
                                      "<html a=b></html>",
                                      "<html><script></script></html>",
                                      "<html><a href=\"https://x\"></a></html>",
                                      "<html><p id=\"a\"></p><p id=\"a\"></p></html>",
                                      "<html><a href=\"#b\"></a></html>",
                                      "<html><p onclick=\"x\"></p></html>",
                                      "<html><style>a { background: url(x) }</style></html>",
                                      "<html>\x01</html>",
                                      "<html><br></html>",
                                      "<html>",
                                      "<html>\xff</html>",
                                      "<html><img src=\"x\"/></html>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gs_str s;
        gs_str_init(&s);
        gs_str_printf(&s, "<!DOCTYPE html>\n%s", bad[i]);
        if (page_check(&checked, s.data, s.len)) fail_msg("no complaint about %s", bad[i]);
        gs_str_release(&s);
    }
    static const char good[] = "<!DOCTYPE html>\n<html><p id=\"a\">x &lt; y</p><a href=\"#a\"/></html>\n";
    assert_true(page_check(&checked, good, sizeof good - 1));
}

static void test_sections(void **state)
{
    (void)state;
    made *m = make(3);
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    recipe.model_path = "models/glm-4-mini//";
    recipe.save_directory = "out";
    recipe.act_method = 2;
    gs_report_message messages[] = {{GS_INFO, (char *)"a note"}, {GS_WARNING, (char *)"a warning"}};
    m->report.messages = messages;
    m->report.n_messages = 2;
    gs_str s;
    render(&m->report, &recipe, &s);
    static const char *const parts[] = {"<h1>glm-4-mini as W8A8</h1>",
                                        "<title>glm-4-mini as W8A8</title>",
                                        "id=\"done\"",
                                        "--act_method 2",
                                        "id=\"messages\"",
                                        "<li class=\"warning\">a warning</li>",
                                        "<summary>1 note</summary>",
                                        "id=\"activations\"",
                                        "largest |x| 12.5 in block 2", /* linear 10: range from -2.5 - 10 */
                                        "id=\"weights\"",
                                        "lowest 40.4 dB in block 2",
                                        "block 1: -6.5 to 1.25",
                                        "id=\"float\"",
                                        "dense_4h_to_h in blocks 0–2",
                                        "output_layer",
                                        "id=\"size\"",
                                        "54 % of 8.66 MB",
                                        "id=\"time\"",
                                        "75 % of the measured peak",
                                        "id=\"linears\"",
                                        "<summary>13 linears</summary>",
                                        "9 of 13"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) has(s.data, parts[i]);
    has_not(s.data, "id=\"smoothing\""); /* no groups: no section, no link to it */
    has_not(s.data, "#smoothing");
    has_not(s.data, "nan");
    assert_int_equal(checked.n_svg, 3 * 3); /* ranges, SQNR, scales of three kinds */
    gs_str_release(&s);
    /* Everything missing. */
    const gs_report empty = {0};
    render(&empty, NULL, &s);
    has_not(s.data, "id=\"done\"");
    has_not(s.data, "id=\"weights\"");
    has_not(s.data, "nan");
    gs_str_release(&s);
    free(m);
}

static void test_groups(void **state)
{
    (void)state;
    made *m = make(3);
    gs_group_result groups[6];
    for (int i = 0; i < 6; i++)
        groups[i] = (gs_group_result){.name = (char *)"a group",
                                      .block = i / 2,
                                      .linear = i % 2 ? "mlp.dense_h_to_4h" : "self_attention.query_key_value",
                                      .method = "m2",
                                      .alpha = NAN,
                                      .beta = NAN,
                                      .threshold = 0.5,
                                      .loss_before = 1,
                                      .loss_after = 0.25,
                                      .range_before = 50.0 + i,
                                      .range_after = 2,
                                      .scaled_channels = i % 2 ? 7 : i};
    m->report.groups = groups;
    m->report.n_groups = 6;
    gs_str s;
    render(&m->report, NULL, &s);
    has(s.data, "id=\"smoothing\"");
    has(s.data, "m2: largest |x| 54, then 2");
    has(s.data, "block 1: 53 before, 2 after");
    has(s.data, "block 2: 4 channels");
    has(s.data, "in every block: m2 scales 7 of dense_h_to_4h.");
    has(s.data, "<summary>6 groups</summary>");
    assert_int_equal(count(s.data, "class=\"then\""), 6 + 1);
    gs_str_release(&s);
    /* A method without figures: a table, no charts. */
    for (int i = 0; i < 6; i++) {
        groups[i].range_before = groups[i].range_after = NAN;
        groups[i].scaled_channels = -1;
    }
    render(&m->report, NULL, &s);
    has_not(s.data, "nan");
    has_not(s.data, "Outlier channels");
    gs_str_release(&s);
    free(m);
}

/* Names, texts and paths may be anything at all. */
static void test_hostile(void **state)
{
    (void)state;
    static const char evil[] = "<b>&\"'</title><script>alert(1)</script>\x01\x1b[31m\xff\xc3(\xed\xa0\x80";
    made *m = make(2);
    for (int i = 0; i < 4; i++) snprintf(m->names[i], sizeof m->names[i], "t.layers.%d.<i>&\"%d\xff", i / 2, i % 2);
    gs_report_message message = {GS_WARNING, (char *)evil};
    gs_group_result group = {.name = (char *)evil,
                             .block = 0,
                             .linear = evil,
                             .method = evil,
                             .branch = evil,
                             .range_before = 5,
                             .range_after = 1,
                             .scaled_channels = 3};
    m->files[0].name = evil;
    m->report.types[0].type = evil;
    m->report.quant_type = (char *)evil;
    m->report.output = (char *)evil;
    m->report.cpu = evil;
    m->linears[3].why_float = evil;
    m->report.messages = &message;
    m->report.n_messages = 1;
    m->report.groups = &group;
    m->report.n_groups = 1;
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    recipe.model_path = recipe.save_directory = recipe.calib_file = recipe.anti_method = evil;
    recipe.disable_names = (const char *const[]){evil, "", NULL};
    gs_str s;
    render(&m->report, &recipe, &s);
    has(s.data, "&lt;script&gt;alert(1)&lt;/script&gt;&#xfffd;&#xfffd;[31m&#xfffd;&#xfffd;(&#xfffd;");
    gs_str_release(&s);
    free(m);
}

static void test_numbers_far_out(void **state)
{
    (void)state;
    static const double odd[] = {0, 1e-40, 1e300, -1e300, INFINITY, -INFINITY, NAN, 5e-324};
    made *m = make(2);
    for (size_t i = 0; i < 8 * 8; i++) {
        for (int k = 0; k < 8; k++) {
            gs_linear_result *l = &m->linears[k];
            l->why_float = NULL;
            l->range_min = odd[i % 8];
            l->range_max = odd[(i / 8 + (size_t)k) % 8];
            l->weight_sqnr_db = odd[(i + (size_t)k) % 8];
            l->weight_scale_min = odd[i / 8];
            l->weight_scale_max = odd[(i + (size_t)k) % 8];
        }
        m->report.seconds = odd[i % 8];
        gs_str s;
        render(&m->report, NULL, &s);
        has_not(s.data, "=\"nan"); /* no coordinate */
        has_not(s.data, "=\"inf");
        has_not(s.data, "=\"-");
        gs_str_release(&s);
    }
    free(m);
}

static void check_axis(const gs_axis *a, double lo, double hi)
{
    const double room = 1e-9 * (a->log ? lo : hi - lo);
    if (!(a->lo <= lo + room && a->hi >= hi - room && a->lo < a->hi))
        fail_msg("[%g, %g] is not in [%g, %g]", lo, hi, a->lo, a->hi);
    assert_in_range(a->n, 2, GS_AXIS_TICKS);
    for (int i = 0; i < a->n; i++) {
        if (i > 0) assert_true(a->tick[i] > a->tick[i - 1]);
        assert_true(a->tick[i] >= a->lo - 1e-9 * fabs(a->lo));
        assert_true(a->tick[i] <= a->hi + fabs(a->hi) * 1e-9);
    }
}

static void test_axes(void **state)
{
    (void)state;
    static const double values[] = {-400, -3, -0.02, 0, 1e-6, 0.7, 1, 9.99, 10, 65.46, 1234, 1e9};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (size_t j = i; j < sizeof values / sizeof values[0]; j++) {
            const gs_axis a = gs_axis_linear(values[i], values[j]);
            check_axis(&a, values[i], values[j]);
            if (values[i] <= 0) continue;
            const gs_axis b = gs_axis_log(values[i], values[j]);
            check_axis(&b, values[i], values[j]);
        }
    }
    const gs_axis a = gs_axis_linear(0, 65.46);
    assert_true(a.hi == 80 && a.n == 5 && a.tick[1] == 20);
    const gs_axis b = gs_axis_log(1.03, 66);
    assert_true(b.lo == 1 && b.hi == 100 && b.n == 7 && b.tick[1] == 2);
    const gs_axis c = gs_axis_count(40);
    assert_true(c.lo == -0.5 && c.hi == 39.5 && c.n == 8 && c.tick[1] == 5);
    const gs_axis d = gs_axis_count(0);
    assert_true(d.lo < d.hi && d.n == 0);
}

static void test_number_text(void **state)
{
    (void)state;
    static const struct {
        double v;
        int digits;
        const char *text;
    } rows[] = {{12.5, 3, "12.5"},       {0.00001, 3, "1e-5"}, {1000, 3, "1000"}, {1e7, 3, "1e7"},
                {2.5e-10, 3, "2.5e-10"}, {-4051, 3, "-4051"},  {NAN, 3, ""},      {0, 3, "0"},
                {1e100, 3, "1e100"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        assert_string_equal(gs_number_text(rows[i].v, rows[i].digits, text), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_can_fail),  cmocka_unit_test(test_sections), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_hostile),         cmocka_unit_test(test_axes),     cmocka_unit_test(test_number_text),
        cmocka_unit_test(test_numbers_far_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
