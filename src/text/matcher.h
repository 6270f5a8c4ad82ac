/* Private to the room: many names looked for in a text at once (Aho and Corasick 1975). The automaton reads the text from its end to
 * its beginning, with the names spelled backwards: so one pass says for each place which longest name begins there, in time linear in
 * the text whatever the names are. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_MATCHER_H
#define GS_TEXT_MATCHER_H

#include "base/mem.h"

typedef struct gs_match_name {
    const char *text; /* not empty; no two names are equal */
    size_t bytes;
    int32_t number; /* >= 0 */
} gs_match_name;

typedef struct gs_matcher {
    int32_t *first;      /* [nodes+1] children of node k are nodes first[k] .. first[k+1]; the root is 0 */
    int32_t *fail;       /* [nodes] the longest proper suffix that is a node, too */
    int32_t *best;       /* [nodes] number of the longest name that is a suffix; -1 = none */
    unsigned char *byte; /* [nodes] that leads there; rising among siblings */
    size_t longest;      /* bytes of the longest name, 0 = there are no names */
} gs_matcher;

/* All names together have less than 2^31 bytes. Fails only if interrupted. */
gs_status gs_matcher_init(gs_matcher *m, const gs_match_name *name, int32_t count, gs_error *err) GS_CHECKED;
void gs_matcher_release(gs_matcher *m);

/* number[i - begin]: the longest name in text[0..n) that begins at byte i, begin <= i < end <= n; -1 = none. */
void gs_matcher_find(const gs_matcher *m, const char *text, size_t n, size_t begin, size_t end, int32_t *number);

#endif
