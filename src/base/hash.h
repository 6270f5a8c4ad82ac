/* The hash of tables whose keys come from files. It is keyed (SipHash, Aumasson and Bernstein 2012, one compression and three
 * finishing rounds) by a number that differs from run to run: nobody can prepare a file whose names all collide. So nothing that is
 * written may depend on it. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_BASE_HASH_H
#define GS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct gs_hash_key {
    uint64_t word[2];
} gs_hash_key;

gs_hash_key gs_hash_key_make(void); /* a new one */
uint64_t gs_hash_bytes(const gs_hash_key *key, const char *bytes, size_t n);

#endif
