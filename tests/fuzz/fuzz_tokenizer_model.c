/* tokenizer.model, with the 256 single bytes that every vocabulary needs put in front: mutants then reach what comes after
 * them. An input that begins with '!' is taken as it is. Accepted means: every token is found under its rank, and a text's
 * ids spell the text. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "text/bpe.h"
#include "text/vocab.h"

static void add_single_bytes(gs_str *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int b = 0; b < 256; b++) gs_str_printf(to, "%c%c== %d\n", digits[b >> 2], digits[(b & 3) << 4], b);
}

static void check_vocab(const gs_vocab *v, const char *text, size_t n)
{
    for (int32_t r = 0; r < v->count; r++)
        GS_FUZZ_CHECK(gs_vocab_find(v, v->bytes + v->start[r], v->start[r + 1] - v->start[r]) == r);
    if (n == 0) return;
    gs_bpe bpe = {0};
    gs_ids ids = {0};
    GS_FUZZ_CHECK(gs_bpe_encode(&bpe, v, text, n, &ids, NULL) == GS_OK);
    size_t at = 0;
    for (int64_t i = 0; i < ids.count; i++) {
        GS_FUZZ_CHECK(ids.id[i] >= 0 && ids.id[i] < v->count);
        const char *token = v->bytes + v->start[ids.id[i]];
        const size_t length = v->start[ids.id[i] + 1] - v->start[ids.id[i]];
        GS_FUZZ_CHECK(length <= n - at && memcmp(text + at, token, length) == 0);
        at += length;
    }
    GS_FUZZ_CHECK(at == n);
    gs_ids_release(&ids);
    gs_bpe_release(&bpe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_error err;
    gs_vocab v;
    gs_str whole;
    gs_str_init(&whole);
    const bool plain = n > 0 && data[0] == '!';
    if (!plain) add_single_bytes(&whole);
    gs_str_add(&whole, (const char *)data + plain, n - plain);
    char *text = gs_fuzz_copy((const uint8_t *)whole.data, whole.len);
    const gs_status status = gs_vocab_init(&v, text, whole.len, "tokenizer.model", &err);
    gs_fuzz_outcome(status, &err);
    if (status == GS_OK) {
        check_vocab(&v, (const char *)data, n);
        gs_vocab_release(&v);
    }
    gs_free(text);
    gs_str_release(&whole);
    return 0;
}
