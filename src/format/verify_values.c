/* Checks of numbers: every tensor but the weights goes by in pieces, with what must hold of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "format/verify_checks.h"

#define PIECE 4096

GS_CHECK_VALUES(finite)
{
    for (int64_t i = 0; i < x->n; i++)
        if (!isfinite(x->value[i]))
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %s at element %lld", gs_verify_file_of(v, x->tensor),
                                 x->tensor->name, isnan(x->value[i]) ? "a NaN" : "an infinity",
                                 (long long)(x->first + i));
}

GS_CHECK_VALUES(positive)
{
    if (!(x->use & GS_USE_POSITIVE)) return;
    for (int64_t i = 0; i < x->n; i++)
        if (x->value[i] <= 0.0f)
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %g at element %lld; a scale is above 0",
                                 gs_verify_file_of(v, x->tensor), x->tensor->name, (double)x->value[i],
                                 (long long)(x->first + i));
}

static const char *offset_fault(float value, unsigned use)
{
    if (use & GS_USE_ZERO && value != 0.0f) return "0, because these weights are symmetric";
    if (use & (GS_USE_WHOLE | GS_USE_BYTE) && gs_rint(value) != value) return "a whole number";
    if (use & GS_USE_BYTE && !(value >= -128.0f && value <= 127.0f)) return "from -128 to 127";
    return NULL;
}

static void check_offsets(gs_verify *v, const gs_values *x, unsigned use)
{
    for (int64_t i = 0; i < x->n; i++) {
        const char *fault = isfinite(x->value[i]) ? offset_fault(x->value[i], use) : NULL;
        if (fault)
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %g at element %lld; it must be %s",
                                 gs_verify_file_of(v, x->tensor), x->tensor->name, (double)x->value[i],
                                 (long long)(x->first + i), fault);
    }
}

GS_CHECK_VALUES(weight_offset) { check_offsets(v, x, x->use & (GS_USE_ZERO | GS_USE_WHOLE)); }

GS_CHECK_VALUES(input_offset) { check_offsets(v, x, x->use & GS_USE_BYTE); }

/* MindIE takes the number's bits for the offset: only +0.0 means 0. */
GS_CHECK_VALUES(cache_offset)
{
    if (!(x->use & GS_USE_CACHE) || v->request->target == &gs_target_vllm_ascend) return;
    for (int64_t i = 0; i < x->n; i++)
        if (gs_f32_bits(x->value[i]) != 0)
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %s%g at element %lld; it must be +0.0",
                                 gs_verify_file_of(v, x->tensor), x->tensor->name, x->value[i] == 0.0f ? "minus " : "",
                                 fabs((double)x->value[i]), (long long)(x->first + i));
}

GS_CHECK_VALUES(deq_pattern)
{
    if (!(x->use & GS_USE_PATTERN)) return;
    for (int64_t i = 0; i < x->n; i++)
        if (x->raw[i] != (int32_t)x->raw[i])
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %lld at element %lld, which is no float32's bits",
                                 gs_verify_file_of(v, x->tensor), x->tensor->name, (long long)x->raw[i],
                                 (long long)(x->first + i));
}

GS_CHECK_VALUES(latent_offset)
{
    if (!(x->use & GS_USE_LATENT)) return;
    for (int64_t i = 0; i < x->n; i++)
        if (x->value[i] != 0.0f)
            gs_verify_fail_about(v, x->tensor, "%s: '%s' holds %g at element %lld: the weights are asymmetric",
                                 gs_verify_file_of(v, x->tensor), x->tensor->name, (double)x->value[i],
                                 (long long)(x->first + i));
}

/* One tensor in pieces. Of integers only I64 patterns have numbers anybody checks; quant_bias is recomputed elsewhere. */
static gs_status scan(gs_verify *v, const gs_tensor *t, unsigned use, gs_error *err)
{
    float value[PIECE];
    int64_t raw[PIECE];
    const bool whole_numbers = t && t->dtype == GS_I64;
    if (!t || (!whole_numbers && !gs_dtype_is_float(t->dtype))) return GS_OK;
    if (whole_numbers && use & GS_USE_POSITIVE) use |= GS_USE_PATTERN;
    for (int64_t at = 0; at < t->elements; at += PIECE) {
        const int64_t n = t->elements - at < PIECE ? t->elements - at : PIECE;
        if (!whole_numbers) {
            GS_TRY(gs_verify_read(v, t, at, n, value, err));
        } else {
            GS_TRY(gs_checkpoint_read(&v->q.checkpoint, t, (uint64_t)at * 8, raw, (size_t)n * 8, err));
            v->result->bytes += (uint64_t)n * 8;
            for (int64_t i = 0; i < n; i++)
                value[i] = use & GS_USE_PATTERN ? gs_f32_from_bits((uint32_t)raw[i]) : (float)raw[i];
        }
        const gs_values x = {t, use, at, n, value, whole_numbers ? raw : NULL};
        gs_verify_each_values(v, &x);
    }
    return GS_OK;
}

/* What must hold of each piece; of offsets it depends on the type. */
static unsigned use_of(const gs_scheme *s, gs_piece piece)
{
    switch (piece) {
    case GS_PIECE_WEIGHT_SCALE:
    case GS_PIECE_INPUT_SCALE:
    case GS_PIECE_DEQ_SCALE:
    case GS_PIECE_SCALE_SECOND:
    case GS_PIECE_CLIP_RATIO:
        return GS_USE_POSITIVE;
    case GS_PIECE_INPUT_OFFSET:
        return GS_USE_BYTE;
    case GS_PIECE_OFFSET_SECOND:
        return GS_USE_ZERO;
    case GS_PIECE_WEIGHT_OFFSET:
        if (s->type == GS_Q_W8A16) return GS_USE_WHOLE | GS_USE_LATENT;
        return s->type == GS_Q_W4A16 ? GS_USE_WHOLE : GS_USE_ZERO;
    default:
        return 0;
    }
}

static gs_status scan_part(gs_verify *v, const gs_scheme *s, const gs_quant_part *p, gs_error *err)
{
    for (int i = 0; i < s->n_pieces; i++)
        if (s->pieces[i].piece != GS_PIECE_WEIGHT)
            GS_TRY(scan(v, p->piece[s->pieces[i].piece], use_of(s, s->pieces[i].piece), err));
    return GS_OK;
}

static gs_status scan_linear(gs_verify *v, const gs_verify_linear *f, gs_error *err)
{
    const gs_quant_linear *l = &f->linear;
    GS_TRY(scan(v, f->gather, 0, err));
    for (int r = 0; r < f->n_reduce; r++) GS_TRY(scan(v, f->reduce[r], 0, err));
    GS_TRY(scan_part(v, l->scheme, &l->whole, err));
    for (int r = 0; r < l->ranks; r++) GS_TRY(scan_part(v, l->scheme, &l->rank[r], err));
    if (!l->gather) return GS_OK;
    GS_TRY(scan(v, l->gather, 0, err)); /* 0 for a channel that is always 0 */
    for (int r = 0; r < l->ranks; r++)
        if (r == 0 || l->reduce[r] != l->reduce[0]) GS_TRY(scan(v, l->reduce[r], 0, err));
    return GS_OK;
}

static gs_status scan_attention(gs_verify *v, int64_t block, gs_error *err)
{
    for (int i = 0; i < GS_KV_PARTS; i++)
        GS_TRY(scan(v, v->kv[block][i], i % 2 == 0 ? GS_USE_POSITIVE : GS_USE_CACHE, err));
    for (int i = 0; i < GS_FA_PARTS / 2; i++) GS_TRY(scan(v, v->fa[block][i], GS_USE_POSITIVE, err));
    return GS_OK;
}

gs_status gs_verify_values(gs_verify *v, gs_error *err)
{
    const int64_t layers = v->q.config.layers;
    for (int i = 0; i < v->n_linears; i++) {
        GS_TRY(gs_check_interrupt(err));
        if (v->linear[i].found) GS_TRY(scan_linear(v, &v->linear[i], err));
    }
    for (int64_t i = 0; i < layers * GS_NORMS + 1; i++) {
        GS_TRY(scan(v, v->norm[i].weight, 0, err));
        GS_TRY(scan(v, v->norm[i].bias, 0, err));
        GS_TRY(scan(v, v->norm[i].module_weight, 0, err));
        GS_TRY(scan(v, v->norm[i].module_bias, 0, err));
    }
    for (int64_t b = 0; b < layers; b++) GS_TRY(scan_attention(v, b, err));
    return GS_OK;
}
