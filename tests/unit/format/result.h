/* Result directories for tests: a tiny synthetic checkpoint, and what a recipe makes of it in names, types, shapes and side files.
 * The tensors hold what the test fills in, or zeros. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TESTS_FORMAT_RESULT_H
#define GS_TESTS_FORMAT_RESULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/quantdir.h"
#include "model/synth.h"

static gs_error test_error;
#define ERR (&test_error)
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != GS_OK) fail_msg("%s", test_error.text);                                                          \
    } while (0)
#define FAILS(call, kind, word)                                                                                        \
    do {                                                                                                               \
        const gs_status got_ = (call);                                                                                 \
        if (got_ != (kind)) fail_msg("status %d: %s", (int)got_, got_ ? test_error.text : "no failure");               \
        if (!strstr(test_error.text, word)) fail_msg("'%s' is not in: %s", word, test_error.text);                     \
    } while (0)

typedef struct result {
    char dir[64];
    gs_recipe recipe;
    gs_resolved resolved;
    const gs_format *format;
    gs_config config;
    const gs_family *family;
    gs_checkpoint ck;
    gs_model_tensors tensors;
    gs_choice choice[2 * GS_ROLES + 1];
    gs_weight_rule rule;
    bool fa[2];
    gs_manifest_spec spec;
    gs_manifest manifest;
    bool sharded;
    void (*fill)(const gs_tensor *t, void *dst); /* dst holds zeros; NULL = they stay */
} result;

static inline void put_file(const result *r, const char *name, const char *text, size_t n)
{
    char *path = gs_path_join(r->dir, name);
    OK(gs_file_write_all(path, text, n, 0600, ERR));
    gs_free(path);
}

static char model_dir[64]; /* one checkpoint for all tests of a program */

static inline int make_model(void **state)
{
    (void)state;
    snprintf(model_dir, sizeof model_dir, "/tmp/glmslim-model-XXXXXX");
    if (!mkdtemp(model_dir)) return -1;
    gs_synth_spec synth;
    gs_synth_defaults(&synth);
    synth.dir = model_dir;
    synth.hidden = 64;
    synth.layers = 2;
    synth.heads = 4;
    synth.groups = 2;
    synth.head_dim = 16;
    synth.ffn = 128;
    synth.vocab = 512;
    return gs_synth_write(&synth, ERR) == GS_OK ? 0 : -1;
}

static inline void remove_tree(const char *dir)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) print_error("%s\n", command);
}

static inline int remove_model(void **state)
{
    (void)state;
    remove_tree(model_dir);
    return 0;
}

/* Recipe with defaults; the test changes it before result_write(). */
static inline void result_begin(result *r)
{
    *r = (result){.fa = {true, false}};
    snprintf(r->dir, sizeof r->dir, "/tmp/glmslim-result-XXXXXX");
    if (!mkdtemp(r->dir)) fail_msg("cannot make a directory");
    OK(gs_config_read(&r->config, model_dir, ERR));
    OK(gs_family_find(&r->config, &r->family, ERR));
    OK(gs_checkpoint_open(&r->ck, model_dir, ERR));
    OK(gs_model_tensors_find(&r->tensors, r->family, &r->config, &r->ck, ERR));
    gs_recipe_defaults(&r->recipe);
    r->recipe.model_path = model_dir;
    r->recipe.save_directory = r->dir;
    r->recipe.trust_remote_code = true;
    r->recipe.save_dtype = "checkpoint";
}

static inline void put_weights(result *r)
{
    gs_writer *w;
    char prefix[96];
    gs_format_weights_prefix(r->resolved.type, prefix, sizeof prefix);
    OK(gs_layout_plan(&r->manifest.layout, prefix, r->sharded ? 100000 : 0, ERR));
    OK(gs_writer_open(&w, r->dir, &r->manifest.layout, ERR));
    for (int64_t i = 0; i < r->manifest.layout.count; i++) {
        const size_t n = (size_t)r->manifest.layout.tensors[i].bytes;
        void *values = gs_alloc(n + 1);
        if (r->fill) r->fill(&r->manifest.layout.tensors[i], values);
        OK(gs_writer_put(w, i, 0, values, n, ERR));
        gs_free(values);
    }
    OK(gs_writer_finish(w, ERR));
    gs_writer_free(w);
}

static inline void put_side_files(const result *r)
{
    size_t n = 0;
    char name[96], *text;
    if (r->manifest.layout.index_name) {
        text = gs_layout_index_json(&r->manifest.layout, &n);
        put_file(r, r->manifest.layout.index_name, text, n);
        gs_free(text);
    }
    gs_format_description_name(r->format, r->resolved.type, name, sizeof name);
    text = gs_format_description(r->format, &r->manifest, &r->resolved, r->spec.kv, r->spec.fa != NULL, &n);
    put_file(r, name, text, n);
    gs_free(text);
    OK(gs_format_config(r->format, &r->config, &r->recipe, &r->resolved, r->recipe.use_fa_quant, &text, &n, ERR));
    put_file(r, "config.json", text, n);
    gs_free(text);
}

/* The head and 4H stay float; the rest is what the recipe says. */
static inline void result_write(result *r)
{
    OK(gs_recipe_resolve(&r->recipe, &r->resolved, NULL, ERR));
    r->format = gs_format_get(&r->recipe);
    gs_weight_rule_from(&r->recipe, &r->resolved, false, &r->rule);
    for (int i = 0; i <= 2 * GS_ROLES; i++)
        r->choice[i].type = i == 2 * GS_ROLES || i % GS_ROLES == GS_4H ? GS_Q_FLOAT : r->resolved.type;
    r->spec.config = &r->config;
    r->spec.family = r->family;
    r->spec.tensors = &r->tensors;
    r->spec.choice = r->choice;
    r->spec.rule = &r->rule;
    r->spec.recipe = &r->recipe;
    r->spec.resolved = &r->resolved;
    r->spec.type = r->resolved.type;
    r->spec.keep_dtypes = r->resolved.npu_dtypes;
    gs_manifest_build(&r->manifest, &r->spec);
    put_weights(r);
    put_side_files(r);
}

static inline void result_end(result *r)
{
    gs_manifest_release(&r->manifest);
    gs_model_tensors_release(&r->tensors);
    gs_checkpoint_close(&r->ck);
    gs_config_release(&r->config);
    remove_tree(r->dir);
}

#endif
