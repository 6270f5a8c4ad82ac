#!/bin/bash
# verify: results of every kind pass, and each of these damages is found by the check that is meant for it, with what would happen
# if it were shipped. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

few=(--calib_texts "The kernel controls the hardware." "内核管理硬件和进程。" "A shell reads commands.")
L=transformer.encoder.layers
qkv=$L.0.self_attention.query_key_value
dense=$L.0.self_attention.dense
h4=$L.0.mlp.dense_h_to_4h
head=transformer.output_layer

# base NAME MODEL OPTION…: an undamaged result, which must pass.
base() {
    local name=$1 model=$2
    shift 2
    checks=$((checks + 1))
    "$quant" --quiet --model_path "$model" --save_directory "$scratch/$name" --no_extras "${few[@]}" "$@" >"$log" 2>&1 || fail "$name: $(cat "$log")"
    chmod -R u+w "$scratch/$name"
    check "$name is good" "$GLMSLIM" verify "$scratch/$name" --quiet --model_path "$model" >"$log" 2>&1
}
tiny model
model=$scratch/model
tiny half --torch_dtype float16
tiny deep --layers 3
base w8a8 "$model" --use_kvcache_quant True
base dynamic "$model" --is_dynamic True
base w8a16 "$model" --a_bit 16
base asym "$model" --a_bit 16 --w_sym False
base w4a16 "$model" --w_bit 4 --a_bit 16
base old4 "$model" --w_bit 4 --a_bit 16 --mindie_format
base group "$model" --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 32
base shards "$model" --part_file_size 1
base old "$model" --mindie_format --anti_method m1
base m2 "$model" --a_bit 16 --anti_method m2
base m6 "$model" --anti_method m6 --disable_names $head
base f16 "$scratch/half"
base head "$model" --disable_last_linear False
base fa "$model" --use_fa_quant True
base shift "$model" --do_smooth True --is_dynamic True
base cards "$model" --tp_size 2
base own "$model" --tp_size 2 --use_reduce_quant True --reduce_per_device True
base shared "$model" --tp_size 2 --use_reduce_quant True
base w4a4 "$model" --w_bit 4 --a_bit 4 --is_dynamic True
base vllm "$model" --use_kvcache_quant True --target vllm-ascend
base oldfa "$model" --mindie_format --use_fa_quant True --fa_amp 99
says "no layer left to quantize attention of" "$scratch/oldfa/config.json" '"fa_quant_type": null'
base oldgroup "$model" --mindie_format --is_lowbit True --open_outlier False --group_size 128
says "a group_size without effect" "$scratch/oldgroup/config.json" '"group_size": 128,'
base dynm1 "$model" --is_dynamic True --anti_method m1
# One scale for all rows leaves small ones without codes, and codes of sparse types are coarse: both are as they should be.
for method in "--anti_method m1" "--anti_method m4" "--do_smooth True"; do
    for scheme in "--a_bit 16" "--a_bit 16 --w_sym False" "--is_lowbit True" "--co_sparse True"; do
        # shellcheck disable=SC2086
        base "coarse" "$model" --w_bit 4 $scheme $method --mm_tensor True --disable_names $head --overwrite
    done
done
base sparse "$demo" --w_bit 4 --co_sparse True --is_dynamic True --anti_method m4 --disable_names $head

says "all checks by name" <("$GLMSLIM" verify "$scratch/w8a8" --all) "passed deq-product" "not made model-weights" "needs --model_path" \
    "not made vllm-offset" "needs --target"
"$GLMSLIM" verify "$scratch/w8a8" --json "$scratch/good.json" >"$log" || fail "good: $(cat "$log")"
equal "JSON, faults" "$(json_number "$scratch/good.json" faults)" 0
says "JSON, checks" "$scratch/good.json" '"quant-bias": "passed"' '"model-weights": "not made"'

# With its report and list of checksums.
"$quant" --quiet --model_path "$model" --save_directory "$scratch/listed" "${few[@]}" >"$log" 2>&1 || fail "listed: $(cat "$log")"
chmod -R u+w "$scratch/listed"
says "checksums of a good result" <("$GLMSLIM" verify "$scratch/listed" --all) "passed checksums" ": 0 faults, 0 warnings"
echo note >"$scratch/listed/NOTES.md"
says "a file that was added" <("$GLMSLIM" verify "$scratch/listed") "warning checksums: NOTES.md is not listed" ": 0 faults, 1 warning"
rm "$scratch/listed/NOTES.md"

damages=0
# damage NAME BASE CHECK TEXT OPTIONS COMMANDS: COMMANDS are run on a copy, $d, whose weights are $w and whose description is $q.
damage() {
    local name=$1 check=$3 text=$4 options=$5 d=$scratch/damaged w q got
    rm -rf "$d"
    cp -r "$scratch/$2" "$d"
    w=$(ls "$d"/quant_model_weight*.safetensors 2>/dev/null | head -1)
    q=$(ls "$d"/quant_model_description*.json | head -1)
    eval "$6" || fail "$name: cannot be damaged"
    # shellcheck disable=SC2086
    "$GLMSLIM" verify "$d" $options --json "$scratch/found.json" >"$log" 2>&1
    got=$?
    damages=$((damages + 1))
    equal "$name: exit code" $got 4
    says "$name" "$log" "FAULT $check: " "$text" "if shipped: "
    says "$name, JSON" "$scratch/found.json" "\"check\": \"$check\"" "\"$check\": \"fault\""
    check "$name: says what would happen" grep -qE "^ +if shipped: .{20}" "$log"
}
drop() { "$SURGEON" drop "$w" "$1" && sed -i "/\"${1//./\\.}\": /d" "$q"; }
poke() { "$SURGEON" poke "$w" "$1" "$2" "$3"; }
# nudge TENSOR ELEMENT NUMBER: added to the bits of a two byte element; 1 is the last place, 128 doubles a bfloat16.
nudge() {
    local bits
    bits=$(($("$SURGEON" bytes "$w" "$1" | tail -c +$((2 * $2 + 1)) | head -c 2 | od -An -tu2) + $3))
    poke "$1" "$2" "$(printf '%02x%02x' $((bits & 255)) $((bits >> 8)))"
}
target() { echo "--target $1"; }

# files
damage "float weights left over" w8a8 stray-weights "extra.safetensors is none of the result's files" "" 'cp "$model"/model-00001-of-*.safetensors "$d/extra.safetensors"; true'
damage "unfinished shard" shards stray-weights "was never finished" "" 'cp "$w" "$d/quant_model_weight_w8a8-00002-of-00000.safetensors"'
damage "the checkpoint's own file" w8a8 open "model.safetensors lies beside" "" 'cp "$w" "$d/model.safetensors"'
damage "cut JSON" w8a8 json "generation_config.json" "" 'truncate -s 20 "$d/generation_config.json"'
damage "a key twice" w8a8 json "tokenizer_config.json" "" 'sed -i "s/^{/{\"a\": 1, \"a\": 2,/" "$d/tokenizer_config.json"'
damage "no tokenizer" w8a8 tokenizer "neither tokenizer.model nor tokenizer.json" "" 'rm "$d/tokenizer.model"'
damage "empty tokenizer" w8a8 tokenizer "tokenizer.model is empty" "" ': >"$d/tokenizer.model"'
damage "a bit of a norm" listed checksums "quant_model_weight_w8a8.safetensors has the SHA-256" "" 'nudge $L.0.input_layernorm.weight 3 1'
damage "a tokenizer of another model" listed checksums "tokenizer.model has the SHA-256" "" 'printf x >>"$d/tokenizer.model"'
damage "a listed file is gone" listed checksums "generation_config.json is listed in glmslim_manifest.sha256 but is not" "" 'rm "$d/generation_config.json"'
damage "list cut" listed checksums "line 2 is not a SHA-256 and the name of a file" "" 'truncate -s 100 "$d/glmslim_manifest.sha256"'
damage "list with a path" listed checksums "line 1 is not a SHA-256 and the name of a file" "" 'sed -i "1s#  #  ../#" "$d/glmslim_manifest.sha256"'
damage "no description" w8a8 open "holds no quant_model_description" "" 'rm "$q"'
damage "description is no JSON" w8a8 open "quant_model_description.json" "" 'echo "{" >"$q"'
damage "no config.json" w8a8 open "config.json" "" 'rm "$d/config.json"'
damage "unknown type of the model" w8a8 open "UNKNOWN" "" 'sed -i "s/\"model_quant_type\": \"W8A8\"/\"model_quant_type\": \"UNKNOWN\"/" "$q"'
damage "cut weights" w8a8 open "quant_model_weight_w8a8.safetensors" "" 'truncate -s -100 "$w"'
damage "wrong header length" w8a8 open "quant_model_weight_w8a8.safetensors" "" '"$SURGEON" length "$w" 1000'
damage "missing shard" shards open "is missing but the index names it" "" 'rm "$w"'
damage "wrong total_size" shards index-size "total_size" "" 'sed -i "s/\"total_size\": /&1/" "$d"/*.index.json'
damage "shard of another result" shards shards "2 files quant_model_weight*.safetensors lie in the directory, but 1" "" 'cp "$w" "$d/quant_model_weight_w8a8-00009-of-00009.safetensors"'
damage "two descriptions" w8a8 shards "2 descriptions" "" 'cp "$q" "$d/quant_model_description_w8a8.json"'
damage "quantize of another type" old description-name "quantize \"w8a16\", the description model_quant_type W8A8" "" 'sed -i "s/\"quantize\": \"w8a8\"/\"quantize\": \"w8a16\"/" "$d/config.json"'
damage "description of another name" old description-name "its name would be quant_model_description_w8a8.json" "" 'mv "$q" "$d/quant_model_description_w8a16.json"'

# tensors
damage "tensor missing" w8a8 linears "'$qkv.input_scale' is not in the weights" "" 'drop $qkv.input_scale'
damage "wrong shape" w8a8 linears "'$qkv.input_scale' has shape [128]" "" '"$SURGEON" drop "$w" $qkv.input_scale && "$SURGEON" copy "$w" $qkv.bias $qkv.input_scale'
damage "wrong element type" w8a8 linears "'$qkv.quant_bias' is BF16; I32" "" '"$SURGEON" drop "$w" $qkv.quant_bias && "$SURGEON" copy "$w" $qkv.bias $qkv.quant_bias'
damage "linear missing" w8a8 linears "has no entry '$dense.weight'" "" 'drop $dense.weight'
damage "norm missing" w8a8 norms "'$L.1.input_layernorm.weight' is missing" "" 'drop $L.1.input_layernorm.weight'
damage "half a cache" w8a8 attention "block 1 has 3 of the 4 tensors" "" 'drop $L.1.self_attention.query_key_value.v_proj.kv_cache_scale'
damage "tensor of nothing" w8a8 unknown-tensors "'transformer.extra.weight' belongs to no part" "" '"$SURGEON" copy "$w" $qkv.bias transformer.extra.weight && sed -i "s/^{/{\"transformer.extra.weight\": \"FLOAT\",/" "$q"'
damage "no bias" w8a8 qkv-bias "'$qkv.bias' is missing" "" 'drop $qkv.bias'
damage "deq_scale in two encodings" w8a8 deq-encoding "'$dense.deq_scale' is I64, in others it is F32" "" '"$SURGEON" deq "$w" $dense.deq_scale'
damage "torch_dtype against deq_scale" w8a8 deq-encoding "deq_scale is F32, but config.json has torch_dtype float16, which goes with I64" "$(target mindie)" 'sed -i s/bfloat16/float16/ "$d/config.json"'
damage "bit patterns under bfloat16" f16 deq-encoding "deq_scale is I64, but config.json has torch_dtype bfloat16" "$(target vllm-ascend)" 'sed -i s/float16/bfloat16/ "$d/config.json"'
damage "a card's scale missing" own linears "'$L.1.mlp.dense_4h_to_h' has tensors for 1 cards, others for 2" "" 'drop $L.1.mlp.dense_4h_to_h.reduce_scale.1'
damage "gather_scale missing" own linears "'$L.1.mlp.dense_4h_to_h' has only one of gather_scale and reduce_scale" "" 'drop $L.1.mlp.dense_4h_to_h.gather_scale'

# description
damage "version" w8a8 version "three numbers" "" 'sed -i "s/\"1.0.0\"/\"one\"/" "$q"'
damage "type that does not exist" w8a8 description-words "'$qkv.bias' has the type \"W8A9\"" "" 'sed -i "s/\($qkv.bias\": \)\"FLOAT\"/\1\"W8A9\"/" "$q"'
damage "type that is no word" w8a8 description-words "JSON value of another kind" "" 'sed -i "s/\($qkv.bias\": \)\"FLOAT\"/\18/" "$q"'
damage "tensor without entry" w8a8 description-names "'$qkv.input_offset' is not in the description" "" 'sed -i "/$qkv.input_offset/d" "$q"'
damage "entry without tensor" w8a8 description-names "names '$qkv.clip', which is in no weights file" "" 'sed -i "s/^{/{\"$qkv.clip\": \"FLOAT\",/" "$q"'
damage "part of another type" w8a8 tensor-types "'$qkv.quant_bias' is described as FLOAT" "" 'sed -i "s/\($qkv.quant_bias\": \)\"W8A8\"/\1\"FLOAT\"/" "$q"'
damage "model of another type" w8a8 model-type "'$qkv' is W8A8 in a result of model_quant_type W8A16" "" 'sed -i "s/\"model_quant_type\": \"W8A8\"/\"model_quant_type\": \"W8A16\"/" "$q"'
damage "one key of the cache" w8a8 kv-keys "kv_cache_type is missing, but 2 blocks" "" 'sed -i "/kv_cache_type/d" "$q"'
damage "cache without scales" w8a16 kv-keys "only 0 of 2 blocks have its scales" "" 'sed -i "s/^{/{\"kv_quant_type\": \"C8\",/" "$q"'
damage "null for quantized attention" w8a8 fa-keys "takes even null for" "" 'sed -i "s/^{/{\"fa_quant_type\": null,/" "$q"'
damage "scales for attention without key" fa fa-keys "fa_quant_type is missing, but 2 blocks" "" 'sed -i "/fa_quant_type/d" "$q"'
damage "older layout's key without scales" oldfa fa-keys "fa_quant_type is FAQuant in config.json" "" 'sed -i "s/\"fa_quant_type\": null/\"fa_quant_type\": \"FAQuant\"/" "$d/config.json"'
damage "a group_size that is refused" oldgroup engine-groups "group_size is 32" "$(target mindie)" 'sed -i "s/\"group_size\": 128/\"group_size\": 32/" "$d/config.json"'
damage "wrong group_size" group group-size "groups of 32, but group_size is 64" "" 'sed -i "s/\"group_size\": 32/\"group_size\": 64/" "$q"'
damage "communication without scales" w8a8 reduce-keys "no linear has gather_scale" "" 'sed -i "s/^{/{\"reduce_quant_type\": \"per_channel\",/" "$q"'
damage "packed without version" w4a16 packing "the description has no version" "" 'sed -i "/\"version\"/d" "$q"'
damage "version without packing" old4 packing "has one code per byte, but the description has a version" "" 'sed -i "s/^{/{\"version\": \"1.0.0\",/" "$q"'

# numbers; bfloat16 elements, lowest byte first
damage "NaN in a scale" w8a8 finite "'$qkv.weight_scale' holds a NaN at element 3" "" 'poke $qkv.weight_scale 3 c07f'
damage "infinite bias" w8a8 finite "'$qkv.bias' holds an infinity at element 0" "" 'poke $qkv.bias 0 807f'
damage "scale of 0" w8a8 positive "'$qkv.weight_scale' holds 0 at element 2" "" 'poke $qkv.weight_scale 2 0000'
damage "negative input scale" w8a8 positive "'$dense.input_scale' holds -1 at element 0" "" 'poke $dense.input_scale 0 80bf'
damage "offset of symmetric weights" w8a8 weight-offset "'$qkv.weight_offset' holds 1 at element 5" "" 'poke $qkv.weight_offset 5 803f'
damage "offset that is not whole" asym weight-offset "it must be a whole number" "" 'poke $qkv.weight_offset 5 003f'
damage "input_offset of half" w8a8 input-offset "holds 0.5 at element 0; it must be a whole number" "" 'poke $qkv.input_offset 0 003f'
damage "input_offset beyond int8" w8a8 input-offset "holds 256 at element 0; it must be from -128 to 127" "" 'poke $qkv.input_offset 0 8043'
damage "minus zero in the cache" w8a8 cache-offset "holds minus 0 at element 7; it must be +0.0" "" 'poke $qkv.k_proj.kv_cache_offset 7 0080'
damage "offset in the cache" w8a8 cache-offset "'$qkv.v_proj.kv_cache_offset' holds 3" "" 'poke $qkv.v_proj.kv_cache_offset 0 4040'
damage "scale of 0 in the cache" w8a8 positive "'$qkv.k_proj.kv_cache_scale' holds 0" "" 'poke $qkv.k_proj.kv_cache_scale 0 0000'
damage "no bit pattern" f16 deq-pattern "which is no float32's bits" "" 'poke $qkv.deq_scale 1 0000803f01000000'
damage "negative bit pattern" f16 positive "'$qkv.deq_scale' holds -1" "" 'poke $qkv.deq_scale 1 000080bfffffffff'
damage "NaN in a float weight" w8a8 weights-finite "'$head.weight' holds a NaN in row 1" "" 'poke $head.weight 70 c07f'
damage "five bits" old4 codes "'$qkv.weight' holds the code 8 in row 0" "" 'poke $qkv.weight 3 08'
damage "deq_scale off" w8a8 deq-product "'$qkv.deq_scale' is 1 in row 4" "" 'poke $qkv.deq_scale 4 0000803f'
damage "bit pattern off" f16 deq-product "'$dense.deq_scale' is 1 in row 2" "" 'poke $dense.deq_scale 2 0000803f00000000'
damage "quant_bias off" w8a8 quant-bias "'$dense.quant_bias' is 1000000 in row 9" "" 'poke $dense.quant_bias 9 40420f00'
damage "code off, by its sum" w8a8 quant-bias "'$h4.quant_bias' is" "" 'poke $h4.weight 100 7f; poke $h4.weight 101 7f; poke $h4.weight 102 7f'
damage "card's quant_bias off" cards quant-bias "'$dense.tp_list.1.quant_bias' is 1000000 in row 3" "" 'poke $dense.tp_list.1.quant_bias 3 40420f00'

# against the checkpoint
with="--model_path $model"
damage "another model" w8a8 model-sizes "num_layers 2, the checkpoint's 3" "--model_path $scratch/deep" :
damage "norm changed" w8a16 model-norms "'transformer.encoder.final_layernorm.weight' is not the checkpoint's at element 3" "$with" 'poke transformer.encoder.final_layernorm.weight 3 0040'
damage "bias changed" dynamic model-biases "'$qkv.bias' is 1 at element 6" "$with" 'poke $qkv.bias 6 803f'
damage "quant_bias off by little" w8a8 quant-bias "'$qkv.quant_bias'" "$with" 'v=$("$SURGEON" value "$w" $qkv.quant_bias 0); poke $qkv.quant_bias 0 "$(printf "%08x" $(((v + 5) & 0xffffffff)) | sed "s/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/")"'
damage "one code changed" w8a16 model-weights "1 codes of '$h4.weight' are not those of the checkpoint's values, the first in row 2" "$with" 'v=$("$SURGEON" value "$w" $h4.weight 130); poke $h4.weight 130 "$([ "$v" -gt 0 ] && echo ec || echo 14)"'
damage "one code changed, four bits" w4a16 model-weights "codes of '$h4.weight'" "$with" 'poke $h4.weight 40 "$([ "$("$SURGEON" value "$w" $h4.weight 40)" = 34 ] && echo dd || echo 22)"'
damage "rows changed places" w8a16 model-weights "row 4 of '$dense.weight' is not the checkpoint's (2 such rows)" "$with" '"$SURGEON" swap "$w" $dense.weight 4 9'
damage "rows changed places, transformed" w4a4 model-weights "row 4 of '$h4.weight' is not the checkpoint's" "$with" '"$SURGEON" swap "$w" $h4.weight 4 9'
damage "transform changed" w4a4 model-weights "of '$h4.weight'" "$with" '"$SURGEON" swap "$w" $h4.left_trans 0 1'
damage "scale doubled" w8a16 model-weights "row 1 of '$dense.weight' is not the checkpoint's" "$with" 'nudge $dense.weight_scale 1 128'
damage "norm of a smoothed model changed" dynm1 model-weights "column 5 of '$h4.weight' is" "$with" 'nudge $L.0.post_attention_layernorm.weight 5 128'
damage "rows of coarse codes changed places" coarse model-weights "row 4 of '$h4.weight' is not the checkpoint's (2 such rows)" "$with" '"$SURGEON" swap "$w" $h4.weight 4 9'
damage "scales of a smoothed model changed" m2 model-weights "of '$h4.weight'" "$with" '"$SURGEON" swap "$w" $h4.weight 3 8; poke $L.0.post_attention_layernorm.weight 5 2042'
damage "one float changed" w8a16 model-weights "'$head.weight' differs from the checkpoint's in 1 values, the first in row 0" "$with" 'nudge $head.weight 5 1'
damage "embedding changed" w8a16 model-weights "'transformer.embedding.word_embeddings.weight' differs" "$with" 'nudge transformer.embedding.word_embeddings.weight 5 1'
damage "weight of another layer" w4a16 model-weights "'$h4.weight' is not the checkpoint's: signal over noise" "$with" 'for i in weight weight_scale; do "$SURGEON" drop "$w" $h4.$i; "$SURGEON" copy "$w" $L.1.mlp.dense_h_to_4h.$i $h4.$i; done'

# engines
damage "float32" w8a16 engine-dtype "torch_dtype \"float32\"" "$(target vllm-ascend)" 'sed -i s/bfloat16/float32/ "$d/config.json"'
damage "no W4A16" w4a16 engine-types "model_quant_type is W4A16" "$(target vllm-ascend)" :
damage "quantized head" head engine-head "'$head' is W8A8" "$(target mindie)" :
damage "groups of 32" group engine-groups "one scale per 32 weights" "$(target mindie)" :
damage "groups" group engine-groups "one scale per 32 weights" "$(target vllm-ascend)" :
damage "fused names of the cache" w8a8 engine-cache "would have to be '$L.0.self_attention.k_proj.kv_cache_scale': quantize with --target vllm-ascend" "$(target vllm-ascend)" :
damage "names of the other engine" vllm engine-cache "would have to be '$qkv.k_proj.kv_cache_scale'" "$(target mindie)" :
damage "quantized attention" fa engine-attention "fa_quant_type is \"FAQuant\"" "$(target mindie)" :
damage "simulated cards" cards engine-communication "tp_list" "$(target vllm-ascend)" :
damage "a scale for each card" own engine-communication "'$dense' has a reduce_scale for each card" "$(target mindie)" :
damage "model without a name" w8a8 mindie-name "_name_or_path in config.json is missing" "$(target mindie)" 'sed -i /_name_or_path/d "$d/config.json"'
damage "older model's name" w8a8 mindie-name "\"glm-4-from-chatglm3\"" "$(target mindie)" 'sed -i "s/\(_name_or_path\": \)\"[^\"]*\"/\1\"glm-4-from-chatglm3\"/" "$d/config.json"'
damage "bias that is dropped" shift mindie-norm-bias "input_layernorm.bias' is not zero and stands in front of '$qkv', which is W8A8_DYNAMIC" "$(target mindie)" :
damage "no bias for MindIE" w8a16 mindie-qkv-bias "'$qkv.bias' is missing" "$(target mindie)" 'drop $qkv.bias'
damage "older layout" old vllm-description "not called quant_model_description.json" "$(target vllm-ascend)" :
damage "quantization_config" w8a8 vllm-description "config.json has a quantization_config" "$(target vllm-ascend)" 'sed -i "s/^{/{\"quantization_config\": {},/" "$d/config.json"'
damage "norms twice" old vllm-module "input_layernorm.module.weight' has no place" "$(target vllm-ascend)" :
damage "bias that is skipped" shift vllm-bias "'$h4.bias' is not zero" "$(target vllm-ascend)" :
damage "asymmetric weights" asym vllm-offset "the weights are asymmetric" "$(target vllm-ascend)" :
"$quant" --quiet --model_path "$model" --save_directory "$scratch/wrapped" "${few[@]}" --do_smooth True --reference_compat >"$log" 2>&1 || fail "wrapped: $(cat "$log")"
"$quant" --quiet --model_path "$model" --save_directory "$scratch/tensorwise" "${few[@]}" --mm_tensor True --reference_compat >"$log" 2>&1 ||
    fail "tensorwise: $(cat "$log")"
damage "one scale for all rows" tensorwise engine-rows "'$qkv' has one scale for its 128 rows" "$(target mindie)" :
damage "names of do_smooth" wrapped engine-names "called self_attn" "$(target mindie)" :

# every check has found something, but for those that only warn
for id in $("$GLMSLIM" verify "$scratch/w8a8" --all | sed -n 's/^\(passed\|not made\|warning\) *\([a-z0-9-]*\) .*/\2/p'); do
    case $id in mindie-cards | mindie-sampling | mindie-path) continue ;; esac
    check "$id has a damage" grep -q "^damage .* $id \"" "$0"
done
echo "$damages damages"

# warnings do not fail
sed -i s/top_k/top/ "$scratch/w8a8/generation_config.json"
cp -r "$scratch/w8a8" "$scratch/odd name"
"$GLMSLIM" verify "$scratch/odd name" --target mindie >"$log" || fail "warnings: $(cat "$log")"
says "warnings" "$log" "warning mindie-sampling: generation_config.json has no top_k" "warning mindie-path" "0 faults, 2 warnings"
says "warnings, from inside" <(cd "$scratch/odd name" && "$GLMSLIM" verify . --target mindie --quiet) "warning mindie-path" "0 faults, 2 warnings"
base wide "$model" --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 64
"$GLMSLIM" verify "$scratch/wide" --target mindie >"$log" || fail "cards: $(cat "$log")"
says "cards" "$log" "warning mindie-cards: a row of '$L.0.mlp.dense_4h_to_h' has 2 groups" "right on at most"
base late "$model" --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 64 --disable_names $dense $L.0.mlp.dense_4h_to_h
says "cards, from block 1" <("$GLMSLIM" verify "$scratch/late" --target mindie) "a row of '$L.1.mlp.dense_4h_to_h' has 2 groups" "0 faults, 1 warning"

# each result is fit for the engine it was written for
for pair in w8a8:mindie vllm:vllm-ascend f16:vllm-ascend f16:mindie dynamic:mindie dynamic:vllm-ascend w8a16:vllm-ascend asym:mindie \
    w4a16:mindie old4:mindie old:mindie shared:mindie oldfa:mindie oldgroup:mindie m6:mindie m6:vllm-ascend cards:mindie; do
    check "${pair%:*} for ${pair#*:}" "$GLMSLIM" verify "$scratch/${pair%:*}" --quiet --target "${pair#*:}" >"$log" 2>&1
done

# no directory, no result, no checkpoint: not a finding, but an error
"$GLMSLIM" verify "$scratch/nowhere" >"$log" 2>&1
equal "no directory" $? 3
"$GLMSLIM" verify >"$log" 2>&1
equal "no word" $? 2
"$GLMSLIM" verify "$scratch/w8a8" --model_path "$scratch/w8a8" >"$log" 2>&1
equal "no float checkpoint" $? 4
says "no float checkpoint" "$log" "error: --model_path"

finish
