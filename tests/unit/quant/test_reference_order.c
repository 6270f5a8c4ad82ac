/* Products and attention as PyTorch 2.4.1 adds them (CPU, AVX2 kernels, one thread): fingerprints of what F.linear and
 * scaled_dot_product_attention gave for the same input. Depths of one block, two halves, blocks of 192 and a rest; sequences that
 * take each of the matrix library's orders: few keys, a last block of one, two or three queries, both behind a whole block of keys.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include "kernels/elem.h"
#include "quant/reference.h"

static float *values(int64_t n, uint64_t seed, float scale) { return fixture_data(KIND_UNIFORM, n, seed, scale, 0.0f); }

static void on_every_rung(void (*check)(gs_compute *c))
{
    for (int rung = 0; rung <= (int)gs_cpu_best(); rung++) {
        gs_compute c;
        gs_error err;
        if (gs_compute_open_rung(&c, 1 + rung % 2, (gs_rung)rung, &err) != GS_OK) fail_msg("%s", err.text);
        check(&c);
        gs_compute_close(&c);
    }
}

static void check_products(gs_compute *c)
{
    static const struct {
        int64_t rows, out, in;
        bool bias;
        uint64_t hash;
    } cases[] = {
        {9, 40, 128, true, 0x17c1d38903b6bcd0u},   {9, 40, 192, true, 0xb68a8a27679ff5cau},
        {5, 24, 200, true, 0x43eaf9b9f4a54846u},   {33, 40, 256, true, 0x4558c2f8ae8b8931u},
        {33, 40, 384, false, 0x250d8758a7df1365u}, {4, 20, 512, true, 0xe73ef12750c3eaa4u},
        {4, 20, 700, true, 0x62e1160e0cf32181u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t rows = cases[i].rows, out = cases[i].out, in = cases[i].in;
        float *w = values(out * in, 1, 1.0f), *x = values(rows * in, 2, 3.0f), *b = values(out, 3, 1.0f);
        float *y = malloc((size_t)(rows * out) * sizeof *y);
        gs_reference_linear r;
        gs_error err;
        if (gs_reference_init(&r, out, in, &err) != GS_OK) fail_msg("%s", err.text);
        gs_reference_set_rows(&r, c, 0, out, w);
        if (gs_reference_apply(&r, c, rows, x, cases[i].bias ? b : NULL, y, &err) != GS_OK) fail_msg("%s", err.text);
        if (fixture_hash(y, (size_t)(rows * out) * sizeof *y) != cases[i].hash)
            fail_msg("%lld rows of %lld, %s bias: other bits", (long long)rows, (long long)in,
                     cases[i].bias ? "a" : "no");
        gs_reference_release(&r);
        free(w);
        free(x);
        free(b);
        free(y);
    }
}

static void check_attention(gs_compute *c)
{
    static const struct {
        int64_t length, heads, groups, d;
        uint64_t hash;
    } cases[] = {
        {2, 8, 2, 32, 0xa55e7ad6d6484679u},   {3, 8, 2, 32, 0xde3a5d5dc9d688c6u},
        {5, 8, 2, 32, 0xba007d71bd574235u},   {8, 8, 2, 32, 0x0494f11fd4034a02u},
        {9, 4, 2, 16, 0xce9db56eaf1439deu},   {10, 4, 1, 64, 0x2d531064e5928bbfu},
        {11, 8, 2, 32, 0xaa4d902a2d60ca25u},  {11, 2, 1, 128, 0xb56b5bc031e62e87u},
        {12, 8, 2, 32, 0xbd9ab2e968be9460u},  {33, 8, 2, 32, 0x606461011c4a7822u},
        {34, 8, 2, 32, 0x8f9e86966345cb0fu},  {35, 8, 2, 32, 0xc521e109dffd7dacu},
        {65, 4, 2, 16, 0xd90687e32c6c9222u},  {97, 2, 1, 128, 0xf7f06bb90d75a3b8u},
        {161, 2, 1, 64, 0xfb46c8770e5e9986u}, {193, 2, 1, 32, 0x0776ca2304828213u},
        {257, 2, 1, 32, 0xcbf23e3fa140f1f3u}, {385, 2, 1, 32, 0xd985c62cc2c5a9c0u},
        {513, 2, 1, 32, 0x53d9664800a7de37u}, {514, 2, 1, 32, 0xe4c25bbc113733d2u},
        {517, 2, 1, 32, 0xcf5780fa87d75580u}, {522, 2, 1, 32, 0x69d0e13838de55cau},
        {769, 1, 1, 16, 0x2044334d3d282a6eu},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t n = cases[i].length, heads = cases[i].heads, groups = cases[i].groups, d = cases[i].d;
        const int64_t stride = (heads + 2 * groups) * d;
        float *qkv = values(n * stride, 4, 2.0f), *out = malloc((size_t)(n * heads * d) * sizeof *out);
        const float *const k = qkv + heads * d, *const v = k + groups * d;
        gs_attention_whole(c, n, qkv, stride, k, v, stride, heads, groups, d, out, heads * d);
        if (fixture_hash(out, (size_t)(n * heads * d) * sizeof *out) != cases[i].hash)
            fail_msg("%lld queries, heads of %lld: other bits", (long long)n, (long long)d);
        free(qkv);
        free(out);
    }
}

static void products(void **state)
{
    (void)state;
    on_every_rung(check_products);
}

static void attention(void **state)
{
    (void)state;
    on_every_rung(check_attention);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
