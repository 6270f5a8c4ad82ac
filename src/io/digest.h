/* A quick checksum, 64 bits: it finds torn and mixed-up data, and is no protection against somebody who wants it to match.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_DIGEST_H
#define GS_IO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* of n bytes; seed: 0, or the digest of what comes before */
uint64_t gs_digest(uint64_t seed, const void *data, size_t n);

#endif
