/* Special tokens: whole strings with an id of their own, outside the vocabulary. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_SPECIALS_H
#define GS_TEXT_SPECIALS_H

#include "base/hash.h"
#include "text/matcher.h"

enum {
    GS_SPECIALS_BUILTIN = 14,
    GS_SPECIAL_MAX_BYTES = 1024,
    GS_SPECIAL_MAX_ID = (1 << 24) - 1,
    GS_SPECIAL_WINDOW = 4096,
};

typedef struct gs_special {
    char *text;
    size_t bytes;
    int32_t id; /* -1: a built-in name whose id another token took */
    bool split; /* recognised inside a text; else only its id is known */
} gs_special;

typedef struct gs_specials {
    gs_special *item;
    int32_t count, cap, with_id;
    int32_t *by_id; /* [with_id] indexes of items, by id */
    int32_t ranks;  /* ids below belong to the vocabulary */
    int32_t *slot;  /* [slots] index of an item by its name, or -1; open addressing */
    uint32_t slots; /* a power of two */
    gs_hash_key key;
    gs_matcher matcher; /* of those that are recognised inside a text */
} gs_specials;

/* What is known of a part of a text. Start with begin = end = 0 for each text. */
typedef struct gs_special_scan {
    size_t begin, end;
    int32_t longest[GS_SPECIAL_WINDOW]; /* [end-begin] index of the longest special that begins there, or -1 */
} gs_special_scan;

/* The built-in names at ranks, ranks+1, …, then what tokenizer_config.json (config[0..n), NULL = no such file) says,
 * then pad_token as one more. `path` names the file in messages. */
gs_status gs_specials_init(gs_specials *s, int32_t ranks, const char *config, size_t n, const char *path,
                           const char *pad_token, gs_error *err) GS_CHECKED;
void gs_specials_release(gs_specials *s);

const gs_special *gs_specials_find(const gs_specials *s, const char *text, size_t n); /* by name; NULL = none */
const gs_special *gs_specials_by_id(const gs_specials *s, int32_t id);

/* First special in text[from..n): leftmost, longest. *at = its first byte. NULL (and *at = n) if there is none. Linear over a whole
 * text, whose parts are asked for in their order. */
const gs_special *gs_specials_next(const gs_specials *s, gs_special_scan *scan, const char *text, size_t n, size_t from,
                                   size_t *at);

#endif
