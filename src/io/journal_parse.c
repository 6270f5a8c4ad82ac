/* Frames of a journal: a head (mark, kind, length, checksum), data, checksum. A head is on the disk before the data behind it is written,
 * so what a power failure leaves of the last frame, whichever of its pages have arrived, is no longer than its head says, or than a
 * head. Within that a rest that cannot be read is torn; one that is longer is damage.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "io/digest.h"
#include "io/journal.h"

#define MARK "GSJ2" /* the last character is the version of the frames */

enum { LABEL_BYTES = 16, SUM_BYTES = 8, FRAME_BYTES = GS_JOURNAL_HEAD + SUM_BYTES };

uint64_t gs_journal_frame(gs_str *out, uint64_t chain, uint32_t kind, const void *data, size_t n)
{
    char label[LABEL_BYTES];
    const uint64_t length = n;
    memcpy(label, MARK, 4);
    memcpy(label + 4, &kind, 4);
    memcpy(label + 8, &length, 8);
    const uint64_t announced = gs_digest(chain, label, sizeof label), sum = gs_digest(announced, data, n);
    gs_str_add(out, label, sizeof label);
    gs_str_add(out, (const char *)&announced, sizeof announced);
    gs_str_add(out, data, n);
    gs_str_add(out, (const char *)&sum, sizeof sum);
    return sum;
}

typedef enum found { WHOLE, TORN, DAMAGED } found;

/* The frame at p, of which n > 0 bytes are there. */
static found look(const unsigned char *p, size_t n, uint64_t chain, gs_frame *f, uint64_t *sum)
{
    uint64_t length, announced;
    if (n < GS_JOURNAL_HEAD) return TORN;
    memcpy(&f->kind, p + 4, 4);
    memcpy(&length, p + 8, 8);
    memcpy(&announced, p + LABEL_BYTES, sizeof announced);
    if (memcmp(p, MARK, 4) != 0 || gs_digest(chain, p, LABEL_BYTES) != announced)
        return n == GS_JOURNAL_HEAD ? TORN : DAMAGED;
    if (n < FRAME_BYTES || length > n - FRAME_BYTES) return length > GS_JOURNAL_BYTES ? DAMAGED : TORN;
    f->data = p + GS_JOURNAL_HEAD;
    f->bytes = (size_t)length;
    memcpy(sum, f->data + f->bytes, sizeof *sum);
    if (gs_digest(announced, f->data, f->bytes) == *sum) return WHOLE;
    return f->bytes + FRAME_BYTES == n ? TORN : DAMAGED;
}

/* The frames of a program that is older or newer. */
static bool is_foreign(const unsigned char *p, size_t n)
{
    return n >= GS_JOURNAL_HEAD && memcmp(p, MARK, 3) == 0 && p[3] >= '1' && p[3] <= '9' &&
           p[3] != (unsigned char)MARK[3];
}

gs_status gs_journal_parse(const void *data, size_t n, gs_frames *out, gs_error *err)
{
    const unsigned char *p = data;
    *out = (gs_frames){0};
    if (is_foreign(p, n))
        return gs_fail(err, GS_ERR_UNSUPPORTED, "written by another version of glmslim, in frames of version %c", p[3]);
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
