/* Records and identities: written and read back; cut or changed bytes are refused or give something that can be released. What differs
 * between two runs is said in words. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "job/identity.h"

static gs_error err;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        const gs_status status_ = (call);                                                                              \
        if (status_ != GS_OK) fail_msg("%s: %s", #call, err.text);                                                     \
    } while (0)

static gs_record *make_record(void)
{
    gs_record *r = gs_alloc(sizeof *r);
    *r = (gs_record){
        .pass = 1, .blocks = 3, .work_done = 77, .n_written = 2, .n_linears = 1, .n_blocks = 1, .n_messages = 1};
    r->stream[GS_STREAM_OUTLIERS].file = -1;
    r->stream[GS_STREAM_FLOAT] = (gs_stream_state){1, 100, 64, 0x1234567890abcdefu};
    r->stream[GS_STREAM_QUANTIZED] = (gs_stream_state){0, 50, 64, 5};
    r->written = gs_alloc_array(2, sizeof *r->written);
    r->written[0] = (gs_written){4, 4096};
    r->written[1] = (gs_written){9, 1};
    r->linear = gs_alloc_array(1, sizeof *r->linear);
    r->linear[0] = (gs_linear_state){.linear = 8,
                                     .observer = GS_OBSERVE_HISTOGRAM,
                                     .score = {.seen = true, .t_max = 1, .t_min = -1, .std = 0.5f, .cols = 64},
                                     .max_input = 3,
                                     .result = {.range_min = -2, .range_max = 4, .clip_ratio = 0.9}};
    r->block = gs_alloc_array(1, sizeof *r->block);
    r->block[0].block = 2;
    r->block[0].transform.ready = r->block[0].transform.chosen[GS_H4] = true;
    r->block[0].transform.choice[GS_H4].alpha = 0.25;
    r->block[0].branch[GS_H4] = gs_strdup("threshold");
    r->block[0].vector[3] = (gs_vector){gs_alloc_array(2, sizeof(float)), 2};
    r->block[0].vector[3].v[1] = 7;
    r->message = gs_alloc_array(1, sizeof *r->message);
    r->message[0] = (gs_message_state){true, gs_strdup("of its channels are zero")};
    return r;
}

static void test_record(void **state)
{
    (void)state;
    gs_record *r = make_record(), back;
    gs_str s, again;
    gs_str_init(&s);
    gs_str_init(&again);
    gs_record_write(r, &s);
    OK(gs_record_parse(s.data, s.len, &back, &err));
    gs_record_write(&back, &again);
    assert_int_equal(again.len, s.len);
    assert_memory_equal(again.data, s.data, s.len);
    assert_int_equal(back.stream[GS_STREAM_FLOAT].digest, 0x1234567890abcdefu);
    assert_string_equal(back.block[0].branch[GS_H4], "threshold");
    assert_true(back.block[0].vector[3].v[1] == 7 && back.block[0].vector[2].v == NULL);
    assert_true(back.linear[0].result.clip_ratio == 0.9 && back.linear[0].score.seen);
    assert_true(back.message[0].warning);
    gs_record_release(&back);
    for (size_t n = 0; n < s.len; n++) {
        assert_int_equal(gs_record_parse(s.data, n, &back, &err), GS_ERR_FILE);
        assert_int_equal(back.n_blocks, 0);
    }
    gs_str_addc(&s, 'x');
    assert_int_equal(gs_record_parse(s.data, s.len, &back, &err), GS_ERR_FILE);
    s.len--;
    for (size_t at = 0; at < s.len; at++) {
        for (int bit = 0; bit < 8; bit += 7) {
            s.data[at] = (char)(s.data[at] ^ 1 << bit);
            if (gs_record_parse(s.data, s.len, &back, &err) == GS_OK) gs_record_release(&back);
            s.data[at] = (char)(s.data[at] ^ 1 << bit);
        }
    }
    gs_record_release(r);
    gs_free(r);
    gs_str_release(&s);
    gs_str_release(&again);
}

static gs_identity make_identity(void)
{
    gs_identity id = {.format = GS_IDENTITY_FORMAT, .version = gs_strdup("1.2.3"), .n_options = 2, .n_inputs = 2};
    id.option = gs_alloc_array(2, sizeof *id.option);
    id.option[0] = (gs_option_state){gs_strdup("w_bit"), gs_strdup("8")};
    id.option[1] = (gs_option_state){gs_strdup("disable_names"), gs_strdup("")};
    id.input = gs_alloc_array(2, sizeof *id.input);
    id.input[0] = (gs_input_state){gs_strdup("config.json"), 10, 0, 0, gs_strdup("aa")};
    id.input[1] = (gs_input_state){gs_strdup("model.safetensors"), 1000, 12345, 6, gs_strdup("bb")};
    return id;
}

static void set(char **text, const char *value)
{
    gs_free(*text);
    *text = gs_strdup(value);
}

static void test_identity(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "begun by glmslim 1.2.2 and this is 1.2.3",
        "--w_bit was 4 then and is 8 now",
        "--disable_names was a b then and is not given now",
        "knew other options",
        "config.json had another content",
        "model.safetensors had another size",
        "model.safetensors was older or newer",
        "model.safetensors had another header",
        "model.safetensors was not there",
        "begun by glmslim 1.2.3 and this is 1.2.3 in another build",
    };
    for (int i = 0; i < (int)(sizeof wanted / sizeof *wanted); i++) {
        gs_identity then = make_identity(), now = make_identity(), back;
        gs_str what, bytes;
        gs_str_init(&what);
        gs_str_init(&bytes);
        assert_false(gs_identity_differs(&then, &now, &what));
        if (i == 0) set(&then.version, "1.2.2");
        if (i == 1) set(&then.option[0].value, "4");
        if (i == 2) set(&then.option[1].value, "a b");
        if (i == 3) set(&then.option[1].name, "other");
        if (i == 4) set(&then.input[0].sha256, "ab");
        if (i == 5) then.input[1].bytes++;
        if (i == 6) then.input[1].nanoseconds++;
        if (i == 7) set(&then.input[1].sha256, "ba");
        if (i == 8) set(&then.input[1].name, "model-1.safetensors");
        if (i == 9) then.format++;
        gs_identity_write(&then, &bytes);
        OK(gs_identity_parse(bytes.data, bytes.len, &back, &err));
        assert_true(gs_identity_differs(&back, &now, &what));
        if (!strstr(what.data, wanted[i])) fail_msg("%s", what.data);
        gs_identity_release(&back);
        for (size_t n = 0; n < bytes.len && i != 9; n++)
            assert_int_equal(gs_identity_parse(bytes.data, n, &back, &err), GS_ERR_FILE);
        gs_identity_release(&then);
        gs_identity_release(&now);
        gs_str_release(&what);
        gs_str_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_record), cmocka_unit_test(test_identity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
