/* The report as text and JSON: a small result row by row, a large one summed up, hostile strings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/json.h"
#include "recipe/options.h"
#include "fixture.h"
#include "report/table.h"

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 bytes"},        {999, "999 bytes"},     {1000, "1.00 kB"},       {1234567, "1.23 MB"},
                {12345678, "12.3 MB"}, {999500000, "1.00 GB"}, {1230000000, "1.23 GB"}, {UINT64_MAX, "18.4 EB"},
                {99960, "100 kB"},     {9995, "9.99 kB"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        gs_bytes_text(rows[i].bytes, text);
        if (rows[i].bytes == 9995)
            assert_true(strcmp(text, "9.99 kB") == 0 || strcmp(text, "10.0 kB") == 0);
        else
            assert_string_equal(text, rows[i].text);
    }
}

static void test_place(void **state)
{
    (void)state;
    gs_linear_place p = gs_linear_place_of("transformer.encoder.layers.12.mlp.dense_4h_to_h");
    assert_int_equal(p.block, 12);
    assert_string_equal(p.linear, "dense_4h_to_h");
    p = gs_linear_place_of("transformer.output_layer");
    assert_int_equal(p.block, -1);
    assert_string_equal(p.linear, "output_layer");
    p = gs_linear_place_of("a.99999999999999.b");
    assert_int_equal(p.block, -1);
    p = gs_linear_place_of("");
    assert_int_equal(p.block, -1);
    assert_string_equal(p.linear, "");
}

static void test_small(void **state)
{
    (void)state;
    made *m = make(2);
    gs_str s;
    gs_str_init(&s);
    gs_report_text(&m->report, &s);
    has(s.data,
        "block  linear            type   observer   input range             input scale  offset  SQNR dB   score\n");
    has(s.data,
        "    0  query_key_value   W8A8   histogram  [-2.5, 1.25]               0.015625      33     40.5   12.25\n");
    has(s.data,
        "       dense_4h_to_h     FLOAT             default fallback                                       15.25\n");
    has(s.data, "W8A8 written to out/x\n");
    has(s.data, "stay float    2 default fallback, 1 last linear\n");
    has(s.data, "8.66 MB before, 4.66 MB after (54 %)");
    has(s.data, "64 samples, 2979 tokens");
    has(s.data, "1 h 02 min: read 21 s, calibrate 1 min 40 s\n");
    has(s.data, "GEMM f32      2.0 s, 75.0 Gop/s, 75 % of the measured peak of 100.0 Gop/s");
    assert_null(strstr(s.data, "GEMM s8")); /* did not run */
    has(s.data, "planned peak 100 MB, measured 93.0 MB (-7 %)");
    has(s.data, "2 threads, avx512-vnni");
    gs_str_release(&s);
    free(m);
}

/* W4A4 widens the column of types and has a table of its own. */
static void test_transforms(void **state)
{
    (void)state;
    made *m = make(2);
    gs_str s;
    gs_str_init(&s);
    gs_report_text(&m->report, &s);
    assert_null(strstr(s.data, "W4A4"));
    for (int i = 4; i < 6; i++) {
        m->linears[i].type = "W4A4_FLATQUANT_DYNAMIC";
        m->linears[i].clip_ratio = 0.875;
        m->linears[i].transform_alpha = i == 4 ? 0.6 : NAN; /* dense has no d */
        m->linears[i].transform_error = 0.01234;
    }
    s.len = 0;
    gs_report_text(&m->report, &s);
    has(s.data, "    0  query_key_value   W8A8                    histogram  [-2.5, 1.25] ");
    has(s.data, "    1  query_key_value   W4A4_FLATQUANT_DYNAMIC  min-max ");
    has(s.data, "block  W4A4 linear        alpha    clip  output error\n"
                "    1  query_key_value      0.6   0.875        0.0123\n"
                "    1  dense                  -   0.875        0.0123\n");
    size_t n = 0;
    char *json = gs_report_json(&m->report, NULL, &n);
    has(json, "\"transform_alpha\": 0.6");
    has(json, "\"transform_alpha\": null");
    has(json, "\"clip_ratio\": 0.875");
    gs_free(json);
    gs_str_release(&s);
    free(m);
}

/* 40 layers: short lines, one per block, and a summary by kind. */
static void test_large(void **state)
{
    (void)state;
    made *m = make(40);
    gs_str s;
    gs_str_init(&s);
    gs_report_text(&m->report, &s);
    int lines = 0;
    for (const char *p = s.data; *p != '\0';) {
        const size_t n = strcspn(p, "\n");
        assert_true(n <= 140);
        assert_true(n == 0 || p[n - 1] != ' ');
        p += n + (p[n] == '\n');
        lines++;
    }
    assert_true(lines > 40 && lines < 75);
    has(s.data, "least 38.9 (block 39)"); /* dense_h_to_4h of the last block: 40.5 - 1.58 */
    has(s.data, "20 histogram");
    has(s.data, "[-160.5, 1.25]");
    has(s.data, "\n   39  [-158, 1.25] 38.9");
    assert_null(strstr(s.data, "\n   40  "));
    gs_str_release(&s);
    free(m);
}

static void test_plan(void **state)
{
    (void)state;
    made *m = make(2);
    gs_str s;
    gs_str_init(&s);
    m->report.n_files = 20;
    m->report.measured_peak_bytes = 0;
    gs_report_plan_text(&m->report, &s);
    has(s.data, "plan: W8A8 to out/x (dry run, nothing is written)");
    has(s.data, "6 quantized, 3 float");
    has(s.data, "and 8 more files");
    has(s.data, "planned peak 100 MB\n");
    has(s.data, "about 71 s");
    gs_str_clear(&s);
    const gs_report empty = {0};
    gs_report_plan_text(&empty, &s);
    gs_report_text(&empty, &s);
    assert_true(s.len > 0);
    gs_str_release(&s);
    free(m);
}

static void test_json(void **state)
{
    (void)state;
    made *m = make(2);
    m->report.output = (char *)"bad \xff\xc3 path \"quoted\"\n";
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    const char *names[] = {"a", "\xe4\xb8\xad", NULL};
    recipe.disable_names = names;
    recipe.part_file_size = 5;
    size_t n;
    char *text = gs_report_json(&m->report, &recipe, &n);
    assert_int_equal(strlen(text), n);
    gs_error err;
    json_t *doc = gs_json_parse(text, n, "report", 16, &err);
    if (doc == NULL) fail_msg("%s", err.text);
    assert_string_equal(json_string_value(json_object_get(doc, "output")), "bad ?? path \"quoted\"\n");
    assert_string_equal(json_string_value(json_object_get(doc, "glmslim")), GLMSLIM_VERSION);
    assert_int_equal(json_integer_value(json_object_get(doc, "measured_peak_bytes")), 93000000);
    json_t *linears = json_object_get(doc, "linears");
    assert_int_equal(json_array_size(linears), 9);
    json_t *first = json_array_get(linears, 0), *last = json_array_get(linears, 8);
    assert_true(json_real_value(json_object_get(first, "range_min")) == -2.5);
    assert_true(json_is_null(json_object_get(first, "why_float")));
    assert_true(json_is_null(json_object_get(last, "input_scale")));
    assert_string_equal(json_string_value(json_object_get(last, "why_float")), "last linear");
    json_t *gemm = json_object_get(doc, "gemm");
    assert_true(json_real_value(json_object_get(json_array_get(gemm, 0), "share_of_peak")) == 0.75);
    assert_true(json_is_null(json_object_get(json_array_get(gemm, 1), "share_of_peak")));
    json_t *options = json_object_get(doc, "recipe");
    assert_int_equal((int)json_object_size(options), gs_option_count);
    assert_string_equal(json_string_value(json_array_get(json_object_get(options, "disable_names"), 1)),
                        "\xe4\xb8\xad");
    assert_int_equal(json_integer_value(json_object_get(options, "part_file_size")), 5);
    assert_true(json_is_null(json_object_get(options, "calib_texts")));
    assert_true(json_is_true(json_object_get(options, "w_sym")));
    json_decref(doc);
    gs_free(text);
    text = gs_report_json(&m->report, NULL, &n);
    assert_null(strstr(text, "\"recipe\""));
    gs_free(text);
    free(m);
}

/* What goes into the output holds nothing of this machine, this place or this day. */
static void test_record(void **state)
{
    (void)state;
    made *m = make(2);
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    recipe.disable_names = (const char *const[]){"<b>&\"", NULL};
    gs_input_file inputs[] = {{"weights", (char *)"model.safetensors", 12, "00ff"}, {"calib_file", NULL, 7, "11ee"}};
    gs_report_message message = {GS_WARNING, (char *)"it is late"};
    m->report.inputs = inputs;
    m->report.n_inputs = 2;
    m->report.messages = &message;
    m->report.n_messages = 1;
    size_t n, n2;
    char *text = gs_report_record(&m->report, &recipe, &n);
    has(text, "\"<b>&\\\"\"");
    has(text, "\"why_float\": \"last linear\"");
    has(text, "\"name\": \"model.safetensors\",\n      \"bytes\": 12,\n      \"sample_sha256\": \"00ff\"");
    has(text, "\"name\": null,\n      \"bytes\": 7,\n      \"sha256\": \"11ee\"");
    /* Everything that may differ between two runs of one recipe. */
    m->report.output = (char *)"elsewhere";
    m->report.seconds = 1;
    m->report.estimated_seconds = 2;
    m->report.planned_peak_bytes = m->report.measured_peak_bytes = 3;
    m->report.threads = 77;
    m->report.cpu = "c";
    m->report.n_phases = m->report.n_gemm = m->report.n_messages = 0;
    recipe.model_path = "m";
    recipe.save_directory = "s";
    recipe.calib_file = recipe.anti_file = "t";
    recipe.threads = 9;
    recipe.overwrite = recipe.strict_device = true;
    recipe.given = ~(uint64_t)0;
    char *again = gs_report_record(&m->report, &recipe, &n2);
    assert_string_equal(text, again);
    gs_free(again);
    /* And what may not. */
    recipe.act_method = 2;
    again = gs_report_record(&m->report, &recipe, &n2);
    assert_string_not_equal(text, again);
    gs_free(again);
    gs_error err;
    json_t *doc = gs_json_parse(text, n, "record", 16, &err);
    assert_non_null(doc);
    static const char *const absent[] = {"output", "seconds", "threads", "cpu", "phases", "gemm", "messages"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) assert_null(json_object_get(doc, absent[i]));
    assert_null(json_object_get(json_object_get(doc, "recipe"), "threads"));
    json_decref(doc);
    gs_free(text);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_place),      cmocka_unit_test(test_small),
        cmocka_unit_test(test_large),  cmocka_unit_test(test_plan),       cmocka_unit_test(test_json),
        cmocka_unit_test(test_record), cmocka_unit_test(test_transforms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
