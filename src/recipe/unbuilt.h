/* Pieces of gs_recipe_resolve(): strings, notes, what has no effect. Private to the room.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_UNBUILT_H
#define GS_RECIPE_UNBUILT_H

#include "recipe/legal.h"

/* One line each into notes (may be NULL). A note is information, a warning may be a mistake. */
void gs_recipe_warn(gs_str *notes, const char *fmt, ...) GS_PRINTF(2, 3);
void gs_recipe_note(gs_str *notes, const char *fmt, ...) GS_PRINTF(2, 3);

/* Lengths of the script's checked strings, tokenizer_args. */
gs_status gs_recipe_check_strings(const gs_recipe *r, gs_str *notes, gs_error *err) GS_CHECKED;
/* Options that were written on the command line and change nothing in this combination. */
void gs_recipe_note_unused(const gs_recipe *r, const gs_resolved *s, gs_str *notes);

#endif
