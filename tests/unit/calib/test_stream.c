/* A stream in a file holds what one in memory holds, whatever the windows are; and nothing is left of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit/calib/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "calib/stream.h"

static gs_error err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const gs_status status_ = (call);                                                                              \
        if (status_ != GS_OK) fail_msg("%s: %s", #call, err.text);                                                     \
    } while (0)

static int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

/* The same change of rows row0 .. row0+rows in both. */
static void change(gs_stream *s, int64_t row0, int64_t rows, float by)
{
    float *h;
    OK(gs_stream_read(s, row0, rows, &h, &err));
    for (int64_t i = 0; i < rows * s->hidden; i++) h[i] = h[i] * 1.5f + by + (float)(i % 7);
    OK(gs_stream_write(s, row0, rows, &err));
}

static void compare(gs_stream *a, gs_stream *b, int64_t row0, int64_t rows)
{
    float *x, *y;
    OK(gs_stream_read(a, row0, rows, &x, &err));
    OK(gs_stream_read(b, row0, rows, &y, &err));
    assert_memory_equal(x, y, gs_stream_bytes(rows, a->hidden));
}

/* A record is made; then two new streams, one in memory and one in files, go on from there. */
static void keep(gs_stream *memory, gs_stream *file, const char *dir)
{
    gs_stream_state state;
    OK(gs_generations_sync(&file->files, &state, &err));
    gs_generations_turn(&file->files);
    for (int i = 0; i < 2; i++) {
        gs_stream again;
        if (i == 0) {
            OK(gs_stream_init(&again, file->tokens, file->hidden, "test", &err));
            gs_stream_keep(&again, dir, "stream");
        } else {
            OK(gs_stream_spill(&again, file->tokens, file->hidden, file->window, dir, "stream", "test", &err));
        }
        OK(gs_stream_resume(&again, &state, &err));
        for (int64_t row = 0; row < file->tokens; row += file->window)
            compare(memory, &again, row, file->tokens - row < file->window ? file->tokens - row : file->window);
        gs_stream_release(&again);
        state.digest ^= 1; /* files of another record are refused */
        OK(gs_stream_spill(&again, file->tokens, file->hidden, file->window, dir, "stream", "test", &err));
        assert_int_equal(gs_stream_resume(&again, &state, &err), GS_ERR_FILE);
        assert_non_null(strstr(err.text, "does not hold"));
        gs_stream_release(&again);
        state.digest ^= 1;
    }
}

static void check(int64_t tokens, int64_t hidden, int64_t window)
{
    char dir[] = "/tmp/glmslim-stream-XXXXXX";
    assert_non_null(mkdtemp(dir));
    gs_stream memory, file;
    OK(gs_stream_init(&memory, tokens, hidden, "test", &err));
    OK(gs_stream_spill(&file, tokens, hidden, window, dir, "stream", "test", &err));
    assert_int_equal(entries(dir), 0);
    assert_int_equal(memory.window, tokens);
    assert_int_equal(file.window, window);
    for (int64_t row = 0; row < tokens; row += window) {
        const int64_t rows = tokens - row < window ? tokens - row : window;
        gs_stream *const both[] = {&memory, &file};
        for (int k = 0; k < 2; k++) {
            float *h = gs_stream_room(both[k], row);
            for (int64_t i = 0; i < rows * hidden; i++) h[i] = (float)(row * hidden + i);
            OK(gs_stream_write(both[k], row, rows, &err));
        }
    }
    /* Sweeps with windows of other sizes, whose ends meet in the middle of blocks. A record is made now and then. */
    for (int round = 0; round < 5; round++) {
        const int64_t step = round == 0 ? window : round == 1 ? window / 2 + 1 : round == 2 ? 3 : window - 1;
        for (int64_t row = 0; row < tokens; row += step) {
            const int64_t rows = tokens - row < step ? tokens - row : step;
            change(&memory, row, rows, (float)round);
            change(&file, row, rows, (float)round);
            compare(&memory, &file, row, rows);
        }
        if (round != 2) keep(&memory, &file, dir);
        for (int64_t row = 0; row < tokens; row += window)
            compare(&memory, &file, row, tokens - row < window ? tokens - row : window);
    }
    assert_int_equal(entries(dir), 2);        /* generations */
    gs_generations_drop(&memory.files, true); /* has none */
    gs_generations_drop(&file.files, false);  /* but for that of the last record */
    assert_int_equal(entries(dir), 1);
    keep(&memory, &file, dir);
    gs_generations_drop(&file.files, true);
    assert_int_equal(entries(dir), 0);
    gs_stream_release(&memory);
    gs_stream_release(&file);
    gs_stream_release(&file);
    assert_int_equal(rmdir(dir), 0);
}

static void in_a_file_as_in_memory(void **state)
{
    (void)state;
    check(1100, 1031, 300); /* direct, on no boundary */
    check(700, 1024, 256);  /* on boundaries */
    check(50, 16, 7);       /* too small for that */
    check(5, 2, 5);
}

static void what_cannot_be(void **state)
{
    (void)state;
    gs_stream s;
    assert_int_equal(gs_stream_spill(&s, 10, 10, 10, "/no/such/place", "stream", "hidden states", &err), GS_OK);
    assert_int_equal(gs_stream_write(&s, 0, 10, &err), GS_ERR_IO);
    assert_non_null(strstr(err.text, "cannot create /no/such/place/stream.0"));
    gs_stream_release(&s);
    assert_int_equal(gs_stream_init(&s, INT64_MAX / 2, 4096, "hidden states", &err), GS_ERR_MEMORY);
    assert_int_equal(gs_stream_spill(&s, INT64_MAX / 2, 4096, 10, "/tmp", "stream", "hidden states", &err),
                     GS_ERR_MEMORY);
    gs_stream empty = {0};
    gs_stream_release(&empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_a_file_as_in_memory), cmocka_unit_test(what_cannot_be)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
