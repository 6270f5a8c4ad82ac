/* See hash.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

gs_hash_key gs_hash_key_make(void)
{
    gs_hash_key key;
    if (getrandom(key.word, sizeof key.word, GRND_NONBLOCK) != (ssize_t)sizeof key.word) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        key.word[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
        key.word[1] = (uint64_t)(uintptr_t)&key ^ (uint64_t)now.tv_sec;
    }
    return key;
}

/* n < 8 bytes, the first one lowest: two reads that may overlap. */
static inline uint64_t read_rest(const char *at, size_t n)
{
    const unsigned char *const byte = (const unsigned char *)at;
    uint32_t low, high;
    if (n < 4)
        return n == 0 ? 0 : byte[0] | (uint64_t)byte[n / 2] << 8 * (n / 2) | (uint64_t)byte[n - 1] << 8 * (n - 1);
    memcpy(&low, at, 4);
    memcpy(&high, at + n - 4, 4);
    return low | (uint64_t)high << 8 * (n - 4);
}

uint64_t gs_hash_bytes(const gs_hash_key *key, const char *bytes, size_t n)
{
    const uint64_t *const k = key->word;
    uint64_t v[4] = {k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du, k[0] ^ 0x6c7967656e657261u,
                     k[1] ^ 0x7465646279746573u};
    for (size_t at = 0; at <= n; at += 8) {
        uint64_t word;
        if (n - at >= 8)
            memcpy(&word, bytes + at, 8);
        else
            word = read_rest(bytes + at, n - at) | (uint64_t)n << 56; /* the last word carries the length */
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
