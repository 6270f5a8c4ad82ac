/* Greedy continuation from a float checkpoint with a KV cache: so that a person sees that the model talks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_GENERATE_H
#define GS_MODEL_GENERATE_H

#include "model/forward.h"

typedef struct gs_generator gs_generator;
/* Keeps as many blocks in memory as memory_limit allows (0 = three quarters of what is free) and reads the others for
 * each token. */
gs_status gs_generator_open(gs_generator **out, gs_compute *c, const char *model_dir, uint64_t memory_limit,
                            gs_error *err) GS_CHECKED;
const gs_config *gs_generator_config(const gs_generator *g);
/* Feed prompt ids, then produce up to max_new ids, no further than the model's positions go (seq_length). `each` is
 * called per new id and returns false to stop. Stops at an eos id of config.json, which is not passed on. Every run
 * starts anew. */
gs_status gs_generator_run(gs_generator *g, const int32_t *prompt, int64_t n, int64_t max_new,
                           bool (*each)(void *ctx, int32_t id), void *ctx, gs_error *err) GS_CHECKED;
/* Logits of the last position of ids[0..n), [vocab]: for tests. */
gs_status gs_generator_logits(gs_generator *g, const int32_t *ids, int64_t n, float *logits, gs_error *err) GS_CHECKED;
void gs_generator_close(gs_generator *g);

#endif
