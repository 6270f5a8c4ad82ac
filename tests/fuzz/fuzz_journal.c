/* The journal of a run: any bytes are frames, a torn end, or an error; what was accepted is written again the same way.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"
#include "io/journal.h"

static void check_frames(const char *data, size_t n, const gs_frames *f)
{
    gs_str again;
    gs_str_init(&again);
    uint64_t chain = 0;
    GS_FUZZ_CHECK(f->whole <= n);
    for (int i = 0; i < f->n; i++) {
        const gs_frame *x = &f->frame[i];
        const unsigned char *end = (const unsigned char *)data + f->whole;
        GS_FUZZ_CHECK(x->bytes == 0 || (x->data >= (const unsigned char *)data && x->data <= end));
        GS_FUZZ_CHECK(x->bytes == 0 || x->bytes <= (size_t)(end - x->data));
        chain = gs_journal_frame(&again, chain, x->kind, x->data, x->bytes);
    }
    GS_FUZZ_CHECK(again.len == f->whole && memcmp(again.data, data, f->whole) == 0);
    GS_FUZZ_CHECK(f->n == 0 || chain == f->chain);
    gs_str_release(&again);
}

/* Checksums keep mutations out of what lies behind the first frame, so the input also says what frames to write: each a byte of
 * length and its data. Cut anywhere, such a journal is the frames before the cut. */
static void write_and_cut(const uint8_t *data, size_t n)
{
    gs_str all;
    gs_error err;
    gs_frames f;
    gs_str_init(&all);
    uint64_t chain = 0;
    int whole = 0;
    const size_t cut = (size_t)data[0] << 8 | data[1];
    for (size_t at = 2; at < n;) {
        const size_t room = n - at - 1, length = data[at] < room ? data[at] : room;
        chain = gs_journal_frame(&all, chain, data[at], data + at + 1, length);
        if (all.len <= cut) whole++;
        at += 1 + length;
    }
    const size_t left = cut < all.len ? cut : all.len;
    char *copy = gs_fuzz_copy((const uint8_t *)all.data, left);
    GS_FUZZ_CHECK(gs_journal_parse(copy, left, &f, &err) == GS_OK);
    GS_FUZZ_CHECK(f.n == whole);
    check_frames(copy, left, &f);
    gs_frames_release(&f);
    gs_free(copy);
    gs_str_release(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    gs_error err;
    gs_frames f;
    char *copy = gs_fuzz_copy(data, n);
    const gs_status status = gs_journal_parse(copy, n, &f, &err);
    gs_fuzz_outcome(status, &err);
    if (status == GS_OK) {
        check_frames(copy, n, &f);
        gs_frames_release(&f);
    }
    gs_free(copy);
    if (n > 2) write_and_cut(data, n);
    return 0;
}
