/* The four kinds of characters the pre-tokenizer knows, from one pinned Unicode version: token ids must not change with
 * a system library. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_UNICODE_H
#define GS_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

typedef enum gs_char_class {
    GS_CHAR_OTHER,  /* marks, punctuation, symbols, controls, unassigned */
    GS_CHAR_LETTER, /* general category L* */
    GS_CHAR_NUMBER, /* general category N* */
    GS_CHAR_SPACE,  /* property White_Space */
} gs_char_class;

typedef struct gs_char_range {
    uint32_t first, last; /* inclusive */
    gs_char_class kind;
} gs_char_range;

extern const char gs_unicode_version[];
extern const gs_char_range gs_char_ranges[]; /* sorted, disjoint */
extern const size_t gs_char_range_count;

gs_char_class gs_char_class_get(uint32_t code_point);

#endif
