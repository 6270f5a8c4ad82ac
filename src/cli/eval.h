/* What `glmslim eval` prints. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLI_EVAL_H
#define GS_CLI_EVAL_H

#include "cli/common.h"
#include "eval/eval.h"

/* Tables for a person; layers: every linear of every result. */
void gs_eval_text(const gs_eval *e, const char *text_path, const char *choices_path, bool layers, gs_str *out);
char *gs_eval_json(const gs_eval *e, size_t *n); /* caller gs_free()s */

#endif
