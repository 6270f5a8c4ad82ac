/* A run's own check of its result, before the result gets its name. SPDX-License-Identifier: Apache-2.0 */
#include "format/verify.h"
#include "job/job.h"

static gs_status first_fault(const gs_job *job, const gs_verify_result *r, gs_error *err)
{
    for (int i = 0; i < r->n_findings; i++) {
        const gs_finding *f = &r->findings[i];
        if (!f->warning)
            return gs_fail(
                err, GS_ERR_FILE,
                "internal error: the result fails its own check \"%s\" (%lld faults): %s. %s Nothing is left at "
                "%s; please report this with the command line",
                f->check->id, (long long)r->errors, f->text, f->effect, job->recipe->save_directory);
    }
    return GS_OK;
}

gs_status gs_job_check_output(gs_job *job, const char *dir, gs_error *err)
{
    if (job->recipe->reference_compat) return GS_OK; /* its mistakes are wanted */
    const gs_verify_request request = {.dir = dir, .target = job->target, .light = true, .compute = &job->compute};
    gs_verify_result result;
    GS_TRY(gs_verify_run(&request, &result, err));
    const gs_status status = first_fault(job, &result, err);
    gs_verify_result_release(&result);
    return status;
}
