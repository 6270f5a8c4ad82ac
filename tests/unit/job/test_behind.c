/* The write-behind ring: everything submitted reaches its place; an error is kept and returned.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/file.h"
#include "job/behind.h"

#define ROWS 1000
#define COLS 37

static void make_dir(char *dir)
{
    static const char pattern[] = "/tmp/gs-behind-XXXXXX";
    memcpy(dir, pattern, sizeof pattern);
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(const char *dir, const gs_layout *l)
{
    for (int i = 0; i < l->n_files; i++) {
        char *path = gs_path_join(dir, l->files[i].name);
        unlink(path);
        gs_free(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void plan_one(gs_layout *l, gs_error *err)
{
    gs_layout_init(l);
    const int64_t shape[2] = {ROWS, COLS};
    assert_int_equal(gs_layout_add(l, "t", GS_I32, 2, shape), 0);
    assert_int_equal(gs_layout_plan(l, "w", 0, err), GS_OK);
}

static void everything_arrives(void **state)
{
    (void)state;
    char dir[64];
    make_dir(dir);
    gs_error err = {0};
    gs_layout layout;
    plan_one(&layout, &err);
    gs_writer *writer = NULL;
    assert_int_equal(gs_writer_open(&writer, dir, &layout, &err), GS_OK);
    gs_behind behind;
    assert_int_equal(gs_behind_open(&behind, writer, COLS * 4 * 7, &err), GS_OK);
    for (int row = 0; row < ROWS; row += 7) {
        const int rows = ROWS - row < 7 ? ROWS - row : 7;
        void *slot;
        assert_int_equal(gs_behind_acquire(&behind, 0, (uint64_t)row * COLS * 4, &slot, &err), GS_OK);
        for (int32_t i = 0; i < rows * COLS; i++) ((int32_t *)slot)[i] = row * COLS + i;
        gs_behind_submit(&behind, (size_t)rows * COLS * 4);
    }
    assert_int_equal(gs_behind_wait(&behind, &err), GS_OK);
    gs_behind_close(&behind);
    assert_int_equal(gs_writer_finish(writer, &err), GS_OK);
    gs_writer_free(writer);

    char *path = gs_path_join(dir, layout.files[0].name), *data;
    size_t n;
    assert_int_equal(gs_file_read_all(path, 1 << 20, &data, &n, &err), GS_OK);
    assert_int_equal(n, layout.files[0].header_bytes + ROWS * COLS * 4);
    for (int32_t i = 0; i < ROWS * COLS; i++) {
        int32_t v;
        memcpy(&v, data + layout.files[0].header_bytes + (size_t)i * 4, 4);
        assert_int_equal(v, i);
    }
    gs_free(data);
    gs_free(path);
    remove_dir(dir, &layout);
    gs_layout_release(&layout);
}

static void an_error_is_kept(void **state)
{
    (void)state;
    char dir[64];
    make_dir(dir);
    gs_error err = {0};
    gs_layout layout;
    plan_one(&layout, &err);
    gs_writer *writer = NULL;
    assert_int_equal(gs_writer_open(&writer, dir, &layout, &err), GS_OK);
    gs_behind behind;
    assert_int_equal(gs_behind_open(&behind, writer, 64, &err), GS_OK);
    void *slot;
    assert_int_equal(gs_behind_acquire(&behind, 0, (uint64_t)ROWS * COLS * 4, &slot, &err), GS_OK);
    gs_behind_submit(&behind, 64); /* beyond the tensor */
    assert_int_not_equal(gs_behind_wait(&behind, &err), GS_OK);
    assert_true(strlen(err.text) > 0);
    assert_int_not_equal(gs_behind_acquire(&behind, 0, 0, &slot, &err), GS_OK);
    gs_behind_close(&behind);
    gs_writer_free(writer);
    remove_dir(dir, &layout);
    gs_layout_release(&layout);
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    gs_behind behind = {0};
    gs_error err = {0};
    assert_int_equal(gs_behind_wait(&behind, &err), GS_OK);
    gs_behind_close(&behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives),
        cmocka_unit_test(an_error_is_kept),
        cmocka_unit_test(closing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
