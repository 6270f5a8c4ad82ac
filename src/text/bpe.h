/* Byte-pair encoding of one piece of text. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_BPE_H
#define GS_TEXT_BPE_H

#include "text/tokenizer.h"
#include "text/vocab.h"

enum { GS_BPE_MAX_PIECE = 4 << 20 }; /* bytes */

/* Working memory, reused from piece to piece. Start with {0}. */
typedef struct gs_bpe {
    int32_t *next, *prev, *rank; /* [cap] by first byte of a part */
    size_t cap;
    uint64_t *heap;
    size_t heap_count, heap_cap;
} gs_bpe;
void gs_bpe_release(gs_bpe *b);

/* Ids of piece[0..n), 0 < n <= GS_BPE_MAX_PIECE, added to *out. Fails only if interrupted. */
gs_status gs_bpe_encode(gs_bpe *b, const gs_vocab *v, const char *piece, size_t n, gs_ids *out,
                        gs_error *err) GS_CHECKED;

#endif
