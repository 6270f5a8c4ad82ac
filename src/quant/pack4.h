/* Two int4 codes per byte: the even one of a pair in the low four bits, two's complement. Pairs lie along the input (neighbours in a
 * row) or along the output (rows 2r and 2r + 1). SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_QUANT_PACK4_H
#define GS_QUANT_PACK4_H

#include "kernels/compute.h"

typedef enum gs_nibbles {
    GS_NIBBLES_NONE, /* not packed */
    GS_NIBBLES_IN,   /* [out, in] → [out, in/2]: in is even */
    GS_NIBBLES_OUT   /* [out, in] → [out/2, in]: chunks begin at an even row and hold an even number of rows */
} gs_nibbles;

/* codes: [rows, in], each in [-8, 7]; packed: rows·in/2 bytes elsewhere. Not for GS_NIBBLES_NONE. Parallel. */
void gs_nibbles_pack(gs_compute *c, gs_nibbles how, int64_t rows, int64_t in, const int8_t *codes, int8_t *packed);
/* One line of it, serial: a row of codes, or two. */
void gs_nibbles_pack_line(gs_nibbles how, int64_t in, const int8_t *codes, int8_t *packed);
/* The way back: rows and in are those of the codes. */
void gs_nibbles_unpack(gs_compute *c, gs_nibbles how, int64_t rows, int64_t in, const int8_t *packed, int8_t *codes);

#endif
