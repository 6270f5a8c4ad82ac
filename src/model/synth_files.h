/* The small files of a synthetic checkpoint. Private to model/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_SYNTH_FILES_H
#define GS_MODEL_SYNTH_FILES_H

#include "base/mem.h"
#include "base/str.h"
#include "model/synth.h"

#define GS_SYNTH_SPECIALS 14
#define GS_SYNTH_PADDING  2 /* rows of the embedding behind the last special, one of them for an added "<unk>" */

/* How many entries tokenizer.model gets for this vocabulary. */
int64_t gs_synth_ranks(int64_t vocab);
void gs_synth_config_json(const gs_synth_spec *s, gs_str *out);
void gs_synth_generation_json(const gs_synth_spec *s, gs_str *out);
void gs_synth_tokenizer_model(int64_t ranks, gs_str *out);
void gs_synth_tokenizer_json(int64_t ranks, gs_str *out);

#endif
