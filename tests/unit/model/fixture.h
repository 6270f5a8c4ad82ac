/* What the tests of model/ share: a compute context, an open checkpoint, golden tensors, temporary directories.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TESTS_MODEL_FIXTURE_H
#define GS_TESTS_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/file.h"
#include "model/forward.h"

#define TINY(name) GS_SOURCE_DIR "/tests/golden/models/" name
#define DATA(name) GS_SOURCE_DIR "/tests/data/model/" name

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != GS_OK) fail_msg("%s", test_error.text);                                                          \
    } while (0)
#define ERR (&test_error)

static gs_error test_error;

/* The call failed with this kind, and the message holds each of the words. */
static inline void expect_failure(gs_status got, gs_status wanted, const char *const *words)
{
    if (got != wanted) fail_msg("status %d instead of %d: %s", (int)got, (int)wanted, test_error.text);
    for (; *words; words++)
        if (!strstr(test_error.text, *words)) fail_msg("'%s' is not in: %s", *words, test_error.text);
}
#define FAILS(call, status, ...) expect_failure((call), (status), (const char *const[]){__VA_ARGS__, NULL})

typedef struct model {
    gs_config config;
    const gs_family *family;
    gs_checkpoint ck;
    gs_model_tensors tensors;
} model;

static inline void model_open(model *m, const char *dir)
{
    OK(gs_config_read(&m->config, dir, ERR));
    OK(gs_family_find(&m->config, &m->family, ERR));
    OK(gs_checkpoint_open(&m->ck, dir, ERR));
    OK(gs_model_tensors_find(&m->tensors, m->family, &m->config, &m->ck, ERR));
}

static inline void model_close(model *m)
{
    gs_model_tensors_release(&m->tensors);
    gs_checkpoint_close(&m->ck);
    gs_config_release(&m->config);
}

typedef struct golden {
    gs_file file;
    gs_tensor_table table;
} golden;

static inline void golden_open(golden *g, const char *path)
{
    OK(gs_file_open(&g->file, path, ERR));
    OK(gs_safetensors_read_header(&g->file, &g->table, ERR));
}

static inline void golden_close(golden *g)
{
    gs_tensor_table_release(&g->table);
    gs_file_close(&g->file);
}

/* Caller frees. */
static inline float *golden_read(const golden *g, const char *name, int64_t elements)
{
    for (int64_t i = 0; i < g->table.count; i++) {
        const gs_tensor *t = &g->table.tensors[i];
        if (strcmp(t->name, name) != 0) continue;
        assert_int_equal(t->dtype, GS_F32);
        assert_int_equal(t->elements, elements);
        float *x = test_malloc((size_t)elements * sizeof *x);
        OK(gs_file_pread(&g->file, t->offset, x, (size_t)t->bytes, ERR));
        return x;
    }
    fail_msg("no golden tensor '%s'", name);
    return NULL;
}

/* Largest difference in a row over the largest value of that row, worst row. */
static inline double worst_error(const float *got, const float *want, int64_t rows, int64_t cols)
{
    double worst = 0;
    for (int64_t t = 0; t < rows; t++) {
        double top = 1e-30, gap = 0;
        for (int64_t j = 0; j < cols; j++) {
            const double w = want[t * cols + j], d = (double)got[t * cols + j] - w;
            if (!(d - d == 0)) return 1e30;
            if (w > top || -w > top) top = w > 0 ? w : -w;
            if (d > gap || -d > gap) gap = d > 0 ? d : -d;
        }
        if (gap / top > worst) worst = gap / top;
    }
    return worst;
}

/* A fresh directory; dir_remove deletes it with the files in it. */
static inline char *dir_make(void)
{
    const char *const base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/glmslim-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) fail_msg("cannot make %s", path);
    return strdup(path);
}

static inline void dir_remove(char *path)
{
    DIR *const d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file); /* "." and ".." refuse */
    }
    if (d) closedir(d);
    rmdir(path);
    free(path);
}

static inline void dir_put(const char *dir, const char *name, const void *data, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

__attribute__((unused, noinline)) static char *file_text(const char *path, size_t *n)
{
    char *text = NULL;
    const gs_status status = gs_file_read_all(path, 1u << 30, &text, n, ERR);
    if (status != GS_OK) fail_msg("%s", test_error.text);
    return text;
}

/* Copy every file of a model directory. */
static inline char *dir_copy(const char *from)
{
    char *const to = dir_make();
    DIR *const d = opendir(from);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char path[1024];
        size_t n;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", from, e->d_name);
        char *const text = file_text(path, &n);
        dir_put(to, e->d_name, text, n);
        gs_free(text);
    }
    closedir(d);
    return to;
}

/* Small seeded numbers for made-up weights: uniform in (-1, 1). */
static inline float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 33) / 1073741824.0 - 1.0);
}

#endif
