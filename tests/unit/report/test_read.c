/* glmslim_report.json read back: everything written is there again, and nothing in the file is believed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "report/read.h"

#include <unistd.h>

#include "fixture.h"
#include "io/file.h"
#include "recipe/options.h"

static char scratch[] = "/tmp/glmslim-read-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(scratch) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char *path = gs_path_join(scratch, GS_REPORT_FILE);
    unlink(path);
    gs_free(path);
    return rmdir(scratch);
}

static void put(const char *text, size_t n)
{
    gs_error err;
    char *path = gs_path_join(scratch, GS_REPORT_FILE);
    if (gs_file_write_all(path, text, n, 0600, &err) != GS_OK) fail_msg("%s", err.text);
    gs_free(path);
}

static char *full(size_t *n)
{
    made *m = make(2);
    gs_recipe recipe;
    gs_recipe_defaults(&recipe);
    recipe.disable_names = (const char *const[]){"a", "<b>", NULL};
    recipe.part_file_size = (int64_t)1 << 40;
    recipe.fraction = 0.05;
    recipe.w_sym = false;
    recipe.anti_method = "m4";
    gs_input_file inputs[] = {{"weights", (char *)"m.safetensors", 12, "00ff"}, {"calib_file", NULL, 7, "11ee"}};
    gs_group_result group = {.name = (char *)"g",
                             .block = 1,
                             .linear = "mlp.x",
                             .method = "m4",
                             .alpha = 0.5,
                             .beta = NAN,
                             .threshold = NAN,
                             .loss_before = 1e-7,
                             .loss_after = 0,
                             .range_before = 3,
                             .range_after = 1,
                             .scaled_channels = -1};
    m->report.inputs = inputs;
    m->report.n_inputs = 2;
    m->report.groups = &group;
    m->report.n_groups = 1;
    char *text = gs_report_record(&m->report, &recipe, n);
    free(m);
    return text;
}

static void test_round_trip(void **state)
{
    (void)state;
    gs_error err;
    gs_report_file f;
    size_t n, again_n;
    char *text = full(&n);
    put(text, n);
    if (gs_report_file_read(&f, scratch, &err) != GS_OK) fail_msg("%s", err.text);
    assert_true(f.found);
    assert_string_equal(f.report.output, scratch);
    char *again = gs_report_record(&f.report, &f.recipe, &again_n);
    assert_string_equal(again, text);
    gs_free(again);
    gs_free(text);
    gs_report_file_release(&f);
    gs_report_file_release(&f);
}

static void test_absent(void **state)
{
    (void)state;
    gs_error err;
    gs_report_file f;
    assert_int_equal(gs_report_file_read(&f, "/nonexistent", &err), GS_OK);
    assert_false(f.found);
    gs_report_file_release(&f);
    static const char least[] = "{\"quant_type\": \"W8A8\", \"recipe\": {\"of another version\": 1}, \"more\": []}";
    put(least, sizeof least - 1);
    assert_int_equal(gs_report_file_read(&f, scratch, &err), GS_OK);
    assert_true(f.found && f.report.n_linears == 0 && f.recipe.w_bit == 8);
    gs_report_file_release(&f);
}

#define HEAD "{\"quant_type\": \"W8A8\", \"recipe\": {}, "

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "glmslim_report.json"},
        {"[]", "must be a JSON object"},
        {"{}", "\"quant_type\" must be a text"},
        {"{\"quant_type\": 5}", "\"quant_type\" must be a text"},
        {"{\"quant_type\": \"W8A8\"}", "the recipe must be an object"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": []}", "the recipe must be an object"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"w_bit\": \"8\"}}", "\"w_bit\" of the recipe must be an integer"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"w_bit\": 8000000000}}", "an integer of 32 bits"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"w_sym\": 1}}", "true or false"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"disable_names\": [1]}}", "a list of texts"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"disable_names\": \"a\"}}", "a list of texts"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"fraction\": \"x\"}}", "a number"},
        {"{\"quant_type\": \"W8A8\", \"recipe\": {\"anti_method\": 2}}", "a text or null"},
        {HEAD "\"samples\": -1}", "\"samples\" must be a count"},
        {HEAD "\"input_bytes\": 1.5}", "\"input_bytes\" must be a count"},
        {HEAD "\"linears\": {}}", "\"linears\" must be a list"},
        {HEAD "\"linears\": [1]}", "a list of objects"},
        {HEAD "\"linears\": [{}]}", "\"name\" must be a text"},
        {HEAD "\"linears\": [{\"name\": \"a\", \"type\": \"W8A8\", \"score\": \"x\"}]}", "\"score\" must be a number"},
        {HEAD "\"groups\": [{\"name\": \"a\", \"linear\": \"b\", \"method\": \"m\", \"block\": 2000000000}]}",
         "\"block\""},
        {HEAD "\"groups\": [{\"name\": \"a\", \"linear\": \"b\", \"method\": \"m\", \"scaled_channels\": -2}]}",
         "a count"},
        {HEAD "\"types\": [{},{},{},{},{},{},{},{},{}]}", "a shorter list"},
        {HEAD "\"inputs\": [{\"kind\": \"config\", \"sha256\": "
              "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}]}",
         "64 hexadecimal digits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        gs_error err;
        gs_report_file f;
        put(rows[i].text, strlen(rows[i].text));
        if (gs_report_file_read(&f, scratch, &err) != GS_ERR_FILE) fail_msg("no complaint about %s", rows[i].text);
        has(err.text, rows[i].says);
        has(err.text, scratch);
    }
}

/* Cut anywhere, the file is refused and never believed. */
static void test_cut(void **state)
{
    (void)state;
    size_t n;
    char *text = full(&n);
    for (size_t cut = 0; cut < n; cut += 97) {
        gs_error err;
        gs_report_file f;
        put(text, cut);
        assert_int_equal(gs_report_file_read(&f, scratch, &err), GS_ERR_FILE);
    }
    gs_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
