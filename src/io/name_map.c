/* Open addressing with linear probing, at most half full.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io/name_map.h"

#include <stdint.h>
#include <string.h>

#include "base/hash.h"

typedef struct slot {
    const char *name; /* NULL = free */
    uint64_t hash;
    int64_t number;
} slot;

struct gs_name_map {
    slot *slots;
    size_t mask, used;
    gs_hash_key key;
};

gs_name_map *gs_name_map_create(int64_t expected)
{
    size_t slots = 16;
    while (slots < (size_t)expected * 2) slots *= 2;
    gs_name_map *m = gs_alloc(sizeof *m);
    m->slots = gs_alloc_array(slots, sizeof *m->slots);
    m->mask = slots - 1;
    m->key = gs_hash_key_make();
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
    const uint64_t hash = gs_hash_bytes(&m->key, name, strlen(name));
    slot *s = find_slot(m, name, hash);
    if (s->name != NULL) return false;
    *s = (slot){name, hash, number};
    m->used++;
    if (m->used * 2 > m->mask) grow(m);
    return true;
}

int64_t gs_name_map_find(const gs_name_map *m, const char *name)
{
    const slot *s = find_slot(m, name, gs_hash_bytes(&m->key, name, strlen(name)));
    return s->name == NULL ? -1 : s->number;
}
