/* The documented command lines, one or more per type: docs/recipes.md and the man page print them, and a type's name alone stands
 * for its first. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_RECIPES_H
#define GS_RECIPE_RECIPES_H

typedef struct gs_recipe_line {
    const char *type;    /* "W8A8" */
    const char *about;   /* "int8 weights" */
    const char *options; /* "--w_bit 8 --a_bit 16" */
} gs_recipe_line;

extern const gs_recipe_line gs_recipe_lines[];
extern const int gs_recipe_line_count;

/* The first line of a type; NULL = no such type. */
const gs_recipe_line *gs_recipe_line_find(const char *type);

#endif
