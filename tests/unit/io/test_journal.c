/* The journal: what was appended is read back; a torn end is ignored, everything else that is wrong is an error, at every byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "io_testing.h"

#include "io/digest.h"
#include "io/journal.h"
#include "io/wire.h"

static const char *const texts[] = {"first", "", "the third record is longer than the others"};
enum { TEXTS = 3, FRAME = GS_JOURNAL_HEAD + 8, PAGE = 4096 };

static void make(gs_str *out)
{
    uint64_t chain = 0;
    gs_str_init(out);
    for (int i = 0; i < TEXTS; i++) chain = gs_journal_frame(out, chain, (uint32_t)i + 1, texts[i], strlen(texts[i]));
}

static void expect(const gs_frames *f, int n)
{
    assert_int_equal(f->n, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(f->frame[i].kind, i + 1);
        assert_int_equal(f->frame[i].bytes, strlen(texts[i]));
        assert_memory_equal(f->frame[i].data, texts[i], f->frame[i].bytes);
    }
}

static void test_parse(void **state)
{
    (void)state;
    gs_str s;
    gs_frames f;
    make(&s);
    OK(gs_journal_parse(s.data, s.len, &f, &test_err));
    expect(&f, TEXTS);
    assert_int_equal(f.whole, s.len);
    gs_frames_release(&f);
    OK(gs_journal_parse("", 0, &f, &test_err));
    expect(&f, 0);
    gs_frames_release(&f);
    gs_str_release(&s);
}

/* Cut anywhere, the whole frames in front are there. */
static void test_torn(void **state)
{
    (void)state;
    gs_str s;
    gs_frames f;
    make(&s);
    size_t end[TEXTS + 1] = {0};
    for (int i = 0; i < TEXTS; i++) end[i + 1] = end[i] + FRAME + strlen(texts[i]);
    for (size_t n = 0; n < s.len; n++) {
        int whole = 0;
        while (end[whole + 1] <= n) whole++;
        OK(gs_journal_parse(s.data, n, &f, &test_err));
        expect(&f, whole);
        assert_int_equal(f.whole, end[whole]);
        gs_frames_release(&f);
    }
    /* The size was there before the bytes: of a head, or of all behind a whole one. */
    const size_t len = s.len;
    for (int i = 0; i < GS_JOURNAL_HEAD; i++) {
        gs_str_addc(&s, '\0');
        OK(gs_journal_parse(s.data, s.len, &f, &test_err));
        expect(&f, TEXTS);
        assert_int_equal(f.whole, len);
        gs_frames_release(&f);
    }
    gs_str_addc(&s, '\0');
    FAILS(gs_journal_parse(s.data, s.len, &f, &test_err), GS_ERR_FILE, "damaged at byte");
    gs_str_release(&s);
}

/* Of the pages that a frame lies on, some have arrived and some are as they were when its head was synced. */
static void lose_pages(size_t before, size_t bytes)
{
    static char data[4 * PAGE];
    memset(data, 'x', sizeof data);
    gs_str s;
    gs_frames f;
    gs_str_init(&s);
    const uint64_t chain = gs_journal_frame(&s, 0, 1, data, before);
    const size_t first = s.len, begin = first + GS_JOURNAL_HEAD;
    gs_journal_frame(&s, chain, 2, data, bytes);
    const size_t len = s.len, pages = (len - 1) / PAGE - begin / PAGE + 1;
    char *lost = test_malloc(len);
    for (unsigned arrived = 0; arrived < 1u << pages; arrived++) {
        memcpy(lost, s.data, len);
        for (size_t at = begin; at < len; at++)
            if (!(arrived >> (at / PAGE - begin / PAGE) & 1)) lost[at] = 0;
        OK(gs_journal_parse(lost, len, &f, &test_err));
        assert_int_equal(f.n, arrived == (1u << pages) - 1 ? 2 : 1);
        if (f.n == 1) assert_int_equal(f.whole, first);
        gs_frames_release(&f);
    }
    /* The same of a frame that is not the last is damage. */
    gs_journal_frame(&s, chain, 3, data, 1);
    for (size_t page = 0; page < pages; page++) {
        gs_str damaged;
        gs_str_init(&damaged);
        gs_str_add(&damaged, s.data, s.len);
        for (size_t at = begin; at < len; at++)
            if (at / PAGE - begin / PAGE == page) damaged.data[at] = 0;
        FAILS(gs_journal_parse(damaged.data, damaged.len, &f, &test_err), GS_ERR_FILE, "after 1 whole");
        gs_str_release(&damaged);
    }
    test_free(lost);
    gs_str_release(&s);
}

static void test_lost_pages(void **state)
{
    (void)state;
    /* The head ends before, at, and behind the border of a page. */
    for (size_t before = PAGE - 2 * FRAME - 20; before < PAGE + 20; before += 4) lose_pages(before, 3 * PAGE);
    lose_pages(100, 40);
    lose_pages(PAGE - FRAME - GS_JOURNAL_HEAD - 4, 4);
}

/* A head that spans two pages, of which one has arrived. */
static void test_lost_head(void **state)
{
    (void)state;
    static const char data[PAGE];
    gs_str s;
    gs_frames f;
    for (size_t shared = 1; shared < GS_JOURNAL_HEAD; shared++) {
        gs_str_init(&s);
        const uint64_t chain = gs_journal_frame(&s, 0, 1, data, PAGE - FRAME - shared);
        gs_journal_frame(&s, chain, 2, data, 1000);
        s.len = PAGE - shared + GS_JOURNAL_HEAD;
        memset(s.data + PAGE - shared, 0, shared);
        OK(gs_journal_parse(s.data, s.len, &f, &test_err));
        assert_int_equal(f.n, 1);
        gs_frames_release(&f);
        gs_str_release(&s);
    }
}

/* Any byte that is changed is noticed: in what the last head announces as if it had never been, before it as damage. */
static void test_damage(void **state)
{
    (void)state;
    gs_str s;
    gs_frames f;
    make(&s);
    const size_t announced = s.len - 8 - strlen(texts[TEXTS - 1]);
    for (size_t at = 0; at < s.len; at++) {
        s.data[at] = (char)(s.data[at] ^ 0x11);
        if (at >= announced) {
            OK(gs_journal_parse(s.data, s.len, &f, &test_err));
            expect(&f, TEXTS - 1);
            gs_frames_release(&f);
        } else {
            FAILS(gs_journal_parse(s.data, s.len, &f, &test_err), GS_ERR_FILE, "damaged at byte");
        }
        s.data[at] = (char)(s.data[at] ^ 0x11);
    }
    /* Nothing but zeros where there were two frames is damage. */
    memset(s.data + FRAME + strlen(texts[0]), 0, s.len - FRAME - strlen(texts[0]));
    FAILS(gs_journal_parse(s.data, s.len, &f, &test_err), GS_ERR_FILE, "damaged at byte 37, after 1 whole");
    s.data[3] = '1';
    FAILS(gs_journal_parse(s.data, s.len, &f, &test_err), GS_ERR_UNSUPPORTED, "another version of glmslim");
    gs_str_release(&s);
}

static void test_chain(void **state)
{
    (void)state;
    gs_str one, two;
    gs_frames f;
    make(&one);
    gs_str_init(&two);
    const size_t first = FRAME + strlen(texts[0]);
    gs_str_add(&two, one.data, first);
    gs_str_add(&two, one.data, one.len); /* the first one twice */
    FAILS(gs_journal_parse(two.data, two.len, &f, &test_err), GS_ERR_FILE, "damaged at byte 37, after 1 whole");
    gs_str_clear(&two);
    gs_str_add(&two, one.data + first, one.len - first); /* the first one missing */
    FAILS(gs_journal_parse(two.data, two.len, &f, &test_err), GS_ERR_FILE, "damaged at byte 0");
    gs_str_release(&one);
    gs_str_release(&two);
}

static void test_file(void **state)
{
    (void)state;
    char *dir = make_scratch(), *data;
    gs_journal j, none = {0};
    gs_frames f;
    gs_journal_close(&none);
    assert_false(gs_journal_exists(dir));
    FAILS(gs_journal_read(dir, &data, &f, &test_err), GS_ERR_IO, "journal");
    OK(gs_journal_create(&j, dir, &test_err));
    OK(gs_journal_append(&j, 1, texts[0], strlen(texts[0]), &test_err));
    OK(gs_journal_append(&j, 2, texts[1], strlen(texts[1]), &test_err));
    const uint64_t end = j.end;
    gs_journal_close(&j);
    FAILS(gs_journal_create(&j, dir, &test_err), GS_ERR_IO, "journal");
    char *path = gs_path_join(dir, "journal");
    assert_int_equal(mode_of(path), 0600);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("GSJ2 torn", file);
    fclose(file);
    OK(gs_journal_read(dir, &data, &f, &test_err));
    expect(&f, 2);
    OK(gs_journal_continue(&j, dir, &f, &test_err));
    assert_int_equal(j.end, end);
    OK(gs_journal_append(&j, 3, texts[2], strlen(texts[2]), &test_err));
    gs_journal_close(&j);
    gs_frames_release(&f);
    gs_free(data);
    OK(gs_journal_read(dir, &data, &f, &test_err));
    expect(&f, 3);
    gs_frames_release(&f);
    gs_free(data);
    assert_int_equal(truncate(path, ((off_t)1 << 30) + 1), 0);
    FAILS(gs_journal_read(dir, &data, &f, &test_err), GS_ERR_FILE, "may have at most");
    gs_free(path);
    remove_scratch(dir);
}

static void test_digest(void **state)
{
    (void)state;
    unsigned char bytes[100];
    for (int i = 0; i < 100; i++) bytes[i] = (unsigned char)i;
    const uint64_t all = gs_digest(0, bytes, sizeof bytes);
    assert_true(all != gs_digest(1, bytes, sizeof bytes));
    for (size_t n = 0; n < sizeof bytes; n++) assert_true(gs_digest(0, bytes, n) != gs_digest(0, bytes, n + 1));
    for (int bit = 0; bit < 800; bit++) {
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1 << bit % 8);
        assert_true(gs_digest(0, bytes, sizeof bytes) != all);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    memset(bytes, 0, sizeof bytes);
    assert_true(gs_digest(0, bytes, 32) != gs_digest(0, bytes, 64));
}

/* Counts and lengths that the bytes cannot hold make the wire bad and allocate nothing. */
static void test_wire(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_wire w = {.out = &s};
    int small = -5, n = 3;
    char word[] = "word", *text = word, *none = NULL;
    float f[] = {1, 2, 3}, *list = f;
    int64_t count = 3;
    bool yes = true;
    gs_wire_int(&w, &small);
    gs_wire_text(&w, &text);
    gs_wire_text(&w, &none);
    gs_wire_floats(&w, &list, &count);
    gs_wire_bool(&w, &yes);
    gs_wire_list(&w, f, &n, sizeof *f, 1);
    gs_str_add(&s, "abc", 3);
    for (size_t cut = 0; cut <= s.len; cut++) {
        gs_wire r = {.at = (const unsigned char *)s.data, .end = (const unsigned char *)s.data + cut};
        gs_wire_int(&r, &small);
        text = none = NULL;
        gs_wire_text(&r, &text);
        gs_wire_text(&r, &none);
        gs_wire_floats(&r, &list, &count);
        gs_wire_bool(&r, &yes);
        char *bytes = gs_wire_list(&r, NULL, &n, 1, 1);
        assert_int_equal(r.bad, cut < s.len);
        if (!r.bad) {
            assert_int_equal(small, -5);
            assert_string_equal(text, "word");
            assert_null(none);
            assert_int_equal(count, 3);
            assert_memory_equal(list, f, sizeof f);
            assert_int_equal(n, 3);
        }
        gs_free(text);
        gs_free(none);
        gs_free(list);
        gs_free(bytes);
    }
    unsigned char huge[8];
    memset(huge, 0xff, sizeof huge);
    gs_wire r = {.at = huge, .end = huge + sizeof huge};
    assert_null(gs_wire_list(&r, NULL, &n, 1000000, 1));
    assert_true(r.bad && n == 0);
    gs_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),     cmocka_unit_test(test_torn),   cmocka_unit_test(test_lost_pages),
        cmocka_unit_test(test_lost_head), cmocka_unit_test(test_damage), cmocka_unit_test(test_chain),
        cmocka_unit_test(test_file),      cmocka_unit_test(test_digest), cmocka_unit_test(test_wire)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
