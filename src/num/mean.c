/* The mean of a float32 vector with the additions in the order in which PyTorch's CPU kernels for 8 float lanes make
 * them, so that averages over calibration samples agree with its results to the last bit. The vector is read as rows of
 * 8 lanes (or of one, if shorter than 8); a row goes to one of four partial sums in turn; long partial sums are folded
 * upwards in a cascade of four levels. SPDX-License-Identifier: Apache-2.0 */
#include "num/num.h"

enum { LANES = 8, PARTS = 4, LEVELS = 4 };

typedef struct sums {
    float at[PARTS][LANES];
} sums;

static void add_rows(sums *s, const float *rows, int lanes)
{
    for (int k = 0; k < PARTS; k++)
        for (int lane = 0; lane < lanes; lane++) s->at[k][lane] += rows[k * lanes + lane];
}

static void add_sums(sums *s, const sums *other)
{
    for (int k = 0; k < PARTS; k++)
        for (int lane = 0; lane < LANES; lane++) s->at[k][lane] += other->at[k][lane];
}

static int ceil_log2(int64_t n)
{
    int bits = 0;
    while (((int64_t)1 << bits) < n) bits++;
    return bits;
}

/* Sum of n_groups groups of PARTS rows. Every `step` groups the running sum moves one level up, every step^2 groups
 * from there to the next, and so on. */
static sums cascade(const float *x, int64_t n_groups, int lanes)
{
    const int power = ceil_log2(n_groups) / LEVELS > 4 ? ceil_log2(n_groups) / LEVELS : 4;
    const int64_t step = (int64_t)1 << power, mask = step - 1;
    sums level[LEVELS] = {0};
    int64_t i = 0;
    while (i + step <= n_groups) {
        for (const int64_t end = i + step; i < end; i++) add_rows(&level[0], x + i * PARTS * lanes, lanes);
        for (int j = 1; j < LEVELS; j++) {
            add_sums(&level[j], &level[j - 1]);
            level[j - 1] = (sums){0};
            if (i & (mask << (j * power))) break;
        }
    }
    for (; i < n_groups; i++) add_rows(&level[0], x + i * PARTS * lanes, lanes);
    for (int j = 1; j < LEVELS; j++) add_sums(&level[0], &level[j]);
    return level[0];
}

float gs_torch_mean(const float *x, int64_t n)
{
    if (n <= 0) return gs_f32_from_bits(0x7FC00000u);
    const int lanes = n >= LANES ? LANES : 1;
    const int64_t n_rows = n / lanes, n_groups = n_rows / PARTS;
    sums s = cascade(x, n_groups, lanes);
    for (int64_t row = n_groups * PARTS; row < n_rows; row++)
        for (int lane = 0; lane < lanes; lane++) s.at[0][lane] += x[row * lanes + lane];
    for (int k = 1; k < PARTS; k++)
        for (int lane = 0; lane < lanes; lane++) s.at[0][lane] += s.at[k][lane];
    float sum = 0.0f;
    for (int64_t i = n_rows * lanes; i < n; i++) sum += x[i];
    for (int lane = 0; lane < lanes; lane++) sum += s.at[0][lane];
    return sum / (float)n;
}
