/* AVX2 kernels of the matrix products: 6 x 16 outputs in twelve accumulators. A panel of weights is used by all row panels of
 * the tile in turn; bf16 and s8 panels are widened once before that. While one panel is used, the next is fetched into the
 * second-level cache, a line now and then. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { LINE = 64 };

/* ---- packing of A: six rows of 4-byte words, transposed ---- */

/* w: eight words of each of six rows -> eight steps of six words; writes 8 bytes past the end of the last step. */
INLINE void store_steps(float *to, const __m256 w[6])
{
    const __m256 zero = _mm256_setzero_ps();
    const __m256 a = _mm256_unpacklo_ps(w[0], w[1]), b = _mm256_unpackhi_ps(w[0], w[1]);
    const __m256 c = _mm256_unpacklo_ps(w[2], w[3]), d = _mm256_unpackhi_ps(w[2], w[3]);
    const __m256 e = _mm256_unpacklo_ps(w[4], w[5]), f = _mm256_unpackhi_ps(w[4], w[5]);
    const __m256 low[4] = {_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xee), _mm256_shuffle_ps(b, d, 0x44),
                           _mm256_shuffle_ps(b, d, 0xee)};
    const __m256 high[4] = {_mm256_shuffle_ps(e, zero, 0x44), _mm256_shuffle_ps(e, zero, 0xee),
                            _mm256_shuffle_ps(f, zero, 0x44), _mm256_shuffle_ps(f, zero, 0xee)};
    GS_UNROLL(4)
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(to + i * 6, _mm256_permute2f128_ps(low[i], high[i], 0x20));
    GS_UNROLL(4)
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(to + (i + 4) * 6, _mm256_permute2f128_ps(low[i], high[i], 0x31));
}

static void pack_a_f32(float *restrict dst, const float *restrict a, int64_t lda, int64_t rows, int64_t k,
                       int64_t k_padded)
{
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS, dst += k_padded * GS_PANEL_ROWS) {
        int64_t i = 0;
        if (rows - r0 >= GS_PANEL_ROWS) {
            /* one step less than there is: the last store of store_steps runs over */
            for (; i + 8 < k; i += 8) {
                __m256 w[6];
                GS_UNROLL(6)
                for (int r = 0; r < 6; r++) w[r] = _mm256_loadu_ps(a + (r0 + r) * lda + i);
                store_steps(dst + i * GS_PANEL_ROWS, w);
            }
        }
        for (; i < k_padded; i++)
            for (int64_t r = 0; r < GS_PANEL_ROWS; r++)
                dst[i * GS_PANEL_ROWS + r] = r0 + r < rows && i < k ? a[(r0 + r) * lda + i] : 0.0f;
    }
}

/* Codes become pairs of int16: [ceil(rows/6)][k/2][6][2]. */
static void pack_a_s8(void *restrict dst, const int8_t *restrict a, int64_t lda, int64_t rows, int64_t k,
                      int64_t k_padded)
{
    int16_t *restrict to = dst;
    for (int64_t r0 = 0; r0 < rows; r0 += GS_PANEL_ROWS, to += k_padded * GS_PANEL_ROWS) {
        int64_t i = 0;
        if (rows - r0 >= GS_PANEL_ROWS) {
            for (; i + 16 < k; i += 16) {
                __m256 w[6];
                GS_UNROLL(6)
                for (int r = 0; r < 6; r++) {
                    const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(a + (r0 + r) * lda + i));
                    w[r] = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(codes));
                }
                store_steps((float *)(void *)(to + i * GS_PANEL_ROWS), w);
            }
        }
        for (; i < k_padded; i++)
            for (int64_t r = 0; r < GS_PANEL_ROWS; r++)
                to[i / 2 * 12 + r * 2 + i % 2] = r0 + r < rows && i < k ? a[(r0 + r) * lda + i] : (int16_t)0;
    }
}

/* Eight keys, eight components: the transposed square, rows of 16 floats apart. */
INLINE void transpose_eight(float *to, const float *from, int64_t stride)
{
    __m256 x[8], y[8];
    GS_UNROLL(8)
    for (int i = 0; i < 8; i++) x[i] = _mm256_loadu_ps(from + i * stride);
    GS_UNROLL(4)
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    GS_UNROLL(2)
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
    GS_UNROLL(4)
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * GS_PANEL_COLS, _mm256_permute2f128_ps(x[i], x[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * GS_PANEL_COLS, _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
    }
}

static void pack_keys(int64_t keys, int64_t n, int64_t n_padded, const float *restrict k, int64_t stride,
                      float *restrict dst)
{
    for (int64_t key = 0; key < keys; key += GS_PANEL_COLS, dst += n_padded * GS_PANEL_COLS) {
        int64_t i = 0;
        if (keys - key >= GS_PANEL_COLS) {
            for (; i + 8 <= n; i += 8) {
                transpose_eight(dst + i * GS_PANEL_COLS, k + key * stride + i, stride);
                transpose_eight(dst + i * GS_PANEL_COLS + 8, k + (key + 8) * stride + i, stride);
            }
        }
        for (; i < n_padded; i++)
            for (int64_t j = 0; j < GS_PANEL_COLS; j++)
                dst[i * GS_PANEL_COLS + j] = key + j < keys && i < n ? k[(key + j) * stride + i] : 0.0f;
    }
}

/* ---- float ---- */

/* What to fetch while computing: two k steps of row panel r fetch at from + r·per_panel + step·per_step. */
typedef struct fetch {
    const char *from;
    int64_t per_panel, per_step;
} fetch;

/* bytes: of the panel that follows at `from` (NULL: none, then something harmless is fetched again and again). */
static fetch plan_fetch(const void *from, const void *harmless, int64_t bytes, int64_t rows, int64_t kc)
{
    if (!from) return (fetch){.from = harmless};
    const int64_t panels = (rows + GS_PANEL_ROWS - 1) / GS_PANEL_ROWS;
    const int64_t per_panel = (bytes + panels - 1) / panels;
    return (fetch){.from = from, .per_panel = per_panel, .per_step = (per_panel + kc / 2 - 1) / (kc / 2)};
}

/* One panel of weights against all rows of a block. */
typedef struct panel_f32 {
    const gs_block_f32 *x;
    int64_t col;
    const float *b; /* [kc][16] */
    fetch next;
} panel_f32;

static void store_edge(const gs_block_f32 *x, int64_t row, int64_t col, int mr, float (*sum)[GS_PANEL_COLS])
{
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        float *const c = x->c + (row + r) * x->ldc;
        for (int64_t j = col; j < x->cols; j++) {
            const float total = x->add ? c[j] + sum[r][j - col] : sum[r][j - col];
            c[j] = x->bias ? total + x->bias[j] : total;
        }
    }
}

INLINE void store_f32(const int mr, const gs_block_f32 *x, int64_t row, int64_t col, __m256 s[6][2])
{
    if (x->cols - col < GS_PANEL_COLS) {
        float sum[GS_PANEL_ROWS][GS_PANEL_COLS];
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            _mm256_storeu_ps(sum[r], s[r][0]);
            _mm256_storeu_ps(sum[r] + 8, s[r][1]);
        }
        store_edge(x, row, col, mr, sum);
        return;
    }
    float *c = x->c + row * x->ldc + col;
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++, c += x->ldc) {
        if (x->add) {
            s[r][0] = _mm256_add_ps(_mm256_loadu_ps(c), s[r][0]);
            s[r][1] = _mm256_add_ps(_mm256_loadu_ps(c + 8), s[r][1]);
        }
        if (x->bias) {
            s[r][0] = _mm256_add_ps(s[r][0], _mm256_loadu_ps(x->bias + col));
            s[r][1] = _mm256_add_ps(s[r][1], _mm256_loadu_ps(x->bias + col + 8));
        }
        _mm256_storeu_ps(c, s[r][0]);
        _mm256_storeu_ps(c + 8, s[r][1]);
    }
}

INLINE void micro_f32(const int mr, const panel_f32 *p, int64_t row)
{
    const float *a = (const float *)p->x->a + row * p->x->kc, *b = p->b;
    const char *next = p->next.from + row / GS_PANEL_ROWS * p->next.per_panel;
    __m256 s[6][2];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        _mm_prefetch((const char *)(p->x->c + (row + r) * p->x->ldc + p->col), _MM_HINT_T0);
        s[r][0] = s[r][1] = _mm256_setzero_ps();
    }
    for (int64_t i = 0; i < p->x->kc; i += 2, a += 2 * GS_PANEL_ROWS, b += 2 * GS_PANEL_COLS) {
        _mm_prefetch(next, _MM_HINT_T1);
        next += p->next.per_step;
        GS_UNROLL(2)
        for (int u = 0; u < 2; u++) {
            const __m256 b0 = _mm256_loadu_ps(b + u * 16), b1 = _mm256_loadu_ps(b + u * 16 + 8);
            GS_UNROLL(6)
            for (int r = 0; r < mr; r++) {
                const __m256 ar = _mm256_broadcast_ss(a + u * 6 + r);
                s[r][0] = _mm256_fmadd_ps(ar, b0, s[r][0]);
                s[r][1] = _mm256_fmadd_ps(ar, b1, s[r][1]);
            }
        }
    }
    store_f32(mr, p->x, row, p->col, s);
}

/* One function for each count of rows, so that each gets its own registers. */
#define ROWS_F32(n)                                                                                                    \
    static void rows_f32_##n(const panel_f32 *p, int64_t row) { micro_f32(n, p, row); }
ROWS_F32(1)
ROWS_F32(2)
ROWS_F32(3)
ROWS_F32(4)
ROWS_F32(5)
ROWS_F32(6)

static void (*const rows_f32[])(const panel_f32 *, int64_t) = {NULL,       rows_f32_1, rows_f32_2, rows_f32_3,
                                                               rows_f32_4, rows_f32_5, rows_f32_6};

INLINE int64_t min_rows(int64_t rows) { return rows < GS_PANEL_ROWS ? rows : GS_PANEL_ROWS; }

/* Pairs of bf16 -> two steps of 16 floats each; swapped: the odd one first. */
INLINE void widen_bf16(float *restrict to, const uint16_t *restrict b, int64_t steps, const bool swapped)
{
    const __m256i high = _mm256_set1_epi32((int32_t)0xffff0000);
    float *const even = swapped ? to + 16 : to, *const odd = swapped ? to : to + 16;
    for (int64_t i = 0; i < steps * 16; i += 32) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(b + i));
        const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(b + i + 16));
        _mm256_store_si256((__m256i *)(void *)(even + i), _mm256_slli_epi32(x, 16));
        _mm256_store_si256((__m256i *)(void *)(even + i + 8), _mm256_slli_epi32(y, 16));
        _mm256_store_si256((__m256i *)(void *)(odd + i), _mm256_and_si256(x, high));
        _mm256_store_si256((__m256i *)(void *)(odd + i + 8), _mm256_and_si256(y, high));
    }
}

typedef enum panel_kind { FLOATS, PAIRS, SWAPPED_PAIRS } panel_kind;

INLINE void block_float(const gs_block_f32 *x, const panel_kind kind)
{
    _Alignas(64) float wide[GS_GEMM_KC * GS_PANEL_COLS];
    const int64_t panel_bytes = x->kc * GS_PANEL_COLS * (kind == FLOATS ? 4 : 2);
    const char *from = x->b;
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS, from += panel_bytes) {
        if (kind != FLOATS) widen_bf16(wide, (const uint16_t *)(const void *)from, x->kc, kind == SWAPPED_PAIRS);
        const void *const next = col + GS_PANEL_COLS < x->cols ? from + panel_bytes : x->b_next;
        const panel_f32 p = {.x = x,
                             .col = col,
                             .b = kind == FLOATS ? (const float *)(const void *)from : wide,
                             .next = plan_fetch(next, x->a, panel_bytes, x->rows, x->kc)};
        for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS) rows_f32[min_rows(x->rows - row)](&p, row);
    }
}

static void block_f32(const gs_block_f32 *x) { block_float(x, FLOATS); }
static void block_bf16(const gs_block_f32 *x) { block_float(x, PAIRS); }

/* ---- bf16 pairs: the odd product first, subnormals as zeros, as vdpbf16ps does it ---- */

static void pack_a_pairs(void *restrict dst, const float *restrict a, int64_t lda, int64_t rows, int64_t k,
                         int64_t k_padded)
{
    float *const to = dst;
    const int64_t panels = (rows + GS_PANEL_ROWS - 1) / GS_PANEL_ROWS;
    pack_a_f32(to, a, lda, rows, k, k_padded);
    for (int64_t i = 0; i < panels * k_padded * GS_PANEL_ROWS; i += 2 * GS_PANEL_ROWS)
        for (int64_t r = i; r < i + GS_PANEL_ROWS; r++) {
            const float even = gs_bf16_to_f32(gs_f32_to_bf16(to[r]));
            to[r] = gs_bf16_to_f32(gs_f32_to_bf16(to[r + GS_PANEL_ROWS]));
            to[r + GS_PANEL_ROWS] = even;
        }
}

static __attribute__((noinline)) void pairs(const gs_block_f32 *x) { block_float(x, SWAPPED_PAIRS); }

/* Flush to zero and subnormals are zeros, for the work of this block alone. */
static void block_pairs(const gs_block_f32 *x)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    pairs(x);
    _mm_setcsr(before);
}

/* ---- codes: exact sums of products of int16 pairs ---- */

typedef struct panel_s8 {
    const gs_block_s8 *x;
    int64_t col;
    const int16_t *b; /* [kc/2][16][2] */
    fetch next;
} panel_s8;

static void store_edge_s8(const gs_block_s8 *x, int64_t row, int64_t col, int mr, uint32_t (*sum)[GS_PANEL_COLS])
{
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        float *const c = x->c + (row + r) * x->ldc;
        for (int64_t j = col; j < x->cols; j++) {
            uint32_t total = 0;
            if (x->add) memcpy(&total, &c[j], 4);
            total += sum[r][j - col];
            if (!x->last) {
                memcpy(&c[j], &total, 4);
                continue;
            }
            const int32_t exact = (int32_t)(total - (uint32_t)x->zero[row + r] * (uint32_t)x->row_sum[j]);
            const float y = (float)exact * (x->scale[row + r] * x->w_scale[j]);
            c[j] = x->bias ? y + x->bias[j] : y;
        }
    }
}

INLINE __m256i load_s32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Eight outputs of one row. */
INLINE void store_eight_s8(const gs_block_s8 *x, int64_t row, int64_t col, __m256i sum)
{
    float *const c = x->c + row * x->ldc + col;
    if (x->add) sum = _mm256_add_epi32(sum, load_s32(c));
    if (!x->last) {
        _mm256_storeu_si256((__m256i *)(void *)c, sum);
        return;
    }
    const __m256i shift = _mm256_mullo_epi32(_mm256_set1_epi32(x->zero[row]), load_s32(x->row_sum + col));
    const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(x->scale[row]), _mm256_loadu_ps(x->w_scale + col));
    __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, shift)), scale);
    if (x->bias) y = _mm256_add_ps(y, _mm256_loadu_ps(x->bias + col));
    _mm256_storeu_ps(c, y);
}

INLINE void store_s8(const int mr, const gs_block_s8 *x, int64_t row, int64_t col, __m256i s[6][2])
{
    if (x->cols - col < GS_PANEL_COLS) {
        uint32_t sum[GS_PANEL_ROWS][GS_PANEL_COLS];
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            _mm256_storeu_si256((__m256i *)(void *)sum[r], s[r][0]);
            _mm256_storeu_si256((__m256i *)(void *)(sum[r] + 8), s[r][1]);
        }
        store_edge_s8(x, row, col, mr, sum);
        return;
    }
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        store_eight_s8(x, row + r, col, s[r][0]);
        store_eight_s8(x, row + r, col + 8, s[r][1]);
    }
}

/* One pair of A times 16 pairs of B. Assembly, because gcc 12 orders the intrinsics so that accumulators are spilled. */
INLINE void add_pairs(__m256i s[2], const int16_t *pair, __m256i b0, __m256i b1)
{
    __m256i s0 = s[0], s1 = s[1], x, y; /* operands must not be elements of an array, which would put it in memory */
    __asm__("vpbroadcastd %4, %2\n\t"
            "vpmaddwd %5, %2, %3\n\t"
            "vpmaddwd %6, %2, %2\n\t"
            "vpaddd %3, %0, %0\n\t"
            "vpaddd %2, %1, %1"
            : "+x"(s0), "+x"(s1), "=&x"(x), "=&x"(y)
            : "m"(*(const int16_t(*)[2])pair), "x"(b0), "x"(b1));
    s[0] = s0;
    s[1] = s1;
}

INLINE void micro_s8(const int mr, const panel_s8 *p, int64_t row)
{
    const int16_t *a = (const int16_t *)p->x->a + row * p->x->kc, *b = p->b;
    const char *next = p->next.from + row / GS_PANEL_ROWS * p->next.per_panel;
    __m256i s[6][2];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        _mm_prefetch((const char *)(p->x->c + (row + r) * p->x->ldc + p->col), _MM_HINT_T0);
        s[r][0] = s[r][1] = _mm256_setzero_si256();
    }
    for (int64_t i = 0; i < p->x->kc; i += 4, a += 4 * GS_PANEL_ROWS, b += 4 * GS_PANEL_COLS) {
        _mm_prefetch(next, _MM_HINT_T1);
        next += 2 * p->next.per_step;
        GS_UNROLL(2)
        for (int u = 0; u < 2; u++) {
            const __m256i b0 = load_s32(b + u * 32), b1 = load_s32(b + u * 32 + 16);
            GS_UNROLL(6)
            for (int r = 0; r < mr; r++) add_pairs(s[r], a + u * 12 + r * 2, b0, b1);
        }
    }
    store_s8(mr, p->x, row, p->col, s);
}

#define ROWS_S8(n)                                                                                                     \
    static void rows_s8_##n(const panel_s8 *p, int64_t row) { micro_s8(n, p, row); }
ROWS_S8(1)
ROWS_S8(2)
ROWS_S8(3)
ROWS_S8(4)
ROWS_S8(5)
ROWS_S8(6)

static void (*const rows_s8[])(const panel_s8 *, int64_t) = {NULL,      rows_s8_1, rows_s8_2, rows_s8_3,
                                                             rows_s8_4, rows_s8_5, rows_s8_6};

/* [kc/4][16][4] codes -> [kc/2][16][2] int16. */
static void widen_s8(int16_t *restrict to, const int8_t *restrict b, int64_t kc)
{
    for (int64_t i = 0; i < kc; i += 4, b += 64, to += 64) {
        GS_UNROLL(2)
        for (int h = 0; h < 2; h++) {
            const __m128i *const from = (const __m128i *)(const void *)(b + h * 32);
            /* dwords: pair 0 and pair 1 of columns 0 to 3, and of columns 4 to 7 */
            const __m256 x = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128(from)));
            const __m256 y = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128(from + 1)));
            const __m256i first = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88));
            const __m256i second = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd));
            _mm256_store_si256((__m256i *)(void *)(to + h * 16), _mm256_permute4x64_epi64(first, 0xd8));
            _mm256_store_si256((__m256i *)(void *)(to + 32 + h * 16), _mm256_permute4x64_epi64(second, 0xd8));
        }
    }
}

static void block_s8(const gs_block_s8 *x)
{
    _Alignas(64) int16_t wide[GS_GEMM_KC * GS_PANEL_COLS];
    const int64_t panel_bytes = x->kc * GS_PANEL_COLS;
    const int8_t *from = x->b;
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS, from += panel_bytes) {
        widen_s8(wide, from, x->kc);
        const void *const next = col + GS_PANEL_COLS < x->cols ? from + panel_bytes : x->b_next;
        const panel_s8 p = {.x = x, .col = col, .b = wide, .next = plan_fetch(next, x->a, panel_bytes, x->rows, x->kc)};
        for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS) rows_s8[min_rows(x->rows - row)](&p, row);
    }
}

void gs_gemm_fill_avx2(gs_kernels *t)
{
    t->pack_a_f32 = pack_a_f32;
    t->pack_a_s8 = pack_a_s8;
    t->block_f32 = block_f32;
    t->block_bf16 = block_bf16;
    t->pack_a_pairs = pack_a_pairs;
    t->block_pairs = block_pairs;
    t->block_s8 = block_s8;
    t->pack_keys = pack_keys;
}
#endif
