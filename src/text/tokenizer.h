/* tokenizer.model (tiktoken ranks) and tokenizer_config.json of GLM-4: text to ids exactly as
 * tokenizer(text) of the reference's slow class. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_TOKENIZER_H
#define GS_TEXT_TOKENIZER_H

#include "base/mem.h"
#include "base/str.h"

typedef struct gs_tokenizer gs_tokenizer;

typedef struct gs_ids {
    int32_t *id;
    int64_t count, cap;
} gs_ids;
void gs_ids_add(gs_ids *ids, int32_t id);
void gs_ids_release(gs_ids *ids);

/* dir: the checkpoint directory. tokenizer.model gives the vocabulary, tokenizer_config.json the special tokens that
 * are recognised in a text; without that file these are the 14 built-in ones. pad_token: text of the pad token to add
 * (the script's default "<unk>"), NULL = as configured; unless it is a special token already, its id is the number of
 * tokens so far (151343 for GLM-4-9B). A SentencePiece file is GS_ERR_UNSUPPORTED naming ChatGLM2/3; bad base64, gaps
 * or duplicates are GS_ERR_FILE with the line number. */
gs_status gs_tokenizer_open(gs_tokenizer **out, const char *dir, const char *pad_token, gs_error *err) GS_CHECKED;
void gs_tokenizer_close(gs_tokenizer *t);

int64_t gs_tokenizer_ids(const gs_tokenizer *t); /* one past the greatest id */

/* prefix: start with [gMASK]<sop>. text: valid UTF-8 (checked: GS_ERR_FILE with byte position), may hold NUL. */
gs_status gs_tokenizer_encode(const gs_tokenizer *t, const char *text, size_t n, bool prefix, gs_ids *out,
                              gs_error *err) GS_CHECKED;
/* Bytes of the ids, appended; not necessarily whole characters. Specials are spelled out if `specials`, else skipped;
 * an id without a token (a padding row of the embedding) gives U+FFFD. */
void gs_tokenizer_decode(const gs_tokenizer *t, const int32_t *ids, int64_t n, bool specials, gs_str *out);

#endif
