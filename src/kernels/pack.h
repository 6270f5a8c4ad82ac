/* Where things are inside a gs_packed buffer. Weight rows are taken in groups of 64 (the last filled up with zeros); a group
 * holds its k blocks one after another, a block its four panels of 16 rows, a panel its k steps of 16 values (16 pairs of
 * neighbouring k for bf16, 16 quads for s8), so that one vector load gives 16 output columns. k is padded with zeros to a
 * multiple of 2 (4 for s8). Groups are independent: they can be packed in any order. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_PACK_H
#define GS_KERNELS_PACK_H

#include "kernels/table.h"

static inline int64_t gs_pack_k_padded(gs_pack_kind kind, int64_t k)
{
    return kind == GS_PACK_S8 ? (k + 3) / 4 * 4 : (k + 1) / 2 * 2;
}

static inline size_t gs_pack_element_bytes(gs_pack_kind kind)
{
    return kind == GS_PACK_F32 ? 4 : kind == GS_PACK_BF16 ? 2 : 1;
}

/* Byte offset of the block that starts at k0 (a multiple of GS_GEMM_KC) in a group. */
static inline size_t gs_pack_block_offset(const gs_packed *p, int64_t group, int64_t k0)
{
    const size_t k_padded = (size_t)gs_pack_k_padded(p->kind, p->k);
    return ((size_t)group * k_padded + (size_t)k0) * GS_GROUP_COLS * gs_pack_element_bytes(p->kind);
}

#endif
