#!/bin/bash
# The quality of every scheme with every way of moving outliers, on the small model in demo/: runs them all, evaluates them, and
# writes docs/results.csv and docs/quality.md. Same figures on every machine, so a change of one is a change of the program.
# Usage: scripts/quality.sh [--check] [--sample] [--program FILE]
#   --check     write nothing; fail and show the lines that differ from docs/results.csv
#   --sample    every scheme, each with one of the methods in turn, and check those lines only
#   --program   the program to use, build/release/glmslim by default
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
program=build/release/glmslim
check=no
sample=no
while [ $# -gt 0 ]; do
    case $1 in
    --check) check=yes ;;
    --sample) check=yes && sample=yes ;;
    --program) program=$2 && shift ;;
    *) echo "usage: scripts/quality.sh [--check] [--sample] [--program FILE]" >&2 && exit 2 ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
down="--disable_names transformer.output_layer"

# label, then the options; @ leaves out m3, which refuses these bits. down_int8: the MLP's second linear is quantized too.
schemes() {
    cat <<LIST
W8A8 min-max|--act_method 1
W8A8 min-max, down int8|--act_method 1 $down
W8A8 histogram|--act_method 2
W8A8 histogram, down int8|--act_method 2 $down
W8A8 automatic|--act_method 3
W8A8C8 histogram|--act_method 2 --use_kvcache_quant True
W8A8 low-bit class|--is_lowbit True
W8A8 two cards, quantized sums|--tp_size 2 --use_reduce_quant True
W8A8_DYNAMIC|--is_dynamic True
W8A8_DYNAMIC, down int8|--is_dynamic True $down
W8A8S co_sparse|--co_sparse True
W8A8S low-bit|--w_bit 4 --is_lowbit True
W8A8S low-bit, group 64|--w_bit 4 --is_lowbit True --open_outlier False
W8A16|--a_bit 16
W8A16 asymmetric|--a_bit 16 --w_sym False
W8A16 group 128|--a_bit 16 --is_lowbit True --open_outlier False --group_size 128
W4A16|--w_bit 4 --a_bit 16
W4A16 asymmetric|--w_bit 4 --a_bit 16 --w_sym False
W4A16 group 128|--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 128
W4A16 group 32|--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 32
W4A16 outlier split|--w_bit 4 --a_bit 16 --is_lowbit True
W4A8_DYNAMIC group 64|--w_bit 4 --is_lowbit True --open_outlier False --is_dynamic True
W4A4|@--w_bit 4 --a_bit 4 --is_dynamic True
FA, linears float|@--w_bit 16 --a_bit 16 --use_fa_quant True
FLOAT|@--w_bit 16 --a_bit 16
LIST
}
methods="none m1 m2 m3 m4 m5 m6"

# Mean of the weight SQNR of the quantized linears, in decibels; empty where none is.
weight_sqnr() {
    awk '/"weight_sqnr_db": [-0-9]/ { gsub(/[^-0-9.e]/, "", $2); s += $2; n++ } END { if (n) printf "%.2f", s / n }' "$1"
}

# Figures of each result of an evaluation, in its order: mean output SQNR of dense_4h_to_h, perplexity, mean and 99 % KL, top-1.
figures() {
    awk 'function flush() { if (open) printf "%s,%.3f,%.5f,%.4f,%.4f\n", n ? sprintf("%.2f", s / n) : "", v["perplexity"], v["kl_mean"], v["kl_p99"], v["top1_agreement"] }
        /"quantized":/ { inside = 1; next }
        !inside { next }
        { key = $1; gsub(/[":]/, "", key); value = $2; sub(/,$/, "", value) }
        key == "path" { flush(); open = 1; s = n = 0 }
        key == "name" { down = index($2, ".dense_4h_to_h\"") }
        key == "sqnr_db" && down && value != "null" { s += value; n++ }
        { v[key] = value }
        END { flush() }' "$1"
}

# All methods with one scheme: one line each. One evaluation serves them, since the float model is the same.
measure() {
    local label=$1 methods=$methods method results=()
    shift
    if [[ $1 == @* ]]; then
        methods=${methods/ m3/}
        set -- "${1#@}" "${@:2}"
    fi
    if [ $sample = yes ]; then
        local list
        read -ra list <<<"$methods"
        methods=${list[turn % ${#list[@]}]}
    fi
    for method in $methods; do
        local suppression=()
        [ "$method" = none ] || suppression=(--anti_method "$method")
        results+=("$work/$method")
        "$program" quant --quiet --model_path demo/glm4-mini --calib_file demo/calib.json --anti_file demo/anti.json \
            --save_directory "$work/$method" --overwrite --no_extras --json "$work/$method.json" "$@" \
            ${suppression[@]+"${suppression[@]}"} >/dev/null 2>"$work/log" || { cat "$work/log" >&2 && return 1; }
    done
    "$program" eval --quiet --model_path demo/glm4-mini --quant_path "${results[@]}" --text demo/eval.txt \
        --json "$work/eval.json" >/dev/null
    paste -d, <(for method in $methods; do printf '"%s",%s,%s\n' "$label" "$method" "$(weight_sqnr "$work/$method.json")"; done) \
        <(figures "$work/eval.json")
}

csv() {
    echo 'scheme,anti_method,weight_sqnr_db,down_output_sqnr_db,perplexity,kl_mean,kl_p99,top1_agreement'
    local turn=0
    schemes | while IFS='|' read -r label options; do
        # shellcheck disable=SC2086
        measure "$label" $options
        turn=$((turn + 1))
    done
}

page() {
    cat <<'HEAD'
# Quality of every scheme

Written by `scripts/quality.sh`; do not edit. The small model in `demo/`, calibrated on `demo/calib.json` and `demo/anti.json`, default file types,
evaluated on `demo/eval.txt` by `glmslim eval` (docs/eval.md). KL(float ‖ quantized), mean per token in nats, is the figure to rank by; perplexity differences of
a few hundredths are noise. All figures, with the 99 % quantile of KL and the agreement of the most likely token, are in [results.csv](results.csv).

What is kept float is the default of each scheme: `dense_4h_to_h` with `--a_bit 8`, and the output layer; "down int8" quantizes the former too. The weight SQNR of
W4A4 is that of its int8 linears; its int4 codes stand for transformed weights.

## Mean KL

HEAD
    awk -F, -v methods="$methods" 'BEGIN { n = split(methods, m, " ") }
        NR > 1 { label = $0; sub(/^"/, "", label); sub(/".*/, "", label); rest = $0; sub(/^"[^"]*",/, "", rest); split(rest, f, ",")
            if (!(label in seen)) { seen[label] = 1; order[++rows] = label }
            kl[label, f[1]] = f[5]; sqnr[label, f[1]] = f[2] }
        END {
            printf "| scheme | weight SQNR, dB |"; for (i = 1; i <= n; i++) printf " %s |", m[i]
            printf "\n|---|---|"; for (i = 1; i <= n; i++) printf "---|"
            printf "\n"
            for (r = 1; r <= rows; r++) { printf "| %s | %s |", order[r], sqnr[order[r], "none"]
                for (i = 1; i <= n; i++) printf " %s |", kl[order[r], m[i]]; printf "\n" } }' "$1"
}

csv >"$work/results.csv"
if [ $check = yes ]; then
    wanted=docs/results.csv
    if [ $sample = yes ]; then
        wanted=$work/wanted.csv
        sed -E 's/^("[^"]*",[^,]*,).*/\1/' "$work/results.csv" | grep -Ff - docs/results.csv >"$wanted" || true
    fi
    diff -u "$wanted" "$work/results.csv" && echo "quality: $(($(wc -l <"$work/results.csv") - 1)) rows, all as in docs/results.csv"
    exit
fi
cp "$work/results.csv" docs/results.csv
page docs/results.csv >docs/quality.md
echo "quality: $(($(wc -l <docs/results.csv) - 1)) rows written to docs/results.csv and docs/quality.md"
