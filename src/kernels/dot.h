/* Dot products in the orders that the matrix library of the reference takes for a few rows. Products are rounded before they are
 * added. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_KERNELS_DOT_H
#define GS_KERNELS_DOT_H

#include <stdint.h>

/* Sums side by side. The first `head` products come one after the other in the first sum, those from `tail` on after all. */
static inline float gs_dot_in_lanes(const float *a, const float *b, int64_t head, int64_t tail, int64_t n, int lanes)
{
    float sum[8] = {0};
    for (int64_t i = 0; i < head; i++) sum[0] += a[i] * b[i];
    for (int64_t i = head; i < tail; i += lanes)
        for (int l = 0; l < lanes; l++) sum[l] += a[i + l] * b[i + l];
    for (int l = 4; l < lanes; l++) sum[l - 4] += sum[l];
    float total = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    for (int64_t i = tail; i < n; i++) total += a[i] * b[i];
    return total;
}

/* Two or three vectors against many rows: 4 sums; 8 for the rows left over from groups of four. n is a multiple of 8. */
static inline float gs_dot_of_few(const float *a, const float *b, int64_t n, int64_t row, int64_t rows)
{
    return gs_dot_in_lanes(a, b, 0, n, n, row < rows / 4 * 4 ? 4 : 8);
}

/* One vector: four products are taken off first; the second of the rows left over has 4 sums like the groups, but the tail of
 * the others. */
static inline float gs_dot_of_one(const float *a, const float *b, int64_t n, int64_t row, int64_t rows)
{
    const int64_t left = row - rows / 4 * 4;
    if (left < 0) return gs_dot_in_lanes(a, b, 4, n, n, 4);
    return gs_dot_in_lanes(a, b, 4, n - 4, n, left == 1 ? 4 : 8);
}

#endif
