/* What is evaluated: windows of a text and the choices of questions, as samples of token ids of which some are predicted.
 *
 * A text is encoded whole and cut into windows of `context` tokens, each behind the model's prefix ([gMASK]<sop>); the next one begins
 * `stride` tokens later and predicts what no window before it did, so every token is predicted once. A choice is a sample of its own:
 * prefix, question, choice, of which the choice is predicted. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EVAL_SET_H
#define GS_EVAL_SET_H

#include "text/samples.h"

typedef struct gs_eval_set {
    gs_samples samples;  /* windows first, then choices */
    int64_t *first;      /* [samples] position of the first token that is predicted, >= 1; all behind it are too */
    int64_t *place;      /* [samples + 1] where its predicted tokens are among all */
    int64_t windows;     /* samples that are windows */
    int64_t text_tokens; /* predicted tokens in windows: place[windows] */
    int64_t questions;
    int64_t *question; /* [questions + 1] first choice of each, as a sample */
    int32_t *answer;   /* [questions] right choice, from 0 */
    int64_t *bytes;    /* [samples] bytes of the choice's text */
} gs_eval_set;

/* Text from a file of at most 64 MiB, in windows. context >= 1, 1 <= stride <= context. */
gs_status gs_eval_set_text(gs_eval_set *s, const gs_tokenizer *t, const char *path, int64_t context, int64_t stride,
                           gs_error *err) GS_CHECKED;
/* JSON lines {"question": …, "choices": […], "answer": …}; answer is an index from 0, one of the choices, or a letter from A; a
 * boolean with the choices ["no", "yes"] where none are given. Between question and choice stands a blank where both sides are
 * ASCII and neither has white space there. longest: the model's positions. */
gs_status gs_eval_set_choices(gs_eval_set *s, const gs_tokenizer *t, const char *path, int64_t longest,
                              gs_error *err) GS_CHECKED;
/* After the last: every id is below vocab. */
gs_status gs_eval_set_check(const gs_eval_set *s, int64_t vocab, gs_error *err) GS_CHECKED;
void gs_eval_set_release(gs_eval_set *s); /* accepts an all-zero struct */

#endif
