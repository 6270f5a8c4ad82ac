/* The functions of the checks. Private to the room. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_FORMAT_VERIFY_CHECKS_H
#define GS_FORMAT_VERIFY_CHECKS_H

#include "format/verify_parts.h"

/* verify_files.c */
GS_CHECK_DIRECTORY(strays);
GS_CHECK_DIRECTORY(json);
GS_CHECK_DIRECTORY(tokenizer);
GS_CHECK_DIRECTORY(open);
GS_CHECK_DIRECTORY(shards);
GS_CHECK_DIRECTORY(index_size);
GS_CHECK_DIRECTORY(description_name);
/* verify_checksums.c */
GS_CHECK_DIRECTORY(checksums);
/* verify_tensors.c; linears, norms and attention find what all later checks look at */
GS_CHECK_DIRECTORY(linears);
GS_CHECK_DIRECTORY(norms);
GS_CHECK_DIRECTORY(attention);
GS_CHECK_DIRECTORY(unknown);
GS_CHECK_DIRECTORY(qkv_bias);
GS_CHECK_DIRECTORY(deq_encoding);
/* verify_names.c */
GS_CHECK_DIRECTORY(version);
GS_CHECK_DIRECTORY(description_words);
GS_CHECK_DIRECTORY(description_names);
GS_CHECK_DIRECTORY(tensor_types);
GS_CHECK_DIRECTORY(model_type);
GS_CHECK_DIRECTORY(kv_keys);
GS_CHECK_DIRECTORY(fa_keys);
GS_CHECK_DIRECTORY(group_size);
GS_CHECK_DIRECTORY(reduce_keys);
GS_CHECK_DIRECTORY(packing);
/* verify_values.c */
GS_CHECK_VALUES(finite);
GS_CHECK_VALUES(positive);
GS_CHECK_VALUES(weight_offset);
GS_CHECK_VALUES(input_offset);
GS_CHECK_VALUES(cache_offset);
GS_CHECK_VALUES(deq_pattern);
GS_CHECK_VALUES(latent_offset);
/* verify_derived.c */
GS_CHECK_ROWS(weights_finite);
GS_CHECK_ROWS(codes);
GS_CHECK_ROWS(deq_product);
GS_CHECK_ROWS(quant_bias);
/* verify_model.c, verify_fit.c */
GS_CHECK_DIRECTORY(model_sizes);
GS_CHECK_DIRECTORY(model_norms);
GS_CHECK_DIRECTORY(model_biases);
GS_CHECK_ROWS(model_weights);
/* verify_engine.c */
GS_CHECK_DIRECTORY(engine_dtype);
GS_CHECK_DIRECTORY(engine_types);
GS_CHECK_DIRECTORY(engine_head);
GS_CHECK_DIRECTORY(engine_groups);
GS_CHECK_DIRECTORY(engine_rows);
GS_CHECK_DIRECTORY(engine_cards);
GS_CHECK_DIRECTORY(engine_names);
GS_CHECK_DIRECTORY(engine_cache);
GS_CHECK_DIRECTORY(engine_attention);
GS_CHECK_DIRECTORY(engine_communication);
GS_CHECK_DIRECTORY(mindie_name);
GS_CHECK_DIRECTORY(mindie_qkv_bias);
GS_CHECK_DIRECTORY(mindie_norm_bias);
GS_CHECK_DIRECTORY(mindie_sampling);
GS_CHECK_DIRECTORY(mindie_path);
GS_CHECK_DIRECTORY(vllm_description);
GS_CHECK_DIRECTORY(vllm_module);
GS_CHECK_DIRECTORY(vllm_bias);

#endif
