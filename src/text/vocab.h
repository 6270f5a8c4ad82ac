/* The rank table of a tiktoken file: byte strings and their ranks, which are the token ids.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_VOCAB_H
#define GS_TEXT_VOCAB_H

#include "base/hash.h"
#include "base/mem.h"

enum { GS_VOCAB_MAX_TOKEN = 4096 }; /* bytes of one token */

typedef struct gs_vocab {
    int32_t count;   /* ranks 0 .. count-1 */
    size_t longest;  /* bytes of the longest token */
    char *bytes;     /* all tokens, one after the other */
    uint32_t *start; /* [count+1] token r is bytes[start[r] .. start[r+1]) */
    int32_t *slot;   /* [slots] rank or -1; open addressing */
    uint32_t slots;  /* a power of two */
    gs_hash_key key;
} gs_vocab;

/* text: the content of a rank file, `path` its name for messages. Ranks must run 0, 1, 2, …; all 256 single bytes must
 * be there. */
gs_status gs_vocab_init(gs_vocab *v, const char *text, size_t n, const char *path, gs_error *err) GS_CHECKED;
void gs_vocab_release(gs_vocab *v);

int32_t gs_vocab_find(const gs_vocab *v, const char *bytes, size_t n); /* rank, or -1 */

#endif
