/* JSON in and out. Reading is jansson with duplicate keys rejected, behind size and nesting limits; writing is
 * ours, in the exact form of Python's json.dump(indent=n): ASCII-escaped, ", " and ": " separators as Python
 * places them, floats as Python's repr. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_JSON_H
#define GS_IO_JSON_H

#include <jansson.h>

#include "base/str.h"

/* Parse text[0..n): valid UTF-8, one document, nesting <= max_depth, no duplicate keys. `label` names the source
 * in errors (a path, or "command line"), with line and column. Any kind of value may be at the top; strings may hold
 * NUL: where it matters, compare json_string_length(). Integers beyond 64 bits become reals. Caller json_decref()s.
 * NULL on failure, GS_ERR_FILE. */
json_t *gs_json_parse(const char *text, size_t n, const char *label, int max_depth, gs_error *err);

/* Streaming writer. Objects and arrays nest; keys only inside objects. indent < 0 = compact ("," and ":"). */
typedef struct gs_json_out gs_json_out;
gs_json_out *gs_json_out_create(int indent);
void gs_json_out_begin(gs_json_out *j, char open); /* '{' or '[' */
void gs_json_out_end(gs_json_out *j);
void gs_json_out_key(gs_json_out *j, const char *key);
void gs_json_out_string(gs_json_out *j, const char *s); /* valid UTF-8 */
void gs_json_out_int(gs_json_out *j, int64_t v);
void gs_json_out_double(gs_json_out *j, double v); /* Python repr; NaN and Inf become null */
void gs_json_out_float(gs_json_out *j, float v);   /* shortest that reads back as the same float32 */
void gs_json_out_bool(gs_json_out *j, bool v);
void gs_json_out_null(gs_json_out *j);
void gs_json_out_raw(gs_json_out *j, const char *token); /* a finished value */
/* A key and its value. text: null for NULL and for what is not UTF-8. */
void gs_json_put_int(gs_json_out *j, const char *key, int64_t v);
void gs_json_put_double(gs_json_out *j, const char *key, double v);
void gs_json_put_bool(gs_json_out *j, const char *key, bool v);
void gs_json_put_string(gs_json_out *j, const char *key, const char *s); /* valid UTF-8 */
void gs_json_put_text(gs_json_out *j, const char *key, const char *s);
char *gs_json_out_finish(gs_json_out *j, size_t *n); /* frees j; the text is the caller's to gs_free */

/* Shortest text that reads back as v, spelled as Python's repr(float): "1.5625e-07", "100000.0", "1e+16". */
void gs_json_repr_double(double v, char out[32]);

/* Rewrite a JSON object as Python's json.load + json.dump(indent) would, with some top-level keys set: existing
 * keys keep their place, new ones go to the end. Integers of any size keep their digits, floats become Python's
 * repr. `sets` is an array of {key, value as finished JSON text already indented for depth 1}. Result is the
 * caller's to gs_free. */
typedef struct gs_json_set {
    const char *key;
    const char *value;
} gs_json_set;
gs_status gs_json_rewrite(const char *text, size_t n, const char *label, int indent, const gs_json_set *sets,
                          int n_sets, char **out, size_t *out_n, gs_error *err) GS_CHECKED;

#endif
