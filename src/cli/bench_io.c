/* Memory and disk: what is left when nothing is computed. Disk files go past the page cache where the file system allows it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/bench.h"
#include "io/direct.h"

#define PIECE ((int64_t)8 << 20)

static int64_t bytes_of(const gs_bench *b, int64_t per_width)
{
    const int64_t bytes = per_width * b->sizes.hidden / (b->spec.quick ? 4 : 1);
    return (bytes + PIECE - 1) / PIECE * PIECE;
}

/* ---- memory ---- */

typedef struct memory_job {
    char *from, *to;
    int64_t piece;
    uint64_t sink[64];
} memory_job;

static void read_task(void *ctx, int64_t task, int worker)
{
    memory_job *const job = ctx;
    const uint64_t *x = (const uint64_t *)(const void *)(job->from + task * job->piece);
    uint64_t sum[16] = {0}; /* enough for loads to be what is measured */
    for (int64_t i = 0; i < job->piece / 8; i += 16)
        for (int j = 0; j < 16; j++) sum[j] += x[i + j];
    for (int j = 1; j < 16; j++) sum[0] += sum[j];
    job->sink[worker % 64] = sum[0];
}

static void copy_task(void *ctx, int64_t task, int worker)
{
    memory_job *const job = ctx;
    (void)worker;
    memcpy(job->to + task * job->piece, job->from + task * job->piece, (size_t)job->piece);
}

static double best_rate(gs_compute *c, memory_job *job, int64_t bytes, gs_task_fn task, int rounds)
{
    double best = 0;
    for (int i = 0; i < rounds; i++) {
        const double start = gs_seconds();
        gs_pool_run(c->pool, bytes / job->piece, task, job);
        const double rate = (double)bytes / (gs_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

gs_status gs_bench_run_memory(gs_bench *b, gs_error *err)
{
    const int64_t bytes = bytes_of(b, 128 << 10);
    const int rounds = b->spec.quick ? 2 : 5;
    gs_buf from = {0}, to = {0};
    gs_status status = gs_buf_alloc(&from, (size_t)bytes, "the memory to be measured", err);
    if (status == GS_OK) status = gs_buf_alloc(&to, (size_t)bytes, "the memory to be measured", err);
    b->memory.bytes = (double)bytes;
    for (int t = 0; t < b->n_counts && status == GS_OK; t++) {
        gs_bench_context x = {0};
        status = gs_bench_open(&x, b, b->spec.last, b->counts[t], err);
        if (status == GS_OK) {
            memory_job job = {.from = from.data, .to = to.data, .piece = 1 << 20};
            memset(from.data, 1, (size_t)bytes); /* pages that were never written are all the same one */
            b->memory.copy[t] = best_rate(&x.compute, &job, bytes, copy_task, rounds + 1);
            b->memory.read[t] = best_rate(&x.compute, &job, bytes, read_task, rounds);
            status = gs_check_interrupt(err);
        }
        gs_bench_close(&x);
    }
    gs_buf_release(&from);
    gs_buf_release(&to);
    return status;
}

/* ---- disk ---- */

typedef struct disk_file {
    char *path;
    int fd, direct; /* direct: -1 = not possible */
} disk_file;

static gs_status disk_open(disk_file *f, const char *dir, const char *name, gs_error *err)
{
    f->path = gs_path_join(dir, name);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->fd < 0) return gs_fail_errno(err, errno, "%s: cannot create", f->path);
    f->direct = gs_direct_open(f->fd, f->path, O_WRONLY);
    return GS_OK;
}

static void disk_close(disk_file *f)
{
    if (f->direct >= 0) close(f->direct);
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->path);
    }
    gs_free(f->path);
}

static gs_status disk_write(const disk_file *f, int64_t bytes, const void *piece, gs_error *err)
{
    for (int64_t at = 0; at < bytes; at += PIECE) {
        GS_TRY(gs_check_interrupt(err));
        GS_TRY(gs_direct_write(f->fd, f->direct, (uint64_t)at, piece, (size_t)PIECE, f->path, err));
    }
    if (fsync(f->fd) != 0) return gs_fail_errno(err, errno, "%s: cannot sync", f->path);
    return GS_OK;
}

/* Read all of `path`; what was read goes to `to`, if there is one. */
static gs_status disk_read(const char *path, int64_t bytes, const gs_buf *room, const disk_file *to, bool *direct,
                           gs_error *err)
{
    gs_file f;
    gs_direct_reader reader = {0};
    GS_TRY(gs_file_open(&f, path, err));
    gs_file_forget(&f, 0, (uint64_t)bytes);
    gs_status status = GS_OK;
    for (int64_t at = 0; at < bytes && status == GS_OK; at += PIECE) {
        const void *data = NULL;
        status = gs_check_interrupt(err);
        if (status == GS_OK) status = gs_direct_read(&reader, &f, (uint64_t)at, (size_t)PIECE, room->data, &data, err);
        if (status == GS_OK && to)
            status = gs_direct_write(to->fd, to->direct, (uint64_t)at, data, (size_t)PIECE, to->path, err);
    }
    *direct = *direct && reader.fd >= 0;
    gs_direct_close(&reader);
    gs_file_close(&f);
    if (status == GS_OK && to && fsync(to->fd) != 0) status = gs_fail_errno(err, errno, "%s: cannot sync", to->path);
    return status;
}

static gs_status measure_disk(gs_bench *b, const char *dir, const gs_buf *room, gs_error *err)
{
    gs_bench_disk *d = &b->disk;
    const int64_t bytes = bytes_of(b, 256 << 10);
    disk_file one = {.fd = -1, .direct = -1}, two = one;
    d->bytes = (double)bytes;
    double start = gs_seconds();
    gs_status status = disk_open(&one, dir, "one", err);
    d->direct = one.direct >= 0;
    if (status == GS_OK) status = disk_write(&one, bytes, room->data, err);
    d->write = (double)bytes / (gs_seconds() - start);
    start = gs_seconds();
    if (status == GS_OK) status = disk_read(one.path, bytes, room, NULL, &d->direct, err);
    d->read = (double)bytes / (gs_seconds() - start);
    start = gs_seconds();
    if (status == GS_OK) status = disk_open(&two, dir, "two", err);
    if (status == GS_OK) status = disk_read(one.path, bytes, room, &two, &d->direct, err);
    d->copy = (double)bytes / (gs_seconds() - start);
    disk_close(&one);
    disk_close(&two);
    return status;
}

gs_status gs_bench_run_disk(gs_bench *b, const char *dir, gs_error *err)
{
    gs_buf room = {0};
    GS_TRY(gs_buf_alloc(&room, gs_direct_room((size_t)PIECE), "a piece of a file", err));
    uint32_t *word = room.data, state = 1; /* not compressible */
    for (size_t i = 0; i < room.bytes / 4; i++) word[i] = state = state * 1664525u + 1013904223u;
    const gs_status status = measure_disk(b, dir, &room, err);
    gs_buf_release(&room);
    return status;
}
