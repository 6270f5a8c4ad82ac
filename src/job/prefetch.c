/* See prefetch.h. The slot of block b+1 is the one block b-1 has left, so a take both hands over and reuses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "job/prefetch.h"

static void load(void *ctx)
{
    gs_prefetch *p = ctx;
    p->status = gs_block_load(&p->slot[p->ahead ? p->block % 2 : 0], &p->compute, p->config, p->checkpoint,
                              &p->tensors->block[p->block], &p->error);
}

static gs_status start(gs_prefetch *p, int block, gs_error *err)
{
    if (block >= p->config->layers) return GS_OK;
    p->block = block;
    return gs_thread_start(&p->thread, load, p, err);
}

gs_status gs_prefetch_open(gs_prefetch *p, const gs_config *config, const gs_checkpoint *checkpoint,
                           const gs_model_tensors *tensors, int first, bool ahead, gs_error *err)
{
    p->config = config;
    p->checkpoint = checkpoint;
    p->tensors = tensors;
    p->ahead = ahead;
    GS_TRY(gs_compute_open(&p->compute, 1, err));
    return ahead ? start(p, first, err) : GS_OK;
}

gs_status gs_prefetch_take(gs_prefetch *p, int block, gs_block **out, gs_error *err)
{
    if (!p->ahead) GS_TRY(start(p, block, err));
    gs_thread_join(p->thread);
    p->thread = NULL;
    if (p->status != GS_OK) {
        if (err) *err = p->error;
        return p->status;
    }
    *out = &p->slot[p->ahead ? block % 2 : 0];
    return p->ahead ? start(p, block + 1, err) : GS_OK;
}

void gs_prefetch_close(gs_prefetch *p)
{
    gs_thread_join(p->thread);
    p->thread = NULL;
    gs_block_release(&p->slot[0]);
    gs_block_release(&p->slot[1]);
    gs_compute_close(&p->compute);
}
