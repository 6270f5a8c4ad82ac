/* See parallel.h. A card's part of a weight is cut out of the block's rows and goes the way of any weight; the calibration then
 * runs every card's linear. By default the undivided linear is written besides, with the range of its whole input, because
 * that is what engines load. SPDX-License-Identifier: Apache-2.0 */
#include "job/parallel.h"

bool gs_cards_cut(const gs_job *job, gs_role role) { return job->resolved.ranks > 1 && gs_role_is_row_parallel(role); }

bool gs_cards_alone(const gs_job *job, gs_role role)
{
    return gs_cards_cut(job, role) && gs_compat(job->recipe, GS_COMPAT_TP_LAYOUT);
}

/* A float linear is computed card by card only where that shows in more than the last bits. */
static bool plain_is_cut(const gs_job *job, gs_role role)
{
    return gs_cards_cut(job, role) && (job->resolved.comm || gs_compat(job->recipe, GS_COMPAT_FLOAT_PRODUCTS));
}

uint64_t gs_cards_linear_bytes(const gs_job *job, int block, gs_role role)
{
    const bool quantized = gs_job_is_quantized(job, gs_job_linear(block, role)), cut = gs_cards_cut(job, role);
    if (job->calibrated.count == 0 || (!quantized && !plain_is_cut(job, role))) return 0;
    const int ranks = cut ? job->resolved.ranks : 1;
    const gs_pack_kind kind = quantized && job->resolved.a_bit <= 8 ? GS_PACK_S8 : GS_PACK_F32;
    int64_t out, in;
    gs_role_shape(&job->config, role, &out, &in);
    return (uint64_t)ranks * (gs_packed_bytes(kind, out, in / ranks) + (uint64_t)out * 4);
}

static int64_t widest_cut(const gs_job *job, int64_t *out)
{
    int64_t dense, down;
    gs_role_shape(&job->config, GS_DENSE, out, &dense);
    gs_role_shape(&job->config, GS_4H, out, &down);
    return dense > down ? dense : down;
}

uint64_t gs_cards_work_bytes(const gs_job *job)
{
    if (job->resolved.ranks == 1) return 0;
    int64_t out;
    const int64_t in = widest_cut(job, &out);
    uint64_t sum = (uint64_t)(GS_PACK_ROWS * in) * sizeof(float);
    if (job->calibrated.count > 0)
        sum += gs_parallel_work_bytes(job->resolved.ranks, out, in, gs_job_chunk_rows(job), job->resolved.comm);
    return gs_cards_alone(job, GS_4H) ? sum + (uint64_t)(out * in) : sum;
}

gs_status gs_cards_begin(gs_walk *w, gs_error *err)
{
    const gs_job *job = w->job;
    if (job->resolved.ranks == 1) return GS_OK;
    int64_t out;
    const int64_t in = widest_cut(job, &out);
    GS_TRY(gs_buf_alloc(&w->card_rows, (size_t)(GS_PACK_ROWS * in) * sizeof(float), "rows of a weight", err));
    if (job->calibrated.count == 0) return GS_OK;
    return gs_parallel_work_init(&w->cards_work, job->resolved.ranks, out, in, gs_job_chunk_rows(job),
                                 job->resolved.comm, err);
}

static void release_weights(gs_cards *k)
{
    gs_parallel_release(&k->fake);
    gs_parallel_release(&k->plain);
    gs_free(k->scale);
    gs_free(k->row_sum);
    k->scale = NULL;
    k->row_sum = NULL;
}

void gs_cards_release(gs_cards *k)
{
    release_weights(k);
    gs_comm_release(&k->comm);
}

void gs_cards_end(gs_walk *w)
{
    for (int role = 0; role < GS_ROLES; role++) gs_cards_release(&w->cards[role]);
    gs_parallel_work_release(&w->cards_work);
    gs_buf_release(&w->card_rows);
}

/* Rows of one card's part of the current block's smoothed weight. */
typedef struct card_rows {
    gs_walk *w;
    gs_role role;
    int rank;
} card_rows;

static gs_status read_card_rows(void *ctx, int64_t row0, int64_t rows, const float **out, gs_error *err)
{
    const card_rows *k = ctx;
    gs_walk *w = k->w;
    gs_compute *c = &w->job->compute;
    const int64_t in = w->weights->weight[k->role].k;
    const int ranks = w->job->resolved.ranks;
    float *whole = w->card_rows.data, *to = w->emit_rows.data;
    (void)err;
    for (int64_t r = 0; r < rows; r += GS_PACK_ROWS) {
        const int64_t n = rows - r < GS_PACK_ROWS ? rows - r : GS_PACK_ROWS;
        gs_transform_rows(w->transform, c, w->weights, k->role, row0 + r, n, whole);
        gs_parallel_slice(c, ranks, k->rank, n, in, whole, to + r * (in / ranks));
    }
    *out = to;
    return GS_OK;
}

/* Under compat the report has nothing but the cards to speak of. */
static void note_rank(gs_linear_result *l, const gs_weight_result *r, gs_sqnr *sqnr, int rank)
{
    const double low = l->weight_scale_min, high = l->weight_scale_max;
    sqnr->signal += r->sqnr.signal;
    sqnr->noise += r->sqnr.noise;
    gs_weight_note(l, r);
    if (rank > 0 && low < l->weight_scale_min) l->weight_scale_min = low;
    if (rank > 0 && high > l->weight_scale_max) l->weight_scale_max = high;
    l->weight_sqnr_db = gs_sqnr_db(sqnr);
}

/* What the weights of all cards need while they are quantized. */
typedef struct cutting {
    gs_walk *w;
    gs_role role;
    int ranks;
    bool calibrates;        /* linears for the calibration are made too */
    const gs_block_out *to; /* NULL = nothing is written */
    gs_buf codes;           /* compat: those of all cards side by side, as they are written */
    int64_t codes_index, row_bytes;
    gs_sqnr sqnr;
} cutting;

static gs_status quantize_rank(cutting *k, int rank, gs_error *err)
{
    gs_walk *w = k->w;
    const gs_packed *p = &w->weights->weight[k->role];
    const int64_t width = p->k / k->ranks;
    card_rows rows = {w, k->role, rank};
    gs_weight_source source = {.out = p->n,
                               .in = width,
                               .row_parallel = true,
                               .rows = read_card_rows,
                               .ctx = &rows,
                               .ranks = k->ranks,
                               .copy_stride = k->row_bytes};
    if (k->codes.data) source.copy = (int8_t *)k->codes.data + rank * (k->row_bytes / k->ranks);
    gs_fake_linear *fake = k->calibrates ? &w->cards[k->role].fake.rank[rank] : NULL;
    if (fake)
        GS_TRY(gs_emit_make_fake(w, k->role, fake, p->n, width, rank == 0 ? gs_walk_bias(w, k->role) : NULL, err));
    gs_weight_result result;
    GS_TRY(gs_weight_quantize(w, &source, k->to ? &k->to->parallel[k->role].rank[rank] : NULL, fake, &result, err));
    if (k->to && gs_cards_alone(w->job, k->role))
        note_rank(&w->job->report->linears[gs_job_linear(w->block, k->role)], &result, &k->sqnr, rank);
    gs_weight_result_release(&result);
    return GS_OK;
}

static gs_status quantize_ranks(gs_walk *w, gs_role role, bool write, gs_error *err)
{
    gs_job *job = w->job;
    const gs_packed *p = &w->weights->weight[role];
    cutting k = {
        .w = w, .role = role, .ranks = job->resolved.ranks, .calibrates = w->stream[GS_STREAM_QUANTIZED].tokens > 0};
    gs_parallel *fake = &w->cards[role].fake;
    if (k.calibrates) gs_parallel_init(fake, k.ranks, p->n, p->k);
    if (write) k.to = &job->manifest.block[w->block];
    if (write && gs_cards_alone(job, role)) {
        k.codes_index = k.to->linear[role].piece[GS_PIECE_WEIGHT];
        const gs_tensor *t = &job->manifest.layout.tensors[k.codes_index];
        k.row_bytes = t->shape[1];
        GS_TRY(gs_buf_alloc(&k.codes, (size_t)t->bytes, "codes of all cards", err));
    }
    gs_status status = GS_OK;
    for (int r = 0; r < k.ranks && status == GS_OK; r++) status = quantize_rank(&k, r, err);
    if (status == GS_OK && k.codes.data)
        status = gs_writer_put(w->writer, k.codes_index, 0, k.codes.data, k.codes.bytes, err);
    gs_buf_release(&k.codes);
    return status;
}

/* A card's float rows: into the calibration's linear, into the file (index >= 0). */
static gs_status slice_rank(gs_walk *w, gs_role role, int rank, gs_fake_linear *f, int64_t index, gs_error *err)
{
    const gs_packed *p = &w->weights->weight[role];
    const int64_t width = p->k / w->job->resolved.ranks, step = gs_emit_chunk_rows(width);
    card_rows source = {w, role, rank};
    if (f) GS_TRY(gs_fake_init_weight_only(f, p->n, width, rank == 0 ? gs_walk_bias(w, role) : NULL, err));
    if (f && w->reference) GS_TRY(gs_fake_use_reference(f, err));
    for (int64_t row = 0; row < p->n; row += step) {
        const int64_t rows = p->n - row < step ? p->n - row : step, n = rows * width;
        const float *from;
        void *bytes;
        GS_TRY(read_card_rows(&source, row, rows, &from, err));
        if (f) gs_fake_set_rows(f, &w->job->compute, row, rows, NULL, from);
        if (index < 0) continue;
        const gs_dtype dtype = w->job->manifest.layout.tensors[index].dtype;
        const size_t size = gs_dtype_bytes(dtype);
        GS_TRY(gs_behind_acquire(&w->behind, index, (uint64_t)(row * width) * size, &bytes, err));
        gs_from_f32(dtype, from, bytes, n);
        gs_behind_submit(&w->behind, (size_t)n * size);
    }
    return GS_OK;
}

static gs_status slice_ranks(gs_walk *w, gs_role role, bool write, gs_error *err)
{
    gs_job *job = w->job;
    const gs_packed *p = &w->weights->weight[role];
    const int ranks = job->resolved.ranks;
    const bool calibrates = plain_is_cut(job, role) && w->stream[GS_STREAM_QUANTIZED].tokens > 0;
    const gs_parallel_out *to = write ? &job->manifest.block[w->block].parallel[role] : NULL;
    gs_parallel *plain = &w->cards[role].plain;
    if (calibrates) gs_parallel_init(plain, ranks, p->n, p->k);
    for (int r = 0; r < ranks; r++) {
        const int64_t index = to ? to->rank[r].piece[GS_PIECE_WEIGHT] : -1;
        if (!calibrates && index < 0) continue;
        GS_TRY(slice_rank(w, role, r, calibrates ? &plain->rank[r] : NULL, index, err));
    }
    return GS_OK;
}

gs_status gs_cards_weights(gs_walk *w, gs_role role, bool write, gs_error *err)
{
    gs_job *job = w->job;
    const int linear = gs_job_linear(w->block, role);
    const gs_choice *choice = &job->choice[linear];
    const bool quantized = gs_job_is_quantized(job, linear);
    gs_cards *k = &w->cards[role];
    release_weights(k);
    if (quantized || choice->first_sample) GS_TRY(quantize_ranks(w, role, write && quantized, err));
    if (!quantized) GS_TRY(slice_ranks(w, role, write, err));
    if (quantized && k->fake.ranks > 0 && !gs_cards_alone(job, role) && gs_scheme_get(job->resolved.type)->static_input)
        k->fake.whole = gs_observer_create(gs_job_observer_kind(job, linear),
                                           gs_compat(job->recipe, GS_COMPAT_HISTOGRAM_TRUNCATES));
    if (!write) return GS_OK;
    const int64_t bias_index = job->manifest.block[w->block].parallel[role].rank[0].piece[GS_PIECE_BIAS];
    const float *bias = gs_walk_bias(w, role);
    return bias ? gs_emit_floats(w, bias_index, bias, w->weights->weight[role].n, err)
                : gs_emit_zeros(w, bias_index, err);
}

void gs_cards_keep(gs_walk *w, gs_role role, gs_weight_result *whole)
{
    gs_cards *k = &w->cards[role];
    k->scale = whole->scale;
    k->row_sum = whole->row_sum;
    *whole = (gs_weight_result){0};
}

void gs_cards_start(gs_walk *w)
{
    const gs_resolved *r = &w->job->resolved;
    for (int role = 0; role < GS_ROLES; role++) {
        gs_comm *m = &w->cards[role].comm;
        gs_comm_release(m);
        if (r->comm && gs_role_is_row_parallel((gs_role)role))
            gs_comm_init(m, r->ranks, r->comm_per_rank, w->weights->weight[role].n);
    }
}

static gs_parallel *ranks_of(gs_walk *w, gs_role role, bool fake)
{
    return fake ? &w->cards[role].fake : &w->cards[role].plain;
}

bool gs_cards_take(const gs_walk *w, gs_role role, bool fake)
{
    return (fake ? w->cards[role].fake.ranks : w->cards[role].plain.ranks) > 0;
}

gs_status gs_cards_observe(gs_walk *w, gs_role role, bool fake, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_compute *c = &w->job->compute;
    gs_parallel *p = ranks_of(w, role, fake);
    gs_comm *m = &w->cards[role].comm;
    GS_TRY(gs_parallel_observe(p, c, chunk, x, &w->cards_work, err));
    if (m->ranks < 2) return GS_OK;
    return gs_parallel_exchange(p, m, c, chunk, x, w->code_rows.data, &w->cards_work, err);
}

gs_status gs_cards_forward(gs_walk *w, gs_role role, bool fake, const gs_chunk *chunk, int64_t row0, int64_t rows,
                           const float *x, float *y, gs_error *err)
{
    gs_parallel *p = ranks_of(w, role, fake);
    if (w->cards[role].comm.ranks < 2)
        return gs_parallel_forward(p, &w->job->compute, chunk, row0, rows, x, w->code_rows.data, &w->cards_work, y,
                                   err);
    const float *output = w->cards_work.output.data; /* the exchange was when the input was seen */
    memcpy(y, output + row0 * p->out, (size_t)(rows * p->out) * sizeof *y);
    return GS_OK;
}

static gs_status emit_scales(gs_walk *w, const gs_parallel_out *to, const gs_comm *m, gs_error *err)
{
    float *scale = gs_alloc_array((size_t)m->out, sizeof *scale);
    gs_comm_gather_scale(m, scale);
    gs_status status = gs_emit_floats(w, to->gather_scale, scale, m->out, err);
    for (int i = 0; i < m->n_scales && status == GS_OK; i++) {
        gs_comm_reduce_scale(m, i, scale);
        status = gs_emit_floats(w, to->reduce_scale[i], scale, m->out, err);
    }
    gs_free(scale);
    return status;
}

static gs_status derive_ranks(gs_walk *w, gs_role role, gs_linear_result *report, gs_error *err)
{
    const gs_parallel_out *to = &w->job->manifest.block[w->block].parallel[role];
    const gs_parallel *p = &w->cards[role].fake;
    for (int r = 0; r < p->ranks; r++) {
        const gs_fake_linear *f = &p->rank[r];
        const gs_derived d = {f->out, f->scale, f->codes.row_sum, f->bias, f->act};
        const gs_status status = gs_emit_derived(w, &to->rank[r], &d, err);
        if (status != GS_OK) return gs_wrap(err, "block %d, %s, card %d", w->block, w->job->family->linear[role], r);
        if (r == 0 || f->xmin < report->range_min) report->range_min = f->xmin;
        if (r == 0 || f->xmax > report->range_max) report->range_max = f->xmax;
    }
    return GS_OK;
}

static gs_status derive_whole(gs_walk *w, gs_role role, gs_linear_result *report, gs_error *err)
{
    const gs_cards *k = &w->cards[role];
    const gs_act_params act = gs_act_asym8(k->fake.xmin, k->fake.xmax, w->job->manifest.floats);
    const gs_derived d = {k->fake.out, k->scale, k->row_sum, gs_walk_bias(w, role), act};
    report->range_min = k->fake.xmin;
    report->range_max = k->fake.xmax;
    report->input_scale = act.scale;
    report->input_offset = act.zero;
    const gs_status status = gs_emit_derived(w, &w->job->manifest.block[w->block].linear[role], &d, err);
    return status == GS_OK ? GS_OK : gs_wrap(err, "block %d, %s", w->block, w->job->family->linear[role]);
}

gs_status gs_cards_derive(gs_walk *w, gs_role role, gs_error *err)
{
    gs_job *job = w->job;
    const int linear = gs_job_linear(w->block, role);
    const gs_parallel_out *to = &job->manifest.block[w->block].parallel[role];
    const gs_cards *k = &w->cards[role];
    if (k->comm.ranks > 0 && to->gather_scale >= 0) GS_TRY(emit_scales(w, to, &k->comm, err));
    if (!gs_job_is_quantized(job, linear) || k->fake.ranks == 0 || !gs_scheme_get(job->resolved.type)->static_input)
        return GS_OK;
    GS_TRY(derive_ranks(w, role, &job->report->linears[linear], err));
    return k->fake.whole ? derive_whole(w, role, &job->report->linears[linear], err) : GS_OK;
}
