/* Pieces of the text report. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_REPORT_TABLE_H
#define GS_REPORT_TABLE_H

#include "report/report.h"

/* "transformer.encoder.layers.12.mlp.dense_4h_to_h" is block 12, linear "dense_4h_to_h"; block -1 outside of the blocks. */
typedef struct gs_linear_place {
    int block;
    const char *linear; /* points into the name */
} gs_linear_place;
gs_linear_place gs_linear_place_of(const char *name);

/* More linears than this are shown by block instead of by linear. */
#define GS_REPORT_ROWS 48

void gs_report_linears(const gs_report *r, gs_str *out);
/* One line per group that outlier suppression has transformed; nothing when there are none. */
void gs_report_groups(const gs_report *r, gs_str *out);
/* One line per W4A4 linear: exponent of d, clip ratio, error found in the search. */
void gs_report_transforms(const gs_report *r, gs_str *out);
/* "40 default fallback, 1 last linear": linears that stay float, by reason; empty when there are none. */
void gs_report_floats(const gs_report *r, gs_str *out);

#endif
