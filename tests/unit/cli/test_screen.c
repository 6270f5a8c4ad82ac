/* The progress line in any width, defaults that the help of synth promises, the table of commands.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/common.h"
#include "model/synth.h"
#include "recipe/value.h"

static const gs_progress full = {"calibrate", 11, 40, 310, 1000, 12.0, 1234.4, 754.2, 1900000000};

static void test_progress_text(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    gs_progress_text(&full, 120, &s);
    assert_string_equal(s.data, "block 12/40  calibrate   31%  ETA 12:34  1234 tokens/s  1.90 GB");
    gs_progress_text(&full, 40, &s); /* what does not fit is left out */
    assert_string_equal(s.data, "block 12/40  calibrate   31%  ETA 12:34");
    for (int width = 0; width < 120; width++) {
        gs_progress_text(&full, width, &s);
        assert_true(s.len <= (size_t)width);
    }
    const gs_progress early = {.step = "read", .n_blocks = 4, .tokens_total = 100, .eta_s = -1};
    gs_progress_text(&early, 80, &s);
    assert_string_equal(s.data, "block 1/4  read         0%");
    const gs_progress late = {.step = "write", .tokens_done = 7, .tokens_total = 5, .eta_s = 7384};
    gs_progress_text(&late, 80, &s);
    assert_string_equal(s.data, "write      100%  ETA 2:03:04");
    const gs_progress nothing = {.eta_s = -1};
    gs_progress_text(&nothing, 80, &s);
    assert_true(s.len <= 80);
    gs_str_release(&s);
}

/* What a warning quotes can neither command the terminal nor begin a line of its own. */
static void test_one_line(void **state)
{
    (void)state;
    int ends[2];
    char text[200] = {0};
    assert_int_equal(pipe(ends), 0);
    const int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    gs_screen_warning("a\xc2\x9b"
                      "2J\nglmslim: done\x1b[2J \xe2\x80\xae \xff é");
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_string_equal(text, "warning: a?2J?glmslim: done?[2J ? ? é\n");
    close(kept);
    close(ends[0]);
    close(ends[1]);
}

/* The defaults in the help are those of gs_synth_defaults(). */
static void test_synth_defaults(void **state)
{
    (void)state;
    gs_synth_spec want;
    gs_synth_defaults(&want);
    struct {
        gs_cli_common common;
        gs_synth_spec spec;
        int64_t seed;
    } have;
    memset(&have, 0, sizeof have);
    int defaults = 0;
    for (int i = 0; i < gs_spec_synth.count; i++) {
        const gs_option *o = &gs_spec_synth.rows[i];
        assert_true(o->field < sizeof have);
        if (o->default_text == NULL) continue;
        assert_int_equal(gs_option_set(&have, o, o->default_text, NULL), GS_OK);
        defaults++;
    }
    assert_true(defaults >= 12);
    assert_int_equal(have.seed, (int64_t)want.seed);
    assert_string_equal(have.spec.torch_dtype, want.torch_dtype != NULL ? want.torch_dtype : "bfloat16");
    assert_int_equal(have.spec.hidden, want.hidden);
    assert_int_equal(have.spec.layers, want.layers);
    assert_int_equal(have.spec.heads, want.heads);
    assert_int_equal(have.spec.groups, want.groups);
    assert_int_equal(have.spec.head_dim, want.head_dim);
    assert_int_equal(have.spec.ffn, want.ffn);
    assert_int_equal(have.spec.vocab, want.vocab);
    assert_true(have.spec.rope_ratio == want.rope_ratio);
    assert_int_equal(have.spec.outlier_channels, want.outlier_channels);
    assert_int_equal(have.spec.shard_bytes, want.shard_bytes);
}

static void test_commands(void **state)
{
    (void)state;
    gs_str s;
    gs_str_init(&s);
    for (int i = 0; i < gs_command_count; i++) {
        const gs_command *c = &gs_commands[i];
        assert_ptr_equal(gs_command_find(c->name), c);
        if (c->hidden) continue;
        gs_str_clear(&s);
        gs_cli_help_text(c, &s);
        assert_non_null(strstr(s.data, c->name));
        for (int j = 0; c->spec != NULL && j < c->spec->count; j++)
            assert_non_null(strstr(s.data, c->spec->rows[j].name));
        for (const char *p = s.data; *p != '\0';) {
            const size_t n = strcspn(p, "\n");
            if (n > 120) fail_msg("%s: a line of %zu columns", c->name, n);
            p += n + (p[n] == '\n');
        }
    }
    assert_null(gs_command_find("nothing"));
    gs_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_progress_text), cmocka_unit_test(test_one_line),
                                       cmocka_unit_test(test_synth_defaults), cmocka_unit_test(test_commands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
