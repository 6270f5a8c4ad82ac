/* Owns the two-stage weight: int8 codes q8 in [-119, 119] by row, then per group a whole factor s2 and int4 codes q8/s2. 119 = 7·17:
 * seven steps of the largest factor. Also the same multiplied out to int8, and the bias that engines add because they unpack int4
 * codes with 8 on top. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "quant/rule_row.h"

#define STAGE_PEAK 119.0f

static float group_factor(const int8_t *q8, int64_t n)
{
    int16_t lane[GS_ROW_BLOCK] = {0}, most = 0;
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK) {
        for (int j = 0; j < GS_ROW_BLOCK; j++) {
            const int16_t a = (int16_t)(q8[i + j] < 0 ? -q8[i + j] : q8[i + j]);
            lane[j] = a > lane[j] ? a : lane[j];
        }
    }
    for (; i < n; i++) lane[0] = (int16_t)(abs(q8[i]) > lane[0] ? abs(q8[i]) : lane[0]);
    for (int j = 0; j < GS_ROW_BLOCK; j++) most = lane[j] > most ? lane[j] : most;
    const float factor = (float)most / 7.0f;
    return gs_row_rint(factor > 1.0f ? factor : 1.0f);
}

static inline int8_t stage_code(int8_t q8, float factor, float low, float times)
{
    return (int8_t)(int32_t)(gs_row_clamp(gs_row_rint((float)q8 / factor), low, 7.0f) * times);
}

/* q8 becomes int4 in place, or that times `times`. */
static void group_codes(int8_t *codes, int64_t n, float factor, float low, float times)
{
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK) {
        int8_t block[GS_ROW_BLOCK];
        for (int j = 0; j < GS_ROW_BLOCK; j++) block[j] = stage_code(codes[i + j], factor, low, times);
        memcpy(codes + i, block, sizeof block);
    }
    for (; i < n; i++) codes[i] = stage_code(codes[i], factor, low, times);
}

void gs_row_stages(const gs_weight_rule *rule, const gs_row *row)
{
    const bool merged = rule->kind == GS_WEIGHT_MERGED;
    const float scale = gs_scale_guard(gs_row_peak(row->w, row->in) / STAGE_PEAK);
    gs_row_encode(row->c, row->w, row->in, (gs_grid){scale, 0.0f, -STAGE_PEAK, STAGE_PEAK}, row->codes, NULL);
    row->scale[0] = scale;
    if (row->offset) row->offset[0] = 0.0f;
    const int64_t g = rule->group_size;
    for (int64_t k = 0; k < row->in / g; k++) {
        int8_t *codes = row->codes + k * g;
        const float factor = group_factor(codes, g);
        group_codes(codes, g, factor, merged ? -7.0f : -8.0f, merged ? factor : 1.0f);
        if (row->second) row->second[k] = factor;
        if (!row->forward) continue;
        const float step = merged ? scale : factor * scale;
        float *forward = row->forward + k * g;
        for (int64_t i = 0; i < g; i++) forward[i] = rule->forward_is_w ? row->w[k * g + i] : (float)codes[i] * step;
    }
}

/* Codes and factors are small whole numbers and the scale has 8 bits: every product is exact, and a part's sum is rounded once. */
void gs_row_scale_bias(const gs_weight_rule *rule, const gs_row *row, int64_t columns, float *to)
{
    const int64_t g = rule->group_size, part = row->in / columns;
    const float scale = gs_bf16_to_f32(gs_f32_to_bf16(row->scale[0]));
    for (int64_t c = 0; c < columns; c++) {
        const int64_t end = (c + 1) * part;
        int64_t sum = 0;
        for (int64_t i = c * part; i < end;) { /* up to the end of a group or of the part */
            const int64_t k = i / g, stop = (k + 1) * g < end ? (k + 1) * g : end;
            sum += (int64_t)gs_row_code_sum(row->codes + i, stop - i) * (int64_t)row->second[k];
            i = stop;
        }
        to[c] = columns == row->in ? (float)sum * scale : (float)(8.0 * (double)sum * (double)scale);
    }
}
