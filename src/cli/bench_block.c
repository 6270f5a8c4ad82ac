/* A block of the asked width in the middle of a model, through the whole program: a synthetic model of two blocks is quantized
 * with the documented recipe, and the first one, which passes its output on, is timed. From it follows how long a full model
 * takes. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/common.h"
#include "model/synth.h"

enum { LAYERS = 2, TEXT_BYTES = 80, FULL_LAYERS = 40, FULL_VOCABULARY = 151552 };

/* ---- texts ---- */

static const char *const words[] = {"model", "weight", "the", "of", "layer", "and", "range",  "token", "is",
                                    "scale", "in",     "a",   "to", "error", "for", "matrix", "with",  "code"};

static char *make_text(gs_arena *arena, uint32_t *state)
{
    char text[TEXT_BYTES + 16] = "";
    size_t n = 0;
    while (n < TEXT_BYTES) {
        *state = *state * 1664525u + 1013904223u;
        const char *const word = words[(*state >> 8) % (sizeof words / sizeof words[0])];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ", word);
    }
    return gs_arena_strdup(arena, text);
}

static const char *const *make_texts(gs_arena *arena, int count)
{
    const char **list = gs_arena_alloc(arena, ((size_t)count + 1) * sizeof *list);
    uint32_t state = 1;
    for (int i = 0; i < count; i++) list[i] = make_text(arena, &state);
    return list;
}

/* ---- the clock of each step and block ---- */

typedef struct stopwatch {
    gs_bench_block *block;
    const char *step;
    int at;
    double since;
} stopwatch;

static void add_phase(gs_bench_phase *list, int *n, const char *name, double seconds)
{
    int i = 0;
    while (i < *n && strcmp(list[i].name, name) != 0) i++;
    if (i == 16) return;
    if (i == *n) list[(*n)++] = (gs_bench_phase){.name = name};
    list[i].seconds += seconds;
}

/* The first block waits for its weights, the second shows how long that is when they are read meanwhile. */
static bool belongs_to_block(const stopwatch *s)
{
    if (!s->step || strcmp(s->step, "embed") == 0 || strcmp(s->step, "finish") == 0) return false;
    return strcmp(s->step, "read") == 0 ? s->at == 1 : s->at == 0;
}

static void on_progress(void *ctx, const gs_progress *p)
{
    stopwatch *s = ctx;
    const double now = gs_seconds();
    if (belongs_to_block(s)) add_phase(s->block->phase, &s->block->n_phases, s->step, now - s->since);
    s->step = p->step;
    s->at = p->block;
    s->since = now;
}

/* ---- results ---- */

static double rate_of(const gs_gemm_result *g) { return g->seconds > 0 ? g->operations / g->seconds : 0; }

/* Products of the timed block: the float stream, and the quantized one, whose wide input stays float. */
static double product_seconds(const gs_bench *b)
{
    const gs_bench_block *k = &b->block;
    const double all = 2 * (double)k->tokens * gs_bench_weights(&b->sizes);
    const double last = 2 * (double)k->tokens * (double)b->sizes.hidden * (double)b->sizes.ffn;
    double seconds = 0;
    if (k->f32_per_s > 0) seconds += (all + last) / k->f32_per_s;
    if (k->s8_per_s > 0) seconds += (all - last) / k->s8_per_s;
    return seconds;
}

static double share(double rate, double peak) { return peak > 0 ? rate / peak : 0; }

static void take_report(gs_bench *b, const gs_report *r)
{
    gs_bench_block *k = &b->block;
    k->tokens = r->n_tokens;
    k->samples = r->n_samples;
    k->f32_per_s = rate_of(&r->gemm[0]);
    k->s8_per_s = rate_of(&r->gemm[1]);
    k->f32_share = share(k->f32_per_s, gs_bench_peak_of(b, b->spec.last, GS_GEMM_F32, b->spec.threads));
    k->s8_share = share(k->s8_per_s, gs_bench_peak_of(b, b->spec.last, GS_GEMM_S8, b->spec.threads));
    k->memory = (double)r->measured_peak_bytes;
    double streams = 0;
    for (int i = 0; i < k->n_phases; i++) {
        const bool stream = strcmp(k->phase[i].name, "float") == 0 || strcmp(k->phase[i].name, "calibrate") == 0;
        k->seconds += k->phase[i].seconds;
        streams += stream ? k->phase[i].seconds : 0;
    }
    for (int i = 0; i < r->n_phases; i++) {
        bool in_block = false;
        for (int j = 0; j < k->n_phases; j++) in_block = in_block || strcmp(k->phase[j].name, r->phases[i].name) == 0;
        if (!in_block) add_phase(k->once, &k->n_once, r->phases[i].name, r->phases[i].seconds);
    }
    k->products = product_seconds(b);
    k->tokens_per_s = streams > 0 ? (double)k->tokens / streams : 0;
}

/* What is done once grows with the bytes written, but for reading texts and planning. */
static void forecast(gs_bench *b, double bytes)
{
    static const double tokens[] = {25000, 30000};
    const gs_bench_block *k = &b->block;
    const double of_block = gs_bench_weights(&b->sizes) * 1.3; /* dense_4h_to_h stays bfloat16 */
    const double full = FULL_LAYERS * of_block + 4.0 * FULL_VOCABULARY * (double)b->sizes.hidden;
    double once = 0, embed = 0, prepare = 0, weights = 0;
    for (int i = 0; i < k->n_once; i++) {
        const char *const name = k->once[i].name;
        *(strcmp(name, "embed") == 0 ? &embed : strcmp(name, "prepare") == 0 ? &prepare : &once) += k->once[i].seconds;
    }
    for (int i = 0; i < k->n_phases; i++)
        if (strcmp(k->phase[i].name, "float") != 0 && strcmp(k->phase[i].name, "calibrate") != 0)
            weights += k->phase[i].seconds;
    for (int i = 0; i < 2; i++) {
        gs_bench_forecast *f = &b->forecast[i];
        *f = (gs_bench_forecast){.tokens = tokens[i], .layers = FULL_LAYERS};
        f->per_token = tokens[i] * (FULL_LAYERS / k->tokens_per_s + embed / (double)k->tokens);
        f->per_block = FULL_LAYERS * weights;
        f->ends = prepare + once * full / bytes;
        f->seconds = f->per_token + f->per_block + f->ends;
    }
}

static gs_status quantize(gs_bench *b, gs_recipe *recipe, gs_error *err)
{
    stopwatch clock = {.block = &b->block};
    const gs_watch watch = {.ctx = &clock, .progress = on_progress};
    gs_report *report = NULL;
    GS_TRY(gs_quantize(recipe, &watch, &report, err));
    take_report(b, report);
    forecast(b, (double)report->output_bytes);
    gs_report_free(report);
    return GS_OK;
}

gs_status gs_bench_run_block(gs_bench *b, const char *dir, gs_error *err)
{
    gs_arena *arena = gs_arena_create();
    gs_synth_spec synth;
    gs_recipe recipe;
    gs_synth_defaults(&synth);
    synth.dir = gs_arena_printf(arena, "%s/model", dir);
    synth.layers = LAYERS;
    synth.hidden = b->sizes.hidden;
    synth.heads = b->sizes.heads;
    synth.groups = b->sizes.groups;
    synth.ffn = b->sizes.ffn;
    gs_recipe_defaults(&recipe);
    recipe.model_path = synth.dir;
    recipe.save_directory = gs_arena_printf(arena, "%s/result", dir);
    recipe.calib_texts = make_texts(arena, b->spec.quick ? 8 : 64);
    recipe.act_method = 2;
    recipe.use_kvcache_quant = true;
    recipe.threads = b->spec.threads;
    gs_status status = gs_synth_write(&synth, err);
    if (status == GS_OK) status = gs_check_interrupt(err); /* gs_quantize() forgets earlier ones */
    if (status == GS_OK) status = quantize(b, &recipe, err);
    gs_arena_free(arena);
    return status;
}
