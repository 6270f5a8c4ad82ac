/* The report as text and JSON: a small result row by row, a large one summed up, hostile strings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/json.h"
#include "recipe/options.h"
#include "report/report.h"
#include "report/table.h"

static const char *const roles[] = {"self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h",
                                    "mlp.dense_4h_to_h"};

typedef struct made {
    gs_report report;
    gs_linear_result linears[1024];
    char names[1024][96];
    gs_output_file files[20];
} made;

static made *make(int layers)
{
    made *m = calloc(1, sizeof *m);
    gs_report *r = &m->report;
    r->quant_type = (char *)"W8A8";
    r->output = (char *)"out/x";
    r->linears = m->linears;
    for (int i = 0; i < layers * 4; i++) {
        gs_linear_result *l = &m->linears[i];
        snprintf(m->names[i], sizeof m->names[i], "transformer.encoder.layers.%d.%s", i / 4, roles[i % 4]);
        const bool is_float = i % 4 == 3;
        *l = (gs_linear_result){.name = m->names[i],
                                .type = is_float ? "FLOAT" : "W8A8",
                                .why_float = is_float ? "default fallback" : NULL,
                                .observer = is_float    ? NULL
                                            : i % 8 < 4 ? "histogram"
                                                        : "min-max",
                                .score = 12.25 + i,
                                .out = 8,
                                .in = 4};
        const double none = NAN;
        l->range_min = is_float ? none : -2.5 - i;
        l->range_max = is_float ? none : 1.25;
        l->input_scale = is_float ? none : 0.015625 * (1 + i);
        l->input_offset = is_float ? none : 33;
        l->weight_sqnr_db = is_float ? none : 40.5 - 0.01 * i;
        l->weight_scale_min = l->weight_scale_max = is_float ? none : 0.001;
    }
    snprintf(m->names[layers * 4], sizeof m->names[0], "transformer.output_layer");
    m->linears[layers * 4] = (gs_linear_result){.name = m->names[layers * 4],
                                                .type = "FLOAT",
                                                .why_float = "last linear",
                                                .score = NAN,
                                                .range_min = NAN,
                                                .range_max = NAN,
                                                .input_scale = NAN,
                                                .input_offset = NAN,
                                                .weight_scale_min = NAN,
                                                .weight_scale_max = NAN,
                                                .weight_sqnr_db = NAN};
    r->n_linears = layers * 4 + 1;
    r->gemm[0] = (gs_gemm_result){"f32", 2.0, 1.5e11, 1e11};
    r->gemm[1] = (gs_gemm_result){"s8", 0.0, 0.0, 4e11};
    r->n_gemm = 2;
    r->phases[0] = (gs_phase_result){"read", 20.9};
    r->phases[1] = (gs_phase_result){"calibrate", 100};
    r->phases[2] = (gs_phase_result){"head", 0.001}; /* too short for the text */
    r->n_phases = 3;
    for (int i = 0; i < 20; i++) m->files[i] = (gs_output_file){"quant_model_weight_w8a8.safetensors", 4660000, 40};
    r->files = m->files;
    r->n_files = 1;
    r->types[0] = (gs_type_total){"W8A8", 24, 3000000};
    r->types[1] = (gs_type_total){"FLOAT", 16, 1660000};
    r->n_types = 2;
    r->n_samples = 64;
    r->n_tokens = 2979;
    r->input_bytes = 8660000;
    r->output_bytes = 4660000;
    r->planned_peak_bytes = 100000000;
    r->measured_peak_bytes = 93000000;
    r->seconds = 3725;
    r->estimated_seconds = 71;
    r->threads = 2;
    r->cpu = "avx512-vnni";
    return m;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("\"%s\" is not in:\n%s", part, text);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes), cmocka_unit_test(test_place), cmocka_unit_test(test_small),
        cmocka_unit_test(test_large), cmocka_unit_test(test_plan),  cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
