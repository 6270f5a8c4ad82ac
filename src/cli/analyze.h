/* What `glmslim analyze` prints. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_ANALYZE_H
#define GS_CLI_ANALYZE_H

#include "cli/common.h"
#include "eval/analyze.h"

/* Tables for a person; all: every linear of every scheme. */
void gs_analyze_text(const gs_analysis *a, bool all, gs_str *out);
char *gs_analyze_json(const gs_analysis *a, size_t *n); /* caller gs_free()s */
/* "--disable_names 'a' 'b'": the chosen linears, worst first; nothing if there are none. */
void gs_analyze_disable_names(const gs_analysis *a, const gs_analyze_scheme *s, gs_str *out);

#endif
