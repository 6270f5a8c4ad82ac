/* Sums of squared products, ‖F·d‖² over many vectors d with one fixed F: what a change d of an activation row does to a
 * linear's output (F = weights), or what a change d of a weight row does to it (F = inputs). Computed as the product itself,
 * or, when there are many more d than F has columns, as d·T·dᵀ with T triangular and T + Tᵀ = 2·FᵀF, whichever is less work.
 * The choice depends on sizes only. Private to smooth/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_SMOOTH_FORM_H
#define GS_SMOOTH_FORM_H

#include "kernels/gemm.h"

typedef enum gs_form_kind { GS_FORM_AUTO, GS_FORM_PRODUCT, GS_FORM_GRAM } gs_form_kind;

typedef struct gs_form {
    const gs_packed *factor; /* F: [n, channels], borrowed */
    gs_form_kind kind;
    int64_t n_blocks;
    gs_packed *block; /* [n_blocks] GRAM: rows of T; block b has GS_FORM_COLS rows and ends at the diagonal */
    int64_t tile;     /* vectors taken at once */
    double *row;      /* [tile] */
    float *out;       /* [tile, widest product] */
    gs_buf memory;    /* of row and out */
} gs_form;

#define GS_FORM_COLS 512

/* expected: about how many vectors will be summed in all. kind: AUTO, or a fixed one for tests. */
gs_status gs_form_init(gs_form *f, gs_compute *c, const gs_packed *factor, double expected, gs_form_kind kind,
                       gs_error *err) GS_CHECKED;
/* The most memory a form for [n, channels] takes, while it is made and after, whichever way it chooses. */
size_t gs_form_bytes(int64_t n, int64_t channels);
void gs_form_release(gs_form *f);
/* Adds ‖F·d_t‖² of all rows of d: [rows, channels] to *sum, in row order. */
void gs_form_add(const gs_form *f, gs_compute *c, int64_t rows, const float *d, double *sum);

#endif
