#!/bin/bash
# Moving outliers does not change the float model, and helps the quantized one where it should: with every linear kept in floating
# point each method leaves the logits as they were to 1e-5 (100 dB), the reference's m4 and m6 do not; and only m4 and m6 help
# dense_4h_to_h, whose input no norm scales. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
if [ $sanitized = yes ]; then
    echo "SKIP: figures, not memory; the same code runs under the sanitizer in the tests of smoothing and eval"
    exit 77
fi

methods="m1 m2 m3 m4 m5 m6"
recipe=(--model_path "$demo" --calib_file "$GS_SOURCE_DIR/demo/calib.json" --anti_file "$GS_SOURCE_DIR/demo/anti.json"
    --act_method 1 --no_extras)
# A fifth of the text is enough here, and starts where a line does.
head -n 8 "$GS_SOURCE_DIR/demo/eval.txt" >"$scratch/text"

# once NAME OPTION…
once() {
    local name=$1
    shift
    check "$name runs" "$quant" --quiet "${recipe[@]}" --save_directory "$scratch/$name" "$@" >"$log" 2>&1 || cat "$log"
}

# evaluate JSON NAME…
evaluate() {
    local json=$1 name dirs=()
    shift
    for name in "$@"; do dirs+=("$scratch/$name"); done
    check "evaluates" "$GLMSLIM" eval --quiet --model_path "$demo" --text "$scratch/text" --quant_path "${dirs[@]}" --json "$json" >"$log" 2>&1
}

# sqnr JSON SUFFIX: "result decibels" of every linear whose name ends so; a null is no noise at all.
sqnr() {
    sed '1,/"quantized":/d' "$1" | awk -v suffix="$2\"" '
        { value = $2; sub(/,$/, "", value) }
        /"path":/ { n = split(value, part, "/"); result = part[n]; sub(/"$/, "", result) }
        /"name":/ { hit = substr(value, length(value) - length(suffix) + 1) == suffix }
        /"sqnr_db":/ && hit { print result, value == "null" ? 999 : value }'
}

for m in $methods; do once "float-$m" --anti_method "$m" --disable_level L1000 --save_dtype float32; done
once float-do_smooth-m4 --do_smooth True --anti_method m4 --disable_level L1000 --save_dtype float32
for m in m4 m6; do once "compat-$m" --anti_method $m --disable_level L1000 --save_dtype float32 --reference_compat; done
evaluate "$scratch/float.json" float-m1 float-m2 float-m3 float-m4 float-m5 float-m6 float-do_smooth-m4 compat-m4 compat-m6
while read -r result db; do
    case $result in
    float-*) check "$result: logits $db dB" awk -v d="$db" 'BEGIN { exit !(d > 100) }' ;;
    *) check "$result: the reference's split destroys the model, $db dB" awk -v d="$db" 'BEGIN { exit !(d < 20) }' ;;
    esac
done <<<"$(sqnr "$scratch/float.json" transformer.output_layer)"
equal "results looked at" "$(sqnr "$scratch/float.json" transformer.output_layer | grep -c .)" 9

# All linears in 8 bits. What m4 and m6 divide (value rows of query_key_value, up rows of dense_h_to_4h) is another output, not noise:
# those figures are no measure of them. Mean output SQNR of dense_4h_to_h.
for m in none $methods; do
    suppression=()
    [ $m = none ] || suppression=(--anti_method "$m")
    once "int8-$m" --disable_names transformer.output_layer ${suppression[@]+"${suppression[@]}"}
done
evaluate "$scratch/int8.json" int8-none int8-m1 int8-m2 int8-m3 int8-m4 int8-m5 int8-m6
for role in query_key_value self_attention.dense dense_h_to_4h dense_4h_to_h; do
    echo "mean output SQNR of $role, dB:" "$(sqnr "$scratch/int8.json" "$role" | awk '{ s[$1] += $2; n[$1]++ } END { for (r in s) printf " %s %.2f", r, s[r] / n[r] }')"
done
down() { sqnr "$scratch/int8.json" dense_4h_to_h | awk -v r="int8-$1" '$1 == r { s += $2; n++ } END { print n ? s / n : "none" }'; }
for m in m4 m6; do
    check "$m beats m1 at dense_4h_to_h: $(down $m) dB against $(down m1)" awk -v a="$(down $m)" -v b="$(down m1)" 'BEGIN { exit !(a > b + 3) }'
done

finish
