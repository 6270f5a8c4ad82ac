#!/bin/bash
# Analyze as a user meets it: what it says about the mini model, whether its list is worth following in a real run, whether a linear
# quantized alone by quant costs what analyze has measured, the same bytes for any threads and any place for states, and refusals.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
calib=$scratch/calib.txt
sed -n 's/^  "prompt": "\(.*\)",$/\1/p' "$GS_SOURCE_DIR/demo/calib.json" | head -n 6 >"$calib"
text=$scratch/text
head -n 2 "$GS_SOURCE_DIR/demo/eval.txt" >"$text"
json=$scratch/analysis.json
out=$scratch/out

# analyze ARGUMENT…: tables in $out, figures in $json
analyze() {
    check "analyze $*" "$GLMSLIM" analyze --model_path "$demo" --calib_file "$calib" --json "$json" "$@" >"$out" 2>"$log"
}

# ranked: names of the first scheme, worst first; figure NAME KEY: of that linear there
ranked() { sed -n '/"ranking"/,/^      \]/s/^ *"name": "\(.*\)",$/\1/p' "$json"; }
figure() { sed -n '/"ranking"/,/^      \]/p' "$json" | grep -A8 "\"name\": \"$1\"" | sed -n "s/^ *\"$2\": \([-0-9.e+]*\),*$/\1/p" | head -1; }

# --- what it says, and that threads and the place of hidden states do not show

analyze --kl --text "$text" --budget 4 --threads 1
cp "$json" "$scratch/one.json"
says "protocol" "$out" "6 samples" "measured on $text: 1 windows" "W8A8: --act_method 2" "4 linears in float (*)" "replaces the default one"
says "work" "$log" "17 linears under 1 scheme" "times the work of one float pass"
mapfile -t names < <(ranked)
equal "linears" ${#names[@]} 17
equal "output layer stays" "$(grep -c '"stays_float": true' "$json")" 1
mapfile -t list < <(sed -n '/"disable_names"/,/\]/s/^ *"\(transformer[^"]*\)",*$/\1/p' "$json")
equal "chosen" "${list[*]}" "${names[*]:0:4}"
line=$(grep '^--disable_names ' "$out")
words=()
eval "words=($line)"
equal "line for quant" "${words[*]}" "--disable_names ${names[*]:0:4}"
analyze --kl --text "$text" --budget 4 --threads 2 --states_memory 1 --work_dir "$scratch" --quiet
check "threads and files do not show" cmp -s "$json" "$scratch/one.json"
equal "nothing is left in work_dir" "$(find "$scratch" -name 'glmslim-states*')" ""

# The model has outliers at the inputs of dense_4h_to_h and behind its norms, none in front of dense.
for layer in 0 1 2 3; do
    place=$(printf '%s\n' "${names[@]}" | grep -n "layers.$layer.self_attention.dense" | cut -d: -f1)
    checks=$((checks + 1))
    [ "$place" -gt 10 ] || fail "dense of layer $layer is number $place"
done

# --- is the list worth following?

# make NAME DISABLED…: quantized into $scratch/NAME
make() {
    check "$1 runs" "$quant" --model_path "$demo" --save_directory "$scratch/$1" --calib_file "$calib" --act_method 2 --quiet \
        --disable_names "${@:2}" >"$log" 2>&1
}
# above NAME A B
above() {
    checks=$((checks + 1))
    awk -v a="$2" -v b="$3" 'BEGIN { exit !(a > b && b > 0) }' || fail "$1: $2 is not above $3"
}
make worst "${list[@]}"
if [ $sanitized = no ]; then # figures, which take long there
    make best "${names[@]: -4}"
    # Each alone: everything but one linear stays float.
    alone=("${names[0]}" "${names[8]}")
    for i in 0 1; do
        rest=()
        for name in "${names[@]}"; do [ "$name" = "${alone[i]}" ] || rest+=("$name"); done
        make "alone$i" "${rest[@]}"
    done
    check "eval" "$GLMSLIM" eval --model_path "$demo" --text "$text" --quiet --json "$scratch/eval.json" \
        --quant_path "$scratch"/{worst,best,alone0,alone1} >"$log" 2>&1
    mapfile -t kl < <(sed -n '/"quantized"/,$s/^      "kl_mean": *\([-0-9.eE+]*\),*$/\1/p' "$scratch/eval.json")
    equal "results" ${#kl[@]} 4
    above "the worst in float are worth more than the best" "${kl[1]}" "$(awk -v a="${kl[0]}" 'BEGIN { print 1.5 * a }')"
    for i in 0 1; do # the same tokens but one
        near "KL of ${alone[i]} alone" "$(figure "${alone[i]}" kl)" "${kl[i + 2]}" 0.02
    done
fi

# --- every type, and lines of options

analyze --samples 2 --all --quiet --budget 3% \
    --scheme W8A8 W8A8_DYNAMIC W8A8S W8A16 W4A16 W4A8_DYNAMIC W4A4_FLATQUANT_DYNAMIC \
    --scheme "--act_method 3 --disable_last_linear False" "--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 32"
equal "schemes" "$(grep -c '"scheme": ' "$json")" 9
equal "all measured but W4A4's output layer" "$(grep -c '"measured": false' "$json")" 1
equal "output layer can be chosen" "$(grep -c '"stays_float": true' "$json")" 8
says "measured on" "$out" "$calib: 2 samples"
says "mixture" "$json" '"type": "W8A8_DYNAMIC"'
first=$(sed -n 's/^ *"extra_bytes": \([0-9]*\),$/\1/p' "$json" | head -1)
bytes=$(sed -n 's/^ *"bytes": \([0-9]*\),$/\1/p' "$json" | head -1)
above "within 3 %" "$(awk -v b="$bytes" 'BEGIN { print 0.03 * b }')" "$first"

# --- refused, with the remedy

# no NAME STATUS TEXT ARGUMENT…
no() {
    "$GLMSLIM" analyze "${@:4}" >"$log" 2>&1
    equal "$1: exit code" $? "$2"
    says "$1" "$log" "error: " "$3"
}
echo '[]' >"$scratch/empty.json"
no "no model" 2 "--model_path" --calib_file "$calib"
no "no such texts" 3 "/nowhere.json" --model_path "$demo" --calib_file /nowhere.json
no "no texts" 2 "holds no samples" --model_path "$demo" --calib_file "$scratch/empty.json"
no "no such text" 3 "/nowhere.txt" --model_path "$demo" --calib_file "$calib" --text /nowhere.txt
no "no such scheme" 2 "there is no scheme \"W8A9\": use W8A8, W8A8_DYNAMIC" --model_path "$demo" --scheme W8A9
no "model-wide option" 2 "--anti_method says nothing" --model_path "$demo" --scheme "--anti_method=m2"
no "bad line" 2 "w_sym should be True" --model_path "$demo" --scheme "--w_sym False --a_bit 8"
no "bad budget" 2 "--budget is a number of linears" --model_path "$demo" --budget 5x
no "bad size" 2 "states_memory" --model_path "$demo" --states_memory none
no "no work_dir" 2 "--work_dir /nowhere is not a directory" --model_path "$demo" --work_dir /nowhere
no "a result" 4 "" --model_path "$scratch/worst" --calib_file "$calib"
finish
