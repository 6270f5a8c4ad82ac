/* What the caller of gs_quantize() sees while it runs, and the clock of each phase. SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "job/job.h"

void gs_job_message(const gs_job *job, gs_level level, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    gs_make_printable(text, strlen(text), ""); /* it may quote files */
    gs_report_add_message(job->report, level, text);
    if (job->watch && job->watch->message) job->watch->message(job->watch->ctx, level, text);
}

void gs_job_progress(gs_job *job, const char *step, int block)
{
    if (!job->watch || !job->watch->progress) return;
    const double seconds = gs_seconds() - job->walk_started;
    gs_progress p = {
        .step = step,
        .block = block < job->config.layers ? block : (int)job->config.layers - 1,
        .n_blocks = (int)job->config.layers,
        .tokens_done = job->work_done,
        .tokens_total = job->work_total,
        .seconds = seconds,
        .eta_s = -1,
        .memory_bytes = gs_rss_now(),
    };
    if (job->work_done > 0 && seconds > 0) {
        p.tokens_per_s = (double)job->work_done / seconds;
        p.eta_s = (double)(job->work_total - job->work_done) / p.tokens_per_s;
    }
    job->watch->progress(job->watch->ctx, &p);
}

void gs_job_phase(gs_job *job, const char *name, double seconds)
{
    const int max = (int)(sizeof job->phase / sizeof *job->phase);
    int i = 0;
    while (i < job->n_phases && strcmp(job->phase[i].name, name) != 0) i++;
    if (i == max) i = max - 1; /* the last row collects what does not fit */
    if (i == job->n_phases) job->phase[job->n_phases++] = (gs_phase_result){.name = name};
    job->phase[i].seconds += seconds;
}
