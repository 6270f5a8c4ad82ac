/* Open addressing with linear probing, at most half full. See name_map.h for the hash.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/name_map.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

typedef struct slot {
    const char *name; /* NULL = free */
    uint64_t hash;
    int64_t number;
} slot;

struct gs_name_map {
    slot *slots;
    size_t mask, used;
    uint64_t key[2];
};

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void sip_round(uint64_t v[4])
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

static uint64_t hash_name(const uint64_t key[2], const char *name, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    for (size_t at = 0; at <= n; at += 8) {
        uint64_t word = 0;
        const size_t left = n - at;
        memcpy(&word, name + at, left < 8 ? left : 8);
        if (left < 8) word |= (uint64_t)n << 56; /* the last word carries the length */
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

gs_name_map *gs_name_map_create(int64_t expected)
{
    size_t slots = 16;
    while (slots < (size_t)expected * 2) slots *= 2;
    gs_name_map *m = gs_alloc(sizeof *m);
    m->slots = gs_alloc_array(slots, sizeof *m->slots);
    m->mask = slots - 1;
    if (getrandom(m->key, sizeof m->key, GRND_NONBLOCK) != (ssize_t)sizeof m->key) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        m->key[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
        m->key[1] = (uint64_t)(uintptr_t)m ^ (uint64_t)now.tv_sec;
    }
    return m;
}

void gs_name_map_free(gs_name_map *m)
{
    if (m == NULL) return;
    gs_free(m->slots);
    gs_free(m);
}

/* The slot that holds the name, or the free one where it belongs. */
static slot *find_slot(const gs_name_map *m, const char *name, uint64_t hash)
{
    for (size_t i = (size_t)hash & m->mask;; i = (i + 1) & m->mask) {
        slot *s = &m->slots[i];
        if (s->name == NULL || (s->hash == hash && strcmp(s->name, name) == 0)) return s;
    }
}

static void grow(gs_name_map *m)
{
    slot *old = m->slots;
    const size_t n_old = m->mask + 1;
    m->mask = n_old * 2 - 1;
    m->slots = gs_alloc_array(n_old * 2, sizeof *m->slots);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].name != NULL) *find_slot(m, old[i].name, old[i].hash) = old[i];
    gs_free(old);
}

bool gs_name_map_add(gs_name_map *m, const char *name, int64_t number)
{
    const uint64_t hash = hash_name(m->key, name, strlen(name));
    slot *s = find_slot(m, name, hash);
    if (s->name != NULL) return false;
    *s = (slot){name, hash, number};
    m->used++;
    if (m->used * 2 > m->mask) grow(m);
    return true;
}

int64_t gs_name_map_find(const gs_name_map *m, const char *name)
{
    const slot *s = find_slot(m, name, hash_name(m->key, name, strlen(name)));
    return s->name == NULL ? -1 : s->number;
}
