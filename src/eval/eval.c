/* Opens what is compared, runs the pass, and fills the figures. SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

#include "eval/summary.h"

typedef struct run {
    const gs_eval_spec *spec;
    gs_compute *c;
    gs_config config;
    const gs_family *family;
    gs_checkpoint checkpoint;
    gs_model_tensors tensors;
    gs_quantdir *quant; /* [quants] */
    const gs_quantdir **view;
    gs_eval_set set;
    gs_lockstep pass;
    gs_token_views *views;
    gs_layer_sums **layer;
    gs_sqnr *head;
    gs_eval *out;
} run;

static void message(const run *r, const char *text)
{
    const gs_watch *w = r->spec->watch;
    if (text && w && w->message) w->message(w->ctx, GS_WARNING, text);
}

/* ---- opening ---- */

static gs_status open_float(run *r, gs_error *err)
{
    const char *dir = r->spec->model_path;
    GS_TRY(gs_config_read(&r->config, dir, err));
    GS_TRY(gs_family_find(&r->config, &r->family, err));
    GS_TRY(gs_checkpoint_open(&r->checkpoint, dir, err));
    message(r, r->checkpoint.warning);
    return gs_model_tensors_find(&r->tensors, r->family, &r->config, &r->checkpoint, err);
}

static gs_status same_number(const gs_quantdir *q, const char *what, int64_t have, int64_t want, gs_error *err)
{
    if (have == want) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s: %s is %lld, but %lld in the float model: it was made from another one",
                   q->checkpoint.dir, what, (long long)have, (long long)want);
}

static gs_status check_shape(const run *r, const gs_quantdir *q, gs_error *err)
{
    const gs_config *a = &q->config, *b = &r->config;
    if (q->family != r->family)
        return gs_fail(err, GS_ERR_FILE, "%s: model_type \"%s\", but \"%s\" in the float model", q->checkpoint.dir,
                       a->model_type, b->model_type);
    GS_TRY(same_number(q, "hidden_size", a->hidden, b->hidden, err));
    GS_TRY(same_number(q, "the number of layers", a->layers, b->layers, err));
    GS_TRY(same_number(q, "the number of attention heads", a->heads, b->heads, err));
    GS_TRY(same_number(q, "the number of key/value groups", a->groups, b->groups, err));
    GS_TRY(same_number(q, "the head's width", a->head_dim, b->head_dim, err));
    GS_TRY(same_number(q, "the inner width of the MLP", a->ffn, b->ffn, err));
    GS_TRY(same_number(q, "the vocabulary's size", a->vocab, b->vocab, err));
    if (a->rope_base == b->rope_base && a->norm_eps == b->norm_eps) return GS_OK;
    return gs_fail(err, GS_ERR_FILE,
                   "%s: rope_ratio or layernorm_epsilon differs from the float model's: it was made from another one",
                   q->checkpoint.dir);
}

static gs_status open_quants(run *r, gs_error *err)
{
    const int n = r->spec->quants;
    r->quant = gs_alloc_array((size_t)n + 1, sizeof *r->quant);
    r->view = gs_alloc_array((size_t)n + 1, sizeof *r->view);
    for (int i = 0; i < n; i++) {
        GS_TRY(gs_quantdir_open(&r->quant[i], r->spec->quant_path[i], err));
        message(r, r->quant[i].checkpoint.warning);
        GS_TRY(check_shape(r, &r->quant[i], err));
        GS_TRY(gs_quantdir_bind(&r->quant[i], err));
        r->view[i] = &r->quant[i];
    }
    return GS_OK;
}

static gs_status choose_windows(run *r, int64_t prefix, gs_error *err)
{
    const int64_t most = r->config.max_positions - prefix, usual = most < GS_EVAL_CONTEXT ? most : GS_EVAL_CONTEXT;
    const int64_t context = r->spec->context > 0 ? r->spec->context : usual;
    const int64_t stride = r->spec->stride > 0 ? r->spec->stride : context;
    if (context > most || context < 1)
        return gs_fail(err, GS_ERR_USAGE, "--context %lld: with the prefix the model takes at most %lld tokens of text",
                       (long long)context, (long long)most);
    if (stride > context)
        return gs_fail(err, GS_ERR_USAGE,
                       "--stride %lld is more than the %lld tokens of a window: tokens would be left out",
                       (long long)stride, (long long)context);
    r->out->context = context;
    r->out->stride = stride;
    return GS_OK;
}

static gs_status read_texts(run *r, const gs_tokenizer *t, gs_error *err)
{
    gs_ids prefix = {0};
    const gs_status status = gs_tokenizer_encode(t, "", 0, true, &prefix, err);
    r->out->prefix = prefix.count;
    gs_ids_release(&prefix);
    GS_TRY(status);
    if (r->spec->text_path) {
        GS_TRY(choose_windows(r, r->out->prefix, err));
        GS_TRY(gs_eval_set_text(&r->set, t, r->spec->text_path, r->out->context, r->out->stride, err));
    }
    if (r->spec->choices_path)
        GS_TRY(gs_eval_set_choices(&r->set, t, r->spec->choices_path, r->config.max_positions, err));
    return gs_eval_set_check(&r->set, r->config.vocab, err);
}

static gs_status open_texts(run *r, gs_error *err)
{
    gs_tokenizer *t;
    if (!r->spec->text_path && !r->spec->choices_path)
        return gs_fail(err, GS_ERR_USAGE, "nothing to evaluate on: give --text FILE, --choices FILE, or both");
    GS_TRY(gs_tokenizer_open(&t, r->spec->model_path, NULL, err));
    const gs_status status = read_texts(r, t, err);
    gs_tokenizer_close(t);
    return status;
}

/* ---- the pass ---- */

static gs_token_views new_views(const run *r, bool compared)
{
    const size_t n = (size_t)r->set.place[r->set.samples.count] + 1;
    gs_token_views v = {.nll = gs_arena_alloc(r->out->arena, n * sizeof(double))};
    if (!compared) return v;
    v.kl = gs_arena_alloc(r->out->arena, n * sizeof(double));
    v.top1 = gs_arena_alloc(r->out->arena, n);
    v.top5 = gs_arena_alloc(r->out->arena, n);
    return v;
}

static gs_status run_pass(run *r, gs_error *err)
{
    const int n = r->spec->quants;
    gs_arena *const arena = r->out->arena;
    r->views = gs_arena_alloc(arena, (size_t)(n + 1) * sizeof *r->views);
    r->layer = gs_arena_alloc(arena, (size_t)(n + 1) * sizeof *r->layer);
    r->head = gs_arena_alloc(arena, (size_t)(n + 1) * sizeof *r->head);
    for (int i = 0; i < n; i++) {
        r->views[i] = new_views(r, true);
        r->layer[i] = gs_arena_alloc(arena, (size_t)r->config.layers * sizeof **r->layer);
    }
    gs_lockstep pass = {.c = r->c,
                        .watch = r->spec->watch,
                        .set = &r->set,
                        .stream_bytes = r->spec->stream_bytes > 0 ? r->spec->stream_bytes : GS_EVAL_STREAM_BYTES,
                        .config = &r->config,
                        .checkpoint = &r->checkpoint,
                        .tensors = &r->tensors,
                        .models = n,
                        .model = r->view,
                        .exact = new_views(r, false),
                        .served = r->views,
                        .layer = r->layer,
                        .head = r->head};
    r->pass = pass;
    return gs_lockstep_run(&r->pass, err);
}

/* ---- figures ---- */

static double decibels(double signal, double noise)
{
    const gs_sqnr s = {.signal = signal, .noise = noise};
    return gs_sqnr_db(&s);
}

static void fill_linear(const run *r, gs_eval_model *m, int64_t at, const char *name, gs_quant_type type, double signal,
                        double noise)
{
    gs_eval_linear *l = &m->linear[at];
    *l = (gs_eval_linear){.name = gs_arena_strdup(r->out->arena, name),
                          .type = gs_quant_type_name(type),
                          .block = (int)(at / GS_ROLES),
                          .role = (int)(at % GS_ROLES),
                          .signal = signal,
                          .noise = noise,
                          .sqnr_db = decibels(signal, noise)};
    if (type == GS_Q_FLOAT || !(l->sqnr_db < m->sqnr_min)) return;
    m->sqnr_min = l->sqnr_db;
    m->sqnr_min_at = at;
}

static void fill_layers(const run *r, int quant, gs_eval_model *m)
{
    const gs_quantdir *q = &r->quant[quant];
    const int64_t layers = r->config.layers;
    m->linears = layers * GS_ROLES + 1;
    m->linear = gs_arena_alloc(r->out->arena, (size_t)m->linears * sizeof *m->linear);
    m->block = gs_arena_alloc(r->out->arena, (size_t)layers * sizeof *m->block);
    m->sqnr_min = INFINITY;
    m->sqnr_min_at = -1;
    for (int64_t b = 0; b < layers; b++) {
        const gs_layer_sums *s = &r->layer[quant][b];
        for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
            char name[GS_NAME_BYTES];
            gs_linear_name(r->family, (int)b, role, "", name, sizeof name);
            fill_linear(r, m, b * GS_ROLES + role, name, q->block[b].linear[role].scheme->type, s->signal[role],
                        s->noise[role]);
        }
        m->block[b].cosine = s->rows > 0 ? s->cosine / (double)s->rows : 0;
        m->block[b].cosine_min = s->cosine_min;
    }
    fill_linear(r, m, m->linears - 1, r->family->head, q->head.scheme->type, r->head[quant].signal,
                r->head[quant].noise);
    m->linear[m->linears - 1].block = m->linear[m->linears - 1].role = -1;
}

static void fill_quant(const run *r, int quant, const int32_t *picked, int32_t *own)
{
    gs_eval_model *m = &r->out->quant[quant];
    const gs_quantdir *q = &r->quant[quant];
    m->path = gs_arena_strdup(r->out->arena, r->spec->quant_path[quant]);
    m->type = gs_quant_type_name(q->type);
    for (int64_t b = 0; b < r->config.layers; b++) {
        m->kv = m->kv || q->block[b].kv[0];
        m->fa = m->fa || q->block[b].fa[0];
    }
    m->token_nll = r->views[quant].nll;
    m->token_kl = r->views[quant].kl;
    gs_summary_text(m, r->set.text_tokens);
    gs_summary_compare(m, &r->out->exact, &r->views[quant], r->set.text_tokens);
    gs_summary_choices(m, &r->set, m->token_nll, own, picked);
    fill_layers(r, quant, m);
}

static void fill_positions(const run *r)
{
    gs_eval *e = r->out;
    e->token_position = gs_arena_alloc(e->arena, (size_t)(e->tokens + 1) * sizeof *e->token_position);
    for (int64_t i = 0; i < r->set.windows; i++)
        for (int64_t j = r->set.place[i]; j < r->set.place[i + 1]; j++)
            e->token_position[j] = r->set.first[i] + j - r->set.place[i] - e->prefix;
}

static void fill(const run *r)
{
    gs_eval *e = r->out;
    e->tokens = r->set.text_tokens;
    e->windows = r->set.windows;
    e->questions = r->set.questions;
    e->vocab = r->config.vocab;
    e->layers = r->config.layers;
    fill_positions(r);
    int32_t *const picked = gs_alloc_array((size_t)e->questions + 1, sizeof *picked);
    int32_t *const own = gs_alloc_array((size_t)e->questions + 1, sizeof *own);
    e->exact.path = gs_arena_strdup(e->arena, r->spec->model_path);
    e->exact.type = gs_quant_type_name(GS_Q_FLOAT);
    e->exact.token_nll = r->pass.exact.nll;
    gs_summary_text(&e->exact, e->tokens);
    gs_summary_choices(&e->exact, &r->set, e->exact.token_nll, picked, NULL);
    e->quants = r->spec->quants;
    e->quant = gs_arena_alloc(e->arena, (size_t)(e->quants + 1) * sizeof *e->quant);
    for (int i = 0; i < e->quants; i++) fill_quant(r, i, picked, own);
    gs_free(picked);
    gs_free(own);
}

static gs_status run_all(run *r, gs_error *err)
{
    GS_TRY(open_float(r, err));
    GS_TRY(open_quants(r, err));
    GS_TRY(open_texts(r, err));
    GS_TRY(run_pass(r, err));
    fill(r);
    return GS_OK;
}

gs_status gs_eval_run(const gs_eval_spec *spec, gs_compute *c, gs_eval **out, gs_error *err)
{
    run r = {.spec = spec, .c = c, .out = gs_alloc(sizeof *r.out)};
    r.out->arena = gs_arena_create();
    const gs_status status = run_all(&r, err);
    gs_eval_set_release(&r.set);
    for (int i = 0; i < spec->quants && r.quant; i++) gs_quantdir_close(&r.quant[i]);
    gs_free(r.quant);
    gs_free((void *)r.view);
    gs_model_tensors_release(&r.tensors);
    gs_checkpoint_close(&r.checkpoint);
    gs_config_release(&r.config);
    if (status != GS_OK) gs_eval_free(r.out);
    *out = status == GS_OK ? r.out : NULL;
    return status;
}

void gs_eval_free(gs_eval *e)
{
    if (!e) return;
    gs_arena_free(e->arena);
    gs_free(e);
}
