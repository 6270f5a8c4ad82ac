/* tokenizer_config.json. What lies behind the first NUL byte, if there is one, is the pad token and after another NUL a
 * text to search. Accepted means: the two tokens that begin every text have ids, ids are found by number, and cuts lie in
 * the text. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "text/specials.h"

enum { RANKS = 300 };

static void check_specials(const gs_specials *s, const char *text, size_t n)
{
    GS_FUZZ_CHECK(gs_specials_find(s, "[gMASK]", 7) != NULL && gs_specials_find(s, "<sop>", 5) != NULL);
    for (int32_t i = 0; i < s->with_id; i++) {
        const gs_special *x = &s->item[s->by_id[i]];
        GS_FUZZ_CHECK(x->id >= RANKS);
        GS_FUZZ_CHECK(gs_specials_find(s, x->text, x->bytes) == x);
        GS_FUZZ_CHECK(gs_specials_by_id(s, x->id)->id == x->id);
    }
    gs_special_scan scan = {0};
    for (size_t from = 0, at = 0; from < n;) {
        const gs_special *x = gs_specials_next(s, &scan, text, n, from, &at);
        GS_FUZZ_CHECK(at >= from && at <= n);
        if (x == NULL) break;
        GS_FUZZ_CHECK(x->bytes > 0 && x->bytes <= n - at && memcmp(text + at, x->text, x->bytes) == 0);
        from = at + x->bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_error err;
    gs_specials s;
    const uint8_t *end = n > 0 ? memchr(data, 0, n) : NULL;
    const size_t config_n = end != NULL ? (size_t)(end - data) : n;
    const size_t rest_n = end != NULL ? n - config_n - 1 : 0;
    char *config = gs_fuzz_copy(data, config_n);
    char *rest = gs_fuzz_copy(end != NULL ? end + 1 : data, rest_n);
    char *pad = end != NULL ? gs_strndup(rest, rest_n) : NULL;
    const size_t pad_n = pad != NULL ? strlen(pad) : 0;
    const size_t skip = pad_n < rest_n ? pad_n + 1 : rest_n;
    const gs_status status =
        gs_specials_init(&s, RANKS, config, config_n, "tokenizer_config.json", pad_n > 0 ? pad : NULL, &err);
    gs_fuzz_outcome(status, &err);
    if (status == GS_OK) {
        check_specials(&s, rest + skip, rest_n - skip);
        gs_specials_release(&s);
    }
    gs_free(pad);
    gs_free(rest);
    gs_free(config);
    return 0;
}
