/* JSON in and out: what is refused and how the message reads, and the bytes that Python's json module writes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include <math.h>

#include "io/json.h"
#include "io/json_text.h"

static json_t *parse(const char *text) { return gs_json_parse(text, strlen(text), "in.json", 16, &test_err); }

static void refused_bytes(const char *text, size_t n, const char *part)
{
    test_err.text[0] = '\0';
    assert_null(gs_json_parse(text, n, "in.json", 16, &test_err));
    assert_int_equal(test_err.status, GS_ERR_FILE);
    assert_non_null(strstr(test_err.text, "in.json"));
    if (strstr(test_err.text, part) == NULL) fail_msg("'%s' is not in: %s", part, test_err.text);
}

static void refused(const char *text, const char *part) { refused_bytes(text, strlen(text), part); }

static void test_parse(void **state)
{
    (void)state;
    json_t *v = parse(" {\"a\": [1, -2, 2.5, true, null, \"x\\u00e9\\ud83d\\ude00\"]} \n");
    assert_non_null(v);
    const json_t *a = json_object_get(v, "a");
    assert_int_equal(json_array_size(a), 6);
    assert_int_equal(json_integer_value(json_array_get(a, 1)), -2);
    assert_string_equal(json_string_value(json_array_get(a, 5)), "x\xc3\xa9\xf0\x9f\x98\x80");
    json_decref(v);
    v = parse("\"text\\u0000more\"");
    assert_int_equal(json_string_length(v), 9);
    json_decref(v);
    v = parse("[]");
    assert_true(json_is_array(v));
    json_decref(v);
}

static void test_parse_refuses(void **state)
{
    (void)state;
    refused("", "line 1");
    refused("{\"a\": 1,}", "line 1");
    refused("{\n  \"a\": 1,\n  \"b\" 2\n}", "line 3");
    refused("{\"a\": 1, \"a\": 2}", "duplicate");
    refused("{\"x\": {\"a\": 1, \"\\u0061\": 2}}", "duplicate");
    refused("[1] [2]", "end of file");
    refused("[1", "line 1");
    refused("\"open", "line 1");
    refused("\"\\", "line 1");
    refused("[NaN]", "line 1");
    refused("[1e999]", "line 1");
    refused("[01]", "line 1");
    refused("[\"\\ud800\"]", "line 1");
    refused("\xef\xbb\xbf{}", "byte order mark");
    refused("\xff\xfe{", "UTF-16");
    refused("[\"\xc0\xaf\"]", "UTF-8");
    refused("[\n\"\xed\xa0\x80\"]", "line 2, column 2");
    refused_bytes("[1,\0 2]", 7, "NUL");
    refused("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "nested too deeply");
    json_t *v = parse("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"); /* 16 levels are allowed */
    assert_non_null(v);
    json_decref(v);
    v = parse("[\"[[[[[[[[[[[[[[[[[[[[ \\\" [[[[[[\"]");
    assert_non_null(v);
    json_decref(v);
}

static void test_parse_huge_nesting(void **state)
{
    (void)state;
    const size_t n = 5000000;
    char *text = gs_alloc(n);
    memset(text, '[', n);
    refused_bytes(text, n, "nested too deeply");
    gs_free(text);
}

static void test_parse_wide_integers(void **state)
{
    (void)state;
    json_t *v = parse(
        "{\"a\": 1000000000000000019884624838656, \"b\": 9223372036854775807, \"c\": -9223372036854775808, "
        "\"d\": 9223372036854775808, \"e\": -9223372036854775809, \"f\": 3, \"123456789012345678901234567890\": 1}");
    assert_non_null(v);
    assert_true(json_real_value(json_object_get(v, "a")) == 1e30);
    assert_true(json_integer_value(json_object_get(v, "b")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(v, "c")) == INT64_MIN);
    assert_true(json_real_value(json_object_get(v, "d")) == 0x1p63);
    assert_true(json_is_real(json_object_get(v, "e")));
    assert_true(json_is_integer(json_object_get(v, "f")));
    assert_int_equal(json_integer_value(json_object_get(v, "123456789012345678901234567890")), 1);
    json_decref(v);
}

static void put_sample(gs_json_out *j)
{
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "a");
    gs_json_out_begin(j, '[');
    gs_json_out_int(j, INT64_MIN);
    gs_json_out_double(j, 1e16);
    gs_json_out_double(j, (double)NAN);
    gs_json_out_float(j, 0.1f);
    gs_json_out_begin(j, '[');
    gs_json_out_end(j);
    gs_json_out_begin(j, '{');
    gs_json_out_end(j);
    gs_json_out_end(j);
    gs_json_out_key(j, "b\"");
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "t");
    gs_json_out_bool(j, true);
    gs_json_out_key(j, "n");
    gs_json_out_null(j);
    gs_json_out_key(j, "s");
    gs_json_out_string(j, "\x01\x1f \x7f/\\\b\f\n\r\t\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80");
    gs_json_out_end(j);
    gs_json_out_end(j);
}

/* Expected texts printed by Python 3.11: json.dumps(x, indent=2) and json.dumps(x, separators=(",", ":")). */
static void test_write(void **state)
{
    (void)state;
    size_t n;
    gs_json_out *j = gs_json_out_create(2);
    put_sample(j);
    char *text = gs_json_out_finish(j, &n);
    assert_string_equal(
        text, "{\n  \"a\": [\n    -9223372036854775808,\n    1e+16,\n    null,\n    0.1,\n    [],\n    {}\n  ],\n"
              "  \"b\\\"\": {\n    \"t\": true,\n    \"n\": null,\n    \"s\": "
              "\"\\u0001\\u001f \\u007f/\\\\\\b\\f\\n\\r\\t\\u00e9\\u4f60\\ud83d\\ude00\"\n  }\n}");
    assert_int_equal(n, strlen(text));
    gs_free(text);
    j = gs_json_out_create(-1);
    put_sample(j);
    text = gs_json_out_finish(j, &n);
    assert_string_equal(text,
                        "{\"a\":[-9223372036854775808,1e+16,null,0.1,[],{}],\"b\\\"\":{\"t\":true,\"n\":null,\"s\":"
                        "\"\\u0001\\u001f \\u007f/\\\\\\b\\f\\n\\r\\t\\u00e9\\u4f60\\ud83d\\ude00\"}}");
    gs_free(text);
    j = gs_json_out_create(0);
    gs_json_out_begin(j, '[');
    gs_json_out_int(j, 1);
    gs_json_out_int(j, 2);
    gs_json_out_end(j);
    text = gs_json_out_finish(j, NULL);
    assert_string_equal(text, "[\n1,\n2\n]");
    gs_free(text);
}

static void test_write_deep(void **state)
{
    (void)state;
    gs_json_out *j = gs_json_out_create(-1);
    for (int i = 0; i < 1000; i++) gs_json_out_begin(j, '[');
    for (int i = 0; i < 1000; i++) gs_json_out_end(j);
    size_t n;
    char *text = gs_json_out_finish(j, &n);
    assert_int_equal(n, 2000);
    gs_free(text);
}

/* Lines "bits repr" made by Python; GS_REPR_FILE names a longer list when there is one. */
static void test_repr(void **state)
{
    (void)state;
    const char *path = getenv("GS_REPR_FILE");
    FILE *f = fopen(path != NULL ? path : GS_SOURCE_DIR "/tests/data/io/repr_double.txt", "r");
    assert_non_null(f);
    unsigned long long bits;
    char want[64], got[32];
    int lines = 0;
    while (fscanf(f, "%llx %63s", &bits, want) == 2) {
        double v;
        const uint64_t b = bits;
        memcpy(&v, &b, 8);
        gs_json_repr_double(v, got);
        assert_string_equal(got, want);
        assert_true(gs_json_token_double(got, strlen(got)) == v);
        lines++;
    }
    fclose(f);
    assert_true(lines > 500);
}

static int significant(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9') continue;
        if (*text != '0') {
            digits += zeros + 1;
            zeros = 0;
        } else if (digits > 0) {
            zeros++;
        }
    }
    return digits;
}

/* Reads back as the same float, and no text with one digit less does. */
static void test_repr_float(void **state)
{
    (void)state;
    char got[32];
    uint32_t x = 12345;
    for (int i = 0; i < 50000; i++) {
        x = x * 1664525u + 1013904223u;
        float v;
        memcpy(&v, &x, 4);
        if (!isfinite(v)) continue;
        gs_json_repr_float(v, got);
        assert_true(strtof(got, NULL) == v);
        const int digits = significant(got);
        char less[40];
        snprintf(less, sizeof less, "%.*e", digits > 1 ? digits - 2 : 0, (double)v);
        if (digits > 1) assert_true(strtof(less, NULL) != v);
    }
    gs_json_repr_float(16777216.0f, got);
    assert_string_equal(got, "16777216.0");
    gs_json_repr_float(1.17549435e-38f, got);
    assert_string_equal(got, "1.1754944e-38");
}

static void test_token_double(void **state)
{
    (void)state;
    assert_true(gs_json_token_double("1.5e3", 5) == 1500.0);
    assert_true(gs_json_token_double("-0.0", 4) == 0.0 && signbit(gs_json_token_double("-0.0", 4)));
    assert_true(gs_json_token_double("1E+2x", 4) == 100.0);
    assert_true(gs_json_token_double("1e-99999999999999999999", 23) == 0.0);
    assert_true(isinf(gs_json_token_double("1.0e99999999999999999999", 24)));
}

static void rewrites(const char *in, int indent, const gs_json_set *sets, int n_sets, const char *want)
{
    char *out;
    size_t n;
    OK(gs_json_rewrite(in, strlen(in), "in.json", indent, sets, n_sets, &out, &n, &test_err));
    assert_string_equal(out, want);
    assert_int_equal(n, strlen(want));
    gs_free(out);
}

static void test_rewrite(void **state)
{
    (void)state;
    const gs_json_set sets[] = {{"b", "\"new\""}, {"z", "null"}};
    rewrites("{}", 4, NULL, 0, "{}");
    rewrites(" { } ", 2, sets, 2, "{\n  \"b\": \"new\",\n  \"z\": null\n}");
    rewrites("{\"a\":{\"b\":1},\"b\":[{\"q\":[1,{}]}, 2],\"c\":3}", -1, sets, 2,
             "{\"a\":{\"b\":1},\"b\":\"new\",\"c\":3,\"z\":null}");
    rewrites("{\"\\u0062\": 1, \"z\": {}}", -1, sets, 2, "{\"b\":\"new\",\"z\":null}");
    rewrites("{\"i\":123456789012345678901234567890123, \"n\":-0, \"f\":1e5, \"g\":1.0E-5, \"h\":-0.0, \"k\":1.10, "
             "\"t\":true, "
             "\"u\":false, \"l\":null}",
             -1, NULL, 0,
             "{\"i\":123456789012345678901234567890123,\"n\":0,\"f\":100000.0,\"g\":1e-05,\"h\":-0.0,\"k\":1.1,\"t\":"
             "true,\"u\":false,"
             "\"l\":null}");
    rewrites("{\"s\":\"\xe4\xbd\xa0 \\/ \\u00E9 \\ud83d\\ude00 \\u0000\"}", -1, NULL, 0,
             "{\"s\":\"\\u4f60 / \\u00e9 \\ud83d\\ude00 \\u0000\"}");
    char *out;
    size_t n;
    FAILS(gs_json_rewrite("[1]", 3, "in.json", 4, NULL, 0, &out, &n, &test_err), GS_ERR_FILE, "object");
    FAILS(gs_json_rewrite("{\"a\":1,\"a\":1}", 13, "in.json", 4, NULL, 0, &out, &n, &test_err), GS_ERR_FILE,
          "duplicate");
    assert_null(out);
}

static void compare_config(const gs_json_set *sets, int n_sets, const char *golden)
{
    size_t n, want_n, out_n;
    char *out;
    char *text = read_bytes(GS_SOURCE_DIR "/tests/golden/models/tiny-a/config.json", &n);
    char *want = read_bytes(golden, &want_n);
    OK(gs_json_rewrite(text, n, "config.json", 4, sets, n_sets, &out, &out_n, &test_err));
    assert_string_equal(out, want);
    assert_int_equal(out_n, want_n);
    gs_free(out);
    gs_free(want);
    gs_free(text);
}

/* config.json as the reference program writes it, byte for byte. */
static void test_rewrite_config(void **state)
{
    (void)state;
    const gs_json_set sets[] = {
        {"torch_dtype", "\"bfloat16\""},
        {"quantize", "\"w8a8\""},
        {"quantization_config",
         "{\n        \"group_size\": 0,\n        \"kv_quant_type\": null,\n        \"fa_quant_type\": null,\n        "
         "\"w_bit\": 8,\n"
         "        \"a_bit\": 8,\n        \"dev_type\": \"cpu\",\n        \"fraction\": 0.01,\n        \"act_method\": "
         "1,\n"
         "        \"co_sparse\": false,\n        \"anti_method\": \"\",\n        \"disable_level\": \"L0\",\n"
         "        \"do_smooth\": false,\n        \"use_sigma\": false,\n        \"sigma_factor\": 3.0,\n        "
         "\"is_lowbit\": false,\n"
         "        \"mm_tensor\": false,\n        \"w_sym\": true,\n        \"open_outlier\": true,\n        "
         "\"is_dynamic\": false\n    }"},
    };
    compare_config(sets, 1, GS_SOURCE_DIR "/tests/golden/cases/calib-emptyprompt/config.json");
    compare_config(sets, 3, GS_SOURCE_DIR "/tests/golden/cases/w8a8-act1-mindie/config.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_huge_nesting),
        cmocka_unit_test(test_parse_wide_integers),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_deep),
        cmocka_unit_test(test_repr),
        cmocka_unit_test(test_repr_float),
        cmocka_unit_test(test_token_double),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_rewrite_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
