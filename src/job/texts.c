/* Calibration and outlier texts: which ones, and their token ids. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "io/json.h"
#include "job/job.h"
#include "recipe/compat.h"

#define DEFAULT_PAD "<unk>" /* the script's default --tokenizer_args adds this pad token */

/* The pad token that tokenizer_args asks for; its legality was checked with the recipe. *pad is gs_free()d by the caller. */
static gs_status pad_token(const gs_recipe *r, char **pad, gs_error *err)
{
    *pad = NULL;
    if (!r->tokenizer_args) {
        *pad = gs_strdup(DEFAULT_PAD);
        return GS_OK;
    }
    json_t *args = gs_json_parse(r->tokenizer_args, strlen(r->tokenizer_args), "--tokenizer_args", 8, err);
    if (!args) {
        if (!gs_compat(r, GS_COMPAT_TOKENIZER_ARGS)) return GS_ERR_USAGE;
        *pad = gs_strdup(DEFAULT_PAD);
        return GS_OK;
    }
    const json_t *token = json_object_get(args, "pad_token");
    if (json_is_string(token)) *pad = gs_strdup(json_string_value(token));
    json_decref(args);
    return GS_OK;
}

static gs_status read_calibration(gs_job *job, gs_texts *texts, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    const gs_text_keys keys = gs_compat(r, GS_COMPAT_ONLY_PROMPT_KEY) ? GS_KEYS_PROMPT_ONLY : GS_KEYS_ALL;
    if (r->calib_file) GS_TRY(gs_texts_read(texts, r->calib_file, keys, err));
    const int64_t from_file = texts->count;
    if (r->calib_texts) GS_TRY(gs_texts_append(texts, r->calib_texts, err));
    if (r->calib_texts)
        gs_job_message(job, GS_INFO, "calibration: %lld samples from %s, %lld from --calib_texts", (long long)from_file,
                       r->calib_file ? r->calib_file : "no file", (long long)(texts->count - from_file));
    if (!r->calib_file && !r->calib_texts) {
        GS_TRY(gs_texts_builtin(texts, false, err));
        gs_job_message(job, GS_WARNING, "no --calib_file: calibrating with the built-in bilingual set (%lld samples). Texts of your own "
                       "domain give better ranges", (long long)texts->count);
    }
    if (texts->count == 0)
        return gs_fail(err, GS_ERR_USAGE, "%s holds no samples: QuantType.%s does not support Data-Free, please check your "
                       "QuantConfig. Static activation ranges need calibration texts", r->calib_file ? r->calib_file : "calibration",
                       gs_quant_type_name(job->resolved.type));
    return GS_OK;
}

/* --anti_file is checked whenever it is given: a typo should not wait for the day a method is added. */
static gs_status check_anti(gs_job *job, const gs_tokenizer *tokenizer, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    if (!r->anti_file) return GS_OK;
    const gs_text_keys keys = gs_compat(r, GS_COMPAT_ONLY_PROMPT_KEY) ? GS_KEYS_PROMPT_ONLY : GS_KEYS_ALL;
    gs_texts texts = {0};
    gs_samples samples = {0};
    gs_status status = gs_texts_read(&texts, r->anti_file, keys, err);
    if (status == GS_OK) status = gs_samples_encode(&samples, tokenizer, &texts, job->config.vocab, err);
    gs_samples_release(&samples);
    gs_texts_release(&texts);
    return status == GS_OK ? GS_OK : gs_wrap(err, "--anti_file");
}

static void set_scored_view(gs_job *job)
{
    job->scored = job->samples;
    if (job->scored.count > GS_SCORE_SAMPLES) job->scored.count = GS_SCORE_SAMPLES;
    job->scored.tokens = job->samples.start[job->scored.count];
}

gs_status gs_job_read_texts(gs_job *job, gs_error *err)
{
    char *pad = NULL;
    gs_tokenizer *tokenizer = NULL;
    gs_texts texts = {0};
    gs_status status = pad_token(job->recipe, &pad, err);
    if (status == GS_OK) status = gs_tokenizer_open(&tokenizer, job->recipe->model_path, pad, err);
    if (status == GS_OK) status = check_anti(job, tokenizer, err);
    if (status == GS_OK) status = read_calibration(job, &texts, err);
    if (status == GS_OK) status = gs_samples_encode(&job->samples, tokenizer, &texts, job->config.vocab, err);
    if (status == GS_OK) {
        job->calib_source = gs_strdup(texts.source ? texts.source : "--calib_texts");
        set_scored_view(job);
        if (job->samples.longest > job->config.max_positions)
            gs_job_message(job, GS_WARNING, "the longest calibration sample has %lld tokens, more than the model's %lld positions",
                           (long long)job->samples.longest, (long long)job->config.max_positions);
    }
    gs_texts_release(&texts);
    gs_tokenizer_close(tokenizer);
    gs_free(pad);
    return status;
}
