/* Planned output: the bytes that the Python library would write, the cutting of shards, complete or refused data,
 * full disks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/pool.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "io/safetensors_parse.h"
#include "io/writer.h"

#define CASES GS_SOURCE_DIR "/tests/golden/cases/"

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

static void add(gs_layout *l, const char *name, gs_dtype dtype, int64_t n)
{
    (void)gs_layout_add(l, name, dtype, 1, &n);
}

/* The tensors of a header that the reference wrote, added in another order, give the same header bytes. */
static void same_header(const char *path, uint64_t shard_limit)
{
    size_t n, got_n;
    char *text = read_bytes(path, &n);
    gs_tensor_table t = {0};
    OK(gs_safetensors_parse(text, n, path, &t, &test_err));
    gs_layout l;
    gs_layout_init(&l);
    for (int64_t i = 0, k = 0; i < t.count; i++, k = (k + 7) % t.count) {
        assert_true(t.count % 7 != 0); /* so that every tensor is met */
        gs_layout_add(&l, t.tensors[k].name, t.tensors[k].dtype, t.tensors[k].rank, t.tensors[k].shape);
    }
    OK(gs_layout_plan(&l, "p", shard_limit, &test_err));
    assert_int_equal(l.n_files, 1);
    char *got = gs_layout_header(&l, 0, &got_n);
    assert_int_equal(got_n, n + 8);
    assert_memory_equal(got + 8, text, n);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)got[i];
    assert_int_equal(length, n);
    assert_int_equal(l.files[0].header_bytes, got_n);
    assert_int_equal(l.files[0].bytes, got_n + l.total_bytes);
    gs_free(got);
    gs_free(text);
    gs_layout_release(&l);
    gs_tensor_table_release(&t);
}

static void test_golden_headers(void **state)
{
    (void)state;
    same_header(CASES "calib-emptyprompt/quant_model_weight_w8a8.safetensors.header", 0);
    same_header(CASES "w8a8c8-act1/quant_model_weight_w8a8.safetensors.header", 0);
    same_header(CASES "w8a8-part1/quant_model_weight_w8a8-00001-of-00001.safetensors.header", (uint64_t)1 << 30);
}

/* The index of the reference: its weight_map is in generation order, sizes come from the header. */
static void test_golden_index(void **state)
{
    (void)state;
    size_t n, header_n, got_n;
    char *text = read_bytes(CASES "w8a8-part1/quant_model_weight_w8a8.safetensors.index.json", &n);
    char *header = read_bytes(CASES "w8a8-part1/quant_model_weight_w8a8-00001-of-00001.safetensors.header", &header_n);
    gs_tensor_table t = {0};
    OK(gs_safetensors_parse(header, header_n, "header", &t, &test_err));
    json_t *index = gs_json_parse(text, n, "index", 8, &test_err);
    assert_non_null(index);
    gs_layout l;
    gs_layout_init(&l);
    const char *name;
    json_t *file;
    json_object_foreach(json_object_get(index, "weight_map"), name, file)
    {
        for (int64_t i = 0; i < t.count; i++)
            if (strcmp(t.tensors[i].name, name) == 0)
                gs_layout_add(&l, name, t.tensors[i].dtype, t.tensors[i].rank, t.tensors[i].shape);
    }
    assert_int_equal(l.count, t.count);
    OK(gs_layout_plan(&l, "quant_model_weight_w8a8", (uint64_t)1 << 30, &test_err));
    assert_string_equal(l.index_name, "quant_model_weight_w8a8.safetensors.index.json");
    char *got = gs_layout_index_json(&l, &got_n);
    assert_string_equal(got, text);
    assert_int_equal(got_n, n);
    gs_free(got);
    gs_layout_release(&l);
    json_decref(index);
    gs_tensor_table_release(&t);
    gs_free(header);
    gs_free(text);
}

static void test_sort_and_escape(void **state)
{
    (void)state;
    gs_layout l;
    size_t n;
    gs_layout_init(&l);
    add(&l, "b", GS_I8, 3);
    add(&l, "a\"\\\n\x01\xc3\xa9", GS_I8, 1);
    add(&l, "z", GS_I64, 1);
    add(&l, "y", GS_BF16, 1);
    add(&l, "x", GS_F32, 0);
    add(&l, "w", GS_I32, 1);
    gs_layout_add(&l, "scalar", GS_F32, 0, NULL);
    OK(gs_layout_plan(&l, "p", 0, &test_err));
    assert_null(l.index_name);
    assert_string_equal(l.files[0].name, "p.safetensors");
    char *got = gs_layout_header(&l, 0, &n);
    const char *want = "{\"z\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                       "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
                       "\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[12,12]},"
                       "\"w\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[12,16]},"
                       "\"y\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[16,18]},"
                       "\"a\\\"\\\\\\n\\u0001\xc3\xa9\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[18,19]},"
                       "\"b\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[19,22]}}";
    assert_memory_equal(got + 8, want, strlen(want));
    assert_int_equal(n % 8, 0);
    assert_true(n - 8 - strlen(want) < 8);
    for (size_t i = 8 + strlen(want); i < n; i++) assert_int_equal(got[i], ' ');
    gs_tensor_table t = {0};
    OK(gs_safetensors_parse(got + 8, n - 8, "own", &t, &test_err));
    assert_int_equal(t.count, 7);
    gs_tensor_table_release(&t);
    gs_free(got);
    gs_layout_release(&l);
}

static void test_no_tensors(void **state)
{
    (void)state;
    gs_layout l;
    size_t n;
    gs_layout_init(&l);
    OK(gs_layout_plan(&l, "p", 0, &test_err));
    char *got = gs_layout_header(&l, 0, &n);
    assert_int_equal(n, 16);
    assert_memory_equal(got, "\x08\0\0\0\0\0\0\0{}      ", 16);
    gs_free(got);
    gs_layout_release(&l);
}

/* sizes is ended by -1; want lists the shard of each tensor. */
static void cuts(uint64_t limit, const int64_t *sizes, const int *want, int n_files)
{
    gs_layout l;
    gs_layout_init(&l);
    for (int i = 0; sizes[i] >= 0; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", 9 - i); /* names run against the order of generation */
        add(&l, name, GS_U8, sizes[i]);
    }
    OK(gs_layout_plan(&l, "p", limit, &test_err));
    assert_int_equal(l.n_files, n_files);
    for (int64_t i = 0; i < l.count; i++) assert_int_equal(l.tensors[i].file, want[i]);
    char name[64];
    for (int i = 0; i < n_files; i++) {
        snprintf(name, sizeof name, "p-%05d-of-%05d.safetensors", i + 1, n_files);
        assert_string_equal(l.files[i].name, name);
    }
    assert_string_equal(l.index_name, "p.safetensors.index.json");
    gs_layout_release(&l);
}

static void test_shards(void **state)
{
    (void)state;
    cuts(33, (const int64_t[]){16, 16, 16, 16, 16, 16, -1}, (const int[]){0, 0, 1, 1, 2, 2}, 3);
    cuts(32, (const int64_t[]){16, 16, 16, -1}, (const int[]){0, 1, 2}, 3); /* reaching the limit is too much */
    cuts(10, (const int64_t[]){50, 1, 2, 50, 3, -1}, (const int[]){0, 1, 1, 2, 3}, 4);
    cuts(10, (const int64_t[]){0, 50, 0, 0, 9, -1}, (const int[]){0, 1, 2, 2, 2}, 3);
    cuts(1, (const int64_t[]){1, 1, -1}, (const int[]){0, 1}, 2);
    cuts(UINT64_MAX, (const int64_t[]){16, 16, -1}, (const int[]){0, 0}, 1);
}

static void test_many_shards(void **state)
{
    (void)state;
    gs_layout l;
    gs_layout_init(&l);
    for (int i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        add(&l, name, GS_U8, 1);
    }
    OK(gs_layout_plan(&l, "p", 1, &test_err));
    assert_int_equal(l.n_files, 100000);
    assert_string_equal(l.files[0].name, "p-1-of-100000.safetensors");
    assert_string_equal(l.files[99999].name, "p-100000-of-100000.safetensors");
    gs_layout_release(&l);
}

static void plan_fails(const char *name, int rank, const int64_t *shape, const char *part)
{
    gs_layout l;
    gs_layout_init(&l);
    add(&l, "first", GS_I8, 1);
    gs_layout_add(&l, name, GS_F64, rank, shape);
    FAILS(gs_layout_plan(&l, "p", 0, &test_err), GS_ERR_FILE, part);
    gs_layout_release(&l);
}

static void test_plan_refuses(void **state)
{
    (void)state;
    char name[600];
    memset(name, 'x', sizeof name);
    name[513] = '\0';
    plan_fails("first", 0, NULL, "'first' is planned twice");
    plan_fails("neg", 1, (const int64_t[]){-1}, "'neg'");
    plan_fails("big", 2, (const int64_t[]){INT64_MAX, 3}, "overflows");
    plan_fails("bytes", 1, (const int64_t[]){INT64_MAX / 4}, "overflows");
    plan_fails("huge", 1, (const int64_t[]){INT64_MAX / 9}, "larger than any file system");
    plan_fails("__metadata__", 0, NULL, "__metadata__");
    plan_fails("a\xff", 0, NULL, "not a name");
    plan_fails(name, 0, NULL, "not a name");
}

static void plan_three(gs_layout *l, uint64_t limit)
{
    gs_layout_init(l);
    add(l, "c", GS_F32, 1000);
    add(l, "a", GS_I8, 10);
    add(l, "b", GS_F32, 50);
    OK(gs_layout_plan(l, "p", limit, &test_err));
}

static void test_write_and_read_back(void **state)
{
    (void)state;
    for (int sharded = 0; sharded < 2; sharded++) {
        gs_layout l;
        gs_writer *w;
        char data[4000], back[4000];
        for (int i = 0; i < 4000; i++) data[i] = (char)(i * 7);
        plan_three(&l, sharded ? 300 : 0);
        OK(gs_writer_open(&w, dir, &l, &test_err));
        OK(gs_writer_put(w, 2, 0, data + 5, 200, &test_err));
        OK(gs_writer_put(w, 0, 1000, data + 1000, 3000, &test_err));
        OK(gs_writer_put(w, 1, 0, data + 3, 10, &test_err));
        OK(gs_writer_put(w, 0, 0, data, 1000, &test_err));
        OK(gs_writer_put(w, 0, 4000, data, 0, &test_err));
        char *path = gs_path_join(dir, l.files[0].name);
        assert_int_equal(mode_of(path), 0600);
        OK(gs_writer_finish(w, &test_err));
        assert_int_equal(mode_of(path), 0400);
        gs_writer_free(w);
        if (sharded) {
            size_t n;
            char *index = gs_layout_index_json(&l, &n), *index_path = gs_path_join(dir, l.index_name);
            OK(gs_file_write_all(index_path, index, n, 0600, &test_err));
            gs_free(index);
            gs_free(index_path);
        }
        gs_checkpoint ck;
        OK(gs_checkpoint_open(&ck, dir, &test_err));
        assert_int_equal(ck.n_files, sharded ? 2 : 1);
        OK(gs_checkpoint_read(&ck, gs_checkpoint_find(&ck, "c"), 0, back, 4000, &test_err));
        assert_memory_equal(back, data, 4000);
        OK(gs_checkpoint_read(&ck, gs_checkpoint_find(&ck, "b"), 0, back, 200, &test_err));
        assert_memory_equal(back, data + 5, 200);
        OK(gs_checkpoint_read(&ck, gs_checkpoint_find(&ck, "a"), 0, back, 10, &test_err));
        assert_memory_equal(back, data + 3, 10);
        gs_checkpoint_close(&ck);
        assert_int_equal(unlink(path), 0);
        gs_free(path);
        gs_layout_release(&l);
    }
}

static void test_incomplete(void **state)
{
    (void)state;
    gs_layout l;
    gs_writer *w;
    const char data[4000] = {0};
    plan_three(&l, 0);
    OK(gs_writer_open(&w, dir, &l, &test_err));
    OK(gs_writer_put(w, 0, 0, data, 4000, &test_err));
    OK(gs_writer_put(w, 1, 0, data, 10, &test_err));
    OK(gs_writer_put(w, 2, 0, data, 199, &test_err));
    FAILS(gs_writer_finish(w, &test_err), GS_ERR_FILE, "'b' is incomplete: 199 bytes written, 200 planned");
    FAILS(gs_writer_put(w, 2, 199, data, 2, &test_err), GS_ERR_FILE, "'b' has 200 bytes");
    FAILS(gs_writer_put(w, 2, UINT64_MAX, data, 2, &test_err), GS_ERR_FILE, "'b'");
    FAILS(gs_writer_put(w, 3, 0, data, 1, &test_err), GS_ERR_FILE, "number 3");
    FAILS(gs_writer_put(w, -1, 0, data, 1, &test_err), GS_ERR_FILE, "number -1");
    OK(gs_writer_put(w, 2, 198, data, 2, &test_err));
    FAILS(gs_writer_finish(w, &test_err), GS_ERR_FILE, "'b' was written more than once");
    gs_writer_free(w);
    FAILS(gs_writer_open(&w, dir, &l, &test_err), GS_ERR_IO, "p.safetensors"); /* exists: never written over */
    gs_layout_release(&l);
    gs_writer_free(NULL);
}

typedef struct parallel {
    gs_writer *w;
    const char *data;
} parallel;

static void put_slice(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const parallel *p = ctx;
    gs_error err;
    if (gs_writer_put(p->w, 0, (uint64_t)task * 1000, p->data + task * 1000, 1000, &err) != GS_OK) abort();
}

static void test_threads(void **state)
{
    (void)state;
    const int64_t n = 500000;
    char *data = gs_alloc((size_t)n), *back = gs_alloc((size_t)n);
    for (int64_t i = 0; i < n; i++) data[i] = (char)(i % 251);
    gs_layout l;
    gs_writer *w;
    gs_pool *pool;
    gs_layout_init(&l);
    add(&l, "t", GS_U8, n);
    OK(gs_layout_plan(&l, "model", 0, &test_err));
    OK(gs_writer_open(&w, dir, &l, &test_err));
    OK(gs_pool_create(&pool, 5, &test_err));
    gs_pool_run(pool, n / 1000, put_slice, &(parallel){w, data});
    gs_pool_free(pool);
    OK(gs_writer_finish(w, &test_err));
    gs_writer_free(w);
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    OK(gs_checkpoint_read(&ck, gs_checkpoint_find(&ck, "t"), 0, back, (size_t)n, &test_err));
    assert_memory_equal(back, data, (size_t)n);
    gs_checkpoint_close(&ck);
    gs_layout_release(&l);
    gs_free(data);
    gs_free(back);
}

static void plan_one(gs_layout *l, int64_t bytes)
{
    gs_layout_init(l);
    add(l, "t", GS_U8, bytes);
    OK(gs_layout_plan(l, "p", 0, &test_err));
}

static void test_more_than_the_disk(void **state)
{
    (void)state;
    gs_layout l;
    gs_writer *w;
    plan_one(&l, INT64_MAX / 4);
    FAILS(gs_writer_open(&w, dir, &l, &test_err), GS_ERR_IO, "free space there or choose another directory");
    char *path = gs_path_join(dir, "p.safetensors");
    assert_false(gs_path_exists(path));
    gs_free(path);
    gs_layout_release(&l);
}

/* A limit on file sizes stands for a disk that refuses while space seems to be there. */
static void test_file_size_limit(void **state)
{
    (void)state;
    gs_layout l;
    gs_writer *w;
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    plan_one(&l, 200000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const gs_status status = gs_writer_open(&w, dir, &l, &test_err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(status, GS_ERR_IO);
    assert_non_null(strstr(test_err.text, "p.safetensors"));
    assert_non_null(strstr(test_err.text, "ulimit -f"));
    gs_layout_release(&l);
}

/* A disk of 1 MiB: one file too large for it, then one that fits only before another program fills the disk. */
static void test_full_disk(void **state)
{
    (void)state;
    if (geteuid() != 0 || mount("glmslim-test", dir, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: mounting a small file system needs root and the right to mount\n");
        skip();
    }
    gs_layout l;
    gs_writer *w;
    char *data = gs_alloc(600000), *filler = gs_path_join(dir, "filler");
    plan_one(&l, 2000000);
    const gs_status too_large = gs_writer_open(&w, dir, &l, &test_err);
    const bool says_size = strstr(test_err.text, "0.002 GB") != NULL;
    gs_layout_release(&l);

    plan_one(&l, 600000);
    gs_status reserved = gs_writer_open(&w, dir, &l, &test_err);
    const gs_status filled = gs_file_write_all(filler, data, 600000, 0600, &test_err);
    const bool says_full = strstr(test_err.text, "disk is full") != NULL;
    const bool left = gs_path_exists(filler);
    if (reserved == GS_OK) reserved = gs_writer_put(w, 0, 0, data, 600000, &test_err); /* space was kept for it */
    if (reserved == GS_OK) reserved = gs_writer_finish(w, &test_err);
    gs_writer_free(w);
    gs_layout_release(&l);
    gs_free(data);
    gs_free(filler);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(too_large, GS_ERR_IO);
    assert_true(says_size);
    assert_int_equal(filled, GS_ERR_IO);
    assert_true(says_full && !left);
    assert_int_equal(reserved, GS_OK);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_golden_headers),
        CASE(test_golden_index),
        CASE(test_sort_and_escape),
        CASE(test_no_tensors),
        CASE(test_shards),
        CASE(test_many_shards),
        CASE(test_plan_refuses),
        CASE(test_write_and_read_back),
        CASE(test_incomplete),
        CASE(test_threads),
        CASE(test_more_than_the_disk),
        CASE(test_file_size_limit),
        CASE(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
