/* The pre-tokenizer: cuts text into the pieces that BPE works on. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_PRESPLIT_H
#define GS_TEXT_PRESPLIT_H

#include <stddef.h>

/* End of the piece that starts at byte `at` of text[0..n), at < n; the text is valid UTF-8 and `at` a character's
 * start. Linear over a whole text. */
size_t gs_presplit_next(const char *text, size_t n, size_t at);

#endif
