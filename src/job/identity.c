/* See identity.h. SPDX-License-Identifier: Apache-2.0 */
#include "job/identity.h"

#include <string.h>

#include "io/sha256.h"
#include "io/wire.h"
#include "recipe/options.h"

static void visit(gs_wire *w, gs_identity *id)
{
    gs_wire_int(w, &id->format);
    gs_wire_text(w, &id->version);
    if (id->format != GS_IDENTITY_FORMAT) {
        w->at = w->end;
        return;
    }
    id->option = gs_wire_list(w, id->option, &id->n_options, sizeof *id->option, 2);
    for (int i = 0; i < id->n_options; i++) {
        gs_wire_text(w, &id->option[i].name);
        gs_wire_text(w, &id->option[i].value);
        if (!id->option[i].name || !id->option[i].value) w->bad = true;
    }
    id->input = gs_wire_list(w, id->input, &id->n_inputs, sizeof *id->input, 26);
    for (int i = 0; i < id->n_inputs; i++) {
        gs_input_state *f = &id->input[i];
        gs_wire_text(w, &f->name);
        gs_wire_u64(w, &f->bytes);
        gs_wire_i64(w, &f->seconds);
        gs_wire_i64(w, &f->nanoseconds);
        gs_wire_text(w, &f->sha256);
        if (!f->name || !f->sha256) w->bad = true;
    }
}

void gs_identity_write(const gs_identity *id, gs_str *out)
{
    gs_wire w = {.out = out};
    gs_identity copy = *id; /* a visit that writes changes nothing */
    visit(&w, &copy);
}

gs_status gs_identity_parse(const void *data, size_t n, gs_identity *out, gs_error *err)
{
    gs_wire w = {.at = data, .end = (const unsigned char *)data + n};
    *out = (gs_identity){0};
    visit(&w, out);
    if (!w.bad && w.at == w.end && out->version) return GS_OK;
    gs_identity_release(out);
    return gs_fail(err, GS_ERR_FILE, "its first record cannot be read");
}

void gs_identity_release(gs_identity *id)
{
    for (int i = 0; i < id->n_options; i++) {
        gs_free(id->option[i].name);
        gs_free(id->option[i].value);
    }
    for (int i = 0; i < id->n_inputs; i++) {
        gs_free(id->input[i].name);
        gs_free(id->input[i].sha256);
    }
    gs_free(id->version);
    gs_free(id->option);
    gs_free(id->input);
    *id = (gs_identity){0};
}

static void add_options(const gs_recipe *r, gs_identity *id)
{
    id->option = gs_alloc_array((size_t)gs_option_count, sizeof *id->option);
    for (int i = 0; i < gs_option_count; i++) {
        const gs_option *o = &gs_options[i];
        gs_str value;
        if (gs_option_is_local(o)) continue;
        gs_str_init(&value);
        gs_option_value(r, o, &value);
        const char *text = value.len > 0 ? value.data + 1 : o->kind == GS_OPT_FLAG ? "given" : "";
        id->option[id->n_options++] = (gs_option_state){gs_strdup(o->name), gs_strdup(text)};
        gs_str_release(&value);
    }
}

static gs_status add_bytes(gs_identity *id, const char *name, const void *data, size_t n, gs_error *err)
{
    char sha256[GS_SHA256_TEXT];
    GS_TRY(gs_sha256_bytes(data, n, sha256, err));
    id->input = gs_realloc_array(id->input, (size_t)id->n_inputs + 1, sizeof *id->input);
    id->input[id->n_inputs++] = (gs_input_state){.name = gs_strdup(name), .bytes = n, .sha256 = gs_strdup(sha256)};
    return GS_OK;
}

static gs_status add_samples(gs_identity *id, const char *name, const gs_samples *s, gs_error *err)
{
    if (s->count == 0) return GS_OK;
    char starts[GS_SHA256_TEXT];
    GS_TRY(gs_sha256_bytes(s->start, (size_t)(s->count + 1) * sizeof *s->start, starts, err));
    gs_str all;
    gs_str_init(&all);
    gs_str_adds(&all, starts);
    gs_str_add(&all, (const char *)s->id, (size_t)s->tokens * sizeof *s->id);
    const gs_status status = add_bytes(id, name, all.data, all.len, err);
    gs_str_release(&all);
    return status;
}

/* Size, time and header: what a download or another training changes. As the file was when it was opened. */
static gs_status add_weights(gs_identity *id, const gs_file *f, gs_error *err)
{
    uint64_t length = 0;
    const char *slash = strrchr(f->path, '/');
    GS_TRY(gs_file_pread(f, 0, &length, sizeof length, err));
    if (length > GS_MAX_HEADER)
        return gs_fail(err, GS_ERR_FILE, "%s has changed while it was open; run again", f->path);
    char *header = gs_alloc((size_t)length + sizeof length);
    gs_status status = gs_file_pread(f, 0, header, (size_t)length + sizeof length, err);
    if (status == GS_OK)
        status = add_bytes(id, slash ? slash + 1 : f->path, header, (size_t)length + sizeof length, err);
    gs_free(header);
    if (status != GS_OK) return status;
    gs_input_state *in = &id->input[id->n_inputs - 1];
    in->bytes = f->size;
    in->seconds = f->stamp.seconds;
    in->nanoseconds = f->stamp.nanoseconds;
    return GS_OK;
}

gs_status gs_identity_make(const gs_job *job, gs_identity *out, gs_error *err)
{
    *out = (gs_identity){.format = GS_IDENTITY_FORMAT, .version = gs_strdup(GLMSLIM_VERSION)};
    add_options(job->recipe, out);
    gs_status status = add_bytes(out, "config.json", job->config.text, job->config.text_bytes, err);
    if (status == GS_OK) status = add_samples(out, "the token ids of the calibration texts", &job->samples, err);
    if (status == GS_OK) status = add_samples(out, "the token ids of the outlier texts", &job->anti, err);
    for (int i = 0; i < job->checkpoint.n_files && status == GS_OK; i++)
        status = add_weights(out, &job->checkpoint.files[i], err);
    if (status != GS_OK) gs_identity_release(out);
    return status;
}

static const gs_input_state *find_input(const gs_identity *id, const char *name)
{
    for (int i = 0; i < id->n_inputs; i++)
        if (strcmp(id->input[i].name, name) == 0) return &id->input[i];
    return NULL;
}

static bool options_differ(const gs_identity *then, const gs_identity *now, gs_str *what)
{
    for (int i = 0; i < now->n_options; i++) {
        const gs_option_state *n = &now->option[i], *t = &then->option[i];
        if (i >= then->n_options || strcmp(t->name, n->name) != 0) {
            gs_str_adds(what, "it knew other options");
            return true;
        }
        if (strcmp(t->value, n->value) == 0) continue;
        const char *none = "not given";
        char shown[200];
        gs_printable(t->value, strlen(t->value), shown, sizeof shown);
        gs_str_printf(what, "--%s was %s then and is %s now", n->name, shown[0] ? shown : none,
                      n->value[0] ? n->value : none);
        return true;
    }
    return false;
}

static bool inputs_differ(const gs_identity *then, const gs_identity *now, gs_str *what)
{
    for (int i = 0; i < now->n_inputs; i++) {
        const gs_input_state *n = &now->input[i], *t = find_input(then, n->name);
        const char *how = NULL;
        if (!t)
            how = "was not there";
        else if (t->bytes != n->bytes)
            how = "had another size";
        else if (strcmp(t->sha256, n->sha256) != 0)
            how = n->seconds ? "had another header" : "had another content";
        else if (t->seconds != n->seconds || t->nanoseconds != n->nanoseconds)
            how = "was older or newer (its time has changed)";
        if (!how) continue;
        gs_str_printf(what, "%s %s then", n->name, how);
        return true;
    }
    if (then->n_inputs == now->n_inputs) return false;
    gs_str_adds(what, "it read more files");
    return true;
}

bool gs_identity_differs(const gs_identity *then, const gs_identity *now, gs_str *what)
{
    if (then->format != now->format || strcmp(then->version, now->version) != 0) {
        char shown[80];
        gs_printable(then->version, strlen(then->version), shown, sizeof shown);
        gs_str_printf(what, "it was begun by glmslim %s and this is %s", shown, now->version);
        if (strcmp(then->version, now->version) == 0) gs_str_adds(what, " in another build");
        return true;
    }
    return options_differ(then, now, what) || inputs_differ(then, now, what);
}
