/* Pieces of verify: what is known while checks run, and how they report. Private to the room.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_VERIFY_PARTS_H
#define GS_FORMAT_VERIFY_PARTS_H

#include "format/quantread.h"
#include "format/verify.h"

/* A linear found in the result. Order: blocks · GS_ROLES, then the head. */
typedef struct gs_verify_linear {
    const char *prefix;
    int block; /* layers = the head */
    gs_role role;
    gs_quant_linear linear;
    const gs_tensor *gather, *reduce[GS_TP_RANKS_MAX]; /* communication scales of a linear not cut into cards */
    int n_reduce;
    bool own_reduce; /* each card has one; said of linears cut into cards too */
    bool found;      /* its tensors are there and of the right form */
} gs_verify_linear;

typedef struct gs_verify {
    const gs_verify_request *request;
    gs_verify_result *result;
    const gs_verify_check *check; /* the one that runs: findings are its */
    gs_arena *arena;              /* the result's: texts of findings */

    gs_quantdir q;
    bool opened;
    json_t *config; /* config.json of the result */

    /* verify_tensors.c */
    gs_verify_linear *linear; /* [n_linears] */
    int n_linears;
    gs_quant_norm *norm;                 /* [layers · GS_NORMS + 1], the last is the final norm */
    const gs_tensor *(*kv)[GS_KV_PARTS]; /* [layers] */
    const gs_tensor *(*fa)[GS_FA_PARTS];
    const gs_tensor *embedding;
    bool *known; /* [tensors] belongs to something */
    int cards;   /* of the linears that have something for each; 0 = none has */

    /* the float checkpoint */
    bool has_model;
    gs_checkpoint model;
    gs_config model_config;
    gs_model_tensors model_tensors;
    float
        *ratio; /* [layers · GS_NORMS, hidden] model's norm weight over the result's: what columns were multiplied by */
    bool smoothed;      /* some ratio is not 1 */
    struct gs_fit *fit; /* sums of the linear that goes by */
} gs_verify;

/* Faults and warnings of the check that runs. effect NULL: the check's own. */
void gs_verify_fail(gs_verify *v, const char *effect, const char *fmt, ...) GS_PRINTF(3, 4);
void gs_verify_warn(gs_verify *v, const char *effect, const char *fmt, ...) GS_PRINTF(3, 4);
/* The same for many faults of one subject (a tensor): the first is told, the others are counted. */
void gs_verify_fail_about(gs_verify *v, const void *subject, const char *fmt, ...) GS_PRINTF(3, 4);
/* A failed step as a finding; other kinds of failure (I/O, memory, interrupt) come back. */
gs_status gs_verify_absorb(gs_verify *v, gs_status status, gs_error *err);

const char *gs_verify_file_of(const gs_verify *v, const gs_tensor *t); /* name without directory */
bool gs_verify_is_static(const gs_verify_linear *l);                   /* W8A8 or W8A8S */
int64_t gs_verify_group_of(const gs_verify_linear *l);                 /* weights per scale; 0 = one scale per row */
int64_t gs_verify_group_said(const gs_verify *v); /* group_size of the description, or of config.json; 0 = none */

/* What must hold of the numbers of a tensor. */
typedef enum gs_use {
    GS_USE_POSITIVE = 1,
    GS_USE_ZERO = 2,
    GS_USE_WHOLE = 4,
    GS_USE_BYTE = 8,     /* whole, -128 to 127 */
    GS_USE_CACHE = 16,   /* offset of the key/value cache */
    GS_USE_PATTERN = 32, /* int64 that hold float32 bits */
    GS_USE_LATENT = 64,  /* asymmetric weights where the engine takes them for symmetric */
} gs_use;

/* Elements first .. first + n of a tensor that is no weight, as float32 (deq_scale decoded). */
typedef struct gs_values {
    const gs_tensor *tensor;
    unsigned use;
    int64_t first, n;
    const float *value;
    const int64_t *raw; /* the stored numbers of an I64 tensor, else NULL */
} gs_values;

/* Rows of one linear, or of its share on one card, or of the embedding. Members that its type lacks, or that were not read, are
 * NULL. Values come as they are stored: not finite ones too. */
typedef struct gs_rows {
    const gs_verify_linear *linear; /* NULL: the embedding */
    const gs_quant_part *part;
    const gs_scheme *scheme;
    const char *prefix;
    int64_t row0, rows, out, in; /* out: of the whole linear */
    gs_quant_values q;           /* of these rows */
    const int8_t *codes;         /* [rows, in] */
    const int32_t *row_sum;      /* [rows] */
    const float *weight;         /* [rows, in] of a float linear */
    float *model;                /* [rows, in] of the checkpoint; the last check to see it may change it */
    float *scratch;              /* [rows, in] where model is */
} gs_rows;

/* verify_values.c: every tensor but the weights, through the checks with .values */
gs_status gs_verify_values(gs_verify *v, gs_error *err) GS_CHECKED;
/* verify_rows.c: every weight in rows, through the checks with .rows */
gs_status gs_verify_rows(gs_verify *v, gs_error *err) GS_CHECKED;
/* verify_model.c */
gs_status gs_verify_model_open(gs_verify *v, gs_error *err) GS_CHECKED;
void gs_verify_model_close(gs_verify *v);
/* The checkpoint's tensor of a linear, or of the embedding (NULL). */
const gs_tensor *gs_verify_model_weight(const gs_verify *v, const gs_verify_linear *l);

void gs_verify_fit_free(struct gs_fit *f); /* verify_fit.c; NULL is fine */
/* How far rounding to the type of a stored value may have moved it. */
float gs_verify_slack(gs_dtype dtype, float value);

/* The runner's: call fn for every check of a kind that can be made, with v->check set. */
bool gs_verify_can(const gs_verify *v, const gs_verify_check *c);
void gs_verify_each_values(gs_verify *v, const gs_values *x);
gs_status gs_verify_each_rows(gs_verify *v, const gs_rows *x, gs_error *err) GS_CHECKED;

/* Whole small float tensor; values that are not finite come as they are. dst: [t->elements]. */
gs_status gs_verify_read(gs_verify *v, const gs_tensor *t, int64_t first, int64_t n, float *dst,
                         gs_error *err) GS_CHECKED;

/* The checks' functions; what they are about stands in the table. */
#define GS_CHECK_DIRECTORY(name) gs_status gs_check_##name(gs_verify *v, gs_error *err)
#define GS_CHECK_VALUES(name)    void gs_check_##name(gs_verify *v, const gs_values *x)
#define GS_CHECK_ROWS(name)      gs_status gs_check_##name(gs_verify *v, const gs_rows *x, gs_error *err)

#endif
