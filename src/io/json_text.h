/* Private to io/: JSON strings and numbers as text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_JSON_TEXT_H
#define GS_IO_JSON_TEXT_H

#include "base/str.h"

/* Append s[0..n), valid UTF-8 that may hold NUL, quoted and escaped to ASCII as Python does. */
void gs_json_add_string(gs_str *to, const char *s, size_t n);
/* As gs_json_repr_double, for a float32: shortest text that reads back as v. */
void gs_json_repr_float(float v, char out[32]);
/* The double that a JSON number token means, whatever the locale's decimal point. Token of any length. */
double gs_json_token_double(const char *token, size_t n);

typedef enum gs_string_fault {
    GS_STRING_OK,
    GS_STRING_OPEN,      /* no closing quote */
    GS_STRING_CONTROL,   /* a raw byte below 0x20 */
    GS_STRING_ESCAPE,    /* not an escape of JSON */
    GS_STRING_SURROGATE, /* half of a surrogate pair */
    GS_STRING_NUL,       /* \u0000 where the caller allows none */
} gs_string_fault;

const char *gs_string_fault_text(gs_string_fault fault);
/* Decode the string literal at s[0] == '"', s[0..n) valid UTF-8. out is cleared first; *used = its length with
 * quotes. */
gs_string_fault gs_json_decode_string(const char *s, size_t n, bool allow_nul, gs_str *out, size_t *used);

#endif
