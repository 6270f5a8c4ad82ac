/* Owns the words. SPDX-License-Identifier: Apache-2.0 */
#include "format/names.h"

#include <stdio.h>
#include <string.h>

static const char *const kv_tail[GS_KV_PARTS] = {".k_proj.kv_cache_scale", ".k_proj.kv_cache_offset",
                                                 ".v_proj.kv_cache_scale", ".v_proj.kv_cache_offset"};
static const char *const fa_tail[GS_FA_PARTS] = {".fa_q.scale",  ".fa_k.scale",  ".fa_v.scale",
                                                 ".fa_q.offset", ".fa_k.offset", ".fa_v.offset"};

char *gs_kv_name(const gs_family *f, int block, int part, bool defused, char *buf, size_t n)
{
    return defused ? gs_attention_name(f, block, kv_tail[part], buf, n)
                   : gs_linear_name(f, block, GS_QKV, kv_tail[part], buf, n);
}

char *gs_fa_name(const gs_family *f, int block, int part, char *buf, size_t n)
{
    return gs_attention_name(f, block, fa_tail[part], buf, n);
}

void gs_wrap_name(char *name, size_t n)
{
    static const char from[] = ".self_attention.", to[] = ".self_attn.";
    char *at = strstr(name, from);
    if (!at) return;
    char tail[GS_NAME_BYTES];
    snprintf(tail, sizeof tail, "%s", at + sizeof from - 1);
    snprintf(at, n - (size_t)(at - name), "%s%s", to, tail);
}
