/* Headers of safetensors files: what is read, and every way a header can lie.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include "io/safetensors.h"

static char *dir, *path;

static int setup(void **state)
{
    (void)state;
    dir = make_scratch();
    path = gs_path_join(dir, "x.safetensors");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gs_free(path);
    remove_scratch(dir);
    return 0;
}

static gs_status read_table(gs_tensor_table *t)
{
    gs_file f;
    OK(gs_file_open(&f, path, &test_err));
    const gs_status status = gs_safetensors_read_header(&f, t, &test_err);
    gs_file_close(&f);
    return status;
}

static void make(const char *header, size_t data_bytes)
{
    char *data = gs_alloc(data_bytes + 1);
    write_safetensors(path, header, strlen(header), data, data_bytes);
    gs_free(data);
}

static void accepts(const char *header, size_t data_bytes, int64_t count)
{
    gs_tensor_table t;
    make(header, data_bytes);
    OK(read_table(&t));
    assert_int_equal(t.count, count);
    gs_tensor_table_release(&t);
}

static void refuses(const char *header, size_t data_bytes, const char *part)
{
    gs_tensor_table t;
    make(header, data_bytes);
    FAILS(read_table(&t), GS_ERR_FILE, part);
    assert_non_null(strstr(test_err.text, path));
    assert_null(t.tensors);
}

/* Names at offsets in the file, whatever their order in the header. */
static void test_reads(void **state)
{
    (void)state;
    gs_tensor_table t;
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\",\"a\\u0062\":\"\"}, \"b\":{\"shape\":[2,3],\"data_offsets\":[8,20],"
        "\"dtype\":\"BF16\"},\n\t\"a\\u00e9\\/"
        "\\ud83d\\ude00\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}  ";
    make(header, 20);
    OK(read_table(&t));
    assert_int_equal(t.count, 2);
    assert_string_equal(t.tensors[0].name, "a\xc3\xa9/\xf0\x9f\x98\x80");
    assert_int_equal(t.tensors[0].dtype, GS_I64);
    assert_int_equal(t.tensors[0].rank, 0);
    assert_int_equal(t.tensors[0].elements, 1);
    assert_int_equal(t.tensors[0].offset, 8 + strlen(header));
    assert_int_equal(t.tensors[0].bytes, 8);
    assert_string_equal(t.tensors[1].name, "b");
    assert_int_equal(t.tensors[1].dtype, GS_BF16);
    assert_int_equal(t.tensors[1].rank, 2);
    assert_int_equal(t.tensors[1].shape[0], 2);
    assert_int_equal(t.tensors[1].shape[1], 3);
    assert_int_equal(t.tensors[1].elements, 6);
    assert_int_equal(t.tensors[1].offset, 8 + strlen(header) + 8);
    assert_int_equal(t.tensors[1].bytes, 12);
    gs_tensor_table_release(&t);
}

static void test_boundaries(void **state)
{
    (void)state;
    accepts("{}", 0, 0);
    accepts("{}      ", 0, 0);
    accepts("{\"__metadata__\":{}}", 0, 0);
    accepts("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1);
    accepts("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, 1);
    /* empty tensors share boundaries, in any order */
    accepts("{\"e2\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},\"a\":{\"dtype\":\"U8\",\"shape\":[4],"
            "\"data_offsets\":[0,4]},"
            "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]},\"e1\":{\"dtype\":\"F32\",\"shape\":[3,0],"
            "\"data_offsets\":[0,0]},"
            "\"e3\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[6,6]},\"e4\":{\"dtype\":\"F32\",\"shape\":["
            "1099511627776,0],"
            "\"data_offsets\":[6,6]}}",
            6, 6);
    char header[700];
    snprintf(header, sizeof header, "{\"%0512d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 0);
    accepts(header, 1, 1);
    snprintf(header, sizeof header, "{\"%0513d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 0);
    refuses(header, 1, "512 bytes");
}

#define T(rest)                  "{\"a\":" rest "}"
#define D(dtype, shape, offsets) "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_syntax(void **state)
{
    (void)state;
    refuses("", 0, "begin with '{'");
    refuses(" {}", 0, "begin with '{'");
    refuses("[]", 0, "begin with '{'");
    refuses("{", 0, "name is needed");
    refuses("{}\n", 0, "other than spaces");
    refuses("{}\t ", 0, "other than spaces");
    refuses("{} {}", 0, "other than spaces");
    refuses(T(D("\"U8\"", "[1]", "[0,1]")) "x", 1, "other than spaces");
    refuses("{\"a\"}", 0, "':'");
    refuses("{\"a", 0, "closing quote");
    refuses("{\"a\\", 0, "closing quote");
    refuses("{\"a\\u12", 0, "invalid escape");
    refuses("{\"a\\q\":1}", 0, "invalid escape");
    refuses("{\"a\\ud800\":1}", 0, "surrogate");
    refuses("{\"a\\udc00\":1}", 0, "surrogate");
    refuses("{\"a\\ud800\\u0041\":1}", 0, "surrogate");
    refuses("{\"a\\u0000\":1}", 0, "NUL");
    refuses("{\"a\x01\":1}", 0, "control character");
    refuses("{\"a\xff\":1}", 0, "UTF-8");
    refuses("{\"a\xc0\xaf\":1}", 0, "UTF-8");
    refuses("{\"a\xed\xa0\x80\":1}", 0, "UTF-8");
    refuses(T(D("\"U8\"", "[1]", "[0,1]") ","), 1, "name is needed");
    refuses(T(D("\"U8\"", "[1]", "[0,1]") " \"b\""), 1, "','");
    refuses("{\"a\":[]}", 0, "must be an object");
    refuses("{\"a\":null}", 0, "must be an object");
    refuses("{\"a\":{}}", 0, "missing");
    refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "missing");
    refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":[[[[[[[[[[1]]]]]]]]]]}}", 1,
            "a field other");
    refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"dtype\":\"U8\"}}", 1, "twice");
    refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"sh\\u0061pe\":[1]}}", 1, "twice");
}

static void test_nul_byte(void **state)
{
    (void)state;
    gs_tensor_table t;
    write_safetensors(path, "{\0}", 3, "", 0);
    FAILS(read_table(&t), GS_ERR_FILE, "NUL");
    write_safetensors(path, "{}\0", 3, "", 0);
    FAILS(read_table(&t), GS_ERR_FILE, "NUL");
}

static void test_values(void **state)
{
    (void)state;
    refuses(T(D("\"U9\"", "[1]", "[0,1]")), 1, "unknown element type 'U9'");
    refuses(T(D("\"f32\"", "[1]", "[0,4]")), 4, "unknown element type");
    refuses(T(D("7", "[1]", "[0,1]")), 1, "dtype must be a string");
    refuses(T(D("\"U8\"", "1", "[0,1]")), 1, "must be a list");
    refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1}}", 1, "closing bracket");
    refuses(T(D("\"U8\"", "[-1]", "[0,1]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[+1]", "[0,1]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[1.0]", "[0,1]")), 1, "plain integer");
    refuses(T(D("\"U8\"", "[1e0]", "[0,1]")), 1, "plain integer");
    refuses(T(D("\"U8\"", "[01]", "[0,1]")), 1, "leading zeros");
    refuses(T(D("\"U8\"", "[00]", "[0,0]")), 0, "leading zeros");
    refuses(T(D("\"U8\"", "[true]", "[0,1]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[\"1\"]", "[0,1]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[1,]", "[0,1]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[1099511627777]", "[0,1]")), 1, "2^40");
    refuses(T(D("\"U8\"", "[1099511627776]", "[0,1]")), 1, "need 1099511627776");
    refuses(T(D("\"U8\"", "[9007199254740993]", "[0,1]")), 1, "2^53");
    refuses(T(D("\"U8\"", "[99999999999999999999999999]", "[0,1]")), 1, "2^53");
    refuses(T(D("\"U8\"", "[1]", "[18446744073709551615,18446744073709551616]")), 1, "2^53");
    refuses(T(D("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]")), 1, "8 dimensions");
    refuses(T(D("\"U8\"", "[1099511627776,1099511627776]", "[0,1]")), 1, "overflows");
    refuses(T(D("\"F64\"", "[1099511627776,4194304]", "[0,0]")), 0, "overflows");
    refuses(T(D("\"F64\"", "[4294967296,536870912,8]", "[0,0]")), 0, "overflows");
    refuses(T(D("\"U8\"", "[1]", "[]")), 1, "non-negative");
    refuses(T(D("\"U8\"", "[1]", "[0]")), 1, "two numbers");
    refuses(T(D("\"U8\"", "[1]", "[0,1,2]")), 1, "two numbers");
    refuses(T(D("\"U8\"", "[1]", "[1,0]")), 1, "backwards");
    refuses(T(D("\"U8\"", "[2]", "[0,1]")), 1, "need 2");
    refuses(T(D("\"F32\"", "[2]", "[0,2]")), 2, "need 8");
}

static void test_duplicates(void **state)
{
    (void)state;
    refuses("{\"a\":" D("\"U8\"", "[1]", "[0,1]") ",\"a\":" D("\"U8\"", "[1]", "[1,2]") "}", 2, "twice");
    refuses("{\"a\":" D("\"U8\"", "[1]", "[0,1]") ",\"\\u0061\":" D("\"U8\"", "[1]", "[1,2]") "}", 2, "twice");
    refuses("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice");
    refuses("{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0, "twice");
}

static void test_metadata(void **state)
{
    (void)state;
    refuses("{\"__metadata__\":[]}", 0, "__metadata__ must be an object");
    refuses("{\"__metadata__\":{\"a\":1}}", 0, "strings to strings");
    refuses("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, "strings to strings");
    refuses("{\"__metadata__\":{\"a\":null}}", 0, "strings to strings");
    refuses("{\"__metadata__\":{\"a\":\"b\",}}", 0, "strings to strings");
    refuses("{\"__metadata__\":" D("\"U8\"", "[1]", "[0,1]") "}", 1, "strings to strings");
}

static void test_cover(void **state)
{
    (void)state;
    refuses("{\"a\":" D("\"U8\"", "[2]", "[0,2]") ",\"b\":" D("\"U8\"", "[2]", "[1,3]") "}", 3, "overlap");
    refuses("{\"a\":" D("\"U8\"", "[2]", "[0,2]") ",\"b\":" D("\"U8\"", "[2]", "[0,2]") "}", 2, "overlap");
    refuses("{\"a\":" D("\"U8\"", "[2]", "[0,2]") ",\"b\":" D("\"U8\"", "[2]", "[3,5]") "}", 5, "a hole");
    refuses(T(D("\"U8\"", "[1]", "[1,2]")), 2, "a hole");
    refuses(T(D("\"U8\"", "[4]", "[0,4]")), 3, "was cut");
    refuses(T(D("\"U8\"", "[4]", "[0,4]")), 5, "belong to none");
    refuses("{}", 1, "belong to none");
    refuses(T(D("\"U8\"", "[0]", "[5,5]")), 5, "a hole");
    refuses("{\"a\":" D("\"U8\"", "[4]", "[0,4]") ",\"e\":" D("\"U8\"", "[0]", "[2,2]") "}", 4, "overlap");
}

static void write_raw(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (n > 0) assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_lengths(void **state)
{
    (void)state;
    gs_tensor_table t;
    write_raw("", 0);
    FAILS(read_table(&t), GS_ERR_FILE, "only 0 bytes");
    write_raw("\2\0\0\0\0\0\0", 7);
    FAILS(read_table(&t), GS_ERR_FILE, "only 7 bytes");
    write_raw("\0\0\0\0\0\0\0\0", 8);
    FAILS(read_table(&t), GS_ERR_FILE, "begin with '{'");
    write_raw("\3\0\0\0\0\0\0\0{}", 10);
    FAILS(read_table(&t), GS_ERR_FILE, "needs 11 bytes");
    write_raw("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    FAILS(read_table(&t), GS_ERR_FILE, "above 100000000");
    write_raw("\x01\xe1\xf5\x05\0\0\0\0{}", 10); /* 100000001 */
    FAILS(read_table(&t), GS_ERR_FILE, "above 100000000");
    write_raw("version https://git-lfs.github.com/spec/v1\n", 43);
    FAILS(read_table(&t), GS_ERR_FILE, "Git LFS");
}

/* As many tensors as are read, and one more. */
static void test_too_many(void **state)
{
    (void)state;
    gs_tensor_table t;
    const int64_t n = GS_MAX_TENSORS + 1;
    char *header = gs_alloc((size_t)n * 64 + 16);
    size_t at = 0;
    header[at++] = '{';
    for (int64_t i = 0; i < n; i++) {
        if (i == GS_MAX_TENSORS) {
            header[at] = '}';
            write_safetensors(path, header, at + 1, "", 0);
            OK(read_table(&t));
            assert_int_equal(t.count, GS_MAX_TENSORS);
            gs_tensor_table_release(&t);
        }
        at += (size_t)snprintf(header + at, 64, "%s\"%lld\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                               i > 0 ? "," : "", (long long)i);
    }
    header[at++] = '}';
    write_safetensors(path, header, at, "", 0);
    FAILS(read_table(&t), GS_ERR_FILE, "more than 1000000 tensors");
    gs_free(header);
}

/* The checkpoint of the tests, written by the Python library. */
static void test_real_file(void **state)
{
    (void)state;
    gs_file f;
    gs_tensor_table t;
    OK(gs_file_open(&f, GS_SOURCE_DIR "/tests/golden/models/tiny-a/model-00001-of-00002.safetensors", &test_err));
    OK(gs_safetensors_read_header(&f, &t, &test_err));
    assert_true(t.count > 10);
    uint64_t end = t.tensors[0].offset;
    for (int64_t i = 0; i < t.count; i++) {
        assert_int_equal(t.tensors[i].offset, end);
        end += t.tensors[i].bytes;
    }
    assert_int_equal(end, f.size);
    gs_tensor_table_release(&t);
    gs_file_close(&f);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_reads),   CASE(test_boundaries), CASE(test_syntax),    CASE(test_nul_byte),
        CASE(test_values),  CASE(test_duplicates), CASE(test_metadata),  CASE(test_cover),
        CASE(test_lengths), CASE(test_too_many),   CASE(test_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
