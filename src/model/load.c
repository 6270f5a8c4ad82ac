/* Parameters from the checkpoint into memory: weights go to GEMM panels in row chunks as they are read, so that no
 * second copy of a weight ever exists; embedding rows are gathered one by one. Nothing that is not finite gets
 * through.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <string.h>

#define READ_BYTES (16u << 20) /* raw bytes of one read */

static gs_pack_kind pack_kind(const gs_tensor *t) { return t->dtype == GS_BF16 ? GS_PACK_BF16 : GS_PACK_F32; }

/* A weight is [out, in]; so is every tensor that gets here. */
static int64_t rows_per_read(const gs_tensor *t)
{
    const int64_t row_bytes = t->shape[1] * (int64_t)gs_dtype_bytes(t->dtype);
    const int64_t rows = READ_BYTES / row_bytes / GS_PACK_ROWS * GS_PACK_ROWS;
    const int64_t some = rows < GS_PACK_ROWS ? GS_PACK_ROWS : rows;
    return some < t->shape[0] ? some : t->shape[0];
}

/* The raw part of a stage, rounded up so that the floats behind it are aligned. */
static size_t raw_bytes(const gs_tensor *t)
{
    const size_t rows = (size_t)rows_per_read(t) * (size_t)t->shape[1] * gs_dtype_bytes(t->dtype);
    return (gs_direct_room(rows) + 63) / 64 * 64;
}

static size_t stage_bytes(const gs_tensor *t)
{
    const size_t wide = t->dtype == GS_F16 ? (size_t)rows_per_read(t) * (size_t)t->shape[1] * sizeof(float) : 0;
    return raw_bytes(t) + wide;
}

size_t gs_load_bytes(const gs_block_tensors *t)
{
    size_t most = 0;
    for (int role = 0; role < GS_ROLES; role++)
        if (stage_bytes(t->weight[role]) > most) most = stage_bytes(t->weight[role]);
    return most;
}

/* One row of a chunk per task: check, and widen F16. */
typedef struct rows_job {
    gs_dtype dtype;
    const void *raw;
    float *wide; /* NULL = no conversion */
    int64_t cols;
    int64_t *first; /* [rows] column of the first bad value, -1 = none */
} rows_job;

static void check_row(void *ctx, int64_t row, int worker)
{
    const rows_job *job = ctx;
    const uint8_t *raw = (const uint8_t *)job->raw + (size_t)row * (size_t)job->cols * gs_dtype_bytes(job->dtype);
    int64_t first = -1;
    (void)worker;
    job->first[row] = gs_count_nonfinite(job->dtype, raw, job->cols, &first) ? first : -1;
    if (job->wide) gs_to_f32(job->dtype, raw, job->wide + row * job->cols, job->cols);
}

static gs_status check_rows(gs_compute *c, const gs_checkpoint *ck, rows_job *job, const gs_tensor *t, int64_t row0,
                            int64_t rows, gs_error *err)
{
    gs_pool_run(c->pool, rows, check_row, job);
    for (int64_t row = 0; row < rows; row++)
        if (job->first[row] >= 0) return gs_tensor_fail(ck, t, (row0 + row) * job->cols + job->first[row], err);
    return GS_OK;
}

static gs_status read_rows(const gs_checkpoint *ck, gs_direct_reader *reader, const gs_tensor *t, uint64_t offset,
                           size_t n, void *stage, const void **data, gs_error *err)
{
    if (ck->read_once) return gs_checkpoint_read_direct(ck, reader, t, offset, n, stage, data, err);
    *data = stage;
    return gs_checkpoint_read(ck, t, offset, stage, n, err);
}

/* Rows row0 .. row0+count of t into p, from p's first row on. */
static gs_status load_rows(gs_packed *p, gs_compute *c, const gs_checkpoint *ck, const gs_tensor *t, int64_t row0,
                           int64_t count, void *stage, gs_error *err)
{
    const int64_t step = rows_per_read(t), cols = t->shape[1];
    const size_t row_bytes = (size_t)cols * gs_dtype_bytes(t->dtype);
    gs_direct_reader reader = {0};
    rows_job job = {.dtype = t->dtype, .cols = cols};
    if (t->dtype == GS_F16) job.wide = (void *)((uint8_t *)stage + raw_bytes(t));
    job.first = gs_alloc_array((size_t)step, sizeof *job.first);
    gs_status status = GS_OK;
    for (int64_t row = 0; row < count && status == GS_OK; row += step) {
        const int64_t rows = count - row < step ? count - row : step;
        status = gs_check_interrupt(err);
        if (status == GS_OK)
            status = read_rows(ck, &reader, t, (uint64_t)(row0 + row) * row_bytes, (size_t)rows * row_bytes, stage,
                               &job.raw, err);
        if (status == GS_OK) status = check_rows(c, ck, &job, t, row0 + row, rows, err);
        if (status == GS_OK) gs_pack_rows(c, p, row, rows, job.wide ? (const void *)job.wide : job.raw);
    }
    gs_direct_close(&reader);
    gs_free(job.first);
    return status;
}

gs_status gs_weight_load_rows(gs_packed *p, gs_compute *c, const gs_checkpoint *ck, const gs_tensor *t, int64_t row0,
                              int64_t rows, gs_error *err)
{
    const gs_pack_kind kind = pack_kind(t);
    if (!p->buf.data || p->kind != kind || p->n != rows || p->k != t->shape[1]) {
        gs_packed_release(p);
        GS_TRY(gs_packed_alloc(p, kind, rows, t->shape[1], "weights of a block", err));
    }
    gs_buf stage = {0};
    GS_TRY(gs_buf_alloc(&stage, stage_bytes(t), "reading weights", err));
    const gs_status status = load_rows(p, c, ck, t, row0, rows, stage.data, err);
    gs_buf_release(&stage);
    return status;
}

gs_status gs_weight_load(gs_packed *p, gs_compute *c, const gs_checkpoint *ck, const gs_tensor *t, gs_error *err)
{
    return gs_weight_load_rows(p, c, ck, t, 0, t->shape[0], err);
}

static gs_status load_vector(float **v, const gs_checkpoint *ck, const gs_tensor *t, gs_error *err)
{
    if (!t) {
        gs_free(*v);
        *v = NULL;
        return GS_OK;
    }
    *v = gs_realloc_array(*v, (size_t)t->elements, sizeof **v);
    return gs_checkpoint_read_f32(ck, t, *v, err);
}

gs_status gs_block_load_vectors(gs_block *b, const gs_config *cfg, const gs_checkpoint *ck, const gs_block_tensors *t,
                                gs_error *err)
{
    b->config = cfg;
    for (int i = 0; i < GS_NORMS; i++) {
        GS_TRY(load_vector(&b->norm[i], ck, t->norm[i], err));
        GS_TRY(load_vector(&b->norm_bias[i], ck, NULL, err)); /* checkpoints have none; smoothing makes them */
    }
    for (int i = 0; i < GS_ROLES; i++) GS_TRY(load_vector(&b->bias[i], ck, t->bias[i], err));
    return GS_OK;
}

gs_status gs_block_load(gs_block *b, gs_compute *c, const gs_config *cfg, const gs_checkpoint *ck,
                        const gs_block_tensors *t, gs_error *err)
{
    GS_TRY(gs_block_load_vectors(b, cfg, ck, t, err));
    for (int i = 0; i < GS_ROLES; i++) GS_TRY(gs_weight_load(&b->weight[i], c, ck, t->weight[i], err));
    return GS_OK;
}

void gs_block_release(gs_block *b)
{
    for (int i = 0; i < GS_NORMS; i++) {
        gs_free(b->norm[i]);
        gs_free(b->norm_bias[i]);
    }
    for (int i = 0; i < GS_ROLES; i++) {
        gs_packed_release(&b->weight[i]);
        gs_free(b->bias[i]);
    }
    memset(b, 0, sizeof *b);
}

size_t gs_block_bytes(const gs_config *c, const gs_block_tensors *t)
{
    size_t bytes = 0;
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(c, role, &out, &in);
        bytes += gs_packed_bytes(pack_kind(t->weight[role]), out, in);
        if (t->bias[role]) bytes += (size_t)out * sizeof(float);
    }
    return bytes + GS_NORMS * (size_t)c->hidden * sizeof(float);
}

gs_status gs_embed(const gs_checkpoint *ck, const gs_tensor *embedding, const int32_t *ids, int64_t n, float *h,
                   gs_error *err)
{
    const int64_t vocab = embedding->shape[0], hidden = embedding->shape[1];
    const size_t row_bytes = (size_t)hidden * gs_dtype_bytes(embedding->dtype);
    uint8_t *raw = gs_alloc(row_bytes);
    gs_status status = GS_OK;
    for (int64_t i = 0; i < n && status == GS_OK; i++) {
        int64_t bad = 0;
        if (ids[i] < 0 || ids[i] >= vocab) {
            status = gs_fail(err, GS_ERR_FILE, "token id %lld is outside the vocabulary of %lld rows of tensor '%s'",
                             (long long)ids[i], (long long)vocab, embedding->name);
            break;
        }
        if (i % 1024 == 0) status = gs_check_interrupt(err);
        if (status == GS_OK)
            status = gs_checkpoint_read(ck, embedding, (uint64_t)ids[i] * row_bytes, raw, row_bytes, err);
        if (status == GS_OK && gs_count_nonfinite(embedding->dtype, raw, hidden, &bad))
            status = gs_tensor_fail(ck, embedding, ids[i] * hidden + bad, err);
        if (status == GS_OK) gs_to_f32(embedding->dtype, raw, h + i * hidden, hidden);
    }
    gs_free(raw);
    return status;
}
