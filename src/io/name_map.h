/* Private to io/: a hash table from names to numbers; names come from files (base/hash.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_NAME_MAP_H
#define GS_IO_NAME_MAP_H

#include "base/mem.h"

typedef struct gs_name_map gs_name_map;

gs_name_map *gs_name_map_create(int64_t expected);
void gs_name_map_free(gs_name_map *m); /* NULL is fine */
/* Names are borrowed and must outlive the map. False when the name is there already; its number stays. number >= 0. */
bool gs_name_map_add(gs_name_map *m, const char *name, int64_t number);
int64_t gs_name_map_find(const gs_name_map *m, const char *name); /* -1 = absent */

#endif
