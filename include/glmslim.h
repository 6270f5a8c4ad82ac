/* glmslim: post-training quantization of the GLM-4 family.
 *
 * A recipe goes in, a quantized directory and a report come out. The library prints nothing: what a person should
 * see arrives through gs_watch. Every function that can fail returns a gs_status and takes a gs_error last; the text
 * names file, tensor, value and remedy. Strings in a recipe are borrowed from the caller unless said otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GLMSLIM_H
#define GLMSLIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLMSLIM_VERSION "0.1.0"

/* Kinds of failure; the number is the program's exit code. */
typedef enum gs_status {
    GS_OK = 0,
    GS_ERR_USAGE = 2,       /* illegal options or combination */
    GS_ERR_IO = 3,          /* the operating system refused */
    GS_ERR_FILE = 4,        /* a file's content is wrong */
    GS_ERR_UNSUPPORTED = 5, /* legal, but not done by this program */
    GS_ERR_NUMERIC = 6,     /* NaN or Inf where a number is needed */
    GS_ERR_MEMORY = 7,
    GS_ERR_INTERRUPTED = 8,
} gs_status;

typedef struct gs_error {
    gs_status status;
    int code;        /* errno value of what the operating system refused; 0 = nothing */
    char text[2048]; /* one sentence or more, never empty after a failure */
} gs_error;

/* What was asked: the 36 parameters of quant_glm.py under their own names, then ours. gs_recipe_defaults() fills every
 * field. Arrays are NULL-terminated lists owned by the recipe's maker. */
typedef struct gs_recipe {
    const char *model_path;
    const char *save_directory;
    int64_t part_file_size;         /* GiB per shard; 0 = not given, one file */
    const char *const *calib_texts; /* NULL = not given */
    const char *calib_file;         /* NULL = not given */
    const char *anti_file;          /* NULL = not given */
    int w_bit, a_bit;
    const char *const *disable_names; /* NULL = not given: the default fallback applies */
    const char *device_type;          /* "cpu" | "npu" */
    double fraction;
    int act_method; /* 1 min-max mean, 2 histogram, 3 auto */
    bool co_sparse;
    const char *anti_method;   /* "" = none */
    const char *disable_level; /* "L<n>" */
    bool do_smooth;
    bool use_sigma;
    double sigma_factor;
    bool use_reduce_quant;
    int tp_size;
    bool is_lowbit;
    bool mm_tensor;
    bool w_sym;
    bool use_kvcache_quant;
    bool use_fa_quant;
    int fa_amp;
    bool open_outlier;
    int group_size;
    bool is_dynamic;
    const char *input_ids_name;
    const char *attention_mask_name;
    const char *tokenizer_args; /* JSON object as text; NULL = the script's default */
    bool disable_last_linear;
    const char *model_name;
    bool trust_remote_code;
    bool mindie_format;

    /* ours */
    const char *save_dtype; /* "checkpoint" | "float32" */
    const char *target;     /* engine to write for: "mindie" | "vllm-ascend"; NULL = the reference's layout */
    bool reduce_per_device; /* use_reduce_quant: each card its own reduce_scale */
    bool reference_compat;  /* reproduce the reference's deviations: docs/differences.md */
    bool strict_device;     /* device_type npu without an Ascend runtime is an error */
    bool overwrite;         /* replace an existing output directory */
    bool dry_run;
    bool no_extras;
    bool w4a4_all;              /* W4A4: dense and dense_4h_to_h too */
    int threads;                /* 0 = all this process may use */
    const char *max_memory;     /* "1G"; NULL = no limit */
    bool restart;               /* do not go on from an earlier run's work folder */
    double checkpoint_interval; /* seconds of work that may be lost; 0 = every finished block is kept */
    const char *compute;        /* of float linears in the calibration passes: "f32" | "bf16" */

    uint64_t given; /* bit i = option i of the table was on the command line (recipe/options.h) */
} gs_recipe;

/* How the run looks from outside. Any member may be NULL. Calls come from the thread that called gs_quantize(). */
typedef enum gs_level { GS_INFO, GS_WARNING } gs_level;

typedef struct gs_progress {
    const char *step;                  /* "read", "float", "quantize", "calibrate", "write", … */
    int block, n_blocks;               /* current block, 0-based */
    int64_t tokens_done, tokens_total; /* work in token-blocks, all passes */
    double seconds;                    /* since the walk began */
    double tokens_per_s;               /* token-blocks per second so far; 0 before the first */
    double eta_s;                      /* < 0 = unknown */
    uint64_t memory_bytes;             /* resident now */
} gs_progress;

typedef struct gs_watch {
    void *ctx;
    void (*progress)(void *ctx, const gs_progress *p);
    void (*message)(void *ctx, gs_level level, const char *text);
} gs_watch;

/* One linear of the result. Ranges and scales are those after the last sample. */
typedef struct gs_linear_result {
    const char *name; /* full tensor prefix, owned by the report */
    const char *type; /* "W8A8", "FLOAT", … static string */
    const char *
        why_float; /* NULL, or why it stayed float: "disable_names", "default fallback", "disable_level", "last linear" */
    const char *observer; /* "min-max" | "histogram" | NULL */
    double score;         /* range / std of spec 01 3.4(a); NaN = not computed */
    double range_min, range_max;
    double input_scale, input_offset;
    double weight_scale_min, weight_scale_max;
    double weight_sqnr_db;                   /* NaN for float */
    double transform_alpha, transform_error; /* W4A4: exponent of d (NaN = no d), squared error of the output over its
                                              * square with plain rounding */
    double clip_ratio;                       /* W4A4; 0 or NaN = another type */
    int64_t out, in;
} gs_linear_result;

/* One group that outlier suppression or do_smooth has transformed. NaN = the method has no such figure. */
typedef struct gs_group_result {
    char *name; /* "block 3: input_layernorm -> self_attention.query_key_value", owned by the report */
    int block;
    const char *linear; /* the consumer, as the checkpoint calls it; static string */
    const char *method; /* "m2", "do_smooth" */
    const char *branch; /* which rule of the method was used; NULL = it has one */
    double alpha, beta, threshold;
    double loss_before, loss_after;   /* in the method's own measure */
    double range_before, range_after; /* max |x| of the linear's input */
    int64_t scaled_channels;          /* < 0 = unknown */
} gs_group_result;

typedef struct gs_gemm_result {
    const char *kind;  /* "f32", "s8", "bf16" */
    double seconds;    /* wall time inside the GEMM */
    double operations; /* 2*m*n*k summed */
    double peak_per_s; /* measured peak of that arithmetic on all threads of the run */
} gs_gemm_result;

typedef struct gs_phase_result {
    const char *name;
    double seconds;
} gs_phase_result;

typedef struct gs_output_file {
    const char *name;
    uint64_t bytes;
    int64_t n_tensors;
} gs_output_file;

typedef struct gs_type_total {
    const char *type; /* "W8A8", "FLOAT", "C8" */
    int64_t n_tensors;
    uint64_t bytes;
} gs_type_total;

/* What a run has read, so that it can be told from what looks like it. */
typedef struct gs_input_file {
    const char *kind; /* "weights", "config", "copied", "calib_file", "anti_file" */
    char *name;       /* inside the model directory; NULL for texts, which may lie anywhere */
    uint64_t bytes;
    char sha256[65]; /* of the content; of header and samples for "weights" (docs/report.md) */
} gs_input_file;

/* What gs_watch.message was told. */
typedef struct gs_report_message {
    gs_level level;
    char *text;
} gs_report_message;

typedef struct gs_report {
    char *quant_type;  /* model_quant_type */
    const char *codes; /* what that name does not say about the codes; NULL = nothing */
    char *output;      /* directory */
    bool dry_run;
    gs_linear_result *linears;
    int n_linears;
    gs_group_result *groups;
    int n_groups;
    gs_gemm_result gemm[3];
    int n_gemm;
    gs_phase_result phases[16];
    int n_phases;
    gs_output_file *files;
    int n_files;
    gs_type_total types[8];
    int n_types;
    gs_input_file *inputs;
    int n_inputs;
    gs_report_message *messages;
    int n_messages;
    char **texts; /* that members above point to */
    int n_texts;
    const char *pass; /* of the walk: "blocks", or "rows": no hidden states, no block in memory; static string */
    int64_t n_samples, n_tokens;
    uint64_t input_bytes, output_bytes;
    uint64_t planned_peak_bytes;  /* what the plan promised */
    uint64_t spilled_bytes;       /* hidden states in a file, because of max_memory */
    uint64_t measured_peak_bytes; /* peak resident set of the process, 0 on a dry run */
    double seconds;
    double estimated_seconds; /* plan */
    int threads;
    const char *cpu; /* instruction set in use */
} gs_report;

void gs_recipe_defaults(gs_recipe *recipe);

/* Check the recipe, plan, and unless dry_run do the work. *out is set on success and freed by gs_report_free().
 * On failure nothing is left at save_directory. */
gs_status gs_quantize(const gs_recipe *recipe, const gs_watch *watch, gs_report **out, gs_error *err);
void gs_report_free(gs_report *report);

/* Ask a running gs_quantize() to stop cleanly (GS_ERR_INTERRUPTED). Async-signal-safe. */
void gs_interrupt(void);

#endif
