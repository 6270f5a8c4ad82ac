/* Element types by name and size. SPDX-License-Identifier: Apache-2.0 */
#include "num/dtype.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[GS_DTYPE_COUNT] = {
    [GS_U64] = {"U64", 8}, [GS_I64] = {"I64", 8}, [GS_F64] = {"F64", 8},         [GS_F32] = {"F32", 4},
    [GS_U32] = {"U32", 4}, [GS_I32] = {"I32", 4}, [GS_BF16] = {"BF16", 2},       [GS_F16] = {"F16", 2},
    [GS_U16] = {"U16", 2}, [GS_I16] = {"I16", 2}, [GS_F8_E4M3] = {"F8_E4M3", 1}, [GS_F8_E5M2] = {"F8_E5M2", 1},
    [GS_I8] = {"I8", 1},   [GS_U8] = {"U8", 1},   [GS_BOOL] = {"BOOL", 1},
};

const char *gs_dtype_name(gs_dtype t)
{
    assert((unsigned)t < GS_DTYPE_COUNT);
    return types[t].name;
}

size_t gs_dtype_bytes(gs_dtype t)
{
    assert((unsigned)t < GS_DTYPE_COUNT);
    return types[t].bytes;
}

bool gs_dtype_find(const char *name, size_t n, gs_dtype *out)
{
    for (int t = 0; t < GS_DTYPE_COUNT; t++) {
        if (strlen(types[t].name) != n || memcmp(types[t].name, name, n) != 0) continue;
        *out = (gs_dtype)t;
        return true;
    }
    return false;
}

bool gs_dtype_is_float(gs_dtype t) { return t == GS_BF16 || t == GS_F16 || t == GS_F32; }
