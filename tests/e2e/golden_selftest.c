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

/* The tensor, and the file that holds it. */
static const golden_tensor *locate(const golden *g, const char *tensor, const golden_file **file)
{
    for (int i = 0; i < g->n_files; i++) {
        const golden_tensor *t = golden_find(&g->files[i].set, tensor);
        *file = &g->files[i];
        if (t != NULL) return t;
    }
    fail_msg("no tensor %s", tensor);
    return NULL;
}

/* n elements from `first` on become value * factor + add: float32 (as deq_scale is, whatever its type), or the low byte of an
 * integer. */
static void change(const golden *g, const char *tensor, int64_t first, int64_t n, double factor, double add)
{
    const golden_file *file = NULL;
    const golden_tensor *t = locate(g, tensor, &file);
    const bool number = t->dtype == GS_F32 || strstr(tensor, "deq_scale") != NULL;
    mode_t mode;
    FILE *f = open_file(file->name, &mode);
    for (int64_t i = first; i < first + n; i++) {
        const long at = (long)(8 + file->set.header_bytes + t->begin + (uint64_t)i * gs_dtype_bytes(t->dtype));
        unsigned char bytes[4];
        float v = 0;
        fseek(f, at, SEEK_SET);
        assert_int_equal(fread(bytes, sizeof bytes, 1, f), 1);
        if (number) {
            memcpy(&v, bytes, sizeof v);
            v = (float)(v * factor + add);
            memcpy(bytes, &v, sizeof v);
        } else {
            bytes[0] = (unsigned char)(bytes[0] + (int)add);
        }
        fseek(f, at, SEEK_SET);
        assert_int_equal(fwrite(bytes, sizeof bytes, 1, f), 1);
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

/* A case without numbers: its header over zeros. */
static void open_form(golden *g, const char *name)
{
    gs_error err = {0};
    char path[512];
    snprintf(path, sizeof path, CASES "%s", name);
    empty(work);
    if (golden_open(g, path, &err) != GS_OK) fail_msg("%s", err.text);
    assert_int_equal(g->rules, GOLDEN_FORM);
    if (golden_expand(g, work, &err) != GS_OK) fail_msg("%s", err.text);
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
        judge(&g, g.less != NULL ? "fa_quant_type" : NULL);
        golden_close(&g);
        n++;
    }
    closedir(d);
    assert_true(n >= 170);
}

typedef struct damage {
    const char *in_case, *tensor;
    int64_t element;
    double factor, add;
    const char *says; /* NULL: allowed */
} damage;

static void apply(const damage *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        golden g;
        open_case(&g, table[i].in_case);
        change(&g, table[i].tensor, table[i].element, 1, table[i].factor, table[i].add);
        const int differences = judge(&g, table[i].says);
        if ((differences > 0) != (table[i].says != NULL)) fail_msg("%s: %d differences", table[i].tensor, differences);
        golden_close(&g);
    }
}

#define APPLY(table) apply(table, sizeof(table) / sizeof(table)[0])

/* Damage that touches one number. */
static void damaged_numbers(void **state)
{
    (void)state;
    static const char c8[] = "w8a8c8-act2";
    static const damage table[] = {
        {c8, LAYER(1) ".self_attention.dense.weight_scale", 5, 1 + 1e-6, 0, "dense.weight_scale"},
        {c8, LAYER(1) ".self_attention.dense.weight_offset", 5, 1, 1, "dense.weight_offset"},
        {c8, LAYER(2) ".input_layernorm.weight", 3, 1 + 2e-7, 0, "input_layernorm.weight: bytes differ"},
        {c8, LAYER(0) ".self_attention.query_key_value.input_scale", 0, 1 + 3e-5, 0, "allowed 2e-05"},
        {c8, LAYER(0) ".self_attention.query_key_value.input_offset", 0, 1, 1, "offset off by 1, allowed 0"},
        {c8, LAYER(2) ".mlp.dense_h_to_4h.input_scale", 0, 1.2, 0, "allowed 0.1"},
        {c8, LAYER(2) ".mlp.dense_h_to_4h.input_offset", 0, 1, 13, "allowed 12"},
        {c8, LAYER(2) ".mlp.dense_h_to_4h.input_scale", 0, 1 + 1e-4, 0, "deq_scale/input_scale is not the reference's"},
        {c8, LAYER(2) ".mlp.dense_h_to_4h.deq_scale", 7, 1 + 1e-6, 0, "not input_scale * weight_scale"},
        {c8, LAYER(1) ".self_attention.query_key_value.k_proj.kv_cache_scale", 9, 1 + 1e-4, 0, "kv_cache_scale"},
        {c8, LAYER(1) ".self_attention.query_key_value.v_proj.kv_cache_offset", 9, 1, 1, "kv_cache_offset"},
        {c8, "transformer.embedding.word_embeddings.weight", 100, 0, 0.5, "word_embeddings.weight: bytes differ"},
        {"w8a8-act1", LAYER(0) ".mlp.dense_h_to_4h.weight", 4711, 1, 1, "1 of 98304 codes differ, most (1) at 4711"},
        {"w8a8-act1", LAYER(0) ".mlp.dense_h_to_4h.quant_bias", 10, 1, 3, "do not follow from the file's own"},
        {"w8a8-act1", LAYER(0) ".mlp.dense_h_to_4h.quant_bias", 10, 1, 3, "not the reference's although the range is"},
    };
    APPLY(table);
}

/* What the other schemes write: packed int4, second scales, groups, attention, cards, one scale for all rows. */
static void damaged_schemes(void **state)
{
    (void)state;
    static const char two_stage[] = "w4a8-dynamic-g64", cards[] = "tp2-w8a8-reduce-shared-all";
    static const damage table[] = {
        {"w4a16-sym", LAYER(1) ".mlp.dense_h_to_4h.weight", 11, 1, 16, "1 of 98304 codes differ, most (1) at 23"},
        {"w4a16-g64-asym", LAYER(1) ".mlp.dense_h_to_4h.weight", 11, 1, 1, "1 of 98304 codes differ, most (1) at 22"},
        {"w4a16-g64-asym", LAYER(1) ".mlp.dense_h_to_4h.weight_scale", 70, 1 + 1e-6, 0, "weight_scale"},
        {"w4a16-g64-asym", LAYER(1) ".mlp.dense_h_to_4h.weight_offset", 70, 1, 1, "weight_offset"},
        {"w4a16-sym-mindie", LAYER(2) ".self_attention.dense.weight", 5, 1, -1,
         "1 of 16384 codes differ, most (1) at 5"},
        {two_stage, LAYER(0) ".self_attention.dense.weight_scale_second", 9, 1 + 1e-6, 0, "weight_scale_second"},
        {two_stage, LAYER(0) ".self_attention.dense.weight_offset_second", 9, 1, 1, "weight_offset_second"},
        {two_stage, LAYER(0) ".self_attention.dense.scale_bias", 9, 1 + 1e-4, 0, "scale_bias"},
        {two_stage, LAYER(0) ".self_attention.dense.weight", 9, 1, 1, "codes differ"},
        {"cosparse", LAYER(0) ".mlp.dense_h_to_4h.weight", 40, 1, -1, "1 of 98304 codes differ, most (1) at 40"},
        {"fa-w8a8", LAYER(2) ".self_attention.fa_k.scale", 1, 1 + 2e-7, 0, "fa_k.scale: bytes differ"},
        {"fa-w8a8", LAYER(2) ".self_attention.fa_q.offset", 1, 1, 1, "fa_q.offset: bytes differ"},
        {cards, LAYER(1) ".self_attention.dense.gather_scale", 3, 1 + 2e-7, 0, "gather_scale: bytes differ"},
        {cards, LAYER(1) ".self_attention.dense.reduce_scale", 3, 1 + 2e-7, 0, "reduce_scale: bytes differ"},
        {cards, LAYER(1) ".self_attention.dense.tp_list.1.weight", 3, 1, 1, "tp_list.1.weight: 1 of 8192 codes"},
        {cards, LAYER(1) ".self_attention.dense.tp_list.1.quant_bias", 3, 1, 5, "tp_list.1.quant_bias: 1 rows"},
        {cards, LAYER(1) ".mlp.dense_4h_to_h.tp_list.0.deq_scale", 3, 1 + 1e-5, 0, "tp_list.0.deq_scale: in 1 rows"},
        {"mm-w8a8", LAYER(1) ".self_attention.dense.deq_scale", 0, 1 + 1e-5, 0, "deq_scale: in 128 rows"},
        {"mm-w8a8", LAYER(1) ".self_attention.dense.weight_scale", 0, 1 + 1e-6, 0, "weight_scale"},
        {"w16a16", LAYER(1) ".mlp.dense_4h_to_h.weight", 77, 1 + 2e-7, 0, "dense_4h_to_h.weight: bytes differ"},
    };
    APPLY(table);
}

/* Rescaled weights: what two right implementations may differ in, and what they may not. */
static void damaged_smoothing(void **state)
{
    (void)state;
    static const char norm0[] = LAYER(0) ".input_layernorm.weight", norm1[] = LAYER(1) ".input_layernorm.weight";
    static const char m2[] = "w8a8-act1-m2", smooth[] = "w8a8-smooth";
    static const damage table[] = {
        {m2, norm1, 3, 1 + 1e-5, 0, NULL},
        {m2, norm1, 3, 1 + 5e-5, 0, "input_layernorm.weight: expected"},
        {m2, LAYER(1) ".input_layernorm.bias", 3, 1, 1e-3, "input_layernorm.bias: expected"},
        {m2, LAYER(1) ".mlp.dense_h_to_4h.weight_scale", 3, 1 + 5e-5, 0, "weight_scale"},
        {m2, LAYER(1) ".mlp.dense_h_to_4h.deq_scale", 3, 1 + 5e-5, 0, "deq_scale/input_scale"},
        {m2, LAYER(1) ".mlp.dense_h_to_4h.weight", 3, 1, 2, "1 of 98304 codes differ, most (2) at 3"},
        {"w4a16-m3-sym", LAYER(1) ".mlp.dense_h_to_4h.weight", 2, 1, 1, NULL},
        {"w4a16-m3-sym", LAYER(1) ".mlp.dense_h_to_4h.weight", 2, 1, 2, "most (2) at 4"},
        {"w16a16-m1", LAYER(1) ".mlp.dense_h_to_4h.weight", 2, 1 + 5e-5, 0, "dense_h_to_4h.weight: expected"},
        {smooth, norm1, 3, 1 + 1e-3, 0, NULL}, /* the search may have ended there */
        {smooth, norm1, 3, 1.5, 0, "self_attn.query_key_value: times its norm is not the model's product"},
        {smooth, norm0, 3, 1.02, 0, "input_layernorm.weight: expected"}, /* the first group saw floats alone */
        {smooth, LAYER(1) ".self_attn.query_key_value.weight", 3, 1, 41, "most (41)"},
        {smooth, LAYER(1) ".self_attn.dense.weight", 3, 1, 2, "most (2)"},
        {smooth, LAYER(1) ".self_attn.dense.input_scale", 0, 1.6, 0, "allowed 0.5"},
        {smooth, LAYER(1) ".self_attn.query_key_value.quant_bias", 3, 1, 3, "do not follow"},
    };
    APPLY(table);
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
        change(&g, tensors[i], 0, 1, 0.0 / 0.0, 0);
        assert_true(judge(&g, "DIFF") > 0);
        golden_close(&g);
    }
}

/* More codes than a rounding boundary explains, each by the one step that is allowed. */
static void damaged_share(void **state)
{
    (void)state;
    golden g;
    const char *const codes = LAYER(1) ".self_attention.dense.weight";
    open_case(&g, "w8a16-m3-asym");
    change(&g, codes, 0, 30, 1, 1);
    assert_true(judge(&g, NULL) == 0);
    change(&g, codes, 30, 10, 1, 1);
    assert_true(judge(&g, "40 of 16384 codes differ, most (1)") > 0);
    golden_close(&g);
}

/* The upper half of an int64 that holds a float32. */
static void damaged_deq(void **state)
{
    (void)state;
    golden g;
    const golden_file *file = NULL;
    open_case(&g, "w8a8-act1");
    const golden_tensor *t = locate(&g, LAYER(0) ".mlp.dense_h_to_4h.deq_scale", &file);
    mode_t mode;
    FILE *f = open_file(file->name, &mode);
    fseek(f, (long)(8 + file->set.header_bytes + t->begin + 12), SEEK_SET);
    fputc(1, f);
    close_file(f, mode);
    assert_true(judge(&g, "upper 32 bits are not zero in 1 elements") > 0);
    golden_close(&g);
}

/* Where the numbers are no target, the form is. */
static void form_alone(void **state)
{
    (void)state;
    golden g;
    open_form(&g, "bf16-w8a8-act1");
    assert_int_equal(judge(&g, NULL), 0);
    replace_text(WEIGHTS, "\"dtype\":\"BF16\"", "\"dtype\":\"F16\" ");
    assert_true(judge(&g, "another type or shape") > 0);
    golden_close(&g);
    open_form(&g, "bf16-w8a8-act1");
    replace_text("quant_model_description.json", "\"W8A8\"", "\"W8A9\"");
    assert_int_equal(judge(&g, "differs in line"), 1);
    golden_close(&g);
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
    change(g, name, 0, 1, factor, 0);
    snprintf(name, sizeof name, "%s.deq_scale", layer);
    change(g, name, 0, rows, factor, 0);
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
        cmocka_unit_test(every_case_equals_itself),
        cmocka_unit_test(damaged_numbers),
        cmocka_unit_test(damaged_schemes),
        cmocka_unit_test(damaged_smoothing),
        cmocka_unit_test(damaged_by_nan),
        cmocka_unit_test(damaged_share),
        cmocka_unit_test(damaged_deq),
        cmocka_unit_test(form_alone),
        cmocka_unit_test(damaged_header),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(tolerances_hold),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
