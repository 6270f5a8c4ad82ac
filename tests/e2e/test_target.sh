#!/bin/bash
# --target: what is written differently for each engine, what it refuses before any work, and what it warns of.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

few=(--calib_texts "The kernel controls the hardware." "内核管理硬件和进程。")
attention=transformer.encoder.layers.0.self_attention
qkv=$attention.query_key_value

# run NAME MODEL OPTION…: a run into $scratch/NAME that must succeed; messages are in $scratch/NAME.log.
run() {
    local name=$1 model=$2
    shift 2
    checks=$((checks + 1))
    "$quant" --model_path "$model" --save_directory "$scratch/$name" "${few[@]}" "$@" >/dev/null 2>"$scratch/$name.log" ||
        fail "$name: $(cat "$scratch/$name.log")"
}
dtype() { "$SURGEON" list "$1" | awk -v n="$2" '$1 == n { print $2 }'; }
names() { "$SURGEON" list "$1" | awk '{ print $1 }' | sort; }
keys() { sed -n 's/^ *"\([^"]*\)": ".*/\1/p' "$1"; }
value() { sed -n "s/^ *\"$2\": \"\(.*\)\",*\$/\1/p" "$1/config.json"; }

# vllm-ascend: the cache's tensors move to the attention, in file and description; nothing else changes.
run plain "$demo" --use_kvcache_quant True
run vllm "$demo" --use_kvcache_quant True --target vllm-ascend
equal "vllm-ascend, names" "$(names "$scratch/vllm")" "$(names "$scratch/plain" | sed 's/query_key_value\.\([kv]_proj\)/\1/' | sort)"
equal "vllm-ascend, description" "$(keys "$scratch/vllm/quant_model_description.json" | tail -n +5 | sort)" "$(names "$scratch/vllm")"
says "vllm-ascend, switch" "$scratch/vllm/quant_model_description.json" '"kv_cache_type": "C8"' "\"$attention.k_proj.kv_cache_scale\": \"C8\""
says "vllm-ascend, note" "$scratch/vllm.log" "self_attention.k_proj and v_proj"
for part in k_proj.kv_cache_scale v_proj.kv_cache_offset; do
    check "vllm-ascend, $part" cmp <("$SURGEON" bytes "$scratch/vllm" $attention.$part) <("$SURGEON" bytes "$scratch/plain" $qkv.$part)
done
check "vllm-ascend, codes" cmp <("$SURGEON" bytes "$scratch/vllm" $qkv.weight) <("$SURGEON" bytes "$scratch/plain" $qkv.weight)

# MindIE: the same files; the model's name is put right where it is missing.
run mindie "$demo" --use_kvcache_quant True --target mindie
equal "mindie is the default layout" "$(model "$scratch/mindie")" "$(model "$scratch/plain")"
check "mindie, no message about the name" test "$(grep -c _name_or_path "$scratch/mindie.log")" = 0
tiny model
sed -i '/_name_or_path/d' "$scratch/model/config.json"
sed -i s/top_k/top/ "$scratch/model/generation_config.json"
run named "$scratch/model" --target mindie
equal "mindie, name" "$(value "$scratch/named" _name_or_path)" glm-4-9b
says "mindie, messages" "$scratch/named.log" 'gets _name_or_path "glm-4-9b"' "has no top_k" "only 512 words"
run named_vllm "$scratch/model" --target vllm-ascend
equal "vllm-ascend, no name" "$(value "$scratch/named_vllm" _name_or_path)" ""
run "odd@place" "$demo" --target mindie
says "mindie, path" "$scratch/odd@place.log" "refuses paths with characters outside"
(cd "$scratch/odd@place" && "$quant" --model_path "$demo" --save_directory plain "${few[@]}" --target mindie --dry_run) >/dev/null 2>"$log"
says "mindie, path above" "$log" "refuses paths with characters outside"
run old "$demo" --target mindie --mindie_format
says "mindie, older layout" "$scratch/old.log" "outdated"

# deq_scale and scales fit torch_dtype, whatever the float tensors beside them.
types() { echo "$(value "$1" torch_dtype) $(dtype "$1" $qkv.deq_scale) $(dtype "$1" $qkv.input_scale) $(dtype "$1" transformer.output_layer.weight)"; }
run wide "$demo" --target mindie --save_dtype float32
equal "save_dtype float32" "$(types "$scratch/wide")" "bfloat16 F32 BF16 F32"
for part in deq_scale input_scale quant_bias; do
    check "save_dtype float32, $part" cmp <("$SURGEON" bytes "$scratch/wide" $qkv.$part) <("$SURGEON" bytes "$scratch/mindie" $qkv.$part)
done
for type in float16 float32; do
    tiny $type-model --torch_dtype $type
    run $type "$scratch/$type-model" --target vllm-ascend
done
equal "float16" "$(types "$scratch/float16")" "float16 I64 F16 F16"
equal "float32" "$(types "$scratch/float32")" "bfloat16 F32 BF16 F32"
says "float32, note" "$scratch/float32.log" "torch_dtype float32" "written as bfloat16"
run float32_plain "$scratch/float32-model"
equal "float32 without a target" "$(types "$scratch/float32_plain")" "float32 I64 F32 F32"

# Refused before any work, with what would load.
no() {
    local target=$1 text=$2
    shift 2
    refused "$target: $*" 2 "--target $target" "$text" " loads W8A8, " -- --model_path "$demo" "${few[@]}" --target "$target" "$@"
}
no vllm-ascend "no W4A16 linear" --w_bit 4 --a_bit 16
no vllm-ascend "adds the offset where it should subtract" --a_bit 16 --w_sym False
no vllm-ascend "scales by group" --a_bit 16 --is_lowbit True --open_outlier False
no vllm-ascend "no sparse linear" --w_bit 4 --co_sparse True
no vllm-ascend "for experts only" --w_bit 4 --is_dynamic True --is_lowbit True --open_outlier False
no vllm-ascend "older layout" --mindie_format
no vllm-ascend "FAQuant" --use_fa_quant True
no mindie "linear type not matched" --w_bit 4 --is_dynamic True --is_lowbit True --open_outlier False
no mindie "the output layer must stay in floating point" --disable_last_linear False
no mindie "no quantized attention" --use_fa_quant True
no mindie "stops at 32" --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 32
no mindie "asks for one reduce_scale" --tp_size 2 --use_reduce_quant True --reduce_per_device True
no mindie "FLOAT" --w_bit 16 --a_bit 16
no mindie "query_key_value that is not W8A8" --do_smooth True --is_dynamic True
refused "unknown target" 2 "invalid choice: 'vllm'" -- --model_path "$demo" --target vllm
refused "both ways at once" 2 "leave one of them out" -- --model_path "$demo" --target mindie --reference_compat
# Which linears do_smooth's biases stand in front of is known after the ranking; then, too, nothing is left behind.
refused "ranked into trouble" 2 "drops it" -- --model_path "$demo" "${few[@]}" --target mindie --do_smooth True --disable_level L99
tiny stale
sed -i 's/^{/{"quantization_config": {},/' "$scratch/stale/config.json"
refused "a checkpoint that speaks of quantization" 2 "remove the keys" -- --model_path "$scratch/stale" "${few[@]}" --target vllm-ascend

finish
