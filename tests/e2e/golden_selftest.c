/* The comparator must call every golden equal to itself, find every kind of damage, and allow what the tolerances allow.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden_rules.h"

#define CASES    GS_SOURCE_DIR "/tests/golden/cases/"
#define WEIGHTS  "quant_model_weight_w8a8.safetensors"
#define LAYER(n) "transformer.encoder.layers." #n

static char work[64];

static int setup(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/golden_selftest_XXXXXX");
    return mkdtemp(work) == NULL;
}

static void empty(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL) return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static int teardown(void **state)
{
    (void)state;
    empty(work);
    return rmdir(work);
}

/* A fresh copy of a case in `work`. */
static void open_case(golden *g, const char *name)
{
    gs_error err = {0};
    char path[512];
    snprintf(path, sizeof path, CASES "%s", name);
    empty(work);
    if (golden_open(g, path, &err) != GS_OK || golden_expand(g, work, &err) != GS_OK) fail_msg("%s", err.text);
}

/* The number of differences, whose text must contain `says`; NULL: there must be none. */
static int judge_in(golden *g, const char *dir, const char *says)
{
    gs_error err = {0};
    golden_verdict v;
    golden_verdict_init(&v);
    if (golden_judge(g, dir, &v, &err) != GS_OK) fail_msg("%s", err.text);
    const int n = v.differences;
    if (says != NULL && strstr(v.text.data, says) == NULL) fail_msg("expected '%s' in: %s", says, v.text.data);
    if (says == NULL && n > 0) fail_msg("expected no difference: %s", v.text.data);
    golden_verdict_release(&v);
    return n;
}

static int judge(golden *g, const char *says) { return judge_in(g, work, says); }

/* Open a file of `work` for changing bytes, whatever its mode; close_file() restores the mode. */
static FILE *open_file(const char *name, mode_t *mode)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", work, name);
    assert_int_equal(stat(path, &st), 0);
    *mode = st.st_mode & 07777;
    assert_int_equal(chmod(path, 0600), 0);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    return f;
}

static void close_file(FILE *f, mode_t mode)
{
    assert_int_equal(fchmod(fileno(f), mode), 0);
    assert_int_equal(fclose(f), 0);
}

/* Position of an element in the weights file, from the golden's header. */
static long place(const golden *g, const char *tensor, int64_t element, size_t bytes)
{
    for (int i = 0; i < g->n_files; i++) {
        const golden_tensor *t = golden_find(&g->files[i].set, tensor);
        if (t != NULL) return (long)(8 + g->files[i].set.header_bytes + t->begin + (uint64_t)element * bytes);
    }
    fail_msg("no tensor %s", tensor);
    return 0;
}

static void add_to_byte(const golden *g, const char *tensor, int64_t byte, int add)
{
    mode_t mode;
    FILE *f = open_file(WEIGHTS, &mode);
    fseek(f, place(g, tensor, byte, 1), SEEK_SET);
    const int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc((unsigned char)(c + add), f);
    close_file(f, mode);
}

static void scale_floats(const golden *g, const char *tensor, int64_t first, int64_t n, size_t stride, double factor,
                         double add)
{
    mode_t mode;
    FILE *f = open_file(WEIGHTS, &mode);
    for (int64_t i = first; i < first + n; i++) {
        float v = 0;
        const long at = place(g, tensor, i, stride);
        fseek(f, at, SEEK_SET);
        assert_int_equal(fread(&v, sizeof v, 1, f), 1);
        v = (float)(v * factor + add);
        fseek(f, at, SEEK_SET);
        assert_int_equal(fwrite(&v, sizeof v, 1, f), 1);
    }
    close_file(f, mode);
}

static void replace_text(const char *name, const char *from, const char *to)
{
    assert_int_equal(strlen(from), strlen(to));
    mode_t mode;
    FILE *f = open_file(name, &mode);
    static char text[1 << 16];
    const size_t n = fread(text, 1, sizeof text - 1, f);
    char *at = memmem(text, n, from, strlen(from));
    assert_non_null(at);
    fseek(f, at - text, SEEK_SET);
    fwrite(to, 1, strlen(to), f);
    close_file(f, mode);
}

static void every_case_equals_itself(void **state)
{
    (void)state;
    DIR *d = opendir(CASES);
    assert_non_null(d);
    int n = 0;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.') continue;
        golden g;
        open_case(&g, e->d_name);
        assert_int_equal(judge(&g, NULL), 0);
        golden_close(&g);
        n++;
    }
    closedir(d);
    assert_true(n >= 20);
}

/* Damage that touches one number. */
static void damaged_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        int64_t element;
        size_t stride;
        double factor, add;
        const char *says;
    } table[] = {
        {LAYER(1) ".self_attention.dense.weight_scale", 5, 4, 1 + 1e-6, 0, "dense.weight_scale"},
        {LAYER(1) ".self_attention.dense.weight_offset", 5, 4, 1, 1, "dense.weight_offset"},
        {LAYER(2) ".input_layernorm.weight", 3, 4, 1 + 2e-7, 0, "input_layernorm.weight: bytes differ"},
        {LAYER(0) ".self_attention.query_key_value.input_scale", 0, 4, 1 + 3e-5, 0, "allowed 2e-05"},
        {LAYER(0) ".self_attention.query_key_value.input_offset", 0, 4, 1, 1, "offset off by 1, allowed 0"},
        {LAYER(2) ".mlp.dense_h_to_4h.input_scale", 0, 4, 1.2, 0, "allowed 0.1"},
        {LAYER(2) ".mlp.dense_h_to_4h.input_offset", 0, 4, 1, 13, "allowed 12"},
        {LAYER(2) ".mlp.dense_h_to_4h.input_scale", 0, 4, 1 + 1e-4, 0, "deq_scale/input_scale is not the reference's"},
        {LAYER(2) ".mlp.dense_h_to_4h.deq_scale", 7, 8, 1 + 1e-6, 0, "not input_scale * weight_scale"},
        {LAYER(1) ".self_attention.query_key_value.k_proj.kv_cache_scale", 9, 4, 1 + 1e-4, 0, "kv_cache_scale"},
        {LAYER(1) ".self_attention.query_key_value.v_proj.kv_cache_offset", 9, 4, 1, 1, "kv_cache_offset"},
        {"transformer.embedding.word_embeddings.weight", 100, 4, 0, 0.5, "word_embeddings.weight: bytes differ"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        golden g;
        open_case(&g, "w8a8c8-act2");
        scale_floats(&g, table[i].tensor, table[i].element, 1, table[i].stride, table[i].factor, table[i].add);
        assert_true(judge(&g, table[i].says) > 0);
        golden_close(&g);
    }
}

/* A NaN compares false with everything: it must not slip through. */
static void damaged_by_nan(void **state)
{
    (void)state;
    static const char *const tensors[] = {
        LAYER(1) ".self_attention.dense.weight_scale",
        LAYER(1) ".mlp.dense_h_to_4h.input_scale",
        LAYER(1) ".mlp.dense_h_to_4h.input_offset",
        LAYER(1) ".self_attention.query_key_value.k_proj.kv_cache_scale",
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        golden g;
        open_case(&g, "w8a8c8-act2");
        scale_floats(&g, tensors[i], 0, 1, 4, 0.0 / 0.0, 0);
        assert_true(judge(&g, "DIFF") > 0);
        golden_close(&g);
    }
}

static void damaged_integers(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        int64_t byte;
        int add;
        const char *says;
    } table[] = {
        {LAYER(0) ".mlp.dense_h_to_4h.weight", 4711, 1, "1 of 98304 codes differ, most (1) at 4711"},
        {LAYER(0) ".mlp.dense_h_to_4h.quant_bias", 40, 3, "do not follow from the file's own"},
        {LAYER(0) ".mlp.dense_h_to_4h.quant_bias", 40, 3, "not the reference's although the range is"},
        {LAYER(0) ".mlp.dense_h_to_4h.deq_scale", 12, 1, "upper 32 bits are not zero in 1 elements"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        golden g;
        open_case(&g, "w8a8-act1");
        add_to_byte(&g, table[i].tensor, table[i].byte, table[i].add);
        assert_true(judge(&g, table[i].says) > 0);
        golden_close(&g);
    }
}

static void damaged_header(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } table[] = {
        {"layers.1.input_layernorm", "layers.7.input_layernorm", "layers.1.input_layernorm.weight is missing"},
        {"layers.1.input_layernorm", "layers.7.input_layernorm", "layers.7.input_layernorm.weight is too much"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"I32\"", "another type or shape"},
        {"\"dtype\":\"I8\",\"shape\"", "\"shape\":\"I8\",\"dtype\"", WEIGHTS},
        {"[0,", "[8,", WEIGHTS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        golden g;
        open_case(&g, "w8a8-act1");
        replace_text(WEIGHTS, table[i].from, table[i].to);
        assert_true(judge(&g, table[i].says) > 0);
        golden_close(&g);
    }
}

static void damaged_files(void **state)
{
    (void)state;
    char path[512];
    golden g;
    open_case(&g, "w8a8-act1");
    replace_text("quant_model_description.json", "\"W8A8\"", "\"W8A9\"");
    assert_int_equal(judge(&g, "quant_model_description.json: differs in line"), 1);
    golden_close(&g);

    open_case(&g, "w8a8-act1");
    snprintf(path, sizeof path, "%s/" WEIGHTS, work);
    assert_int_equal(truncate(path, 100000), 0);
    assert_true(judge(&g, WEIGHTS) > 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(judge(&g, "is missing"), 1);
    golden_close(&g);

    open_case(&g, "w8a8-act1");
    snprintf(path, sizeof path, "%s/features.npy", work);
    fclose(fopen(path, "w"));
    assert_int_equal(judge(&g, "features.npy is too much"), 1);
    golden_close(&g);

    open_case(&g, "w8a8-act1");
    snprintf(path, sizeof path, "%s/config.json", work);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(judge(&g, "mode 0644 instead of 0600"), 1);
    assert_int_equal(chmod(work, 0755), 0);
    assert_int_equal(judge(&g, "directory's mode is 0755"), 2);
    snprintf(path, sizeof path, "%s-none", work);
    assert_int_equal(judge_in(&g, path, "no output directory"), 1);
    golden_close(&g);
}

/* Move a layer's range as a flipped code upstream would: input_scale and all of deq_scale. */
static void move_range(const golden *g, const char *layer, int64_t rows, double factor)
{
    char name[256];
    snprintf(name, sizeof name, "%s.input_scale", layer);
    scale_floats(g, name, 0, 1, 4, factor, 0);
    snprintf(name, sizeof name, "%s.deq_scale", layer);
    scale_floats(g, name, 0, rows, 8, factor, 0);
}

static void tolerances_hold(void **state)
{
    (void)state;
    golden g;
    open_case(&g, "w8a8-act1");
    move_range(&g, LAYER(1) ".self_attention.dense", 128, 1 + 5e-3);
    assert_int_equal(judge(&g, NULL), 0); /* one layer of nine: allowed */
    move_range(&g, LAYER(2) ".self_attention.dense", 128, 1 + 5e-3);
    assert_int_equal(judge(&g, "in only 7 of 9 layers"), 1);
    golden_close(&g);

    open_case(&g, "w8a8c8-act2"); /* the histogram's bounds are wider, and have no share */
    move_range(&g, LAYER(1) ".self_attention.dense", 128, 1.05);
    move_range(&g, LAYER(2) ".self_attention.dense", 128, 1 + 5e-3);
    assert_int_equal(judge(&g, NULL), 0);
    move_range(&g, LAYER(2) ".self_attention.dense", 128, 1.12);
    assert_int_equal(judge(&g, "allowed 0.1"), 1);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_equals_itself), cmocka_unit_test(damaged_numbers), cmocka_unit_test(damaged_by_nan),
        cmocka_unit_test(damaged_integers),         cmocka_unit_test(damaged_header),  cmocka_unit_test(damaged_files),
        cmocka_unit_test(tolerances_hold),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
