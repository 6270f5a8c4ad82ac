/* Sizes in words. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_SIZE_H
#define GS_RECIPE_SIZE_H

#include "base/status.h"

/* "1G", "800 MB", "1.5GiB", "900000000": K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024; a B may follow. NULL is 0; anything
 * else is at least 1. GS_ERR_USAGE naming the option. */
gs_status gs_size_parse(const char *option, const char *word, uint64_t *bytes, gs_error *err) GS_CHECKED;

#endif
