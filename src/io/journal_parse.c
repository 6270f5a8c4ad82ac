/* Frames of a journal: mark, kind, length, data, checksum. Only the last frame can be torn: writing it may have reached any of its
 * pages. So an incomplete or wrong frame is torn if nothing follows it, and damage if something does. Where even its length cannot
 * be believed, it is torn if the pages of the rest are empty. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "io/digest.h"
#include "io/journal.h"

#define MARK "GSJ1"

enum { HEAD_BYTES = 16, FRAME_BYTES = HEAD_BYTES + 8 };

static uint64_t checksum(uint64_t chain, const void *head, const void *data, size_t n)
{
    return gs_digest(gs_digest(chain, head, HEAD_BYTES), data, n);
}

uint64_t gs_journal_frame(gs_str *out, uint64_t chain, uint32_t kind, const void *data, size_t n)
{
    char head[HEAD_BYTES];
    const uint64_t length = n;
    memcpy(head, MARK, 4);
    memcpy(head + 4, &kind, 4);
    memcpy(head + 8, &length, 8);
    const uint64_t sum = checksum(chain, head, data, n);
    gs_str_add(out, head, sizeof head);
    gs_str_add(out, data, n);
    gs_str_add(out, (const char *)&sum, sizeof sum);
    return sum;
}

static bool all_zero(const unsigned char *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] == 0) i++;
    return i == n;
}

typedef enum found { WHOLE, TORN, DAMAGED } found;

/* The frame at p, of which n > 0 bytes are there. */
static found look(const unsigned char *p, size_t n, uint64_t chain, gs_frame *f, uint64_t *sum)
{
    uint64_t length;
    if (n < FRAME_BYTES) return TORN;
    if (memcmp(p, MARK, 4) != 0) return all_zero(p, n) ? TORN : DAMAGED;
    memcpy(&f->kind, p + 4, 4);
    memcpy(&length, p + 8, 8);
    if (length > n - FRAME_BYTES) return length > GS_JOURNAL_BYTES ? DAMAGED : TORN;
    f->data = p + HEAD_BYTES;
    f->bytes = (size_t)length;
    memcpy(sum, f->data + f->bytes, sizeof *sum);
    if (checksum(chain, p, f->data, f->bytes) == *sum) return WHOLE;
    return f->bytes + FRAME_BYTES == n ? TORN : DAMAGED;
}

gs_status gs_journal_parse(const void *data, size_t n, gs_frames *out, gs_error *err)
{
    const unsigned char *p = data;
    *out = (gs_frames){0};
    while (out->whole < n) {
        gs_frame frame;
        uint64_t sum;
        const found what = look(p + out->whole, n - out->whole, out->chain, &frame, &sum);
        if (what == TORN) break;
        if (what == DAMAGED) {
            gs_fail(err, GS_ERR_FILE, "damaged at byte %zu, after %d whole records", out->whole, out->n);
            gs_frames_release(out);
            return GS_ERR_FILE;
        }
        out->frame = gs_realloc_array(out->frame, (size_t)out->n + 1, sizeof *out->frame);
        out->frame[out->n++] = frame;
        out->whole += frame.bytes + FRAME_BYTES;
        out->chain = sum;
    }
    return GS_OK;
}

void gs_frames_release(gs_frames *f)
{
    gs_free(f->frame);
    *f = (gs_frames){0};
}
