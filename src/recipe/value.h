/* One word of the command line into one field. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_VALUE_H
#define GS_RECIPE_VALUE_H

#include "recipe/options.h"

/* Read `word` as o's kind and store it at o->field in *object; checks choices. Not for GS_OPT_STRINGS. Errors in argparse's
 * wording. */
gs_status gs_option_set(void *object, const gs_option *o, const char *word, gs_error *err) GS_CHECKED;
/* As Python's repr(): quoted, control characters and bad bytes escaped, long text cut. Returns buf. */
const char *gs_python_repr(const char *s, char *buf, size_t bytes);

#endif
