/* Damaged headers by the ten thousand: valid ones with flipped bits, cut, spliced, with pieces repeated and tokens
 * exchanged, from a fixed seed. Nothing may crash (sanitizers watch), and whatever is still accepted must describe
 * the file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include "io/safetensors.h"
#include "io/safetensors_parse.h"

#define ROUNDS 40000

static uint64_t seed = 20240607;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static const char *const sources[] = {
    "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b.bias\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]}}   ",
    "{\"x\\u00e9\\ud83d\\ude00\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},\"\xe4\xbd\xa0\":{\"dtype\":"
    "\"I8\",\"shape\":[0,7],"
    "\"data_offsets\":[8,8]},\"y\":{\"data_offsets\":[8,9],\"shape\":[1,1,1,1,1,1,1,1],\"dtype\":\"BOOL\"}}",
    "{}      ",
};
static const char *const tokens[] = {"\"",
                                     "\\u0000",
                                     "\\ud800",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     ",",
                                     ":",
                                     "null",
                                     "1e9",
                                     "-1",
                                     "9007199254740992",
                                     "18446744073709551615",
                                     "\"dtype\"",
                                     "\"__metadata__\"",
                                     "\"F64\"",
                                     "[[[[",
                                     "\xff",
                                     " ",
                                     "\n",
                                     "0"};

static size_t splice(char *text, size_t n, size_t room, size_t at, size_t cut, const char *with, size_t m)
{
    if (cut > n - at) cut = n - at;
    if (n - cut + m > room) return n;
    char copy[512]; /* `with` may point into text */
    if (m > sizeof copy) m = sizeof copy;
    memcpy(copy, with, m);
    memmove(text + at + m, text + at + cut, n - at - cut);
    memcpy(text + at, copy, m);
    return n - cut + m;
}

static size_t mutate(char *text, size_t n, size_t room)
{
    const size_t at = (size_t)draw(n + 1);
    switch (draw(6)) {
    case 0:
        if (n > 0) text[at % n] = (char)(text[at % n] ^ 1 << draw(8));
        return n;
    case 1:
        return at;
    case 2:
        return splice(text, n, room, at, (size_t)draw(9), "", 0);
    case 3: {
        const char *t = tokens[draw(sizeof tokens / sizeof tokens[0])];
        return splice(text, n, room, at, (size_t)draw(3), t, strlen(t));
    }
    case 4: {
        const size_t from = (size_t)draw(n + 1);
        return splice(text, n, room, at, 0, text + from, (size_t)draw(n - from + 1));
    }
    default: {
        const char *other = sources[draw(sizeof sources / sizeof sources[0])];
        const size_t from = (size_t)draw(strlen(other));
        return splice(text, n, room, at, (size_t)draw(40), other + from, (size_t)draw(strlen(other) - from + 1));
    }
    }
}

static void check_table(const gs_tensor_table *t)
{
    for (int64_t i = 0; i < t->count; i++) {
        const gs_tensor *x = &t->tensors[i];
        int64_t elements = 1;
        assert_true(x->rank >= 0 && x->rank <= GS_MAX_RANK && strlen(x->name) <= GS_MAX_TENSOR_NAME);
        for (int d = 0; d < x->rank; d++) elements *= x->shape[d];
        assert_true(x->elements == elements && x->bytes == (uint64_t)elements * gs_dtype_bytes(x->dtype));
    }
}

static void test_text(void **state)
{
    (void)state;
    int64_t accepted = 0, refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[2048];
        const char *source = sources[i % 3];
        size_t n = strlen(source);
        memcpy(text, source, n);
        for (uint64_t k = draw(4); k > 0; k--) n = mutate(text, n, sizeof text);
        char *exact = malloc(n > 0 ? n : 1); /* no byte behind it, so that reading on is seen */
        memcpy(exact, text, n);
        gs_tensor_table t = {0};
        test_err.text[0] = '\0';
        const gs_status status = gs_safetensors_parse(exact, n, "x", &t, &test_err);
        free(exact);
        if (status == GS_OK) {
            check_table(&t);
            accepted++;
        } else {
            assert_int_equal(status, GS_ERR_FILE);
            assert_true(test_err.text[0] == 'x');
            refused++;
        }
        gs_tensor_table_release(&t);
    }
    print_message("%lld headers accepted, %lld refused\n", (long long)accepted, (long long)refused);
    assert_true(accepted > 1000 && refused > 1000);
}

/* The same through a whole file: length bytes and end included. */
static void test_files(void **state)
{
    (void)state;
    char *dir = make_scratch();
    char *path = gs_path_join(dir, "x.safetensors");
    int64_t accepted = 0, refused = 0;
    for (int i = 0; i < ROUNDS / 20; i++) {
        char file[2200] = {0};
        const char *source = sources[i % 3];
        const size_t header = strlen(source), data = i % 3 == 0 ? 32 : i % 3 == 1 ? 9 : 0;
        size_t n = 8 + header + data;
        file[0] = (char)header;
        memcpy(file + 8, source, header);
        for (uint64_t k = draw(3); k > 0; k--) n = mutate(file, n, sizeof file);
        FILE *f = fopen(path, "wb");
        assert_int_equal(fwrite(file, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
        gs_file in;
        gs_tensor_table t;
        OK(gs_file_open(&in, path, &test_err));
        const gs_status status = gs_safetensors_read_header(&in, &t, &test_err);
        if (status == GS_OK) {
            check_table(&t);
            uint64_t end = t.count > 0 ? t.tensors[0].offset : n;
            for (int64_t k = 0; k < t.count; k++) {
                assert_int_equal(t.tensors[k].offset, end);
                end += t.tensors[k].bytes;
            }
            assert_int_equal(end, n);
            gs_tensor_table_release(&t);
            accepted++;
        } else {
            assert_int_equal(status, GS_ERR_FILE);
            refused++;
        }
        gs_file_close(&in);
    }
    print_message("%lld files accepted, %lld refused\n", (long long)accepted, (long long)refused);
    assert_true(accepted > 100 && refused > 100);
    gs_free(path);
    remove_scratch(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
