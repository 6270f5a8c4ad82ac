/* Owns rows without outliers: one scale per row, per matrix or per group of a row. The plain class lets the range reach 0 and keeps
 * symmetric codes off the lowest one; the low-bit class takes the range as it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "quant/rule_row.h"

static void channel_range(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row, float *lo,
                          float *hi)
{
    if (rule->mm_tensor) {
        *lo = stats->lo;
        *hi = stats->hi;
    } else {
        gs_row_range(row->w, row->in, lo, hi);
    }
    if (rule->kind != GS_WEIGHT_NORMAL) return;
    *lo = *lo < 0.0f ? *lo : 0.0f;
    *hi = *hi > 0.0f ? *hi : 0.0f;
}

void gs_row_channel(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row)
{
    const bool normal = rule->kind == GS_WEIGHT_NORMAL;
    const float least = normal ? GS_EPS : 0.0f;
    float lo, hi;
    channel_range(rule, stats, row, &lo, &hi);
    gs_grid grid;
    if (rule->sym) {
        grid = gs_grid_sym(-lo > hi ? -lo : hi, rule->bits, least);
        if (normal) grid.low = -grid.high;
    } else {
        grid = gs_grid_asym(lo, hi, rule->bits, least);
    }
    row->scale[0] = grid.scale;
    if (row->offset) row->offset[0] = grid.offset;
    gs_row_encode(row->c, row->w, row->in, grid, row->codes, row->forward);
}

void gs_row_group(const gs_weight_rule *rule, const gs_row *row)
{
    const int64_t g = rule->group_size;
    for (int64_t k = 0; k < row->in / g; k++) {
        const float *w = row->w + k * g;
        gs_grid grid;
        if (rule->sym) {
            grid = gs_grid_sym(gs_row_peak(w, g), rule->bits, 0.0f);
        } else {
            float lo, hi;
            gs_row_range(w, g, &lo, &hi);
            grid = gs_grid_asym(lo, hi, rule->bits, 0.0f);
        }
        row->scale[k] = grid.scale;
        if (row->offset) row->offset[k] = grid.offset;
        gs_row_encode(row->c, w, g, grid, row->codes + k * g, row->forward ? row->forward + k * g : NULL);
    }
}
