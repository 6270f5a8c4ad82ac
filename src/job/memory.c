/* Sizes of the buffers that follow from the plan of the output. SPDX-License-Identifier: Apache-2.0 */
#include "job/rows.h"

/* Elements of a tensor's largest chunk. */
static uint64_t chunk_elements(const gs_tensor *t)
{
    const int64_t step = gs_rows_step(t);
    return (uint64_t)(step < t->elements ? step : t->elements);
}

/* What the output consists of: linear i, or the embedding (i = n_linears). */
typedef struct out_tensor {
    const gs_tensor *t;
    const gs_linear_out *to; /* NULL = copied to `index` */
    int64_t index;           /* < 0 = not written */
} out_tensor;

static out_tensor tensor_at(const gs_job *job, int i)
{
    const gs_manifest *m = &job->manifest;
    if (i == job->n_linears) return (out_tensor){job->tensors.embedding, NULL, m->embedding};
    const bool head = i == job->n_linears - 1;
    const gs_linear_out *to = head ? &m->head : &m->block[i / GS_ROLES].linear[i % GS_ROLES];
    const gs_tensor *t = head ? job->tensors.head : job->tensors.block[i / GS_ROLES].weight[i % GS_ROLES];
    return (out_tensor){t, gs_job_is_quantized(job, i) ? to : NULL, to->piece[GS_PIECE_WEIGHT]};
}

/* The largest piece of it that is handed over at once. */
static uint64_t piece_bytes(const gs_job *job, const out_tensor *o)
{
    const gs_tensor *const tensors = job->manifest.layout.tensors;
    if (o->index < 0) return 0;
    const uint64_t n = chunk_elements(o->t), stored = (uint64_t)o->t->elements;
    if (!o->to) return n * gs_dtype_bytes(tensors[o->index].dtype);
    const int64_t bias = o->to->piece[GS_PIECE_SCALE_BIAS]; /* as large as the weight under reference_compat */
    if (bias >= 0 && (uint64_t)tensors[bias].elements == stored) return n * gs_dtype_bytes(tensors[bias].dtype);
    return (n * tensors[o->index].bytes + stored - 1) / stored;
}

size_t gs_job_slot_bytes(const gs_job *job)
{
    uint64_t most = 0;
    for (int i = 0; i <= job->n_linears; i++) {
        const out_tensor o = tensor_at(job, i);
        const uint64_t bytes = piece_bytes(job, &o);
        most = bytes > most ? bytes : most;
    }
    return (size_t)most;
}

/* Slots of the write-behind are touched only as far as the pieces go that come into them, one after the other. */
static uint64_t behind_bytes(const gs_job *job)
{
    uint64_t slot[GS_BEHIND_SLOTS] = {0}, sum = 0;
    int64_t next = 0;
    for (int i = 0; i <= job->n_linears; i++) {
        const out_tensor o = tensor_at(job, i);
        const uint64_t bytes = piece_bytes(job, &o);
        const int64_t step = gs_rows_step(o.t), n = bytes > 0 ? (o.t->elements + step - 1) / step : 0;
        for (int64_t k = 0; k < n && k < GS_BEHIND_SLOTS; k++) {
            uint64_t *s = &slot[(next + k) % GS_BEHIND_SLOTS];
            *s = bytes > *s ? bytes : *s;
        }
        next += n;
    }
    for (int i = 0; i < GS_BEHIND_SLOTS; i++) sum += gs_behind_bytes((size_t)slot[i]);
    return sum;
}

uint64_t gs_job_ahead_bytes(const gs_job *job, bool blocks)
{
    gs_ahead list = {0};
    gs_rows_list(&list, job, blocks ? 0 : job->n_linears - 1);
    const uint64_t bytes = gs_ahead_bytes(&list);
    gs_ahead_close(&list);
    return bytes;
}

/* What quantizing one weight holds beside its rows. */
static uint64_t tables_of(const gs_job *job, const gs_tensor *t, bool row_parallel)
{
    const uint64_t out = (uint64_t)t->shape[0];
    const gs_weight_layout l =
        gs_weight_layout_from(&job->rule, job->recipe, job->recipe->mindie_format, row_parallel, t->shape[1]);
    const bool full = l.scale_bias_columns == t->shape[1];
    const bool converted = !l.scales_f32 && job->manifest.floats != GS_F32;
    uint64_t sum = out * (uint64_t)l.scale_columns * (2 * sizeof(float) + (converted ? 2 : 0)) + out * sizeof(int32_t);
    sum += out * (uint64_t)(l.second_columns + (full ? 0 : l.scale_bias_columns)) * sizeof(float);
    if (full) sum += chunk_elements(t) * sizeof(float);
    if (gs_weight_needs_stats(&job->rule))
        sum += gs_direct_room(chunk_elements(t) * gs_dtype_bytes(t->dtype)) + chunk_elements(t) * sizeof(float);
    return sum;
}

uint64_t gs_job_table_bytes(const gs_job *job, bool head)
{
    uint64_t most = head ? tables_of(job, job->tensors.head, false) : 0;
    for (int i = 0; i < job->n_linears - 1 && !head; i++) {
        const int role = i % GS_ROLES;
        if (!gs_job_is_quantized(job, i)) continue;
        const uint64_t bytes =
            tables_of(job, job->tensors.block[i / GS_ROLES].weight[role], role == GS_DENSE || role == GS_4H);
        most = bytes > most ? bytes : most;
    }
    return most;
}

uint64_t gs_job_scratch_bytes(const gs_job *job)
{
    return gs_compute_scratch_bytes(gs_pool_threads(job->compute.pool), job->config.head_dim);
}

uint64_t gs_job_rows_bytes(const gs_job *job)
{
    const bool head = gs_job_is_quantized(job, job->n_linears - 1);
    const uint64_t in_blocks = gs_job_table_bytes(job, false), in_head = head ? gs_job_table_bytes(job, true) : 0;
    return gs_job_scratch_bytes(job) + gs_job_ahead_bytes(job, true) + behind_bytes(job) +
           (in_blocks > in_head ? in_blocks : in_head);
}
