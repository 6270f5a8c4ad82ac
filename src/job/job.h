/* One run of gs_quantize(): what was asked, what was found on disk, what was decided. Filled front to back by prepare.c,
 * choose.c and plan.c before the first weight is read; the walk only reads it. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_JOB_H
#define GS_JOB_JOB_H

#include "calib/observer.h"
#include "format/format.h"
#include "format/target.h"
#include "io/outdir.h"
#include "kernels/compute.h"
#include "job/resume.h"
#include "job/transform.h"
#include "model/family.h"
#include "quant/rule.h"
#include "text/samples.h"

#define GS_TOKENIZER_FILES 2
#define GS_SCORE_SAMPLES   5 /* the reference scores layers on calib_data[:5] */

typedef struct gs_job {
    const gs_recipe *recipe;
    const gs_watch *watch;
    gs_resolved resolved;
    const gs_format *format;
    const gs_target *target; /* NULL = the reference's layout */

    gs_config config;
    const gs_family *family;
    gs_checkpoint checkpoint;
    gs_model_tensors tensors;
    gs_samples samples;    /* calibration */
    gs_samples calibrated; /* view: samples of the fake-quantized stream: all, the first, or none */
    gs_samples scored;     /* view of the first GS_SCORE_SAMPLES samples; borrows from samples */
    gs_samples anti;       /* outlier samples; empty without anti_method */
    bool kv_from_anti;     /* anti and calibration samples are the same: one float stream serves both */
    bool data_free;        /* the calibration list is empty, which some types can do without */
    gs_weight_rule rule;
    bool *fa;                    /* [layers] attention to quantize (use_fa_quant); NULL = nowhere */
    float *fa_score;             /* [layers] of the first sample; fa_amp */
    bool fa_pending;             /* fa_amp > 0: the pre-walk still has to rank */
    float *max_input;            /* [n_linears] largest |input| in the first sample; low-bit disable_level */
    const gs_smoother *smoother; /* NULL = none */
    gs_transform *transform;     /* [layers] */
    char *calib_source;
    gs_stamp tokenizer[GS_TOKENIZER_FILES]; /* of its files, before they were read */

    int n_linears;      /* layers · GS_ROLES + head */
    gs_choice *choice;  /* [n_linears], in execution order */
    gs_score *score;    /* [n_linears] */
    bool level_pending; /* disable_level > 0: the pre-walk still has to rank */

    gs_compute compute;
    gs_manifest manifest;
    uint64_t copied_bytes; /* of the files that the output takes over */
    uint64_t planned_peak;
    bool spill;            /* hidden states go to files … */
    const char *spill_dir; /* … in the work folder; borrowed */
    bool one_block;        /* no block is read ahead */
    double estimated_seconds;

    double started;
    gs_phase_result phase[16];
    int n_phases;
    int64_t work_done, work_total; /* token-blocks */
    double walk_started;
    int pass_block; /* for progress */

    gs_resume resume;
    gs_report *report;
} gs_job;

/* prepare.c: check recipe and inputs, open everything, tokenize. */
gs_status gs_job_prepare(gs_job *job, gs_error *err) GS_CHECKED;
void gs_job_release(gs_job *job);
/* Would --target load this? Asked again when the rankings have changed what stays float. */
gs_status gs_job_check_target(const gs_job *job, gs_error *err) GS_CHECKED;
/* texts.c: calibration and outlier texts to token ids. */
gs_status gs_job_read_texts(gs_job *job, gs_error *err) GS_CHECKED;
/* At the end: have the tokenizer's files, which are copied into the result, changed since the ids were made? */
gs_status gs_job_check_tokenizer(gs_job *job, gs_error *err) GS_CHECKED;

/* choose.c: which linears stay float, and why. */
gs_status gs_job_choose(gs_job *job, gs_error *err) GS_CHECKED;
void gs_job_choose_level(gs_job *job);             /* after the pre-walk: ranking by score, or by largest input */
void gs_job_choose_attention(gs_job *job);         /* after the pre-walk: the fa_amp highest scores stay float */
bool gs_job_any_w4a4(const gs_job *job, int from); /* is any linear from this one on W4A4? */
bool gs_job_any_attention(const gs_job *job, int from);
void gs_job_set_streams(gs_job *job); /* which samples the fake-quantized stream carries */
bool gs_job_is_quantized(const gs_job *job, int linear);
gs_observer_kind gs_job_observer_kind(const gs_job *job, int linear);
bool gs_job_scores_ahead(const gs_job *job); /* gs_pass_rank comes first: disable_level, or act_method 3 with fa_amp */
bool gs_job_wants_scores(const gs_job *job); /* act_method 3 in the main walk */
bool gs_job_needs_blocks(const gs_job *job); /* the main walk loads blocks, gs_pass_quantize; else gs_pass_rows */
bool gs_job_uses_texts(const gs_job *job);   /* … or a ranking looks at the calibration texts */
/* The largest chunk of any stream. */
int64_t gs_job_chunk_rows(const gs_job *job);
int gs_job_linear(int block, gs_role role); /* index into choice and score */

/* How far each pass must go in a block; GS_UNTIL_NOTHING = the pass can skip the block. */
#define GS_UNTIL_NOTHING (-1)
int gs_job_float_until(const gs_job *job, int block);
int gs_job_calibrate_until(const gs_job *job, int block);

/* plan.c: layout of the output, peak memory, time, disk space; fills the report's plan. */
gs_status gs_job_plan(gs_job *job, gs_error *err) GS_CHECKED;

/* memory.c */
size_t
gs_job_slot_bytes(const gs_job *job); /* the largest piece of output that the pass over rows hands over at once */
uint64_t gs_job_ahead_bytes(const gs_job *job,
                            bool blocks);                  /* reading ahead: of head and embedding, or of everything */
uint64_t gs_job_table_bytes(const gs_job *job, bool head); /* scales and the like of the largest weight at work */
uint64_t gs_job_scratch_bytes(const gs_job *job);          /* of all threads */
uint64_t gs_job_rows_bytes(const gs_job *job);             /* large buffers of the pass over rows */

/* w4a4_plan.c: what a W4A4 recipe asks for. */
gs_status gs_job_check_w4a4(const gs_job *job, gs_error *err) GS_CHECKED; /* widths; warns */
int64_t gs_job_w4a4_keep(const gs_job *job, gs_role role);                /* rows of the role's inputs to keep */
uint64_t gs_job_w4a4_bytes(const gs_job *job);                            /* memory beside that of other recipes */
double gs_job_w4a4_operations(const gs_job *job);                         /* float ones, of the construction */

/* messages.c: what the caller sees. */
void gs_job_message(const gs_job *job, gs_level level, const char *fmt, ...) GS_PRINTF(3, 4);
void gs_job_progress(gs_job *job, const char *step, int block);
void gs_job_phase(gs_job *job, const char *name, double seconds); /* adds to the phase of that name */

/* check.c: what verify can say without reading weights again; a fault is an internal error. Not under --reference_compat. */
gs_status gs_job_check_output(gs_job *job, const char *dir, gs_error *err) GS_CHECKED;

/* finish.c: index, description, config.json, copied files. */
gs_status gs_job_side_files(const gs_job *job, const char *dir, gs_error *err) GS_CHECKED;
/* One of them, mode 0600; frees text. */
gs_status gs_job_write_text(const char *dir, const char *name, char *text, size_t n, gs_error *err) GS_CHECKED;

/* extras.c: glmslim_report.json and glmslim_manifest.sha256; nothing without resolved.extras. */
gs_status gs_job_extras(gs_job *job, const char *dir, gs_error *err) GS_CHECKED;
/* A file outside of the model directory that texts were read from, if they were. */
void gs_job_note_input(gs_job *job, const char *kind, const gs_texts *texts);

/* report.c */
gs_report *gs_report_create(void);
gs_input_file *gs_report_add_input(gs_report *r, const char *kind, const char *name);
void gs_report_add_message(gs_report *r, gs_level level, const char *text);
/* A text that members may point to: takes it over. */
const char *gs_report_own(gs_report *r, char *text);
void gs_report_plan(gs_job *job);
void gs_report_results(gs_job *job);      /* after the walk: what it found, the same on every machine */
void gs_report_measurements(gs_job *job); /* at the end: time and memory */

#endif
