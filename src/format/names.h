/* Names of tensors that only results have: key/value cache, quantized attention, slices of simulated cards, and the attention as
 * the reference's do_smooth calls it. Writer (manifest.c) and reader (quantdir.c) both take them from here.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_NAMES_H
#define GS_FORMAT_NAMES_H

#include "model/family.h"

enum { GS_KV_K_SCALE, GS_KV_K_OFFSET, GS_KV_V_SCALE, GS_KV_V_OFFSET, GS_KV_PARTS };
enum { GS_FA_PARTS = 6 }; /* scales of q, k, v, then offsets of q, k, v */

#define GS_NAME_BYTES 640

/* The module the cache's tensors hang on: QKV itself as the reference writes them, or (defused) the attention, where vllm-ascend
 * looks for them. */
char *gs_kv_name(const gs_family *f, int block, int part, bool defused, char *buf, size_t n);
char *gs_fa_name(const gs_family *f, int block, int part, char *buf, size_t n);
/* "….self_attention.…" becomes "….self_attn.…" in place; other names stay. */
void gs_wrap_name(char *name, size_t n);

/* Behind a linear's name: card r of a simulated tensor-parallel run, and the scales of its communication. */
#define GS_TP_RANK      ".tp_list.%d"
#define GS_GATHER_SCALE ".gather_scale"
#define GS_REDUCE_SCALE ".reduce_scale"
#define GS_TP_RANKS_MAX 16

#endif
