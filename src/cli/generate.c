/* `glmslim generate`: greedy continuation of a text by a float checkpoint, printed as it comes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "cli/common.h"
#include "io/json.h"
#include "model/generate.h"
#include "text/tokenizer.h"

#define MAX_PROMPT ((size_t)64 << 20)

typedef struct generate_args {
    gs_cli_common common;
    const char *prompt;
    int64_t max_new, memory;
    bool no_prefix, no_echo;
} generate_args;

static const gs_option rows[] = {
    {"prompt", GS_OPT_STRING, offsetof(generate_args, prompt), NULL, NULL,
     "the text to continue, instead of standard input", "", true},
    {"max_new", GS_OPT_INT64, offsetof(generate_args, max_new), "64", NULL, "tokens to add at most", "", true},
    {"no_echo", GS_OPT_FLAG, offsetof(generate_args, no_echo), NULL, NULL, "print only what is added, not the prompt",
     "", true},
    {"no_prefix", GS_OPT_FLAG, offsetof(generate_args, no_prefix), NULL, NULL, "do not start with [gMASK]<sop>", "",
     true},
    {"memory", GS_OPT_INT64, offsetof(generate_args, memory), "0", NULL,
     "bytes for weights kept in memory; 0 = what is free", "What does not fit is read again for each token.", true},
    GS_CLI_COMMON_ROWS,
};

const gs_cli_spec gs_spec_generate = {"MODEL_DIR [--prompt TEXT] [options]",
                                      "Continue a text with a float checkpoint, always taking the most likely token, "
                                      "until the model ends it or --max_new\n"
                                      "tokens are added. Needs a float checkpoint, not a quantized directory.",
                                      rows, (int)(sizeof rows / sizeof rows[0]), 1};

typedef struct stream {
    const gs_tokenizer *tokenizer;
    gs_str text;    /* everything that was added */
    gs_str pending; /* bytes that are not yet whole characters */
    gs_ids ids;
    bool terminal;
} stream;

/* Print what is complete; a broken sequence becomes U+FFFD. `last`: nothing follows. */
static void print_whole(stream *s, bool last)
{
    gs_str out;
    gs_str_init(&out);
    size_t at = 0;
    while (at < s->pending.len) {
        const size_t n = gs_utf8_valid(s->pending.data + at, s->pending.len - at);
        gs_str_add(&out, s->pending.data + at, n);
        at += n;
        if (at == s->pending.len || (!last && s->pending.len - at < 4)) break;
        gs_str_adds(&out, "\xef\xbf\xbd");
        at++;
    }
    memmove(s->pending.data, s->pending.data + at, s->pending.len - at);
    s->pending.len -= at;
    s->pending.data[s->pending.len] = '\0';
    gs_str_add(&s->text, out.data, out.len);
    if (s->terminal) out.len = gs_make_printable(out.data, out.len, "\n\t"); /* a model must not steer the terminal */
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    gs_str_release(&out);
}

static bool on_id(void *ctx, int32_t id)
{
    stream *s = ctx;
    gs_ids_add(&s->ids, id);
    gs_tokenizer_decode(s->tokenizer, &id, 1, true, &s->pending);
    print_whole(s, false);
    return gs_check_interrupt(NULL) == GS_OK && !ferror(stdout);
}

static gs_status write_json(const char *path, const gs_str *prompt, const gs_ids *prompt_ids, const stream *s,
                            double seconds, gs_error *err)
{
    gs_json_out *j = gs_json_out_create(2);
    gs_json_out_begin(j, '{');
    gs_json_out_key(j, "prompt");
    gs_json_out_string(j, prompt->data);
    gs_json_out_key(j, "text");
    gs_json_out_string(j, s->text.data);
    gs_json_out_key(j, "prompt_tokens");
    gs_json_out_int(j, prompt_ids->count);
    gs_json_out_key(j, "ids");
    gs_json_out_begin(j, '[');
    for (int64_t i = 0; i < s->ids.count; i++) gs_json_out_int(j, s->ids.id[i]);
    gs_json_out_end(j);
    gs_json_out_key(j, "seconds");
    gs_json_out_double(j, seconds);
    gs_json_out_end(j);
    size_t n;
    char *text = gs_json_out_finish(j, &n);
    const gs_status status = gs_cli_write_json(path, text, n, err);
    gs_free(text);
    return status;
}

static gs_status talk(const generate_args *a, const char *dir, gs_generator *g, gs_tokenizer *t, const gs_str *prompt,
                      gs_error *err)
{
    (void)dir;
    gs_ids ids = {0};
    stream s = {.tokenizer = t, .terminal = isatty(STDOUT_FILENO) == 1};
    gs_str_init(&s.text);
    gs_str_init(&s.pending);
    gs_status status = gs_tokenizer_encode(t, prompt->data, prompt->len, !a->no_prefix, &ids, err);
    if (status == GS_OK && ids.count == 0)
        status = gs_fail(err, GS_ERR_USAGE, "the prompt is empty: without the prefix there is nothing to continue");
    if (status == GS_OK) {
        if (!a->no_echo) fwrite(prompt->data, 1, prompt->len, stdout);
        fflush(stdout);
        const double start = gs_seconds();
        status = gs_generator_run(g, ids.id, ids.count, a->max_new, on_id, &s, err);
        const double seconds = gs_seconds() - start;
        print_whole(&s, true);
        putchar('\n');
        fflush(stdout);
        if (status == GS_OK) status = gs_check_interrupt(err);
        char note[160];
        snprintf(note, sizeof note, "%lld prompt tokens, %lld new tokens, %.2f s", (long long)ids.count,
                 (long long)s.ids.count, seconds);
        if (status == GS_OK) gs_screen_note(note);
        if (status == GS_OK && a->common.json != NULL)
            status = write_json(a->common.json, prompt, &ids, &s, seconds, err);
    }
    gs_ids_release(&ids);
    gs_ids_release(&s.ids);
    gs_str_release(&s.text);
    gs_str_release(&s.pending);
    return status;
}

static gs_status run(const generate_args *a, const char *dir, const gs_str *prompt, gs_error *err)
{
    gs_compute compute = {0};
    gs_generator *g = NULL;
    gs_tokenizer *t = NULL;
    gs_status status = gs_tokenizer_open(&t, dir, NULL, err);
    if (status == GS_OK) status = gs_compute_open(&compute, a->common.threads, err);
    if (status == GS_OK) status = gs_generator_open(&g, &compute, dir, (uint64_t)a->memory, err);
    if (status == GS_OK) status = talk(a, dir, g, t, prompt, err);
    if (g != NULL) gs_generator_close(g);
    gs_compute_close(&compute);
    if (t != NULL) gs_tokenizer_close(t);
    return status;
}

static gs_status read_prompt(const generate_args *a, gs_str *prompt, gs_error *err)
{
    if (a->max_new < 0) return gs_fail(err, GS_ERR_USAGE, "max_new = %lld is smaller than 0.", (long long)a->max_new);
    if (a->memory < 0) return gs_fail(err, GS_ERR_USAGE, "memory = %lld is smaller than 0.", (long long)a->memory);
    if (a->common.threads < 0) return gs_fail(err, GS_ERR_USAGE, "threads = %d is smaller than 0.", a->common.threads);
    if (a->prompt != NULL)
        gs_str_adds(prompt, a->prompt);
    else
        GS_TRY(gs_cli_read_stdin(prompt, MAX_PROMPT, err));
    const size_t valid = gs_utf8_valid(prompt->data, prompt->len);
    if (valid < prompt->len) return gs_fail(err, GS_ERR_FILE, "the prompt is not UTF-8 at byte %zu", valid);
    return GS_OK;
}

int gs_cmd_generate(int argc, char **argv)
{
    generate_args a = {.max_new = 64};
    const char *words[1];
    int n, code;
    gs_error err;
    if (!gs_cli_parse(&gs_spec_generate, argc, argv, &a, words, &n, &code)) return code;
    if (n < 1)
        return gs_cli_finish(gs_fail(&err, GS_ERR_USAGE,
                                     "generate needs the model's directory: glmslim generate MODEL_DIR --prompt TEXT"),
                             &err);
    gs_str prompt;
    gs_str_init(&prompt);
    gs_status status = read_prompt(&a, &prompt, &err);
    gs_cli_catch_signals();
    if (status == GS_OK) status = run(&a, words[0], &prompt, &err);
    gs_str_release(&prompt);
    return gs_cli_finish(status, &err);
}
