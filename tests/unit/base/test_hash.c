/* The keyed hash, held to values of another implementation of SipHash-1-3. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static void test_known(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash;
    } known[] = {{0, 0xabac0158050fc4dc}, {1, 0xc9f49bf37d57ca93}, {2, 0x82cb9b024dc7d44d},  {3, 0x8bf80ab8e7ddf7fb},
                 {4, 0xcf75576088d38328}, {5, 0xdef9d52f49533b67}, {6, 0xc50d2b50c59f22a7},  {7, 0xd3927d989bb11140},
                 {8, 0x369095118d299a8e}, {9, 0x25a48eb36c063de4}, {15, 0xd320d86d2a519956}, {16, 0xcc4fdd1a7d908b66},
                 {63, 0x9d199062b7bbb3a8}};
    const gs_hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
    char bytes[64];
    for (int i = 0; i < 64; i++) bytes[i] = (char)i;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(gs_hash_bytes(&key, bytes, known[i].n) == known[i].hash);
}

static void test_keys(void **state)
{
    (void)state;
    const gs_hash_key a = gs_hash_key_make(), b = gs_hash_key_make();
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_true(gs_hash_bytes(&a, "name", 4) != gs_hash_bytes(&b, "name", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
