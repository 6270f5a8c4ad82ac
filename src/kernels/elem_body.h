/* Bodies of the elementwise kernels, compiled once per rung by elem_c.c, elem_avx2.c and elem_avx512.c. The includer defines
 * GS_LANES (floats in one of its vectors: 4, 8 or 16) and GS_FILL (name of the function that fills the table).
 *
 * Same bits in each copy: loops over elements are plain C that the compiler vectorises as it likes (no contraction is global);
 * sums keep 16 lanes in vectors of GS_LANES and combine them in one fixed tree. Selections are written as a < b ? a : b, never
 * fminf, whose result for zeros of different sign is open. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/elem.h"
#include "kernels/table.h"
#include "num/expf.h"

enum { LANES = 16, VECTORS = LANES / GS_LANES };

typedef float vec __attribute__((vector_size(GS_LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(GS_LANES * 4)));

static inline vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, vec v) { memcpy(p, &v, sizeof v); }
static inline vec choose(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }

/* The one tree that combines 16 lanes. */
static double tree_sum_double(double *lane)
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}

/* Sum of squares of a row in the order in which PyTorch's CPU kernels for 8 lanes add a row (num/mean.c has the same for a
 * vector): 4 partial sums of 8 lanes side by side, folded upwards in a cascade of levels every 16 groups or more. With it the
 * norm gives the reference's bits. */
enum { SQUARE_PARTS = 4, SQUARE_LANES = 8, SQUARE_WIDTH = SQUARE_PARTS * SQUARE_LANES, SQUARE_LEVELS = 4 };

static inline void add_squares(float *restrict sum, const float *restrict x, int64_t width)
{
    for (int64_t i = 0; i < width; i++) sum[i] += x[i] * x[i];
}

static inline void fold(float *restrict to, float *restrict from, bool clear)
{
    for (int i = 0; i < SQUARE_WIDTH; i++) {
        to[i] += from[i];
        from[i] = clear ? 0.0f : from[i];
    }
}

static void square_cascade(float *level0, const float *x, int64_t groups, int64_t width)
{
    float level[SQUARE_LEVELS][SQUARE_WIDTH] = {{0}};
    int power = 4;
    while (groups > (int64_t)1 << (SQUARE_LEVELS * (power + 1) - 1)) power++; /* ceil(log2(groups)) / levels */
    const int64_t step = (int64_t)1 << power, mask = step - 1;
    int64_t i = 0;
    while (i + step <= groups) {
        for (const int64_t end = i + step; i < end; i++)
            if (width == SQUARE_WIDTH)
                add_squares(level[0], x + i * SQUARE_WIDTH, SQUARE_WIDTH);
            else
                add_squares(level[0], x + i * width, width);
        for (int j = 1; j < SQUARE_LEVELS; j++) {
            fold(level[j], level[j - 1], true);
            if (i & (mask << (j * power))) break;
        }
    }
    for (; i < groups; i++) add_squares(level[0], x + i * width, width);
    for (int j = 1; j < SQUARE_LEVELS; j++) fold(level[0], level[j], false);
    memcpy(level0, level[0], sizeof level[0]);
}

static float squares_of_row(int64_t h, const float *x)
{
    const int64_t lanes = h >= SQUARE_LANES ? SQUARE_LANES : 1;
    const int64_t rows = h / lanes, groups = rows / SQUARE_PARTS;
    float sum[SQUARE_WIDTH];
    square_cascade(sum, x, groups, SQUARE_PARTS * lanes);
    for (int64_t row = groups * SQUARE_PARTS; row < rows; row++) add_squares(sum, x + row * lanes, lanes);
    for (int64_t k = 1; k < SQUARE_PARTS; k++)
        for (int64_t lane = 0; lane < lanes; lane++) sum[lane] += sum[k * lanes + lane];
    float total = 0.0f;
    for (int64_t i = rows * lanes; i < h; i++) total += x[i] * x[i];
    for (int64_t lane = 0; lane < lanes; lane++) total += sum[lane];
    return total;
}

static void rmsnorm(int64_t rows, int64_t h, const float *x, const float *w, const float *b, float eps, float *y)
{
    for (int64_t t = 0; t < rows; t++, x += h, y += h) {
        const float r = 1.0f / sqrtf(squares_of_row(h, x) / (float)h + eps);
        if (b)
            for (int64_t j = 0; j < h; j++) y[j] = w[j] * (x[j] * r) + b[j];
        else
            for (int64_t j = 0; j < h; j++) y[j] = w[j] * (x[j] * r);
    }
}

static void rope(int64_t half, const float *restrict cosines, const float *restrict sines, int64_t heads, int64_t d,
                 float *restrict x)
{
    for (int64_t head = 0; head < heads; head++, x += d)
        for (int64_t i = 0; i < half; i++) {
            const float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosines[i] - b * sines[i];
            x[2 * i + 1] = b * cosines[i] + a * sines[i];
        }
}

static void swiglu(int64_t f, const float *restrict gate, const float *restrict up, float *restrict y)
{
    for (int64_t j = 0; j < f; j++) y[j] = gate[j] / (1.0f + gs_exp_inline(-gate[j])) * up[j];
}

static void add(int64_t n, float *restrict x, const float *restrict y)
{
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

typedef struct range_lanes {
    vec low[VECTORS], high[VECTORS];
    ivec finite[VECTORS];
} range_lanes;

static inline void range_add(range_lanes *r, const float *x)
{
    for (int q = 0; q < VECTORS; q++) {
        const vec v = load(x + q * GS_LANES);
        const ivec finite = ((ivec)v & 0x7fffffff) < 0x7f800000;
        r->low[q] = choose(finite & (v < r->low[q]), v, r->low[q]);
        r->high[q] = choose(finite & (v > r->high[q]), v, r->high[q]);
        r->finite[q] &= finite;
    }
}

static void minmax(int64_t n, const float *x, float *min, float *max, bool *finite)
{
    range_lanes r;
    for (int q = 0; q < VECTORS; q++) {
        r.low[q] = (vec){0} + INFINITY;
        r.high[q] = (vec){0} - INFINITY;
        r.finite[q] = (ivec){0} - 1;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) range_add(&r, x + i);
    if (i < n) {
        float rest[LANES];
        for (int j = 0; j < LANES; j++) rest[j] = x[i + j < n ? i + j : i];
        range_add(&r, rest);
    }
    *min = INFINITY;
    *max = -INFINITY;
    *finite = true;
    for (int j = 0; j < LANES; j++) {
        const float low = r.low[j / GS_LANES][j % GS_LANES], high = r.high[j / GS_LANES][j % GS_LANES];
        *min = low < *min ? low : *min;
        *max = high > *max ? high : *max;
        *finite = *finite && r.finite[j / GS_LANES][j % GS_LANES];
    }
}

static void column_minmax(int64_t rows, int64_t cols, const float *restrict x, int64_t stride, float *restrict min,
                          float *restrict max)
{
    for (int64_t t = 0; t < rows; t++, x += stride)
        for (int64_t j = 0; j < cols; j++) {
            const float v = x[j], low = min[j], high = max[j];
            min[j] = v < low ? v : low;
            max[j] = v > high ? v : high;
        }
}

/* Clamping to whole numbers before rounding gives what clamping after it gives, and then adding 1.5·2^23 rounds half to even
 * and leaves the number in the low bits. */
static inline void quantize_lanes(const float *x, float scale, float zero, float lowest, float highest, int8_t *q)
{
    const vec least = (vec){0} + lowest, most = (vec){0} + highest;
    const float magic = 12582912.0f;
    int32_t code[LANES];
    for (int i = 0; i < VECTORS; i++) {
        const vec v = load(x + i * GS_LANES) / scale + zero;
        const vec low = choose(v > least, v, least);
        const vec both = choose(low < most, low, most);
        const ivec whole = (ivec)(both + magic) - (int32_t)0x4b400000; /* the bits of magic */
        memcpy(code + i * GS_LANES, &whole, sizeof whole);
    }
    for (int i = 0; i < LANES; i++) q[i] = (int8_t)code[i];
}

static void quantize_s8(int64_t n, const float *restrict x, float scale, float zero, float lowest, float highest,
                        int8_t *restrict q)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) quantize_lanes(x + i, scale, zero, lowest, highest, q + i);
    if (i < n) {
        float rest[LANES] = {0};
        int8_t codes[LANES];
        memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
        quantize_lanes(rest, scale, zero, lowest, highest, codes);
        memcpy(q + i, codes, (size_t)(n - i));
    }
}

/* max |x·t| */
static float scaled_peak(int64_t n, const float *x, const float *t)
{
    vec top[VECTORS] = {{0}};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int q = 0; q < VECTORS; q++) {
            const vec v = load(x + i + q * GS_LANES) * load(t + i + q * GS_LANES);
            const vec size = (vec)((ivec)v & 0x7fffffff);
            top[q] = choose(size > top[q], size, top[q]);
        }
    float peak = 0.0f;
    for (; i < n; i++) {
        const float size = fabsf(x[i] * t[i]);
        peak = size > peak ? size : peak;
    }
    for (int j = 0; j < LANES; j++) {
        const float size = top[j / GS_LANES][j % GS_LANES];
        peak = size > peak ? size : peak;
    }
    return peak;
}

/* As quantize_s8 of x·t, or of x/t, one rounding before the division by scale. Two copies of the loop, since a choice inside it
 * would cost more than the work. */
static void scaled_codes(int64_t n, const float *x, const float *t, bool divide, float scale, float zero, int8_t *q)
{
    float scaled[LANES];
    int64_t i = 0;
    for (; divide && i + LANES <= n; i += LANES) {
        for (int k = 0; k < VECTORS; k++)
            store(scaled + k * GS_LANES, load(x + i + k * GS_LANES) / load(t + i + k * GS_LANES));
        quantize_lanes(scaled, scale, zero, -128.0f, 127.0f, q + i);
    }
    for (; !divide && i + LANES <= n; i += LANES) {
        for (int k = 0; k < VECTORS; k++)
            store(scaled + k * GS_LANES, load(x + i + k * GS_LANES) * load(t + i + k * GS_LANES));
        quantize_lanes(scaled, scale, zero, -128.0f, 127.0f, q + i);
    }
    float rest[LANES] = {0};
    for (int64_t j = i; j < n; j++) rest[j - i] = divide ? x[j] / t[j] : x[j] * t[j];
    quantize_s8(n - i, rest, scale, zero, -128.0f, 127.0f, q + i);
}

/* Half as many doubles as a vector has floats. */
typedef double dvec __attribute__((vector_size(GS_LANES * 4)));
typedef float half __attribute__((vector_size(GS_LANES * 2)));
enum { HALF = GS_LANES / 2, ERROR_VECTORS = GS_ERROR_LANES / HALF };

static inline dvec widen(const float *p)
{
    half v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, dvec);
}

/* Eight lanes, whatever the rung. value: what the codes stand for. */
static inline void add_errors(const float *w, const float *value, dvec signal[ERROR_VECTORS], dvec noise[ERROR_VECTORS])
{
    GS_UNROLL(4)
    for (int q = 0; q < ERROR_VECTORS; q++) {
        const dvec v = widen(w + q * HALF), d = v - widen(value + q * HALF);
        signal[q] += v * v;
        noise[q] += d * d;
    }
}

static void code_errors(int64_t n, const float *restrict w, const int8_t *restrict codes, float scale, float zero,
                        double *restrict signal, double *restrict noise)
{
    enum { PIECE = 256 };
    dvec s[ERROR_VECTORS], e[ERROR_VECTORS];
    float value[PIECE];
    memcpy(s, signal, sizeof s);
    memcpy(e, noise, sizeof e);
    const int64_t whole = n / GS_ERROR_LANES * GS_ERROR_LANES;
    for (int64_t i = 0; i < whole; i += PIECE) {
        const int64_t m = whole - i < PIECE ? whole - i : PIECE;
        for (int64_t j = 0; j < m; j++) value[j] = ((float)codes[i + j] - zero) * scale;
        for (int64_t j = 0; j < m; j += GS_ERROR_LANES) add_errors(w + i + j, value + j, s, e);
    }
    memcpy(signal, s, sizeof s);
    memcpy(noise, e, sizeof e);
    for (int64_t i = whole; i < n; i++) {
        const double v = (double)w[i], d = v - (double)(((float)codes[i] - zero) * scale);
        signal[i - whole] += v * v;
        noise[i - whole] += d * d;
    }
}

static void bin_index(int64_t n, const float *restrict x, float lo, float hi, int32_t bins, int32_t *restrict bin)
{
    const float count = (float)bins, width = hi - lo;
    for (int64_t i = 0; i < n; i++) {
        const float position = (x[i] - lo) * count / width;
        const bool above = x[i] >= lo, below = x[i] <= hi, inside = above & below,
                   convertible = inside & (position < count);
        const int32_t whole = (int32_t)(convertible ? position : 0.0f);
        const int32_t capped = convertible ? whole : bins - 1; /* the top edge, or rounded up to it */
        bin[i] = inside ? capped : bins;
    }
}

static void sum_squares(int64_t rows, int64_t cols, const float *x, const float *shift, double *sum, double *squares)
{
    static const float none[LANES];
    double s[LANES] = {0}, ss[LANES] = {0};
    for (int64_t t = 0; t < rows; t++, x += cols) {
        int64_t j = 0;
        for (; j + LANES <= cols; j += LANES) {
            const float *const minus = shift ? shift + j : none;
            for (int i = 0; i < LANES; i++) {
                const double d = (double)(x[j + i] - minus[i]);
                s[i] += d;
                ss[i] += d * d;
            }
        }
        for (int i = 0; j < cols; i++, j++) {
            const double d = (double)(x[j] - (shift ? shift[j] : 0.0f));
            s[i] += d;
            ss[i] += d * d;
        }
    }
    *sum = tree_sum_double(s);
    *squares = tree_sum_double(ss);
}

/* Eight lanes, whatever the rung: the sum of weights keeps the order of PyTorch's 8-lane kernels. */
typedef float eight __attribute__((vector_size(32)));

static float sum_of_lanes(const float *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float softmax_row(int64_t keys, int64_t visible, int64_t in_lanes, float scale, float *restrict s, float *max,
                         float *sum)
{
    for (int64_t i = visible < 0 ? 0 : visible; i < keys; i++) s[i] = -INFINITY;
    vec high[VECTORS];
    for (int q = 0; q < VECTORS; q++) high[q] = (vec){0} - INFINITY;
    for (int64_t i = 0; i < keys; i += LANES)
        for (int q = 0; q < VECTORS; q++) {
            const vec v = load(s + i + q * GS_LANES) * scale;
            store(s + i + q * GS_LANES, v);
            high[q] = choose(v > high[q], v, high[q]);
        }
    float top = *max;
    for (int j = 0; j < LANES; j++) {
        const float v = high[j / GS_LANES][j % GS_LANES];
        top = v > top ? v : top;
    }
    for (int64_t i = in_lanes; i < visible; i++) s[i] = gs_exp_nearest(s[i] - top);
    const int64_t end = in_lanes < keys ? in_lanes : keys;
    for (int64_t i = 0; i < end; i++) s[i] = gs_exp_weight_inline(s[i] - top);
    for (int64_t i = visible > end ? visible : end; i < keys; i++) s[i] = 0.0f;
    eight lanes = {0};
    for (int64_t i = 0; i < end; i += 8) {
        eight v;
        memcpy(&v, s + i, sizeof v);
        lanes += v;
    }
    float lane[8];
    memcpy(lane, &lanes, sizeof lane);
    float total = sum_of_lanes(lane);
    for (int64_t i = end; i < keys; i++) total += s[i];
    const float factor = gs_exp_nearest(*max - top);
    *sum = fmaf(*sum, factor, total);
    *max = top;
    return factor;
}

/* Adding 0 turns -0 into +0, so that blocks of masked keys cannot show in the sign of a zero. */
static void scale_row(int64_t n, float factor, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = x[i] * factor + 0.0f;
}

void GS_FILL(gs_kernels *t)
{
    t->rmsnorm = rmsnorm;
    t->rope = rope;
    t->swiglu = swiglu;
    t->add = add;
    t->minmax = minmax;
    t->column_minmax = column_minmax;
    t->quantize_s8 = quantize_s8;
    t->scaled_peak = scaled_peak;
    t->scaled_codes = scaled_codes;
    t->code_errors = code_errors;
    t->bin_index = bin_index;
    t->sum_squares = sum_squares;
    t->softmax_row = softmax_row;
    t->scale_row = scale_row;
}
