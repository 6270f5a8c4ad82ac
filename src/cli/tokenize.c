/* `glmslim tokenize`: text on standard input, ids on standard output, or the other way round.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/common.h"
#include "io/json.h"
#include "text/tokenizer.h"

#define MAX_TEXT ((size_t)1 << 30)

typedef struct tokenize_args {
    gs_cli_common common;
    const char *pad_token;
    const char *text;
    bool no_prefix, decode, no_specials;
} tokenize_args;

static const gs_option rows[] = {
    {"text", GS_OPT_STRING, offsetof(tokenize_args, text), NULL, NULL, "the text, instead of standard input", "", true},
    {"no_prefix", GS_OPT_FLAG, offsetof(tokenize_args, no_prefix), NULL, NULL, "do not start with [gMASK]<sop>", "",
     true},
    {"pad_token", GS_OPT_STRING, offsetof(tokenize_args, pad_token), "<unk>", NULL, "pad token to add; empty for none",
     "The quantizer's default tokenizer_args add <unk>.", true},
    {"decode", GS_OPT_FLAG, offsetof(tokenize_args, decode), NULL, NULL, "read ids, write text", "", true},
    {"no_specials", GS_OPT_FLAG, offsetof(tokenize_args, no_specials), NULL, NULL,
     "with decode: leave special tokens out", "", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_tokenize = {
    "MODEL_DIR [options] < text",
    "Read text from standard input and print its token ids as a JSON list, exactly as the quantizer sees them. With\n"
    "--decode read ids (a JSON list, or separated by blanks) and print the text.",
    rows, (int)(sizeof rows / sizeof rows[0]), 1};

static gs_status write_json(const char *path, const gs_ids *ids, gs_error *err)
{
    gs_json_out *j = gs_json_out_create(-1);
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "count");
    gs_json_out_int(j, ids->count);
    gs_json_out_key(j, "ids");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < ids->count; i++) gs_json_out_int(j, ids->id[i]);
    gs_json_out_end(j);
    gs_json_out_end(j);
    size_t n;
    char *text = gs_json_out_finish(j, &n);
    const gs_status status = gs_cli_write_json(path, text, n, err);
    gs_free(text);
    return status;
}

static gs_status encode(const tokenize_args *a, const gs_tokenizer *t, const gs_str *input, gs_error *err)
{
    gs_ids ids = {0};
    gs_status status = gs_tokenizer_encode(t, input->data, input->len, !a->no_prefix, &ids, err);
    if (status == GS_OK) {
        putchar('[');
        for (int64_t i = 0; i < ids.count; i++) printf("%s%d", i > 0 ? ", " : "", ids.id[i]);
        fputs("]\n", stdout);
        if (a->common.json != NULL) status = write_json(a->common.json, &ids, err);
    }
    gs_ids_release(&ids);
    return status;
}

/* Digits separated by blanks, commas and brackets. */
static gs_status read_ids(const gs_str *input, int64_t limit, gs_ids *ids, gs_error *err)
{
    for (size_t i = 0; i < input->len;) {
        const char c = input->data[i];
        if (strchr(" \t\r\n,[]", c) != NULL && c != '\0') {
            i++;
            continue;
        }
        int64_t v = 0;
        const size_t start = i;
        while (i < input->len && input->data[i] >= '0' && input->data[i] <= '9' && v <= INT_MAX)
            v = v * 10 + (input->data[i++] - '0');
        if (i == start)
            return gs_fail(err, GS_ERR_FILE, "standard input, byte %zu: not a token id; --decode reads whole numbers",
                           i);
        if (v >= limit)
            return gs_fail(err, GS_ERR_FILE, "standard input, byte %zu: token id %lld; the tokenizer has ids 0 to %lld",
                           start, (long long)v, (long long)limit - 1);
        gs_ids_add(ids, (int32_t)v);
    }
    return GS_OK;
}

static gs_status decode(const tokenize_args *a, const gs_tokenizer *t, const gs_str *input, gs_error *err)
{
    gs_ids ids = {0};
    gs_str text;
    gs_str_init(&text);
    gs_status status = read_ids(input, gs_tokenizer_ids(t), &ids, err);
    if (status == GS_OK) {
        gs_tokenizer_decode(t, ids.id, ids.count, !a->no_specials, &text);
        fwrite(text.data, 1, text.len, stdout);
        if (isatty(STDOUT_FILENO)) putchar('\n');
        if (a->common.json != NULL) status = write_json(a->common.json, &ids, err);
    }
    gs_str_release(&text);
    gs_ids_release(&ids);
    return status;
}

static gs_status run(const tokenize_args *a, const char *dir, gs_error *err)
{
    gs_tokenizer *t = NULL;
    gs_str input;
    gs_str_init(&input);
    gs_status status = gs_tokenizer_open(&t, dir, a->pad_token[0] != '\0' ? a->pad_token : NULL, err);
    if (status == GS_OK && a->text != NULL)
        gs_str_adds(&input, a->text);
    else if (status == GS_OK)
        status = gs_cli_read_stdin(&input, MAX_TEXT, err);
    if (status == GS_OK) status = a->decode ? decode(a, t, &input, err) : encode(a, t, &input, err);
    gs_str_release(&input);
    if (t != NULL) gs_tokenizer_close(t);
    return status;
}

int gs_cmd_tokenize(int argc, char **argv)
{
    tokenize_args a = {.pad_token = "<unk>"};
    const char *words[1];
    int n, code;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_tokenize, argc, argv, &a, words, &n, &code)) return code;
    if (n < 1)
        return gs_cli_finish(
            gs_fail(&err, GS_ERR_USAGE, "tokenize needs the model's directory: glmslim tokenize MODEL_DIR"), &err);
    return gs_cli_finish(run(&a, words[0], &err), &err);
}
