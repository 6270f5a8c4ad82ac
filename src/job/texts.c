/* Calibration and outlier texts: which ones, and their token ids. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "job/job.h"
#include "recipe/compat.h"

/* An empty list: fine where only weights are quantized. */
static gs_status check_data_free(gs_job *job, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    const char *source = r->calib_file ? r->calib_file : "calibration";
    const bool looks = job->resolved.type == GS_Q_W4A4_FLATQUANT_DYNAMIC; /* the transform follows from inputs */
    if (job->resolved.type == GS_Q_FLOAT || looks || gs_scheme_get(job->resolved.type)->static_input)
        return gs_fail(err, GS_ERR_USAGE,
                       "%s holds no samples: QuantType.%s does not support Data-Free, please check your "
                       "QuantConfig. It needs calibration texts",
                       source, gs_quant_type_name(job->resolved.type));
    if (job->resolved.comm)
        return gs_fail(
            err, GS_ERR_USAGE,
            "%s holds no samples, but use_reduce_quant looks at what cards send; give it calibration texts or "
            "leave it out",
            source);
    const char *needs = r->use_kvcache_quant ? "use_kvcache_quant" : job->resolved.do_smooth ? "do_smooth" : NULL;
    if (r->use_fa_quant)
        return gs_fail(err, GS_ERR_USAGE,
                       "%s holds no samples, but use_fa_quant looks at activations; give it calibration texts or "
                       "leave it out",
                       source);
    if (needs && !gs_compat(r, GS_COMPAT_C8_KEYS_ALONE))
        return gs_fail(err, GS_ERR_USAGE,
                       "%s holds no samples, but %s looks at activations; give it calibration texts or leave it "
                       "out",
                       source, needs);
    job->data_free = true;
    if (job->resolved.disable_level > 0)
        gs_job_message(job, GS_INFO, "disable_level: L0, since nothing can be ranked without calibration texts");
    job->resolved.disable_level = 0;
    job->level_pending = false;
    return GS_OK;
}

static gs_status read_calibration(gs_job *job, gs_texts *texts, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    const gs_text_keys keys = gs_compat(r, GS_COMPAT_ONLY_PROMPT_KEY) ? GS_KEYS_PROMPT_ONLY : GS_KEYS_ALL;
    if (r->calib_file) GS_TRY(gs_texts_read(texts, r->calib_file, keys, err));
    gs_job_note_input(job, "calib_file", texts);
    const int64_t from_file = texts->count;
    if (r->calib_texts) GS_TRY(gs_texts_append(texts, r->calib_texts, err));
    if (r->calib_texts)
        gs_job_message(job, GS_INFO, "calibration: %lld samples from %s, %lld from --calib_texts", (long long)from_file,
                       r->calib_file ? r->calib_file : "no file", (long long)(texts->count - from_file));
    if (!r->calib_file && !r->calib_texts) {
        GS_TRY(gs_texts_builtin(texts, false, err));
    }
    return texts->count == 0 ? check_data_free(job, err) : GS_OK;
}

/* --anti_file is checked whenever it is given: a typo should not wait for the day a method is added. */
static gs_status read_anti(gs_job *job, const gs_tokenizer *tokenizer, gs_error *err)
{
    const gs_recipe *r = job->recipe;
    if (!r->anti_file && !job->smoother) return GS_OK;
    const gs_text_keys keys = gs_compat(r, GS_COMPAT_ONLY_PROMPT_KEY) ? GS_KEYS_PROMPT_ONLY : GS_KEYS_ALL;
    gs_texts texts = {0};
    gs_status status =
        r->anti_file ? gs_texts_read(&texts, r->anti_file, keys, err) : gs_texts_builtin(&texts, true, err);
    if (status == GS_OK) status = gs_samples_encode(&job->anti, tokenizer, &texts, job->config.vocab, err);
    if (status == GS_OK && job->smoother && texts.count == 0)
        status = gs_fail(err, GS_ERR_USAGE,
                         "%s holds no samples: calib_data must not be empty. --anti_method %s needs texts to see "
                         "outliers in",
                         r->anti_file, r->anti_method);
    if (status == GS_OK && job->smoother) gs_job_note_input(job, "anti_file", &texts);
    if (status == GS_OK && !r->anti_file)
        gs_job_message(job, GS_INFO,
                       "no --anti_file: outliers are looked for in the built-in bilingual set (%lld samples)",
                       (long long)texts.count);
    gs_texts_release(&texts);
    if (status != GS_OK) return gs_wrap(err, "--anti_file");
    if (!job->smoother) gs_samples_release(&job->anti);
    return GS_OK;
}

static bool same_ids(const gs_samples *a, const gs_samples *b)
{
    return a->count == b->count && a->tokens == b->tokens &&
           memcmp(a->start, b->start, (size_t)(a->count + 1) * sizeof *a->start) == 0 &&
           memcmp(a->id, b->id, (size_t)a->tokens * sizeof *a->id) == 0;
}

static void set_scored_view(gs_job *job)
{
    job->scored = job->samples;
    if (job->scored.count > GS_SCORE_SAMPLES) job->scored.count = GS_SCORE_SAMPLES;
    job->scored.tokens = job->samples.start[job->scored.count];
}

static const char *const tokenizer_file[GS_TOKENIZER_FILES] = {"tokenizer.model", "tokenizer_config.json"};

static gs_stamp stamp_in(const char *dir, const char *name)
{
    char *path = gs_path_join(dir, name);
    const gs_stamp stamp = gs_path_stamp(path);
    gs_free(path);
    return stamp;
}

/* They are read twice, for the ids and for the copies; the same stamp before and after says that both were the same. */
gs_status gs_job_check_tokenizer(gs_job *job, gs_error *err)
{
    for (int i = 0; i < GS_TOKENIZER_FILES; i++) {
        const gs_stamp now = stamp_in(job->recipe->model_path, tokenizer_file[i]);
        if (gs_stamp_equal(&now, &job->tokenizer[i])) continue;
        job->resume.passing = true; /* the next run compares token ids */
        return gs_fail(err, GS_ERR_FILE,
                       "%s: %s was changed during the run: the result would hold another than its token ids were made "
                       "with. Run again when nothing changes there any more",
                       job->recipe->model_path, tokenizer_file[i]);
    }
    return GS_OK;
}

/* Only where somebody looks at the texts. */
static void warn_builtin(const gs_job *job)
{
    if (job->recipe->calib_file || job->recipe->calib_texts || !gs_job_uses_texts(job)) return;
    gs_job_message(job, GS_WARNING,
                   "no --calib_file: calibrating with the built-in bilingual set (%lld samples). Texts of your own "
                   "domain give better ranges",
                   (long long)job->samples.count);
}

gs_status gs_job_read_texts(gs_job *job, gs_error *err)
{
    char *pad = NULL;
    gs_tokenizer *tokenizer = NULL;
    gs_texts texts = {0};
    for (int i = 0; i < GS_TOKENIZER_FILES; i++)
        job->tokenizer[i] = stamp_in(job->recipe->model_path, tokenizer_file[i]);
    gs_status status = gs_recipe_pad_token(job->recipe, &pad, err);
    if (status == GS_OK) status = gs_tokenizer_open(&tokenizer, job->recipe->model_path, pad, err);
    if (status == GS_OK) status = read_anti(job, tokenizer, err);
    if (status == GS_OK) status = read_calibration(job, &texts, err);
    if (status == GS_OK) status = gs_samples_encode(&job->samples, tokenizer, &texts, job->config.vocab, err);
    if (status == GS_OK) {
        job->calib_source = gs_strdup(texts.source ? texts.source : "--calib_texts");
        set_scored_view(job);
        gs_job_set_streams(job);
        warn_builtin(job);
        /* Under compat the reference's passes are kept apart; after the ranking walk the outlier stream does not run again. */
        job->kv_from_anti = job->smoother && job->recipe->use_kvcache_quant && !job->recipe->reference_compat &&
                            job->resolved.disable_level == 0 && same_ids(&job->anti, &job->samples);
        if (job->samples.longest > job->config.max_positions)
            gs_job_message(job, GS_WARNING,
                           "the longest calibration sample has %lld tokens, more than the model's %lld positions",
                           (long long)job->samples.longest, (long long)job->config.max_positions);
    }
    gs_texts_release(&texts);
    gs_tokenizer_close(tokenizer);
    gs_free(pad);
    return status;
}
