/* The numeric contract, frozen: fingerprints of what the kernels compute from fixed input. Block lengths, orders of addition and
 * the exponential show in them; a change here changes the output of every user, so it must be meant. The same figures came
 * from gcc 12 and clang 14. SPDX-License-Identifier: Apache-2.0 */
#include "unit/kernels/helpers.h"

#include "kernels/elem.h"
#include "kernels/gemm.h"

enum { ROWS = 150, WIDTH = 640, DEPTH = 1300 };

static float input[ROWS * DEPTH], output[ROWS * WIDTH];

static void fill_input(void)
{
    uint32_t state = 7;
    for (int i = 0; i < ROWS * DEPTH; i++) {
        state = state * 1664525u + 1013904223u;
        input[i] = (float)((double)(state >> 8) / (1 << 22) - 2);
    }
}

/* FNV-1a */
static uint64_t fingerprint(const void *data, size_t bytes)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return hash;
}

static uint64_t of_rmsnorm(gs_compute *c)
{
    gs_rmsnorm(c, ROWS, WIDTH, input, input + 5, input + 9, 1e-5f, output);
    return fingerprint(output, sizeof output);
}

static uint64_t of_swiglu(gs_compute *c)
{
    gs_swiglu(c, ROWS, WIDTH, input, output);
    return fingerprint(output, sizeof output);
}

static uint64_t of_attention(gs_compute *c)
{
    gs_attention(c, ROWS, 0, input, WIDTH, input + 384, input + 512, WIDTH, 6, 2, 64, output, 384);
    return fingerprint(output, ROWS * 384 * sizeof *output);
}

static uint64_t of_attention_whole(gs_compute *c)
{
    gs_attention_whole(c, ROWS, input, WIDTH, input + 384, input + 512, WIDTH, 6, 2, 64, output, 384);
    return fingerprint(output, ROWS * 384 * sizeof *output);
}

static uint64_t of_sums(gs_compute *c)
{
    double sums[2];
    gs_sum_squares(c, ROWS, WIDTH, input, input + 3, &sums[0], &sums[1]);
    return fingerprint(sums, sizeof sums);
}

static uint64_t of_rope(gs_compute *c)
{
    gs_rope rope;
    memcpy(output, input, sizeof output);
    assert_int_equal(gs_rope_init(&rope, ROWS + 3000, 32, 10000.0, NULL), GS_OK);
    gs_rope_apply(c, &rope, ROWS, output, WIDTH, 9, 64, 3000);
    gs_rope_release(&rope);
    return fingerprint(output, sizeof output);
}

static uint64_t of_product(gs_compute *c)
{
    gs_packed p;
    assert_int_equal(gs_packed_alloc(&p, GS_PACK_F32, 75, DEPTH, "test", NULL), GS_OK);
    gs_pack_rows(c, &p, 0, 75, input);
    gs_gemm_f32(c, &p, 75, input + 75 * DEPTH, DEPTH, input + 3, output, 75);
    gs_packed_release(&p);
    return fingerprint(output, 75 * 75 * sizeof *output);
}

static void bits_are_frozen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t (*compute)(gs_compute *c);
        uint64_t expected;
    } table[] = {
        {"rmsnorm", of_rmsnorm, 0xc873b155045cb9eeu},     {"swiglu", of_swiglu, 0x05a5bd3d00ad85d0u},
        {"attention", of_attention, 0xf47357c1fea8c148u}, {"attention_whole", of_attention_whole, 0x9d1a33679c9131f3u},
        {"sum_squares", of_sums, 0x73ecc3eaa048843bu},    {"rope", of_rope, 0xb90b1dfb0967159au},
        {"product", of_product, 0xd53f6ff7a050899du},
    };
    fill_input();
    int wrong = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int rung = 0; rung < all.rungs; rung++)
            for (int t = 0; t < THREAD_COUNTS; t++) {
                const uint64_t got = table[i].compute(&all.c[rung][t]);
                if (got == table[i].expected) continue;
                print_message("%s on %s, %d threads: 0x%016llx\n", table[i].name, gs_rung_name((gs_rung)rung),
                              thread_counts[t], (unsigned long long)got);
                wrong++;
            }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_are_frozen)};
    return cmocka_run_group_tests(tests, contexts_open, contexts_close);
}
