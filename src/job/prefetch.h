/* The reader: loads the next block while the current one is at work. Two blocks are in memory, never more; or one, if memory is short:
 * then a block is read when it is asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_JOB_PREFETCH_H
#define GS_JOB_PREFETCH_H

#include "model/forward.h"

typedef struct gs_prefetch {
    const gs_config *config;
    const gs_checkpoint *checkpoint;
    const gs_model_tensors *tensors;
    gs_compute compute; /* the reader's own, one thread: it packs what it reads */
    gs_block slot[2];   /* block b is in slot[b % 2] */
    gs_thread *thread;  /* NULL = nothing under way */
    int block;          /* what the thread loads */
    bool ahead;
    gs_status status;
    gs_error error;
} gs_prefetch;

/* Starts reading block `first`, if ahead. */
gs_status gs_prefetch_open(gs_prefetch *p, const gs_config *config, const gs_checkpoint *checkpoint,
                           const gs_model_tensors *tensors, int first, bool ahead, gs_error *err) GS_CHECKED;
/* Waits for `block`, starts reading the one after it. The block stays valid until the call for block + 1 returns. Blocks must be
 * asked for in order. */
gs_status gs_prefetch_take(gs_prefetch *p, int block, gs_block **out, gs_error *err) GS_CHECKED;
void gs_prefetch_close(gs_prefetch *p); /* accepts an all-zero struct */

#endif
