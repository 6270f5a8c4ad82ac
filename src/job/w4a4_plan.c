/* What a W4A4 recipe asks for before it starts: widths that fit, memory and work of the construction (w4a4.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/job.h"
#include "model/forward.h"
#include "quant/w4a4.h"

static bool is_w4a4(const gs_job *job, int block, gs_role role)
{
    return job->choice[gs_job_linear(block, role)].type == GS_Q_W4A4_FLATQUANT_DYNAMIC;
}

static bool any_block(const gs_job *job, gs_role role)
{
    for (int b = 0; b < job->config.layers; b++)
        if (is_w4a4(job, b, role)) return true;
    return false;
}

gs_status gs_job_check_w4a4(const gs_job *job, gs_error *err)
{
    int one_card = 0;
    for (int b = 0; b < job->config.layers; b++)
        for (int role = 0; role < GS_ROLES; role++) {
            char name[640];
            int64_t out, in;
            if (!is_w4a4(job, b, (gs_role)role)) continue;
            gs_linear_name(job->family, b, (gs_role)role, "", name, sizeof name);
            gs_role_shape(&job->config, (gs_role)role, &out, &in);
            GS_TRY(gs_w4a4_check(name, in, err));
            one_card += role == GS_DENSE || role == GS_4H;
        }
    if (one_card > 0)
        gs_job_message(job, GS_WARNING,
                       "W4A4: %d linears are dense or dense_4h_to_h; the result loads at tp = 1 only, because engines "
                       "derive the transform's shape from the input width of one card",
                       one_card);
    if (job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC && job->recipe->mindie_format)
        gs_job_message(job, GS_WARNING,
                       "mindie_format with W4A4: MindIE does not load W4A4_FLATQUANT_DYNAMIC; vllm-ascend does, in its "
                       "default layout (leave out --mindie_format)");
    return GS_OK;
}

/* Inputs of QKV and H4 are one norm away from the stream; those of dense and 4H are worth keeping as long as they are smaller than
 * the second moments. */
int64_t gs_job_w4a4_keep(const gs_job *job, gs_role role)
{
    int64_t out, in;
    gs_role_shape(&job->config, role, &out, &in);
    return gs_w4a4_keep(job->calibrated.tokens, in, role == GS_QKV || role == GS_H4);
}

/* Of one linear while its transform is made. */
static uint64_t construction_bytes(const gs_job *job, gs_role role)
{
    int64_t out, in;
    gs_role_shape(&job->config, role, &out, &in);
    const int64_t keep = gs_job_w4a4_keep(job, role);
    const uint64_t stats = gs_w4a4_stats_bytes(in, keep), moments = gs_w4a4_moments_bytes(in);
    const uint64_t first = stats + gs_w4a4_search_bytes(out, in, keep);
    const uint64_t second = moments + (keep == job->calibrated.tokens ? stats : 0);
    return (first > second ? first : second) + (job->smoother ? gs_packed_bytes(GS_PACK_F32, out, in) : 0);
}

uint64_t gs_job_w4a4_bytes(const gs_job *job)
{
    uint64_t most = 0, linears = 0;
    for (int role = 0; role < GS_ROLES; role++) {
        int64_t out, in;
        if (!any_block(job, (gs_role)role)) continue;
        gs_role_shape(&job->config, (gs_role)role, &out, &in);
        linears += gs_w4a4_linear_bytes(out, in) - gs_packed_bytes(GS_PACK_S8, out, in); /* code_bytes() has those */
        const uint64_t bytes = construction_bytes(job, (gs_role)role);
        if (bytes > most) most = bytes;
    }
    return most + linears;
}

double gs_job_w4a4_operations(const gs_job *job)
{
    double sum = 0;
    for (int b = 0; b < job->config.layers; b++)
        for (int role = 0; role < GS_ROLES; role++) {
            int64_t rows, width;
            if (!is_w4a4(job, b, (gs_role)role)) continue;
            gs_role_shape(&job->config, (gs_role)role, &rows, &width);
            const double in = (double)width, out = (double)rows, tokens = (double)job->calibrated.tokens;
            sum += tokens * in * in + in * in * in / 3 + out * in * in; /* moments, factor, rounding */
            sum += 3e10;                                                /* search: at most ten products of 2^31 */
        }
    return sum;
}
