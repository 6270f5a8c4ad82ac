/* Special tokens in a text, held to a search written as plainly as its definition, with random names and with names that were chosen
 * to make a search slow. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/sys.h"
#include "text/specials.h"

enum { RANKS = 300, FIRST_ID = RANKS + GS_SPECIALS_BUILTIN };

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void open_ok(gs_specials *s, const gs_str *config)
{
    gs_error err = {0};
    if (gs_specials_init(s, RANKS, config->data, config->len, "config", NULL, &err) != GS_OK) fail_msg("%s", err.text);
}

/* By definition: the first place where one begins, and of those the longest. */
static const gs_special *naive(const gs_specials *s, const char *text, size_t n, size_t from, size_t *at)
{
    for (*at = from; *at < n; ++*at) {
        const gs_special *longest = NULL;
        for (int32_t i = 0; i < s->count; i++) {
            const gs_special *const x = &s->item[i];
            if (!x->split || x->bytes > n - *at || memcmp(x->text, text + *at, x->bytes) != 0) continue;
            if (!longest || x->bytes > longest->bytes) longest = x;
        }
        if (longest) return longest;
    }
    return NULL;
}

static int expect_same(const gs_specials *s, const char *text, size_t n)
{
    gs_special_scan scan;
    scan.begin = scan.end = 0;
    int found = 0;
    for (size_t from = 0, at, expected_at; from < n; found++) {
        const gs_special *const expected = naive(s, text, n, from, &expected_at);
        assert_ptr_equal(gs_specials_next(s, &scan, text, n, from, &at), expected);
        assert_int_equal(at, expected_at);
        if (!expected) break;
        from = at + expected->bytes;
    }
    return found;
}

static const char *const letters[] = {"a", "b", "é", "\\u0000", "<", "|"};

/* A name of up to `most` letters in JSON: random, or the beginning of the one before with another end. */
static void random_name(uint64_t *seed, uint32_t kinds, uint32_t most, gs_str *name)
{
    if (name->len > 0 && name->data[0] == 'a' && next_random(seed) % 3 == 0) {
        gs_str_adds(name, letters[next_random(seed) % 2]);
        return;
    }
    gs_str_clear(name);
    for (uint32_t k = 1 + next_random(seed) % most; k > 0; k--) gs_str_adds(name, letters[next_random(seed) % kinds]);
}

static void random_config(uint64_t *seed, uint32_t kinds, gs_str *config)
{
    gs_str name, seen;
    char quoted[2000];
    gs_str_init(&name);
    gs_str_init(&seen);
    gs_str_clear(config);
    gs_str_adds(config, "{\"added_tokens_decoder\": {");
    const uint32_t count = 1 + next_random(seed) % 30;
    const uint32_t most = next_random(seed) % 4 ? 6 : 150;
    for (uint32_t i = 0, id = FIRST_ID; i < count; i++) {
        random_name(seed, kinds, most, &name);
        snprintf(quoted, sizeof quoted, "\"%s\"", name.data);
        if (name.len > 1000 || strstr(seen.data, quoted)) continue;
        gs_str_adds(&seen, quoted);
        gs_str_printf(config, "%s\"%u\": {\"content\": %s}", id > FIRST_ID ? ", " : "", id, quoted);
        id++;
    }
    gs_str_adds(config, next_random(seed) % 16 ? "}}" : "}, \"split_special_tokens\": true}");
    gs_str_release(&name);
    gs_str_release(&seen);
}

static void random_text(uint64_t *seed, const gs_specials *s, uint32_t kinds, size_t n, gs_str *text)
{
    gs_str_clear(text);
    while (text->len < n) {
        const char *const letter = letters[next_random(seed) % kinds];
        const gs_special *const x = &s->item[next_random(seed) % (uint32_t)s->count];
        if (next_random(seed) % 8 == 0)
            gs_str_add(text, x->text, 1 + next_random(seed) % x->bytes);
        else
            gs_str_add(text, letter[0] == '\\' ? "" : letter, letter[0] == '\\' ? 1 : strlen(letter));
    }
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = 11;
    int found = 0;
    gs_str config, text;
    gs_str_init(&config);
    gs_str_init(&text);
    for (int round = 0; round < 600; round++) {
        const uint32_t kinds = 1 + next_random(&seed) % 6;
        gs_specials s;
        random_config(&seed, kinds, &config);
        open_ok(&s, &config);
        random_text(&seed, &s, kinds, 1 + next_random(&seed) % (round % 20 ? 200 : 3 * GS_SPECIAL_WINDOW), &text);
        found += expect_same(&s, text.data, text.len);
        gs_specials_release(&s);
    }
    assert_true(found > 10000);
    gs_str_release(&config);
    gs_str_release(&text);
}

/* A name of the greatest length at each place around the border of two windows. */
static void test_borders(void **state)
{
    (void)state;
    static char text[3 * GS_SPECIAL_WINDOW];
    gs_str config;
    gs_specials s;
    gs_str_init(&config);
    gs_str_adds(&config, "{\"pad_token\": \"x\", \"added_tokens_decoder\": {\"314\": {\"content\": \"");
    for (int i = 0; i < GS_SPECIAL_MAX_BYTES - 1; i++) gs_str_addc(&config, 'x');
    gs_str_adds(&config, "y\"}}}");
    open_ok(&s, &config);
    for (size_t begin = GS_SPECIAL_WINDOW - GS_SPECIAL_MAX_BYTES - 1; begin < GS_SPECIAL_WINDOW + 2; begin++) {
        memset(text, 'z', sizeof text);
        memset(text + begin, 'x', GS_SPECIAL_MAX_BYTES);
        text[begin + GS_SPECIAL_MAX_BYTES - 1] = 'y';
        gs_special_scan scan;
        scan.begin = scan.end = 0;
        size_t at;
        const gs_special *const found = gs_specials_next(&s, &scan, text, sizeof text, 0, &at);
        assert_int_equal(at, begin);
        assert_int_equal(found->bytes, GS_SPECIAL_MAX_BYTES);
        assert_null(gs_specials_next(&s, &scan, text, sizeof text, at + found->bytes, &at));
        /* Cut by one byte it is a row of short ones. */
        scan.begin = scan.end = 0;
        assert_int_equal(gs_specials_next(&s, &scan, text, begin + GS_SPECIAL_MAX_BYTES - 1, 0, &at)->bytes, 1);
        assert_int_equal(at, begin);
    }
    gs_specials_release(&s);
    gs_str_release(&config);
}

/* Names that agree with the text for a long way and then do not, each with many neighbours, and a short one that does. */
static void test_hostile(void **state)
{
    (void)state;
    enum { DEPTH = 300, NEIGHBOURS = 44, BYTES = 1 << 20 };
    gs_str config;
    gs_specials s;
    gs_str_init(&config);
    gs_str_adds(&config, "{\"pad_token\": \"a\", \"added_tokens_decoder\": {");
    for (int depth = DEPTH, id = FIRST_ID; depth > 0; depth--) {
        for (int k = 0; k < NEIGHBOURS; k++, id++) {
            gs_str_printf(&config, "%s\"%d\": {\"content\": \"", id > FIRST_ID ? ", " : "", id);
            for (int i = 0; i < depth; i++) gs_str_addc(&config, 'a');
            gs_str_printf(&config, "%c\"}", '0' + k); /* no letter among them needs an escape in JSON */
        }
    }
    gs_str_adds(&config, "}}");
    const double begin = gs_seconds();
    open_ok(&s, &config);
    char *const text = test_malloc(BYTES);
    memset(text, 'a', BYTES);
    gs_special_scan scan;
    scan.begin = scan.end = 0;
    size_t count = 0, at;
    for (size_t from = 0; gs_specials_next(&s, &scan, text, BYTES, from, &at); from = at + 1) count++;
    const double seconds = gs_seconds() - begin;
    printf("             1 MiB among 13200 hostile names: %.2f s\n", seconds);
    assert_int_equal(count, BYTES);
    assert_true(seconds < 5); /* a walk from each place takes a minute */
    test_free(text);
    gs_specials_release(&s);
    gs_str_release(&config);
}

static void test_interrupt(void **state)
{
    (void)state;
    gs_specials s;
    gs_error err = {0};
    gs_interrupt();
    const gs_status status = gs_specials_init(&s, RANKS, NULL, 0, "config", NULL, &err);
    gs_clear_interrupt();
    assert_int_equal(status, GS_ERR_INTERRUPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_borders),
                                       cmocka_unit_test(test_hostile), cmocka_unit_test(test_interrupt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
