/* Matrices of the W4A4 transform: the split of the width, the spreading matrix, eigenvectors by cyclic Jacobi rotations (in
 * double, matrices are at most a few hundred wide), the inverse transpose of a rounded orthogonal matrix.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quant/w4a4_parts.h"

bool gs_w4a4_split(int64_t in, int64_t *a, int64_t *b)
{
    if (in < 1 || in > INT32_MAX || in % 4 == 2) return false;
    /* A difference of squares A² - B² is a product of two numbers of the same parity; the least A is the nearest pair. */
    for (int64_t low = (int64_t)sqrt((double)in) + 1; low >= 1; low--) {
        if (low * low > in || in % low || (low + in / low) % 2) continue;
        *a = low;
        *b = in / low;
        return true;
    }
    return false;
}

gs_status gs_w4a4_check(const char *name, int64_t in, gs_error *err)
{
    int64_t a, b;
    if (in % 8 == 0 && gs_w4a4_split(in, &a, &b)) return GS_OK;
    return gs_fail(err, GS_ERR_UNSUPPORTED,
                   "%s: its %lld inputs are not a multiple of 8, which W4A4 needs; keep it in float with "
                   "--disable_names",
                   name, (long long)in);
}

/* cos(pi·q/2m): turned back to at most an eighth of a turn in whole numbers, then a series whose rest is below 2^-60. */
static double cosine(int64_t q, int64_t m)
{
    const double half_pi = 0x1.921fb54442d18p+0;
    q %= 4 * m;
    if (q > 2 * m) q = 4 * m - q;
    const bool negative = q > m;
    if (negative) q = 2 * m - q;
    const bool sine = 2 * q > m;
    const double r = half_pi * (double)(sine ? m - q : q) / (double)m, s = r * r;
    double p = 1.0;
    for (int k = 10; k >= 1; k--) p = 1.0 - p * s / (double)(sine ? 2 * k * (2 * k + 1) : (2 * k - 1) * 2 * k);
    if (sine) p *= r;
    return negative ? -p : p;
}

void gs_w4a4_spread(int64_t n, double *s)
{
    const int64_t p = n & -n, m = n / p;
    const double first = sqrt(1.0 / (double)n), other = sqrt(2.0 / (double)n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t k = j % m;
            const double v = k == 0 ? first : other * cosine((2 * (i % m) + 1) * k, m);
            s[i * n + j] = __builtin_popcountll((unsigned long long)(i / m & j / m)) % 2 ? -v : v;
        }
}

/* Rows p and q of a: [2 rows of n] turned by (cosine c, sine s). */
static void turn_rows(int64_t n, double *restrict p, double *restrict q, double c, double s)
{
    for (int64_t i = 0; i < n; i++) {
        const double x = p[i], y = q[i];
        p[i] = c * x - s * y;
        q[i] = s * x + c * y;
    }
}

/* The rotation that makes m[p][q] zero, on m and v. */
static void rotate(int64_t n, double *m, double *v, int64_t p, int64_t q)
{
    const double pq = m[p * n + q], theta = (m[q * n + q] - m[p * n + p]) / (2.0 * pq);
    const double t = (theta < 0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    const double pp = m[p * n + p] - t * pq, qq = m[q * n + q] + t * pq;
    turn_rows(n, m + p * n, m + q * n, c, s);
    for (int64_t i = 0; i < n; i++) { /* m stays symmetric: its columns are its rows */
        m[i * n + p] = m[p * n + i];
        m[i * n + q] = m[q * n + i];
    }
    m[p * n + p] = pp;
    m[q * n + q] = qq;
    m[p * n + q] = m[q * n + p] = 0.0;
    turn_rows(n, v + p * n, v + q * n, c, s);
}

/* Selection sort of the rows by the diagonal of m, ties by index; then the signs. */
static void sort_and_sign(int64_t n, double *m, double *v)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t least = i;
        for (int64_t j = i + 1; j < n; j++)
            if (m[j * n + j] < m[least * n + least]) least = j;
        const double value = m[least * n + least];
        m[least * n + least] = m[i * n + i];
        m[i * n + i] = value;
        double *const row = v + i * n, *const from = v + least * n;
        int64_t top = 0;
        for (int64_t k = 0; k < n; k++) {
            const double x = from[k];
            from[k] = row[k];
            row[k] = x;
            if (fabs(row[k]) > fabs(row[top])) top = k;
        }
        if (row[top] < 0)
            for (int64_t k = 0; k < n; k++) row[k] = -row[k];
    }
}

void gs_w4a4_eigen(int64_t n, double *m, double *v)
{
    enum { MOST_SWEEPS = 40 };
    double norm = 0;
    for (int64_t i = 0; i < n * n; i++) norm += m[i] * m[i];
    const double nothing = sqrt(norm) * 0x1p-58;
    memset(v, 0, (size_t)(n * n) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i * n + i] = 1.0;
    bool moved = true;
    for (int sweep = 0; sweep < MOST_SWEEPS && moved; sweep++) {
        moved = false;
        for (int64_t p = 0; p < n - 1; p++)
            for (int64_t q = p + 1; q < n; q++) {
                const double size = fabs(m[p * n + q]);
                if (!(size > nothing) || size <= 0x1p-53 * sqrt(fabs(m[p * n + p] * m[q * n + q]))) continue;
                rotate(n, m, v, p, q);
                moved = true;
            }
    }
    sort_and_sign(n, m, v);
}

/* With E = mᵀm - I small, m·(I + E)⁻¹ = m·(I - E + E²) up to E³, which is below float32's precision for bf16 factors. */
void gs_w4a4_inverse_transpose(int64_t n, const float *m, float *q)
{
    double *e = gs_alloc_array((size_t)(n * n), sizeof *e), *f = gs_alloc_array((size_t)(n * n), sizeof *f);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) e[i * n + j] += (double)m[k * n + i] * (double)m[k * n + j];
    for (int64_t i = 0; i < n; i++) e[i * n + i] -= 1.0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++) f[i * n + j] += e[i * n + k] * e[k * n + j];
    for (int64_t i = 0; i < n * n; i++) f[i] -= e[i];
    memset(e, 0, (size_t)(n * n) * sizeof *e);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++) e[i * n + j] += (double)m[i * n + k] * f[k * n + j];
    for (int64_t i = 0; i < n * n; i++) q[i] = (float)((double)m[i] + e[i]);
    gs_free(e);
    gs_free(f);
}
