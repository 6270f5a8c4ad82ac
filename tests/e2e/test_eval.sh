#!/bin/bash
# Eval as a user meets it: the mini model's perplexity and the divergences that the reference's own results were measured with; what
# the reference wrote for the tiny models; the cost of every scheme in the order it must have; the same bytes for any threads; and
# refusals. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
text=$GS_SOURCE_DIR/demo/eval.txt
json=$scratch/eval.json

# evaluate ARGUMENT…: into $json, tables in $log
evaluate() { check "eval ${*: -1}" "$GLMSLIM" eval --model_path "$demo" --quiet --json "$json" "$@" >"$log" 2>&1; }

# quantized KEY: that number of every result, one per line
quantized() { sed -n "/\"quantized\"/,\$s/^      \"$1\": *\([-0-9.eE+]*\),*\$/\1/p" "$json"; }

calib=$GS_SOURCE_DIR/demo/calib.json
# make NAME OPTION…: the mini model quantized into $scratch/NAME
make() {
    local name=$1
    shift
    check "$name runs" "$quant" --model_path "$demo" --save_directory "$scratch/$name" --calib_file "$calib" \
        --anti_file "$GS_SOURCE_DIR/demo/anti.json" --quiet "$@" >"$log" 2>&1
}

# --- the float model: 33.908 (NLL 3.52365) in its original code

evaluate --text "$text"
near "float perplexity" "$(json_number "$json" perplexity)" 33.908 0.0005
near "float nll" "$(json_number "$json" nll)" 3.52365 0.0001
equal "tokens" "$(json_number "$json" tokens)" 2169
equal "windows" "$(json_number "$json" windows)" 5
says "protocol" "$log" "2169 tokens in 5 windows of 510" "predicted once" "33.908"

# --- rows of the table in the mini model's documentation: the reference's results, measured by its authors' arithmetic in another
# program. Name, KL, options.

like_reference=(--reference_compat --save_dtype float32)
names=() wanted=()
row() {
    names+=("$scratch/$1")
    wanted+=("$2")
    make "$1" "${like_reference[@]}" "${@:3}"
}
row minmax 0.02445 --act_method 1
if [ $sanitized = no ]; then # these take long there
    row minmax-m1-all 0.01390 --act_method 1 --anti_method m1 --disable_names transformer.output_layer
    row minmax-m2 0.00109 --act_method 1 --anti_method m2
    row histogram 0.04271 --act_method 2
    row histogram-m2 0.00050 --act_method 2 --anti_method m2
fi
evaluate --text "$text" --threads 1 --quant_path "${names[@]}"
mapfile -t kl < <(quantized kl_mean)
equal "results" ${#kl[@]} ${#names[@]}
for i in "${!names[@]}"; do
    checks=$((checks + 1))
    awk -v got="${kl[i]}" -v want="${wanted[i]}" 'BEGIN { d = got - want; if (d < 0) d = -d; exit !(d <= 0.15 * want || d <= 0.0002) }' ||
        fail "KL of $(basename "${names[i]}"): ${kl[i]}, the reference's result has ${wanted[i]}"
    for j in "${!names[@]}"; do
        checks=$((checks + 1))
        awk -v a="${wanted[i]}" -v b="${wanted[j]}" -v x="${kl[i]}" -v y="${kl[j]}" 'BEGIN { exit a > 1.3 * b && x <= y }' ||
            fail "ranking: $(basename "${names[i]}") and $(basename "${names[j]}") change places"
    done
done
says "table" "$log" "minmax W8A8" "perplexity rises by" "KL is the figure to rank by" "outputs with the most noise" " dB "
if [ $sanitized = no ]; then # the thread sanitizer's business, not the address sanitizer's
    says "table, a row with m1" "$log" "minmax-m1-all W8A8"
    cp "$json" "$scratch/one.json"
    evaluate --text "$text" --threads 3 --quant_path "${names[0]}" --quant_path "${names[@]:1}"
    check "threads do not show" cmp -s "$json" "$scratch/one.json"
fi

# --- every scheme, from the checkpoint's own types. Fewer bits cost more; float costs nothing.

schemes_text=$text
calib=$(samples)
if [ $sanitized = yes ]; then # the order holds on a part of the text, which takes less long
    schemes_text=$scratch/part.txt
    head -n 10 "$text" >"$schemes_text"
fi
data_free=$scratch/empty.json
echo '[]' >"$data_free"
make float --w_bit 16 --a_bit 16
make w8a16 --w_bit 8 --a_bit 16 --calib_file "$data_free"
make w8-dynamic --is_dynamic True --calib_file "$data_free"
make w4-groups --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 32 --w_sym False --calib_file "$data_free"
make w4a16 --w_bit 4 --a_bit 16 --calib_file "$data_free" --mindie_format
make w4a8 --w_bit 4 --a_bit 8 --is_dynamic True --is_lowbit True --open_outlier False --group_size 64 --calib_file "$data_free"
make sparse --co_sparse True --anti_method m2
make w8a8 --anti_method m2
make w8a8c8 --anti_method m2 --use_kvcache_quant True --part_file_size 1
make attention --w_bit 16 --a_bit 16 --use_fa_quant True
make smooth --do_smooth True --mindie_format
evaluate --text "$schemes_text" --context 100 --quant_path "$scratch"/{float,attention,w8a16,w8-dynamic,w4-groups,w4a8,w4a16,sparse,w8a8,w8a8c8,smooth}
mapfile -t kl < <(quantized kl_mean)
equal "schemes" ${#kl[@]} 11
equal "float export" "${kl[0]}" 0.0
# above NAME A B: the first is larger, and neither is absurd
above() {
    checks=$((checks + 1))
    awk -v a="$2" -v b="$3" 'BEGIN { exit !(a > b && a > 0 && a < 3) }' || fail "$1: KL $2 is not above $3"
}
above "attention over float" "${kl[1]}" 0.000001
above "attention is cheap" 0.01 "${kl[1]}"
above "dynamic over weights only" "${kl[3]}" "${kl[2]}"
above "4 bits over 8" "${kl[4]}" "${kl[3]}"
above "rows over groups" "${kl[6]}" "${kl[4]}"
above "W4A8 by 64 over W4A16 by 32" "${kl[5]}" "${kl[4]}"
above "sparse over dense" "${kl[7]}" "${kl[8]}"
above "int8 cache" "${kl[9]}" "${kl[8]}"
above "do_smooth helps" 0.02445 "${kl[10]}"
says "cache in the table" "$log" "W8A8 C8" "FLOAT FA" "W4A8_DYNAMIC"
make cards --tp_size 2 --use_reduce_quant True --anti_method m2 "${like_reference[@]}"
evaluate --text "$schemes_text" --context 100 --quant_path "$scratch/cards"
above "cards one by one" "$(quantized kl_mean)" 0.0001
above "cards are cheap" 0.01 "$(quantized kl_mean)"

# --- directories as the reference wrote them

for name in w8a8c8-act1 w8a8-act1-mindie w8a8-part1; do
    check "expand $name" "$GOLDEN_COMPARE" expand "$GS_SOURCE_DIR/tests/golden/cases/$name" "$scratch/golden-$name" >"$log" 2>&1
    check "eval of golden $name" "$GLMSLIM" eval --model_path "$GS_SOURCE_DIR/tests/golden/models/tiny-a" --text "$GS_SOURCE_DIR/demo/eval.txt" \
        --context 60 --quiet --json "$json" --quant_path "$scratch/golden-$name" >"$log" 2>&1
    above "golden $name" "$(quantized kl_mean)" 0.01
done

# --- questions

cat >"$scratch/questions.jsonl" <<'END'
{"question": "The kernel is the part of the system that", "choices": ["is not in the kernel.", "banana banana purple"], "answer": 0}
{"question": "如果文件不存在，", "choices": ["猫猫狗狗", "否则将文件保存为文件夹。"], "answer": "B"}
{"question": "To insert a table, choose", "choices": ["zzz qqq", "Format - Table"], "answer": "Format - Table"}
END
evaluate --choices "$scratch/questions.jsonl" --quant_path "$scratch/w8a8"
equal "questions" "$(json_number "$json" questions)" 3
equal "accuracy" "$(json_number "$json" accuracy)" 1.0
near "interval" "$(json_number "$json" accuracy_low)" 0.438503 0.00001
says "choices" "$log" "3 questions" "1.0000 (0.4385 to 1.0000)"

# --- refused, with the file and the remedy

# no NAME STATUS TEXT ARGUMENT…
no() {
    local got
    "$GLMSLIM" eval "${@:4}" >"$log" 2>&1
    got=$?
    equal "$1: exit code" $got "$2"
    says "$1" "$log" "error: " "$3"
}
no "no model" 2 "--model_path" --text "$text"
no "nothing to do" 2 "--text" --model_path "$demo"
no "no such text" 3 "/nowhere.txt" --model_path "$demo" --text /nowhere.txt
no "float as result" 4 "quant_model_description" --model_path "$demo" --text "$text" --quant_path "$demo"
no "result as float" 4 "" --model_path "$scratch/w8a8" --text "$text"
no "too long" 2 "at most 2046" --model_path "$demo" --text "$text" --context 2047
no "stride" 2 "left out" --model_path "$demo" --text "$text" --context 10 --stride 11
tiny other
no "another model" 4 "another one" --model_path "$scratch/other" --text "$text" --quant_path "$scratch/w8a8"
sed -i '/layers.2.mlp.dense_h_to_4h.weight"/d' "$scratch/w8a8/quant_model_description.json"
no "linear without a type" 4 "layers.2.mlp.dense_h_to_4h.weight" --model_path "$demo" --text "$text" --quant_path "$scratch/w8a8"
finish
