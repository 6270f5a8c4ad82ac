/* The files beside the weights. SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"

gs_status gs_job_write_text(const char *dir, const char *name, char *text, size_t n, gs_error *err)
{
    char *path = gs_path_join(dir, name);
    const gs_status status = gs_file_write_new(path, text, n, 0600, err);
    gs_free(path);
    gs_free(text);
    return status;
}

gs_status gs_job_side_files(const gs_job *job, const char *dir, gs_error *err)
{
    const gs_layout *layout = &job->manifest.layout;
    size_t n = 0;
    GS_TRY(gs_format_copy_files(job->recipe->model_path, dir, err)); /* first: ours win over a copy of the same name */
    if (layout->index_name) {
        char *index = gs_layout_index_json(layout, &n);
        GS_TRY(gs_job_write_text(dir, layout->index_name, index, n, err));
    }
    char name[96];
    gs_format_description_name(job->format, job->resolved.type, name, sizeof name);
    char *description = gs_format_description(job->format, &job->manifest, &job->resolved,
                                              job->recipe->use_kvcache_quant, gs_job_any_attention(job, 0), &n);
    GS_TRY(gs_job_write_text(dir, name, description, n, err));
    char *config = NULL;
    GS_TRY(gs_format_config(job->format, &job->config, job->recipe, &job->resolved, gs_job_any_attention(job, 0),
                            &config, &n, err));
    return gs_job_write_text(dir, "config.json", config, n, err);
}
