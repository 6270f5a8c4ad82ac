/* Reads the rank file of a tiktoken vocabulary: one line per token, the token's bytes in standard base64, a blank, its
 * rank in decimal. Owns the table that finds a rank from bytes. Refuses what could make encoding fail later: gaps,
 * duplicates, a missing single byte. SPDX-License-Identifier: Apache-2.0 */
#include "text/vocab.h"

#include <string.h>

enum { MAX_RANKS = 1 << 24, LINES_AT_ONCE = 4096 }; /* between two looks for an interrupt */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes decoded into out (n/4*3 of room), or -1: wrong length, foreign characters, padding inside, spare bits that are
 * not 0. */
static int64_t base64_decode(const char *s, size_t n, char *out)
{
    if (n == 0 || n % 4 != 0) return -1;
    const size_t padding = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
    int64_t used = 0;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        const size_t pads = i + 4 == n ? padding : 0;
        for (size_t k = 0; k < 4; k++) {
            const int value = k < 4 - pads ? base64_value(s[i + k]) : 0;
            if (value < 0) return -1;
            bits = bits << 6 | (uint32_t)value;
        }
        if ((pads == 1 && (bits & 0xFF) != 0) || (pads == 2 && (bits & 0xFFFF) != 0)) return -1;
        for (size_t k = 0; k < 3 - pads; k++) out[used++] = (char)(bits >> (16 - 8 * k) & 0xFF);
    }
    return used;
}

/* The slot that holds the token, or the free one where it belongs. */
static uint32_t find_slot(const gs_vocab *v, const char *bytes, size_t n)
{
    uint32_t at = (uint32_t)gs_hash_bytes(&v->key, bytes, n) & (v->slots - 1);
    for (int32_t r; (r = v->slot[at]) >= 0; at = (at + 1) & (v->slots - 1)) {
        if (v->start[r + 1] - v->start[r] == n && memcmp(v->bytes + v->start[r], bytes, n) == 0) break;
    }
    return at;
}

int32_t gs_vocab_find(const gs_vocab *v, const char *bytes, size_t n)
{
    return n == 0 || n > v->longest ? -1 : v->slot[find_slot(v, bytes, n)];
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The two fields of a line s[0..n). */
typedef struct rank_line {
    const char *code, *rank;
    size_t code_n, rank_n;
} rank_line;

static bool split_line(const char *s, size_t n, rank_line *out)
{
    const char *field[2] = {s, s};
    size_t length[2] = {0, 0}, fields = 0;
    for (size_t i = 0; i < n;) {
        while (i < n && is_blank(s[i])) i++;
        if (i == n) break;
        if (fields == 2) return false;
        const size_t begin = i;
        while (i < n && !is_blank(s[i])) i++;
        field[fields] = s + begin;
        length[fields++] = i - begin;
    }
    *out = (rank_line){field[0], field[1], length[0], length[1]};
    return fields == 2;
}

static int64_t read_rank(const char *s, size_t n)
{
    int64_t value = 0;
    if (n > 9) return -1;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

/* Line number `line` (from 1) becomes rank line-1. */
static gs_status add_line(gs_vocab *v, const char *s, size_t n, int64_t line, const char *path, gs_error *err)
{
    rank_line f;
    if (!split_line(s, n, &f))
        return gs_fail(err, GS_ERR_FILE,
                       "%s, line %lld: expected a token in base64, a blank and its rank: fetch the file again", path,
                       (long long)line);
    const int64_t rank = read_rank(f.rank, f.rank_n);
    if (rank < 0)
        return gs_fail(err, GS_ERR_FILE, "%s, line %lld: the rank is not a decimal number: fetch the file again", path,
                       (long long)line);
    if (rank != line - 1)
        return gs_fail(err, GS_ERR_FILE,
                       "%s, line %lld: rank %lld where %lld is expected; ranks must run from 0 without gaps or "
                       "duplicates: fetch the file again",
                       path, (long long)line, (long long)rank, (long long)line - 1);
    char *const token = v->bytes + v->start[rank];
    const int64_t used = base64_decode(f.code, f.code_n, token);
    if (used < 0)
        return gs_fail(err, GS_ERR_FILE, "%s, line %lld: bad base64: fetch the file again", path, (long long)line);
    if (used > GS_VOCAB_MAX_TOKEN)
        return gs_fail(err, GS_ERR_FILE,
                       "%s, line %lld: a token of %lld bytes, at most %d are possible: fetch the file again", path,
                       (long long)line, (long long)used, GS_VOCAB_MAX_TOKEN);
    const uint32_t at = find_slot(v, token, (size_t)used);
    if (v->slot[at] >= 0)
        return gs_fail(err, GS_ERR_FILE, "%s, line %lld: the token of line %lld again: fetch the file again", path,
                       (long long)line, (long long)v->slot[at] + 1);
    v->start[rank + 1] = v->start[rank] + (uint32_t)used;
    v->slot[at] = (int32_t)rank;
    v->count = (int32_t)rank + 1;
    if ((size_t)used > v->longest) v->longest = (size_t)used;
    return GS_OK;
}

static gs_status check_kind(const char *text, size_t n, const char *path, gs_error *err)
{
    static const char lfs[] = "version https://git-lfs";
    if (n == 0) return gs_fail(err, GS_ERR_FILE, "%s is empty: fetch the file again", path);
    if (text[0] == 0x0A)
        return gs_fail(err, GS_ERR_UNSUPPORTED,
                       "%s is a SentencePiece model, as ChatGLM2 and ChatGLM3 have it; "
                       "supported are GLM-4 checkpoints, whose tokenizer.model holds lines of base64 and rank",
                       path);
    if (n >= sizeof lfs - 1 && memcmp(text, lfs, sizeof lfs - 1) == 0)
        return gs_fail(err, GS_ERR_FILE, "%s is a Git LFS pointer, not the vocabulary itself: run `git lfs pull` there",
                       path);
    return GS_OK;
}

static gs_status check_single_bytes(const gs_vocab *v, const char *path, gs_error *err)
{
    for (int b = 0; b < 256; b++) {
        const char c = (char)b;
        if (gs_vocab_find(v, &c, 1) < 0)
            return gs_fail(err, GS_ERR_FILE,
                           "%s has no token for the single byte 0x%02X; all 256 are needed: the file is "
                           "incomplete, fetch it again",
                           path, (unsigned)b);
    }
    return GS_OK;
}

gs_status gs_vocab_init(gs_vocab *v, const char *text, size_t n, const char *path, gs_error *err)
{
    *v = (gs_vocab){0};
    GS_TRY(check_kind(text, n, path, err));
    size_t lines = text[n - 1] != '\n';
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    if (lines > MAX_RANKS || n > UINT32_MAX)
        return gs_fail(err, GS_ERR_FILE, "%s: %zu lines in %zu bytes, at most %d tokens are possible", path, lines, n,
                       MAX_RANKS);

    v->key = gs_hash_key_make();
    v->slots = 512;
    while (v->slots < lines * 2) v->slots *= 2;
    v->bytes = gs_alloc(n);
    v->start = gs_alloc_array(lines + 1, sizeof *v->start);
    v->slot = gs_alloc_array(v->slots, sizeof *v->slot);
    memset(v->slot, 0xFF, v->slots * sizeof *v->slot);

    gs_status status = GS_OK;
    int64_t line = 1;
    for (size_t at = 0; status == GS_OK && at < n; line++) {
        const char *const end = memchr(text + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - (text + at)) : n - at;
        if (line % LINES_AT_ONCE == 1) status = gs_check_interrupt(err);
        if (status == GS_OK) status = add_line(v, text + at, length, line, path, err);
        at += length + 1;
    }
    if (status == GS_OK) status = check_single_bytes(v, path, err);
    if (status != GS_OK) gs_vocab_release(v);
    return status;
}

void gs_vocab_release(gs_vocab *v)
{
    gs_free(v->bytes);
    gs_free(v->start);
    gs_free(v->slot);
    *v = (gs_vocab){0};
}
