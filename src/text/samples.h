/* Calibration texts and their token ids. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_TEXT_SAMPLES_H
#define GS_TEXT_SAMPLES_H

#include "io/sha256.h"
#include "text/tokenizer.h"

/* Texts in order. A text is valid UTF-8 and may hold NUL bytes. */
typedef struct gs_texts {
    char **text;
    size_t *bytes;
    int64_t count;
    char *source; /* "demo/calib.json", "built-in", … for messages */
    uint64_t file_bytes;
    char file_sha256[GS_SHA256_TEXT]; /* of the file they were read from; empty = none */
} gs_texts;
void gs_texts_release(gs_texts *t);

typedef enum gs_text_keys { GS_KEYS_ALL, GS_KEYS_PROMPT_ONLY } gs_text_keys; /* --reference_compat: only "prompt" */

/* JSON array, JSON lines or plain text by content, at most 64 MiB. Keys in order: prompt, inputs_pretokenized, text.
 * Plain text: one sample per non-blank line. `[]` gives count 0. In messages lines count from 1, samples from 0. */
gs_status gs_texts_read(gs_texts *out, const char *path, gs_text_keys keys, gs_error *err) GS_CHECKED;
/* The built-in bilingual sets. anti: the outlier set. */
gs_status gs_texts_builtin(gs_texts *out, bool anti, gs_error *err) GS_CHECKED;
/* Strings of --calib_texts appended; an empty one is an error naming its index. */
gs_status gs_texts_append(gs_texts *t, const char *const *list, gs_error *err) GS_CHECKED;

/* All samples' ids, one after the other. Sample i is rows start[i] .. start[i+1]. */
typedef struct gs_samples {
    int64_t count, tokens, longest;
    int64_t *start; /* [count+1] */
    int32_t *id;    /* [tokens] */
} gs_samples;
/* Every id must be < vocab (GS_ERR_FILE naming sample, id and vocabulary size). */
gs_status gs_samples_encode(gs_samples *out, const gs_tokenizer *t, const gs_texts *texts, int64_t vocab,
                            gs_error *err) GS_CHECKED;
void gs_samples_release(gs_samples *s);

#endif
