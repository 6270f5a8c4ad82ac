/* The report as text and as an HTML page for a person, and as JSON for a program. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_REPORT_REPORT_H
#define GS_REPORT_REPORT_H

#include "base/str.h"
#include "eval/eval.h"
#include "report/read.h"

void gs_report_text(const gs_report *r, gs_str *out);      /* summary: per-layer table, sizes, time per phase */
void gs_report_plan_text(const gs_report *r, gs_str *out); /* --dry_run: tensors by type, bytes, files, memory, time */
char *gs_report_json(const gs_report *r, const gs_recipe *recipe, size_t *n); /* caller gs_free()s */
/* glmslim_report.json: what depends on inputs and recipe alone, the same bytes on every machine. Caller gs_free()s. */
char *gs_report_record(const gs_report *r, const gs_recipe *recipe, size_t *n);
/* One self-contained page. recipe: as it was asked for, NULL = unknown. */
void gs_report_html(const gs_report *r, const gs_recipe *recipe, gs_str *out);
/* The page of an evaluation. files: [e->quants] how each result was made, NULL = unknown; text_path: what was predicted, or NULL. */
void gs_report_eval_html(const gs_eval *e, const gs_report_file *files, const char *text_path, gs_str *out);
void gs_bytes_text(uint64_t bytes, char out[32]); /* "1.23 GB" (decimal) */
void gs_duration_text(double s, char out[32]);    /* "1.2 s", "3 min 05 s" */

#endif
