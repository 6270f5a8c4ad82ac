/* Checkpoint directories: which files are taken, how index and shards must agree, bounded reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include <math.h>

#include "base/str.h"
#include "io/checkpoint.h"

static char *dir;

static int setup(void **state)
{
    (void)state;
    dir = make_scratch();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_scratch(dir);
    return 0;
}

/* A file with U8 tensors of 4 bytes each, named by the NULL-terminated list. */
static void make_shard(const char *name, const char *const *tensors)
{
    char header[2000], *path = gs_path_join(dir, name);
    size_t at = 1, bytes = 0;
    header[0] = '{';
    for (; *tensors != NULL; tensors++, bytes += 4)
        at += (size_t)snprintf(header + at, sizeof header - at,
                               "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%zu,%zu]}",
                               bytes > 0 ? "," : "", *tensors, bytes, bytes + 4);
    header[at++] = '}';
    char data[400];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)i;
    write_safetensors(path, header, at, data, bytes);
    gs_free(path);
}

static void make_text(const char *name, const char *text)
{
    char *path = gs_path_join(dir, name);
    write_text(path, text);
    gs_free(path);
}

#define SHARD(name, ...) make_shard(name, (const char *const[]){__VA_ARGS__, NULL})
#define INDEX            "model.safetensors.index.json"

static void opens(int n_files, int64_t count)
{
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    assert_int_equal(ck.n_files, n_files);
    assert_int_equal(ck.table.count, count);
    assert_int_equal(ck.bytes, count * 4);
    assert_null(ck.warning);
    gs_checkpoint_close(&ck);
}

static void refuses(gs_status status, const char *part)
{
    gs_checkpoint ck;
    FAILS(gs_checkpoint_open(&ck, dir, &test_err), status, part);
    assert_null(ck.files);
}

static void test_single(void **state)
{
    (void)state;
    SHARD("weights.safetensors", "a", "b");
    opens(1, 2);
    SHARD("model.safetensors", "c");
    opens(1, 1); /* the standard name wins over others */
    make_text(INDEX, "not even JSON");
    opens(1, 1);
}

static void test_sharded(void **state)
{
    (void)state;
    SHARD("m-2.safetensors", "c");
    SHARD("m-1.safetensors", "a", "b");
    SHARD("stray.safetensors", "a");
    make_text(
        INDEX,
        "{\"metadata\": {\"total_size\": 12}, \"weight_map\": {\"c\": \"m-2.safetensors\", \"a\": \"m-1.safetensors\", "
        "\"b\": \"m-1.safetensors\"}}");
    opens(2, 3);
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    char data[4];
    const gs_tensor *b = gs_checkpoint_find(&ck, "b");
    assert_non_null(b);
    assert_non_null(strstr(ck.files[b->file].path, "m-1.safetensors"));
    OK(gs_checkpoint_read(&ck, b, 1, data, 3, &test_err));
    assert_memory_equal(data, "\5\6\7", 3);
    FAILS(gs_checkpoint_read(&ck, b, 2, data, 3, &test_err), GS_ERR_FILE, "tensor 'b'");
    FAILS(gs_checkpoint_read(&ck, b, UINT64_MAX, data, 3, &test_err), GS_ERR_FILE, "tensor 'b'");
    assert_null(gs_checkpoint_find(&ck, "d"));
    assert_null(gs_checkpoint_find(&ck, ""));
    gs_checkpoint_close(&ck);
    gs_checkpoint_close(&ck);
}

/* The names that the quantizer itself gives its files. */
static void test_own_output(void **state)
{
    (void)state;
    SHARD("quant_model_weight_w8a8-00001-of-00001.safetensors", "a", "b");
    make_text("quant_model_weight_w8a8.safetensors.index.json",
              "{\"weight_map\": {\"a\": \"quant_model_weight_w8a8-00001-of-00001.safetensors\", "
              "\"b\": \"quant_model_weight_w8a8-00001-of-00001.safetensors\"}}");
    make_text("quant_model_description.json", "{}");
    opens(1, 2);
}

static void test_choice_refuses(void **state)
{
    (void)state;
    gs_checkpoint ck;
    refuses(GS_ERR_FILE, "no safetensors file");
    make_text("pytorch_model.bin", "x");
    refuses(GS_ERR_FILE, "must be saved as safetensors first");
    SHARD("a.safetensors", "a");
    SHARD("b.safetensors", "b");
    refuses(GS_ERR_FILE, "2 safetensors files but no index");
    make_text("b.safetensors.index.json", "{}");
    make_text("a.safetensors.index.json", "{}");
    refuses(GS_ERR_FILE, "2 index files (a.safetensors.index.json, b.safetensors.index.json");
    char *path = gs_path_join(dir, "a.safetensors");
    FAILS(gs_checkpoint_open(&ck, path, &test_err), GS_ERR_IO, "is not a directory");
    gs_free(path);
    path = gs_path_join(dir, "missing");
    FAILS(gs_checkpoint_open(&ck, path, &test_err), GS_ERR_IO, "missing");
    gs_free(path);
}

static void test_three_indexes(void **state)
{
    (void)state;
    static const char *const orders[3][3] = {{"a", "b", "c"}, {"c", "b", "a"}, {"b", "c", "a"}};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s.safetensors.index.json", orders[i][k]);
            make_text(name, "{}");
        }
        refuses(GS_ERR_FILE, "3 index files (a.safetensors.index.json, b.safetensors.index.json");
    }
}

static void refuses_index(const char *text, const char *part)
{
    make_text(INDEX, text);
    refuses(GS_ERR_FILE, part);
    assert_non_null(strstr(test_err.text, "/"));
}

static void test_index_refuses(void **state)
{
    (void)state;
    SHARD("m.safetensors", "a", "b");
    refuses_index("", INDEX);
    refuses_index("[]", "object");
    refuses_index("{}", "weight_map");
    refuses_index("{\"weight_map\": []}", "weight_map");
    refuses_index("{\"weight_map\": {}}", "weight_map");
    refuses_index("{\"weight_map\": {\"a\": 1}}", "must be a file name");
    refuses_index("{\"weight_map\": {\"a\": \"m.safetensors\", \"a\": \"m.safetensors\"}}", "duplicate");
    static const char *const bad[] = {"../m.safetensors",
                                      "/m.safetensors",
                                      "x/m.safetensors",
                                      "..",
                                      ".",
                                      "",
                                      "m.bin",
                                      ".m.safetensors",
                                      "m.safetensors/",
                                      ".safetensors",
                                      "m\\\\m.safetensors",
                                      "m.safetensors\\u0000",
                                      "m\\n.safetensors"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"weight_map\": {\"a\": \"%s\"}}", bad[i]);
        refuses_index(text, "only names of .safetensors files in the same directory");
    }
    refuses_index("{\"weight_map\": {\"a\": \"gone.safetensors\", \"b\": \"m.safetensors\"}}",
                  "gone.safetensors is missing");
    refuses_index("{\"weight_map\": {\"a\": \"m.safetensors\"}}",
                  "tensor 'b' lies in m.safetensors, but the index does not name it");
    refuses_index("{\"weight_map\": {\"a\": \"m.safetensors\", \"b\": \"m.safetensors\", \"c\": \"m.safetensors\"}}",
                  "tensor 'c' should be in m.safetensors but is not there");
}

/* As many files as may be named, and one more. */
static void test_too_many_files(void **state)
{
    (void)state;
    for (int n = 10000; n <= 10001; n++) {
        gs_str text;
        gs_str_init(&text);
        gs_str_adds(&text, "{\"weight_map\": {");
        for (int i = 0; i < n; i++) gs_str_printf(&text, "%s\"t%d\": \"f%05d.safetensors\"", i > 0 ? "," : "", i, i);
        gs_str_adds(&text, "}}");
        refuses_index(text.data, n == 10000 ? "f00000.safetensors is missing" : "more than 10000 files");
        gs_str_release(&text);
    }
}

static void test_shards_disagree(void **state)
{
    (void)state;
    SHARD("m-1.safetensors", "a", "b");
    SHARD("m-2.safetensors", "c");
    refuses_index(
        "{\"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-2.safetensors\", \"c\": \"m-2.safetensors\"}}",
        "tensor 'b' lies in m-1.safetensors, but the index says it is in m-2.safetensors");
    SHARD("m-2.safetensors", "c", "a");
    refuses_index(
        "{\"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-1.safetensors\", \"c\": \"m-2.safetensors\"}}",
        "tensor 'a' is in two files");
    make_text("m-2.safetensors", "short");
    refuses_index(
        "{\"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-1.safetensors\", \"c\": \"m-2.safetensors\"}}",
        "m-2.safetensors has only 5 bytes");
}

static void test_total_size(void **state)
{
    (void)state;
    gs_checkpoint ck;
    SHARD("m.safetensors", "a");
    make_text(INDEX, "{\"metadata\": {\"total_size\": 99}, \"weight_map\": {\"a\": \"m.safetensors\"}}");
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    assert_non_null(ck.warning);
    assert_non_null(strstr(ck.warning, "total_size 99"));
    assert_non_null(strstr(ck.warning, "4 bytes"));
    gs_checkpoint_close(&ck);
}

static void test_cut_during_run(void **state)
{
    (void)state;
    gs_checkpoint ck;
    char data[4];
    SHARD("model.safetensors", "a");
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    assert_int_equal(truncate(ck.files[0].path, 20), 0);
    FAILS(gs_checkpoint_read(&ck, gs_checkpoint_find(&ck, "a"), 0, data, 4, &test_err), GS_ERR_FILE, "tensor 'a'");
    assert_non_null(strstr(test_err.text, "was cut"));
    gs_checkpoint_close(&ck);
}

static void make_floats(float third)
{
    const char *header = "{\"f\":{\"dtype\":\"F32\",\"shape\":[5000],\"data_offsets\":[0,20000]},"
                         "\"h\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[20000,20004]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[20004,20008]},"
                         "\"i\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[20008,20011]}}";
    char data[20011] = {0}, *path = gs_path_join(dir, "model.safetensors");
    float f[5000];
    for (int i = 0; i < 5000; i++) f[i] = (float)i * 0.5f;
    f[4999] = third;
    memcpy(data, f, sizeof f);
    memcpy(data + 20000, "\x00\x3c\x00\xc0", 4); /* 1, -2 */
    memcpy(data + 20004, "\x80\x3f\x40\x40", 4); /* 1, 3 */
    write_safetensors(path, header, strlen(header), data, sizeof data);
    gs_free(path);
}

static void test_floats(void **state)
{
    (void)state;
    gs_checkpoint ck;
    float out[5000];
    make_floats(7.0f);
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    OK(gs_checkpoint_read_f32(&ck, gs_checkpoint_find(&ck, "f"), out, &test_err));
    assert_true(out[0] == 0.0f && out[4998] == 2499.0f && out[4999] == 7.0f);
    OK(gs_checkpoint_read_f32(&ck, gs_checkpoint_find(&ck, "h"), out, &test_err));
    assert_true(out[0] == 1.0f && out[1] == -2.0f);
    OK(gs_checkpoint_read_f32(&ck, gs_checkpoint_find(&ck, "b"), out, &test_err));
    assert_true(out[0] == 1.0f && out[1] == 3.0f);
    FAILS(gs_checkpoint_read_f32(&ck, gs_checkpoint_find(&ck, "i"), out, &test_err), GS_ERR_FILE, "'i' is I8");
    gs_checkpoint_close(&ck);
    make_floats((float)NAN);
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    FAILS(gs_checkpoint_read_f32(&ck, gs_checkpoint_find(&ck, "f"), out, &test_err), GS_ERR_NUMERIC, "element 4999");
    gs_checkpoint_close(&ck);
}

static void test_expect(void **state)
{
    (void)state;
    gs_checkpoint ck;
    const gs_tensor *t = NULL;
    make_floats(0.0f);
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    OK(gs_checkpoint_expect(&ck, "b", 2, 1, &t, &test_err));
    assert_ptr_equal(t, gs_checkpoint_find(&ck, "b"));
    OK(gs_checkpoint_expect(&ck, "f", 5000, -1, &t, &test_err));
    FAILS(gs_checkpoint_expect(&ck, "nowhere", 2, 1, &t, &test_err), GS_ERR_FILE, "'nowhere' is missing");
    FAILS(gs_checkpoint_expect(&ck, "b", 1, 2, &t, &test_err), GS_ERR_FILE,
          "shape [2, 1], but config.json asks for [1, 2]");
    FAILS(gs_checkpoint_expect(&ck, "b", 2, -1, &t, &test_err), GS_ERR_FILE, "asks for [2]");
    FAILS(gs_checkpoint_expect(&ck, "f", 5000, 1, &t, &test_err), GS_ERR_FILE, "shape [5000]");
    FAILS(gs_checkpoint_expect(&ck, "i", 3, -1, &t, &test_err), GS_ERR_FILE, "is I8");
    gs_checkpoint_close(&ck);
}

/* Every tensor of the demo model is found, and no other. */
static void test_real(void **state)
{
    (void)state;
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, GS_SOURCE_DIR "/demo/glm4-mini", &test_err));
    assert_int_equal(ck.n_files, 2);
    assert_null(ck.warning);
    for (int64_t i = 0; i < ck.table.count; i++)
        assert_ptr_equal(gs_checkpoint_find(&ck, ck.table.tensors[i].name), &ck.table.tensors[i]);
    assert_non_null(gs_checkpoint_find(&ck, "transformer.embedding.word_embeddings.weight"));
    gs_checkpoint_close(&ck);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_single),        CASE(test_sharded),        CASE(test_own_output),     CASE(test_choice_refuses),
        CASE(test_three_indexes), CASE(test_index_refuses),  CASE(test_too_many_files), CASE(test_shards_disagree),
        CASE(test_total_size),    CASE(test_cut_during_run), CASE(test_floats),         CASE(test_expect),
        CASE(test_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
