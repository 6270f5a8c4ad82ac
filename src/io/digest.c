/* See digest.h. Four lanes, so that multiplications overlap; each step is a bijection of the word, so that no change of one word goes
 * unseen. SPDX-License-Identifier: Apache-2.0 */
#include "io/digest.h"

#include <string.h>

#define LANES 4

static uint64_t step(uint64_t lane, uint64_t word)
{
    const uint64_t x = (lane ^ word) * 0xd6e8feb86659fd93u;
    return x << 29 | x >> 35;
}

uint64_t gs_digest(uint64_t seed, const void *data, size_t n)
{
    const unsigned char *at = data;
    uint64_t lane[LANES], word[LANES];
    for (int i = 0; i < LANES; i++) lane[i] = step(seed, (uint64_t)i + 1);
    size_t rest = n;
    for (; rest >= sizeof word; rest -= sizeof word, at += sizeof word) {
        memcpy(word, at, sizeof word);
        for (int i = 0; i < LANES; i++) lane[i] = step(lane[i], word[i]);
    }
    if (rest > 0) {
        memset(word, 0, sizeof word);
        memcpy(word, at, rest);
        for (int i = 0; i < LANES; i++) lane[i] = step(lane[i], word[i]);
    }
    uint64_t sum = step(seed, n);
    for (int i = 0; i < LANES; i++) sum = step(sum, lane[i]);
    return step(sum, sum >> 32);
}
