/* Owns rows whose outliers are kept apart: the k-th largest magnitude of a row, found by digits of the float's bits, or a multiple
 * of its spread; the body in 7 steps each way; the outliers, for int8 codes, in 127 of (nearly) the same steps.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/elem.h"
#include "quant/rule_row.h"

#define TOP_SHIFT  20 /* 11 bits: exponent and three bits of the mantissa */
#define TOP_BINS   2048
#define LOW_BITS   10 /* two more digits */
#define LOW_BINS   (1 << LOW_BITS)
#define CANDIDATES 1024

static inline uint32_t magnitude(float w) { return gs_f32_bits(w) & 0x7FFFFFFFu; }

/* The bin that holds the k-th largest, counted from the top; *k becomes its rank inside the bin. */
static uint32_t find_bin(const uint32_t *count, uint32_t bins, int64_t *k)
{
    uint32_t bin = bins - 1;
    while (bin > 0 && *k > (int64_t)count[bin]) *k -= count[bin--];
    return bin;
}

/* Among the values whose bits above `shift` + LOW_BITS are those of `prefix`, the next digit of the k-th. */
static uint32_t next_digit(const uint32_t *bits, const float *w, int64_t n, uint32_t prefix, int shift, int64_t *k)
{
    uint32_t count[LOW_BINS] = {0};
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = bits ? bits[i] : magnitude(w[i]);
        if ((u ^ prefix) >> (shift + LOW_BITS) == 0) count[u >> shift & (LOW_BINS - 1)]++;
    }
    return prefix | find_bin(count, LOW_BINS, k) << shift;
}

/* Values of one top digit; -1 if they are too many to collect. */
static int64_t collect(const float *w, int64_t n, uint32_t top, uint32_t to[CANDIDATES])
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t u = magnitude(w[i]);
        to[found] = u;
        found += u >> TOP_SHIFT == top;
        if (found == CANDIDATES) return -1;
    }
    return found;
}

float gs_row_kth(const float *w, int64_t n, int64_t k)
{
    uint32_t count[TOP_BINS] = {0};
    for (int64_t i = 0; i < n; i++) count[magnitude(w[i]) >> TOP_SHIFT]++;
    const uint32_t top = find_bin(count, TOP_BINS, &k);
    uint32_t candidates[CANDIDATES];
    const int64_t found = collect(w, n, top, candidates);
    const uint32_t *bits = found < 0 ? NULL : candidates;
    const int64_t m = found < 0 ? n : found;
    const uint32_t middle = next_digit(bits, w, m, top << TOP_SHIFT, LOW_BITS, &k);
    return gs_f32_from_bits(next_digit(bits, w, m, middle, 0, &k));
}

int64_t gs_outlier_count(double fraction, int64_t n)
{
    const int64_t k = (int64_t)((double)n * fraction);
    return k < 1 ? 1 : k > n ? n : k;
}

/* Standard deviation of |w|, unbiased: double sums in eight lanes, the variance rounded to float32 before the root. */
static float spread_of(const float *w, int64_t n)
{
    double sum[8] = {0}, square[8] = {0}, mean = 0.0, total = 0.0;
    for (int64_t i = 0; i < n; i++) sum[i & 7] += (double)fabsf(w[i]);
    for (int j = 0; j < 8; j++) mean += sum[j];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)fabsf(w[i]) - mean;
        square[i & 7] += d * d;
    }
    for (int j = 0; j < 8; j++) total += square[j];
    return n > 1 ? sqrtf((float)(total / (double)(n - 1))) : 0.0f;
}

/* The largest float t with t / spread <= sigma: the rule |w| / spread > sigma without a division per value. */
static float sigma_threshold(float sigma, float spread)
{
    float t = sigma * spread;
    if (!(t > 0.0f) || isinf(t)) return INFINITY;
    while (t / spread > sigma) t = gs_f32_from_bits(gs_f32_bits(t) - 1);
    for (;;) {
        const float next = gs_f32_from_bits(gs_f32_bits(t) + 1);
        if (isinf(next) || next / spread > sigma) return t;
        t = next;
    }
}

float gs_row_threshold(const gs_weight_rule *rule, const float *w, int64_t in)
{
    if (rule->use_sigma) return sigma_threshold((float)rule->sigma, spread_of(w, in));
    return gs_row_kth(w, in, gs_outlier_count(rule->fraction, in));
}

/* How a row is cut and stepped. */
typedef struct split {
    float threshold;
    gs_grid body;
    float outlier_scale, outlier_offset; /* of the 255 levels that the calibration forward gives outliers */
} split;

/* peak: of all values, used where the body is nothing but zeros: then they are the body. */
static void split_sym(split *s, const gs_weight_rule *rule, float body, float peak)
{
    const bool sparse = rule->kind != GS_WEIGHT_SPLIT;
    s->body = (gs_grid){body / 7.0f, 0.0f, -7.0f, 7.0f};
    s->outlier_scale = body * 127.0f / 7.0f / 127.0f;
    if (!(s->body.scale > 0.0f)) {
        s->body.scale = s->outlier_scale = gs_scale_guard(peak / (sparse ? 127.0f : 7.0f));
    } else if (!(s->outlier_scale > 0.0f) || isinf(s->outlier_scale)) {
        s->outlier_scale = s->body.scale;
    }
}

static split split_row(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row)
{
    split s = {0};
    float lo, hi, peak;
    s.threshold = rule->kind == GS_WEIGHT_SPARSE_GLOBAL ? stats->threshold : gs_row_threshold(rule, row->w, row->in);
    if (rule->mm_tensor) {
        lo = stats->lo;
        hi = stats->hi;
        peak = stats->peak;
    } else {
        gs_row_body(row->w, row->in, s.threshold, &lo, &hi, &peak);
    }
    if (rule->sym) {
        split_sym(&s, rule, -lo > hi ? -lo : hi, peak);
        return s;
    }
    if (lo == 0.0f && hi == 0.0f && rule->mm_tensor) {
        lo = -peak;
        hi = peak;
    } else if (lo == 0.0f && hi == 0.0f) {
        gs_row_range(row->w, row->in, &lo, &hi);
    }
    s.body = gs_grid_asym(lo, hi, 4, 0.0f);
    return s;
}

/* Body and outliers each in their own steps: the codes of sparse rows, and the values of the calibration forward. */
static inline void recovered_block(const split *s, const float w[GS_ROW_BLOCK], float code[GS_ROW_BLOCK],
                                   float value[GS_ROW_BLOCK])
{
    for (int j = 0; j < GS_ROW_BLOCK; j++) {
        const bool outlier = fabsf(w[j]) > s->threshold;
        const float scale = outlier ? s->outlier_scale : s->body.scale, most = outlier ? 127.0f : 7.0f;
        code[j] = gs_row_clamp(gs_row_rint(w[j] / scale), -most, most);
        value[j] = scale * code[j];
    }
}

/* codes and values may each be NULL; values may be the row itself. */
static void recover(const split *s, const gs_row *row, int8_t *codes, float *values)
{
    float code[GS_ROW_BLOCK], value[GS_ROW_BLOCK], rest[GS_ROW_BLOCK] = {0};
    for (int64_t i = 0; i < row->in; i += GS_ROW_BLOCK) {
        const int n = row->in - i < GS_ROW_BLOCK ? (int)(row->in - i) : GS_ROW_BLOCK;
        const float *w = row->w + i;
        if (n < GS_ROW_BLOCK) w = memcpy(rest, w, (size_t)n * sizeof *w);
        recovered_block(s, w, code, value);
        if (codes) {
            int8_t block[GS_ROW_BLOCK];
            for (int j = 0; j < GS_ROW_BLOCK; j++) block[j] = (int8_t)(int32_t)code[j];
            memcpy(codes + i, block, (size_t)n);
        }
        if (values) memcpy(values + i, value, (size_t)n * sizeof *value);
    }
}

/* Asymmetric: outliers have a grid of their own, over their range and 0. */
static void recover_asym(const split *s, const gs_row *row)
{
    float lo = 0.0f, hi = 0.0f;
    for (int64_t i = 0; i < row->in; i++) {
        if (!(fabsf(row->w[i]) > s->threshold)) continue;
        lo = row->w[i] < lo ? row->w[i] : lo;
        hi = row->w[i] > hi ? row->w[i] : hi;
    }
    const gs_grid outliers = gs_grid_asym(lo, hi, 8, 0.0f);
    for (int64_t i = 0; i < row->in; i++) {
        const gs_grid g = fabsf(row->w[i]) > s->threshold ? outliers : s->body;
        const float code = gs_row_clamp(gs_row_rint(row->w[i] / g.scale + g.offset), g.low, g.high);
        row->forward[i] = (code - g.offset) * g.scale;
    }
}

/* Squared error of the codes a grid gives, which are left in the row's. */
static double grid_noise(const gs_row *row, gs_grid g)
{
    double signal[GS_ERROR_LANES] = {0}, noise[GS_ERROR_LANES] = {0}, sum = 0.0;
    gs_row_encode(row->c, row->w, row->in, g, row->codes, NULL);
    gs_code_errors(row->c, row->in, row->w, row->codes, g.scale, g.offset, signal, noise);
    for (int j = 0; j < GS_ERROR_LANES; j++) sum += noise[j];
    return sum;
}

/* Codes of a row whose grid has no room for the outliers, or of the grid of the whole row if that is nearer to it. */
static void encode_split(const gs_weight_rule *rule, const gs_row *row, gs_grid body)
{
    gs_grid grid = body;
    if (rule->holds_outliers && !rule->mm_tensor) {
        float lo, hi;
        gs_row_range(row->w, row->in, &lo, &hi);
        const gs_grid whole = rule->sym ? gs_grid_sym(-lo > hi ? -lo : hi, 4, 0.0f) : gs_grid_asym(lo, hi, 4, 0.0f);
        if (grid_noise(row, whole) < grid_noise(row, body)) grid = whole;
    }
    row->scale[0] = grid.scale;
    if (row->offset) row->offset[0] = grid.offset;
    gs_row_encode(row->c, row->w, row->in, grid, row->codes, rule->holds_outliers ? row->forward : NULL);
}

void gs_row_outliers(const gs_weight_rule *rule, const gs_weight_stats *stats, const gs_row *row)
{
    const split s = split_row(rule, stats, row);
    row->scale[0] = s.body.scale;
    if (row->offset) row->offset[0] = s.body.offset;
    if (rule->kind == GS_WEIGHT_SPARSE_GLOBAL) {
        recover(&s, row, row->codes, row->forward);
        return;
    }
    /* The low-bit class writes codes made anew from the scale; w is read for the last time by what fills `forward`. */
    const float half = (float)(1 << (rule->bits - 1));
    encode_split(rule, row, (gs_grid){s.body.scale, s.body.offset, -half, half - 1.0f});
    if (!row->forward || rule->holds_outliers) return;
    if (rule->sym)
        recover(&s, row, NULL, row->forward);
    else
        recover_asym(&s, row);
}
