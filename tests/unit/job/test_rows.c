/* The pass over rows writes what the pass over blocks writes, byte for byte and report for report, and the reader ahead of it gives the
 * bytes that are there. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "job/rows.h"

#define DEMO GS_SOURCE_DIR "/demo/glm4-mini"

static gs_error err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const gs_status status_ = (call);                                                                              \
        if (status_ != GS_OK) fail_msg("%s: %s", #call, err.text);                                                     \
    } while (0)

static char *make_dir(void)
{
    char path[] = "/tmp/glmslim-rows-XXXXXX";
    assert_non_null(mkdtemp(path));
    return gs_strdup(path);
}

static void remove_dir(char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    gs_free(dir);
}

/* The documented parameters of each type that needs no hidden states. */
typedef struct scheme {
    const char *name;
    int w_bit, a_bit;
    bool dynamic, lowbit, split, asym, mindie, last, compat, mm_tensor, f32;
    int group_size;
} scheme;

static const scheme schemes[] = {
    {.name = "W8A16", .w_bit = 8, .a_bit = 16},
    {.name = "W8A16 asymmetric, head", .w_bit = 8, .a_bit = 16, .asym = true, .last = true},
    {.name = "W8A16 one scale", .w_bit = 8, .a_bit = 16, .mm_tensor = true, .last = true},
    {.name = "W4A16", .w_bit = 4, .a_bit = 16, .last = true},
    {.name = "W4A16 mindie", .w_bit = 4, .a_bit = 16, .asym = true, .mindie = true},
    {.name = "W4A16 groups", .w_bit = 4, .a_bit = 16, .lowbit = true, .group_size = 64, .last = true},
    {.name = "W8A16 groups", .w_bit = 8, .a_bit = 16, .lowbit = true, .group_size = 32, .asym = true},
    {.name = "W4A16 outliers", .w_bit = 4, .a_bit = 16, .lowbit = true, .split = true},
    {.name = "W8A8_DYNAMIC", .w_bit = 8, .a_bit = 8, .dynamic = true},
    {.name = "W4A8_DYNAMIC", .w_bit = 4, .a_bit = 8, .dynamic = true, .lowbit = true, .group_size = 32, .last = true},
    {.name = "W4A8_DYNAMIC compat",
     .w_bit = 4,
     .a_bit = 8,
     .dynamic = true,
     .lowbit = true,
     .group_size = 32,
     .compat = true},
    {.name = "FLOAT", .w_bit = 16, .a_bit = 16},
    {.name = "FLOAT float32", .w_bit = 16, .a_bit = 16, .f32 = true},
};

static const char *const texts[] = {"One text.", NULL};

static gs_recipe recipe_of(const scheme *s, const char *save)
{
    gs_recipe r;
    gs_recipe_defaults(&r);
    r.model_path = DEMO;
    r.save_directory = save;
    r.calib_texts = texts;
    r.threads = 2;
    r.w_bit = s->w_bit;
    r.a_bit = s->a_bit;
    r.is_dynamic = s->dynamic;
    r.is_lowbit = s->lowbit;
    r.open_outlier = !s->lowbit || s->split;
    r.w_sym = !s->asym;
    r.mindie_format = s->mindie;
    r.disable_last_linear = !s->last;
    r.reference_compat = s->compat;
    r.mm_tensor = s->mm_tensor;
    if (s->group_size) r.group_size = s->group_size;
    if (s->f32) r.save_dtype = "float32";
    return r;
}

typedef struct result {
    char *data;
    size_t n;
    double *figure; /* [linears] weight_sqnr_db, then scales */
    int n_linears;
} result;

static void run_pass(const scheme *s, const gs_pass *pass, result *to)
{
    char *dir = make_dir(), *save = gs_path_join(dir, "out"), *work = gs_path_join(dir, "");
    const gs_recipe recipe = recipe_of(s, save);
    gs_job job = {.recipe = &recipe, .report = gs_report_create()};
    OK(gs_job_prepare(&job, &err));
    OK(gs_job_plan(&job, &err));
    if (gs_job_needs_blocks(&job)) fail_msg("%s: rows should be enough", s->name);
    gs_writer *writer = NULL;
    OK(gs_writer_open(&writer, dir, &job.manifest.layout, &err));
    OK(gs_walk_run(&job, pass, writer, &err));
    OK(gs_writer_finish(writer, &err));
    char *path = gs_path_join(dir, job.manifest.layout.files[0].name);
    OK(gs_file_read_all(path, (size_t)1 << 26, &to->data, &to->n, &err));
    to->n_linears = job.n_linears;
    to->figure = gs_alloc_array((size_t)(3 * job.n_linears), sizeof *to->figure);
    for (int i = 0; i < job.n_linears; i++) {
        const gs_linear_result *l = &job.report->linears[i];
        to->figure[3 * i] = l->weight_sqnr_db;
        to->figure[3 * i + 1] = l->weight_scale_min;
        to->figure[3 * i + 2] = l->weight_scale_max;
    }
    gs_writer_free(writer);
    gs_job_release(&job);
    gs_free(path);
    gs_free(work);
    gs_free(save);
    remove_dir(dir);
}

static void rows_as_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        result rows = {0}, blocks = {0};
        run_pass(&schemes[i], &gs_pass_rows, &rows);
        run_pass(&schemes[i], &gs_pass_quantize, &blocks);
        if (rows.n != blocks.n || memcmp(rows.data, blocks.data, rows.n) != 0)
            fail_msg("%s: the passes write different bytes", schemes[i].name);
        for (int k = 0; k < 3 * rows.n_linears; k++)
            if (!(rows.figure[k] == blocks.figure[k] || (isnan(rows.figure[k]) && isnan(blocks.figure[k]))))
                fail_msg("%s: figure %d of linear %d: %g and %g", schemes[i].name, k % 3, k / 3, rows.figure[k],
                         blocks.figure[k]);
        gs_free(rows.data);
        gs_free(rows.figure);
        gs_free(blocks.data);
        gs_free(blocks.figure);
    }
}

/* What asks for hidden states gets blocks. */
static void who_needs_blocks(void **state)
{
    (void)state;
    gs_recipe r;
    gs_recipe_defaults(&r);
    gs_job job = {.recipe = &r};
    job.resolved.type = GS_Q_W8A16;
    job.rule.kind = GS_WEIGHT_NORMAL;
    assert_false(gs_job_needs_blocks(&job));
    r.use_kvcache_quant = true;
    assert_true(gs_job_needs_blocks(&job));
    job.data_free = true;
    assert_false(gs_job_needs_blocks(&job));
    job.resolved.do_smooth = true;
    assert_true(gs_job_needs_blocks(&job));
    job.resolved.do_smooth = false;
    job.calibrated.count = 1;
    assert_true(gs_job_needs_blocks(&job));
    job.calibrated.count = 0;
    job.smoother = gs_smoother_find("m2");
    assert_true(gs_job_needs_blocks(&job));
    job.smoother = NULL;
    job.rule.kind = GS_WEIGHT_NONE;
    job.resolved.type = GS_Q_FLOAT;
    assert_false(gs_job_needs_blocks(&job));
}

/* All tensors of the demo in chunks of a prime number of elements; then one that is asked for in the middle, and given up. */
static void ahead_gives_what_is_there(void **state)
{
    (void)state;
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, DEMO, &err));
    gs_ahead a = {0};
    const int64_t step = 700001;
    for (int64_t i = 0; i < ck.table.count; i++) gs_ahead_add(&a, &ck.table.tensors[i], step);
    OK(gs_ahead_open(&a, &ck, &err));
    for (int64_t i = 0; i < ck.table.count; i++) {
        const gs_tensor *t = &ck.table.tensors[i];
        char *all = gs_alloc(t->bytes);
        OK(gs_checkpoint_read(&ck, t, 0, all, t->bytes, &err));
        for (int64_t first = 0; first < t->elements; first += step) {
            const int64_t n = t->elements - first < step ? t->elements - first : step;
            const size_t size = gs_dtype_bytes(t->dtype);
            const void *data;
            OK(gs_ahead_take(&a, t, first, n, &data, &err));
            assert_memory_equal(data, all + (size_t)first * size, (size_t)n * size);
        }
        gs_free(all);
    }
    gs_ahead_close(&a);
    for (int64_t i = 0; i < ck.table.count; i++) gs_ahead_add(&a, &ck.table.tensors[i], step);
    assert_true(gs_ahead_bytes(&a) > 0);
    OK(gs_ahead_open(&a, &ck, &err));
    gs_ahead_close(&a);
    gs_ahead_close(&a);
    gs_checkpoint_close(&ck);
}

/* An error belongs to its chunk: what was read before is still given out. */
static void ahead_keeps_errors(void **state)
{
    (void)state;
    char *dir = make_dir();
    char command[256];
    snprintf(command, sizeof command, "cp %s/model*.safetensors %s/model.safetensors.index.json '%s'", DEMO, DEMO, dir);
    assert_int_equal(system(command), 0);
    gs_checkpoint ck;
    OK(gs_checkpoint_open(&ck, dir, &err));
    const gs_tensor *t = &ck.table.tensors[0];
    for (int64_t i = 0; i < ck.table.count; i++)
        if (ck.table.tensors[i].elements > t->elements) t = &ck.table.tensors[i];
    gs_ahead a = {0};
    const int64_t step = t->elements / 5;
    gs_ahead_add(&a, t, step);
    const off_t cut = (off_t)(t->offset + (uint64_t)(2 * step + step / 2) * gs_dtype_bytes(t->dtype));
    assert_int_equal(truncate(ck.files[t->file].path, cut), 0);
    OK(gs_ahead_open(&a, &ck, &err));
    const void *data;
    OK(gs_ahead_take(&a, t, 0, step, &data, &err));
    OK(gs_ahead_take(&a, t, step, step, &data, &err));
    assert_int_equal(gs_ahead_take(&a, t, 2 * step, step, &data, &err), GS_ERR_FILE);
    assert_non_null(strstr(err.text, "was cut while it was being read"));
    assert_non_null(strstr(err.text, t->name));
    gs_ahead_close(&a);
    gs_checkpoint_close(&ck);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_as_blocks),
        cmocka_unit_test(who_needs_blocks),
        cmocka_unit_test(ahead_gives_what_is_there),
        cmocka_unit_test(ahead_keeps_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
