/* What a result carries about itself: glmslim_report.json, how it was made, and glmslim_manifest.sha256, for `sha256sum -c`. Both
 * depend on the inputs and the recipe only, so that equal runs give equal directories. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "io/sha256.h"
#include "job/job.h"
#include "report/read.h"
#include "report/report.h"

void gs_job_note_input(gs_job *job, const char *kind, const gs_texts *texts)
{
    if (!texts->file_sha256[0] || !job->resolved.extras) return;
    gs_input_file *f = gs_report_add_input(job->report, kind, NULL);
    f->bytes = texts->file_bytes;
    memcpy(f->sha256, texts->file_sha256, sizeof f->sha256);
}

static bool is_ours(const gs_job *job, const char *name)
{
    const gs_layout *layout = &job->manifest.layout;
    char description[96];
    gs_format_description_name(job->format, job->resolved.type, description, sizeof description);
    if (strcmp(name, description) == 0 || strcmp(name, "config.json") == 0) return true;
    if (layout->index_name && strcmp(name, layout->index_name) == 0) return true;
    for (int i = 0; i < layout->n_files; i++)
        if (strcmp(name, layout->files[i].name) == 0) return true;
    return false;
}

/* The checkpoint, and what was copied from beside it; a copy has the original's checksum. */
static gs_status note_model(gs_job *job, const gs_checksums *written, gs_error *err)
{
    const gs_checkpoint *ck = &job->checkpoint;
    gs_report *r = job->report;
    for (int i = 0; i < ck->n_files; i++) {
        const char *slash = strrchr(ck->files[i].path, '/');
        gs_input_file *f = gs_report_add_input(r, "weights", slash ? slash + 1 : ck->files[i].path);
        f->bytes = ck->files[i].size;
        GS_TRY(gs_sha256_sample(ck, i, f->sha256, err));
    }
    gs_input_file *config = gs_report_add_input(r, "config", "config.json");
    config->bytes = job->config.text_bytes;
    GS_TRY(gs_sha256_bytes(job->config.text, job->config.text_bytes, config->sha256, err));
    for (int i = 0; i < written->n; i++) {
        if (is_ours(job, written->file[i].name)) continue;
        gs_input_file *f = gs_report_add_input(r, "copied", written->file[i].name);
        f->bytes = written->file[i].bytes;
        memcpy(f->sha256, written->file[i].sha256, sizeof f->sha256);
    }
    return GS_OK;
}

static gs_status write_extras(gs_job *job, gs_checksums *written, const char *dir, gs_error *err)
{
    size_t n;
    gs_str manifest;
    GS_TRY(note_model(job, written, err));
    char *report = gs_report_record(job->report, job->recipe, &n);
    gs_status status = gs_checksums_add(written, GS_REPORT_FILE, report, n, err);
    if (status != GS_OK) {
        gs_free(report);
        return status;
    }
    GS_TRY(gs_job_write_text(dir, GS_REPORT_FILE, report, n, err));
    gs_str_init(&manifest);
    gs_checksums_text(written, &manifest);
    n = manifest.len;
    status = gs_job_write_text(dir, GS_CHECKSUMS_FILE, gs_str_take(&manifest), n, err);
    gs_str_release(&manifest);
    return status;
}

gs_status gs_job_extras(gs_job *job, const char *dir, gs_error *err)
{
    gs_checksums written;
    if (!job->resolved.extras) return GS_OK;
    gs_job_progress(job, "hash", (int)job->config.layers);
    GS_TRY(gs_checksums_read(&written, job->compute.pool, dir, err));
    const gs_status status = write_extras(job, &written, dir, err);
    gs_checksums_release(&written);
    return status;
}
