/* Opens what is analysed, runs the passes, ranks. SPDX-License-Identifier: Apache-2.0 */
#include "eval/analyze.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "eval/analyze_parts.h"
#include "eval/eval.h"
#include "eval/set.h"
#include "format/names.h"

static void message(const gs_analyzer *a, gs_level level, const char *fmt, ...) GS_PRINTF(3, 4);
static void message(const gs_analyzer *a, gs_level level, const char *fmt, ...)
{
    const gs_watch *w = a->spec->watch;
    char text[1024];
    va_list args;
    if (!w || !w->message) return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    w->message(w->ctx, level, text);
}

/* ---- opening ---- */

static gs_status open_model(gs_analyzer *a, gs_error *err)
{
    const char *dir = a->spec->model_path;
    GS_TRY(gs_config_read(&a->config, dir, err));
    GS_TRY(gs_family_find(&a->config, &a->family, err));
    GS_TRY(gs_checkpoint_open(&a->checkpoint, dir, err));
    if (a->checkpoint.warning) message(a, GS_WARNING, "%s", a->checkpoint.warning);
    return gs_model_tensors_find(&a->tensors, a->family, &a->config, &a->checkpoint, err);
}

static void name_linears(gs_analyzer *a)
{
    gs_analysis *out = a->out;
    out->linears = (int)a->config.layers * GS_ROLES + 1;
    out->linear = gs_arena_alloc(out->arena, (size_t)out->linears * sizeof *out->linear);
    for (int i = 0; i < out->linears - 1; i++) {
        char name[GS_NAME_BYTES];
        gs_analyze_linear *l = &out->linear[i];
        gs_linear_name(a->family, i / GS_ROLES, (gs_role)(i % GS_ROLES), "", name, sizeof name);
        gs_role_shape(&a->config, (gs_role)(i % GS_ROLES), &l->out, &l->in);
        l->name = gs_arena_strdup(out->arena, name);
    }
    out->linear[out->linears - 1] =
        (gs_analyze_linear){.name = a->family->head, .out = a->config.vocab, .in = a->config.hidden};
}

static gs_status read_texts(gs_analyzer *a, gs_texts *texts, gs_error *err)
{
    const gs_analyze_spec *s = a->spec;
    if (s->calib_file) GS_TRY(gs_texts_read(texts, s->calib_file, GS_KEYS_ALL, err));
    if (s->calib_texts) GS_TRY(gs_texts_append(texts, s->calib_texts, err));
    if (!s->calib_file && !s->calib_texts) {
        GS_TRY(gs_texts_builtin(texts, false, err));
        message(a, GS_WARNING,
                "no --calib_file: measuring on the built-in bilingual set (%lld samples). Texts of your own domain say "
                "more",
                (long long)texts->count);
    }
    if (texts->count == 0)
        return gs_fail(err, GS_ERR_USAGE, "%s holds no samples; a loss is measured on texts",
                       s->calib_file ? s->calib_file : "--calib_texts");
    a->out->source = gs_arena_strdup(a->out->arena, texts->source ? texts->source : "--calib_texts");
    return GS_OK;
}

/* Tokens behind the prefix count, of what losses are measured on. */
static void mark_tokens(gs_analyzer *a)
{
    gs_analysis *out = a->out;
    a->counts = gs_alloc_array((size_t)a->samples.tokens + 1, 1);
    for (int64_t s = a->first; s < a->samples.count; s++)
        for (int64_t t = a->samples.start[s] + out->prefix; t < a->samples.start[s + 1]; t++) {
            a->counts[t] = 1;
            out->counted++;
        }
    out->samples = a->observed;
    out->tokens = a->samples.start[a->observed];
}

static void append(gs_samples *to, const gs_samples *more)
{
    to->start = gs_realloc_array(to->start, (size_t)(to->count + more->count) + 1, sizeof *to->start);
    to->id = gs_realloc_array(to->id, (size_t)(to->tokens + more->tokens), sizeof *to->id);
    for (int64_t i = 1; i <= more->count; i++) to->start[to->count + i] = to->tokens + more->start[i];
    memcpy(to->id + to->tokens, more->id, (size_t)more->tokens * sizeof *to->id);
    to->count += more->count;
    to->tokens += more->tokens;
    if (more->longest > to->longest) to->longest = more->longest;
}

/* Windows of --text behind the samples. */
static gs_status add_text(gs_analyzer *a, const gs_tokenizer *t, gs_error *err)
{
    const int64_t most = a->config.max_positions - a->out->prefix;
    const int64_t context = most < GS_EVAL_CONTEXT ? most : GS_EVAL_CONTEXT;
    gs_eval_set set = {0};
    if (!a->spec->text_path) return GS_OK;
    gs_status status = gs_eval_set_text(&set, t, a->spec->text_path, context, context, err);
    if (status == GS_OK) status = gs_eval_set_check(&set, a->config.vocab, err);
    if (status == GS_OK) {
        a->first = a->observed;
        a->out->windows = set.samples.count;
        a->out->text = gs_arena_strdup(a->out->arena, a->spec->text_path);
        append(&a->samples, &set.samples);
    }
    gs_eval_set_release(&set);
    return status;
}

static gs_status encode(gs_analyzer *a, const gs_tokenizer *t, gs_texts *texts, gs_error *err)
{
    gs_ids prefix = {0};
    const gs_status status = gs_tokenizer_encode(t, "", 0, true, &prefix, err);
    a->out->prefix = prefix.count;
    gs_ids_release(&prefix);
    GS_TRY(status);
    GS_TRY(read_texts(a, texts, err));
    gs_texts some = *texts;
    if (a->spec->samples > 0 && a->spec->samples < some.count) some.count = a->spec->samples;
    GS_TRY(gs_samples_encode(&a->samples, t, &some, a->config.vocab, err));
    a->observed = a->samples.count;
    return add_text(a, t, err);
}

static gs_status open_texts(gs_analyzer *a, gs_error *err)
{
    gs_tokenizer *t = NULL;
    gs_texts texts = {0};
    char *pad = NULL; /* as quant adds it, so that samples are the same */
    gs_status status = gs_recipe_pad_token(&a->scheme[0].recipe, &pad, err);
    if (status == GS_OK) status = gs_tokenizer_open(&t, a->spec->model_path, pad, err);
    if (status == GS_OK) status = encode(a, t, &texts, err);
    gs_texts_release(&texts);
    gs_tokenizer_close(t);
    gs_free(pad);
    GS_TRY(status);
    mark_tokens(a);
    if (a->out->counted == 0)
        return gs_fail(err, GS_ERR_USAGE, "%s: there is no token to measure on",
                       a->out->text ? a->out->text : a->out->source);
    if (a->samples.longest > a->config.max_positions)
        message(a, GS_WARNING, "the longest sample has %lld tokens, more than the model's %lld positions",
                (long long)a->samples.longest, (long long)a->config.max_positions);
    return GS_OK;
}

/* ---- results ---- */

static gs_status prepare_figures(gs_analyzer *a, gs_error *err)
{
    gs_analysis *out = a->out;
    out->schemes = a->schemes;
    out->scheme = gs_arena_alloc(out->arena, (size_t)(a->schemes + 1) * sizeof *out->scheme);
    a->figures = gs_arena_alloc(out->arena, (size_t)(a->schemes + 1) * sizeof *a->figures);
    for (int s = 0; s < a->schemes; s++) {
        const gs_scheme_plan *plan = &a->scheme[s];
        a->figures[s] = gs_arena_alloc(out->arena, (size_t)out->linears * sizeof *a->figures[s]);
        for (int i = 0; i < out->linears; i++) {
            const bool head = i == out->linears - 1;
            a->figures[s][i] = (gs_trial_figures){
                .linear = i,
                .type = gs_quant_type_name(gs_scheme_type(plan, head ? (int)GS_ROLES : i % GS_ROLES)),
                .kept = head && plan->recipe.disable_last_linear};
        }
        out->scheme[s] = (gs_analyze_scheme){.name = gs_arena_strdup(out->arena, plan->name),
                                             .options = gs_arena_strdup(out->arena, plan->options),
                                             .type = gs_quant_type_name(plan->resolved.type),
                                             .linears = out->linears,
                                             .rank = a->figures[s]};
        GS_TRY(gs_scheme_sizes(a, s, err));
    }
    return GS_OK;
}

/* ---- the passes ---- */

/* Work in tokens through one block: the blocks, then multiplications of the output layer. */
static void plan_work(gs_analyzer *a)
{
    const double layers = (double)a->config.layers, schemes = (double)a->schemes, all = (double)a->samples.tokens;
    const double tried = all - (double)a->samples.start[a->first];
    double block = 0, mlp = 0;
    for (gs_role role = GS_QKV; role < GS_ROLES; role++) {
        int64_t out, in;
        gs_role_shape(&a->config, role, &out, &in);
        block += (double)out * (double)in;
        mlp += role == GS_H4 || role == GS_4H ? (double)out * (double)in : 0;
    }
    const double head = (double)a->config.vocab * (double)a->config.hidden / block;
    double whole = layers * (all + tried * schemes * (2 + 2 * mlp / block)) + tried * (1 + schemes) * head;
    a->total = layers * (all + tried * schemes * GS_ROLES);
    if (a->spec->kl) {
        const double later = tried * layers * (layers - 1) / 2 * GS_ROLES * schemes;
        whole += later + tried * layers * GS_ROLES * schemes * head;
        a->total += later;
    }
    message(a, GS_INFO, "%d linears under %d scheme%s on %lld tokens: about %.0f times the work of one float pass",
            a->out->linears, a->schemes, a->schemes == 1 ? "" : "s", (long long)a->samples.tokens,
            whole / (all * (layers + head)));
}

static gs_status begin(gs_analyzer *a, gs_error *err)
{
    const gs_analyze_spec *s = a->spec;
    const gs_config *c = &a->config;
    const int64_t longest = gs_chunk_rows_max(&a->samples);
    const int64_t streams = s->kl ? gs_analyze_stream(a, a->out->linears - 1, 0) : GS_STATES_TRIALS;
    for (int i = 0; i < GS_STATES_TRIALS; i++) a->stream[i] = i;
    a->started = gs_seconds();
    plan_work(a);
    GS_TRY(gs_states_init(&a->states, streams, a->samples.tokens, c->hidden,
                          s->states_memory > 0 ? s->states_memory : GS_ANALYZE_STATES, s->work_dir ? s->work_dir : ".",
                          err));
    if (a->states.file.path)
        message(a, GS_INFO, "hidden states of %lld streams go to a file of %.2f GB in %s", (long long)streams,
                (double)a->states.file.size / 1e9, s->work_dir ? s->work_dir : ".");
    GS_TRY(gs_buf_alloc(&a->rows, (size_t)(2 * longest * c->hidden) * sizeof(float), "hidden states of a chunk", err));
    a->h = a->rows.data;
    a->exact = a->h + longest * c->hidden;
    a->signal = gs_alloc_array((size_t)longest, sizeof *a->signal);
    a->noise = gs_alloc_array((size_t)longest, sizeof *a->noise);
    GS_TRY(gs_rope_init(&a->rope, a->samples.longest, c->rotary, c->rope_base, err));
    return gs_scratch_init(&a->scratch, c, longest, true, err);
}

static void release(gs_analyzer *a)
{
    for (int role = 0; role < GS_ROLES; role++) gs_input_view_release(&a->view[role]);
    gs_trial_release(&a->trial);
    gs_block_release(&a->block);
    gs_scratch_release(&a->scratch);
    gs_rope_release(&a->rope);
    gs_states_release(&a->states);
    gs_buf_release(&a->rows);
    gs_free(a->signal);
    gs_free(a->noise);
    gs_free(a->counts);
    gs_samples_release(&a->samples);
    gs_model_tensors_release(&a->tensors);
    gs_checkpoint_close(&a->checkpoint);
    gs_config_release(&a->config);
}

static gs_status run_all(gs_analyzer *a, gs_error *err)
{
    gs_analysis *out = a->out;
    out->path = gs_arena_strdup(out->arena, a->spec->model_path);
    out->kl = a->spec->kl;
    out->budget = a->spec->budget;
    GS_TRY(open_model(a, err));
    name_linears(a);
    GS_TRY(gs_scheme_plans(a, err));
    GS_TRY(open_texts(a, err));
    GS_TRY(prepare_figures(a, err));
    GS_TRY(begin(a, err));
    GS_TRY(gs_analyze_blocks(a, err));
    GS_TRY(gs_analyze_head(a, err));
    for (int s = 0; s < out->schemes; s++) {
        gs_rank(out->scheme[s].rank, out->scheme[s].linears, out->kl);
        gs_choose(&out->scheme[s], &out->budget, out->kl);
    }
    return GS_OK;
}

gs_status gs_analyze_run(const gs_analyze_spec *spec, gs_compute *c, gs_analysis **out, gs_error *err)
{
    gs_analyzer a = {.spec = spec, .c = c, .out = gs_alloc(sizeof *a.out), .states = {.file = {.fd = -1}}};
    a.out->arena = gs_arena_create();
    const gs_status status = run_all(&a, err);
    release(&a);
    if (status != GS_OK) gs_analysis_free(a.out);
    *out = status == GS_OK ? a.out : NULL;
    return status;
}

void gs_analysis_free(gs_analysis *a)
{
    if (!a) return;
    gs_arena_free(a->arena);
    gs_free(a);
}
