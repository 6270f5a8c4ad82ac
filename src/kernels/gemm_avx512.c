/* AVX-512 kernels of the matrix products: 6 x 64 outputs in 24 accumulators, or 6 x 16 at the right edge. Panels of A are those
 * of the AVX2 rung. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/table.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include "kernels/gemm_wide.h"

/* ---- float ---- */

/* How a panel holds its weights: floats; pairs of bf16 in words; these with the odd one of each pair first, as A is packed then. */
typedef enum panel_kind { FLOATS, PAIRS, SWAPPED_PAIRS } panel_kind;

/* The 16 values of step i of one panel. */
INLINE __m512 load_b(const char *panel, int64_t i, const panel_kind kind)
{
    if (kind == FLOATS) return _mm512_loadu_ps((const float *)(const void *)panel + i * GS_PANEL_COLS);
    const __m512i pair = _mm512_loadu_si512(panel + i / 2 * LINE);
    const bool odd = i % 2 != (kind == SWAPPED_PAIRS);
    return _mm512_castsi512_ps(odd ? _mm512_and_si512(pair, _mm512_set1_epi32((int32_t)0xffff0000))
                                   : _mm512_slli_epi32(pair, 16));
}

INLINE void micro_f32(const int mr, const int wide, const panel_kind kind, const gs_block_f32 *x, int64_t row,
                      int64_t col)
{
    const float *a = (const float *)x->a + row * x->kc;
    const int64_t panel_bytes = x->kc * GS_PANEL_COLS * (kind == FLOATS ? 4 : 2),
                  pair_bytes = kind == FLOATS ? 2 * LINE : LINE;
    const char *b = (const char *)x->b + col / GS_PANEL_COLS * panel_bytes;
    __m512 s[6][WIDE];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) s[r][j] = _mm512_setzero_ps();
    }
    for (int64_t i = 0; i < x->kc; i += 2, a += 2 * GS_PANEL_ROWS, b += pair_bytes) {
        GS_UNROLL(2)
        for (int u = 0; u < 2; u++) {
            __m512 bj[WIDE];
            GS_UNROLL(4)
            for (int j = 0; j < wide; j++) bj[j] = load_b(b + j * panel_bytes, u, kind);
            GS_UNROLL(6)
            for (int r = 0; r < mr; r++) {
                const __m512 ar = _mm512_set1_ps(a[u * GS_PANEL_ROWS + r]);
                GS_UNROLL(4)
                for (int j = 0; j < wide; j++) s[r][j] = _mm512_fmadd_ps(ar, bj[j], s[r][j]);
            }
        }
    }
    store_f32(mr, wide, x, row, col, s);
}

GS_WIDE_ROWS(rows_f32, const panel_kind, micro_f32)

INLINE void block_float(const gs_block_f32 *x, const panel_kind kind)
{
    const int64_t group_lines = x->kc * GS_GROUP_COLS * (kind == FLOATS ? 4 : 2) / LINE;
    if (x->cols > GS_GROUP_COLS - GS_PANEL_COLS) {
        rows_f32(WIDE, kind, x, 0, x->b_next, group_lines);
        return;
    }
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) rows_f32(1, kind, x, col, NULL, 0);
}

static void block_f32(const gs_block_f32 *x) { block_float(x, FLOATS); }
static void block_bf16(const gs_block_f32 *x) { block_float(x, PAIRS); }
static __attribute__((noinline)) void pairs(const gs_block_f32 *x) { block_float(x, SWAPPED_PAIRS); }

static void block_pairs(const gs_block_f32 *x)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_BITS);
    pairs(x);
    _mm_setcsr(before);
}

/* ---- codes, for processors without the dot-product extension: int16 pairs ---- */

INLINE void store_s8(const int mr, const int wide, const gs_block_s8 *x, int64_t row, int64_t col, __m512i s[6][WIDE])
{
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) {
            const int64_t at = col + j * GS_PANEL_COLS;
            float *const c = x->c + (row + r) * x->ldc + at;
            const __mmask16 mask = edge_mask(x->cols - at);
            __m512i sum = s[r][j];
            if (x->add) sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, c));
            if (!x->last) {
                _mm512_mask_storeu_epi32(c, mask, sum);
                continue;
            }
            const __m512i shift = _mm512_mullo_epi32(_mm512_set1_epi32(x->zero[row + r]),
                                                     _mm512_maskz_loadu_epi32(mask, x->row_sum + at));
            const __m512 scale =
                _mm512_mul_ps(_mm512_set1_ps(x->scale[row + r]), _mm512_maskz_loadu_ps(mask, x->w_scale + at));
            __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum, shift)), scale);
            if (x->bias) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, x->bias + at));
            _mm512_mask_storeu_ps(c, mask, y);
        }
    }
}

/* b: the widened panels, [wide][kc/2][16][2] */
INLINE void micro_s8(const int mr, const int wide, const gs_block_s8 *x, int64_t row, int64_t col, const int16_t *b)
{
    const int16_t *a = (const int16_t *)x->a + row * x->kc;
    __m512i s[6][WIDE];
    GS_UNROLL(6)
    for (int r = 0; r < mr; r++) {
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) s[r][j] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < x->kc; i += 2, a += 2 * GS_PANEL_ROWS, b += 2 * GS_PANEL_COLS) {
        __m512i bj[WIDE];
        GS_UNROLL(4)
        for (int j = 0; j < wide; j++) bj[j] = _mm512_loadu_si512(b + j * x->kc * GS_PANEL_COLS);
        GS_UNROLL(6)
        for (int r = 0; r < mr; r++) {
            int32_t pair;
            memcpy(&pair, a + r * 2, 4);
            const __m512i ar = _mm512_set1_epi32(pair);
            GS_UNROLL(4)
            for (int j = 0; j < wide; j++) s[r][j] = _mm512_add_epi32(s[r][j], _mm512_madd_epi16(ar, bj[j]));
        }
    }
    store_s8(mr, wide, x, row, col, s);
}

INLINE void rows_s8(const int wide, const gs_block_s8 *x, int64_t col, const int16_t *b)
{
    for (int64_t row = 0; row < x->rows; row += GS_PANEL_ROWS) {
        switch (x->rows - row) {
        case 1:
            micro_s8(1, wide, x, row, col, b);
            break;
        case 2:
            micro_s8(2, wide, x, row, col, b);
            break;
        case 3:
            micro_s8(3, wide, x, row, col, b);
            break;
        case 4:
            micro_s8(4, wide, x, row, col, b);
            break;
        case 5:
            micro_s8(5, wide, x, row, col, b);
            break;
        default:
            micro_s8(6, wide, x, row, col, b);
            break;
        }
    }
}

/* [kc/4][16][4] codes -> [kc/2][16][2] int16 */
static void widen_s8(int16_t *restrict to, const int8_t *restrict b, int64_t kc)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for (int64_t i = 0; i < kc; i += 4, b += 64, to += 64) {
        const __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)b));
        const __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(b + 32)));
        _mm512_storeu_si512(to, _mm512_permutex2var_epi32(x, even, y));
        _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi32(x, odd, y));
    }
}

static void block_s8(const gs_block_s8 *x)
{
    _Alignas(64) int16_t wide[GS_GEMM_KC * GS_GROUP_COLS];
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) widen_s8(wide + col * x->kc, x->b + col * x->kc, x->kc);
    if (x->cols > GS_GROUP_COLS - GS_PANEL_COLS) {
        rows_s8(WIDE, x, 0, wide);
        return;
    }
    for (int64_t col = 0; col < x->cols; col += GS_PANEL_COLS) rows_s8(1, x, col, wide + col * x->kc);
}

void gs_gemm_fill_avx512(gs_kernels *t)
{
    t->block_f32 = block_f32;
    t->block_bf16 = block_bf16;
    t->block_pairs = block_pairs;
    t->block_s8 = block_s8;
}
#endif
