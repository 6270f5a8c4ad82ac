/* Owns what is kept of a linear's inputs. SPDX-License-Identifier: Apache-2.0 */
#include "eval/analyze_parts.h"

/* Does a scheme take the range of this kind? act_method 3 decides when all samples have been seen. */
static bool wants_kind(const gs_analyzer *a, int kind)
{
    for (int i = 0; i < a->schemes; i++) {
        const int method = a->scheme[i].recipe.act_method;
        if (gs_scheme_get(a->scheme[i].resolved.type)->static_input && (method == kind || method == 3)) return true;
    }
    return false;
}

static bool wants_scores(const gs_analyzer *a)
{
    for (int i = 0; i < a->schemes; i++)
        if (gs_scheme_get(a->scheme[i].resolved.type)->static_input && a->scheme[i].recipe.act_method == 3) return true;
    return false;
}

void gs_input_view_begin(gs_input_view *v, const gs_analyzer *a, int64_t in)
{
    gs_input_view_release(v);
    v->in = in;
    v->scores = wants_scores(a);
    gs_input_sums_init(&v->sums, in);
    for (gs_observer_kind kind = GS_OBSERVE_MINMAX; kind <= GS_OBSERVE_HISTOGRAM; kind++)
        if (wants_kind(a, (int)kind)) v->observer[kind] = gs_observer_create(kind, false);
}

void gs_input_view_release(gs_input_view *v)
{
    gs_input_sums_release(&v->sums);
    for (int kind = 0; kind <= GS_OBSERVE_HISTOGRAM; kind++) gs_observer_free(v->observer[kind]);
    *v = (gs_input_view){0};
}

static gs_status add_sample(gs_input_view *v, gs_analyzer *a, int64_t sample, int64_t rows, const float *x,
                            gs_error *err)
{
    for (int kind = 0; kind <= GS_OBSERVE_HISTOGRAM; kind++)
        if (v->observer[kind])
            GS_TRY(gs_observer_add(v->observer[kind], a->c, rows * v->in, x, &v->min[kind], &v->max[kind], err));
    if (!v->scores || sample >= GS_ANALYZE_SCORED) return GS_OK;
    return gs_score_add(&v->score, a->c, rows, v->in, x, err);
}

gs_status gs_input_view_add(gs_input_view *v, gs_analyzer *a, const gs_chunk *chunk, const float *x, gs_error *err)
{
    gs_input_sums_add(&v->sums, a->c, chunk->rows, x);
    for (int64_t s = chunk->first; s < chunk->first + chunk->count; s++) {
        const int64_t row = chunk->start[s] - chunk->row0, rows = chunk->start[s + 1] - chunk->start[s];
        if (rows > 0 && add_sample(v, a, s, rows, x + row * v->in, err) != GS_OK)
            return gs_wrap(err, "calibration sample %lld", (long long)s);
    }
    return GS_OK;
}

gs_act_params gs_input_view_act(const gs_input_view *v, const gs_scheme_plan *s)
{
    const int method = s->recipe.act_method;
    const int kind = method == 3 ? (int)gs_score_observer(&v->score) : method;
    return gs_act_asym8(v->min[kind], v->max[kind], s->floats);
}
