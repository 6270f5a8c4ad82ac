/* Texts to samples: ids of all texts in one array. SPDX-License-Identifier: Apache-2.0 */
#include "text/samples.h"

static gs_status encode_one(const gs_tokenizer *t, const gs_texts *texts, int64_t index, int64_t vocab, gs_ids *ids,
                            gs_error *err)
{
    const int64_t begin = ids->count;
    gs_status status = gs_tokenizer_encode(t, texts->text[index], texts->bytes[index], true, ids, err);
    for (int64_t i = begin; status == GS_OK && i < ids->count; i++) {
        if (ids->id[i] >= vocab)
            status = gs_fail(err, GS_ERR_FILE,
                             "token %lld has id %d, but the model has %lld embedding rows: tokenizer and "
                             "weights do not belong together",
                             (long long)(i - begin), ids->id[i], (long long)vocab);
    }
    if (status != GS_OK && status != GS_ERR_INTERRUPTED)
        gs_wrap(err, "%s: sample %lld", texts->source ? texts->source : "texts", (long long)index);
    return status;
}

gs_status gs_samples_encode(gs_samples *out, const gs_tokenizer *t, const gs_texts *texts, int64_t vocab, gs_error *err)
{
    gs_ids ids = {0};
    *out = (gs_samples){.count = texts->count};
    out->start = gs_alloc_array((size_t)texts->count + 1, sizeof *out->start);
    gs_status status = GS_OK;
    for (int64_t i = 0; status == GS_OK && i < texts->count; i++) {
        status = gs_check_interrupt(err);
        if (status == GS_OK) status = encode_one(t, texts, i, vocab, &ids, err);
        out->start[i + 1] = ids.count;
        if (ids.count - out->start[i] > out->longest) out->longest = ids.count - out->start[i];
    }
    out->tokens = ids.count;
    out->id = ids.id;
    if (status != GS_OK) gs_samples_release(out);
    return status;
}

void gs_samples_release(gs_samples *s)
{
    gs_free(s->start);
    gs_free(s->id);
    *s = (gs_samples){0};
}
