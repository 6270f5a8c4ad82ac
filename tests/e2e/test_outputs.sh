#!/bin/bash
# What a run writes: files, modes, types, copied bytes, layouts, and where texts come from. The documented command line works
# unchanged. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

calib=$GS_SOURCE_DIR/demo/calib.json
layer=transformer.encoder.layers.0
qkv=$layer.self_attention.query_key_value

# run DIRECTORY OPTION…: a run on the mini model that must succeed.
run() {
    local out=$1
    shift
    "$quant" --model_path "$demo" --save_directory "$scratch/$out" "$@" >"$scratch/$out.stdout" 2>"$scratch/$out.stderr" ||
        fail "$out: $(cat "$scratch/$out.stderr")"
    checks=$((checks + 1))
}
# listing DIR: names with modes.
listing() { (cd "$1" && printf '%s ' "$(stat -c %a .)" && stat -c '%n:%a' -- * .[!.]* 2>/dev/null | sort | tr '\n' ' '); }
keys() { sed -n 's/^ *"\([^"]*\)": ".*/\1/p' "$1"; }
dtype() { "$SURGEON" list "$1" | awk -v n="$2" '$1 == n { print $2 }'; }
# The same JSON, whatever the indent.
plain() { sed 's/^ *//' "$1"; }

# The documented command line, in a directory as after a clone.
mkdir "$scratch/clone"
ln -s "$GS_SOURCE_DIR/demo" "$scratch/clone/demo"
(cd "$scratch/clone" && "$quant" --model_path demo/glm4-mini --save_directory out/w8a8c8 --device_type npu --act_method 2 --disable_level L0 \
    --w_bit 8 --a_bit 8 --use_kvcache_quant True --calib_file demo/calib.json --anti_file demo/anti.json --trust_remote_code True) \
    >"$log" 2>"$scratch/stderr" || fail "documented command: $(cat "$scratch/stderr")"
says "documented command" "$scratch/stderr" "warning: device_type npu" "no Ascend runtime" "on the CPU"
says "documented command, summary" "$log" "query_key_value" "histogram" "default fallback" "last linear" "SQNR" "64 samples" "before" "after" \
    "time" "memory"
checks=$((checks + 1))
[ $SECONDS -lt $((60 * ${GS_PATIENCE:-1})) ] || fail "documented command: $SECONDS s"
out=$scratch/clone/out/w8a8c8
equal "files and modes" "$(listing "$out")" "750 config.json:600 generation_config.json:600 \
glmslim_manifest.sha256:600 glmslim_report.json:600 quant_model_description.json:600 \
quant_model_weight_w8a8.safetensors:400 tokenizer.model:600 tokenizer_config.json:600 "
equal "nothing beside it" "$(cd "$scratch/clone" && find . -mindepth 1 -maxdepth 2 | sort | tr '\n' ' ')" "./demo ./out ./out/w8a8c8 "
for file in generation_config.json tokenizer.model tokenizer_config.json; do check "$file copied" cmp "$demo/$file" "$out/$file"; done
equal "config.json, values" "$(plain "$out/config.json")" "$(plain "$demo/config.json")"
equal "config.json, indent" "$(sed -n 2p "$out/config.json")" '    "_name_or_path": "glm-4-mini",'

# The description: first keys, then every tensor of the file, each with its type.
equal "description, first keys" "$(keys "$out/quant_model_description.json" | head -5 | tr '\n' ' ')" \
    "version model_quant_type kv_cache_type kv_quant_type transformer.embedding.word_embeddings.weight "
equal "description, tensors" "$(keys "$out/quant_model_description.json" | tail -n +5 | sort)" \
    "$("$SURGEON" list "$out" | awk '{ print $1 }' | sort)"
for pair in "$qkv.weight W8A8" "$qkv.bias FLOAT" "$qkv.k_proj.kv_cache_scale C8" "$layer.mlp.dense_4h_to_h.weight FLOAT" \
    "transformer.output_layer.weight FLOAT"; do
    says "description: $pair" "$out/quant_model_description.json" "\"${pair% *}\": \"${pair#* }\""
done
equal "description ends without a newline" "$(tail -c1 "$out/quant_model_description.json")" "}"

# Types of a bfloat16 checkpoint, and float tensors byte by byte.
types() {
    local dir=$1 suffix
    for suffix in weight bias weight_scale weight_offset input_scale input_offset quant_bias deq_scale k_proj.kv_cache_scale v_proj.kv_cache_offset; do
        printf '%s ' "$(dtype "$dir" $qkv.$suffix)"
    done
    dtype "$dir" $layer.input_layernorm.weight
}
floats=0
while read -r name; do
    floats=$((floats + 1))
    check "$name as in the checkpoint" cmp <("$SURGEON" bytes "$out" "$name") <("$SURGEON" bytes "$demo" "$name")
done < <(sed -n 's/^ *"\([^"]*\)": "FLOAT".*/\1/p' "$out/quant_model_description.json")
equal "float tensors" $floats 19
equal "types, bfloat16" "$(types "$out")" "I8 BF16 BF16 BF16 BF16 BF16 I32 F32 BF16 BF16 BF16"
# deq_scale comes from the rounded input scale and the weight scale before rounding: equal to bfloat16's precision.
product=$(awk -v a="$("$SURGEON" value "$out" $qkv.input_scale 0)" -v b="$("$SURGEON" value "$out" $qkv.weight_scale 7)" 'BEGIN { printf "%.9g", a * b }')
near "deq_scale is the product of the scales" "$("$SURGEON" value "$out" $qkv.deq_scale 7)" "$product" 0.004

few=(--calib_texts "The kernel controls the hardware." "内核管理硬件和进程。" --use_kvcache_quant True)
run float32 --save_dtype float32 "${few[@]}"
equal "types, save_dtype float32" "$(types "$scratch/float32")" "I8 F32 F32 F32 F32 F32 I32 I64 F32 F32 F32"
run checkpoint "${few[@]}"
check "codes do not depend on save_dtype" cmp <("$SURGEON" bytes "$scratch/float32" $qkv.weight) <("$SURGEON" bytes "$scratch/checkpoint" $qkv.weight)
for type in float16 float32; do
    tiny $type-model --torch_dtype $type
    "$quant" --quiet --model_path "$scratch/$type-model" --save_directory "$scratch/$type-out" "${few[@]}" >"$log" 2>&1 || fail "$type: $(cat "$log")"
    says "$type in config.json" "$scratch/$type-out/config.json" "\"torch_dtype\": \"$type\""
    check "$type: a float tensor as in the checkpoint" cmp <("$SURGEON" bytes "$scratch/$type-out" transformer.output_layer.weight) \
        <("$SURGEON" bytes "$scratch/$type-model" transformer.output_layer.weight)
done
equal "types, float16" "$(types "$scratch/float16-out")" "I8 F16 F16 F16 F16 F16 I32 I64 F16 F16 F16"
equal "types, float32" "$(types "$scratch/float32-out")" "I8 F32 F32 F32 F32 F32 I32 I64 F32 F32 F32"
equal "the checkpoint's rotary buffer stays out" "$("$SURGEON" list "$scratch/float16-out" | grep -c inv_freq)" 0

# Shards and the older layout.
run shards --part_file_size 1 "${few[@]}"
weights=quant_model_weight_w8a8-00001-of-00001.safetensors
index=$scratch/shards/quant_model_weight_w8a8.safetensors.index.json
equal "one shard" "$(cd "$scratch/shards" && echo quant_model_weight*)" "$weights quant_model_weight_w8a8.safetensors.index.json"
equal "shard's modes" "$(stat -c %a "$scratch/shards/$weights" "$index" | tr '\n' ' ')" "400 600 "
check "shard and single file are the same" cmp "$scratch/shards/$weights" "$scratch/checkpoint/quant_model_weight_w8a8.safetensors"
equal "total_size" "$(json_number "$index" total_size)" "$("$SURGEON" list "$scratch/shards/$weights" | awk '{ n += $3 } END { print n }')"
equal "weight_map, in the description's order" "$(keys "$index")" "$(keys "$scratch/shards/quant_model_description.json" | tail -n +5)"
run mindie --mindie_format "${few[@]}"
equal "mindie, files" "$(cd "$scratch/mindie" && echo quant*)" "quant_model_description_w8a8.json quant_model_weight_w8a8.safetensors"
check "mindie, weights" cmp "$scratch/mindie/quant_model_weight_w8a8.safetensors" "$scratch/checkpoint/quant_model_weight_w8a8.safetensors"
says "mindie, config" "$scratch/mindie/config.json" '"quantize": "w8a8"' '"quantization_config": {' '"kv_quant_type": "C8"' '"dev_type": "cpu"'
equal "mindie, no version" "$(keys "$scratch/mindie/quant_model_description_w8a8.json" | head -1)" model_quant_type

# Spelling of options.
"$quant" --model-path="$demo" --save-directory="$scratch/spelling" --use-kvcache-quant=True --calib-texts "${few[@]:1:2}" >"$log" 2>&1 ||
    fail "dashes: $(cat "$log")"
equal "dashes and equals signs" "$(digest "$scratch/spelling")" "$(digest "$scratch/checkpoint")"
"$GLMSLIM" quant --quiet --model_path "$demo" --save_directory "$scratch/command" "${few[@]}" >"$log" 2>&1 || fail "quant: $(cat "$log")"
equal "glmslim quant" "$(digest "$scratch/command")" "$(digest "$scratch/checkpoint")"
equal "--quiet" "$(cat "$log")" ""

# Existing directories.
mkdir "$scratch/empty"
chmod 700 "$scratch/empty"
run empty "${few[@]}"
equal "an empty directory" "$(digest "$scratch/empty")" "$(digest "$scratch/checkpoint")"
equal "an empty directory's mode" "$(stat -c %a "$scratch/empty")" 750
mkdir -p "$scratch/used/sub"
echo old >"$scratch/used/sub/data"
echo old >"$scratch/used/config.json"
chmod 400 "$scratch/used/config.json"
run used --overwrite "${few[@]}"
equal "--overwrite" "$(digest "$scratch/used")" "$(digest "$scratch/checkpoint")"
run used --overwrite --mindie_format "${few[@]}"
equal "--overwrite of an output" "$(digest "$scratch/used")" "$(digest "$scratch/mindie")"
equal "no work folders" "$(find "$scratch" -name '*glmslim-work*')" ""

# Where texts come from: the same texts in three forms, in two places, and the built-in set.
texts=("The kernel controls the hardware." "ls shows “files” and 目录.")
printf '[\n {"prompt": "%s", "ans": "x"},\n {"prompt": "%s"}\n]\n' "${texts[@]}" >"$scratch/form.array"
printf '{"prompt": "%s", "ans": "x"}\n\n{"prompt": "%s"}\n' "${texts[@]}" >"$scratch/form.lines"
printf '\xef\xbb\xbf%s\r\n\r\n%s\n' "${texts[@]}" >"$scratch/form.text"
run array --calib_file "$scratch/form.array"
for form in lines text; do
    run $form --calib_file "$scratch/form.$form"
    equal "texts as $form" "$(model "$scratch/$form")" "$(model "$scratch/array")"
done
run texts --calib_texts "${texts[@]}"
equal "texts on the command line" "$(model "$scratch/texts")" "$(model "$scratch/array")"
printf '{"prompt": "%s"}\n' "${texts[0]}" >"$scratch/form.first"
run both --calib_texts "${texts[1]}" --calib_file "$scratch/form.first"
equal "texts from both" "$(model "$scratch/both")" "$(model "$scratch/array")"
run builtin
says "built-in texts" "$scratch/builtin.stderr" "built-in" "64 samples"
run untouched --a_bit 16
check "no texts where nothing looks at them" test "$(grep -c built-in "$scratch/untouched.stderr")" = 0
equal "no samples where nothing looks at them" "$(json_number "$scratch/untouched/glmslim_report.json" samples)" 0
run ranked --a_bit 16 --disable_level L1
says "built-in texts for a ranking" "$scratch/ranked.stderr" "built-in" "64 samples"
run demo --calib_file "$calib"
equal "built-in texts are those of the demo" "$(model "$scratch/builtin")" "$(model "$scratch/demo")"
check "other texts, other ranges" test "$(model "$scratch/builtin")" != "$(model "$scratch/array")"
printf '["half a pair: \\ud800."]' >"$scratch/form.half"
printf '["half a pair: \xef\xbf\xbd."]' >"$scratch/form.mark"
run half --calib_file "$scratch/form.half"
run mark --calib_file "$scratch/form.mark"
equal "half a surrogate pair is U+FFFD" "$(model "$scratch/half")" "$(model "$scratch/mark")"

# The histogram's bounds: the largest outliers count, except where the reference drops them.
golden=$GS_SOURCE_DIR/tests/golden
for compat in "" --reference_compat; do
    rm -rf "$scratch/outliers"
    "$quant" --quiet --model_path "$golden/models/tiny-a" --save_directory "$scratch/outliers" --calib_file "$golden/data/calib.json" --act_method 2 \
        --save_dtype float32 $compat >"$log" 2>&1 || fail "outliers: $(cat "$log")"
    near "input scale over massive activations $compat" "$("$SURGEON" value "$scratch/outliers" $qkv.input_scale 0)" \
        "$([ -n "$compat" ] && echo 0.0194 || echo 3.984)" 0.02
done

# The plan writes nothing and shows what the run will do.
"$quant" --model_path "$demo" --save_directory "$scratch/plan" --dry_run --json "$scratch/plan.json" "${few[@]}" >"$log" 2>&1 || fail "dry run: $(cat "$log")"
says "dry run" "$log" "dry run, nothing is written" "FLOAT 19 tensors" "C8 16 tensors" "W8A8 84 tensors" "quant_model_weight_w8a8.safetensors" "119 tensors" \
    "planned peak" "time" "12 quantized, 5 float"
equal "dry run: nothing written" "$(find "$scratch" -path '*plan*')" "$scratch/plan.json"
equal "dry run: bytes" "$(json_number "$scratch/plan.json" output_bytes)" "$(stat -c %s "$scratch/checkpoint/quant_model_weight_w8a8.safetensors")"
check "dry run: memory and time" test "$(json_number "$scratch/plan.json" planned_peak_bytes)" -gt 10000000

# Environment of the script.
"$quant" --model_path "$demo" --save_directory "$scratch/env" --dry_run "${few[@]}" >/dev/null 2>"$log" || fail "environment: $(cat "$log")"
before=$(cat "$log")
RANK=first ASCEND_RT_VISIBLE_DEVICES=0 PYTORCH_NPU_ALLOC_CONF=x "$quant" --model_path "$demo" --save_directory "$scratch/env" --dry_run \
    "${few[@]}" >/dev/null 2>"$log" || fail "environment: $(cat "$log")"
says "environment" "$log" "ASCEND_RT_VISIBLE_DEVICES has no effect" "PYTORCH_NPU_ALLOC_CONF has no effect" "warning: the environment variable RANK" "0"
checks=$((checks + 1))
[[ $before != *RANK* ]] || fail "environment: $before"

finish
