/* Values as bytes and back, by one description for both directions: a function that visits a struct's members writes them if the wire
 * has an output, and reads them otherwise. What is read is not trusted: beyond the end, or with a count that the rest cannot hold,
 * the wire turns bad and gives zeros. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_IO_WIRE_H
#define GS_IO_WIRE_H

#include "base/mem.h"
#include "base/str.h"

typedef struct gs_wire {
    gs_str *out; /* NULL = reading */
    const unsigned char *at, *end;
    bool bad;
} gs_wire;

void gs_wire_bool(gs_wire *w, bool *v);
void gs_wire_int(gs_wire *w, int *v); /* as 64 bits */
void gs_wire_i64(gs_wire *w, int64_t *v);
void gs_wire_u64(gs_wire *w, uint64_t *v);
void gs_wire_f32(gs_wire *w, float *v);
void gs_wire_f64(gs_wire *w, double *v);
void gs_wire_text(gs_wire *w, char **v);                /* NULL is kept; what is read is the caller's to gs_free() */
void gs_wire_floats(gs_wire *w, float **v, int64_t *n); /* likewise; none: NULL and 0 */
/* The number of elements of a list and room for them: returns `list` when writing; when reading, *n zeroed elements of `size` bytes
 * that the caller frees (NULL for none). least: bytes that one takes at least. */
void *gs_wire_list(gs_wire *w, void *list, int *n, size_t size, size_t least);

#endif
