/* Owns the packing of int4 codes. SPDX-License-Identifier: Apache-2.0 */
#include "quant/pack4.h"

#define TASK_BYTES 65536 /* packed bytes per task */
#define BLOCK      16

typedef struct nibbles_job {
    gs_nibbles how;
    int64_t lines, width, lines_per_task; /* of packed bytes */
    const int8_t *from;
    int8_t *to;
} nibbles_job;

static inline int8_t joined(int8_t even, int8_t odd)
{
    return (int8_t)(uint8_t)(((uint8_t)even & 15u) | (uint32_t)(uint8_t)odd << 4);
}
static inline int8_t even_of(int8_t byte) { return (int8_t)((int)(((uint8_t)byte & 15u) ^ 8u) - 8); }
static inline int8_t odd_of(int8_t byte) { return (int8_t)((int)(((uint8_t)byte >> 4) ^ 8u) - 8); }

void gs_nibbles_pack_line(gs_nibbles how, int64_t in, const int8_t *codes, int8_t *to)
{
    const int64_t width = how == GS_NIBBLES_IN ? in / 2 : in; /* one row of twice the width, or two rows */
    int64_t i = 0;
    if (how == GS_NIBBLES_IN) {
        for (; i + BLOCK <= width; i += BLOCK) {
            int8_t pair[2 * BLOCK], block[BLOCK];
            memcpy(pair, codes + 2 * i, sizeof pair);
            for (int j = 0; j < BLOCK; j++) block[j] = joined(pair[2 * j], pair[2 * j + 1]);
            memcpy(to + i, block, sizeof block);
        }
        for (; i < width; i++) to[i] = joined(codes[2 * i], codes[2 * i + 1]);
        return;
    }
    const int8_t *below = codes + width;
    for (; i + BLOCK <= width; i += BLOCK) {
        int8_t block[BLOCK];
        for (int j = 0; j < BLOCK; j++) block[j] = joined(codes[i + j], below[i + j]);
        memcpy(to + i, block, sizeof block);
    }
    for (; i < width; i++) to[i] = joined(codes[i], below[i]);
}

static void unpack_line(const nibbles_job *job, int64_t r)
{
    const int8_t *from = job->from + r * job->width;
    int8_t *codes = job->to + r * 2 * job->width;
    const int64_t step = job->how == GS_NIBBLES_IN ? 2 : 1, odd = job->how == GS_NIBBLES_IN ? 1 : job->width;
    for (int64_t i = 0; i < job->width; i++) {
        codes[i * step] = even_of(from[i]);
        codes[i * step + odd] = odd_of(from[i]);
    }
}

static void pack_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const nibbles_job *job = ctx;
    const int64_t first = task * job->lines_per_task;
    const int64_t in = job->how == GS_NIBBLES_IN ? 2 * job->width : job->width;
    for (int64_t r = first; r < job->lines && r < first + job->lines_per_task; r++)
        gs_nibbles_pack_line(job->how, in, job->from + r * 2 * job->width, job->to + r * job->width);
}

static void unpack_task(void *ctx, int64_t task, int worker)
{
    (void)worker;
    const nibbles_job *job = ctx;
    const int64_t first = task * job->lines_per_task;
    for (int64_t r = first; r < job->lines && r < first + job->lines_per_task; r++) unpack_line(job, r);
}

static void run(gs_compute *c, nibbles_job *job, int64_t rows, int64_t in, gs_task_fn task)
{
    const bool along_in = job->how == GS_NIBBLES_IN;
    job->lines = along_in ? rows : rows / 2;
    job->width = along_in ? in / 2 : in;
    job->lines_per_task = job->width > 0 && job->width < TASK_BYTES ? TASK_BYTES / job->width : 1;
    gs_pool_run(c->pool, (job->lines + job->lines_per_task - 1) / job->lines_per_task, task, job);
}

void gs_nibbles_pack(gs_compute *c, gs_nibbles how, int64_t rows, int64_t in, const int8_t *codes, int8_t *packed)
{
    nibbles_job job = {.how = how, .from = codes, .to = packed};
    run(c, &job, rows, in, pack_task);
}

void gs_nibbles_unpack(gs_compute *c, gs_nibbles how, int64_t rows, int64_t in, const int8_t *packed, int8_t *codes)
{
    nibbles_job job = {.how = how, .from = packed, .to = codes};
    run(c, &job, rows, in, unpack_task);
}
