/* What a file of calibration texts holds. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_TEXTS_PARSE_H
#define GS_TEXT_TEXTS_PARSE_H

#include "text/samples.h"

/* Add the texts of data[0..n) to *out. Escapes in data are changed in place. `label` names it in messages. */
gs_status gs_texts_parse(gs_texts *out, char *data, size_t n, const char *label, gs_text_keys keys,
                         gs_error *err) GS_CHECKED;

void gs_texts_add(gs_texts *t, const char *text, size_t n);

#endif
