/* SHA-256 against the standard's examples, the list that sha256sum reads, and which checkpoint is which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/sha256.h"

#include "io_testing.h"

static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void write_file(const char *dir, const char *name, const void *data, size_t n)
{
    char *path = gs_path_join(dir, name);
    OK(gs_file_write_all(path, data, n, 0600, &test_err));
    gs_free(path);
}

static void test_bytes(void **state)
{
    (void)state;
    char text[GS_SHA256_TEXT];
    OK(gs_sha256_bytes("abc", 3, text, &test_err));
    assert_string_equal(text, abc);
    OK(gs_sha256_bytes("", 0, text, &test_err));
    assert_string_equal(text, nothing);
}

static void test_file(void **state)
{
    (void)state;
    char *dir = make_scratch(), text[GS_SHA256_TEXT], *path = gs_path_join(dir, "a");
    uint64_t bytes;
    char *a = malloc(3000000);
    memset(a, 'a', 3000000);
    write_file(dir, "a", a, 1000000);
    OK(gs_sha256_file(path, text, &bytes, &test_err));
    assert_string_equal(text, million_a);
    assert_int_equal(bytes, 1000000);
    /* More than one block, and a length that is no multiple of it. */
    char whole[GS_SHA256_TEXT];
    write_file(dir, "a", a, 2999999);
    OK(gs_sha256_file(path, text, &bytes, &test_err));
    OK(gs_sha256_bytes(a, 2999999, whole, &test_err));
    assert_string_equal(text, whole);
    write_file(dir, "a", a, 0);
    OK(gs_sha256_file(path, text, &bytes, &test_err));
    assert_string_equal(text, nothing);
    FAILS(gs_sha256_file(dir, text, &bytes, &test_err), GS_ERR_IO, "a directory");
    free(a);
    gs_free(path);
    remove_scratch(dir);
}

/* Files that are read in pieces, one ahead of the other. */
static void test_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {((size_t)8 << 20) - 1, (size_t)8 << 20, ((size_t)8 << 20) + 1,
                                   ((size_t)24 << 20) + 4099};
    char *dir = make_scratch(), *path = gs_path_join(dir, "large");
    char text[GS_SHA256_TEXT], whole[GS_SHA256_TEXT];
    unsigned char *data = gs_alloc(sizes[3]);
    for (size_t i = 0; i < sizes[3]; i++) data[i] = (unsigned char)(i * 2654435761u >> 11);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes;
        write_file(dir, "large", data, sizes[i]);
        OK(gs_sha256_file(path, text, &bytes, &test_err));
        OK(gs_sha256_bytes(data, sizes[i], whole, &test_err));
        assert_int_equal(bytes, sizes[i]);
        assert_string_equal(text, whole);
    }
    gs_free(data);
    gs_free(path);
    remove_scratch(dir);
}

static void test_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"b.json", "a.json", "B", "line\nbreak", "back\\slash\r", "zwölf"};
    char *dir = make_scratch();
    for (size_t i = 0; i < 6; i++) write_file(dir, names[i], "abc", 3);
    char *folder = gs_path_join(dir, "folder");
    assert_int_equal(mkdir(folder, 0700), 0);
    gs_pool *pool;
    gs_checksums c;
    OK(gs_pool_create(&pool, 3, &test_err));
    OK(gs_checksums_read(&c, pool, dir, &test_err));
    assert_int_equal(c.n, 6);
    OK(gs_checksums_add(&c, "added", "", 0, &test_err));
    gs_str text, wanted;
    gs_str_init(&text);
    gs_str_init(&wanted);
    gs_checksums_text(&c, &text);
    gs_str_printf(&wanted,
                  "%s  B\n%s  a.json\n%s  added\n%s  b.json\n\\%s  back\\\\slash\\r\n\\%s  line\\nbreak\n%s  zwölf\n",
                  abc, abc, nothing, abc, abc, abc, abc);
    assert_string_equal(text.data, wanted.data);
    assert_string_equal(gs_checksums_find(&c, "line\nbreak")->sha256, abc);
    assert_int_equal(gs_checksums_find(&c, "b.json")->bytes, 3);
    assert_null(gs_checksums_find(&c, "folder"));
    gs_checksums_release(&c);
    gs_str_release(&text);
    gs_str_release(&wanted);
    FAILS(gs_checksums_read(&c, pool, "/nonexistent/dir", &test_err), GS_ERR_IO, "/nonexistent/dir");
    assert_int_equal(c.n, 0);
    gs_pool_free(pool);
    gs_free(folder);
    remove_scratch(dir);
}

/* What gs_checksums_text writes comes back; what it does not write is refused. */
static void test_parse(void **state)
{
    (void)state;
    gs_checksums c;
    gs_str text, again;
    gs_str_init(&text);
    gs_str_init(&again);
    gs_str_printf(&text, "%s  B\n%s  a b.json\n\\%s  back\\\\slash\\r\n\\%s  line\\nbreak\n", abc, nothing, abc,
                  million_a);
    OK(gs_checksums_parse(&c, text.data, text.len, "list", &test_err));
    assert_int_equal(c.n, 4);
    assert_string_equal(gs_checksums_find(&c, "line\nbreak")->sha256, million_a);
    assert_string_equal(gs_checksums_find(&c, "a b.json")->sha256, nothing);
    gs_checksums_text(&c, &again);
    assert_string_equal(again.data, text.data);
    gs_checksums_release(&c);
    OK(gs_checksums_parse(&c, "", 0, "list", &test_err));
    assert_int_equal(c.n, 0);

    static const struct {
        const char *before, *after;
        int digits;
    } bad[] = {
        {"", " B\n", 64},       {"", "  \n", 64},      {"", "  B\n", 63},   {"", "a  B\n", 64}, {"", "  a/b\n", 64},
        {"\\", "  a\\b\n", 64}, {"\\", "  a\\\n", 64}, {"\n", "  B\n", 64}, {"x", "  B\n", 63},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[200];
        snprintf(line, sizeof line, "%s%.*s%s", bad[i].before, bad[i].digits, abc, bad[i].after);
        FAILS(gs_checksums_parse(&c, line, strlen(line), "list", &test_err), GS_ERR_FILE, "list: line 1 is not");
        assert_int_equal(c.n, 0);
    }
    char twice[300];
    const int n = snprintf(twice, sizeof twice, "%s  B\n%s *B\n", abc, nothing);
    FAILS(gs_checksums_parse(&c, twice, (size_t)n, "list", &test_err), GS_ERR_FILE, "B is listed twice");
    gs_str_release(&text);
    gs_str_release(&again);
}

/* Two tensors of 8192 bytes behind a header. */
static void make_checkpoint(const char *dir, unsigned char *data)
{
    static const char json[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[8192],\"data_offsets\":[0,8192]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[8192],\"data_offsets\":[8192,16384]}}";
    gs_str s;
    gs_str_init(&s);
    const char length[8] = {(char)(sizeof json - 1)};
    gs_str_add(&s, length, 8);
    gs_str_adds(&s, json);
    gs_str_add(&s, (const char *)data, 16384);
    write_file(dir, "model.safetensors", s.data, s.len);
    gs_str_release(&s);
}

static void sample(const char *dir, char text[GS_SHA256_TEXT])
{
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, dir, &test_err));
    OK(gs_sha256_sample(&ck, 0, text, &test_err));
    gs_checkpoint_close(&ck);
}

static void test_sample(void **state)
{
    (void)state;
    char *dir = make_scratch();
    unsigned char data[16384] = {0};
    char first[GS_SHA256_TEXT], again[GS_SHA256_TEXT];
    make_checkpoint(dir, data);
    sample(dir, first);
    sample(dir, again);
    assert_string_equal(first, again);
    static const struct {
        int byte;
        bool seen;
    } rows[] = {{0, true}, {4095, true}, {4096, false}, {8191, false}, {8192, true}, {12287, true}, {12288, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        data[rows[i].byte] = 1;
        make_checkpoint(dir, data);
        sample(dir, again);
        assert_int_equal(strcmp(first, again) != 0, rows[i].seen);
        data[rows[i].byte] = 0;
    }
    remove_scratch(dir);
}

static void test_interrupt(void **state)
{
    (void)state;
    char *dir = make_scratch(), *path = gs_path_join(dir, "a"), text[GS_SHA256_TEXT];
    uint64_t bytes;
    write_file(dir, "a", "abc", 3);
    gs_interrupt();
    FAILS(gs_sha256_file(path, text, &bytes, &test_err), GS_ERR_INTERRUPTED, "");
    gs_clear_interrupt();
    gs_free(path);
    remove_scratch(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),     cmocka_unit_test(test_pieces), cmocka_unit_test(test_file),
        cmocka_unit_test(test_directory), cmocka_unit_test(test_parse),  cmocka_unit_test(test_sample),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
