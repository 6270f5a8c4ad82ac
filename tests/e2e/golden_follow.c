/* Tensors of a golden case that are not stored, because they follow from stored ones and the model: most codes, which are the
 * model's weight on the grid of the case's own scales, and the full scale_bias of two-stage int4. That they do, bit for bit, was
 * checked when the cases were stored. These rules are written for the tests and share nothing with the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden_case.h"
#include "num/num.h"

/* "<layer>.weight" without the last part; in the arena */
static char *layer_of(const golden *g, const golden_tensor *t)
{
    char *layer = gs_arena_strdup(g->arena, t->name);
    char *dot = strrchr(layer, '.');
    if (dot != NULL) *dot = '\0';
    return layer;
}

static float f32_at(const golden_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, t->data + 4 * i, sizeof v);
    return v;
}

static const golden_tensor *stored_part(const golden_set *set, const char *layer, const char *part)
{
    const golden_tensor *t = golden_find_part(set, layer, part);
    return t != NULL && t->data != NULL ? t : NULL;
}

/* Two int4 to a byte, the first in the lower half: neighbours of a row, or of a column where the rows are halved. */
static void pack(int8_t *dst, const int8_t *codes, int64_t rows, int64_t cols, bool along_rows)
{
    const int64_t step = along_rows ? cols : 1;
    for (int64_t i = 0; i < rows * cols / 2; i++) {
        const int64_t first = along_rows ? i / cols * 2 * cols + i % cols : 2 * i;
        dst[i] = (int8_t)((codes[first] & 15) | (codes[first + step] & 15) << 4);
    }
}

static void unpack(int8_t *dst, const int8_t *packed, int64_t rows, int64_t cols, bool along_rows)
{
    const int64_t step = along_rows ? cols : 1;
    for (int64_t i = 0; i < rows * cols / 2; i++) {
        const int64_t first = along_rows ? i / cols * 2 * cols + i % cols : 2 * i;
        const int low = packed[i] & 15, high = packed[i] >> 4 & 15;
        dst[first] = (int8_t)(low > 7 ? low - 16 : low);
        dst[first + step] = (int8_t)(high > 7 ? high - 16 : high);
    }
}

/* round(weight / scale + offset), clamped to lo..hi */
static gs_status follow_codes(golden *g, const golden_set *set, golden_tensor *t, int lo, int hi, gs_error *err)
{
    const gs_tensor *m = gs_checkpoint_find(&g->checkpoint, t->name);
    const char *layer = layer_of(g, t);
    const golden_tensor *scale = stored_part(set, layer, "weight_scale"),
                        *offset = stored_part(set, layer, "weight_offset");
    const bool packed = m != NULL && t->elements * 2 == m->elements;
    if (m == NULL || m->rank != 2 || t->dtype != GS_I8 || !(packed || t->elements == m->elements) || scale == NULL ||
        offset == NULL || scale->elements != offset->elements || scale->elements == 0)
        return gs_fail(err, GS_ERR_FILE, "%s: %s does not follow from scales", g->dir, t->name);
    const int64_t n = m->elements, group = n / scale->elements; /* scales lie in the order of the weight */
    float *w = gs_arena_alloc(g->arena, (size_t)n * sizeof *w);
    GS_TRY(gs_checkpoint_read_f32(&g->checkpoint, m, w, err));
    int8_t *codes = gs_arena_alloc(g->arena, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const float on_grid = w[i] / f32_at(scale, i / group);
        const float rounded = rintf(on_grid + f32_at(offset, i / group));
        codes[i] = (int8_t)fminf(fmaxf(rounded, (float)lo), (float)hi);
    }
    t->data = (const unsigned char *)codes;
    if (!packed) return GS_OK;
    int8_t *bytes = gs_arena_alloc(g->arena, t->bytes);
    pack(bytes, codes, m->shape[0], m->shape[1], t->shape[0] != m->shape[0]);
    t->data = (const unsigned char *)bytes;
    return GS_OK;
}

static float as_bf16(float v) { return gs_bf16_to_f32(gs_f32_to_bf16(v)); }

/* code * second scale * first scale, the scales as bfloat16 */
static gs_status follow_product(golden *g, const golden_set *set, golden_tensor *t, gs_error *err)
{
    const char *layer = layer_of(g, t);
    const golden_tensor *packed = stored_part(set, layer, "weight"), *first = stored_part(set, layer, "weight_scale"),
                        *second = stored_part(set, layer, "weight_scale_second");
    if (packed == NULL || first == NULL || second == NULL || t->dtype != GS_F32 || t->rank != 2 ||
        packed->elements * 2 != t->elements || first->elements != t->shape[0] || second->elements == 0)
        return gs_fail(err, GS_ERR_FILE, "%s: %s does not follow from codes and scales", g->dir, t->name);
    const int64_t n = t->elements, group = n / second->elements;
    int8_t *codes = gs_arena_alloc(g->arena, (size_t)n);
    unpack(codes, (const int8_t *)packed->data, t->shape[0], t->shape[1], packed->shape[0] != t->shape[0]);
    float *values = gs_arena_alloc(g->arena, t->bytes);
    for (int64_t i = 0; i < n; i++) {
        const float in_group = (float)codes[i] * as_bf16(f32_at(second, i / group));
        values[i] = in_group * as_bf16(f32_at(first, i / t->shape[1]));
    }
    t->data = (const unsigned char *)values;
    return GS_OK;
}

bool golden_follows(const char *how) { return strncmp(how, "codes", 5) == 0 || strcmp(how, "product") == 0; }

gs_status golden_follow(golden *g, golden_set *set, golden_tensor *t, const char *how, gs_error *err)
{
    int lo = 0, hi = 0;
    if (strcmp(how, "product") == 0) return follow_product(g, set, t, err);
    if (sscanf(how, "codes%d..%d", &lo, &hi) != 2)
        return gs_fail(err, GS_ERR_FILE, "%s: %s: unusable word '%s'", g->dir, t->name, how);
    return follow_codes(g, set, t, lo, hi, err);
}
