/* Is a result directory what it says it is, and would an engine run it rightly? A const table of checks (verify_table.c), each with
 * what would happen if its fault were shipped: names against description, types, shapes, encodings, values, and what is derived from
 * what. Every byte is read at most once, in pieces, and once more where there is a list of checksums; memory does not grow with the
 * model. A fault does not stop the others, except that a directory which cannot be opened has no tensors to look at. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_VERIFY_H
#define GS_FORMAT_VERIFY_H

#include "format/target.h"
#include "kernels/compute.h"

struct gs_verify;
struct gs_values;
struct gs_rows;

/* What a check needs before it can be made. */
typedef enum gs_verify_need {
    GS_NEED_FILES = 0,   /* a directory */
    GS_NEED_OPEN = 1,    /* that opens as a result */
    GS_NEED_FULL = 2,    /* reads whole weights, or judges files that a run only copies: not in a light run */
    GS_NEED_MODEL = 4,   /* the float checkpoint */
    GS_NEED_TARGET = 8,  /* any --target */
    GS_NEED_MINDIE = 16, /* --target mindie */
    GS_NEED_VLLM = 32,   /* --target vllm-ascend */
} gs_verify_need;

/* One of the three functions is set: for the directory as a whole, for a piece of a tensor of numbers, for rows of a linear. */
typedef struct gs_verify_check {
    const char *id;     /* "deq-product" */
    const char *title;  /* what is so in a good result: "deq_scale is input_scale times weight_scale" */
    const char *effect; /* what would happen if it were not */
    unsigned needs;     /* gs_verify_need */
    gs_status (*directory)(struct gs_verify *v, gs_error *err);
    void (*values)(struct gs_verify *v, const struct gs_values *x);
    gs_status (*rows)(struct gs_verify *v, const struct gs_rows *x, gs_error *err);
} gs_verify_check;

extern const gs_verify_check gs_verify_checks[];
extern const int gs_verify_check_count;

typedef enum gs_check_state { GS_CHECK_NOT_MADE, GS_CHECK_PASSED, GS_CHECK_WARNED, GS_CHECK_FAILED } gs_check_state;

typedef struct gs_finding {
    const gs_verify_check *check;
    bool warning;
    const char *text;    /* where and what: file, tensor, value */
    const char *effect;  /* what would happen if it were shipped */
    const void *subject; /* findings about the same thing are counted, not listed */
    int64_t more;        /* … so many more */
} gs_finding;

typedef struct gs_verify_request {
    const char *dir;
    const char *model_path;  /* the float checkpoint the result was made from; NULL = none */
    const gs_target *target; /* NULL = none */
    bool light;              /* nothing of the size of a weight is read: what a run checks of its own result */
    gs_compute *compute;
    const gs_watch *watch; /* NULL = none; progress only */
} gs_verify_request;

typedef struct gs_verify_result {
    gs_finding *findings;
    int n_findings;
    int64_t errors, warnings; /* all of them, listed or not */
    gs_check_state *state;    /* [gs_verify_check_count] */
    int64_t n_tensors;
    uint64_t bytes; /* read */
    gs_arena *arena;
} gs_verify_result;

/* Fails only where looking fails: no such directory, no memory, an I/O error, a model_path that is no checkpoint. Faults are
 * findings. */
gs_status gs_verify_run(const gs_verify_request *request, gs_verify_result *out, gs_error *err) GS_CHECKED;
void gs_verify_result_release(gs_verify_result *r);
/* docs/verify.md */
void gs_verify_markdown(gs_str *out);

#endif
