/* Shared by the two files of the bad_inputs program. SPDX-License-Identifier: Apache-2.0 */
#ifndef BAD_INPUTS_H
#define BAD_INPUTS_H

#include "base/mem.h"
#include "base/str.h"

typedef struct bad_case {
    const char *name;
    char *damage, *command;
    int code;
    char *texts;
} bad_case;

/* The table itself is wrong: message and exit code 99. */
_Noreturn void bad_stop(const char *what, const char *detail);
/* The text, moved to where it stays until the program ends; s is empty afterwards. */
char *bad_keep(gs_str *s);
/* A word of the table with its escapes replaced, kept; *n (may be NULL) = its bytes. */
char *bad_decode(const char *word, size_t *n);
/* Carries out the damages in the current directory. */
void bad_damage(char *damages);

#endif
