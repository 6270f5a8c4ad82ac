/* Owns what rows of several kinds of rule share: ranges, grids and plain codes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/elem.h"
#include "quant/rule_row.h"

void gs_row_range(const float *w, int64_t n, float *lo, float *hi)
{
    float least[GS_ROW_BLOCK], most[GS_ROW_BLOCK];
    for (int j = 0; j < GS_ROW_BLOCK; j++) least[j] = most[j] = w[0];
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK) {
        for (int j = 0; j < GS_ROW_BLOCK; j++) {
            const float v = w[i + j];
            least[j] = v < least[j] ? v : least[j];
            most[j] = v > most[j] ? v : most[j];
        }
    }
    for (; i < n; i++) {
        least[0] = w[i] < least[0] ? w[i] : least[0];
        most[0] = w[i] > most[0] ? w[i] : most[0];
    }
    for (int j = 1; j < GS_ROW_BLOCK; j++) {
        least[0] = least[j] < least[0] ? least[j] : least[0];
        most[0] = most[j] > most[0] ? most[j] : most[0];
    }
    *lo = least[0];
    *hi = most[0];
}

float gs_row_peak(const float *w, int64_t n)
{
    float lane[GS_ROW_BLOCK] = {0};
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK) {
        for (int j = 0; j < GS_ROW_BLOCK; j++) {
            const float a = fabsf(w[i + j]);
            lane[j] = a > lane[j] ? a : lane[j];
        }
    }
    for (; i < n; i++) lane[0] = fabsf(w[i]) > lane[0] ? fabsf(w[i]) : lane[0];
    for (int j = 1; j < GS_ROW_BLOCK; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    return lane[0];
}

void gs_row_body(const float *w, int64_t n, float threshold, float *lo, float *hi, float *peak)
{
    float least[GS_ROW_BLOCK], most[GS_ROW_BLOCK], largest[GS_ROW_BLOCK] = {0};
    const float first = fabsf(w[0]) > threshold ? 0.0f : w[0];
    for (int j = 0; j < GS_ROW_BLOCK; j++) least[j] = most[j] = first;
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK) {
        for (int j = 0; j < GS_ROW_BLOCK; j++) {
            const float a = fabsf(w[i + j]), v = a > threshold ? 0.0f : w[i + j];
            largest[j] = a > largest[j] ? a : largest[j];
            least[j] = v < least[j] ? v : least[j];
            most[j] = v > most[j] ? v : most[j];
        }
    }
    for (; i < n; i++) {
        const float a = fabsf(w[i]), v = a > threshold ? 0.0f : w[i];
        largest[0] = a > largest[0] ? a : largest[0];
        least[0] = v < least[0] ? v : least[0];
        most[0] = v > most[0] ? v : most[0];
    }
    for (int j = 1; j < GS_ROW_BLOCK; j++) {
        largest[0] = largest[j] > largest[0] ? largest[j] : largest[0];
        least[0] = least[j] < least[0] ? least[j] : least[0];
        most[0] = most[j] > most[0] ? most[j] : most[0];
    }
    *lo = least[0];
    *hi = most[0];
    *peak = largest[0];
}

gs_grid gs_grid_sym(float peak, int bits, float least)
{
    const float most = (float)((1 << (bits - 1)) - 1);
    const float scale = peak / most;
    return (gs_grid){gs_scale_guard(scale > least ? scale : least), 0.0f, -most - 1.0f, most};
}

gs_grid gs_grid_asym(float lo, float hi, int bits, float least)
{
    const float half = (float)(1 << (bits - 1)), steps = (float)((1 << bits) - 1);
    if (lo == hi) {
        lo = lo < 0.0f ? lo : 0.0f;
        hi = hi > 0.0f ? hi : 0.0f;
    }
    float scale = (hi - lo) / steps;
    if (isinf(scale)) scale = hi / steps - lo / steps;
    scale = gs_scale_guard(scale > least ? scale : least);
    return (gs_grid){scale, gs_rint(-lo / scale) - half, -half, half - 1.0f};
}

int32_t gs_row_code_sum(const int8_t *codes, int64_t n)
{
    int32_t lane[GS_ROW_BLOCK] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + GS_ROW_BLOCK <= n; i += GS_ROW_BLOCK)
        for (int j = 0; j < GS_ROW_BLOCK; j++) lane[j] += codes[i + j];
    for (int j = 0; j < GS_ROW_BLOCK; j++) sum += lane[j];
    for (; i < n; i++) sum += codes[i];
    return sum;
}

void gs_row_encode(const gs_compute *c, const float *w, int64_t n, gs_grid grid, int8_t *codes, float *forward)
{
    gs_clamped_codes(c, n, w, grid.scale, grid.offset, grid.low, grid.high, codes);
    if (!forward) return;
    for (int64_t i = 0; i < n; i++) forward[i] = ((float)codes[i] - grid.offset) * grid.scale;
}
