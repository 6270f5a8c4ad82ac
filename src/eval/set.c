/* Owns the cutting of texts and the reading of questions. SPDX-License-Identifier: Apache-2.0 */
#include "eval/set.h"

#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

#define MAX_FILE ((size_t)64 << 20)

/* A sample of n ids; those from `first` on are predicted. */
static void add_sample(gs_eval_set *s, const int32_t *ids, int64_t n, int64_t first, int64_t bytes)
{
    gs_samples *to = &s->samples;
    const size_t count = (size_t)to->count;
    to->start = gs_realloc_array(to->start, count + 2, sizeof *to->start);
    to->id = gs_realloc_array(to->id, (size_t)(to->tokens + n) + 1, sizeof *to->id);
    s->first = gs_realloc_array(s->first, count + 1, sizeof *s->first);
    s->bytes = gs_realloc_array(s->bytes, count + 1, sizeof *s->bytes);
    s->place = gs_realloc_array(s->place, count + 2, sizeof *s->place);
    if (count == 0) to->start[0] = s->place[0] = 0;
    memcpy(to->id + to->tokens, ids, (size_t)n * sizeof *ids);
    to->tokens += n;
    to->count++;
    to->start[count + 1] = to->tokens;
    if (n > to->longest) to->longest = n;
    s->first[count] = first;
    s->bytes[count] = bytes;
    s->place[count + 1] = s->place[count] + n - first;
}

void gs_eval_set_release(gs_eval_set *s)
{
    gs_samples_release(&s->samples);
    gs_free(s->first);
    gs_free(s->place);
    gs_free(s->question);
    gs_free(s->answer);
    gs_free(s->bytes);
    *s = (gs_eval_set){0};
}

/* ---- text ---- */

static void cut(gs_eval_set *s, const gs_ids *prefix, const gs_ids *text, int64_t context, int64_t stride)
{
    int32_t *const ids = gs_alloc_array((size_t)(prefix->count + context), sizeof *ids);
    memcpy(ids, prefix->id, (size_t)prefix->count * sizeof *ids);
    int64_t done = 0; /* tokens that are predicted */
    for (int64_t begin = 0; done < text->count; begin += stride) {
        const int64_t left = text->count - begin, n = left < context ? left : context;
        memcpy(ids + prefix->count, text->id + begin, (size_t)n * sizeof *ids);
        add_sample(s, ids, prefix->count + n, prefix->count + done - begin, 0);
        done = begin + n;
    }
    gs_free(ids);
}

static gs_status encode_text(gs_eval_set *s, const gs_tokenizer *t, const char *path, const char *data, size_t n,
                             int64_t context, int64_t stride, gs_error *err)
{
    gs_ids prefix = {0}, text = {0};
    gs_status status = gs_tokenizer_encode(t, "", 0, true, &prefix, err);
    if (status == GS_OK && gs_tokenizer_encode(t, data, n, false, &text, err) != GS_OK)
        status = gs_wrap(err, "%s", path);
    if (status == GS_OK && text.count == 0)
        status = gs_fail(err, GS_ERR_FILE, "%s is empty: there is nothing to predict", path);
    if (status == GS_OK) cut(s, &prefix, &text, context, stride);
    s->windows = s->samples.count;
    s->text_tokens = text.count;
    gs_ids_release(&prefix);
    gs_ids_release(&text);
    return status;
}

gs_status gs_eval_set_text(gs_eval_set *s, const gs_tokenizer *t, const char *path, int64_t context, int64_t stride,
                           gs_error *err)
{
    char *data;
    size_t n;
    GS_TRY(gs_file_read_all(path, MAX_FILE, &data, &n, err));
    const gs_status status = encode_text(s, t, path, data, n, context, stride, err);
    gs_free(data);
    return status;
}

/* ---- questions ---- */

typedef struct reader {
    gs_eval_set *set;
    const gs_tokenizer *tokenizer;
    const char *path;
    int64_t line, longest;
} reader;

static gs_status fail_line(const reader *r, gs_error *err, const char *what)
{
    return gs_fail(err, GS_ERR_FILE, "%s, line %lld: %s", r->path, (long long)r->line, what);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool needs_blank(const char *question, size_t n, const char *choice, size_t m)
{
    if (n == 0 || m == 0) return false;
    const char before = question[n - 1], after = choice[0];
    return !is_space(before) && !is_space(after) && (unsigned char)before < 0x80 && (unsigned char)after < 0x80;
}

/* Question and choice are encoded each for itself: then the ids of the question are the same for every choice. */
static gs_status add_choice(const reader *r, const json_t *question, const json_t *choice, gs_error *err)
{
    const char *q = json_string_value(question), *a = json_string_value(choice);
    const size_t n = json_string_length(question), m = json_string_length(choice);
    gs_ids ids = {0};
    gs_str text;
    gs_str_init(&text);
    if (needs_blank(q, n, a, m)) gs_str_addc(&text, ' ');
    gs_str_add(&text, a, m);
    gs_status status = gs_tokenizer_encode(r->tokenizer, q, n, true, &ids, err);
    const int64_t first = ids.count;
    if (status == GS_OK) status = gs_tokenizer_encode(r->tokenizer, text.data, text.len, false, &ids, err);
    if (status == GS_OK && ids.count == first) status = fail_line(r, err, "an empty choice cannot be predicted");
    if (status == GS_OK && ids.count > r->longest)
        status = gs_fail(err, GS_ERR_FILE, "%s, line %lld: question and choice have %lld tokens; the model takes %lld",
                         r->path, (long long)r->line, (long long)ids.count, (long long)r->longest);
    if (status == GS_OK) add_sample(r->set, ids.id, ids.count, first, (int64_t)m);
    gs_str_release(&text);
    gs_ids_release(&ids);
    return status;
}

/* -1 = none of the forms. A boolean comes without choices; among explicit ones it could mean the text or the index. */
static int64_t find_answer(const json_t *answer, const json_t *choices, bool given)
{
    const int64_t n = (int64_t)json_array_size(choices);
    if (json_is_boolean(answer)) return given ? -1 : json_is_true(answer);
    if (json_is_integer(answer)) {
        const int64_t v = json_integer_value(answer);
        return v >= 0 && v < n ? v : -1;
    }
    if (!json_is_string(answer)) return -1;
    for (int64_t i = 0; i < n; i++)
        if (json_equal(json_array_get(choices, (size_t)i), answer)) return i;
    const char *word = json_string_value(answer);
    const int64_t letter = json_string_length(answer) == 1 ? word[0] - 'A' : -1;
    return letter >= 0 && letter < n ? letter : -1;
}

static gs_status add_question(const reader *r, const json_t *question, const json_t *choices, bool given,
                              const json_t *answer, gs_error *err)
{
    gs_eval_set *s = r->set;
    if (!json_is_string(question)) return fail_line(r, err, "\"question\" must be a string");
    if (!json_is_array(choices) || json_array_size(choices) < 2)
        return fail_line(r, err, "\"choices\" must be a list of at least two strings");
    for (size_t i = 0; i < json_array_size(choices); i++)
        if (!json_is_string(json_array_get(choices, i))) return fail_line(r, err, "\"choices\" must hold strings only");
    const int64_t right = find_answer(answer, choices, given);
    if (right < 0)
        return fail_line(r, err, "\"answer\" must be the index of a choice from 0, its text, or a letter from A");
    const size_t at = (size_t)s->questions;
    s->question = gs_realloc_array(s->question, at + 2, sizeof *s->question);
    s->answer = gs_realloc_array(s->answer, at + 1, sizeof *s->answer);
    s->question[at] = s->samples.count;
    s->answer[at] = (int32_t)right;
    for (size_t i = 0; i < json_array_size(choices); i++)
        GS_TRY(add_choice(r, question, json_array_get(choices, i), err));
    s->question[at + 1] = s->samples.count;
    s->questions++;
    return GS_OK;
}

static gs_status read_line(const reader *r, const char *line, size_t n, gs_error *err)
{
    char label[320];
    snprintf(label, sizeof label, "%.256s, line %lld", r->path, (long long)r->line);
    json_t *object = gs_json_parse(line, n, label, 8, err);
    if (!object) return err->status;
    const json_t *answer = json_object_get(object, "answer");
    json_t *choices = json_incref(json_object_get(object, "choices"));
    const bool given = choices != NULL;
    if (!given && json_is_boolean(answer)) choices = json_pack("[ss]", "no", "yes");
    const gs_status status = add_question(r, json_object_get(object, "question"), choices, given, answer, err);
    json_decref(choices);
    json_decref(object);
    return status;
}

static gs_status read_lines(reader *r, const char *data, size_t n, gs_error *err)
{
    for (size_t at = 0; at < n;) {
        const char *end = memchr(data + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - data) - at : n - at;
        size_t blank = 0;
        while (blank < length && is_space(data[at + blank])) blank++;
        r->line++;
        if (blank < length) GS_TRY(read_line(r, data + at, length, err));
        GS_TRY(gs_check_interrupt(err));
        at += length + 1;
    }
    if (r->set->questions > 0) return GS_OK;
    return gs_fail(err, GS_ERR_FILE, "%s holds no question", r->path);
}

gs_status gs_eval_set_choices(gs_eval_set *s, const gs_tokenizer *t, const char *path, int64_t longest, gs_error *err)
{
    char *data;
    size_t n;
    GS_TRY(gs_file_read_all(path, MAX_FILE, &data, &n, err));
    reader r = {.set = s, .tokenizer = t, .path = path, .longest = longest};
    const gs_status status = read_lines(&r, data, n, err);
    gs_free(data);
    return status;
}

gs_status gs_eval_set_check(const gs_eval_set *s, int64_t vocab, gs_error *err)
{
    for (int64_t i = 0; i < s->samples.tokens; i++)
        if (s->samples.id[i] >= vocab)
            return gs_fail(
                err, GS_ERR_FILE,
                "a token has id %d, but the model has %lld embedding rows: tokenizer and weights do not belong "
                "together",
                s->samples.id[i], (long long)vocab);
    return GS_OK;
}
