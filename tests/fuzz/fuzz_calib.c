/* Calibration texts: a JSON array, JSON lines or plain text, under both rules for keys. Accepted means: every text is valid
 * UTF-8 that can be cut into pieces. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "text/presplit.h"
#include "text/texts_parse.h"

static void check_text(const char *text, size_t n)
{
    GS_FUZZ_CHECK(gs_utf8_valid(text, n) == n);
    for (size_t at = 0; at < n;) {
        const size_t end = gs_presplit_next(text, n, at);
        GS_FUZZ_CHECK(end > at && end <= n);
        at = end;
    }
}

static void run(const uint8_t *data, size_t n, gs_text_keys keys)
{
    gs_error err;
    gs_texts texts = {0};
    char *copy = gs_fuzz_copy(data, n);
    const gs_status status = gs_texts_parse(&texts, copy, n, "calib.json", keys, &err);
    gs_fuzz_outcome(status, &err);
    gs_free(copy);
    for (int64_t i = 0; status == GS_OK && i < texts.count; i++) check_text(texts.text[i], texts.bytes[i]);
    gs_texts_release(&texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    run(data, n, GS_KEYS_ALL);
    run(data, n, GS_KEYS_PROMPT_ONLY);
    return 0;
}
