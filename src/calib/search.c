/* Owns the range search of the histogram observer. The error of a candidate range is a sum of 2048 float32 terms whose
 * rounding decides where the search stops, so every term is computed as PyTorch 1.13 does; what is saved is bins that
 * are empty (their terms are zero) and the remainder-based floor division, replaced by an equal and vectorizable form.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "calib/histogram.h"

#define BINS  GS_HIST_BINS
#define BLOCK 16 /* bins are padded to this: constant trip counts let compilers vectorize at -O2 */
#define STEP  1e-5

typedef struct search {
    double bin_width;
    float cumulative[BINS];
    int count;           /* occupied bins, padded to a multiple of BLOCK */
    int32_t index[BINS]; /* their numbers, ascending; padding repeats the last */
    float density[BINS];
    float term[BINS]; /* of all bins, zero where empty */
} search;

/* torch.sum of 2048 float32 on 8 lanes: 4 interleaved rows, the running sum folded every 16 rows. */
static float cascade_sum(const float *x)
{
    float lane[32] = {0};
    for (int block = 0; block < BINS; block += 512) {
        float run[32] = {0};
        for (int i = 0; i < 512; i += 32) {
            for (int j = 0; j < 32; j++) run[j] += x[block + i + j];
        }
        for (int j = 0; j < 32; j++) lane[j] += run[j];
    }
    float sum = 0.0f;
    for (int j = 0; j < 8; j++) sum += ((lane[j] + lane[j + 8]) + lane[j + 16]) + lane[j + 24];
    return sum;
}

/* clamp(floor(a/b), 0, 255) of the exact quotient; slope = (1/b)·(1 + 2^-40) in double. A float32 quotient below 256
 * that is not an integer k stays below k by more than k·2^-33, and one that is an integer is lifted just above it. */
static inline float level_of(float a, double slope)
{
    double q = (double)a * slope;
    q = q > 0.0 ? q : 0.0;
    q = q < 255.0 ? q : 255.0;
    return (float)(int32_t)q;
}

typedef struct candidate {
    double slope;
    float bin_width, level_width, half, half3, whole;
    int start;
} candidate;

static inline float term_of(const candidate *k, int32_t index, float density)
{
    const float begin = (float)(index - k->start) * k->bin_width;
    const float end = begin + k->bin_width;
    const float level_begin = level_of(begin, k->slope);
    const float level_end = level_of(end, k->slope);
    const float from = begin - (level_begin + 0.5f) * k->level_width;
    const float to = end - (level_end * k->level_width + k->half);
    float norm = density * ((k->half3 - from * from * from) / 3.0f);
    norm += (level_end - level_begin - 1.0f) * (density * k->whole);
    norm += density * ((to * to * to + k->half3) / 3.0f);
    return norm;
}

static float candidate_error(search *s, int start, int end)
{
    const double width = s->bin_width * (double)(end - start + 1) / (double)GS_HIST_LEVELS;
    candidate k = {
        .start = start, .bin_width = (float)s->bin_width, .level_width = (float)width, .half = (float)(width / 2.0)};
    k.slope = 1.0 / (double)k.level_width * (1.0 + 0x1p-40);
    k.half3 = k.half * k.half * k.half;
    k.whole = (k.half3 + k.half3) / 3.0f;
    for (int i = 0; i < s->count; i += BLOCK) {
        float norm[BLOCK];
        for (int j = 0; j < BLOCK; j++) norm[j] = term_of(&k, s->index[i + j], s->density[i + j]);
        for (int j = 0; j < BLOCK; j++) s->term[s->index[i + j]] = norm[j];
    }
    return cascade_sum(s->term);
}

static void search_init(search *s, const gs_hist *h)
{
    s->bin_width = ((double)h->max - (double)h->min) / (double)BINS;
    const float width = (float)s->bin_width;
    double sum = 0.0;
    int n = 0;
    for (int i = 0; i < BINS; i++) {
        sum += (double)h->bin[i];
        s->cumulative[i] = (float)sum;
        s->term[i] = 0.0f;
        if (h->bin[i] == 0.0f) continue;
        s->index[n] = i;
        s->density[n++] = h->bin[i] / width;
    }
    /* Pad by repeating the last bin: its term is only written again. */
    for (; n > 0 && n % BLOCK != 0; n++) {
        s->index[n] = s->index[n - 1];
        s->density[n] = s->density[n - 1];
    }
    s->count = n;
}

float gs_hist_error(const gs_hist *h, int start, int end)
{
    search s;
    search_init(&s, h);
    return candidate_error(&s, start, end);
}

void gs_hist_search(const gs_hist *h, float *xmin, float *xmax)
{
    *xmin = h->min;
    *xmax = h->max;
    /* Below this the level width leaves float32's normal range; the least scale of a quantizer hides such a range
     * anyway. */
    if (!(h->max - h->min > 1e-30f)) return;
    search s;
    search_init(&s, h);
    const double total = (double)cascade_sum(h->bin);
    double alpha = 0.0, beta = 1.0;
    int start = 0, end = BINS - 1;
    float least = INFINITY;
    while (alpha < beta) {
        const double next_alpha = alpha + STEP, next_beta = beta - STEP;
        const float low = (float)(next_alpha * total), high = (float)(next_beta * total);
        int left = start, right = end;
        while (left < end && s.cumulative[left] < low) left++;
        while (right > start && s.cumulative[right] > high) right--;
        int next_start = start, next_end = end;
        if (left - start > end - right) {
            next_start = left;
            alpha = next_alpha;
        } else {
            next_end = right;
            beta = next_beta;
        }
        if (next_start == start && next_end == end) continue;
        const float error = candidate_error(&s, next_start, next_end);
        if (error > least) break;
        least = error;
        start = next_start;
        end = next_end;
    }
    const float width = (h->max - h->min) / (float)BINS;
    *xmin = h->min + width * (float)start;
    *xmax = h->min + width * (float)(end + 1);
}
