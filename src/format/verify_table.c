/* The checks, in the order they are made, each with what would happen if a result with its fault were shipped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/verify_checks.h"
#include "io/sha256.h"

#define OPEN     GS_NEED_OPEN
#define CODES    (GS_NEED_OPEN | GS_NEED_FULL)
#define MODEL    (GS_NEED_OPEN | GS_NEED_MODEL)
#define WEIGHTS  (GS_NEED_OPEN | GS_NEED_MODEL | GS_NEED_FULL)
#define ENGINE   (GS_NEED_OPEN | GS_NEED_TARGET)
#define MINDIE   (GS_NEED_OPEN | GS_NEED_MINDIE)
#define VLLM     (GS_NEED_OPEN | GS_NEED_VLLM)
#define WHOLE(f) .directory = gs_check_##f
#define EACH(f)  .values = gs_check_##f
#define ROWS(f)  .rows = gs_check_##f

const gs_verify_check gs_verify_checks[] = {
    /* files */
    {"stray-weights", "the directory holds no weights but the result's",
     "Engines open every safetensors file they find: MindIE stops at a tensor it meets twice, vllm-ascend loads "
     "whichever comes last.",
     GS_NEED_FILES, WHOLE(strays)},
    {"json", "every JSON file can be read, and names no key twice",
     "The engine stops, or the tokenizer or the configuration is not what it should be.", GS_NEED_FULL, WHOLE(json)},
    {"tokenizer", "the tokenizer's files are there", "The engine cannot turn text into tokens and does not start.",
     GS_NEED_FULL, WHOLE(tokenizer)},
    {"checksums", "files are those of " GS_CHECKSUMS_FILE ", where there is one",
     "A file was damaged on its way, or changed by hand, or belongs to another result: every figure measured on the "
     "original is void.",
     GS_NEED_FULL, WHOLE(checksums)},
    {"open", "description, config.json and the headers of the weights can be read and agree",
     "The engine does not load the directory.", GS_NEED_FILES, WHOLE(open)},
    {"shards", "every weights file belongs to the result, and there is one description",
     "Engines open every safetensors file they find, also those of an earlier result: tensors twice, or of two "
     "results.",
     OPEN, WHOLE(shards)},
    {"index-size", "the index says how many bytes the tensors have",
     "Loaders that trust total_size reserve the wrong amount of memory; a wrong figure also shows that the index is "
     "of other files.",
     OPEN, WHOLE(index_size)},
    {"description-name", "name of the description, quantize in config.json and model_quant_type agree",
     "MindIE looks for the description by that name and type and does not find it, or takes the weights for another "
     "type.",
     OPEN, WHOLE(description_name)},
    /* tensors: these three find what all others look at */
    {"linears", "every linear has a type and the tensors of that type, in the right shapes and element types",
     "The engine stops at the missing or misshapen tensor; some copy a wrong element type number by number and "
     "compute nonsense.",
     OPEN, WHOLE(linears)},
    {"norms", "embedding and norms are there, in the right shapes and element types",
     "The engine stops at the missing or misshapen tensor.", OPEN, WHOLE(norms)},
    {"attention", "scales of the key/value cache and of attention are there in full, or not at all",
     "The engine stops, or runs some layers with scales that were never loaded.", OPEN, WHOLE(attention)},
    {"unknown-tensors", "every tensor belongs to something",
     "vllm-ascend stops at a tensor it has no parameter for; MindIE ignores it, so something else is missing.", OPEN,
     WHOLE(unknown)},
    {"qkv-bias", "query_key_value has its bias, if the model says so",
     "MindIE stops at the missing tensor; vllm-ascend keeps whatever the parameter held.", OPEN, WHOLE(qkv_bias)},
    {"deq-encoding", "deq_scale is in the encoding that torch_dtype asks for",
     "No engine notices: one copies the numbers as they are, the other hands them to an operator that expects the "
     "other encoding, and every output is nonsense.",
     OPEN, WHOLE(deq_encoding)},
    /* description */
    {"version", "the description's version is a version", "The engine refuses the description.", OPEN, WHOLE(version)},
    {"description-words", "every tensor is described by a type that exists",
     "The engine stops at the first layer of that type, or takes the layer for floating point.", OPEN,
     WHOLE(description_words)},
    {"description-names", "description and weights name the same tensors",
     "Engines look types up by name: a tensor without an entry stops the loading, an entry without a tensor is a "
     "layer that stays empty.",
     OPEN, WHOLE(description_names)},
    {"tensor-types", "all tensors of a layer are described as the layer's type",
     "The engine takes the layer for what its weight says and does not look for the other tensors, or the reverse.",
     OPEN, WHOLE(tensor_types)},
    {"model-type", "the layers' types go with model_quant_type",
     "MindIE prepares the whole model for model_quant_type and stops at a layer of another type.", OPEN,
     WHOLE(model_type)},
    {"kv-keys", "kv_cache_type and kv_quant_type say what the tensors say",
     "One engine reads one key, one the other: the cache stays in floating point without a word, or the engine asks "
     "for tensors that are not there.",
     OPEN, WHOLE(kv_keys)},
    {"fa-keys", "fa_quant_type says what the tensors say",
     "The engine switches quantized attention on without scales, or leaves it off.", OPEN, WHOLE(fa_keys)},
    {"group-size", "group_size is the width of the groups",
     "The engine reads scales by that width: a wrong one stops it, or applies scales to the wrong weights.", OPEN,
     WHOLE(group_size)},
    {"reduce-keys", "reduce_quant_type comes with the scales it promises",
     "MindIE asks for the scales on more than one card and stops.", OPEN, WHOLE(reduce_keys)},
    {"packing", "four bit codes are packed where the description's layout says so",
     "MindIE decides from the version whether codes are packed: it would pack them twice, or take two codes for one.",
     OPEN, WHOLE(packing)},
    /* numbers */
    {"finite", "no NaN and no infinity", "Every output behind that value is NaN.", OPEN, EACH(finite)},
    {"positive", "scales are above 0",
     "A scale of 0 silences its channel, a negative one turns its sign; quantizing with it divides by 0.", OPEN,
     EACH(positive)},
    {"weight-offset", "weight_offset is whole, and 0 where weights are symmetric",
     "Engines ignore the offset of symmetric types, so the weights they compute with are shifted.", OPEN,
     EACH(weight_offset)},
    {"input-offset", "input_offset is a whole number from -128 to 127",
     "The engine casts it to int8: a fraction is cut off, a larger number wraps around, and the layer's outputs are "
     "shifted.",
     OPEN, EACH(input_offset)},
    {"cache-offset", "offsets of the key/value cache are +0.0",
     "MindIE takes the bits of the number for the offset: anything but +0.0, even -0.0, becomes a huge offset and the "
     "cache is rubbish.",
     OPEN, EACH(cache_offset)},
    {"deq-pattern", "deq_scale in int64 holds bit patterns of float32",
     "The operator reads the lower 32 bits as the scale and gets something else.", OPEN, EACH(deq_pattern)},
    {"weights-finite", "no NaN and no infinity in weights that stayed in floating point",
     "Every output behind that weight is NaN.", CODES, ROWS(weights_finite)},
    {"codes", "four bit codes lie in -8 to 7",
     "Packing keeps the lower four bits: the weight becomes another one, often of the other sign.", CODES, ROWS(codes)},
    {"deq-product", "deq_scale is input_scale times weight_scale",
     "The layer's outputs are off by the ratio of the two.", OPEN, ROWS(deq_product)},
    {"quant-bias", "quant_bias is what bias, deq_scale, codes and input_offset give",
     "The layer's outputs are shifted by a constant per channel.", CODES, ROWS(quant_bias)},
    /* --model_path */
    {"model-sizes", "config.json describes a model of the checkpoint's sizes", "It is a result of another model.",
     MODEL, WHOLE(model_sizes)},
    {"model-norms", "norms are those of the checkpoint, unless the model was smoothed",
     "The model computes something else than the checkpoint.", MODEL, WHOLE(model_norms)},
    {"model-biases", "biases are those of the checkpoint, unless the model was smoothed",
     "The model computes something else than the checkpoint.", MODEL, WHOLE(model_biases)},
    {"model-weights", "codes times scales are the checkpoint's weights, as closely as the type can be",
     "The model computes something else than the checkpoint.", WEIGHTS, ROWS(model_weights)},
    /* --target */
    {"engine-dtype", "torch_dtype is float16 or bfloat16", "No engine computes in float32: it stops while starting.",
     ENGINE, WHOLE(engine_dtype)},
    {"engine-types", "the engine knows the types of the layers", "The engine stops.", ENGINE, WHOLE(engine_types)},
    {"engine-head", "the engine takes the output layer as it is", "The engine stops.", ENGINE, WHOLE(engine_head)},
    {"engine-groups", "the engine takes scales by group of that width", "The engine stops.", ENGINE,
     WHOLE(engine_groups)},
    {"engine-rows", "scales have a value for every row",
     "The engine stops at the shape, or cuts one value into shares.", ENGINE, WHOLE(engine_rows)},
    {"engine-names", "tensors have the names under which engines look for them",
     "The engine finds no weights for the layer and stops.", ENGINE, WHOLE(engine_names)},
    {"engine-cache", "scales of the key/value cache have the names under which this engine looks for them",
     "The engine does not find the scales and stops.", ENGINE, WHOLE(engine_cache)},
    {"engine-attention", "no quantized attention, which no engine has for this model", "The engine stops.", ENGINE,
     WHOLE(engine_attention)},
    {"engine-communication",
     "no tensors of simulated cards that the engine would stop at, and none for each card where it asks for one",
     "The engine stops.", ENGINE, WHOLE(engine_communication)},
    {"mindie-name", "_name_or_path contains glm-4",
     "MindIE does not know which model's code to run and stops, or runs that of an older model.", MINDIE,
     WHOLE(mindie_name)},
    {"mindie-qkv-bias", "query_key_value has a bias", "MindIE asks for it in every layer and stops.", MINDIE,
     WHOLE(mindie_qkv_bias)},
    {"mindie-norm-bias", "no norm bias that is not zero where MindIE does not read it",
     "MindIE drops the bias without a word, and the layer behind computes with shifted inputs.", MINDIE,
     WHOLE(mindie_norm_bias)},
    {"mindie-cards", "groups can be cut for 2, 4 and 8 cards",
     "On more cards MindIE pads and misaligns the scales, or reads packed codes along the wrong axis, without a word.",
     MINDIE, WHOLE(engine_cards)},
    {"mindie-sampling", "top_k fits the vocabulary",
     "MindIE takes 1000 for a missing top_k and refuses it with a smaller vocabulary.", MINDIE, WHOLE(mindie_sampling)},
    {"mindie-path", "the path of the directory has no special characters",
     "MindIE refuses the path until it is renamed.", MINDIE, WHOLE(mindie_path)},
    {"vllm-description", "vllm-ascend finds the description, and nothing it takes for one",
     "vllm-ascend does not find the types, or takes the quantization_config for them, and stops at the first layer.",
     VLLM, WHOLE(vllm_description)},
    {"vllm-module", "no second copies of norms", "vllm-ascend stops at tensors it has no parameter for.", VLLM,
     WHOLE(vllm_module)},
    {"vllm-bias", "no bias of dense_h_to_4h that is not zero where vllm-ascend does not read it",
     "vllm-ascend loads the norm's bias, which this one makes up for, and skips this one: the layer's outputs are "
     "shifted.",
     VLLM, WHOLE(vllm_bias)},
    {"vllm-offset", "8 bit weights with 16 bit activations are symmetric",
     "vllm-ascend adds the offset where it should subtract: every output is wrong, without a word.", VLLM,
     EACH(latent_offset)},
};

const int gs_verify_check_count = (int)(sizeof gs_verify_checks / sizeof gs_verify_checks[0]);

static const char *when(unsigned needs)
{
    if (needs & GS_NEED_MINDIE) return "--target mindie";
    if (needs & GS_NEED_VLLM) return "--target vllm-ascend";
    if (needs & GS_NEED_TARGET) return "--target";
    if (needs & GS_NEED_MODEL) return "--model_path";
    return "always";
}

void gs_verify_markdown(gs_str *out)
{
    gs_str_adds(out,
                "# Checks of `glmslim verify`\n\nPrinted by `glmslim docs verify` from the table in "
                "`src/format/verify_table.c`; do not edit.\n\n"
                "`glmslim verify DIR [--model_path FLOAT] [--target mindie|vllm-ascend]` makes these checks in this "
                "order. Exit code 0: nothing found, or\nwarnings only; 4: at least one fault. A run of `quant` makes "
                "the checks that need no weight to be read again (column \"in quant\")\non its own result, before the "
                "result gets its name, unless `--reference_compat` is given.\n\n"
                "| check | what is so in a good result | if it were not, and shipped | when | in quant |\n"
                "| --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < gs_verify_check_count; i++) {
        const gs_verify_check *c = &gs_verify_checks[i];
        const bool own = !(c->needs & (GS_NEED_FULL | GS_NEED_MODEL));
        gs_str_printf(out, "| `%s` | %s | %s | %s | %s |\n", c->id, c->title, c->effect, when(c->needs),
                      own ? "yes" : "no");
    }
}
