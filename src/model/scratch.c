/* One buffer for all intermediates of a block. Only qkv, context and the normed rows grow with the rows of a chunk;
 * the wide outputs of the MLP exist for one tile at a time, unless somebody asks for the complete input of 4H.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/scratch.h"

#include <string.h>

#define ALIGN_FLOATS 16 /* 64 bytes */

static size_t part(size_t *at, int64_t rows, int64_t cols)
{
    const size_t start = *at;
    *at += ((size_t)rows * (size_t)cols + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    return start;
}

gs_scratch_parts gs_scratch_cut(void *base, const gs_config *c, int64_t rows, bool whole_4h)
{
    const int64_t tile = rows < GS_LINEAR_ROWS ? rows : GS_LINEAR_ROWS;
    size_t at = 0;
    const size_t normed = part(&at, rows, c->hidden);
    const size_t y = part(&at, tile, c->hidden);
    size_t attention_end = at, mlp_end = at;
    const size_t qkv = part(&attention_end, rows, gs_config_qkv_width(c));
    const size_t context = part(&attention_end, rows, gs_config_attention_width(c));
    const size_t wide = part(&mlp_end, tile, 2 * c->ffn);
    const size_t gated = part(&mlp_end, whole_4h ? rows : tile, c->ffn);

    gs_scratch_parts p = {.bytes = (attention_end > mlp_end ? attention_end : mlp_end) * sizeof(float)};
    if (!base) return p;
    float *const f = base;
    p.normed = f + normed;
    p.y = f + y;
    p.qkv = f + qkv;
    p.context = f + context;
    p.wide = f + wide;
    p.gated = f + gated;
    return p;
}

size_t gs_scratch_bytes(const gs_config *c, int64_t rows, bool whole_4h)
{
    return gs_scratch_cut(NULL, c, rows, whole_4h).bytes;
}

gs_status gs_scratch_init(gs_scratch *s, const gs_config *c, int64_t rows, bool whole_4h, gs_error *err)
{
    memset(s, 0, sizeof *s);
    GS_TRY(gs_buf_alloc(&s->buf, gs_scratch_bytes(c, rows, whole_4h), "intermediate results of a block", err));
    s->rows = rows;
    s->whole_4h = whole_4h;
    return GS_OK;
}

void gs_scratch_release(gs_scratch *s)
{
    gs_buf_release(&s->buf);
    memset(s, 0, sizeof *s);
}
