/* The block at hand: taken from the reader, and its float linears. SPDX-License-Identifier: Apache-2.0 */
#include "job/walk.h"

/* The same weights again, in panels that multiply as the reference does. */
static gs_status load_exact(gs_walk *w, gs_role role, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    const gs_packed *p = &w->weights->weight[role];
    gs_reference_release(&w->exact[role]);
    GS_TRY(gs_reference_init(&w->exact[role], p->n, p->k, err));
    gs_buf rows = {0};
    GS_TRY(gs_buf_alloc(&rows, (size_t)(GS_REFERENCE_ROWS * p->k) * sizeof(float), "rows of weights", err));
    for (int64_t row = 0; row < p->n; row += GS_REFERENCE_ROWS) {
        const int64_t n = p->n - row < GS_REFERENCE_ROWS ? p->n - row : GS_REFERENCE_ROWS;
        gs_transform_rows(w->transform, c, w->weights, role, row, n, rows.data);
        gs_reference_set_rows(&w->exact[role], c, row, n, rows.data);
    }
    gs_buf_release(&rows);
    return GS_OK;
}

gs_status gs_walk_load_exact(gs_walk *w, gs_error *err)
{
    for (int role = 0; role < GS_ROLES; role++) GS_TRY(load_exact(w, (gs_role)role, err));
    return GS_OK;
}

gs_status gs_step_load(gs_walk *w, gs_error *err)
{
    GS_TRY(gs_prefetch_take(&w->prefetch, w->block, &w->weights, err));
    w->transform = &w->job->transform[w->block];
    return w->reference ? gs_walk_load_exact(w, err) : GS_OK;
}

gs_status gs_walk_float_linear(gs_walk *w, gs_role role, int64_t rows, const float *x, float *y, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    if (w->reference) return gs_reference_apply(&w->exact[role], c, rows, x, gs_walk_bias(w, role), y, err);
    return gs_transform_linear(w->transform, c, w->weights, role, rows, x, y, err);
}

gs_status gs_walk_current_weight(gs_walk *w, gs_role role, gs_packed *copy, const gs_packed **out, gs_error *err)
{
    const gs_packed *p = &w->weights->weight[role];
    *out = p;
    if (!w->transform->column[role] && !w->transform->row[role]) return GS_OK;
    GS_TRY(gs_packed_alloc(copy, GS_PACK_F32, p->n, p->k, "smoothed weight", err));
    const int64_t step = gs_emit_chunk_rows(p->k);
    for (int64_t row = 0; row < p->n; row += step) {
        const int64_t rows = p->n - row < step ? p->n - row : step;
        gs_transform_rows(w->transform, &w->job->compute, w->weights, role, row, rows, w->emit_rows.data);
        gs_pack_rows(&w->job->compute, copy, row, rows, w->emit_rows.data);
    }
    *out = copy;
    return GS_OK;
}
