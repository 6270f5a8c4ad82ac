#!/bin/bash
# diff: equal directories, and every way in which tensors and descriptions can differ. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

few=(--calib_texts "The kernel controls the hardware." "内核管理硬件和进程。" --no_extras)
L=transformer.encoder.layers
qkv=$L.0.self_attention.query_key_value
tiny model
run() {
    local name=$1
    shift
    checks=$((checks + 1))
    "$quant" --quiet --model_path "$scratch/model" --save_directory "$scratch/$name" "${few[@]}" "$@" >"$log" 2>&1 || fail "$name: $(cat "$log")"
    chmod -R u+w "$scratch/$name"
}
options=()
# compare NAME STATUS A B TEXT…: the exit code, and what is said; JSON is in $scratch/diff.json.
compare() {
    local name=$1 status=$2 a=$scratch/$3 b=$scratch/$4
    shift 4
    "$GLMSLIM" diff "$a" "$b" --json "$scratch/diff.json" ${options[@]+"${options[@]}"} >"$log" 2>&1
    equal "$name: exit code" $? "$status"
    says "$name" "$log" "$@"
}
copy() {
    rm -rf "$scratch/copy"
    cp -r "$scratch/$1" "$scratch/copy"
    w=$(ls "$scratch"/copy/quant_model_weight*.safetensors)
    q=$(ls "$scratch"/copy/quant_model_description*.json)
}
run base --use_kvcache_quant True
run int4 --w_bit 4 --a_bit 16

compare "itself" 0 base base "61 equal (tensors); 0 keys of the description differ"
says "itself, JSON" "$scratch/diff.json" '"equal": true' '"equal_tensors": 61'
compare "a checkpoint with itself" 0 model model " equal (tensors); 0 keys"
run shards --use_kvcache_quant True --part_file_size 1
compare "one file and shards" 0 base shards "61 equal"

copy base
"$SURGEON" poke "$w" $qkv.weight 70 7f
"$SURGEON" poke "$w" $qkv.weight 90 80
compare "codes" 1 base copy "differs $qkv.weight" "2 of 8192 codes, at most by" "first at 70" "60 equal, 1 differs"
says "codes, JSON" "$scratch/diff.json" '"equal": false' "\"name\": \"$qkv.weight\"" '"changed": 2' '"first": 70'
copy base
"$SURGEON" poke "$w" $qkv.bias 3 0041
near "floats, largest" "$("$GLMSLIM" diff "$scratch/base" "$scratch/copy" | sed -n 's/.*at most by \([^,]*\), first at 3/\1/p')" \
    "$(awk -v b="$("$SURGEON" value "$scratch/base" $qkv.bias 3)" 'BEGIN { print 8 - b }')" 0.00001
"$SURGEON" poke "$w" $qkv.bias 3 c07f
compare "NaN" 1 base copy "1 of 128 values, at most by inf, first at 3"
copy base
"$SURGEON" deq "$w" $qkv.deq_scale
compare "encodings of deq_scale" 1 base copy "same values $qkv.deq_scale F32 and I64" "60 equal, 1 same values"
copy int4
"$SURGEON" poke "$w" $qkv.weight 5 "$(printf '%02x' $((($("$SURGEON" value "$w" $qkv.weight 5) & 255) ^ 16)))"
compare "packed codes" 1 int4 copy "differs $qkv.weight 1 of 8192 codes, at most by 1, first at 11"
run wide --use_kvcache_quant True --save_dtype float32
options=(--all)
compare "element types" 1 base wide "same values transformer.output_layer.weight BF16 and F32" "differs $qkv.input_scale"
options=()
copy base
"$SURGEON" drop "$w" $qkv.bias
"$SURGEON" copy "$w" $qkv.quant_bias extra
compare "only on one side" 1 base copy "only in A $qkv.bias" "only in B extra" "60 equal, 1 only in A, 1 only in B"
copy base
"$SURGEON" drop "$w" $qkv.input_scale
"$SURGEON" copy "$w" $qkv.bias $qkv.input_scale
compare "shapes" 1 base copy "other shape $qkv.input_scale" "60 equal, 1 other shape"
copy base
sed -i -e 's/"kv_cache_type": "C8"/"kv_cache_type": "C4"/' -e '/kv_quant_type/d' -e 's/^{/{"group_size": 64,/' "$q"
compare "descriptions" 1 base copy '"C8" -> "C4"' 'kv_quant_type "C8" -> (none)' 'group_size (none) -> 64' "61 equal (tensors); 3 keys"
compare "result and checkpoint" 1 base model "only in A $qkv.weight_scale" " equal, " "keys of the description differ"
compare "many lines" 1 base int4 "more lines (--all shows them)"
equal "all lines" "$("$GLMSLIM" diff "$scratch/base" "$scratch/int4" --all | grep -c 'more lines')" 0

"$GLMSLIM" diff "$scratch/base" "$scratch/nowhere" >"$log" 2>&1
equal "no such directory" $? 3
"$GLMSLIM" diff "$scratch/base" >"$log" 2>&1
equal "one word" $? 2
copy base
truncate -s -8 "$w"
"$GLMSLIM" diff "$scratch/base" "$scratch/copy" >"$log" 2>&1
equal "damaged" $? 4

finish
