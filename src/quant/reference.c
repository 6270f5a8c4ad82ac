/* See reference.h. Each block of k is a packed matrix of its own, so the kernel's chain per output is the block's chain.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/reference.h"

#include <string.h>

#include "kernels/elem.h"

/* Observed at every depth from 193 to 13696. */
static int64_t block_width(int64_t in)
{
    if (in <= GS_REFERENCE_KC) return in;
    return in < 2 * GS_REFERENCE_KC ? in / 2 : GS_REFERENCE_KC;
}

static int part_count(int64_t in) { return (int)((in + block_width(in) - 1) / block_width(in)); }

static int64_t part_width(const gs_reference_linear *r, int part)
{
    const int64_t left = r->in - part * r->block;
    return left < r->block ? left : r->block;
}

size_t gs_reference_bytes(int64_t out, int64_t in)
{
    const int n = part_count(in);
    const int64_t block = block_width(in);
    return (size_t)n * gs_packed_bytes(GS_PACK_F32, out, block) + (size_t)(GS_REFERENCE_ROWS * block) * sizeof(float);
}

gs_status gs_reference_init(gs_reference_linear *r, int64_t out, int64_t in, gs_error *err)
{
    *r = (gs_reference_linear){.out = out, .in = in, .n_parts = part_count(in)};
    r->block = block_width(in);
    r->part = gs_alloc_array((size_t)r->n_parts, sizeof *r->part);
    gs_status status =
        gs_buf_alloc(&r->gather, (size_t)(GS_REFERENCE_ROWS * r->block) * sizeof(float), "rows being packed", err);
    for (int i = 0; i < r->n_parts && status == GS_OK; i++)
        status = gs_packed_alloc(&r->part[i], GS_PACK_F32, out, part_width(r, i), "float32 weights of a linear", err);
    if (status != GS_OK) gs_reference_release(r);
    return status;
}

void gs_reference_release(gs_reference_linear *r)
{
    for (int i = 0; r->part && i < r->n_parts; i++) gs_packed_release(&r->part[i]);
    gs_free(r->part);
    gs_buf_release(&r->gather);
    *r = (gs_reference_linear){0};
}

void gs_reference_set_rows(gs_reference_linear *r, gs_compute *c, int64_t row0, int64_t rows, const float *w)
{
    float *gather = r->gather.data;
    for (int64_t row = 0; row < rows; row += GS_REFERENCE_ROWS) {
        const int64_t n = rows - row < GS_REFERENCE_ROWS ? rows - row : GS_REFERENCE_ROWS;
        for (int i = 0; i < r->n_parts; i++) {
            const int64_t width = part_width(r, i);
            for (int64_t k = 0; k < n; k++)
                memcpy(gather + k * width, w + (row + k) * r->in + i * r->block, (size_t)width * sizeof(float));
            gs_pack_rows(c, &r->part[i], row0 + row, n, gather);
        }
    }
}

gs_status gs_reference_apply(const gs_reference_linear *r, gs_compute *c, int64_t rows, const float *x,
                             const float *bias, float *y, gs_error *err)
{
    gs_buf sum = {0};
    const int64_t n = rows * r->out;
    if (r->n_parts > 1) GS_TRY(gs_buf_alloc(&sum, (size_t)n * sizeof(float), "block sums of a product", err));
    for (int i = 0; i < r->n_parts; i++) {
        gs_gemm_f32(c, &r->part[i], rows, x + i * r->block, r->in, i == 0 ? bias : NULL, i == 0 ? y : sum.data, r->out);
        if (i > 0) gs_add(c, n, y, sum.data);
    }
    gs_buf_release(&sum);
    return GS_OK;
}
