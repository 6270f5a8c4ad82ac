/* Text to ids and back. A text is cut at special tokens, each plain stretch between them into pieces (presplit.c), each
 * piece into tokens (bpe.c). No normalisation, no stripping, no end token. SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer.h"

#include <string.h>

#include "io/file.h"
#include "text/bpe.h"
#include "text/presplit.h"
#include "text/specials.h"
#include "text/vocab.h"

enum { MAX_RANK_FILE = 64 << 20, MAX_CONFIG_FILE = 16 << 20 };

struct gs_tokenizer {
    gs_vocab vocab;
    gs_specials specials;
    int32_t prefix[2];
};

void gs_ids_add(gs_ids *ids, int32_t id)
{
    if (ids->count == ids->cap) {
        ids->cap = ids->cap ? ids->cap * 2 : 64;
        ids->id = gs_realloc_array(ids->id, (size_t)ids->cap, sizeof *ids->id);
    }
    ids->id[ids->count++] = id;
}

void gs_ids_release(gs_ids *ids)
{
    gs_free(ids->id);
    *ids = (gs_ids){0};
}

static gs_status open_vocab(gs_tokenizer *t, const char *dir, gs_error *err)
{
    char *const path = gs_path_join(dir, "tokenizer.model");
    char *text = NULL;
    size_t n = 0;
    gs_status status = GS_OK;
    if (!gs_path_exists(path)) {
        char *const other = gs_path_join(dir, "tokenizer.json");
        status = gs_path_exists(other)
                     ? gs_fail(err, GS_ERR_UNSUPPORTED,
                               "%s has a tokenizer.json and no tokenizer.model: only the tiktoken "
                               "vocabulary of a ChatGLM-layout checkpoint (tokenizer.model) is read",
                               dir)
                     : gs_fail(err, GS_ERR_IO, "%s does not exist: copy tokenizer.model of the checkpoint there", path);
        gs_free(other);
    }
    if (status == GS_OK) status = gs_file_read_all(path, MAX_RANK_FILE, &text, &n, err);
    if (status == GS_OK) status = gs_vocab_init(&t->vocab, text, n, path, err);
    gs_free(text);
    gs_free(path);
    return status;
}

static gs_status open_specials(gs_tokenizer *t, const char *dir, const char *pad_token, gs_error *err)
{
    char *const path = gs_path_join(dir, "tokenizer_config.json");
    char *text = NULL;
    size_t n = 0;
    gs_status status = GS_OK;
    if (gs_path_exists(path)) status = gs_file_read_all(path, MAX_CONFIG_FILE, &text, &n, err);
    if (status == GS_OK) status = gs_specials_init(&t->specials, t->vocab.count, text, n, path, pad_token, err);
    gs_free(text);
    gs_free(path);
    return status;
}

gs_status gs_tokenizer_open(gs_tokenizer **out, const char *dir, const char *pad_token, gs_error *err)
{
    *out = NULL;
    gs_tokenizer *const t = gs_alloc(sizeof *t);
    gs_status status = open_vocab(t, dir, err);
    if (status == GS_OK) status = open_specials(t, dir, pad_token, err);
    if (status != GS_OK) {
        gs_tokenizer_close(t);
        return status;
    }
    t->prefix[0] = gs_specials_find(&t->specials, "[gMASK]", 7)->id;
    t->prefix[1] = gs_specials_find(&t->specials, "<sop>", 5)->id;
    *out = t;
    return GS_OK;
}

void gs_tokenizer_close(gs_tokenizer *t)
{
    if (!t) return;
    gs_vocab_release(&t->vocab);
    gs_specials_release(&t->specials);
    gs_free(t);
}

int64_t gs_tokenizer_ids(const gs_tokenizer *t)
{
    const gs_specials *const s = &t->specials;
    const int64_t greatest = s->item[s->by_id[s->with_id - 1]].id;
    return greatest >= t->vocab.count ? greatest + 1 : t->vocab.count;
}

/* Text without special tokens. `base` is its offset in the whole text, for messages. */
static gs_status encode_plain(const gs_tokenizer *t, gs_bpe *bpe, const char *text, size_t n, size_t base, gs_ids *out,
                              gs_error *err)
{
    for (size_t at = 0; at < n;) {
        const size_t end = gs_presplit_next(text, n, at);
        if (end - at > GS_BPE_MAX_PIECE)
            return gs_fail(err, GS_ERR_FILE,
                           "a single word of %zu bytes at byte %zu of a text: at most %d are possible", end - at,
                           base + at, GS_BPE_MAX_PIECE);
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(gs_bpe_encode(bpe, &t->vocab, text + at, end - at, out, err));
        at = end;
    }
    return GS_OK;
}

gs_status gs_tokenizer_encode(const gs_tokenizer *t, const char *text, size_t n, bool prefix, gs_ids *out,
                              gs_error *err)
{
    const size_t valid = gs_utf8_valid(text, n);
    if (valid != n) return gs_fail(err, GS_ERR_FILE, "the text is not valid UTF-8 at byte %zu", valid);
    for (int i = 0; prefix && i < 2; i++) gs_ids_add(out, t->prefix[i]);

    gs_bpe bpe = {0};
    gs_special_scan scan;
    scan.begin = scan.end = 0;
    gs_status status = gs_check_interrupt(err);
    for (size_t from = 0; status == GS_OK && from < n;) {
        size_t at;
        const gs_special *const special = gs_specials_next(&t->specials, &scan, text, n, from, &at);
        status = encode_plain(t, &bpe, text + from, at - from, from, out, err);
        if (special) gs_ids_add(out, special->id);
        from = special ? at + special->bytes : n;
    }
    gs_bpe_release(&bpe);
    return status;
}

void gs_tokenizer_decode(const gs_tokenizer *t, const int32_t *ids, int64_t n, bool specials, gs_str *out)
{
    const gs_vocab *const v = &t->vocab;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= 0 && ids[i] < v->count) {
            gs_str_add(out, v->bytes + v->start[ids[i]], v->start[ids[i] + 1] - v->start[ids[i]]);
            continue;
        }
        const gs_special *const special = gs_specials_by_id(&t->specials, ids[i]);
        if (special && specials) gs_str_add(out, special->text, special->bytes);
        if (!special) gs_str_adds(out, "\xEF\xBF\xBD"); /* a padding row of the embedding: U+FFFD */
    }
}
