/* What may be combined with what: spec/01 §2 (order of checks and wording), spec/00 §1, spec/06. Everything here is decided
 * from the recipe alone, before a file is opened. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_RECIPE_LEGAL_H
#define GS_RECIPE_LEGAL_H

#include "base/str.h"

/* The scheme a legal recipe asks for (spec/01 §2.2). */
typedef enum gs_quant_type {
    GS_Q_FLOAT,
    GS_Q_W8A8,
    GS_Q_W8A8_DYNAMIC,
    GS_Q_W8A16,
    GS_Q_W4A16,
    GS_Q_W8A8S,
    GS_Q_W4A8_DYNAMIC,
    GS_Q_W4A4_FLATQUANT_DYNAMIC,
} gs_quant_type;

#define GS_RANKS_MAX 16 /* the largest tp_size */

typedef struct gs_resolved {
    gs_quant_type type;
    int w_bit, a_bit;  /* after co_sparse's replacement */
    bool co_sparse;    /* after is_lowbit's override */
    bool lowbit_class; /* weights of spec/01 §9.3 */
    bool per_group;
    bool do_smooth;      /* never by group */
    int group_size;      /* -1 unless per_group */
    int disable_level;   /* n of L<n> */
    bool sparse_dynamic; /* sparse codes with activation scales at run time, written as W8A8_DYNAMIC */
    int ranks;           /* cards that are simulated: tp_size */
    bool comm;           /* scales of quantized communication are computed and written */
    bool comm_per_rank;
    bool npu_dtypes;     /* save_dtype checkpoint: dtypes of spec/06 §5 */
    uint64_t max_memory; /* bytes; 0 = no limit */
    bool extras;         /* report and manifest go into the output: neither no_extras nor reference_compat */
} gs_resolved;

/* Static name of a type: "W8A8". */
const char *gs_quant_type_name(gs_quant_type t);

/* Full check. notes (may be NULL) collects warnings, one line each; lines that begin with "note: " are information. */
gs_status gs_recipe_resolve(const gs_recipe *r, gs_resolved *out, gs_str *notes, gs_error *err) GS_CHECKED;

/* The type of a linear before anything is kept in float; dense: the output projection of attention. W4A4 is a mixture: a dense in
 * W4A4 needs a whole online pair, which no engine can cut for more cards. */
gs_quant_type gs_linear_type(const gs_recipe *r, const gs_resolved *s, bool dense);

/* The pad token that tokenizer_args asks for; the script's default ("<unk>") when it is not given. *out is NULL for none, else the
 * caller's to gs_free(). */
gs_status gs_recipe_pad_token(const gs_recipe *r, char **out, gs_error *err) GS_CHECKED;

#endif
