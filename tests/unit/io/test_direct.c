/* Transfers past the page cache: any offset and length, the kept block, and everything a file system may answer. The calls of
 * direct.c are replaced, so that each answer can be had. SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include <errno.h>
#include <fcntl.h>

static ssize_t fake_pread(int fd, void *to, size_t n, off_t at);
static ssize_t fake_pwrite(int fd, const void *from, size_t n, off_t at);
#define pread  fake_pread
#define pwrite fake_pwrite
#include "io/direct.c"
#undef pread
#undef pwrite

#define MIB ((size_t)1 << 20)

/* What the next calls answer: 0 = what the kernel says, > 0 = at most so many bytes, < 0 = this errno. */
static long answer[4];
static int n_calls;

static long next_answer(void) { return n_calls < 4 ? answer[n_calls++] : (n_calls++, 0); }

static void answers(long a, long b, long c, long d)
{
    const long list[4] = {a, b, c, d};
    memcpy(answer, list, sizeof answer);
    n_calls = 0;
}

static ssize_t fake_pread(int fd, void *to, size_t n, off_t at)
{
    const long a = next_answer();
    if (a < 0) {
        errno = (int)-a;
        return -1;
    }
    const ssize_t got = pread(fd, to, n, at);
    return a > 0 && a < got ? a : got;
}

static ssize_t fake_pwrite(int fd, const void *from, size_t n, off_t at)
{
    const long a = next_answer();
    if (a < 0) {
        errno = (int)-a;
        return -1;
    }
    const ssize_t put = pwrite(fd, from, n, at);
    return a > 0 && a < put ? a : put;
}

static char *dir, *path;
static gs_buf room;

static int setup(void **state)
{
    (void)state;
    dir = make_scratch();
    path = gs_path_join(dir, "file");
    answers(0, 0, 0, 0);
    return gs_buf_alloc(&room, gs_direct_room(8 * MIB), "test", &test_err) == GS_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    gs_buf_release(&room);
    gs_free(path);
    remove_scratch(dir);
    return 0;
}

static unsigned char byte_at(uint64_t i) { return (unsigned char)(i * 2654435761u >> 13 ^ i); }

static void make_file(const char *where, size_t n)
{
    unsigned char *data = gs_alloc(n);
    for (size_t i = 0; i < n; i++) data[i] = byte_at(i);
    OK(gs_file_write_all(where, data, n, 0600, &test_err));
    gs_free(data);
}

static void check_read(gs_direct_reader *r, const gs_file *f, uint64_t offset, size_t n)
{
    const void *data = NULL;
    memset(room.data, 0xEE, room.bytes);
    OK(gs_direct_read(r, f, offset, n, room.data, &data, &test_err));
    assert_true((const char *)data >= (char *)room.data &&
                (const char *)data + n <= (char *)room.data + gs_direct_room(n));
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)data)[i] != byte_at(offset + i)) fail_msg("byte %zu of %zu", i, n);
}

static void reads_from_anywhere(void **state)
{
    (void)state;
    const size_t size = 6 * MIB + 12345;
    make_file(path, size);
    gs_file f;
    gs_direct_reader r = {0};
    OK(gs_file_open(&f, path, &test_err));
    const uint64_t offsets[] = {0, 1, 8, 511, 4095, 4096, 4097, MIB + 12, 5 * MIB};
    const size_t lengths[] = {0, 1, 4096, MIB - 1, MIB, MIB + 1, MIB + 4096, 3 * MIB + 77};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
            if (offsets[i] + lengths[k] <= size) check_read(&r, &f, offsets[i], lengths[k]);
    check_read(&r, &f, size - MIB - 3, MIB + 3); /* up to the end, which is in no block */
    const void *data;
    FAILS(gs_direct_read(&r, &f, size - MIB, MIB + 1, room.data, &data, &test_err), GS_ERR_FILE, "wanted at byte");
    FAILS(gs_direct_read(&r, &f, UINT64_MAX - 5, MIB, room.data, &data, &test_err), GS_ERR_FILE, "wanted at byte");
    gs_direct_close(&r);
    gs_direct_close(&r);
    gs_file_close(&f);
}

/* Consecutive reads ask for each block once, wherever they are cut. */
static void reads_nothing_twice(void **state)
{
    (void)state;
    const size_t size = 7 * MIB + 777, unit = gs_direct_unit();
    make_file(path, size);
    gs_file f;
    gs_direct_reader r = {0};
    OK(gs_file_open(&f, path, &test_err));
    const size_t step = MIB + 999;
    size_t at = 11;
    for (; at + step + MIB <= size; at += step) check_read(&r, &f, at, step);
    check_read(&r, &f, at, size - at);
    if (r.fd < 0) {
        print_message("SKIP: %s does not take O_DIRECT\n", path);
        assert_int_equal(r.bytes_read, size - 11);
    } else {
        assert_true(r.bytes_read <= size && r.bytes_read + unit > size);
    }
    gs_direct_close(&r);
    gs_file_close(&f);
}

static void two_files_in_turn(void **state)
{
    (void)state;
    char *other = gs_path_join(dir, "other");
    make_file(path, 3 * MIB);
    make_file(other, 2 * MIB + 5);
    gs_file f, g;
    gs_direct_reader r = {0};
    OK(gs_file_open(&f, path, &test_err));
    OK(gs_file_open(&g, other, &test_err));
    check_read(&r, &f, 100, MIB);
    check_read(&r, &g, 100 + MIB, MIB - 95);
    check_read(&r, &f, 100 + MIB, MIB);
    /* Another file under the name: what was opened is read. */
    assert_int_equal(rename(other, path), 0);
    gs_direct_close(&r);
    check_read(&r, &f, 2 * MIB - 9, MIB + 9);
    assert_int_equal(r.fd, -1);
    gs_direct_close(&r);
    gs_file_close(&f);
    gs_file_close(&g);
    gs_free(other);
}

static void what_reads_may_answer(void **state)
{
    (void)state;
    const long unit = (long)gs_direct_unit();
    make_file(path, 4 * MIB);
    gs_file f;
    gs_direct_reader r = {0};
    OK(gs_file_open(&f, path, &test_err));
    check_read(&r, &f, 0, MIB);
    if (r.fd < 0) {
        print_message("SKIP: %s does not take O_DIRECT\n", path);
        gs_direct_close(&r);
        gs_file_close(&f);
        skip();
    }
    answers(-EINTR, unit, -EINTR, 3 * unit);
    check_read(&r, &f, 10, 2 * MIB);
    assert_true(n_calls > 4);
    answers(unit + 100, 0, 0, 0); /* in the middle of a block: plain reads do the rest */
    check_read(&r, &f, MIB + 1, 2 * MIB);
    assert_int_equal(n_calls, 1);
    assert_true(r.fd >= 0);
    const void *data;
    answers(-EIO, 0, 0, 0);
    FAILS(gs_direct_read(&r, &f, 0, MIB, room.data, &data, &test_err), GS_ERR_IO, path);
    answers(-EINVAL, 0, 0, 0);
    check_read(&r, &f, 5, 2 * MIB);
    assert_int_equal(r.fd, -1); /* not asked again */
    check_read(&r, &f, 5 + 2 * MIB, MIB);
    assert_int_equal(n_calls, 1);
    assert_int_equal(truncate(path, (off_t)(2 * MIB + 9)), 0);
    gs_direct_close(&r);
    FAILS(gs_direct_read(&r, &f, 1, 3 * MIB, room.data, &data, &test_err), GS_ERR_FILE, "was cut");
    gs_direct_close(&r);
    gs_file_close(&f);
}

typedef struct output {
    int fd, direct;
} output;

static output open_output(const char *where)
{
    output o;
    o.fd = open(where, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(o.fd >= 0);
    o.direct = gs_direct_open(o.fd, where, O_WRONLY);
    return o;
}

static void close_output(const output *o)
{
    if (o->direct >= 0) close(o->direct);
    close(o->fd);
}

/* n bytes at offset, from an address `past` behind a block boundary. */
static void check_write(const output *o, const char *where, uint64_t offset, size_t n, size_t past)
{
    unsigned char *src = (unsigned char *)room.data + past;
    for (size_t i = 0; i < n; i++) src[i] = byte_at(offset + i);
    OK(gs_direct_write(o->fd, o->direct, offset, src, n, where, &test_err));
    unsigned char *back = gs_alloc(n + 2);
    const size_t before = offset > 0 && n > 0;
    assert_int_equal(pread(o->fd, back, n + before, (off_t)(offset - before)), n + before);
    for (size_t i = 0; i < n; i++)
        if (back[i + before] != byte_at(offset + i))
            fail_msg("byte %zu of %zu at %llu", i, n, (unsigned long long)offset);
    gs_free(back);
}

static void writes_to_anywhere(void **state)
{
    (void)state;
    const size_t unit = gs_direct_unit();
    const output o = open_output(path);
    const uint64_t offsets[] = {0, 8, unit - 1, unit, unit + 1, 3 * MIB + 24};
    const size_t lengths[] = {0, 1, unit, MIB - 1, MIB, MIB + 1, 2 * MIB + 4 * unit, 2 * MIB + 77};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            assert_int_equal(ftruncate(o.fd, 0), 0);
            check_write(&o, path, offsets[i], lengths[k], offsets[i] % unit);
            check_write(&o, path, offsets[i], lengths[k], (offsets[i] + 16) % unit); /* the wrong address: plain */
        }
    }
    /* Pieces that meet in the middle of a block, in any order. */
    assert_int_equal(ftruncate(o.fd, 0), 0);
    const uint64_t cut[] = {0, MIB + 100, 2 * MIB + 300, 4 * MIB + 5};
    static const int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++)
        check_write(&o, path, cut[order[i]], (size_t)(cut[order[i] + 1] - cut[order[i]]), cut[order[i]] % unit);
    size_t n;
    unsigned char *all = (unsigned char *)read_bytes(path, &n);
    assert_int_equal(n, cut[3]);
    for (size_t i = 0; i < n; i++)
        if (all[i] != byte_at(i)) fail_msg("byte %zu", i);
    gs_free(all);
    close_output(&o);
}

static void what_writes_may_answer(void **state)
{
    (void)state;
    const long unit = (long)gs_direct_unit();
    const output o = open_output(path);
    if (o.direct < 0) {
        print_message("SKIP: %s does not take O_DIRECT\n", path);
        close_output(&o);
        skip();
    }
    answers(-EINTR, unit, -EINTR, 2 * unit);
    check_write(&o, path, 40, 2 * MIB, 40);
    assert_true(n_calls > 4);
    answers(unit + 512, 0, 0, 0);
    check_write(&o, path, 40, 2 * MIB, 40);
    answers(-EINVAL, 0, 0, 0);
    check_write(&o, path, 4 * (uint64_t)unit, 2 * MIB, 0);
    assert_int_equal(n_calls, 1);
    answers(unit, -ENOSPC, 0, 0);
    FAILS(gs_direct_write(o.fd, o.direct, 0, room.data, MIB, path, &test_err), GS_ERR_IO, "disk is full");
    answers(-EIO, 0, 0, 0);
    FAILS(gs_direct_write(o.fd, o.direct, 0, room.data, MIB, path, &test_err), GS_ERR_IO, path);
    close_output(&o);
}

/* A file system in memory has no disk to go past the cache to. */
static void memory_file_system(void **state)
{
    (void)state;
    char *where = gs_strdup("/dev/shm/glmslim-direct-XXXXXX");
    const int temp = mkstemp(where);
    if (temp < 0) {
        print_message("SKIP: no /dev/shm\n");
        gs_free(where);
        skip();
    }
    close(temp);
    const output o = open_output(where);
    check_write(&o, where, 100, 2 * MIB, 100);
    check_write(&o, where, 0, 100, 0);
    close_output(&o);
    gs_file f;
    gs_direct_reader r = {0};
    OK(gs_file_open(&f, where, &test_err));
    check_read(&r, &f, 3, 2 * MIB);
    check_read(&r, &f, 2 * MIB + 3, 97);
    gs_direct_close(&r);
    gs_file_close(&f);
    unlink(where);
    gs_free(where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_from_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_nothing_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(two_files_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_reads_may_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_to_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(what_writes_may_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_file_system, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
