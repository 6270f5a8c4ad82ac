/* See record.h. One visit of every member serves writing and reading. SPDX-License-Identifier: Apache-2.0 */
#include "job/record.h"

#include "io/wire.h"

static void visit_stream(gs_wire *w, gs_stream_state *s)
{
    gs_wire_int(w, &s->file);
    gs_wire_i64(w, &s->tokens);
    gs_wire_i64(w, &s->hidden);
    gs_wire_u64(w, &s->digest);
    if (s->file < -1 || s->file > 1 || s->tokens < 0 || s->hidden < 0) w->bad = true;
}

static void visit_linear(gs_wire *w, gs_linear_state *l)
{
    gs_linear_result *r = &l->result;
    double *const numbers[] = {&r->range_min,        &r->range_max,        &r->input_scale,    &r->input_offset,
                               &r->weight_scale_min, &r->weight_scale_max, &r->weight_sqnr_db, &r->transform_alpha,
                               &r->transform_error,  &r->clip_ratio};
    gs_wire_int(w, &l->linear);
    gs_wire_int(w, &l->observer);
    if (l->observer < 0 || l->observer > GS_OBSERVE_HISTOGRAM) w->bad = true;
    gs_wire_bool(w, &l->score.seen);
    gs_wire_f32(w, &l->score.t_max);
    gs_wire_f32(w, &l->score.t_min);
    gs_wire_f32(w, &l->score.std);
    gs_wire_i64(w, &l->score.cols);
    gs_wire_f32(w, &l->max_input);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) gs_wire_f64(w, numbers[i]);
}

static void visit_choice(gs_wire *w, gs_smooth_choice *c)
{
    double *const numbers[] = {&c->alpha,      &c->beta,         &c->threshold,  &c->loss_before,
                               &c->loss_after, &c->range_before, &c->range_after};
    gs_wire_int(w, &c->index);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) gs_wire_f64(w, numbers[i]);
    gs_wire_i64(w, &c->scaled_channels);
    gs_wire_i64(w, &c->zero_channels);
}

static void visit_smooth_choice(gs_wire *w, gs_do_smooth_choice *c)
{
    double *const numbers[] = {&c->alpha, &c->loss_before, &c->loss_after, &c->range_before, &c->range_after};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) gs_wire_f64(w, numbers[i]);
    gs_wire_i64(w, &c->scaled_channels);
    gs_wire_i64(w, &c->zero_channels);
}

static void visit_block(gs_wire *w, gs_block_state *b)
{
    gs_transform *t = &b->transform;
    gs_wire_int(w, &b->block);
    gs_wire_f32(w, &b->fa_score);
    gs_wire_bool(w, &t->ready);
    for (int role = 0; role < GS_ROLES; role++) {
        gs_wire_bool(w, &t->chosen[role]);
        gs_wire_text(w, &b->branch[role]);
        visit_choice(w, &t->choice[role]);
    }
    for (int norm = 0; norm < GS_NORMS; norm++) {
        gs_wire_bool(w, &t->smoothed[norm]);
        visit_smooth_choice(w, &t->smooth_choice[norm]);
    }
    for (int i = 0; i < GS_TRANSFORM_VECTORS; i++) gs_wire_floats(w, &b->vector[i].v, &b->vector[i].n);
}

static void visit(gs_wire *w, gs_record *r)
{
    gs_wire_int(w, &r->pass);
    gs_wire_int(w, &r->blocks);
    gs_wire_bool(w, &r->ended);
    gs_wire_i64(w, &r->work_done);
    for (int i = 0; i < GS_STREAMS; i++) visit_stream(w, &r->stream[i]);
    r->written = gs_wire_list(w, r->written, &r->n_written, sizeof *r->written, 16);
    for (int i = 0; i < r->n_written; i++) {
        gs_wire_i64(w, &r->written[i].index);
        gs_wire_u64(w, &r->written[i].bytes);
    }
    r->linear = gs_wire_list(w, r->linear, &r->n_linears, sizeof *r->linear, 100);
    for (int i = 0; i < r->n_linears; i++) visit_linear(w, &r->linear[i]);
    r->block = gs_wire_list(w, r->block, &r->n_blocks, sizeof *r->block, 300);
    for (int i = 0; i < r->n_blocks; i++) visit_block(w, &r->block[i]);
    r->message = gs_wire_list(w, r->message, &r->n_messages, sizeof *r->message, 2);
    for (int i = 0; i < r->n_messages; i++) {
        gs_wire_bool(w, &r->message[i].warning);
        gs_wire_text(w, &r->message[i].text);
    }
}

void gs_record_write(const gs_record *r, gs_str *out)
{
    gs_wire w = {.out = out};
    gs_record copy = *r; /* a visit that writes changes nothing */
    visit(&w, &copy);
}

gs_status gs_record_parse(const void *data, size_t n, gs_record *out, gs_error *err)
{
    gs_wire w = {.at = data, .end = (const unsigned char *)data + n};
    *out = (gs_record){0};
    visit(&w, out);
    if (!w.bad && w.at == w.end && out->pass >= 0 && out->blocks >= 0 && out->work_done >= 0) return GS_OK;
    gs_record_release(out);
    return gs_fail(err, GS_ERR_FILE, "a record of a finished block cannot be read");
}

void gs_record_release(gs_record *r)
{
    for (int i = 0; i < r->n_blocks; i++) {
        for (int role = 0; role < GS_ROLES; role++) gs_free(r->block[i].branch[role]);
        for (int k = 0; k < GS_TRANSFORM_VECTORS; k++) gs_free(r->block[i].vector[k].v);
    }
    for (int i = 0; i < r->n_messages; i++) gs_free(r->message[i].text);
    gs_free(r->written);
    gs_free(r->linear);
    gs_free(r->block);
    gs_free(r->message);
    *r = (gs_record){0};
}
