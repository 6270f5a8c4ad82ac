/* Special tokens of a GLM-4 checkpoint. Ids: 14 names that every GLM-4 vocabulary has after its ranks, then
 * added_tokens_decoder of tokenizer_config.json on top. Recognised inside a text are only those that the configuration
 * names (as added or as eos, pad, … token): derivatives list fewer than they have, and there the rest is ordinary text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/specials.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"

static const char *const builtin[GS_SPECIALS_BUILTIN] = {
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
};

/* Where a tokenizer's named tokens stand in the configuration, in the order in which missing ones are given ids. */
static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};

/* --- the names --- */

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t find_slot(const gs_specials *s, const char *text, size_t n)
{
    uint32_t at = (uint32_t)gs_hash_bytes(&s->key, text, n) & (s->slots - 1);
    for (int32_t i; (i = s->slot[at]) >= 0; at = (at + 1) & (s->slots - 1)) {
        if (s->item[i].bytes == n && memcmp(s->item[i].text, text, n) == 0) break;
    }
    return at;
}

/* At most half of the slots are taken. */
static void reserve(gs_specials *s)
{
    if (s->count < s->cap) return;
    s->cap = s->cap ? s->cap * 2 : 32;
    s->item = gs_realloc_array(s->item, (size_t)s->cap, sizeof *s->item);
    s->slots = (uint32_t)s->cap * 2;
    gs_free(s->slot);
    s->slot = gs_alloc_array(s->slots, sizeof *s->slot);
    memset(s->slot, 0xFF, s->slots * sizeof *s->slot);
    for (int32_t i = 0; i < s->count; i++) s->slot[find_slot(s, s->item[i].text, s->item[i].bytes)] = i;
}

/* Index of the token of that name, with an id or not; -1 = none. */
static int32_t find(const gs_specials *s, const char *text, size_t n) { return s->slot[find_slot(s, text, n)]; }

/* Give the token an id; it is made if it is not there. */
static void set(gs_specials *s, const char *text, size_t n, int32_t id, bool split)
{
    reserve(s);
    const uint32_t at = find_slot(s, text, n);
    if (s->slot[at] < 0) {
        s->slot[at] = s->count;
        s->item[s->count] = (gs_special){gs_alloc(n + 1), n, -1, false}; /* may hold NUL bytes */
        memcpy(s->item[s->count++].text, text, n);
    }
    gs_special *const known = &s->item[s->slot[at]];
    s->with_id += known->id < 0;
    known->id = id;
    known->split = split;
}

/* A token known by name only: recognised from now on, and given the next free number if it is new. That number is how
 * many tokens there are, as the reference counts, not one past the greatest id. */
static gs_status add_named(gs_specials *s, const char *text, size_t n, const char *path, const char *key, gs_error *err)
{
    if (n == 0) return GS_OK;
    if (n > GS_SPECIAL_MAX_BYTES)
        return gs_fail(err, GS_ERR_FILE, "%s: %s has %zu bytes, at most %d are possible", path, key, n,
                       GS_SPECIAL_MAX_BYTES);
    const int32_t known = find(s, text, n);
    set(s, text, n, known >= 0 && s->item[known].id >= 0 ? s->item[known].id : s->ranks + s->with_id, true);
    return GS_OK;
}

/* --- tokenizer_config.json --- */

/* "text" or {"content": "text", …}; NULL if it is neither. */
static const char *token_text(const json_t *value, size_t *n)
{
    const json_t *const text = json_is_object(value) ? json_object_get(value, "content") : value;
    if (!json_is_string(text)) return NULL;
    *n = json_string_length(text);
    return json_string_value(text);
}

static int32_t read_id(const char *key)
{
    int32_t id = 0;
    if (*key == 0 || strlen(key) > 8 || (key[0] == '0' && key[1] != 0)) return -1;
    for (; *key; key++) {
        if (*key < '0' || *key > '9') return -1;
        id = id * 10 + (*key - '0');
    }
    return id <= GS_SPECIAL_MAX_ID ? id : -1;
}

static gs_status check_flags(const json_t *token, const char *key, const char *path, gs_error *err)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (json_is_true(json_object_get(token, flags[i])))
            return gs_fail(err, GS_ERR_UNSUPPORTED,
                           "%s: added token %s has \"%s\": true; only tokens matched exactly as spelled are "
                           "supported: set it to false",
                           path, key, flags[i]);
    }
    return GS_OK;
}

static gs_status add_decoder_token(gs_specials *s, const char *key, const json_t *token, const char *path,
                                   gs_error *err)
{
    char shown[32];
    gs_printable(key, strlen(key), shown, sizeof shown);
    const int32_t id = read_id(key);
    size_t n = 0;
    const char *const text = token_text(token, &n);
    if (id < 0)
        return gs_fail(err, GS_ERR_FILE, "%s: added_tokens_decoder has the key \"%s\", which is not an id from 0 to %d",
                       path, shown, GS_SPECIAL_MAX_ID);
    if (!text || n == 0 || n > GS_SPECIAL_MAX_BYTES)
        return gs_fail(err, GS_ERR_FILE, "%s: added token %s needs a \"content\" string of 1 to %d bytes", path, shown,
                       GS_SPECIAL_MAX_BYTES);
    if (id < s->ranks)
        return gs_fail(err, GS_ERR_FILE,
                       "%s: added token %s takes the id of a vocabulary entry (tokenizer.model has ids 0 to %d): "
                       "the two files do not belong together",
                       path, shown, s->ranks - 1);
    GS_TRY(check_flags(token, shown, path, err));
    const int32_t same = find(s, text, n);
    if (same >= 0 && s->item[same].split)
        return gs_fail(err, GS_ERR_FILE, "%s: added tokens %d and %s have the same content", path, s->item[same].id,
                       shown);
    /* Keys are unique, so only a built-in name can have this id already; it loses it. */
    for (int32_t i = 0; i < GS_SPECIALS_BUILTIN; i++) {
        if (s->item[i].id != id || s->item[i].split) continue;
        s->item[i].id = -1;
        s->with_id--;
    }
    set(s, text, n, id, true);
    return GS_OK;
}

static gs_status add_decoder(gs_specials *s, const json_t *root, const char *path, gs_error *err)
{
    json_t *const decoder = json_object_get(root, "added_tokens_decoder");
    if (!decoder || json_is_null(decoder)) return GS_OK;
    if (!json_is_object(decoder))
        return gs_fail(err, GS_ERR_FILE, "%s: added_tokens_decoder is not an object of id and token", path);
    if (json_object_size(decoder) > 65536)
        return gs_fail(err, GS_ERR_FILE, "%s: %zu added tokens, at most 65536 are possible", path,
                       json_object_size(decoder));
    const char *key;
    json_t *token;
    json_object_foreach(decoder, key, token) GS_TRY(add_decoder_token(s, key, token, path, err));
    return GS_OK;
}

static gs_status add_all_named(gs_specials *s, const json_t *root, const char *path, const char *pad_token,
                               gs_error *err)
{
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t n = 0;
        const char *text = token_text(json_object_get(root, named[i]), &n);
        if (pad_token && strcmp(named[i], "pad_token") == 0) {
            text = pad_token;
            n = strlen(pad_token);
        }
        if (text) GS_TRY(add_named(s, text, n, path, named[i], err));
    }
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(root, "additional_special_tokens"), i, token)
    {
        size_t n = 0;
        const char *const text = token_text(token, &n);
        if (!text) return gs_fail(err, GS_ERR_FILE, "%s: additional_special_tokens[%zu] is not a string", path, i);
        GS_TRY(add_named(s, text, n, path, "additional_special_tokens", err));
    }
    return GS_OK;
}

static gs_status read_config(gs_specials *s, const json_t *root, const char *path, const char *pad_token, gs_error *err)
{
    if (root && !json_is_object(root)) return gs_fail(err, GS_ERR_FILE, "%s is not a JSON object", path);
    GS_TRY(add_decoder(s, root, path, err));
    GS_TRY(add_all_named(s, root, path, pad_token, err));
    if (json_is_true(json_object_get(root, "split_special_tokens"))) {
        for (int32_t i = 0; i < s->count; i++) s->item[i].split = false;
    }
    return GS_OK;
}

/* --- looking up --- */

const gs_special *gs_specials_find(const gs_specials *s, const char *text, size_t n)
{
    const int32_t found = find(s, text, n);
    return found >= 0 && s->item[found].id >= 0 ? &s->item[found] : NULL;
}

typedef struct id_order {
    int32_t id, item;
} id_order;

static int compare_ids(const void *a, const void *b)
{
    const id_order *const x = a, *const y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : (x->item > y->item) - (x->item < y->item);
}

static void sort_ids(gs_specials *s)
{
    id_order *const order = gs_alloc_array((size_t)s->with_id, sizeof *order);
    int32_t used = 0;
    for (int32_t i = 0; i < s->count; i++) {
        if (s->item[i].id >= 0) order[used++] = (id_order){s->item[i].id, i};
    }
    qsort(order, (size_t)used, sizeof *order, compare_ids);
    s->by_id = gs_alloc_array((size_t)used, sizeof *s->by_id);
    for (int32_t i = 0; i < used; i++) s->by_id[i] = order[i].item;
    gs_free(order);
}

const gs_special *gs_specials_by_id(const gs_specials *s, int32_t id)
{
    int32_t low = 0, high = s->with_id;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (s->item[s->by_id[middle]].id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    /* Of two tokens on one id (the counted pad token can meet an added one) the later stands for it. */
    return low > 0 && s->item[s->by_id[low - 1]].id == id ? &s->item[s->by_id[low - 1]] : NULL;
}

static gs_status make_matcher(gs_specials *s, gs_error *err)
{
    gs_match_name *const name = gs_alloc_array((size_t)s->count, sizeof *name);
    int32_t used = 0;
    for (int32_t i = 0; i < s->count; i++) {
        if (s->item[i].split) name[used++] = (gs_match_name){s->item[i].text, s->item[i].bytes, i};
    }
    const gs_status status = gs_matcher_init(&s->matcher, name, used, err);
    gs_free(name);
    return status;
}

const gs_special *gs_specials_next(const gs_specials *s, gs_special_scan *scan, const char *text, size_t n, size_t from,
                                   size_t *at)
{
    for (size_t i = from; i < n; i++) {
        if (i >= scan->end) {
            scan->begin = i;
            scan->end = n - i < GS_SPECIAL_WINDOW ? n : i + GS_SPECIAL_WINDOW;
            gs_matcher_find(&s->matcher, text, n, scan->begin, scan->end, scan->longest);
        }
        const int32_t found = scan->longest[i - scan->begin];
        if (found < 0) continue;
        *at = i;
        return &s->item[found];
    }
    *at = n;
    return NULL;
}

/* --- whole --- */

gs_status gs_specials_init(gs_specials *s, int32_t ranks, const char *config, size_t n, const char *path,
                           const char *pad_token, gs_error *err)
{
    *s = (gs_specials){.ranks = ranks, .key = gs_hash_key_make()};
    if (pad_token && gs_utf8_valid(pad_token, strlen(pad_token)) != strlen(pad_token))
        return gs_fail(err, GS_ERR_USAGE, "pad_token is not valid UTF-8");
    reserve(s);
    for (int32_t k = 0; k < GS_SPECIALS_BUILTIN; k++) set(s, builtin[k], strlen(builtin[k]), ranks + k, config == NULL);

    json_t *root = NULL;
    gs_status status = GS_OK;
    if (config) {
        root = gs_json_parse(config, n, path, 64, err);
        if (!root) status = err ? err->status : GS_ERR_FILE;
    }
    if (status == GS_OK) status = read_config(s, root, path, pad_token, err);
    json_decref(root);
    if (status == GS_OK && (!gs_specials_find(s, "[gMASK]", 7) || !gs_specials_find(s, "<sop>", 5)))
        status = gs_fail(err, GS_ERR_FILE,
                         "%s gives the ids of [gMASK] or <sop> to other tokens and these two no id: every "
                         "text starts with them",
                         path);
    if (status == GS_OK) status = make_matcher(s, err);
    if (status != GS_OK) {
        gs_specials_release(s);
        return status;
    }
    sort_ids(s);
    return GS_OK;
}

void gs_specials_release(gs_specials *s)
{
    for (int32_t i = 0; i < s->count; i++) gs_free(s->item[i].text);
    gs_free(s->item);
    gs_free(s->slot);
    gs_matcher_release(&s->matcher);
    gs_free(s->by_id);
    *s = (gs_specials){0};
}
