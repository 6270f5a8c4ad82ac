/* Rank files and byte-pair merging, held to a merge written as plainly as its definition.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/sys.h"
#include "io/file.h"
#include "text/bpe.h"

static void base64_line(gs_str *out, const char *token, size_t n, int rank)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < n ? (unsigned char)token[i + k] : 0);
        for (size_t k = 0; k < 4; k++) gs_str_addc(out, i + k <= n ? letters[bits >> (18 - 6 * k) & 63] : '=');
    }
    gs_str_printf(out, " %d\n", rank);
}

/* 256 single bytes and these tokens. */
static void make_ranks(gs_str *out, const char *const *tokens)
{
    gs_str_init(out);
    int rank = 0;
    for (; rank < 256; rank++) base64_line(out, &(char){(char)rank}, 1, rank);
    for (; *tokens; tokens++) base64_line(out, *tokens, strlen(*tokens), rank++);
}

static gs_vocab make_vocab(const char *const *tokens)
{
    gs_str text;
    gs_error err = {0};
    gs_vocab v;
    make_ranks(&text, tokens);
    if (gs_vocab_init(&v, text.data, text.len, "ranks", &err) != GS_OK) fail_msg("%s", err.text);
    gs_str_release(&text);
    return v;
}

/* By definition: lowest concatenation first, leftmost of equals. */
static void encode_naive(const gs_vocab *v, const char *s, size_t n, gs_ids *out)
{
    size_t start[4096], parts = n;
    assert_true(n < 4096);
    if (gs_vocab_find(v, s, n) >= 0) {
        gs_ids_add(out, gs_vocab_find(v, s, n));
        return;
    }
    for (size_t i = 0; i <= n; i++) start[i] = i;
    for (;;) {
        size_t best = parts;
        int32_t best_rank = INT32_MAX;
        for (size_t i = 0; i + 1 < parts; i++) {
            const int32_t rank = gs_vocab_find(v, s + start[i], start[i + 2] - start[i]);
            if (rank < 0 || rank >= best_rank) continue;
            best = i;
            best_rank = rank;
        }
        if (best == parts) break;
        for (size_t i = best + 1; i < parts; i++) start[i] = start[i + 1];
        parts--;
    }
    for (size_t i = 0; i < parts; i++) gs_ids_add(out, gs_vocab_find(v, s + start[i], start[i + 1] - start[i]));
}

static void expect_same(const gs_vocab *v, gs_bpe *bpe, const char *s, size_t n)
{
    gs_ids a = {0}, b = {0};
    assert_int_equal(gs_bpe_encode(bpe, v, s, n, &a, NULL), GS_OK);
    encode_naive(v, s, n, &b);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.id, b.id, (size_t)a.count * sizeof *a.id);
    gs_ids_release(&a);
    gs_ids_release(&b);
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void test_random_pieces(void **state)
{
    (void)state;
    static const char *const tokens[] = {"aa",   "ab",  "ba", "aaa", "bb",  "aab",      "abab", "ca",
                                         "aaaa", "bca", "cc", "ccc", "abc", "aaaaaaaa", NULL};
    gs_vocab v = make_vocab(tokens);
    gs_bpe bpe = {0};
    uint64_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        char s[400];
        const size_t n = 1 + next_random(&seed) % (round % 2 ? 70 : 400); /* both sides of the two methods' border */
        const uint32_t letters = 1 + next_random(&seed) % 4;
        for (size_t i = 0; i < n; i++) s[i] = (char)('a' + next_random(&seed) % letters);
        expect_same(&v, &bpe, s, n);
    }
    gs_bpe_release(&bpe);
    gs_vocab_release(&v);
}

static void test_border(void **state)
{
    (void)state;
    static const char *const tokens[] = {"aa", "aaaa", NULL};
    gs_vocab v = make_vocab(tokens);
    gs_bpe bpe = {0};
    char s[200];
    memset(s, 'a', sizeof s);
    for (size_t n = 1; n <= sizeof s; n++) expect_same(&v, &bpe, s, n);
    gs_bpe_release(&bpe);
    gs_vocab_release(&v);
}

/* A piece that is a token is that token even if merging would never get there. */
static void test_whole_piece(void **state)
{
    (void)state;
    static const char *const tokens[] = {"xyz", NULL};
    gs_vocab v = make_vocab(tokens);
    gs_bpe bpe = {0};
    gs_ids ids = {0};
    assert_int_equal(gs_bpe_encode(&bpe, &v, "xyz", 3, &ids, NULL), GS_OK);
    assert_int_equal(gs_bpe_encode(&bpe, &v, "xyzx", 4, &ids, NULL), GS_OK);
    const int32_t expected[] = {256, 'x', 'y', 'z', 'x'};
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.id, expected, sizeof expected);
    gs_ids_release(&ids);
    gs_bpe_release(&bpe);
    gs_vocab_release(&v);
}

static void test_megabyte(void **state)
{
    (void)state;
    static const char *const tokens[] = {"aa", "aaaa", "aaaaaaaa", "aaaaaaaaaaaaaaaa", NULL};
    gs_vocab v = make_vocab(tokens);
    gs_bpe bpe = {0};
    gs_ids ids = {0};
    enum { BYTES = 1 << 20 };
    char *const s = test_malloc(BYTES);
    memset(s, 'a', BYTES);
    const double begin = gs_seconds();
    assert_int_equal(gs_bpe_encode(&bpe, &v, s, BYTES, &ids, NULL), GS_OK);
    const double seconds = gs_seconds() - begin;
    printf("             1 MiB of one letter: %.2f s\n", seconds);
    assert_int_equal(ids.count, BYTES / 16);
    assert_true(seconds < 20); /* quadratic would be hours; the slack is for sanitizers and busy machines */
    test_free(s);
    gs_ids_release(&ids);
    gs_bpe_release(&bpe);
    gs_vocab_release(&v);
}

/* A long piece and a long file look for an interrupt on their way. */
static void test_interrupt(void **state)
{
    (void)state;
    static char s[1 << 18];
    gs_vocab v = make_vocab((const char *const[]){"aa", "aaaa", NULL}), other;
    gs_bpe bpe = {0};
    gs_ids ids = {0};
    gs_str text;
    gs_error err = {0};
    memset(s, 'a', sizeof s);
    make_ranks(&text, (const char *const[]){NULL});
    gs_interrupt();
    const gs_status piece = gs_bpe_encode(&bpe, &v, s, sizeof s, &ids, &err);
    const gs_status file = gs_vocab_init(&other, text.data, text.len, "ranks", &err);
    gs_clear_interrupt();
    assert_int_equal(piece, GS_ERR_INTERRUPTED);
    assert_int_equal(file, GS_ERR_INTERRUPTED);
    gs_str_release(&text);
    gs_ids_release(&ids);
    gs_bpe_release(&bpe);
    gs_vocab_release(&v);
}

/* Where the tokens of a file meet in the table cannot be foreseen. */
static void test_places(void **state)
{
    (void)state;
    const char *const tokens[] = {"ab", "abc", NULL};
    gs_vocab a = make_vocab(tokens), b = make_vocab(tokens);
    assert_int_equal(a.slots, b.slots);
    assert_memory_not_equal(a.slot, b.slot, a.slots * sizeof *a.slot);
    for (int32_t r = 0; r < a.count; r++)
        assert_int_equal(gs_vocab_find(&b, a.bytes + a.start[r], a.start[r + 1] - a.start[r]), r);
    gs_vocab_release(&a);
    gs_vocab_release(&b);
}

/* --- rank files --- */

static void expect_bad(const char *text, size_t n, gs_status status, const char *part)
{
    gs_vocab v;
    gs_error err = {0};
    assert_int_equal(gs_vocab_init(&v, text, n, "dir/tokenizer.model", &err), status);
    if (!strstr(err.text, part) || !strstr(err.text, "dir/tokenizer.model"))
        fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

/* The whole file with line `line` (from 1) replaced. */
static void expect_bad_line(int line, const char *replacement, const char *part)
{
    gs_str text, bad;
    make_ranks(&text, (const char *const[]){"ab", NULL});
    gs_str_init(&bad);
    int at = 1;
    for (const char *s = text.data; *s; at++) {
        const char *const end = strchr(s, '\n') + 1;
        if (at == line)
            gs_str_adds(&bad, replacement);
        else
            gs_str_add(&bad, s, (size_t)(end - s));
        s = end;
    }
    char where[64];
    snprintf(where, sizeof where, "line %d: ", line);
    expect_bad(bad.data, bad.len, GS_ERR_FILE, where);
    expect_bad(bad.data, bad.len, GS_ERR_FILE, part);
    gs_str_release(&bad);
    gs_str_release(&text);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char *const base64[] = {"IQ=\x3d= 33\n", "I 33\n",       "IQ= 33\n",      "I*== 33\n",
                                         "IR== 33\n",     "==== 33\n",    "IQ==IQ== 33\n", "=Q== 33\n",
                                         "IQ=A 33\n",     "IQE\x80 33\n", "-_== 33\n"};
    for (size_t i = 0; i < sizeof base64 / sizeof *base64; i++) expect_bad_line(34, base64[i], "bad base64");
    expect_bad_line(34, "IQ== 35\n", "rank 35 where 33 is expected");
    expect_bad_line(34, "IQ== 32\n", "rank 32 where 33 is expected");
    expect_bad_line(34, "IQ== -33\n", "not a decimal number");
    expect_bad_line(34, "IQ== 33x\n", "not a decimal number");
    expect_bad_line(34, "IQ== 99999999999999999999\n", "not a decimal number");
    expect_bad_line(34, "IQ==\n", "expected a token");
    expect_bad_line(34, "\n", "expected a token");
    expect_bad_line(34, "IQ== 33 1\n", "expected a token");
    expect_bad_line(34, "IA== 33\n", "the token of line 33 again");
}

static void test_bad_files(void **state)
{
    (void)state;
    expect_bad("", 0, GS_ERR_FILE, "empty");
    expect_bad("\n\x0E\n\x05<unk>", 9, GS_ERR_UNSUPPORTED, "ChatGLM2");
    expect_bad("version https://git-lfs.github.com/spec/v1\n", 43, GS_ERR_FILE, "git lfs pull");
    expect_bad("IQ== 0\n", 7, GS_ERR_FILE, "single byte 0x00");
    expect_bad("\0\0\0", 3, GS_ERR_FILE, "line 1");

    gs_str text;
    make_ranks(&text, (const char *const[]){NULL});
    char *const long_token = test_malloc(GS_VOCAB_MAX_TOKEN + 1);
    memset(long_token, 'x', GS_VOCAB_MAX_TOKEN + 1);
    base64_line(&text, long_token, GS_VOCAB_MAX_TOKEN + 1, 256);
    expect_bad(text.data, text.len, GS_ERR_FILE, "line 257: a token of 4097 bytes");
    test_free(long_token);
    gs_str_release(&text);
}

/* Carriage returns, tabs and a missing last newline are fine, as they are for Python's split(). */
static void test_tolerated(void **state)
{
    (void)state;
    gs_str text, loose;
    make_ranks(&text, (const char *const[]){"ab", NULL});
    gs_str_init(&loose);
    for (const char *s = text.data; *s; s++)
        gs_str_adds(&loose, *s == ' ' ? " \t" : *s == '\n' ? "\r\n" : (char[2]){*s, 0});
    gs_vocab v;
    gs_error err = {0};
    assert_int_equal(gs_vocab_init(&v, loose.data, loose.len - 2, "ranks", &err), GS_OK);
    assert_int_equal(v.count, 257);
    assert_int_equal(gs_vocab_find(&v, "ab", 2), 256);
    assert_int_equal(gs_vocab_find(&v, "ba", 2), -1);
    assert_int_equal(gs_vocab_find(&v, "abc", 3), -1);
    assert_int_equal(gs_vocab_find(&v, "", 0), -1);
    gs_vocab_release(&v);
    gs_str_release(&loose);
    gs_str_release(&text);
}

/* A real file, cut anywhere and with any byte broken: an error or a vocabulary, never more. */
static void test_damaged(void **state)
{
    (void)state;
    char *text;
    size_t n;
    gs_error err = {0};
    assert_int_equal(
        gs_file_read_all(GS_SOURCE_DIR "/tests/golden/models/tiny-a/tokenizer.model", 1 << 20, &text, &n, &err), GS_OK);
    uint64_t seed = 3;
    for (int round = 0; round < 600; round++) {
        char *const copy = test_malloc(n);
        memcpy(copy, text, n);
        const size_t cut = round % 2 ? n : 1 + next_random(&seed) % n;
        if (round % 2) copy[next_random(&seed) % n] = (char)next_random(&seed);
        gs_vocab v;
        if (gs_vocab_init(&v, copy, cut, "x", &err) == GS_OK)
            gs_vocab_release(&v);
        else
            assert_true(err.text[0] != 0);
        test_free(copy);
    }
    gs_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_pieces), cmocka_unit_test(test_border),    cmocka_unit_test(test_whole_piece),
        cmocka_unit_test(test_megabyte),      cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_tolerated),     cmocka_unit_test(test_damaged),   cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
