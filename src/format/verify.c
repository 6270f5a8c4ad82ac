/* Running the checks of the table, and keeping what they find. SPDX-License-Identifier: Apache-2.0 */
#include "format/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/verify_parts.h"

#define LISTED_PER_CHECK 10

static int index_of(const gs_verify *v) { return (int)(v->check - gs_verify_checks); }

static int listed(const gs_verify *v)
{
    int n = 0;
    for (int i = 0; i < v->result->n_findings; i++) n += v->result->findings[i].check == v->check;
    return n;
}

static void add(gs_verify *v, bool warning, const void *subject, const char *effect, const char *fmt, va_list args)
    GS_PRINTF(5, 0);
static void add(gs_verify *v, bool warning, const void *subject, const char *effect, const char *fmt, va_list args)
{
    gs_verify_result *r = v->result;
    gs_check_state *state = &r->state[index_of(v)];
    const gs_check_state now = warning ? GS_CHECK_WARNED : GS_CHECK_FAILED;
    if (now > *state) *state = now;
    *(warning ? &r->warnings : &r->errors) += 1;
    for (int i = r->n_findings - 1; i >= 0; i--) {
        gs_finding *f = &r->findings[i];
        const bool same = f->check == v->check && f->warning == warning;
        if (same && ((subject && f->subject == subject) || listed(v) >= LISTED_PER_CHECK)) {
            f->more++;
            return;
        }
    }
    char text[1024];
    vsnprintf(text, sizeof text, fmt, args);
    r->findings = gs_realloc_array(r->findings, (size_t)r->n_findings + 1, sizeof *r->findings);
    r->findings[r->n_findings++] = (gs_finding){.check = v->check,
                                                .warning = warning,
                                                .text = gs_arena_strdup(v->arena, text),
                                                .effect = effect ? effect : v->check->effect,
                                                .subject = subject};
}

void gs_verify_fail(gs_verify *v, const char *effect, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(v, false, NULL, effect, fmt, args);
    va_end(args);
}

void gs_verify_warn(gs_verify *v, const char *effect, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(v, true, NULL, effect, fmt, args);
    va_end(args);
}

void gs_verify_fail_about(gs_verify *v, const void *subject, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(v, false, subject, NULL, fmt, args);
    va_end(args);
}

gs_status gs_verify_absorb(gs_verify *v, gs_status status, gs_error *err)
{
    if (status != GS_ERR_FILE && status != GS_ERR_UNSUPPORTED && status != GS_ERR_NUMERIC) return status;
    gs_verify_fail(v, NULL, "%s", err->text);
    return GS_OK;
}

const char *gs_verify_file_of(const gs_verify *v, const gs_tensor *t)
{
    const char *path = v->q.checkpoint.files[t->file].path, *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool gs_verify_is_static(const gs_verify_linear *l)
{
    return l->found && (l->linear.scheme->type == GS_Q_W8A8 || l->linear.scheme->type == GS_Q_W8A8S);
}

gs_status gs_verify_read(gs_verify *v, const gs_tensor *t, int64_t first, int64_t n, float *dst, gs_error *err)
{
    char raw[16384];
    const size_t size = gs_dtype_bytes(t->dtype);
    const int64_t step = (int64_t)(sizeof raw / size);
    for (int64_t at = 0; at < n; at += step) {
        const int64_t some = n - at < step ? n - at : step;
        GS_TRY(gs_checkpoint_read(&v->q.checkpoint, t, (uint64_t)(first + at) * size, raw, (size_t)some * size, err));
        gs_to_f32(t->dtype, raw, dst + at, some);
    }
    v->result->bytes += (uint64_t)n * size;
    return GS_OK;
}

bool gs_verify_can(const gs_verify *v, const gs_verify_check *c)
{
    const gs_target *t = v->request->target;
    if (c->needs & GS_NEED_OPEN && !v->opened) return false;
    if (c->needs & GS_NEED_FULL && v->request->light) return false;
    if (c->needs & GS_NEED_MODEL && !v->has_model) return false;
    if (c->needs & GS_NEED_TARGET && !t) return false;
    if (c->needs & GS_NEED_MINDIE && t != &gs_target_mindie) return false;
    return !(c->needs & GS_NEED_VLLM) || t == &gs_target_vllm_ascend;
}

/* From here on the check counts as made: passed unless it finds something. */
static bool begin(gs_verify *v, const gs_verify_check *c)
{
    if (!gs_verify_can(v, c)) return false;
    v->check = c;
    gs_check_state *state = &v->result->state[index_of(v)];
    if (*state == GS_CHECK_NOT_MADE) *state = GS_CHECK_PASSED;
    return true;
}

void gs_verify_each_values(gs_verify *v, const gs_values *x)
{
    for (const gs_verify_check *c = gs_verify_checks; c < gs_verify_checks + gs_verify_check_count; c++)
        if (c->values && begin(v, c)) c->values(v, x);
}

gs_status gs_verify_each_rows(gs_verify *v, const gs_rows *x, gs_error *err)
{
    for (const gs_verify_check *c = gs_verify_checks; c < gs_verify_checks + gs_verify_check_count; c++)
        if (c->rows && begin(v, c)) GS_TRY(c->rows(v, x, err));
    return GS_OK;
}

static gs_status run(gs_verify *v, gs_error *err)
{
    if (!gs_path_is_dir(v->request->dir))
        return gs_fail(err, GS_ERR_IO, "%s is not a directory: give the one that a quantization has written",
                       v->request->dir);
    if (v->request->model_path) GS_TRY(gs_verify_model_open(v, err));
    for (const gs_verify_check *c = gs_verify_checks; c < gs_verify_checks + gs_verify_check_count; c++)
        if (c->directory && begin(v, c)) GS_TRY(c->directory(v, err));
    if (!v->opened) return GS_OK;
    v->result->n_tensors = v->q.checkpoint.table.count;
    GS_TRY(gs_verify_values(v, err));
    return gs_verify_rows(v, err);
}

gs_status gs_verify_run(const gs_verify_request *request, gs_verify_result *out, gs_error *err)
{
    *out = (gs_verify_result){.arena = gs_arena_create()};
    out->state = gs_alloc_array((size_t)gs_verify_check_count, sizeof *out->state);
    gs_verify v = {.request = request, .result = out, .arena = out->arena};
    const gs_status status = run(&v, err);
    gs_verify_model_close(&v);
    json_decref(v.config);
    if (v.opened) gs_quantdir_close(&v.q);
    gs_free(v.linear);
    gs_free(v.norm);
    gs_free(v.kv);
    gs_free(v.fa);
    gs_free(v.known);
    if (status != GS_OK) gs_verify_result_release(out);
    return status;
}

void gs_verify_result_release(gs_verify_result *r)
{
    gs_free(r->findings);
    gs_free(r->state);
    gs_arena_free(r->arena);
    *r = (gs_verify_result){0};
}
