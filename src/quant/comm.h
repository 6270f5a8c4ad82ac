/* Communication quantization of a row-parallel linear: what the cards add up is int8 per output channel, once before the sum
 * (reduce) and once after it (gather). For one sample with partial outputs y_r[t, c]:
 *     m_r[c] = max_t |y_r[t, c]|, or its maximum over ranks where they share one scale
 *     y[t, c] = sum of q(y_r[t, c], m_r[c]) in rank order;   g[c] = max_t |y[t, c]|;   output = q(y[t, c], g[c])
 *     q(v, m) = clamp(round(v / (m/127)), -127, 127)·(m/127); 0 where m/127 is 0, which the reference divides by
 * A sample is computed with its own maxima; what is saved are the maxima over all samples.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_COMM_H
#define GS_QUANT_COMM_H

#include "kernels/elem.h"

#define GS_COMM_KEEP (64u << 20) /* bytes of partial outputs that are kept instead of being computed twice */

typedef struct gs_comm {
    int ranks, n_scales; /* n_scales: ranks, or 1 where they share a scale; 0 = not in use */
    int64_t out;
    float *peak;         /* [n_scales + 1, out] maxima over samples; the last row is of the gather */
    float *low, *high;   /* [n_scales + 1, out] of the sample at hand */
    float *reduce_scale; /* [n_scales, out] of the sample at hand */
    float *gather_scale; /* [out] */
} gs_comm;

void gs_comm_init(gs_comm *m, int ranks, bool per_rank, int64_t out);
void gs_comm_release(gs_comm *m); /* accepts an all-zero struct */

/* Rows row0 .. row0 + rows of rank's partial output, y: [rows, out]. */
typedef gs_status (*gs_partial_fn)(void *ctx, int rank, int64_t row0, int64_t rows, float *y, gs_error *err);

/* Bytes of `work` below for samples of at most `rows` rows. */
size_t gs_comm_work_bytes(int ranks, int64_t out, int64_t rows);
/* One sample: y[rows, out] is what every card holds after the exchange. Partial outputs that do not fit into `work` are asked for
 * a second time. */
gs_status gs_comm_sample(gs_comm *m, gs_compute *c, int64_t rows, gs_partial_fn partial, void *ctx, const gs_buf *work,
                         float *y, gs_error *err) GS_CHECKED;
/* One card, which sends nothing: only the maxima of its output count, for both scales. */
void gs_comm_add(gs_comm *m, gs_compute *c, int64_t rows, const float *y);

/* Maximum over samples / 127; a channel that was always 0 gets GS_EPS. scale: [out]; index: < n_scales. */
void gs_comm_reduce_scale(const gs_comm *m, int index, float *scale);
void gs_comm_gather_scale(const gs_comm *m, float *scale);

#endif
