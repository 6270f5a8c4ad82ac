/* The one option table: the 36 parameters of quant_glm.py in the order of its help, then ours. Parsing, defaults, ranges in the
 * help, docs/options.md and the man page are all read from here; nothing else repeats a name or a default.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipe/options.h"

#include <string.h>

#include "recipe/value.h"

#define FIELD(member) offsetof(gs_recipe, member)

static const char *const devices[] = {"cpu", "npu", NULL};
static const char *const act_methods[] = {"1", "2", "3", NULL};
static const char *const save_dtypes[] = {"checkpoint", "float32", NULL};
static const char *const compute_choices[] = {"f32", "bf16", NULL};
static const char *const targets[] = {"mindie", "vllm-ascend", NULL};

const gs_option gs_options[] = {
    {"model_path", GS_OPT_STRING, FIELD(model_path), NULL, NULL, "directory of the float checkpoint",
     "Required. A GLM-4 checkpoint in the ChatGLM layout: config.json, tokenizer.model, model.safetensors or shards "
     "with their "
     "index. It is only read.",
     false},
    {"save_directory", GS_OPT_STRING, FIELD(save_directory), NULL, NULL, "directory to write",
     "Required. It appears complete or not at all; it must be absent or empty unless --overwrite is given, and may not "
     "lie "
     "inside the model directory. Any characters are allowed; the MindIE loader refuses paths with characters "
     "outside " GS_MINDIE_PATH ".",
     false},
    {"part_file_size", GS_OPT_INT64, FIELD(part_file_size), NULL, NULL, "size limit of a weight file in GiB",
     "Whole number from 1. Without it there is one weight file; with it there are shards and an index.", false},
    {"calib_texts", GS_OPT_STRINGS, FIELD(calib_texts), NULL, NULL, "calibration texts on the command line",
     "Each word of the list is one sample. Used alone without --calib_file, after the file with it. The script parses "
     "this list and drops it.",
     false},
    {"calib_file", GS_OPT_STRING, FIELD(calib_file), NULL, NULL,
     "calibration texts: JSON array, JSON lines or plain text",
     "The kind is found from the content, not from the name. Without --calib_file and --calib_texts a built-in "
     "bilingual set is "
     "used (the script's own default cannot be read by the script). An empty array `[]` means data-free.",
     false},
    {"anti_file", GS_OPT_STRING, FIELD(anti_file), NULL, NULL, "texts for the outlier statistics of anti_method",
     "Same kinds as calib_file, with a built-in default. When given it is checked even if no anti_method uses it.",
     false},
    {"w_bit", GS_OPT_INT, FIELD(w_bit), "8", NULL, "bits of a weight: 4, 8 or 16",
     "Together with a_bit this names the scheme: w8a8, w8a16, w4a16, w4a8, w4a4, w16a16.", false},
    {"a_bit", GS_OPT_INT, FIELD(a_bit), "8", NULL, "bits of an activation: 4, 8 or 16",
     "16 leaves activations in floating point.", false},
    {"disable_names", GS_OPT_STRINGS, FIELD(disable_names), NULL, NULL, "linears that stay in floating point",
     "Full names, as `transformer.encoder.layers.0.mlp.dense_4h_to_h`. A list replaces the default, which is every "
     "dense_4h_to_h when a_bit is 8, or when it is 4 without --w4a4_all, and nothing otherwise.",
     false},
    {"device_type", GS_OPT_STRING, FIELD(device_type), "cpu", devices, "device of the original run",
     "Everything is computed on the CPU. `npu` is accepted with a warning, because the files written do not depend on "
     "it; "
     "with --strict_device it is an error.",
     false},
    {"fraction", GS_OPT_DOUBLE, FIELD(fraction), "0.01", NULL,
     "share of weights kept as outliers by sparse and low-bit schemes",
     "0.01 to 0.1, checked even where it has no effect.", false},
    {"act_method", GS_OPT_INT, FIELD(act_method), "1", act_methods,
     "range of activations: 1 min-max, 2 histogram, 3 automatic",
     "1: mean over the samples of each sample's minimum and maximum. 2: histogram with a search for the range of least "
     "error. "
     "3: per linear, histogram up to a score of 50 and min-max above. 3 cannot be used with is_lowbit.",
     false},
    {"co_sparse", GS_OPT_BOOL, FIELD(co_sparse), "False", NULL, "sparse quantization W8A8S",
     "Sets w_bit to 4 and a_bit to 8. Ignored with is_lowbit.", false},
    {"anti_method", GS_OPT_STRING, FIELD(anti_method), "", NULL, "outlier suppression: m1, m2, m3, m4, m5 or m6",
     "Empty: none. m3 needs w_bit 4 or 8 and a_bit 8 or 16.", false},
    {"disable_level", GS_OPT_STRING, FIELD(disable_level), "L0", NULL,
     "L<n>: n linears fall back to floating point by score",
     "n counts linears, not blocks, ranked by the range of their input over its standard deviation on the first five "
     "samples. "
     "More than there are means all.",
     false},
    {"do_smooth", GS_OPT_BOOL, FIELD(do_smooth), "False", NULL, "smooth activations into the norms during calibration",
     "Per linear after a norm; searched on the first sample.", false},
    {"use_sigma", GS_OPT_BOOL, FIELD(use_sigma), "False", NULL, "low-bit outliers by sigma rule instead of by fraction",
     "Only with is_lowbit.", false},
    {"sigma_factor", GS_OPT_DOUBLE, FIELD(sigma_factor), "3.0", NULL, "threshold of the sigma rule",
     "1 to 4, checked with use_sigma. With --reference_compat 3 to 4, always checked.", false},
    {"use_reduce_quant", GS_OPT_BOOL, FIELD(use_reduce_quant), "False", NULL, "scales for quantized all-reduce",
     "Calibrates with int8 communication between tp_size cards behind dense and dense_4h_to_h, and writes its scales, "
     "reduce_scale and gather_scale. The script writes a key in config.json and no scales.",
     false},
    {"tp_size", GS_OPT_INT, FIELD(tp_size), "1", NULL, "cards to simulate: 1, 2, 4, 8 or 16",
     "More than 1 quantizes dense and dense_4h_to_h card by card, and writes each card's tensors under tp_list beside "
     "the "
     "ones engines load. The script parses this and drops it.",
     false},
    {"is_lowbit", GS_OPT_BOOL, FIELD(is_lowbit), "False", NULL, "low-bit weight quantizer",
     "Per-group weights with open_outlier False, outliers split off with open_outlier True.", false},
    {"mm_tensor", GS_OPT_BOOL, FIELD(mm_tensor), "False", NULL, "one scale for the whole weight instead of one per row",
     "The script documents True as its default and works as if it were False; so does this program unless True is "
     "written.",
     false},
    {"w_sym", GS_OPT_BOOL, FIELD(w_sym), "True", NULL, "symmetric weights", "Must be True when a_bit is 8.", false},
    {"use_kvcache_quant", GS_OPT_BOOL, FIELD(use_kvcache_quant), "False", NULL,
     "int8 scales for the key/value cache (C8)",
     "Ranges per channel over all samples on the float model. Not together with use_fa_quant.", false},
    {"use_fa_quant", GS_OPT_BOOL, FIELD(use_fa_quant), "False", NULL, "scales for quantized attention (FA3)",
     "The script fails with it on GLM-4.", false},
    {"fa_amp", GS_OPT_INT, FIELD(fa_amp), "0", NULL, "layers that fall back from quantized attention",
     "From 0; only with use_fa_quant.", false},
    {"open_outlier", GS_OPT_BOOL, FIELD(open_outlier), "True", NULL,
     "low-bit: split outliers off instead of using groups", "Only with is_lowbit.", false},
    {"group_size", GS_OPT_INT, FIELD(group_size), "64", NULL,
     "weights per scale in per-group schemes: 32, 64, 128 or 256",
     "Per-group means is_lowbit True, open_outlier False and a_bit 16 or w4a8; without effect and unchecked otherwise. "
     "It must "
     "divide the input width of every quantized linear.",
     false},
    {"is_dynamic", GS_OPT_BOOL, FIELD(is_dynamic), "False", NULL, "activation scales per token at run time",
     "Nothing about activations is saved. Needs w_bit 4 or 8 and a_bit 4 or 8.", false},
    {"input_ids_name", GS_OPT_STRING, FIELD(input_ids_name), "input_ids", NULL,
     "name of the token ids in the tokenizer's result", "1 to 256 characters. No effect: the tokenizer is built in.",
     false},
    {"attention_mask_name", GS_OPT_STRING, FIELD(attention_mask_name), "attention_mask", NULL,
     "name of the mask in the tokenizer's result", "1 to 256 characters. No effect: samples are not padded.", false},
    {"tokenizer_args", GS_OPT_STRING, FIELD(tokenizer_args), NULL, NULL, "JSON object of arguments for the tokenizer",
     "2 to 4096 characters. padding_side and pad_token are known; the default is {\"padding_side\": \"left\", "
     "\"pad_token\": "
     "\"<unk>\"}. Other keys have no effect and are reported.",
     false},
    {"disable_last_linear", GS_OPT_BOOL, FIELD(disable_last_linear), "True", NULL,
     "the output layer stays in floating point", "MindIE loads only a floating-point output layer.", false},
    {"model_name", GS_OPT_STRING, FIELD(model_name), NULL, NULL, "name of the model",
     "Recorded in the report; no effect.", false},
    {"trust_remote_code", GS_OPT_BOOL, FIELD(trust_remote_code), "False", NULL, "allow code of the checkpoint to run",
     "Accepted; no code of a checkpoint is ever executed.", false},
    {"mindie_format", GS_OPT_FLAG, FIELD(mindie_format), NULL, NULL, "write the layout of older MindIE versions",
     "A flag without a value.", false},

    {"save_dtype", GS_OPT_STRING, FIELD(save_dtype), "checkpoint", save_dtypes,
     "types of floating-point tensors in the output",
     "`checkpoint`: what engines want and a run on an NPU writes: float tensors as the checkpoint stores them, "
     "deq_scale F32 under "
     "bfloat16 and I64 under float16. `float32`: what the script writes on a CPU.",
     true},
    {"target", GS_OPT_STRING, FIELD(target), NULL, targets, "engine that is to load the result: mindie or vllm-ascend",
     "What that engine cannot load is refused before any work, with what it can. Otherwise the layout stays the "
     "reference's, with what the engine wants otherwise: vllm-ascend finds the key/value scales under "
     "self_attention.k_proj and v_proj, MindIE finds glm-4 in _name_or_path; deq_scale and scales fit torch_dtype. Not "
     "together with --reference_compat.",
     true},
    {"reduce_per_device", GS_OPT_BOOL, FIELD(reduce_per_device), "False", NULL,
     "use_reduce_quant: a reduce_scale for each card",
     "Tensors reduce_scale.0, reduce_scale.1, … instead of one reduce_scale for all cards. The one is what MindIE "
     "reads; with one for each card it stops.",
     true},
    {"reference_compat", GS_OPT_FLAG, FIELD(reference_compat), NULL, NULL, "reproduce the reference's own mistakes",
     "Switches every row of docs/differences.md back to what the script does. Implies --no_extras.", true},
    {"strict_device", GS_OPT_FLAG, FIELD(strict_device), NULL, NULL,
     "device_type npu without an Ascend runtime is an error", "", true},
    {"overwrite", GS_OPT_FLAG, FIELD(overwrite), NULL, NULL, "replace an existing save_directory",
     "The new directory is finished first, then exchanged by rename; the old one is deleted after that.", true},
    {"dry_run", GS_OPT_FLAG, FIELD(dry_run), NULL, NULL, "print the plan, write nothing",
     "Tensors by type, bytes, files, peak memory and estimated time.", true},
    {"no_extras", GS_OPT_FLAG, FIELD(no_extras), NULL, NULL, "write only the files the reference writes",
     "Leaves out glmslim_report.json and glmslim_manifest.sha256 (docs/report.md).", true},
    {"w4a4_all", GS_OPT_BOOL, FIELD(w4a4_all), "False", NULL, "W4A4: quantize dense and dense_4h_to_h to W4A4 too",
     "Without it dense is W8A8_DYNAMIC and dense_4h_to_h stays in floating point. Engines load W4A4 of these two on "
     "one "
     "card only. Only with w_bit 4 and a_bit 4.",
     true},
    {"compute", GS_OPT_STRING, FIELD(compute), "f32", compute_choices,
     "arithmetic of float linears in the calibration passes",
     "bf16 rounds their inputs to bfloat16 and sums in float32: faster where the processor has the instruction, a "
     "relative error of about 2e-3 per product, the same bytes on every processor. For checkpoints in bfloat16; not "
     "with "
     "--reference_compat.",
     true},
    {"threads", GS_OPT_INT, FIELD(threads), "0", NULL, "threads; 0 = all this process may use",
     "The result does not depend on it.", true},
    {"max_memory", GS_OPT_STRING, FIELD(max_memory), NULL, NULL, "limit of the planned memory, such as 1G or 800M",
     "Beyond it hidden states go to a file beside the output, then only one block is in memory at a time; if that is "
     "not enough, the run is refused and the least limit named. K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of "
     "1024. The result does not depend on it.",
     true},
    {"restart", GS_OPT_FLAG, FIELD(restart), NULL, NULL, "do not go on from what an earlier run has finished",
     "What it has left in the work folder beside the output is removed.", true},
    {"checkpoint_interval", GS_OPT_DOUBLE, FIELD(checkpoint_interval), "10", NULL,
     "seconds of work that a stop may cost; 0 = none that is finished",
     "After about so many seconds, at the end of a block, the run is saved in the work folder beside the output, and "
     "the "
     "same command goes on from there (docs/resume.md). The result does not depend on it.",
     true},
};

const int gs_option_count = (int)(sizeof gs_options / sizeof gs_options[0]);

const gs_option gs_run_option_rows[] = {
    {"json", GS_OPT_STRING, offsetof(gs_run_options, json), NULL, NULL,
     "write the result to a file as JSON; - = standard output", "", true},
    {"report", GS_OPT_STRING, offsetof(gs_run_options, report), NULL, NULL,
     "write a page for a browser: charts per layer, sizes, times", "", true},
    {"secure", GS_OPT_FLAG, offsetof(gs_run_options, secure), NULL, NULL,
     "refuse inputs that others could exchange or change", "", true},
    {"quiet", GS_OPT_FLAG, offsetof(gs_run_options, quiet), NULL, NULL, "only warnings and errors", "", true},
};

const int gs_run_option_count = (int)(sizeof gs_run_option_rows / sizeof gs_run_option_rows[0]);

_Static_assert(sizeof gs_options / sizeof gs_options[0] <= 64, "gs_recipe.given has one bit per option");

const gs_option *gs_option_find(const char *name)
{
    for (int i = 0; i < gs_option_count; i++)
        if (strcmp(gs_options[i].name, name) == 0) return &gs_options[i];
    return NULL;
}

bool gs_option_is_local(const gs_option *o)
{
    static const char *const local[] = {"model_path",    "save_directory", "calib_file", "anti_file",
                                        "overwrite",     "dry_run",        "no_extras",  "threads",
                                        "strict_device", "max_memory",     "restart",    "checkpoint_interval"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (strcmp(o->name, local[i]) == 0) return true;
    return false;
}

bool gs_option_given(const gs_recipe *r, const char *name)
{
    const gs_option *o = gs_option_find(name);
    return o != NULL && (r->given >> (o - gs_options) & 1) != 0;
}

/* Defaults are the table's texts, read as the command line would read them. */
void gs_recipe_defaults(gs_recipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    for (int i = 0; i < gs_option_count; i++) {
        const gs_option *o = &gs_options[i];
        if (o->default_text == NULL) continue;
        const gs_status status = gs_option_set(recipe, o, o->default_text, NULL);
        (void)status; /* a test holds every default to its own parser */
    }
}
